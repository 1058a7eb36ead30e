"""Nothing that was kept is lost when a process is killed, at whatever moment."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from napari_samsp.data.image_files import read_labels
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.sam.adapters.adapter_card import read_card

KEEPER = Path(__file__).with_name("keep_corrections.py")
KILLS = 25
NAPARI = Path(__file__).with_name("keep_in_napari.py")
NAPARI_KILLS = 6

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


def checked(corrections: TrainingSet) -> dict[str, int]:
    """What the samples show by name; all files of a sample show the same."""
    shown = {}
    for sample in corrections.check():
        image, labels = sample.read()
        prediction = read_labels(sample.prediction)
        assert image.shape == labels.shape == prediction.shape
        values = {*image.ravel(), *labels.ravel(), *prediction.ravel()}
        values |= {*map(int, sample.table.read_text().split("\n")[1].split(","))}
        assert len(values) == 1, f"{sample.name} mixes {values}"
        shown[sample.name] = int(values.pop())
    lines = (corrections.folder / "samples.jsonl").read_text().splitlines()
    assert {json.loads(line)["name"] for line in lines} == shown.keys() or (
        # Removed, and not yet put back.
        (corrections.folder / "removed" / "masks" / "same.tif").is_file()
    )
    return shown


@forks
def test_no_kill_loses_or_mixes_a_correction(tmp_path, tally):
    corrections = TrainingSet(tmp_path / "set")
    moments = random.Random(0)
    kept: dict[str, int] = {}
    in_the_middle = 0
    with subprocess.Popen(
        [sys.executable, KEEPER, corrections.folder],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as keeper:  # fmt: skip
        for _ in range(KILLS):
            keeper.stdin.write(f"{moments.uniform(0, 0.8)}\n")
            keeper.stdin.flush()
            last = None
            while (line := keeper.stdout.readline()) != "killed\n":
                assert line, "the keeper failed"
                what, name, number = line.split()
                if int(number):
                    kept[name] = last = int(number)
                tally[f"corrections {what} around kills"] += 1
            names = os.listdir(corrections.folder)
            in_the_middle += any(n.startswith((".stage.", ".change")) for n in names)
            shown = checked(corrections)
            if "same" not in shown:  # killed between removing and putting back
                corrections.put_back(removed(corrections))
                shown = checked(corrections)
            for name, number in kept.items():
                if name != "same":
                    assert shown[name] == number
            # The last replacement may have become valid before it could say so.
            assert "same" in shown
            assert last is None or shown["same"] >= kept["same"]
            kept["same"] = shown["same"]
            assert not (corrections.folder / ".change").exists()
        keeper.stdin.close()
    assert in_the_middle, "no kill came in the middle of a change"
    tally["kills while corrections are kept"] += KILLS
    tally["of them in the middle of a change"] += in_the_middle


@forks
@pytest.mark.gui
def test_no_kill_of_napari_loses_what_the_widget_said_it_kept(tmp_path, tally):
    """A whole napari with its window, the widget's button, and kill -9."""
    moments = random.Random(0)
    kept: dict[str, int] = {}
    environment = os.environ | {"NAPARI_SAMSP_HOME": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", NAPARI],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as parent:  # fmt: skip
        for kill in range(NAPARI_KILLS):
            parent.stdin.write(f"{moments.uniform(0, 0.6)}\n")
            parent.stdin.flush()
            before = dict(kept)
            while (line := parent.stdout.readline()) != "killed\n":
                assert line.startswith("kept "), f"napari failed: {line}"
                _, name, number = line.split()
                kept[name] = int(number)
                tally["corrections kept in a napari that is killed"] += 1
            assert len(kept) > len(before), f"nothing was kept before kill {kill}"
            corrections = TrainingSet(tmp_path / "corrections")
            shown = {}
            for sample in corrections.check():
                image, labels = sample.read()
                assert image.shape == labels.shape == (150, 260)
                ((pixel,), (label,)) = np.unique(image), np.unique(labels)
                assert label in (pixel, pixel + 30_000), f"{sample.name} is a mixture"
                shown[sample.name] = int(label)
            # The last change may have become valid before the widget could say so.
            assert shown.keys() >= kept.keys()
            assert len(shown) <= len(kept) + 1
            assert all(shown[name] >= number for name, number in kept.items())
            kept |= shown
            lines = (corrections.folder / "samples.jsonl").read_text().splitlines()
            assert sorted(json.loads(line)["name"] for line in lines) == sorted(shown)
        parent.stdin.close()
    tally["kills of a whole napari"] += NAPARI_KILLS


def removed(corrections: TrainingSet):
    """The sample that waits to be put back."""
    place = TrainingSet(corrections.folder / "removed")
    (sample,) = (s for s in place.samples() if s.name == "same")
    return sample


def test_two_programs_keep_in_one_set_and_no_line_is_lost(tmp_path, tally):
    code = (
        "import sys, numpy as np\n"
        "from napari_samsp.data.training_sets.training_set import TrainingSet\n"
        "mine = int(sys.argv[2])\n"
        "corrections = TrainingSet(sys.argv[1])\n"
        "sys.stdin.readline()\n"
        "for n in range(10):\n"
        "    image = np.full((8, 9), 10 * mine + n + 1, np.uint8)\n"
        "    corrections.add(image, image, name='same', layer=f'{mine}.{n}')\n"
    )
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", code, tmp_path / "set", str(mine)],
            stdin=subprocess.PIPE, text=True,
        )
        for mine in range(2)
    ]  # fmt: skip
    for program in programs:
        program.stdin.write("go\n")
        program.stdin.close()
    assert [program.wait(60) for program in programs] == [0, 0]
    samples = TrainingSet(tmp_path / "set").check()
    shown = {int(sample.read()[0][0, 0]) for sample in samples}
    assert shown == set(range(1, 21))
    layers = {sample.info["layer"] for sample in samples}
    assert layers == {f"{mine}.{n}" for mine in range(2) for n in range(10)}
    tally["corrections kept by two programs at once"] += len(samples)


