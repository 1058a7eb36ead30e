"""Maps are brought to full size where they are positive only."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from napari_samsp.self_prompting.full_size import full_size
from napari_samsp.self_prompting.letterbox import fit, logits_to_image, stretch

shapes = st.tuples(st.integers(1, 300), st.integers(1, 300))


@settings(max_examples=40)
@given(shape=shapes, side=st.sampled_from([8, 16]), seed=st.integers(0, 99))
def test_two_matrices_are_the_interpolation(shape, side, seed):
    logits = torch.randn(1, side, side, generator=torch.Generator().manual_seed(seed))
    size = 4 * side
    valid = fit(shape, size)
    rows, cols = (stretch(side, size, *p) for p in zip(valid, shape, strict=True))
    assert torch.allclose(
        rows @ logits[0] @ cols.mT,
        logits_to_image(logits, size, valid, shape)[0],
        atol=1e-4,
    )


@settings(max_examples=60)
@given(
    shape=shapes,
    count=st.integers(0, 6),
    smooth=st.sampled_from([1, 3, 5]),
    offset=st.sampled_from([-1.0, 0.0, 1.0]),
    seed=st.integers(0, 999),
)
def test_labels_are_those_of_all_maps_at_full_size(shape, count, smooth, offset, seed):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 16, 16, generator=generator)
    maps = F.avg_pool2d(noise[:, None], smooth, 1, smooth // 2)[:, 0] * smooth
    # Each has its own part, also beyond the padding, and some are nowhere positive.
    parts = torch.rand(count, 2, 1, generator=generator) * 16
    cells = torch.arange(16)
    inside = ((cells - parts).abs() < 5).float()
    maps = maps + offset - 6 * (1 - inside[:, 0, :, None] * inside[:, 1, None, :])
    valid = fit(shape, 64)
    best, which = full_size(maps, 64, valid, shape)
    if count == 0:
        assert (best == -32).all() and not which.any()
        return
    values, index = logits_to_image(maps, 64, valid, shape).max(0)
    assert (which > 0).equal(best > 0)
    clear = values.abs() > 1e-4
    assert torch.equal((which > 0)[clear], (values > 0)[clear])
    positive = clear & (values > 0)
    assert torch.allclose(best[positive], values[positive], atol=1e-4)
    second = logits_to_image(maps, 64, valid, shape).sort(0).values[-2:]
    sure = positive & (second[-1] - second[0] > 1e-4 if count > 1 else True)
    assert torch.equal(which[sure], (index + 1)[sure].int())
    # Of the background only the sign is exact, and it never hides the truth.
    assert (best[~(which > 0)] >= values[~(which > 0)] - 1e-4).all()
