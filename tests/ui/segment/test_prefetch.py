"""The next slice is encoded while the user looks at this one, and nobody notices."""

from __future__ import annotations

import threading

import dask
import dask.array as da
import numpy as np
import pytest
from napari.layers import Image
from napari.utils.notifications import notification_manager

from napari_samsp.data.rgb import Scaling
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.ui.planes import next_plane
from napari_samsp.ui.segment import prefetch as look_ahead
from napari_samsp.utils.paths import embeddings_folder

WAIT_MS = 120_000


@pytest.fixture(autouse=True)
def _one_iteration(widget) -> None:
    widget.segmenting.iterations.setValue(1)


@pytest.fixture
def stack(nuclei) -> np.ndarray:
    """Five slices, all different."""
    image = nuclei[0]
    return np.stack([image[::-1], image, image[:, ::-1], 255 - image, image // 2])


@pytest.fixture
def wait(widget, qtbot):
    """Wait until nothing is encoded any more."""
    ahead = widget.segmenting.ahead
    return lambda: qtbot.waitUntil(lambda: not ahead.running, timeout=WAIT_MS)


@pytest.fixture
def encodings(widget, segment):
    """Segment, and count how often the model's encoder runs for it."""

    def run() -> int:
        seen = []
        encoder = widget.segmenting.run.segmenter.sam.image_encoder
        hook = encoder.trunk.register_forward_pre_hook(
            lambda *_: seen.append(threading.current_thread().name)
        )
        segment()
        hook.remove()
        return len([name for name in seen if name != look_ahead.THREAD])

    return run


def _move(viewer, *steps: int) -> None:
    for step in steps:
        viewer.dims.set_current_step(0, step)


def _kept() -> set[str]:
    """What was ever encoded: each leaves a file."""
    return {path.name for path in embeddings_folder().glob("*")}


def _last_result(viewer):
    return [la for la in viewer.layers if la.name.startswith("SAM-SP ")][-1]


@pytest.mark.parametrize("way", [(0, 1, 2), (4, 3, 2)], ids=["up", "down"])
def test_the_next_slice_needs_no_encoding(viewer, segment, encodings, wait, stack, way):
    begin, first, then = way
    viewer.add_image(stack, scale=(3, 1, 1))
    _move(viewer, begin, first)
    segment()
    wait()
    _move(viewer, then)
    assert encodings() == 0
    shown = _last_result(viewer)
    assert shown.metadata["samsp"]["slice"] == [then, None, None]
    assert np.array_equal(shown.data[0], Segmenter().segment(stack[then], 1)[-1].labels)
    # The one on the other side was left alone.
    _move(viewer, begin)
    assert encodings() > 0


def test_channels_objects_and_tiles_are_those_of_the_next_slice(
    viewer, widget, segment, encodings, wait, stack
):
    tiled = np.tile(np.stack([stack, stack[::-1]], axis=1), (1, 1, 2, 3))
    viewer.add_image(tiled, axis_labels=("z", "c", "y", "x"))
    widget.segmenting.objects.setChecked(True)
    viewer.dims.set_current_step(1, 1)
    _move(viewer, 0, 1)
    segment()
    wait()
    _move(viewer, 2)
    assert encodings() == 0


@pytest.fixture
def slow(stack):
    """A stack that is not read ahead before an event, and the event of its being asked.

    Planes are computed in the thread that asks for them.
    """
    asked, go_on = threading.Event(), threading.Event()

    def read(n: int) -> np.ndarray:
        if threading.current_thread().name == look_ahead.THREAD:
            asked.set()
            assert go_on.wait(60)
        return stack[n]

    planes = [
        da.from_delayed(dask.delayed(read)(n), stack[n].shape, stack.dtype)
        for n in range(len(stack))
    ]
    with dask.config.set(scheduler="synchronous"):
        yield da.stack(planes), asked, go_on
        go_on.set()


def test_segmenting_does_not_wait_for_it(
    viewer, widget, segment, encodings, wait, slow
):
    data, asked, go_on = slow
    viewer.add_image(data, contrast_limits=(0, 255))
    _move(viewer, 0, 1)
    segment()
    assert asked.wait(60)
    kept = _kept()
    _move(viewer, 4)
    segment()  # to its end
    assert widget.segmenting.ahead.running
    go_on.set()
    wait()
    # Slice 2 was given up, and slice 3 was the next then, for it came from below.
    assert len(_kept() - kept) > 0
    _move(viewer, 2)
    assert encodings() > 0


def test_what_is_being_encoded_is_not_encoded_again(
    viewer, widget, encodings, segment, slow
):
    data, asked, go_on = slow
    viewer.add_image(data, contrast_limits=(0, 255))
    _move(viewer, 0, 1)
    segment()
    assert asked.wait(60)
    _move(viewer, 2)
    threading.Timer(0.5, go_on.set).start()
    assert encodings() == 0
    assert _last_result(viewer).metadata["samsp"]["slice"] == [2, None, None]


def test_waiting_for_it_can_be_stopped(viewer, widget, click, segment, qtbot, slow):
    data, asked, _ = slow
    viewer.add_image(data, contrast_limits=(0, 255))
    _move(viewer, 0, 1)
    segment()
    assert asked.wait(60)
    _move(viewer, 2)
    click("samsp_segment")
    run = widget.segmenting.run
    with qtbot.waitSignal(run.ended, timeout=2500):
        run.stop()
    assert "Stopped" in widget.status.text()


@pytest.mark.parametrize("change", ["objects", "scaling", "plane"])
def test_it_is_not_waited_for_in_vain(viewer, widget, segment, slow, change):
    data, asked, go_on = slow
    viewer.add_image(data, contrast_limits=(0, 255))
    _move(viewer, 0, 1)
    segment()
    assert asked.wait(60)
    _move(viewer, 3 if change == "plane" else 2)
    if change == "objects":
        widget.segmenting.objects.setChecked(True)
    elif change == "scaling":
        widget.segmenting.scaling.show_adapter(Scaling("limits", 0, 255))
    segment()  # to its end, before the other may go on
    assert not go_on.is_set()


def test_training_ends_it_and_keeps_it_from_beginning(
    viewer, widget, click, segment, wait, slow
):
    data, asked, go_on = slow
    viewer.add_image(data, contrast_limits=(0, 255))
    segment()
    assert asked.wait(60)
    kept = _kept()
    click("samsp_keep")
    click("samsp_finetune")
    assert widget.finetuning.process.running
    go_on.set()
    wait()
    segment()
    assert not widget.segmenting.ahead.running
    assert _kept() == kept


def test_a_slice_that_cannot_be_segmented_is_passed_over_in_silence(
    viewer, widget, segment, wait, stack
):
    stack[2] = 7
    viewer.add_image(stack, contrast_limits=(0, 255))
    _move(viewer, 0, 1)
    shown = []
    notification_manager.notification_ready.connect(shown.append)
    segment()
    said = widget.status.text()
    wait()
    notification_manager.notification_ready.disconnect(shown.append)
    assert not shown
    assert widget.status.text() == said


@pytest.mark.parametrize(
    ("bound", "value"), [("MOST_PIXELS", 1000), ("FREE_BYTES", 2**60)]
)
def test_large_planes_and_a_full_memory_are_left_alone(
    viewer, segment, wait, stack, monkeypatch, bound, value
):
    monkeypatch.setattr(look_ahead, bound, value)
    viewer.add_image(stack)
    segment()
    kept = _kept()
    wait()
    assert _kept() == kept


def test_all_slices_and_single_images_have_no_next(viewer, widget, segment, stack):
    viewer.add_image(stack[0])
    segment()
    assert not widget.segmenting.ahead.running
    viewer.add_image(stack[:2])
    widget.segmenting.slices.combo.setCurrentIndex(1)
    segment()
    assert widget.segmenting.results.request.stack is not None
    assert not widget.segmenting.ahead.running


@pytest.mark.parametrize(
    ("scale", "at", "direction", "expected"),
    [
        (1, 1, 1, 2),
        (1, 1, -1, 0),
        (1, 4, 1, None),
        (1, 4, 0, 3),
        (1, 0, 0, 1),
        (-1, 1, 1, 0),
    ],
)
def test_next_plane(stack, scale, at, direction, expected):
    layer = Image(stack, scale=(scale, 1, 1))
    found = next_plane(layer, (at, None, None), 0, direction)
    assert found == (None if expected is None else (expected, None, None))
    assert next_plane(layer, (at, None, None), 1, direction) is None