TRAINER = Path(__file__).with_name("train_until_killed.py")
EPOCHS = 15
TRAINER_KILLS = 20


def metrics(run: Path) -> list[dict]:
    """The run's lines, but for their times."""
    path = run / "metrics.jsonl"
    text = path.read_text() if path.is_file() else ""
    lines = [json.loads(line) for line in text.splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


@forks
def test_a_run_that_is_killed_again_and_again_ends_as_if_it_never_was(
    tmp_path, nuclei, tally
):
    corrections = TrainingSet(tmp_path / "set")
    for n in range(2):
        corrections.add(nuclei[0][:, 60 * n :][:, :64], nuclei[1][:, 60 * n :][:, :64])
    run, whole = tmp_path / "run", tmp_path / "whole"
    with trainer(corrections.folder, whole) as uninterrupted:
        assert go_on(uninterrupted, "") == 0
        uninterrupted.stdin.close()
    moments = random.Random(1)
    epochs = [0]
    with trainer(corrections.folder, run) as killed:
        while len(epochs) <= TRAINER_KILLS:
            moment = f"{moments.choice((0, 1, 2, 3))} {moments.uniform(0, 0.4)}"
            assert go_on(killed, moment) in (-9, 0)
            lines = metrics(run)
            assert [line["epoch"] for line in lines] == list(range(1, len(lines) + 1))
            assert len(lines) >= epochs[-1]
            epochs.append(len(lines))
            if any(line["best"] for line in lines):
                read_card(run / "adapter")
                load_file(run / "adapter" / "adapter_model.safetensors")
        assert go_on(killed, "") == 0
        killed.stdin.close()
    assert len(set(epochs)) > 3, f"the kills came at epochs {epochs}"
    assert metrics(run) == metrics(whole)
    saved, expected = (
        load_file(place / "adapter" / "adapter_model.safetensors")
        for place in (run, whole)
    )
    assert saved.keys() == expected.keys()
    assert all(torch.equal(saved[name], expected[name]) for name in saved)
    left = sorted(p.name for place in (run, run / "last") for p in place.iterdir())
    assert left == [
        ".lock", "adapter", "config.yaml", "judged", "last", "metrics.jsonl",
        "report.json", "state.pt",
    ]  # fmt: skip
    pictures, wanted = (
        {file.name: file.read_bytes() for file in (place / "judged").iterdir()}
        for place in (run, whole)
    )
    assert pictures == wanted
    tally["kills of the trainer"] += TRAINER_KILLS
    tally["epochs lost or different after them"] += 0


def trainer(training_set: Path, run: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, TRAINER, training_set, run, str(EPOCHS)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def go_on(process: subprocess.Popen, moment: str) -> int:
    """Let it train until then, or to its end; the exit code."""
    process.stdin.write(f"{moment}\n")
    process.stdin.flush()
    return int(process.stdout.readline())
