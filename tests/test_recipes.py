"""Every recipe is one that the trainer accepts."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_samsp.train.__main__ import read_recipe
from napari_samsp.train.config import TrainConfig

RECIPES = sorted((Path(__file__).parents[1] / "training" / "recipes").glob("*.yaml"))


def test_there_are_recipes():
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_accepted(path):
    TrainConfig(**read_recipe(path))
