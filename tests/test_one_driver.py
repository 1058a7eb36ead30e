"""The widget and ``predict`` give the same labels, to the pixel."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel

from napari_samsp import predict
from napari_samsp.train import __main__ as train
from napari_samsp.ui.widget import SamSpWidget
from napari_samsp.utils.paths import corrections_folder

WAIT_MS = 120_000


@pytest.fixture
def stack(nuclei) -> np.ndarray:
    """Three slices, (3, 96, 160): one, a dim copy, and a blank one with noise."""
    image, _ = nuclei
    rng = np.random.default_rng(0)
    blank = rng.normal(30, 3, image.shape).clip(0, 255).astype(np.uint8)
    return np.stack([image, image // 5, blank])


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


@pytest.fixture
def widget(viewer, qtbot) -> SamSpWidget:
    made = SamSpWidget(viewer)
    qtbot.addWidget(made)
    return made


def in_the_widget(
    qtbot, viewer, widget, stack, adapter=None, same_limits=True
) -> np.ndarray:
    panel = widget.segmenting
    viewer.add_image(stack, name="stack")
    if adapter is not None:
        panel.adapter.refresh()
        panel.adapter.choose(adapter)
        assert panel.adapter.adapter is not None
    panel.objects.setChecked(True)
    panel.iterations.setValue(2)
    panel.scaling.same.setChecked(same_limits)
    panel.slices.combo.setCurrentIndex(panel.slices.combo.count() - 1)
    with qtbot.waitSignal(panel.run.ended, timeout=WAIT_MS):
        panel.segment_button.click()
    return np.asarray(viewer.layers[-1].data)


def by_command(folder, stack, *options) -> np.ndarray:
    tifffile.imwrite(folder / "stack.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    arguments = [str(folder / "stack.tif"), "--output", str(folder / "labels")]
    assert predict.main([*arguments, "--iterations", "2", "--objects", *options]) == 0
    return tifffile.imread(folder / "labels" / "stack.tif")


def test_a_dim_and_a_blank_slice(qtbot, tmp_path, viewer, widget, stack) -> None:
    shown = in_the_widget(qtbot, viewer, widget, stack)
    assert np.array_equal(shown, by_command(tmp_path, stack))
    assert shown[0].max() == 6
    assert not shown[2].any()


def test_limits_of_each_slice(qtbot, tmp_path, viewer, widget, stack) -> None:
    shown = in_the_widget(qtbot, viewer, widget, stack, same_limits=False)
    assert np.array_equal(shown, by_command(tmp_path, stack, "--limits", "slice"))
    assert shown[1].any()


def test_an_adapter_made_from_corrections_of_the_stack(
    qtbot, tmp_path, viewer, widget, stack
) -> None:
    in_the_widget(qtbot, viewer, widget, stack)
    widget.correcting.keep_button.click()
    run = tmp_path / "run"
    corrections = str(corrections_folder())
    train.main([corrections, "--output", str(run), "--objects", "--steps", "2"])
    shown = in_the_widget(qtbot, viewer, widget, stack, run / "adapter")
    found = by_command(tmp_path, stack, "--adapter", str(run / "adapter"))
    assert np.array_equal(shown, found)
