"""A user's points, boxes and masks segment as they do in segment_anything."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anything import SamPredictor, build_sam_vit_b

from napari_samsp.data.rgb import Scaling
from napari_samsp.inference.interactive.prompted import read_prompts
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.utils.errors import InputError


@pytest.mark.slow
def test_the_logits_are_those_of_sam_predictor(tmp_path):
    torch.manual_seed(0)
    stock = build_sam_vit_b()
    with torch.no_grad():
        for name, parameter in stock.named_parameters():
            if "rel_pos" in name or "pos_embed" in name:
                parameter.normal_(std=0.2)
    torch.save(stock.state_dict(), tmp_path / "sam.pth")
    image = np.random.default_rng(0).integers(0, 255, (60, 100, 3), np.uint8)
    predictor = SamPredictor(stock)
    predictor.set_image(image)
    segmenter = Segmenter(
        tmp_path / "sam.pth", device="cpu", scaling=Scaling("none"), input_size=None
    )
    points, labels, box = [[12, 70], [40, 30]], [1, 0], [8, 12, 41, 70]
    cases = [
        ({"points": [points], "point_labels": [labels]},
         {"point_coords": np.array(points)[:, ::-1], "point_labels": np.array(labels)}),
        ({"boxes": [box]}, {"box": np.array(box)[[1, 0, 3, 2]]}),
        ({"points": [points], "point_labels": [labels], "boxes": [box]},
         {"point_coords": np.array(points)[:, ::-1], "point_labels": np.array(labels),
          "box": np.array(box)[[1, 0, 3, 2]]}),
    ]  # fmt: skip
    for ours, theirs in cases:
        (step,) = segmenter.prompt(image, **ours)
        expected, score, _ = predictor.predict(
            **theirs, multimask_output=False, return_logits=True
        )
        np.testing.assert_allclose(step.logits, expected[0], atol=1e-4)
        assert step.score == pytest.approx(float(score[0]), abs=1e-4)
        assert (step.labels == (expected[0] > 0)).all()


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(device="cpu")


def test_each_object_gets_its_own_label(segmenter, nuclei):
    image, labels = nuclei
    boxes = []
    for label in range(1, 7):
        rows, columns = np.nonzero(labels == label)
        boxes.append([rows.min(), columns.min(), rows.max() + 1, columns.max() + 1])
    steps = segmenter.prompt(image, boxes=boxes, iterations=3)
    assert [step.iteration for step in steps] == [0, 1, 2]
    assert [step.iou_to_previous is None for step in steps] == [True, False, False]
    for step in steps:
        assert step.labels.shape == image.shape
        for n, (y0, x0, y1, x1) in enumerate(boxes, start=1):
            found = step.labels == n
            assert found.any()
            inside = found[y0 - 3 : y1 + 3, max(0, x0 - 3) : x1 + 3].sum()
            assert inside > 0.9 * found.sum()


def test_a_mask_and_its_own_output_are_prompts_too(segmenter, nuclei):
    image, labels = nuclei
    masks = np.stack([labels == 2, labels == 5])
    first, second = segmenter.prompt(image, masks=masks, iterations=2)
    assert (first.prompt, second.prompt) == ("mask", "box+mask")
    assert set(np.unique(first.labels)) <= {0, 1, 2}
    # Fewer points for one object than for the other.
    points = [[[24, 75], [70, 30]], [[66, 90], [np.nan, np.nan]]]
    (step,) = segmenter.prompt(image, points=points, point_labels=[[1, 0], [1, 1]])
    assert step.prompt == "points"
    alone = segmenter.prompt(image, points=points[1:])[0].logits
    assert np.isfinite(alone).all()


@pytest.mark.parametrize(
    ("prompts", "said"),
    [
        ({}, "nothing to prompt with"),
        ({"points": np.zeros((0, 1, 2))}, "nothing to prompt with"),
        ({"points": [[1, 2]]}, r"points have shape \(1, 2\), not \(N, N, 2\)"),
        ({"points": "here"}, "points must be numbers"),
        ({"points": [[[200, 5]]]}, "at row and column 200, 5 is not in the image"),
        ({"points": [[[np.nan, 1]]]}, "at least one point"),
        ({"points": [[[1, 2]]], "point_labels": [[2]]}, "must be 1"),
        ({"points": [[[1, 2]]], "point_labels": [1]}, "point_labels have shape"),
        ({"point_labels": [[1]]}, "without points"),
        ({"boxes": [[10, 10, 5, 20]]}, "first corner above"),
        ({"boxes": [[0, 0, 5, 5]], "points": [[[1, 1]], [[2, 2]]]}, "of 1 and 2 obj"),
        ({"masks": np.zeros((1, 5, 5))}, r"masks have shape .* not \(N, 96, 160\)"),
    ],
)
def test_what_does_not_fit_is_named(segmenter, nuclei, prompts, said):
    with pytest.raises(InputError, match=said):
        segmenter.prompt(nuclei[0], **prompts)


@given(st.integers(1, 90), st.integers(1, 150), st.integers(0, 9))
def test_rows_and_columns_change_places_once(row, column, seed):
    prompt = read_prompts((96, 160), points=[[[row, column]]])
    assert prompt.points.tolist() == [[[column, row]]]
    rng = np.random.default_rng(seed)
    y1, x1 = rng.integers(1, 6, 2)
    prompt = read_prompts((96, 160), boxes=[[row, column, row + y1, column + x1]])
    assert prompt.boxes.tolist() == [[column, row, column + x1, row + y1]]


def test_the_bundled_model_reads_drawn_prompts():
    """A click elsewhere gives another dense prompt, which stock SAM's does not."""
    encoder = load_sam("samsp_small").sam.prompt_encoder
    here, there = (torch.tensor([[[x, 40.0]]]) for x in (30.0, 200.0))
    drawn = [encoder.draw((place, torch.ones(1, 1)), None) for place in (here, there)]
    for place, picture in zip((here, there), drawn, strict=True):
        peak = int(picture[0, 0].argmax())
        row, column = divmod(peak, picture.shape[-1])
        assert abs(4 * column + 2 - place[0, 0, 0]) <= 2 and abs(4 * row + 2 - 40) <= 2
        assert picture[0, 1:].max() == 0
    box = encoder.draw(None, torch.tensor([[40.0, 80.0, 120.0, 100.0]]))[0, 2]
    assert box[22, 20] > 0.9 and box[22, 5] < 0.01 and box[5, 20] < 0.01
