"""ImageJ's ROIs: a zip file of outlines, as its ROI Manager saves and opens it."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy as np
from roifile import ROI_TYPE, ImagejRoi

from napari_samsp.data.annotations.json_files import whole
from napari_samsp.data.annotations.outlines import Outline, Polygon, draw, trace
from napari_samsp.data.image_files import unreadable
from napari_samsp.utils.atomic_files import written_beside
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import tell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_ROIS = 1_000_000
MOST_BYTES = 500_000_000
"""Unpacked size of all ROIs: a zip file can claim much more than it takes."""
MOST_COORDINATE = 32_767
"""Beyond it, ImageJ's whole numbers of 16 bits wrap around."""
AREAS = (
    ROI_TYPE.POLYGON,
    ROI_TYPE.FREEHAND,
    ROI_TYPE.TRACED,
    ROI_TYPE.RECT,
    ROI_TYPE.OVAL,
)
_MOVE, _LINE, _CLOSE = 0, 1, 4


def read(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Read ROIs that are areas.

    Parameters
    ----------
    path : Path
        ``.zip`` of the ROI Manager, or a single ``.roi``.
    shape : tuple of int
        Height and width of the image.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` int32. ROIs whose names are numbers have these as labels.

    Raises
    ------
    InputError
        If it cannot be read, or unpacks to more than `MOST_BYTES`.
    """
    found, others = [], 0
    try:
        for name, data in _entries(path):
            roi = ImagejRoi.frombytes(data)
            if roi.roitype not in AREAS:
                others += 1
                continue
            found.append(Outline(whole((roi.name or name).strip()), [_rings(roi)]))
    except InputError:
        raise
    except Exception as error:  # zipfile and roifile raise many kinds
        raise unreadable(path, error, "ImageJ's ROIs") from error
    if others:
        tell(f"{path}: {others} ROIs that are no areas, such as lines, are left out.")
    return draw(found, shape)


def write(path: Path, labels: np.ndarray) -> None:
    """Write labels as ROIs that are named by their numbers.

    Parameters
    ----------
    path : Path
        Ends in ``.zip``.
    labels : numpy.ndarray
        ``(Y, X)`` integers.
    """
    with (
        written_beside(path) as place,
        zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as file,
    ):
        for outline in trace(labels):
            roi = _roi(outline)
            roi.name = str(outline.label)
            file.writestr(f"{roi.name}.roi", roi.tobytes())


def _entries(path: Path) -> Iterator[tuple[str, bytes]]:
    if path.suffix.lower() != ".zip":
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is too large for a ROI.")
        yield path.stem, path.read_bytes()
        return
    with zipfile.ZipFile(path) as file:
        entries = [e for e in file.infolist() if e.filename.lower().endswith(".roi")]
        if not entries:
            raise InputError(f"{path} holds no ROIs of ImageJ (.roi).")
        total = sum(entry.file_size for entry in entries)
        if total > MOST_BYTES or len(entries) > MOST_ROIS:
            raise InputError(
                f"{path} unpacks to {len(entries):,} ROIs of {total:,} bytes, more "
                "than is read: split it."
            )
        for entry in entries:
            # At most the size that it claims, which is checked above.
            name = entry.filename.rpartition("/")[2]
            yield name[: -len(".roi")], file.read(entry)


def _rings(roi: ImagejRoi) -> Polygon:
    rings = roi.coordinates(multi=True)
    return [np.asarray(ring, np.float64) for ring in rings]


def _roi(outline: Outline) -> ImagejRoi:
    rings = [ring for polygon in outline.polygons for ring in polygon]
    corners = np.concatenate(rings)
    left, top = corners.min(axis=0)
    right, bottom = corners.max(axis=0)
    simple = len(rings) == 1 and corners.max() <= MOST_COORDINATE
    roi = ImagejRoi(
        roitype=ROI_TYPE.TRACED if simple else ROI_TYPE.RECT,
        top=int(top),
        left=int(left),
        bottom=int(bottom),
        right=int(right),
    )
    if simple:
        roi.n_coordinates = len(corners)
        roi.integer_coordinates = (corners - (left, top)).astype(np.int32)
        return roi
    path: list[float] = []
    for ring in rings:
        for n, (x, y) in enumerate(ring.tolist()):
            path += [_LINE if n else _MOVE, x, y]
        path.append(_CLOSE)
    roi.multi_coordinates = np.array(path, np.float32)
    roi.shape_roi_size = len(path)
    return roi
