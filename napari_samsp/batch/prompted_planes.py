"""Planes whose objects are told by a user's points and boxes."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.batch.prompts_file import PromptsFile
from napari_samsp.data.plane_view import PlaneView
from napari_samsp.inference.interactive.cut import Clicks
from napari_samsp.utils.errors import ConstantImageError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from napari_samsp.batch.job import Settings
    from napari_samsp.batch.prompts_file import ObjectPrompt
    from napari_samsp.inference.planes import PlaneSource
    from napari_samsp.inference.segmenter import Segmenter


def label_prompted(
    segmenter: Segmenter,
    source: PlaneSource,
    file: Path,
    settings: Settings,
    labels: Any,
    progress: Callable[[float], None] | None = None,
) -> None:
    """Write one object per prompt; where two want a pixel, the first keeps it.

    Parameters
    ----------
    segmenter : Segmenter
        The model that segments the prompted objects.
    source : PlaneSource
        The planes of the image.
    file : Path
        The image, which the prompts name.
    settings : Settings
        With a file of prompts.
    labels : array_like
        Integers of the planes' axes, all 0; numpy, zarr or the like.
    progress : callable, optional
        Called with the part that is done, 0 to 1.

    Raises
    ------
    InputError
        If a plane cannot be segmented, or a prompt is outside of the image.
    """
    assert settings.prompts is not None
    prompts = PromptsFile(Path(settings.prompts)).of(file)
    planes = source.planes
    _check_planes(prompts, planes)
    done = 0
    for plane in planes:
        mine = {
            label: prompt
            for label, prompt in enumerate(prompts, start=1)
            if prompt.plane == tuple(plane)
        }
        # What is blank in a stack has no objects.
        with suppress(*[ConstantImageError] if len(planes) > 1 else []):
            _label_plane(
                segmenter, source.open(plane), mine, settings, PlaneView(labels, plane)
            )
        done += len(mine)
        if progress is not None:
            progress(done / max(len(prompts), 1))


def _check_planes(
    prompts: Sequence[ObjectPrompt], planes: Sequence[tuple[int | None, ...]]
) -> None:
    for prompt in prompts:
        if prompt.plane not in planes:
            place = ", ".join(map(str, prompt.plane)) or "none"
            raise InputError(
                f"A prompt is on slice {place}, which the image does not have; the "
                "axes of the prompts must be those of the image."
            )


def _label_plane(
    segmenter: Segmenter,
    pixels: Any,
    prompts: dict[int, ObjectPrompt],
    settings: Settings,
    out: PlaneView,
) -> None:
    image = segmenter.clicked(
        pixels, settings.objects, settings.tile, object_size=settings.object_size
    )
    for label, prompt in prompts.items():
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
