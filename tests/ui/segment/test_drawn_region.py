"""Only what is inside drawn shapes is segmented, however layers are placed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from napari.layers import Image, Shapes
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QPushButton
from skimage.draw import polygon2mask

from napari_samsp.ui.segment.controls.region_control import LAYER, drawn_region
from napari_samsp.utils.errors import InputError

SHAPE = (96, 160)
POLYGON = np.array([[5.2, 3.1], [80.4, 10.7], [70.3, 99.6], [20.8, 60.2]])


def whole(region, shape=SHAPE) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[region.window] = region.mask
    return mask


@given(
    scale=st.tuples(st.floats(0.2, 3), st.floats(0.2, 3)),
    turn=st.floats(-180, 180),
    shift=st.tuples(st.floats(-50, 50), st.floats(-50, 50)),
    other=st.floats(0.5, 4),
)
def test_a_polygon_is_where_it_is_seen(scale, turn, shift, other):
    image = Image(np.zeros(SHAPE), scale=scale, rotate=turn, translate=shift)
    seen = [image.data_to_world(vertex) for vertex in POLYGON]
    # Its layer is placed otherwise.
    shapes = Shapes(
        [np.array(seen) / other], shape_type="polygon", scale=(other, other)
    )
    found = whole(drawn_region(shapes, image, (None, None)))
    # Rounding may move a vertex, and a pixel on an edge with it.
    assert (found != polygon2mask(SHAPE, POLYGON)).sum() <= 3


def test_an_ellipse_is_round_and_lines_count_for_nothing():
    image = Image(np.zeros(SHAPE))
    shapes = Shapes()
    shapes.add(np.array([[10, 20], [10, 80], [70, 80], [70, 20]]), shape_type="ellipse")
    shapes.add(np.array([[0, 0], [90, 150]]), shape_type="line")
    shapes.selected_data = set()
    found = whole(drawn_region(shapes, image, (None, None)))
    rows, columns = np.mgrid[:96, :160]
    true = ((rows - 40) / 30) ** 2 + ((columns - 50) / 30) ** 2 < 1
    assert (found != true).sum() < 0.02 * true.sum()
    shapes.selected_data = {1}
    with pytest.raises(InputError, match="no rectangle"):
        drawn_region(shapes, image, (None, None))


def test_of_several_shapes_the_selected_ones_count_or_all():
    image = Image(np.zeros((3, *SHAPE)))
    boxes = [np.array([[1, a, a], [1, a, a + 9], [1, a + 9, a + 9], [1, a + 9, a]])
             for a in (5, 40)]  # fmt: skip
    shapes = Shapes(boxes, shape_type="rectangle", ndim=3)
    shapes.selected_data = set()
    both = drawn_region(shapes, image, (2, None, None))
    shapes.selected_data = {1}
    one = drawn_region(shapes, image, (2, None, None))
    assert whole(one).sum() * 2 == whole(both).sum()
    flat = Shapes([box[:, 1:] for box in boxes], shape_type="rectangle")
    flat.selected_data = set()
    assert np.array_equal(
        whole(drawn_region(flat, image, (0, None, None))), whole(both)
    )


def test_a_rectangle_is_drawn_and_only_what_is_in_it_is_segmented(
    viewer, widget, segment, nuclei
):
    image, truth = nuclei
    viewer.add_image(image, name="cells", scale=(2, 2), rotate=30)
    widget.segmenting.iterations.setValue(1)
    widget.segmenting.objects.setChecked(True)
    segment()
    everything = viewer.layers[-1]
    QTest.mouseClick(
        widget.findChild(QPushButton, "samsp_draw_region"), Qt.MouseButton.LeftButton
    )
    shapes = viewer.layers[LAYER]
    assert viewer.layers.selection.active is shapes
    assert shapes.mode == "add_rectangle"
    corners = np.array([[0, 0], [0, 100], [95, 100], [95, 0]])
    shapes.add(corners, shape_type="rectangle")
    segment()
    assert everything in viewer.layers  # a part replaces no whole
    last = viewer.layers[-1]
    assert last.data.shape == image.shape
    assert not last.data[:, 101:].any()
    inside = np.isin(truth, np.unique(truth[:, :90])) & (truth > 0)
    inside &= ~np.isin(truth, np.unique(truth[:, 101:])[1:])
    assert (last.data[inside] > 0).mean() > 0.8
    assert last.metadata["samsp"]["area_fraction"] == (last.data > 0).mean()
    segment()
    assert last not in viewer.layers  # one part replaces the same one
    assert everything in viewer.layers


def test_a_layer_without_areas_is_told(viewer, widget, nuclei, click):
    viewer.add_image(nuclei[0], name="cells")
    layer = viewer.add_shapes(name="empty")
    widget.segmenting.form.region.layer.choose(layer)
    click("samsp_segment")
    assert not widget.segmenting.run.running
    assert "has no rectangle" in widget.status.text()
