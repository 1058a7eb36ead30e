"""Tables as CSV or Parquet files, written piece by piece."""

from __future__ import annotations

import csv
import math
import os
import re
import tempfile
from typing import TYPE_CHECKING, Any

from napari_samsp.data.tables.object_table import CLASS
from napari_samsp.utils.atomic_files import written_beside
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator
    from pathlib import Path
    from types import ModuleType

    from napari_samsp.data.tables.object_table import Columns

SUFFIXES = (".csv", ".parquet")
_TEXTS = ("image", "unit", CLASS)
_WHOLE = re.compile(
    r"label|time|slice|axis_\w|(area|volume)_px|euler_number|bbox_[zyx][01]"
)
"""Columns of whole numbers; those that are neither these nor texts are floats."""
_ROWS = 65_536
"""Rows that are converted to Parquet at a time."""


class TableFile:
    """A table that grows row by row, each with the columns that its file has.

    Rows wait in a temporary file until `write`, since a later image may have more
    channels than the first, and so more columns.

    Parameters
    ----------
    path : Path
        Ends in ``.csv`` or, with pyarrow installed, ``.parquet``.
    overwrite : bool
        Whether a file that is no table of this kind may be replaced.

    Attributes
    ----------
    images : set of str
        Images whose objects have rows in the table.

    Raises
    ------
    InputError
        If the file cannot be written under this name.
    """

    def __init__(self, path: Path, overwrite: bool = False) -> None:
        check_table(path, overwrite)
        self._path = path
        self._columns: dict[str, int] = {}
        self._rows = tempfile.TemporaryFile("w+", encoding="utf-8", newline="")  # noqa: SIM115, closed on exit
        self.images: set[str] = set()

    def __enter__(self) -> TableFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._rows.close()

    def keep(self, left_out: Container[str]) -> int:
        """Take over the rows that the file has by now.

        Parameters
        ----------
        left_out : container of str
            Images whose rows are dropped.

        Returns
        -------
        int
            How many were dropped.
        """
        if not self._path.exists() or not is_table(self._path):
            return 0
        dropped = 0
        for columns, row in _read(self._path):
            name = row[columns.index("image")]
            if name in left_out:
                dropped += 1
            else:
                self._append(columns, [row])
                self.images.add(name)
        return dropped

    def add(self, image: str, columns: Columns) -> None:
        """Append rows to the table.

        Parameters
        ----------
        image : str
            What the column of this name says.
        columns : dict
            As `napari_samsp.data.tables.object_files.measure_file` gives them.
        """
        name = table_name(image)
        rows = zip(*(values.tolist() for values in columns.values()), strict=True)
        self._append(["image", *columns], [[name, *map(_text, row)] for row in rows])
        if len(columns["label"]):
            self.images.add(name)

    def write(self) -> None:
        """Put all rows so far into the file, atomically; it can go on afterwards."""
        with written_beside(self._path) as place:
            if self._path.suffix.lower() == ".parquet":
                with tempfile.TemporaryDirectory() as folder:
                    part = os.path.join(folder, "table.csv")
                    self._write_csv(part)
                    _to_parquet(part, place, self._header())
            else:
                self._write_csv(place)

    def _append(self, columns: list[str], rows: list[list[str]]) -> None:
        for name in columns:
            self._columns.setdefault(name, len(self._columns))
        order = [self._columns[name] for name in columns]
        width = max(order) + 1
        writer = csv.writer(self._rows)
        for row in rows:
            placed = [""] * width
            for n, value in zip(order, row, strict=True):
                placed[n] = value
            writer.writerow(placed)

    def _header(self) -> list[str]:
        """Where an object is comes first, also if the first image was no stack."""
        names = list(self._columns) or ["image", "label"]
        first = [n for n in names if n == "image"]
        places = [n for n in names if n in ("time", "slice") or n.startswith("axis_")]
        return [*first, *places, *(n for n in names if n not in (*first, *places))]

    def _write_csv(self, path: str | Path) -> None:
        header = self._header()
        order = [self._columns.get(name, 0) for name in header]
        self._rows.seek(0)
        with open(path, "w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(header)
            for row in csv.reader(self._rows):
                writer.writerow([row[n] if n < len(row) else "" for n in order])
        self._rows.seek(0, os.SEEK_END)


def table_name(name: str) -> str:
    """An image's name as a table holds it: bytes that are no text are spelled out."""
    return name.encode("utf-8", "backslashreplace").decode()


def write_table(path: Path, image: str, tables: Iterable[Columns]) -> None:
    """Write a table that is in memory; replaces what is there.

    Parameters
    ----------
    path : Path
        As for `TableFile`.
    image : str
        Name of the image, for the column ``image``.
    tables : iterable of dict
        Arrays of one length by column name, such as one table per slice.

    Raises
    ------
    InputError
        As `TableFile`.
    """
    with TableFile(path, overwrite=True) as table:
        for columns in tables:
            table.add(image, columns)
        table.write()


def check_table(path: Path, overwrite: bool = False) -> None:
    """Check that a table can be written under a name, before any work is done.

    Parameters
    ----------
    path : Path
        Where the table is to be written.
    overwrite : bool
        Whether a file that is no table of objects may be replaced.

    Raises
    ------
    InputError
        If it has another ending, pyarrow is missing, or another file would be lost.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"A table is written as .csv or .parquet, not as {path.name}.")
    if suffix == ".parquet":
        _pyarrow()
    if not path.parent.is_dir():
        raise InputError(f"There is no folder {path.parent} for the table {path.name}.")
    if path.is_dir() or (path.exists() and not overwrite and not is_table(path)):
        raise InputError(
            f"{path} is no table of objects and would be replaced: choose another "
            "name, or add --overwrite."
        )


def is_table(path: Path) -> bool:
    """Whether a file is a table of objects, as this program writes it.

    Parameters
    ----------
    path : Path
        A file of any kind.
    """
    try:
        if path.suffix.lower() == ".parquet":
            header = _pyarrow().read_schema(path).names
        else:
            with path.open(encoding="utf-8", newline="") as stream:
                header = next(csv.reader([stream.readline(65_536)]), [])
    except (ValueError, csv.Error, OSError):
        return False
    return {"image", "label"} <= set(header)


def _read(path: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Header and fields of every row that is whole."""
    if path.suffix.lower() == ".parquet":
        pq = _pyarrow()
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS):
                names = batch.schema.names
                for row in batch.to_pylist():
                    yield names, [_text(row[name]) for name in names]
        return
    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream)
        header = next(rows)
        for row in rows:
            if len(row) == len(header):
                yield header, row


def _to_parquet(source: str, target: Path, header: list[str]) -> None:
    pq = _pyarrow()
    import pyarrow as pa
    from pyarrow import csv as pa_csv

    kinds = {}
    for name in header:
        whole = pa.int64() if _WHOLE.fullmatch(name) else pa.float64()
        kinds[name] = pa.string() if name in _TEXTS else whole
    options = pa_csv.ConvertOptions(column_types=kinds)
    with (
        pa_csv.open_csv(source, convert_options=options) as batches,
        pq.ParquetWriter(target, batches.schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


def _pyarrow() -> ModuleType:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(
            "Parquet needs pyarrow: pip install pyarrow, or write the table as .csv."
        ) from error
    return parquet


def _text(value: Any) -> str:
    """As CSV has it: floats with all their digits, nothing for what is not defined."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value)
