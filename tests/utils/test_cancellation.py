from __future__ import annotations

import threading

import numpy as np
import pytest

from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.utils.cancellation import interruptible


class _StoppedError(Exception):
    pass


def test_a_forward_pass_ends_in_the_middle(nuclei):
    """Between two blocks of the encoder, not only after an image."""
    segmenter = Segmenter()
    blocks = len(segmenter.sam.image_encoder.blocks)
    asked = 0

    def check():
        nonlocal asked
        asked += 1
        if asked > blocks:
            raise _StoppedError

    decoded = []
    segmenter.sam.mask_decoder.register_forward_pre_hook(lambda *_: decoded.append(1))
    with pytest.raises(_StoppedError), interruptible(segmenter.sam, check):
        segmenter.segment(nuclei[0])
    assert not decoded
    # Nothing of it stays.
    again = segmenter.segment(nuclei[0], 1)[0]
    assert asked == blocks + 1
    assert np.array_equal(again.labels, Segmenter().segment(nuclei[0], 1)[0].labels)


def test_another_thread_goes_on_with_the_same_model(nuclei):
    segmenter = Segmenter()
    expected = segmenter.segment(nuclei[0], 1)[0].labels
    said = []

    def stop():
        raise _StoppedError

    def elsewhere():
        said.append(segmenter.segment(nuclei[0], 1)[0].labels)

    with interruptible(segmenter.sam, stop):
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert np.array_equal(said[0], expected)
