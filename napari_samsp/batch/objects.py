"""The table of objects that ``predict`` keeps beside its labels."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samsp.data.tables.object_files import measure_file
from napari_samsp.data.tables.table_files import TableFile, table_name
from napari_samsp.data.training_sets.class_tables import ClassNames
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from napari_samsp.data.tables.object_table import Columns
    from napari_samsp.data.training_sets.classes import Classes


@contextmanager
def objects_table(
    path: Path,
    todo: Iterable[str],
    done: Mapping[str, tuple[Path, Path]],
    axes: str | None,
    overwrite: bool,
    failed: list[str],
    classes: Classes | None = None,
) -> Iterator[TableFile]:
    """Continue a table, or begin one; it is written when the block ends, however.

    Parameters
    ----------
    path : Path
        Where the table is written.
    todo : iterable of str
        Images that are about to be segmented: the rows that they have are dropped.
    done : mapping
        Labels and image, by name, of those that were segmented before. Those without
        a row are measured now: the table is new, or a crash took their rows.
    axes : str or None
        Of the images, instead of what their files say.
    overwrite : bool
        Whether a file that is no table may be replaced.
    failed : list of str
        Takes a sentence for each of them that cannot be measured.
    classes : Classes, optional
        What their labels mean, if the adapter tells classes apart.

    Yields
    ------
    TableFile
        The table, open for rows to be added.

    Raises
    ------
    InputError
        If the table cannot be written under this name.
    """
    with TableFile(path, overwrite) as table:
        if table.keep({table_name(name) for name in todo}):
            table.write()  # after a crash no row tells of labels that are replaced
        try:
            for name, (labels, image) in done.items():
                if table_name(name) in table.images:
                    continue
                try:
                    known = measured(labels, image, axes, classes)
                except InputError as error:
                    failed.append(f"{labels} cannot be measured: {error}")
                    continue
                for columns in known:
                    table.add(name, columns)
            yield table
        finally:
            table.write()


def measured(
    labels: Path, image: Path, axes: str | None, classes: Classes | None
) -> tuple[Columns, ...]:
    """Measure the objects that ``predict`` has found in an image.

    Parameters
    ----------
    labels, image : Path
        The files.
    axes : str or None
        Of the image, instead of what its file says.
    classes : Classes or None
        What the labels mean; without it a table of classes beside them is an old one.

    Returns
    -------
    tuple of dict
        As `napari_samsp.data.tables.object_files.measure_file` gives them.

    Raises
    ------
    InputError
        If they cannot be measured.
    """
    names = ClassNames({}) if classes is None else None
    return tuple(measure_file(labels, image, axes=axes, classes=classes, names=names))
