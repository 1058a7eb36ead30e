"""How large a pixel is, as the files of images and labels say it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import tifffile

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Of OME-XML and of ImageJ, by the names of OME-Zarr (UDUNITS-2).
SYMBOLS = {
    "angstrom": "Å", "nanometer": "nm", "micrometer": "µm", "millimeter": "mm",
    "centimeter": "cm", "meter": "m", "millisecond": "ms", "second": "s",
    "minute": "min", "hour": "h",
}  # fmt: skip
_NAMES = {symbol: name for name, symbol in SYMBOLS.items()} | {
    "um": "micrometer", "μm": "micrometer", "micron": "micrometer",
    "microns": "micrometer", "\\u00B5m": "micrometer", "sec": "second",
    "inch": "", "pixel": "", "reference frame": "",
}  # fmt: skip


@dataclass(frozen=True)
class VoxelSize:
    """The distance between neighbours along each axis.

    Attributes
    ----------
    scale : dict
        By axis, such as ``{"Z": 2.0, "Y": 0.5, "X": 0.5}``; those that the file tells.
    units : dict
        UDUNITS names, such as ``micrometer``, by axis; those that are known.
    origin : dict
        Where the first pixel lies, by axis, in these units; of OME-Zarr only.
    printed : tuple or None
        A plain TIFF's resolution of columns and rows, and TIFF's number of its unit.
    """

    scale: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    origin: dict[str, float] = field(default_factory=dict)
    printed: tuple[float, float, int] | None = None

    @classmethod
    def of(cls, told: Mapping[str, tuple[Any, Any]]) -> VoxelSize:
        """Make one of scales and units by axis, without those that make no sense."""
        scale, units = {}, {}
        for axis, (value, unit) in told.items():
            try:
                number = float(value)
            except (TypeError, ValueError):
                continue
            if not (math.isfinite(number) and number > 0):
                continue
            scale[axis] = number
            if name := _unit_name(unit):
                units[axis] = name
        return cls(scale, units)

    def as_ome(self, axes: str) -> dict[str, Any]:
        """What tifffile writes to the OME-XML of an image with these axes."""
        found: dict[str, Any] = {}
        for axis in "XYZ":
            if axis in axes and axis in self.scale:
                unit = self.units.get(axis, "")
                found[f"PhysicalSize{axis}"] = self.scale[axis]
                found[f"PhysicalSize{axis}Unit"] = SYMBOLS.get(unit, "pixel")
        if "T" in axes and "T" in self.scale:
            found["TimeIncrement"] = self.scale["T"]
            unit = self.units.get("T", "second")
            found["TimeIncrementUnit"] = SYMBOLS.get(unit, "s")
        return found


def of_tiff(
    file: tifffile.TiffFile, series: tifffile.TiffPageSeries | None = None
) -> VoxelSize:
    """Read the voxel size of an OME-TIFF or of ImageJ's TIFF.

    Parameters
    ----------
    file : tifffile.TiffFile
        Opened. The resolution of other TIFFs is often that of a printer: it is kept,
        and is no voxel size.
    series : tifffile.TiffPageSeries, optional
        The image to read of a file that holds several; default: the first.

    Returns
    -------
    VoxelSize
        Empty if the file tells none.
    """
    if file.is_ome and file.ome_metadata:
        content = tifffile.xml2dict(file.ome_metadata)
        image = content.get("OME", {}).get("Image", {})
        if isinstance(image, list):
            number = file.series.index(series) if series is not None else 0
            image = image[number if number < len(image) else 0]
        pixels = image.get("Pixels", {})
        told = {
            axis: (
                pixels.get(f"PhysicalSize{axis}"),
                pixels.get(f"PhysicalSize{axis}Unit", "µm"),
            )
            for axis in "XYZ"
        }
        time = pixels.get("TimeIncrement"), pixels.get("TimeIncrementUnit", "s")
        return VoxelSize.of({**told, "T": time})
    if not file.is_imagej or file.imagej_metadata is None:
        return VoxelSize(printed=_printed(file))
    said = file.imagej_metadata
    unit = said.get("unit")
    told = {"Z": (said.get("spacing"), unit), "T": (said.get("finterval"), "s")}
    for axis in "XY":
        tag = file.pages.first.tags.get(f"{axis}Resolution")
        if tag is not None and unit and tag.value[0]:
            told[axis] = tag.value[1] / tag.value[0], unit
    return VoxelSize.of(told)


def _printed(file: tifffile.TiffFile) -> tuple[float, float, int] | None:
    tags = file.pages.first.tags
    pair = [tags.get(f"{axis}Resolution") for axis in "XY"]
    if not all(tag is not None and tag.value[0] and tag.value[1] for tag in pair):
        return None
    x, y = (tag.value[0] / tag.value[1] for tag in pair if tag is not None)
    unit = tags.get("ResolutionUnit")
    if unit is None or int(unit.value) not in (2, 3):  # inch, centimetre
        return None
    return x, y, int(unit.value)


def of_ome_zarr(
    axes: Sequence[Mapping[str, Any]], *transforms: Sequence[Mapping[str, Any]]
) -> VoxelSize:
    """Read the voxel size of an OME-Zarr image.

    Parameters
    ----------
    axes : sequence of mapping
        ``axes`` of its ``multiscales``.
    *transforms : sequence of mapping
        The ``coordinateTransformations`` of its first scale, and of all scales.

    Returns
    -------
    VoxelSize
        Empty if it tells none.
    """
    names = [str(axis.get("name", "")).upper() for axis in axes]
    scale, origin = [1.0] * len(names), [0.0] * len(names)
    found = False
    for transform in transforms:
        for step in transform:
            kind = step.get("type")
            values = step.get(kind) if kind in ("scale", "translation") else None
            if not isinstance(values, list) or len(values) != len(names):
                continue
            found = True
            numbers = [float(value) for value in values]
            if kind == "scale":
                scale = [a * b for a, b in zip(scale, numbers, strict=True)]
                origin = [a * b for a, b in zip(origin, numbers, strict=True)]
            else:
                origin = [a + b for a, b in zip(origin, numbers, strict=True)]
    if not found:
        return VoxelSize()
    units = [axis.get("unit") for axis in axes]
    told = dict(zip(names, zip(scale, units, strict=True), strict=True))
    told.pop("C", None)
    lies = {
        axis: place
        for axis, place in zip(names, origin, strict=True)
        if place and math.isfinite(place) and axis in told
    }
    return replace(VoxelSize.of(told), origin=lies)


def _unit_name(unit: Any) -> str:
    text = str(unit or "").strip()
    return text if text in SYMBOLS else _NAMES.get(text, "")
