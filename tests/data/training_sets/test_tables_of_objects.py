"""The table of objects' classes goes wherever the mask of the objects goes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_samsp.data.training_sets.class_tables import TABLE_ENDING, read_table
from napari_samsp.data.training_sets.classes import Classes, LabelClass, read_classes
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.data.training_sets.versions import bring_back, version_of
from napari_samsp.utils.errors import InputError

DISC, BAR = LabelClass(1, "disc", "#00ff00"), LabelClass(7, "bar", "#ff0000")
CLASSES = Classes("instances", (DISC, BAR), ())


def labelled(objects: dict[int, int]) -> np.ndarray:
    """A column of 7 x 4 pixels an object."""
    return np.repeat(np.tile(np.array([*objects], np.int32), (7, 1)), 4, axis=1)


def found(training_set: TrainingSet) -> dict[str, tuple[list[int], dict | None]]:
    """By name the labels of a sample, and its classes' labels if it has a table."""
    shown = {}
    for sample in training_set.samples():
        table = None
        if sample.table is not None:
            index = read_table(sample.table, CLASSES)
            table = {k: CLASSES.classes[n].label for k, n in index.items()}
        shown[sample.name] = (np.unique(sample.read()[1]).tolist(), table)
    return shown


OBJECTS = st.dictionaries(
    st.integers(1, 2**31 - 1), st.sampled_from([1, 7]), min_size=1, max_size=4
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "replace", "remove", "put back", "undo"]),
        OBJECTS, st.booleans(),
    ),
    max_size=12,
)  # fmt: skip


@settings(max_examples=12)  # each step waits for the disk
@given(OBJECTS, STEPS)
def test_whatever_is_done_each_mask_has_its_own_table(tmp_path_factory, first, steps):
    training_set = TrainingSet(tmp_path_factory.mktemp("set"))
    expected: dict[str, tuple] = {}
    undoable = []  # as the widget's Undo: the last first

    def keep(objects, has_table, **how):
        labels = labelled(objects)
        more = {"classes": CLASSES, "object_classes": objects} if has_table else {}
        sample = training_set.add(labels.astype(np.float32), labels, **more, **how)
        expected[sample.name] = (sorted(objects), objects if has_table else None)
        return sample

    keep(first, True, name="a")
    for what, objects, has_table in steps:
        names = [*expected]
        if what == "add":
            keep(objects, has_table, name="a")
        elif what == "replace" and names:
            version = version_of(training_set, names[0])
            before = expected[names[0]]
            newer = keep(objects, has_table, name=names[0], replace=True)
            undoable.append((version.beside(newer), before))
        elif what == "remove" and names:
            undoable.append((training_set.remove(names[0]), expected.pop(names[0])))
        elif what in ("put back", "undo") and undoable:
            last, before = undoable.pop()
            if hasattr(last, "mask"):
                back = training_set.put_back(last)
            elif last.name in expected:
                back = bring_back(training_set, last)
            else:
                continue
            expected[back.name] = before
        assert found(training_set) == expected


def test_a_table_is_lost_neither_by_replacing_nor_by_removing(tmp_path):
    training_set = TrainingSet(tmp_path)
    objects = {3: 1, 5: 7}
    image, labels = np.ones((7, 8), np.uint8), labelled(objects)
    training_set.add(image, labels, name="a", object_classes=objects)
    kept = training_set.sample("a").table.read_bytes()
    training_set.add(image, labels, name="a", replace=True)
    assert training_set.sample("a").table is None  # it told of other objects
    assert (tmp_path / "removed" / "masks" / f"a{TABLE_ENDING}").read_bytes() == kept
    training_set.add(image, labels, name="a", replace=True, object_classes=objects)
    removed = training_set.remove("a")
    assert not list((tmp_path / "masks").iterdir())
    assert removed.table.read_bytes() == kept
    assert removed.table.name == f"{removed.mask.stem}{TABLE_ENDING}"
    training_set.add(image, labels, name="a", object_classes={3: 7, 5: 7})
    back = training_set.put_back(removed)
    assert back.name == "a-2"
    assert back.table.name == f"a-2{TABLE_ENDING}"
    assert back.table.read_bytes() == kept


def test_a_table_that_a_person_left_behind_is_not_taken_for_another_mask(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / f"a{TABLE_ENDING}").write_text("label,class\n1,bar\n")
    training_set = TrainingSet(tmp_path)
    sample = training_set.add(np.ones((4, 6)), np.ones((4, 6), int), name="a")
    assert (sample.name, sample.table) == ("a-2", None)


def test_an_object_without_a_class_is_not_stored(tmp_path):
    training_set = TrainingSet(tmp_path)
    labels = labelled({3: 1, 5: 7})
    with pytest.raises(InputError, match="Object 5 has no class"):
        training_set.add(labels, labels, name="a", object_classes={3: 1})
    assert training_set.samples() == []


def test_the_list_of_classes_comes_with_the_sample_or_not_at_all(tmp_path):
    training_set = TrainingSet(tmp_path)
    labels = labelled({3: 1, 5: 7})
    training_set.add(labels, labels, classes=CLASSES, object_classes={3: 1, 5: 7})
    assert read_classes(tmp_path) == CLASSES
    with pytest.raises(InputError, match="are objects, each with a class, not areas"):
        training_set.add(labels, labels, classes=Classes("semantic", (DISC,)))
    assert read_classes(tmp_path) == CLASSES
    assert len(training_set.samples()) == 1


def test_what_is_trained_on_has_another_fingerprint_with_other_classes(tmp_path):
    training_set = TrainingSet(tmp_path)
    labels = labelled({3: 1})
    training_set.add(labels, labels, classes=CLASSES, object_classes={3: 1}, name="a")
    before = training_set.fingerprint(classes=True)
    training_set.add(labels, labels, object_classes={3: 7}, name="a", replace=True)
    assert training_set.fingerprint(classes=True) != before
