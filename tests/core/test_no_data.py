"""Where an image has no data there is no foreground."""

from __future__ import annotations

import numpy as np

from napari_samsp.core.inference import Iteration
from napari_samsp.core.no_data import cleared, missing


def test_foreground_is_taken_away_where_there_is_no_data():
    image = np.ones((6, 9, 2), np.float32)
    image[1, :, 0] = np.nan
    nothing = missing(image)
    assert nothing is not None
    ones = np.ones((6, 9), np.int32)
    step = Iteration(ones, ones.astype(np.float32), None, 1.0, None, 0.0, 0, 1)
    (found,) = cleared([step], nothing)
    assert not found.labels[1].any()
    assert (found.logits[1] < 0).all()
    assert np.delete(found.labels, 1, 0).all()
    assert found.labels.dtype == np.int32
    assert missing(np.ones((6, 9))) is None
    assert missing(np.ones((6, 9), np.uint8)) is None
    assert np.array_equal(missing(np.moveaxis(image, -1, 0), 0), nothing)
