"""The last layer, fitted to clicks, says what they say, also where no click is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_samsp.sam.architecture import Architecture, build_sam
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.self_prompting.prompts import Prompt
from napari_samsp.self_prompting.refitting import decode_with_features, refitted
from napari_samsp.utils.errors import InputError


@pytest.fixture(scope="module")
def scene() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of a model that knows the left of a stripe, and features that show it."""
    torch.manual_seed(0)
    stripe = torch.zeros(24, 40, dtype=torch.bool)
    stripe[8:16, 4:36] = True
    features = torch.randn(24, 40, 6)
    features[..., 2] += 4 * stripe
    logits = torch.full((24, 40), -6.0)
    logits[8:16, 4:18] = 6.0
    return logits, features


def test_what_looks_like_the_clicked_place_follows(scene):
    logits, features = scene
    clicked = torch.zeros(24, 40, dtype=torch.bool)
    clicked[9:15, 20:30] = True
    said = refitted(logits, features, (logits > 0) | clicked, clicked) > 0
    assert said[clicked].all()
    assert said[8:16, 4:18].float().mean() > 0.9  # what was right stays
    beyond = said[8:16, 30:36].float().mean()
    assert beyond > 0.5
    outside = torch.ones_like(said)
    outside[8:16, 4:36] = False
    assert said[outside].float().mean() < 0.05


def test_a_click_outside_takes_away_what_looks_like_it(scene):
    logits, features = scene
    logits = logits.clone()
    logits[8:20, 4:36] = 6.0  # runs over the stripe's lower side
    clicked = torch.zeros(24, 40, dtype=torch.bool)
    clicked[17:19, 10:24] = True
    said = refitted(logits, features, (logits > 0) & ~clicked, clicked) > 0
    assert not said[clicked].any()
    assert said[8:16, 4:36].float().mean() > 0.9
    assert said[16:20, 24:36].float().mean() < 0.5


@settings(max_examples=30)
@given(
    rows=st.integers(1, 12),
    columns=st.integers(1, 12),
    channels=st.integers(1, 9),
    seed=st.integers(0, 99),
    constant=st.booleans(),
)
def test_clicked_cells_are_as_said_whatever_the_features(
    rows, columns, channels, seed, constant
):
    torch.manual_seed(seed)
    features = torch.randn(rows, columns, channels)
    if constant:
        features[..., 0] = 1.5
    logits = 20 * torch.randn(rows, columns)
    clicked = torch.rand(rows, columns) < 0.3
    target = (logits > 0) ^ clicked
    said = refitted(logits, features, target, clicked)
    assert said.isfinite().all()
    assert torch.equal((said > 0)[clicked], target[clicked])


def model(grid: int = 5) -> SelfPrompting:
    sam = build_sam(Architecture(8 * grid, 8, 16, 1, 2, (0,), 2, 32, 32))
    return SelfPrompting(sam.eval())


@torch.no_grad()
def test_its_features_are_those_of_the_mask_that_is_decoded():
    torch.manual_seed(1)
    ours, embeddings = model(), torch.randn(1, 32, 5, 5)
    points, labels = torch.tensor([[[9.0, 30.0]]]), torch.ones(1, 1)
    prompt = Prompt(None, points, torch.randn(1, 1, 20, 20), labels)
    found, features = decode_with_features(ours, embeddings, prompt)
    plain = ours.decode(embeddings, torch.zeros(1, dtype=torch.int64), prompt)
    assert torch.allclose(found.logits, plain.logits, atol=1e-4)
    assert torch.allclose(found.scores, plain.scores, atol=1e-5)
    # A product of the features: a line through them explains the logits.
    flat = features.flatten(0, 1)
    weights = torch.linalg.lstsq(flat.double(), found.logits.view(-1, 1).double())
    explained = flat.double() @ weights.solution
    assert torch.allclose(explained, found.logits.view(-1, 1).double(), atol=1e-3)


@torch.no_grad()
def test_weights_that_are_damaged_are_named():
    ours = model()
    ours.sam.mask_decoder.mask_tokens.weight.fill_(torch.nan)
    prompt = Prompt(boxes=torch.tensor([[3.0, 5.0, 20.0, 30.0]]))
    with pytest.raises(InputError, match="not finite"):
        decode_with_features(ours, torch.randn(1, 32, 5, 5), prompt)
