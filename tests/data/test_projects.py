"""Projects on disk: made, opened, and what they store."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_samsp.data.projects import (
    default_project,
    known_projects,
    new_project,
    open_project,
)
from napari_samsp.data.training_sets.likeness import difference
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.paths import corrections_folder, runs_folder


def test_a_new_project_has_a_folder_of_its_own():
    made = new_project(" Nuclei, HE ")
    assert json.loads((made.folder / "project.json").read_text()) == {
        "name": "Nuclei, HE"
    }
    assert (made.corrections, made.adapters) == (
        made.folder / "corrections",
        made.folder / "adapters",
    )
    assert known_projects() == [default_project(), made]
    assert open_project(made.folder) == made


def test_what_was_there_before_projects_is_the_default_one():
    project = default_project()
    assert project.corrections == corrections_folder()
    assert project.adapters == runs_folder()
    assert open_project(project.folder) == project


@pytest.mark.parametrize("name", ["", "  ", "Default", "default", "a/b", "A/B"])
def test_a_name_that_cannot_be_is_refused(name):
    new_project("a/b")  # which no file is called
    with pytest.raises(InputError, match=r"needs a name|another name"):
        new_project(name)


def test_a_training_set_opens_as_a_project_and_stays_what_it_is(tmp_path, nuclei):
    image, labels = nuclei
    training_set = TrainingSet(tmp_path / "mine")
    training_set.add(image, labels, name="a")
    fingerprint = training_set.fingerprint()
    project = open_project(tmp_path / "mine")
    project.store({"objects": True})
    (project.adapters / "run" / "adapter").mkdir(parents=True)
    assert project.corrections == training_set.folder
    assert open_project(tmp_path / "mine") == project
    assert [sample.name for sample in training_set.check()] == ["a"]
    assert training_set.fingerprint() == fingerprint


def test_another_folder_is_no_project(tmp_path):
    with pytest.raises(InputError, match=r"neither a project\.json nor the folders"):
        open_project(tmp_path)


def test_settings_are_merged_and_broken_ones_are_none(tmp_path):
    project = new_project("one")
    project.store({"iterations": 3})
    project.store({"objects": True})
    assert project.settings() == {"name": "one", "iterations": 3, "objects": True}
    for broken in ("{", "[1]", "[" * 100_000, '{"name": "' + "x" * 2**20 + '"}'):
        project.settings_file.write_text(broken)
        assert project.settings() == {}
        assert open_project(project.folder).name == "one"


def kept(folder, *shapes, objects=None):
    training_set = TrainingSet(folder)
    info = {} if objects is None else {"objects": objects}
    for shape in shapes:
        labels = np.ones(shape[:2], np.int32)
        training_set.add(np.zeros(shape, np.uint8), labels, **info)
    return training_set.samples()


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((20, 30), ""),
        ((60, 79), ""),
        ((80, 120), "much larger"),
        ((4, 7), "much smaller"),
        ((20, 30, 3), "it is in colour, the others are gray"),
    ],
)
def test_a_sample_of_another_kind(tmp_path, shape, words):
    others = kept(tmp_path / "set", (20, 30), (28, 22))
    (new,) = kept(tmp_path / "new", shape)
    found = difference(new, others)
    assert words in found
    assert bool(words) == bool(found)
    assert difference(new, []) == ""


def test_one_region_among_objects(tmp_path):
    others = kept(tmp_path / "set", (20, 30), (20, 31), objects=True)
    (new,) = kept(tmp_path / "new", (20, 30), objects=False)
    assert difference(new, others) == "it has one region, the others separate objects"
    assert difference(others[0], [*others, new]) == ""


def test_notes_of_anybody_are_no_error(tmp_path):
    (sample, other) = kept(tmp_path, (20, 30), (20, 30))
    for shape in (None, "big", [1], [1, 2, 3, 4], [0, 1], [True, 2], [1.5, 2]):
        sample.info.update(shape=shape, objects=shape)
        assert difference(sample, [other]) == ""
