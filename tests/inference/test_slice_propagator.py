"""Slices of a stack that take their first prompt from the slice before."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage import draw

from napari_samsp.data.tiling import Grid
from napari_samsp.inference.results import Iteration
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.inference.slice_propagator import (
    SliceLinker,
    SlicePropagator,
    StackClasses,
    continued,
)
from napari_samsp.self_prompting.letterbox import fit, logits_to_image
from napari_samsp.self_prompting.model import SelfPrompting
from napari_samsp.self_prompting.propagation import follow, seen_before
from napari_samsp.utils.errors import InputError


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(device="cpu")


def dice(labels, truth):
    both = np.count_nonzero((labels > 0) & (truth > 0))
    return 2 * both / (np.count_nonzero(labels) + np.count_nonzero(truth))


def followed(segmenter, stack, iterations=2, objects=False, **settings):
    """The iterations of every slice, each after the one before."""
    indices = [(n,) for n in range(len(stack))]
    follower = SlicePropagator(indices, 0, objects)
    return [
        [
            follower.take(index, one)
            for one in segmenter.iterate(
                image, iterations, objects, before=follower.before(index), **settings
            )
        ]
        for index, image in zip(indices, stack, strict=True)
    ]


@pytest.fixture
def one_bad(nuclei):
    """One bright disc, then an artefact beside it, and the truth: (96, 160)."""
    labels = np.zeros((96, 160), np.int32)
    labels[draw.disk((40, 110), 25)] = 1
    both = labels.copy()
    both[draw.disk((50, 35), 22)] = 1
    rng = np.random.default_rng(0)
    slices = [
        np.where(bright > 0, 170, 30) + rng.normal(0, 8, labels.shape)
        for bright in (labels, both)
    ]
    return [part.clip(0, 255).astype(np.uint8) for part in slices], labels


@pytest.mark.parametrize("tile", ["off", 100])
def test_a_bad_slice_is_helped_by_the_good_one_before(segmenter, one_bad, tile):
    stack, truth = one_bad
    alone = segmenter.segment(stack[1], 1, tile=tile)[0]
    _, (helped,) = followed(segmenter, stack, 1, tile=tile)
    assert helped.prompt == "box+mask"
    assert alone.prompt is None
    assert dice(helped.labels, truth) > dice(alone.labels, truth) + 0.1


@pytest.mark.parametrize("objects", [False, True])
def test_after_an_empty_slice_nothing_changes(segmenter, nuclei, objects):
    image = nuclei[0]
    alone = segmenter.segment(image, 2, objects)
    empty = dataclasses.replace(
        alone[-1], labels=np.zeros_like(alone[-1].labels), logits=-alone[-1].logits
    )
    after = list(segmenter.iterate(image, 2, objects, before=empty))
    for one, other in zip(alone, after, strict=True):
        assert np.array_equal(one.labels, other.labels)
        assert one.prompt == other.prompt


@pytest.mark.parametrize("objects", [False, True])
def test_what_jumps_in_size_is_found_anew(segmenter, nuclei, objects):
    """The slice before claims a few pixels, far from anything."""
    image, truth = nuclei
    alone = segmenter.segment(image, 1, objects, tile="off")[0]
    labels = np.zeros_like(truth)
    labels[44:50, 150:160] = 1
    claim = dataclasses.replace(
        alone, labels=labels, logits=np.where(labels, 5, -5).astype(np.float32)
    )
    (after,) = segmenter.iterate(image, 1, objects, tile="off", before=claim)
    assert dice(after.labels, alone.labels) > 0.95
    assert dice(after.labels, truth) > 0.6


def test_objects_that_come_in_are_found_and_known_ones_keep_their_numbers(
    segmenter, nuclei
):
    image, truth = nuclei
    fewer = np.where(np.isin(truth, (2, 5)), 30, image).astype(np.uint8)
    first, second = followed(segmenter, [fewer, image], objects=True, tile="off")
    for before, after in zip(first[-1:] * 2, second, strict=True):
        numbers = {}
        for number in range(1, 7):
            inside = truth == number
            numbers[number] = [
                int(np.bincount(step.labels[inside]).argmax())
                for step in (before, after)
            ]
        assert numbers[2][0] == numbers[5][0] == 0
        assert numbers[2][1] != numbers[5][1]
        assert min(numbers[2][1], numbers[5][1]) > before.labels.max()
        for number in (1, 3, 4, 6):
            assert numbers[number][0] == numbers[number][1] > 0


@pytest.mark.parametrize("tile", ["off", 90])
def test_a_slice_that_repeats_itself_stays_as_it_is(segmenter, nuclei, tile):
    image = nuclei[0]
    first, second = followed(segmenter, [image, image], 3, objects=True, tile=tile)
    assert dice(second[0].labels, first[-1].labels) > 0.9
    assert len(np.unique(second[-1].labels)) == len(np.unique(first[-1].labels))


@given(
    shape=st.tuples(st.integers(20, 300), st.integers(20, 300)),
    size=st.one_of(st.none(), st.integers(32, 128)),
)
def test_logits_come_back_to_the_grid_they_were_made_on(model, shape, size):
    """Through the image's pixels, which are more than the grid's cells."""
    tiles = Grid(shape, size).tiles[-1:]
    side = model.sam.image_encoder.img_size
    valid = torch.tensor([fit(tiles[0].shape, side)])
    cells = torch.arange(model.mask_size).float()
    low = torch.sin(cells / 5)[:, None] + torch.cos(cells / 7)
    full = logits_to_image(low[None], side, tuple(valid[0].tolist()), tiles[0].shape)
    logits = np.zeros(shape, np.float32)
    logits[tiles[0].window] = full[0].numpy()

    class Before:
        pass

    before = Before()
    before.labels, before.logits = (logits > 0).astype(np.int32), logits
    labels, back = seen_before(model, before.labels, before.logits, tiles, valid)
    assert torch.equal(labels > 0, back > 0)
    rows, columns = (int(n) // model.stride for n in valid[0])
    smallest = min(tiles[0].shape)
    if smallest < model.mask_size:
        return  # pixels are fewer than cells: only the middle of each is known
    inside = (0, slice(1, rows - 1), slice(1, columns - 1))
    assert (back[inside] - low[inside[1:]]).abs().max() < 0.25


@pytest.fixture(scope="module")
def model(segmenter) -> SelfPrompting:
    return SelfPrompting(segmenter.sam, "box+mask")


def test_images_of_a_batch_follow_on_their_own(segmenter, nuclei):
    """One has something before it, one has nothing."""
    ours = SelfPrompting(segmenter.sam, "box", objects=False)
    side = segmenter.input_size
    with torch.inference_mode():
        embeddings = ours.encode(torch.randn(2, 3, side, side))
        valid = torch.tensor([[side, side // 2], [side, side]])
        m = ours.mask_size
        labels = torch.zeros(2, m, m, dtype=torch.int64)
        labels[1, 10:40, 5:30] = 1
        logits = torch.where(labels > 0, 5.0, -5.0)
        free = ours.decode_unprompted(embeddings)
        both = follow(ours, embeddings, valid, labels, logits)
        alone = follow(ours, embeddings[1:], valid[1:], labels[1:], logits[1:])
    assert torch.equal(both.logits[0], free.logits[0])
    torch.testing.assert_close(both.logits[1:], alone.logits, atol=1e-3, rtol=0)


def test_another_size_is_refused(segmenter, nuclei):
    image = nuclei[0]
    before = segmenter.segment(image, 1)[-1]
    with pytest.raises(InputError, match=r"slice before has shape \(96, 160\)"):
        list(segmenter.iterate(image.T, 1, before=before))


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([0, 1, 2, 3], [None, 0, 1, 2]),
        ([2, 3, 4, 1, 0], [None, 2, 3, 2, 1]),
        ([2, 4, 1], [None, None, 2]),
    ],
)
def test_each_slice_follows_its_neighbour(segmenter, nuclei, order, expected):
    (step,) = segmenter.segment(nuclei[0], 1)
    indices = [(7, n, None, None) for n in order]
    follower = SlicePropagator(indices, 1, False)
    got = []
    for index in indices:
        before = follower.before(index)
        got.append(None if before is None else int(before.score))
        follower.take(index, dataclasses.replace(step, score=float(index[1])))
        assert len(follower._done) <= 2
    assert got == expected
    assert SlicePropagator(indices, None, False).before(indices[0]) is None


def test_numbers_go_on_or_are_new():
    before = np.array([[3, 3, 3, 0, 8, 8, 0, 0]], np.int32)
    labels = np.array([[1, 2, 2, 0, 5, 5, 0, 4]], np.int32)
    got = continued(labels, before, 9)
    # 3 goes on in what shares most with it; what it lost, and what came, are new.
    assert got.tolist() == [[10, 3, 3, 0, 8, 8, 0, 11]]
    assert continued(labels, None, 9).tolist() == [[10, 11, 11, 0, 13, 13, 0, 12]]
    assert not continued(np.zeros_like(labels), before, 9).any()


def linked(slices, axis=0):
    """The labels of slices, by index, after linking."""
    linker, found = SliceLinker(axis), {}
    for index, labels in slices.items():
        one = Iteration(
            labels=labels.astype(np.int32), logits=labels.astype(np.float32),
            prompt=None, score=1, iou_to_previous=None, seconds=0, iteration=0,
            iterations=1,
        )  # fmt: skip
        found[index] = linker.take(index, one).labels
    return found


def test_an_object_keeps_its_number_through_slices_and_one_gap():
    first, second = np.zeros((20, 30), int), np.zeros((20, 30), int)
    first[2:9, 2:9], first[2:9, 20:28] = 1, 2
    second[3:10, 2:9] = 7  # moved by a row; the other is missing
    third = np.zeros((20, 30), int)
    third[3:10, 21:28], third[4:11, 2:9], third[14:19, 10:20] = 1, 2, 3
    fourth = np.where(third == 3, 1, 0)
    sixth = np.where(first == 2, 1, 0)  # two slices after it was seen
    parts = {(n,): part for n, part in enumerate((first, second, third, fourth))}
    found = linked(parts | {(5,): sixth})
    assert found[0,][5, 5] == found[1,][5, 5] == found[2,][5, 5] == 1
    assert found[0,][5, 24] == found[2,][5, 24] == 2
    assert found[2,][16, 15] == found[3,][16, 15] == 3
    assert found[5,][5, 24] == 4
    assert {part.dtype for part in found.values()} == {np.dtype(np.int32)}


def test_what_hardly_overlaps_is_another_object_and_the_better_one_goes_on():
    first, second = np.zeros((20, 30), int), np.zeros((20, 30), int)
    first[0:10, 0:10] = 1
    second[8:18, 8:18] = 1
    found = linked({(0,): first, (1,): second})
    assert found[1,].max() == 2
    second[:] = 0
    second[0:10, 0:6], second[0:10, 6:10] = 1, 2
    found = linked({(0,): first, (1,): second})
    assert found[1,][5, 2] == 1 and found[1,][5, 8] == 2


def test_a_slice_without_objects_is_bridged_whether_it_was_skipped_or_empty():
    full, empty = np.zeros((9, 13), int), np.zeros((9, 13), int)
    full[2:6, 3:9] = 5
    assert linked({(0,): full, (1,): empty, (2,): full})[2,].max() == 1
    assert linked({(0,): full, (2,): full})[2,].max() == 1
    assert linked({(0,): full, (3,): full})[3,].max() == 2


def test_times_are_not_linked_with_each_other():
    full = np.zeros((9, 13), int)
    full[2:6, 3:9] = 1
    found = linked({(t, z): full for t in (0, 1) for z in (0, 1)}, axis=1)
    assert [int(found[place].max()) for place in found] == [1, 1, 2, 2]


@given(
    st.lists(arrays(np.int32, (6, 9), elements=st.integers(0, 4)), min_size=1,
             max_size=5)
)  # fmt: skip
def test_linking_only_renames_objects(slices):
    found = linked({(n,): part for n, part in enumerate(slices)})
    for n, part in enumerate(slices):
        pairs = set(zip(part.ravel().tolist(), found[n,].ravel().tolist(), strict=True))
        assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
        assert all((a == 0) == (b == 0) for a, b in pairs)


def of_classes(labels, classes, iteration=0):
    """A slice of objects, each with a class."""
    return Iteration(
        labels=labels.astype(np.int32), logits=labels.astype(np.float32), prompt=None,
        score=1, iou_to_previous=None, seconds=0, iteration=iteration, iterations=1,
        object_classes=np.array(classes, np.int32),
    )  # fmt: skip


def test_a_followed_object_keeps_its_class_and_a_new_one_brings_its_own():
    first, second = np.zeros((9, 13), int), np.zeros((9, 13), int)
    first[2:6, 3:6], second[2:6, 3:6], second[7:, 9:] = 1, 2, 1
    follower = SlicePropagator([(0,), (1,)], 0, True)
    follower.take((0,), of_classes(first, [0, 30]))
    found = follower.take((1,), of_classes(second, [0, 70, 70]))
    assert (found.labels[3, 4], found.labels[8, 10]) == (1, 2)
    assert found.object_classes.tolist() == [0, 30, 70]


def test_linked_objects_are_of_the_class_of_most_of_their_area():
    small, large = np.zeros((9, 13), int), np.zeros((9, 13), int)
    small[2:6, 3:6], large[2:6, 3:7], large[7:, 9:] = 1, 2, 1
    linker, stack = SliceLinker(0), StackClasses()
    told = [
        stack.take(linker.take((z,), of_classes(labels, classes)))
        for z, (labels, classes) in enumerate(
            [(small, [0, 30]), (small, [0, 30]), (large, [0, 70, 70])]
        )
    ]
    # 24 pixels of 30 outvote 16 of 70, though they came later.
    assert [one.object_classes.tolist() for one in told] == [
        [0, 30], [0, 30], [0, 30, 70],
    ]  # fmt: skip
    # What was cleaned away has no say, and rounds do not mix.
    gone = of_classes(np.zeros((9, 13)), [0, 0, 30])
    assert stack.take(gone).object_classes.tolist() == [0, 30, 70]
    other = stack.take(of_classes(small, [0, 70], iteration=1))
    assert other.object_classes.tolist() == [0, 70]
