"""Self-prompting without a step that leaves torch gives what self-prompting gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_samsp.data.rgb import to_rgb8
from napari_samsp.sam.adapters.class_tokens import add_class_tokens
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.sample_data import lesion
from napari_samsp.self_prompting import instances
from napari_samsp.self_prompting.letterbox import logits_to_image, to_model_input
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.self_prompting.traceable import (
    PromptFree,
    _components,
    without_specks,
)
from napari_samsp.utils.errors import InputError


def snake(side: int) -> np.ndarray:
    """One cell wide, through every other row: the longest way from end to end."""
    image = np.zeros((side, side), bool)
    image[::2] = True
    turns = np.arange(1, side - 1, 2)
    image[turns, np.where(np.arange(len(turns)) % 2, 0, side - 1)] = True
    return image


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.integers(2, 48))
def test_specks_are_those_of_skimage(seed, share, side):
    foreground = np.random.default_rng(seed).random((3, side, side)) < share
    cells = torch.from_numpy(foreground)
    assert torch.equal(without_specks(cells), instances.without_specks(cells))


@pytest.mark.parametrize("turned", [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_a_snake_through_the_whole_grid_is_one_part(turned):
    image = snake(256)[:: turned[0], :: turned[1]].copy()
    for one in (image, image.T.copy()):
        cells = torch.from_numpy(one)[None]
        assert len(_components(cells)[cells.flatten(1)].unique()) == 1


@pytest.mark.parametrize("kind", ["box", "mask", "box+mask"])
@pytest.mark.parametrize("classes", [0, 2])
def test_its_logits_are_those_of_self_prompting(kind, classes):
    sam = load_sam("samsp_small").sam.eval()
    torch.manual_seed(0)
    add_class_tokens(sam, classes)
    picture = to_rgb8(lesion()[0][0])[40:220]
    pixels, valid = to_model_input(picture, 256)
    height, width = (int(side) for side in valid)
    assert height != width
    with torch.no_grad():
        steps = SelfPrompting(sam, kind)(pixels[None], valid[None], 3)
        expected = logits_to_image(
            steps[-1].logits, 256, (height, width), (height, width)
        )
        colours = pixels * torch.tensor([58.395, 57.12, 57.375])[:, None, None]
        colours = colours + torch.tensor([123.675, 116.28, 103.53])[:, None, None]
        given = colours[None, :, :height, :width]
        found = PromptFree(sam, kind, 3)(given)
    assert (steps[-1].logits - steps[0].logits).abs().max() > 0.1
    torch.testing.assert_close(found[0], expected, atol=1e-3, rtol=0)


def test_points_are_refused():
    sam = load_sam("samsp_small").sam
    with pytest.raises(InputError, match="box and mask"):
        PromptFree(sam, "points+mask", 2)
    PromptFree(sam, "points", 1)  # nothing is handed on
