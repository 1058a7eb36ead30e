"""The experiments run, continue where they stopped, and become tables."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from napari_samsp.data.image_files import read_labels, write_labels
from napari_samsp.data.training_sets.training_set import TrainingSet

FOLDER = Path(__file__).parents[1] / "training" / "experiments"
BUNDLED = files("napari_samsp") / "weights" / "samsp_small.safetensors"


@pytest.fixture
def data(tmp_path, nuclei):
    folder = tmp_path / "data"
    for n, name in enumerate(("a", "b", "c", "d")):
        image, labels = (np.roll(part, 20 * n, axis=1) for part in nuclei)
        TrainingSet(folder / "cells").add(image, labels, name=name)
    (folder / "cells" / "meta.csv").write_text(
        "stem,suggested_split\na,train\nb,train\nc,test\nd,test\n"
    )
    return folder


def run(script, *arguments):
    return subprocess.run(
        [sys.executable, "-W", "ignore", str(FOLDER / script), *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env=os.environ, check=False,
    )  # fmt: skip


def rows_of(path):
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_a_recipe_becomes_a_table(tmp_path, data):
    recipe = {
        "data": ["cells"], "objects": ["cells"], "images": [1], "seeds": [0],
        "methods": [
            "otsu", "forest", "unet", "unet, ImageNet", "unet, borders", "untrained",
            "components", "sam-sp, luckiest epoch",
        ],
        "minutes": 0.02, "iterations": 2, "bases": {"cells": "mine.safetensors"},
    }  # fmt: skip
    shutil.copy(BUNDLED, tmp_path / "mine.safetensors")
    file, results = tmp_path / "recipe.yaml", tmp_path / "results.csv"
    file.write_text(yaml.safe_dump(recipe))
    done = run("run.py", file, data, "--output", results)
    assert done.returncode == 0, done.stderr
    rows = rows_of(results)
    iterations = {row["method"]: int(row["iteration"]) for row in rows}
    assert iterations == {
        "otsu": 0, "forest": 0, "unet": 0, "unet, ImageNet": 0, "unet, borders": 0,
        "untrained": 1, "components": 1,
        "sam-sp, luckiest epoch": 1,
    }  # fmt: skip
    best = {row["method"]: float(row["dice"]) for row in rows}
    assert best["otsu"] > 0.95  # bright discs on a dark ground
    assert best["forest"] > 0.9
    assert {row["tests"] for row in rows} == {"2"}
    assert {row["base"] for row in rows} == {"mine"}

    # An interrupted run goes on: only the seed that is new is run.
    file.write_text(yaml.safe_dump({**recipe, "methods": ["otsu"], "seeds": [0, 1]}))
    assert run("run.py", file, data, "--output", results).returncode == 0
    assert [row["seed"] for row in rows_of(results)] == ["0"] * 11 + ["1"]

    done = run("report.py", results, "--output", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    table = (tmp_path / "report" / "tables.md").read_text()
    assert "AP at 0.5" in table
    assert "| untrained |" in table
    assert (tmp_path / "report" / "iterations.png").stat().st_size > 5000
    assert "images |" not in table

    # More images: beside the number that most methods were run with.
    file.write_text(yaml.safe_dump({**recipe, "methods": ["otsu"], "images": ["all"]}))
    assert run("run.py", file, data, "--output", results).returncode == 0
    assert run("report.py", results, "--output", tmp_path / "more").returncode == 0
    longer = (tmp_path / "more" / "tables.md").read_text()
    assert longer.startswith(table.rstrip())
    assert "| set | method | 1 image | all images |" in longer
    assert (tmp_path / "more" / "images.png").stat().st_size > 5000


def test_borders_keep_objects_apart_that_touch(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.syspath_prepend(FOLDER.parent)
    from unets import borders, cut

    labels = np.zeros((40, 60), np.int32)
    labels[10:30, 10:30], labels[10:30, 30:50] = 1, 2
    edges = borders(torch.from_numpy(labels)[None])[0].numpy()
    found = cut(np.where(labels > 0, 3.0, -3.0), np.where(edges, 2.0, -2.0))
    assert found.max() == 2
    assert ((found > 0) == (labels > 0)).all()
    for label in (1, 2):
        (same,) = np.unique(found[labels == label])
        assert (found == same).sum() == (labels == label).sum()


def test_classes_are_told_apart_and_an_interrupted_table_goes_on(tmp_path, data):
    for mask in (data / "cells" / "masks").iterdir():
        labels = read_labels(mask)
        labels = np.where(labels > 0, 2 + 3 * (labels % 2), 0)  # 2 and 5
        labels[:4] = 255  # what nobody labelled is no class
        write_labels(mask, labels)
    recipe = {
        "data": ["cells"], "classes": ["cells"], "images": [1], "seeds": [0],
        "methods": ["sam-sp", "unet, ImageNet"], "minutes": 0.02, "iterations": 2,
    }  # fmt: skip
    file, results = tmp_path / "recipe.yaml", tmp_path / "results.csv"
    file.write_text(yaml.safe_dump(recipe))
    done = run("run.py", file, data, "--output", results)
    assert done.returncode == 0, done.stderr
    rows = rows_of(results)
    assert {(row["data"], row["method"], row["iteration"]) for row in rows} == {
        (f"cells{part}", method, t)
        for part in ("", ", class 2", ", class 5")
        for method, t in (("sam-sp", "0"), ("sam-sp", "1"), ("unet, ImageNet", "0"))
    }
    for t in "01":
        mean, *each = (
            float(row["dice"])
            for row in rows
            if (row["method"], row["iteration"]) == ("sam-sp", t)
        )
        assert mean == pytest.approx(np.mean(each), abs=1e-4)
    more = [*recipe["methods"], "sam-sp, one class a run"]
    file.write_text(yaml.safe_dump({**recipe, "methods": more}))
    done = run("run.py", file, data, "--output", results)
    assert done.returncode == 0, done.stderr
    assert "1/1 cells sam-sp, one class a run 1 0" in done.stdout
    assert rows_of(results)[: len(rows)] == rows
    assert len(rows_of(results)) == len(rows) + 6


def test_many_labels_can_be_one_class_and_some_images_left_out(tmp_path, data):
    for mask in (data / "cells" / "masks").iterdir():
        labels = read_labels(mask)
        write_labels(mask, np.where(labels > 0, 3 + labels % 3, 0))  # 3, 4 and 5
    recipe = {
        "data": ["cells"], "classes": ["cells"], "merge": {"cells": [[5], [3, 4]]},
        "images": ["all"], "seeds": [0], "methods": ["otsu"], "minutes": 0.02,
    }  # fmt: skip
    file, results = tmp_path / "recipe.yaml", tmp_path / "results.csv"
    file.write_text(yaml.safe_dump(recipe))
    assert run("run.py", file, data, "--output", results).returncode == 0
    assert {row["data"] for row in rows_of(results)} == {
        "cells", "cells, class 1", "cells, class 2",
    }  # fmt: skip
    file.write_text(yaml.safe_dump({**recipe, "sources": {"cells": "nobody's"}}))
    done = run("run.py", file, data, "--output", tmp_path / "none.csv")
    assert "no image of cells begins with nobody's" in done.stderr


def test_images_of_one_source_are_all_learnt_from_or_all_tested(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(FOLDER.parent)
    from real_images import with_tests

    def names(pairs):
        return [pair.stem for pair in pairs]

    for stem in ["a_1", "b_1", "b_2", "b_3", "disc_1", "disc_2", "disc_3"]:
        for kind in ("images", "masks"):
            (tmp_path / kind).mkdir(exist_ok=True)
            (tmp_path / kind / f"{stem}.png").touch()
    assert names(with_tests(tmp_path)[1]) == ["disc_1", "disc_2", "disc_3"]
    learn, tests = with_tests(tmp_path, "disc")
    assert names(learn) == ["disc_1", "disc_2"]
    assert names(tests) == ["disc_3"]


def test_a_recipe_with_a_mistake_names_it(tmp_path, data):
    file = tmp_path / "recipe.yaml"
    recipe = {"data": ["cells"], "methods": ["otzu"], "images": [1]}
    right = {**recipe, "methods": ["otsu"]}
    for wrong, name in (
        (recipe, "otzu"),
        ({**right, "minute": 1}, "minute"),
        ({**right, "bases": {"cells": "gone.safetensors"}}, "gone.safetensors"),
        ({**right, "bases": {"sells": "mine.safetensors"}}, "sells"),
        ({**right, "merge": {"sells": [[1]]}}, "merge of sells"),
    ):
        file.write_text(yaml.safe_dump(wrong))
        done = run("run.py", file, data, "--output", tmp_path / "r.csv")
        assert done.returncode != 0
        assert name in done.stderr


@pytest.mark.parametrize("recipe", sorted(FOLDER.glob("*.yaml")), ids=lambda p: p.stem)
def test_our_recipes_are_valid(recipe, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    from run import Recipe

    assert Recipe.read(recipe).data


def test_ceilings_tell_what_a_perfect_guess_would_give(data):
    done = run("ceilings.py", data, "--set", "cells")
    assert done.returncode == 0, done.stderr
    name, _, said = done.stdout.strip().partition(": ")
    assert name.startswith("cells (n=")
    figures = [float(part.split()[-1]) for part in said.split(", ")]
    assert len(figures) == 4
    parts, first, of_true_parts, grid = figures
    assert max(parts, first, of_true_parts) <= grid == 1
    assert of_true_parts > 0.5  # bright discs on a dark ground
