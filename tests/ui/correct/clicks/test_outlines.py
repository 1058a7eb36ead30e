"""Labels on dark images are outlined while a click tool is on."""

from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap, label_colormap

from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.ui.correct.clicks.outlines import LEAST_LIGHT, LIGHT, Outlines, bright
from napari_samsp.ui.correct.open_sample import open_sample


def test_every_colour_is_bright_and_none_stays_none():
    colors = bright(label_colormap(49)).colors
    shown = colors[:, 3] > 0
    assert shown.sum() >= 49
    assert (colors[shown, :3] @ np.array(LIGHT)).min() > LEAST_LIGHT - 0.01
    assert len(np.unique(colors[shown].round(3), axis=0)) > 30


def test_the_layer_is_shown_as_before_when_the_tool_is_off(
    viewer, widget, click, nuclei
):
    viewer.add_image(nuclei[0] // 3)
    layer = viewer.add_labels(nuclei[1].copy())
    before = layer.colormap
    click("samsp_tool_erase")
    assert layer.contour == 1 and layer.colormap is not before
    click("samsp_tool_erase")
    assert layer.contour == 0 and layer.colormap is before
    click("samsp_tool_erase")
    layer.mode = "paint"
    assert layer.contour == 0 and layer.colormap is before


@pytest.mark.parametrize("what", ["bright image", "own contour", "classes"])
def test_what_is_seen_well_or_chosen_stays(nuclei, what):
    image, labels = nuclei
    layer = Labels(labels)
    if what == "own contour":
        layer.contour = 4
    if what == "classes":
        layer.colormap = DirectLabelColormap(color_dict={0: "transparent", None: "red"})
    before = layer.contour, layer.colormap
    below = Image(255 - image if what == "bright image" else image)
    outlines = Outlines()
    outlines.show(layer, below)
    assert (layer.contour, layer.colormap) == before
    outlines.restore()
    assert (layer.contour, layer.colormap) == before


def test_what_the_user_chose_meanwhile_stays(nuclei):
    layer, outlines = Labels(nuclei[1]), Outlines()
    outlines.show(layer, Image(nuclei[0] // 3))
    layer.contour = 3
    outlines.restore()
    assert layer.contour == 3


def test_a_dim_correction_is_opened_with_its_own_contrast(viewer, tmp_path, nuclei):
    image, labels = nuclei
    sample = TrainingSet(tmp_path).add(image.astype(np.uint16) + 300, labels, name="a")
    open_sample(viewer, sample)
    low, high = viewer.layers[0].contrast_limits
    assert 300 <= low < high <= 556
