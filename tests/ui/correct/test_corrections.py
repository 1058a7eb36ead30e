from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.ui.correct.corrections import collect, same_pixels
from napari_samsp.utils.errors import InputError


@pytest.fixture
def viewer() -> ViewerModel:
    return ViewerModel()


def test_pixels_and_labels_are_copies(viewer, nuclei):
    image = viewer.add_image(nuclei[0])
    labels = viewer.add_labels(nuclei[1].copy())
    correction = collect(labels, image, viewer.dims)
    labels.data[:] = 0
    assert correction.labels.any()
    assert correction.prediction is None
    assert correction.info["layer"] == image.name


def test_labels_of_another_size_are_refused(viewer, nuclei):
    image = viewer.add_image(nuclei[0], name="A")
    labels = viewer.add_labels(nuclei[1][:50], name="B")
    with pytest.raises(InputError, match=r"B is 50 x 160 pixels but A is 96 x 160"):
        collect(labels, image, viewer.dims)


def test_empty_labels_are_refused(viewer, nuclei):
    image = viewer.add_image(nuclei[0])
    labels = viewer.add_labels(np.zeros_like(nuclei[1]), name="L")
    with pytest.raises(InputError, match="Nothing is labelled in L"):
        collect(labels, image, viewer.dims)


@pytest.mark.parametrize("what", ["labels", "image"])
def test_a_missing_layer_is_named(viewer, nuclei, what):
    image = viewer.add_image(nuclei[0])
    labels = viewer.add_labels(nuclei[1])
    arguments = (None, image) if what == "labels" else (labels, None)
    with pytest.raises(InputError, match=r"Labels layer|not open"):
        collect(*arguments, viewer.dims)


def test_an_image_layer_is_no_correction(viewer, nuclei):
    image = viewer.add_image(nuclei[0])
    with pytest.raises(InputError, match="Choose the Labels layer"):
        collect(image, image, viewer.dims)


def test_a_rectangle_limits_the_correction(viewer, nuclei):
    placed = {"scale": (0.5, 0.5), "translate": (10, 20)}
    image = viewer.add_image(nuclei[0], **placed)
    labels = viewer.add_labels(nuclei[1].copy(), **placed)
    corners = np.array([[5, 10], [5, 50], [45, 50], [45, 10]])
    shapes = viewer.add_shapes([corners * 0.5 + (10, 20)], shape_type="rectangle")
    correction = collect(labels, image, viewer.dims, shapes)
    assert correction.info["region"] == [5, 45, 10, 50]
    assert np.array_equal(correction.image, nuclei[0][5:45, 10:50])
    assert np.array_equal(correction.labels, nuclei[1][5:45, 10:50])


def test_a_rectangle_is_cut_at_the_edge_of_the_image(viewer, nuclei):
    image, labels = viewer.add_image(nuclei[0]), viewer.add_labels(nuclei[1])
    shapes = viewer.add_shapes([np.array([[-20, -20], [30, 400]])])
    correction = collect(labels, image, viewer.dims, shapes)
    assert correction.info["region"] == [0, 30, 0, 160]


def test_a_rectangle_outside_is_refused(viewer, nuclei):
    image, labels = viewer.add_image(nuclei[0]), viewer.add_labels(nuclei[1])
    shapes = viewer.add_shapes([np.array([[-20, -20], [-5, -5]])], name="R")
    with pytest.raises(InputError, match="in R is outside"):
        collect(labels, image, viewer.dims, shapes)


def test_which_rectangle_must_be_clear(viewer, nuclei):
    image, labels = viewer.add_image(nuclei[0]), viewer.add_labels(nuclei[1])
    two = [np.array([[0, 0], [40, 40]]), np.array([[50, 0], [90, 60]])]
    shapes = viewer.add_shapes(two)
    shapes.selected_data = set()
    with pytest.raises(InputError, match="Select one rectangle"):
        collect(labels, image, viewer.dims, shapes)
    shapes.selected_data = {1}
    correction = collect(labels, image, viewer.dims, shapes)
    assert correction.info["region"] == [50, 90, 0, 60]


def test_the_same_pixels_are_recognised_whatever_their_name(tmp_path, nuclei):
    image, labels = nuclei
    corrections = TrainingSet(tmp_path)
    corrections.add(image, labels, name="one")
    assert same_pixels(corrections, image, "other").name == "one"
    assert same_pixels(corrections, image[:, ::-1], "one") is None
    assert same_pixels(corrections, image[:50], "one") is None


def test_no_stored_image_is_read_to_recognise_it(tmp_path, nuclei):
    image, labels = nuclei
    corrections = TrainingSet(tmp_path)
    sample = corrections.add(image, labels, name="one")
    sample.image.write_bytes(b"no image any more")
    assert same_pixels(corrections, image.copy(order="F"), "one").name == "one"


def test_a_set_made_by_hand_knows_its_images_by_name(tmp_path, nuclei):
    image, labels = nuclei
    corrections = TrainingSet(tmp_path)
    corrections.add(image, labels, name="one")
    (tmp_path / "samples.jsonl").unlink()
    assert same_pixels(corrections, image, "one").name == "one"
    assert same_pixels(corrections, image, "other") is None
