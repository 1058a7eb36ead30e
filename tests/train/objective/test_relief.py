"""What tells touching objects apart is learnt, and read again."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_samsp.self_prompting.instances import cut_at_necks, split_touching
from napari_samsp.train.objective.relief import relief_loss, relief_of


def squares(sides: int, width: int) -> np.ndarray:
    """Two squares that touch, whose outline is a plain rectangle, and a third."""
    labels = np.zeros((sides, sides), np.int64)
    labels[8 : 8 + width, 6 : 6 + width] = 1
    labels[8 : 8 + width, 6 + width : 6 + 2 * width] = 2
    labels[-14:-4, -24:-4] = 3
    return labels


def test_relief_is_deepest_in_the_middle_and_low_at_seams():
    depth, near = relief_of(squares(128, 31), 128)
    assert depth[23, 21] == depth.max() == 1
    assert near[23, 21] == 1
    # Beside the seam as low as at the outer border.
    assert depth[23, 36] == depth[23, 37] == depth[8, 21] < 0.15
    assert depth[0, 0] == near[0, 0] == 0
    assert relief_of(np.zeros((64, 64), np.int64), 32).shape == (2, 32, 32)


@given(st.integers(12, 40), st.sampled_from([64, 128]))
def test_what_is_learnt_takes_apart_what_no_outline_shows(width, size):
    labels = squares(128, width)
    relief = torch.from_numpy(relief_of(labels, size))[None]
    cells = torch.from_numpy(labels[:: 128 // size, :: 128 // size])[None]
    logits = torch.where(cells > 0, 4.0, -4.0)
    parts = split_touching(logits, relief.logit(eps=1e-3))
    assert len(parts.unique()) == 4
    found = {
        tuple(pair)
        for pair in torch.stack([parts, cells], -1)[0].flatten(0, 1).tolist()
    }
    assert sum(a > 0 for a, _ in found) <= 5  # a seam may be a cell off
    assert len(cut_at_necks(logits).unique()) == 3


def test_the_loss_is_least_at_the_truth():
    relief = torch.from_numpy(relief_of(squares(64, 16), 64))[None]
    weight = torch.ones(1, 64, 64)
    logits = relief.logit(eps=1e-3)
    best = relief_loss(logits, relief, weight)
    assert best.shape == (1,)
    for other in (logits + 1, logits - 1, -logits, torch.zeros_like(logits)):
        assert relief_loss(other, relief, weight) > best
    # What lies outside of the weight does not count.
    weight[:, :, 32:] = 0
    changed = logits.clone()
    changed[..., 32:] = 9
    assert torch.equal(
        relief_loss(changed, relief, weight), relief_loss(logits, relief, weight)
    )
