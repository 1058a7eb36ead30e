"""Take the documentation's pictures from the running program.

    python scripts/screenshots.py [--output docs/images] [--epochs 12]

Opens napari (a virtual screen of 1600 x 1200 will do), walks through the tutorial with
the bundled sample, and saves a PNG of the window at each step. What a person would
paint is taken from a threshold and a watershed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton, QScrollArea
from scipy import ndimage
from skimage import feature, filters, measure, segmentation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
SIZE = (1400, 1000)
COLOURS = 255
MOST_BYTES = 300_000
SETTLE_MS = 1500
"""Until the canvas and the dock are drawn again."""
LEAST_DISTANCE = 7
"""Pixels between the middles of two nuclei of the sample."""
LEAST_AREA = 60
"""In pixels; what is smaller is dirt."""
GOOD_ENOUGH = 0.9
"""A predicted object of this IoU is left as it is."""


def by_hand(image: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """What a person makes of a prediction: mends what is wrong, leaves the rest.

    Parameters
    ----------
    image : numpy.ndarray
        ``(Y, X)``, bright objects.
    predicted : numpy.ndarray
        ``(Y, X)`` labels.

    Returns
    -------
    numpy.ndarray
        ``(Y, X)`` labels.
    """
    smooth = filters.gaussian(image, 1, preserve_range=True)
    inside = smooth > filters.threshold_otsu(smooth)
    depth = filters.gaussian(ndimage.distance_transform_edt(inside), 1)
    peaks = feature.peak_local_max(
        depth, min_distance=LEAST_DISTANCE, labels=measure.label(inside)
    )
    seeds = np.zeros(image.shape, int)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    objects = segmentation.watershed(-depth, seeds, mask=inside)
    mended = np.zeros_like(predicted)
    for label in range(1, objects.max() + 1):
        true = objects == label
        if np.count_nonzero(true) < LEAST_AREA:
            continue
        said = predicted == np.bincount(predicted[true]).argmax()
        iou = np.count_nonzero(true & said) / np.count_nonzero(true | said)
        mended[said if iou > GOOD_ENOUGH else true] = label
    return mended


class Tour:
    """The tutorial's steps.

    Parameters
    ----------
    output : Path
        Folder of the pictures.
    epochs : int
        Of the fine-tuning.
    """

    def __init__(self, output: Path, epochs: int) -> None:
        self.output, self.epochs = output, epochs
        self.viewer = napari.Viewer()
        self.viewer.window.resize(*SIZE)
        _, self.widget = self.viewer.window.add_plugin_dock_widget(
            "napari-samsp", "SAM-SP"
        )
        self.going = self.steps()
        QTimer.singleShot(SETTLE_MS, self.go_on)

    def go_on(self, *_: object) -> None:
        """Take the next step; not from within the slot that told of the last one."""
        QTimer.singleShot(0, self.take_step)

    def take_step(self) -> None:
        """Do what is next; an exception in a slot would leave napari open for ever."""
        try:
            next(self.going, self.viewer.close)()
        except Exception:
            traceback.print_exc()
            os._exit(1)

    def press(self, name: str) -> None:
        """Press a button of the widget, which must be enabled."""
        button = self.widget.findChild(QPushButton, name)
        assert button is not None and button.isEnabled(), f"{name} cannot be pressed"
        button.click()

    def settle(self) -> None:
        """Go on once everything is drawn."""
        QTimer.singleShot(SETTLE_MS, self.go_on)

    def save(self, name: str) -> None:
        """Save the window; with few colours if it would be large."""
        pixels = self.viewer.window.screenshot(canvas_only=False, flash=False)
        picture = Image.fromarray(pixels).convert("RGB")
        path = self.output / f"{name}.png"
        picture.save(path, optimize=True)
        if path.stat().st_size > MOST_BYTES:
            picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path)
        size = path.stat().st_size
        print(f"{path}: {picture.width} x {picture.height}, {size / 1e3:.0f} kB")
        assert size < MOST_BYTES, f"{path} is too large"

    def steps(self) -> Iterator[Callable[[], None]]:
        """Yield what to do next; each ends by having `go_on` called."""
        viewer, widget = self.viewer, self.widget
        viewer.open_sample("napari-samsp", "nuclei")
        widget.segmenting.objects.setChecked(True)
        yield self.settle
        self.save("open")

        run = widget.segmenting.run
        run.ended.connect(self.go_on)
        yield lambda: self.press("samsp_segment")
        yield self.settle
        self.save("segment")

        self.press("samsp_disagreement")
        disagreement = viewer.layers[-1]
        yield self.settle
        self.save("disagreement")
        viewer.layers.remove(disagreement)

        image, labels = viewer.layers["nuclei"], viewer.layers["SAM-SP 2 · nuclei"]
        missed = labels.data == labels.data.max() // 2
        labels.data_setitem(np.nonzero(missed), 0)
        viewer.layers.selection.active = labels
        tools = widget.clicking.tools
        tools.work.idle.connect(self.go_on)
        yield lambda: self.press("samsp_tool_add")
        place = np.argwhere(missed).mean(axis=0)
        yield lambda: tools.click(labels.data_to_world(place))
        tools.work.idle.disconnect(self.go_on)
        self.press("samsp_tool_fix")
        yield self.settle
        self.save("clicks")
        self.press("samsp_tool_fix")

        mended = by_hand(image.data, labels.data)
        wrong = np.nonzero(mended != labels.data)
        labels.data_setitem(wrong, mended[wrong])
        viewer.layers.selection.active = labels
        labels.mode = "paint"
        self.press("samsp_keep")
        yield self.settle
        self.save("correct")

        labels.mode = "pan_zoom"
        widget.finetuning.settings.epochs.setValue(self.epochs)
        widget.finetuning.settings.minutes.setValue(0)
        widget.finetuning.run_ended.connect(self.go_on)
        yield lambda: self.press("samsp_finetune")
        yield self.settle
        self.save("finetune")

        yield lambda: self.press("samsp_segment")
        self.widget.findChild(QScrollArea).verticalScrollBar().setValue(0)
        yield self.settle
        self.save("again")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--epochs", type=int, default=12)
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="napari-samsp-") as home:
        os.environ["NAPARI_SAMSP_HOME"] = home
        Tour(args.output, args.epochs)
        napari.run()


if __name__ == "__main__":
    main()
