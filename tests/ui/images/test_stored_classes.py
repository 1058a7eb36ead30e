"""Results of an adapter with classes are stored, and are the same when reopened."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from napari_samsp.batch.job import Settings
from napari_samsp.data.label_files import write_ome_zarr, write_tiff
from napari_samsp.data.voxel_size import VoxelSize
from napari_samsp.ui.images.image_list import Entry
from napari_samsp.ui.images.jobs import Desk, SaveTable
from napari_samsp.ui.images.stored.edits import KEPT, Edits, content_key
from napari_samsp.ui.images.stored.results import Results, Wanted
from napari_samsp.ui.models.workplace import Workplace
from napari_samsp.ui.segment.run_results import RunResults
from napari_samsp.ui.widgets.object_classes import area_classes, object_pages

NAMES = {3: "leaf", 8: "spot"}


@pytest.fixture
def images(tmp_path, nuclei) -> list[Entry]:
    """A stack of two slices, and an OME-Zarr of one; neither is square."""
    folder = tmp_path / "images"
    folder.mkdir()
    image = nuclei[0]
    stack = np.stack([image, image[::-1, ::-1]])
    write_tiff(folder / "stack.tif", stack, "ZYX", VoxelSize())
    write_ome_zarr(folder / "flat.ome.zarr", image[:70], "YX", VoxelSize())
    return [
        Entry(name, folder / file)
        for name, file in (("stack", "stack.tif"), ("flat", "flat.ome.zarr"))
    ]


@pytest.fixture
def desk_of(tmp_path):
    """What a list works with; each one is as of a new session."""
    workplace = Workplace()

    def made() -> Desk:
        edits, results = Edits(tmp_path / "edits"), Results(tmp_path / "results")
        return Desk(results, edits, workplace, lambda *_: None)

    return made


def wanted_with(adapter, objects: bool) -> Wanted:
    return Wanted(
        Settings(
            "samsp_small", str(adapter), iterations=2, objects=objects,
            all_iterations=True, output_format="tif", object_classes=objects,
        )
    )  # fmt: skip


def table_of(desk, entries, path) -> list[dict[str, str]]:
    said = []
    table = SaveTable(desk, entries, path, lambda _: None, lambda *s: said.append(s))
    table.run(lambda: None)
    assert said == [(table._summary(), False)]
    assert not table.problems
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_objects_have_their_classes_again_when_the_list_is_reopened(
    images, desk_of, class_adapter, viewer, tmp_path
):
    wanted = wanted_with(class_adapter(objects=True), True)
    desk = desk_of()
    for entry in images:
        assert not desk.segment(entry, wanted, lambda: None).error
    segmenter = desk.segmenter(wanted)
    again, of_table = desk_of(), {}
    for entry in images:
        opened = again.open(entry, wanted, lambda: None)
        steps = [s for s in opened.shown.steps if s.summary.iteration == 1]
        layer = viewer.add_layer(opened.layer)
        results = RunResults(viewer, layer, opened.shown.request, opened.shown.along)
        results.classes = opened.shown.classes
        shown = results.add_stored(
            opened.shown.steps, "samsp_small", "cells", viewer.add_layer
        )
        pages = object_pages(shown)
        assert len(steps) == (2 if entry.name == "stack" else 1)
        for step in steps:
            assert step.object_classes is not None
            present = np.unique(step.labels)[1:]
            assert len(present) > 2
            names = {n: NAMES[step.object_classes[n]] for n in present.tolist()}
            page = step.plane if entry.name == "stack" else None
            assert pages[page] == names
            where = str(step.plane[0]) if entry.name == "stack" else ""
            of_table |= {(entry.name, where, str(n)): c for n, c in names.items()}
        if entry.name == "flat":
            *_, fresh = segmenter.segment(opened.layer.data, 2, objects=True)
            assert np.array_equal(steps[0].labels, fresh.labels)
            assert steps[0].object_classes.tolist() == fresh.object_classes.tolist()
        opened.close()
    rows = table_of(again, images, tmp_path / "objects.csv")
    assert {(r["image"], r["slice"], r["label"]): r["class"] for r in rows} == of_table


def test_what_a_person_classed_is_in_the_table_of_the_list(
    images, desk_of, class_adapter, tmp_path
):
    desk, (stack, _) = desk_of(), images
    opened = desk.open(stack, wanted_with(class_adapter(objects=True), True), int)
    labels = np.zeros(opened.stored.labels_shape, np.int32)
    labels[0, 5:20, 5:30], labels[1, 40:60, 5:30], labels[1, 5:9, 5:9] = 1, 1, 2
    pages = {(0, None, None): {1: "round"}, (1, None, None): {1: "long"}}
    content = content_key(np.asarray(opened.layer.data))
    assert content == opened.content
    desk.edits.write(KEPT, stack.path, content, labels, opened.axes, VoxelSize(), pages)
    opened.close()
    stack.corrected = True
    rows = table_of(desk_of(), [stack], tmp_path / "objects.csv")
    found = [(row["slice"], row["label"], row["class"]) for row in rows]
    assert found == [("0", "1", "round"), ("1", "1", "long"), ("1", "2", "")]


def test_areas_have_their_classes_in_the_table_of_the_list(
    images, desk_of, class_adapter, tmp_path
):
    wanted = wanted_with(class_adapter(), False)
    for entry in images:
        assert not desk_of().segment(entry, wanted, lambda: None).error
    rows = table_of(desk_of(), images, tmp_path / "areas.csv")
    assert {row["image"] for row in rows} == {"stack", "flat"}
    assert {(row["label"], row["class"]) for row in rows} == {
        (str(label), name) for label, name in NAMES.items()
    }


def test_areas_that_a_person_painted_have_their_classes_in_the_table(
    images, desk_of, class_adapter, viewer, tmp_path
):
    wanted, (stack, _) = wanted_with(class_adapter(), False), images
    assert not desk_of().segment(stack, wanted, lambda: None).error
    desk = desk_of()
    opened = desk.open(stack, wanted, lambda: None)
    results = RunResults(
        viewer, viewer.add_layer(opened.layer), opened.shown.request, (0,)
    )
    results.classes = opened.shown.classes
    shown = results.add_stored(
        opened.shown.steps, "samsp_small", "areas", viewer.add_layer
    )
    assert area_classes(shown) == NAMES
    labels = np.zeros(opened.stored.labels_shape, np.int32)
    labels[0, 5:20, 5:30], labels[1, 40:60, 5:30], labels[1, 5:9, 5:9] = 3, 8, 9
    desk.edits.write(
        KEPT, stack.path, opened.content, labels, opened.axes, VoxelSize(),
        object_pages(shown), area_classes(shown),
    )  # fmt: skip
    opened.close()
    stack.corrected = True
    rows = table_of(desk_of(), [stack], tmp_path / "areas.csv")
    found = [(row["slice"], row["label"], row["class"]) for row in rows]
    assert found == [("0", "3", "leaf"), ("1", "8", "spot"), ("1", "9", "")]
    # They are no classes of objects, which the layer would be coloured by.
    assert desk.edits.classes(KEPT, stack.path, opened.content) == {}


def test_areas_have_the_labels_of_their_classes_again(images, desk_of, class_adapter):
    wanted = wanted_with(class_adapter(), False)
    assert not desk_of().segment(images[1], wanted, lambda: None).error
    opened = desk_of().open(images[1], wanted, lambda: None)
    assert [(one.label, one.name) for one in opened.shown.classes] == [*NAMES.items()]
    *_, last = opened.shown.steps
    assert set(np.unique(last.labels)) <= {0, 3, 8}
    assert last.labels.any() and last.object_classes is None
    opened.close()


def test_a_table_that_was_lost_or_broken_means_that_nothing_is_stored(
    images, desk_of, class_adapter, tmp_path
):
    wanted = wanted_with(class_adapter(objects=True), True)
    flat = images[1]
    assert not desk_of().segment(flat, wanted, lambda: None).error
    (table,) = (tmp_path / "results").glob("*.classes.csv")
    table.write_text("label,class\nmany,leaf\n")
    assert desk_of().results.read("flat", flat.path, wanted) is None
    # The image is shown all the same, segmented anew.
    opened = desk_of().open(flat, wanted, lambda: None)
    assert opened.shown.steps[-1].object_classes is not None
    opened.close()
