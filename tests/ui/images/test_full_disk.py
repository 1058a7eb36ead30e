"""A disk that refuses stops nobody for good: it is said, and no work is lost."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from napari_samsp.data.image_files import read_labels
from napari_samsp.ui.images import drafts
from napari_samsp.ui.images.image_list import State
from napari_samsp.utils.paths import images_folder


@contextmanager
def full_disk():
    """No file may have more than some bytes: the kernel's own refusal."""
    resource = pytest.importorskip("resource", reason="Windows has no such limits")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(drafts, "RETRY_MS", 300)


def test_no_image_is_to_blame_and_it_goes_on_when_there_is_room(bench, folder):
    bench.open_folder(folder)
    with full_disk():
        bench.click("samsp_next")
        bench.wait(lambda: "not allowed there" in bench.said)
        assert bench.names == ["a"]
        bench.click("samsp_next")
        bench.wait(lambda: bench.names == ["b"] and "not allowed there" in bench.said)
        bench.wait(lambda: not bench.control.background.running)
    assert bench.states() == [State.NEW] * 4
    bench.click("samsp_previous")
    bench.at("a")


def test_edits_stay_in_memory_until_they_can_be_stored(bench, folder):
    bench.open_folder(folder)
    bench.click("samsp_segment_all")
    bench.wait(lambda: bench.states() == [State.SEGMENTED] * 4)
    bench.click("samsp_next")
    bench.at("a")
    bench.ahead()
    with full_disk():
        data = bench.labels.data
        bench.labels.data_setitem((np.full(9, 3), np.arange(9)), int(data.max()) + 1)
        edited = bench.labels.data.copy()
        bench.wait(lambda: "not stored yet" in bench.said)
        bench.click("samsp_next")
        bench.at("b")
        assert "not stored yet" in bench.said
        bench.click("samsp_previous")
        bench.at("a")
        assert np.array_equal(bench.labels.data, edited)
        assert not list(images_folder().rglob("*.draft.tif"))
    bench.wait(lambda: bool(list(images_folder().rglob("*.draft.json"))))
    (stored,) = images_folder().rglob("*.draft.tif")
    assert np.array_equal(read_labels(stored), edited)
    bench.wait(lambda: bench.said == "The edits of a are stored now.")


def test_keep_and_next_that_cannot_keep_says_so_in_the_list(bench, folder):
    bench.open_folder(folder)
    bench.click("samsp_next")
    bench.at("a")
    bench.ahead()
    place = bench.widget.correcting.training_set.folder
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text("a file in the way")
    bench.click("samsp_keep_next")
    assert bench.said == bench.widget.correcting.message.text() != ""
    assert bench.names[0] == "a"
