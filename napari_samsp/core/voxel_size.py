"""How large a pixel is, as the files of images and labels say it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
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
    """

    scale: dict[str, float] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, told: Mapping[str, tuple[Any, Any]]) -> VoxelSize:
        """Keep what makes sense of scales and units by axis."""
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


def of_tiff(file: tifffile.TiffFile) -> VoxelSize:
    """Read the voxel size of an OME-TIFF or of ImageJ's TIFF.

    Parameters
    ----------
    file : tifffile.TiffFile
        Opened. The resolution of other TIFFs is that of a printer, and is left alone.

    Returns
    -------
    VoxelSize
        Empty if the file tells none.
    """
    if file.is_ome and file.ome_metadata:
        content = tifffile.xml2dict(file.ome_metadata)
        image = content.get("OME", {}).get("Image", {})
        pixels = (image[0] if isinstance(image, list) else image).get("Pixels", {})
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
        return VoxelSize()
    said = file.imagej_metadata
    unit = said.get("unit")
    told = {"Z": (said.get("spacing"), unit), "T": (said.get("finterval"), "s")}
    for axis in "XY":
        tag = file.pages.first.tags.get(f"{axis}Resolution")
        if tag is not None and unit and tag.value[0]:
            told[axis] = tag.value[1] / tag.value[0], unit
    return VoxelSize.of(told)


def of_ome_zarr(
    axes: Sequence[Mapping[str, Any]], *transforms: Sequence[Mapping[str, Any]]
) -> VoxelSize:
    """Read the voxel size of an OME-Zarr image.

    Parameters
    ----------
    axes : sequence of mapping
        Of its ``multiscales``.
    *transforms : sequence of mapping
        The ``coordinateTransformations`` of its first scale, and of all scales.

    Returns
    -------
    VoxelSize
        Empty if it tells none.
    """
    names = [str(axis.get("name", "")).upper() for axis in axes]
    scale = [1.0] * len(names)
    found = False
    for transform in transforms:
        for step in transform:
            values = step.get("scale") or ()
            if step.get("type") == "scale" and len(values) == len(names):
                scale = [a * float(b) for a, b in zip(scale, values, strict=True)]
                found = True
    if not found:
        return VoxelSize()
    units = [axis.get("unit") for axis in axes]
    told = dict(zip(names, zip(scale, units, strict=True), strict=True))
    told.pop("C", None)
    return VoxelSize.of(told)


def _unit_name(unit: Any) -> str:
    text = str(unit or "").strip()
    return text if text in SYMBOLS else _NAMES.get(text, "")
