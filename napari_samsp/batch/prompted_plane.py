"""A plane whose objects are told by a user's points and boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.inference.interactive.cut import Clicks
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_samsp.batch.prompts_file import ObjectPrompt
    from napari_samsp.batch.segment_file import Settings
    from napari_samsp.inference.segmenter import Segmenter


def check_planes(
    prompts: Sequence[ObjectPrompt], planes: Sequence[tuple[int, ...]]
) -> None:
    """See that each prompt is on a plane of the image.

    Raises
    ------
    InputError
        If one is not.
    """
    for prompt in prompts:
        if prompt.plane not in planes:
            place = ", ".join(map(str, prompt.plane)) or "none"
            raise InputError(
                f"A prompt is on slice {place}, which the image does not have; the "
                "axes of the prompts must be those of the image."
            )


def label_prompted(
    segmenter: Segmenter,
    pixels: Any,
    channel_axis: int | None,
    prompts: dict[int, ObjectPrompt],
    settings: Settings,
    out: Any,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write an object a prompt; where two want a pixel, the first keeps it.

    Parameters
    ----------
    segmenter : Segmenter
        The model.
    pixels : array_like
        The plane.
    channel_axis : int or None
        Where its channels are.
    prompts : dict of int to ObjectPrompt
        Of the plane's objects, by label.
    settings : Settings
        How.
    out : array_like
        ``(Y, X)`` integers that take and give windows, all 0.
    progress : callable, optional
        Called with the part that is done, 0 to 1.

    Raises
    ------
    InputError
        If the plane cannot be segmented, or a prompt is outside.
    """
    if channel_axis is not None and channel_axis % len(pixels.shape) != 2:
        pixels = np.moveaxis(np.asarray(pixels), channel_axis, -1)
    image = segmenter.clicked(pixels, settings.objects, settings.tile)
    for n, (label, prompt) in enumerate(prompts.items(), start=1):
        said = Clicks(prompt.points, prompt.inside, prompt.box)
        top, left, bottom, right = said.extent
        height, width = image.shape
        if prompt.box is None:
            inside = top >= 0 and bottom <= height and left >= 0 and right <= width
        else:
            inside = top < height and left < width and bottom > 0 and right > 0
        if not inside:
            raise InputError(
                f"The prompt of object {label} is not in the image of {height} x "
                f"{width} pixels."
            )
        found = image.segment(said, settings.iterations)
        if found:
            window = found.place.window
            there = np.asarray(out[window])
            out[window] = np.where(found.mask & (there == 0), label, there)
        if progress is not None:
            progress(n / len(prompts))
