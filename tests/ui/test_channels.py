"""Channels that napari did not split into layers."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.ui.planes import Channels, PlaneReader, planes_along, shown_plane


def pick(combo, text):
    found = [n for n in range(combo.count()) if combo.itemText(n).startswith(text)]
    assert found, [combo.itemText(n) for n in range(combo.count())]
    combo.setCurrentIndex(found[0])
    combo.activated.emit(found[0])


@pytest.fixture
def channels(nuclei) -> np.ndarray:
    """(3, Y, X), of unlike content."""
    image = nuclei[0]
    return np.stack([image, image[::-1], np.roll(image, 30, axis=1)])


@pytest.mark.parametrize(
    "order", ["tzcyx", "ctzyx", "tzyxc", "zyxtc", "cyx", "yxc"], ids=str
)
def test_axes_in_any_order(viewer, widget, segment, channels, order):
    """What the labels say is channels is no slice, and no side of the plane."""
    sizes = {"t": 2, "z": 3}
    whole = channels
    for axis in "zt":
        if axis in order:
            whole = np.stack([whole // (n + 1) for n in range(sizes[axis])])
    have = "".join(axis for axis in "tzcyx" if axis in order)
    data = whole.transpose([have.index(axis) for axis in order])
    scale = [2] * data.ndim
    image = viewer.add_image(data, rgb=False, axis_labels=tuple(order), scale=scale)
    viewer.dims.set_point(range(data.ndim), [0] * data.ndim)
    # The plane is what is shown last, but for the channels: here always y and x.
    viewer.dims.order = [order.index(a) for a in "ctzyx" if a in order]
    widget.segmenting.iterations.setValue(1)
    pick(widget.segmenting.channels.what, "channel 1")
    segment()
    result = viewer.layers[-1]
    assert result.name.startswith("SAM-SP 0"), widget.status.text()
    expected = Segmenter().segment(channels[1], 1)[0].labels
    if order.index("y") > order.index("x"):
        expected = expected.T
    assert np.array_equal(np.squeeze(result.data), expected)
    for c in range(3):
        # Shown whichever channel is shown.
        corner = [0] * data.ndim
        corner[order.index("c")] = c
        found = np.round(result.world_to_data(image.data_to_world(corner)))
        assert found.tolist() == [0] * data.ndim


def test_labels_show_on_every_channel(viewer, widget, segment, channels):
    viewer.add_image(channels, axis_labels=("c", "y", "x"))
    segment()
    layer = viewer.layers[-1]
    for c in range(3):
        viewer.dims.set_current_step(0, c)
        assert layer._slice.image.raw.any()
    assert viewer.dims.nsteps[0] == 3


def test_the_shown_channel_is_taken_unless_another_is_chosen(viewer, widget, channels):
    chooser = widget.segmenting.channels
    image = viewer.add_image(channels)
    assert chooser.channels is None
    assert widget.segmenting.slices.has_choice
    pick(chooser.axis, "axis 0")
    assert not widget.segmenting.slices.has_choice
    viewer.dims.set_current_step(0, 2)
    assert chooser.channels == Channels(0, (2,))
    pick(chooser.what, "channel 1")
    assert chooser.channels == Channels(0, (1,))
    other = viewer.add_image(channels[0])
    assert chooser.channels is None
    viewer.layers.selection.active = image
    assert chooser.channel_axis == 0
    assert other is not widget.segmenting.image.layer


def test_channels_as_colours(viewer, widget, segment, click, channels):
    viewer.add_image(channels, name="cells", axis_labels=("channel", "y", "x"))
    chooser = widget.segmenting.channels
    pick(chooser.what, "as colours")
    pick(chooser.colours[0], "Red: 2")
    pick(chooser.colours[1], "Green: 1")
    pick(chooser.colours[2], "Blue: none")
    segment()
    picture = np.stack([channels[2], channels[1]], axis=-1)
    expected = Segmenter().segment(picture, 3)[-1].labels
    assert np.array_equal(viewer.layers[-1].data[0], expected)
    viewer.layers[-1].data[0, :5, :5] = 9
    click("samsp_keep")
    (sample,) = widget.correcting.training_set.samples()
    assert np.array_equal(sample.read()[0], picture)
    assert sample.info["channels"] == [2, 1]
    widget.correcting.list.setCurrentItem(widget.correcting.list.topLevelItem(0))
    click("samsp_open_correction")
    opened = viewer.layers[-1]
    opened.data[:5, :5] = 4
    click("samsp_keep")
    (again,) = widget.correcting.training_set.samples()
    assert np.array_equal(again.read()[0], picture)
    assert (again.read()[1][:5, :5] == 4).all()


def test_all_slices_of_one_channel(viewer, widget, segment, channels):
    data = np.stack([channels, channels[:, ::-1]])
    viewer.add_image(data, axis_labels=("z", "c", "y", "x"))
    widget.segmenting.iterations.setValue(1)
    pick(widget.segmenting.channels.what, "channel 2")
    pick(widget.segmenting.slices.combo, "All 2")
    segment()
    layer = viewer.layers[-1]
    assert layer.data.shape == (2, 1, *data.shape[2:])
    assert layer.data[0].any()
    assert np.array_equal(layer.data[1, 0], layer.data[0, 0][::-1]) or (
        np.count_nonzero(layer.data[1, 0] != layer.data[0, 0][::-1])
        < layer.data[0, 0].size * 0.05
    )


def test_planes_are_read_channel_by_channel():
    viewer = ViewerModel()
    data = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    layer = viewer.add_image(data)
    picked = Channels(1, (2, 0))
    plane = shown_plane(layer, viewer.dims, picked)
    assert plane[1] == 2
    planes = planes_along(layer, plane, (0,))
    assert len(planes) == 2
    read = PlaneReader.of(layer, picked)
    for at in planes:
        assert np.array_equal(
            read(at), np.stack([data[at[0], 2], data[at[0], 0]], axis=-1)
        )
