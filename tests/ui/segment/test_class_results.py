"""What an adapter with classes finds is shown in the classes' colours."""

from __future__ import annotations

import numpy as np
import pytest

from napari_samsp.data.training_sets.class_tables import read_table
from napari_samsp.data.training_sets.classes import Classes, LabelClass
from napari_samsp.ui.correct.class_list import OBJECTS
from napari_samsp.ui.result_layers import RESULT_KEY
from napari_samsp.ui.widgets.object_classes import (
    classes_of,
    set_classes,
    tell_classes,
)

CLASSES = (LabelClass(3, "leaf", "#00ff00"), LabelClass(8, "spot", "#ff0000"))


def test_results_have_the_labels_and_colours_of_the_classes(
    widget, viewer, segment, nuclei, tmp_path, class_adapter
):
    viewer.add_image(nuclei[0], name="plant")
    widget.segmenting.adapter.choose(class_adapter())
    segment()
    layer = viewer.layers["SAM-SP 2 · plant"]
    assert set(np.unique(layer.data)) <= {0, 3, 8}
    listed = layer.metadata[RESULT_KEY]["classes"]
    assert [one["name"] for one in listed] == ["leaf", "spot"]
    colors = layer.colormap.map(np.array([3, 8]))
    np.testing.assert_allclose(colors, [[0, 1, 0, 1], [1, 0, 0, 1]], atol=0.01)
    assert layer.features["class"].tolist() == ["leaf", "spot"]
    # They can be corrected and kept at once.
    assert widget.correcting.class_list.classes == CLASSES


def told(layer, plane) -> None:
    """The slice in sight: each of its objects has a class, and the colour of that."""
    classes = classes_of(layer)
    objects = set(np.unique(plane).tolist()) - {0}
    assert objects
    assert objects == classes.keys()
    wanted = {"leaf": [0, 1, 0, 1], "spot": [1, 0, 0, 1]}
    shown = layer.colormap.map(np.array([*classes]))
    np.testing.assert_allclose(shown, [wanted[n] for n in classes.values()], atol=0.01)


def test_objects_of_a_result_have_classes_and_can_be_kept_at_once(
    widget, viewer, segment, click, nuclei, tmp_path, class_adapter
):
    widget.correcting.set_folder(tmp_path / "set")
    viewer.add_image(nuclei[0], name="cells")
    widget.segmenting.adapter.choose(class_adapter(objects=True))
    segment()
    layer = viewer.layers["SAM-SP 2 · cells"]
    told(layer, layer.data)
    assert widget.correcting.class_list.classes == CLASSES
    assert widget.correcting.class_list.kind == OBJECTS
    click("samsp_keep")
    (sample,) = widget.correcting.training_set.samples()
    table = read_table(sample.table, Classes("instances", CLASSES, ()))
    names = {label: CLASSES[n].name for label, n in table.items()}
    assert names == classes_of(layer)


def test_objects_of_each_slice_have_classes_of_their_own(
    widget, viewer, segment, all_slices, nuclei, tmp_path, class_adapter
):
    image = nuclei[0]
    viewer.add_image(np.stack([image, image[::-1, ::-1]]), name="stack")
    widget.segmenting.adapter.choose(class_adapter(objects=True))
    widget.segmenting.iterations.setValue(1)
    all_slices()
    viewer.dims.set_point(0, 0)
    segment()
    layer = viewer.layers["SAM-SP 0 · stack"]
    told(layer, layer.data[0])
    viewer.dims.set_point(0, 1)
    told(layer, layer.data[1])


@pytest.mark.parametrize("how", ["link", "follow"])
def test_objects_through_a_stack_have_one_class(
    widget, viewer, segment, all_slices, nuclei, class_adapter, how
):
    image = nuclei[0]
    viewer.add_image(np.stack([image, np.roll(image, 2, 1)]), name="stack")
    widget.segmenting.adapter.choose(class_adapter(objects=True))
    widget.segmenting.iterations.setValue(1)
    all_slices()
    viewer.dims.set_point(0, 0)
    getattr(widget.segmenting.slices, how).setChecked(True)
    segment()
    layer = viewer.layers["SAM-SP 0 · stack"]
    objects = [set(np.unique(part)) - {0} for part in layer.data]
    assert len(objects[0] & objects[1]) > 2
    told(layer, layer.data)  # all of them, also those of one slice
    before = classes_of(layer)
    viewer.dims.set_point(0, 1)
    assert classes_of(layer) == before


def test_what_a_person_classed_meanwhile_stays(viewer):
    layer = viewer.add_labels(np.arange(12).reshape(3, 4), name="stack")
    tell_classes(layer, None, {1: "leaf", 2: "leaf"})
    set_classes(layer, classes_of(layer) | {1: "spot", 9: "leaf"})
    tell_classes(layer, None, {1: "leaf", 2: "spot", 3: "spot"})
    assert classes_of(layer) == {1: "spot", 2: "spot", 3: "spot", 9: "leaf"}
