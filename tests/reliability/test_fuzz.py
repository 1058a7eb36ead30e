"""Any bytes and any tree of values: an InputError, or a line that is not counted."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_samsp.data.projects import default_project
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.sam.adapters.adapter_card import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    AdapterCard,
    read_card,
)
from napari_samsp.sam.adapters.peft_config import check_config
from napari_samsp.sam.known_files import KnownFile, find, known_files
from napari_samsp.train.__main__ import read_recipe
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.events import EpochEnded, from_json
from napari_samsp.train.examples.splits import split
from napari_samsp.train.run_folder import RunFolder
from napari_samsp.ui.correct.kept import local_time, origin
from napari_samsp.ui.models.adapters import Adapter
from napari_samsp.ui.settings_store import read_state
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.paths import home, widget_file

EXAMPLES = 200
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**40), 10**40)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["../x", "/", "\0", "a" * 300, "box+mask", "1e999"])
)


def trees(keys) -> st.SearchStrategy:
    """Nested values, with keys that a reader looks for."""
    names = st.sampled_from(sorted(keys)) | st.text(max_size=5)
    return st.recursive(
        LEAVES,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6)
        ),
        max_leaves=12,
    )


def documents(*keys: str, dump=json.dumps) -> st.SearchStrategy[bytes]:
    """Bytes, broken text, and well-formed documents."""
    made = trees(keys) | st.dictionaries(st.sampled_from(sorted(keys)), LEAVES)
    formed = made.map(lambda tree: dump(tree).encode("utf-8", "replace"))
    cut = formed.flatmap(lambda data: st.integers(0, len(data)).map(lambda n: data[:n]))
    return st.binary(max_size=200) | formed | cut


@pytest.fixture
def count(tally):
    """Counts an example."""

    def one() -> None:
        tally["fuzzed files read"] += 1

    return one


CARD = [*AdapterCard.__dataclass_fields__, "kind", "low", "high", "dice"]


@fuzz
@given(data=documents(*CARD))
def test_cards(tmp_path, data, count):
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "samsp.json").write_bytes(data)
    count()
    try:
        card = read_card(tmp_path)
    except InputError as error:
        assert "\n" not in str(error)
    else:  # then everything that shows it can
        adapter = Adapter(tmp_path, card)
        assert adapter.name
        assert adapter.details
        card.known_base()


@fuzz
@given(
    value=trees(CARD), name=st.sampled_from(sorted(AdapterCard.__dataclass_fields__))
)
def test_a_sound_card_with_one_odd_value(tmp_path, value, name, count):
    for file in (CONFIG_FILE, WEIGHTS_FILE):
        (tmp_path / file).write_bytes(b"")
    card = {"base": "samsp_small", "base_sha256": "0", "image_size": 256, name: value}
    (tmp_path / "samsp.json").write_text(json.dumps(card))
    count()
    with suppress(InputError):
        adapter = Adapter(tmp_path, read_card(tmp_path))
        assert adapter.name
        assert adapter.details


@fuzz
@given(data=documents("peft_type", "r", "target_modules", "rank_pattern", "lora_bias"))
def test_configurations_of_peft(tmp_path, data, count):
    path = tmp_path / "adapter_config.json"
    path.write_bytes(data)
    count()
    with suppress(InputError):
        check_config(path)


@pytest.fixture(scope="module")
def one_sample(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("set")
    TrainingSet(folder).add(np.eye(4), np.eye(4), name="a")
    return folder


@fuzz
@given(lines=st.lists(documents("name", "time", "source", "layer"), max_size=4))
def test_notes_of_a_training_set(one_sample, lines, count):
    (one_sample / "samples.jsonl").write_bytes(b"\n".join(lines))
    corrections = TrainingSet(one_sample)
    count()
    (sample,) = corrections.check()  # the images are never hidden
    local_time(sample)
    origin(sample)
    split([sample], "0", 0)


@fuzz
@given(lines=st.lists(documents("epoch", "loss", "dice"), max_size=4))
def test_metrics_of_a_run(tmp_path, lines, count):
    (tmp_path / "metrics.jsonl").write_bytes(b"\n".join(lines))
    count()
    RunFolder(tmp_path).append_metrics(EpochEnded(3, 3, 0.5, [0.1], 1.0, True, 0.0))
    written = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").split("\n")
    assert json.loads(written[-2])["epoch"] == 3


@fuzz
@given(line=documents("event", "before", "after", "dice", "message", "epoch"))
def test_lines_of_the_trainer(line, count):
    count()
    from_json(line.decode("utf-8", "replace"))


SETTINGS = sorted(TrainConfig.__dataclass_fields__)


@fuzz
@given(data=documents(*SETTINGS, dump=lambda tree: yaml.dump(tree)))
def test_recipes(tmp_path, data, count):
    path = tmp_path / "r.yaml"
    path.write_bytes(data)
    count()
    try:
        TrainConfig(**read_recipe(path))
    except InputError as error:
        assert "\n" not in str(error)


@fuzz
@given(data=documents("model", "adapter", "iterations", "objects", "minutes"))
def test_memory(data, count):
    widget_file().parent.mkdir(parents=True, exist_ok=True)
    widget_file().write_bytes(data)
    count()
    state = read_state(default_project())
    assert abs(state.get("iterations", 0)) < 2**31
    assert abs(state.get("minutes", 0)) < 2**31  # so, no NaN


@fuzz
@given(data=documents("path", "sha256"))
def test_known_files(data, count):
    home().mkdir(parents=True, exist_ok=True)
    (home() / "checkpoints.json").write_bytes(data)
    count()
    assert all(isinstance(one, KnownFile) for one in known_files())
    find("best.pt", "0" * 64)
