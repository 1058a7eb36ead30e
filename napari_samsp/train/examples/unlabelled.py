"""Images without masks, which a run may also learn from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xxhash

from napari_samsp.data.folders.image_listing import find_images
from napari_samsp.data.image_source import is_large, open_image
from napari_samsp.data.rgb import to_rgb8
from napari_samsp.train.examples.example import Example
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from napari_samsp.data.rgb import Scaling

MOST_IMAGES = 100
"""Images that are kept in memory; of more, so many are taken, evenly spread."""


def read_unlabelled(
    folder: Path, scaling: Scaling, labelled: Collection[Example]
) -> tuple[list[Example], list[str]]:
    """Read and scale the images of a folder, and the planes of its stacks.

    Parameters
    ----------
    folder : Path
        A folder, a file or a pattern, as ``predict`` takes them.
    scaling : Scaling
        How the run scales intensities.
    labelled : collection of Example
        The images with masks, which are left out here.

    Returns
    -------
    list of Example
        At most `MOST_IMAGES`, with labels of nothing.
    list of str
        What is wrong with those that cannot be used.

    Raises
    ------
    InputError
        If none can be used.
    """
    known = {_digest(example.image) for example in labelled}
    found, unusable = [], []
    paths = list(find_images([str(folder)]).items())
    for name, path in paths[:: -(-len(paths) // MOST_IMAGES)]:
        try:
            for plane_name, image in _planes(name, path, scaling):
                if _digest(image) not in known:
                    nothing = np.zeros(image.shape[:2], np.int32)
                    found.append(Example(plane_name, image, nothing))
        except InputError as error:
            unusable.append(f"{name}: {error}")
    if not found:
        why = unusable[0] if unusable else "all of them are in the training set."
        raise InputError(f"No image in {folder} can be used without a mask: {why}")
    return found[:: -(-len(found) // MOST_IMAGES)], unusable


def _planes(
    name: str, path: Path, scaling: Scaling
) -> Iterator[tuple[str, np.ndarray]]:
    with open_image(path) as stored:
        planes = stored.planes()
        for index in planes[:: -(-len(planes) // MOST_IMAGES)]:
            plane, channel_axis = stored.plane(index)
            if is_large(plane.shape[:2]):
                raise InputError("the image is too large to learn from: cut it.")
            image = to_rgb8(np.asarray(plane), channel_axis, scaling)
            yield f"{name} {index}" if index else name, image


def _digest(image: np.ndarray) -> bytes:
    return xxhash.xxh3_128_digest(np.ascontiguousarray(image).data)
