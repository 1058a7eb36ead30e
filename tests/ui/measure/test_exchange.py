"""Labels go to other programs and come back."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samsp.ui.measure.exchange import FORMATS

WAIT_MS = 30_000


@pytest.fixture
def exchange(widget):
    return widget.measuring.exchange


@pytest.fixture
def wait(qtbot, exchange):
    def run(work, *args):
        with qtbot.waitSignal(exchange.ended, timeout=WAIT_MS):
            work(*args)

    return run


def ending(form: str) -> str:
    return FORMATS[form].rpartition("*")[2].rstrip(")")


@pytest.mark.parametrize("form", FORMATS)
def test_a_round_trip_keeps_every_object(
    viewer, widget, exchange, wait, nuclei, tmp_path, form
):
    image, labels = nuclei
    placed = {"scale": (0.5, 0.5), "rotate": 30, "translate": (7, 2)}
    shown = viewer.add_image(image, name="cells", **placed)
    viewer.add_labels(labels, name="mask", **placed)
    assert exchange.export_button.isEnabled()
    path = tmp_path / f"cells{ending(form)}"
    wait(exchange.export, path, form)
    assert path.is_file()
    assert widget.measuring.message.text() == f"Exported as {path}."
    wait(exchange.read, path)
    back = viewer.layers[-1]
    assert back.name == "cells · cells"
    np.testing.assert_allclose(back.data_to_world((3, 5)), shown.data_to_world((3, 5)))
    assert len(np.unique(back.data)) == 7
    agree = (back.data > 0) & (labels > 0)
    assert agree.sum() / ((back.data > 0) | (labels > 0)).sum() > 0.9
    # It is a correction like any other.
    widget.correcting.labels.choose(back)
    widget.correcting.keep_button.click()
    (sample,) = widget.correcting.training_set.samples()
    assert np.array_equal(sample.read()[1], back.data)


def test_of_a_stack_the_shown_slice(viewer, exchange, wait, nuclei, tmp_path):
    image, labels = nuclei
    viewer.add_image(np.stack([image, image[::-1]]), name="stack")
    viewer.add_labels(np.stack([labels, labels[::-1]]), name="mask")
    viewer.dims.set_current_step(0, 1)
    wait(exchange.export, tmp_path / "a.png", "png")
    wait(exchange.read, tmp_path / "a.png")
    back = viewer.layers[-1]
    assert back.data.shape == (1, 96, 160)
    assert np.array_equal(back.data[0], labels[::-1])
    assert back.data_to_world((0, 0, 0))[0] == 1


def test_labels_of_another_image_are_refused(
    viewer, widget, exchange, wait, nuclei, tmp_path
):
    image, labels = nuclei
    viewer.add_image(image, name="cells")
    viewer.add_labels(labels)
    wait(exchange.export, tmp_path / "a.tif", "tiff")
    viewer.add_image(image[:50], name="smaller")
    wait(exchange.read, tmp_path / "a.tif")
    said = widget.measuring.message.text()
    assert said == "The labels of a.tif are 96 x 160 pixels, but smaller is 50 x 160."
    (tmp_path / "b.tif").write_bytes(b"no image")
    wait(exchange.read, tmp_path / "b.tif")
    assert "b.tif" in widget.measuring.message.text()
    assert [layer.name for layer in viewer.layers][-1] == "smaller"


def test_a_disk_that_refuses_is_told(viewer, widget, exchange, wait, nuclei, tmp_path):
    viewer.add_image(nuclei[0])
    viewer.add_labels(nuclei[1])
    wait(exchange.export, tmp_path / "gone" / "a.tif", "tiff")
    assert "gone" in widget.measuring.message.text()
