"""The label files of one image: their names and formats, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_samsp.data.formats.nifti_files import is_nifti, write_nifti
from napari_samsp.data.image_files import is_ome_zarr
from napari_samsp.data.image_source import is_large
from napari_samsp.data.label_files import (
    collected,
    ome_zarr_to_fill,
    write_ome_zarr,
    write_tiff,
)
from napari_samsp.data.training_sets.class_tables import TABLE_ENDING
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from napari_samsp.batch.job import Job, Settings
    from napari_samsp.data.image_source import StoredImage


def as_nifti(image: Path, settings: Settings) -> bool:
    """Whether labels become NIfTI: as the image is, if nothing else is asked for."""
    return (
        settings.output_format == "auto"
        and settings.axes is None
        and image.is_file()
        and is_nifti(image)
    )


@dataclass(frozen=True)
class OutputLabels:
    """The files that the labels of one image become.

    Attributes
    ----------
    labels : Path
        Where they go, without an ending.
    ending : {".tif", ".ome.zarr", ".nii.gz"}
        The format.
    iterations : dict
        The iteration that each file holds; the last iteration's own file comes first.
    table : Path
        The CSV file of the objects' classes.
    has_classes : bool
        Whether they get any; otherwise such a table is of earlier labels, and goes.
    in_place : frozenset of Path
        Files that are filled while the image is segmented, because their labels are too
        large for memory.
    """

    labels: Path
    ending: str
    iterations: dict[Path, int]
    table: Path
    has_classes: bool
    in_place: frozenset[Path]

    @classmethod
    def of(cls, job: Job, settings: Settings, image: StoredImage) -> OutputLabels:
        """Name the files of an image that was opened."""
        labels, last = job.labels, settings.iterations - 1
        ending = _ending(job, settings, is_large(image.labels_shape[-2:]))
        names = {labels.name: last}
        if settings.all_iterations:
            names |= {f"{labels.name}.iter{t}": t for t in range(last + 1)}
        files = {labels.with_name(f"{name}{ending}"): t for name, t in names.items()}
        table = labels.with_name(labels.name + TABLE_ENDING)
        in_place: frozenset[Path] = frozenset()
        if ending == ".ome.zarr" and is_large(image.labels_shape):
            first = {t: path for path, t in reversed(files.items())}
            in_place = frozenset(first.values())
        return cls(labels, ending, files, table, settings.object_classes, in_place)

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files; the last iteration's labels come first."""
        return (*self.iterations, *([self.table] if self.has_classes else []))

    def check(self, spared: tuple[Path, ...]) -> None:
        """Raise `InputError` if a file that must not be replaced would be."""
        if found := [path for path in (*self.iterations, self.table) if path in spared]:
            raise InputError(
                f"{found[0]} would be replaced, and earlier calls of this command did "
                "not write it: use another --output, or add --overwrite."
            )

    def allocate(self, image: StoredImage, stack: ExitStack) -> dict[int, Any]:
        """Make an array of labels for each iteration that is written.

        Parameters
        ----------
        image : StoredImage
            The image that is segmented.
        stack : ExitStack
            Its end releases the arrays, and completes those that are filled in place.

        Returns
        -------
        dict
            Arrays of the shape of the image's labels, by iteration.
        """
        shape, parent = image.labels_shape, self.labels.parent
        parent.mkdir(parents=True, exist_ok=True)
        arrays: dict[int, Any] = {}
        for path, t in self.iterations.items():
            if t in arrays:
                continue
            arrays[t] = stack.enter_context(
                ome_zarr_to_fill(path, shape, image.labels_axes, image.voxels)
                if path in self.in_place
                else collected(shape, parent, f"{self.labels.name}.labels")
            )
        return arrays

    def write(self, arrays: dict[int, Any], image: StoredImage, source: Path) -> None:
        """Write what is not filled in place.

        Parameters
        ----------
        arrays : dict
            From `allocate`.
        image : StoredImage
            The image that was segmented.
        source : Path
            Its file.
        """
        # The last iteration's at the end: where they are, all are. What is filled in
        # place is completed after this, by the stack, in the same order.
        for path, t in reversed(self.iterations.items()):
            if path in self.in_place:
                continue
            if self.ending == ".nii.gz":
                write_nifti(path, arrays[t], image.labels_axes, source)
                continue
            write = write_ome_zarr if self.ending == ".ome.zarr" else write_tiff
            write(path, arrays[t], image.labels_axes, image.voxels)


def _ending(job: Job, settings: Settings, large: bool) -> str:
    kind = settings.output_format
    if as_nifti(job.image, settings):
        return ".nii.gz"
    if kind == "ome-zarr" or (kind == "auto" and large and is_ome_zarr(job.image)):
        return ".ome.zarr"
    return ".tif"
