"""GeoJSON as QuPath writes and reads it: one feature per object, holes included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.data.annotations.json_files import (
    points,
    read_json,
    whole,
    write_json,
)
from napari_samsp.data.annotations.outlines import Outline, Polygon, draw, trace
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import tell

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_DEPTH = 20
"""Levels of collections within collections."""


def read(path: Path, shape: tuple[int, int]) -> np.ndarray:
    """Read the areas of a GeoJSON file.

    Parameters
    ----------
    path : Path
        A feature collection, a list of features, or one.
    shape : tuple of int
        Height and width of the image.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` int32. A feature whose name is a number has that label.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get("features"), list):
        content = content["features"]
    features = content if isinstance(content, list) else [content]
    found, others = [], 0
    for feature in features:
        if not isinstance(feature, dict):
            raise InputError(f"{path} is no GeoJSON: it holds no features.")
        geometry = feature.get("geometry", feature)
        polygons = list(_polygons(path, geometry))
        properties = feature.get("properties")
        name = properties.get("name") if isinstance(properties, dict) else None
        if polygons:
            found.append(Outline(whole(name), polygons))
        else:
            others += 1
    if others:
        tell(f"{path}: {others} features that are no areas are left out.")
    return draw(found, shape)


def write(path: Path, labels: np.ndarray) -> None:
    """Write labels as QuPath's detections.

    Parameters
    ----------
    path : Path
        Ends in ``.geojson``.
    labels : numpy.ndarray
        ``(Y, X)`` integers.
    """
    features = []
    for outline in trace(labels):
        closed = [
            [np.concatenate([ring, ring[:1]]).tolist() for ring in polygon]
            for polygon in outline.polygons
        ]
        one = len(closed) == 1
        features.append(
            {
                "type": "Feature",
                "geometry": {
                    "type": "Polygon" if one else "MultiPolygon",
                    "coordinates": closed[0] if one else closed,
                },
                "properties": {
                    "objectType": "detection",
                    "name": str(outline.label),
                },
            }
        )
    write_json(path, {"type": "FeatureCollection", "features": features})


def _polygons(path: Path, geometry: Any, depth: int = 0) -> Iterator[Polygon]:
    if not isinstance(geometry, dict) or depth > MOST_DEPTH:
        return
    kind, coordinates = geometry.get("type"), geometry.get("coordinates")
    if kind == "Polygon":
        yield _rings(path, coordinates)
    elif kind == "MultiPolygon" and isinstance(coordinates, list):
        for polygon in coordinates:
            yield _rings(path, polygon)
    elif kind == "GeometryCollection":
        parts = geometry.get("geometries")
        for part in parts if isinstance(parts, list) else []:
            yield from _polygons(path, part, depth + 1)


def _rings(path: Path, coordinates: Any) -> Polygon:
    if not isinstance(coordinates, list):
        raise InputError(f"{path} has a polygon without rings.")
    return [points(path, ring) for ring in coordinates]
