from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_samsp.ui.placement import labels_placement, labels_shape
from napari_samsp.ui.planes import (
    PlaneReader,
    disagreement,
    shown_plane,
)

STACK = np.arange(4 * 5 * 6).reshape(4, 5, 6)


def test_a_2d_image_is_its_own_plane():
    viewer = ViewerModel()
    layer = viewer.add_image(STACK[0])
    assert shown_plane(layer, viewer.dims) == (None, None)
    assert np.array_equal(PlaneReader.of(layer)((None, None)), STACK[0])


def test_colours_belong_to_the_plane():
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((3, 8, 9, 3), np.uint8), rgb=True)
    viewer.dims.set_point(0, 2)
    plane = shown_plane(layer, viewer.dims)
    assert plane == (2, None, None)
    assert PlaneReader.of(layer)(plane).shape == (8, 9, 3)


def test_the_shown_slice_of_a_scaled_stack_is_taken():
    viewer = ViewerModel()
    layer = viewer.add_image(STACK, scale=(2.5, 1, 1), translate=(10, 0, 0))
    viewer.dims.set_point(0, 10 + 3 * 2.5)
    assert shown_plane(layer, viewer.dims) == (3, None, None)


def test_a_2d_layer_beside_a_stack_is_shown_whole():
    viewer = ViewerModel()
    viewer.add_image(STACK)
    flat = viewer.add_image(STACK[0])
    viewer.dims.set_point(0, 3)
    assert shown_plane(flat, viewer.dims) == (None, None)


def test_other_axes_can_be_shown():
    viewer = ViewerModel()
    layer = viewer.add_image(STACK)
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_point(1, 4)
    plane = shown_plane(layer, viewer.dims)
    assert plane == (None, 4, None)
    assert np.array_equal(PlaneReader.of(layer)(plane), STACK[:, 4, :])


def test_the_first_scale_of_a_multiscale_image_is_taken():
    viewer = ViewerModel()
    big = np.random.default_rng(0).random((64, 64))
    layer = viewer.add_image([big, big[::2, ::2]], multiscale=True)
    assert PlaneReader.of(layer)(shown_plane(layer, viewer.dims)).shape == (64, 64)


@pytest.mark.parametrize("rotate", [0, 30])
def test_labels_land_on_their_slice(rotate):
    turn = np.eye(3)
    c, s = np.cos(np.deg2rad(rotate)), np.sin(np.deg2rad(rotate))
    turn[1:, 1:] = [[c, -s], [s, c]]
    image = Image(
        STACK,
        scale=(2, 0.5, 0.5),
        translate=(7, 8, 9),
        rotate=turn,
        affine=np.array([[1, 0, 0, 3], [0, 1, 0.2, 4], [0, 0, 1, 5], [0, 0, 0, 1]]),
        units=("um", "um", "um"),
    )
    plane = (3, None, None)
    labels = np.ones(labels_shape(image, plane), int)
    layer = Labels(labels, **labels_placement(image, plane))
    assert layer.data.shape == (1, 5, 6)
    assert layer.units == image.units
    for y, x in [(0, 0), (4, 5)]:
        ours, theirs = layer.data_to_world((0, y, x)), image.data_to_world((3, y, x))
        np.testing.assert_allclose(ours, theirs)


def test_disagreement_counts_iterations_unlike_the_last():
    iterations = [np.array([[0, 1, 2, 0]]), np.array([[0, 0, 1, 1]])]
    iterations.append(np.array([[0, 5, 5, 0]]))
    assert disagreement(iterations).tolist() == [[0, 1, 0, 1]]
