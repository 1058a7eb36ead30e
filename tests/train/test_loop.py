"""A run: it learns, keeps the best, resumes exactly, and stops when told."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from peft import PeftModel
from safetensors.torch import load_file
from skimage.draw import disk

from napari_samsp.data.image_files import write_image
from napari_samsp.data.training_sets import sample as core_sample
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.metrics import dice
from napari_samsp.sam.adapters.adapter_card import read_card
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.events import EpochEnded, Finished, Noted, Started, Stepped
from napari_samsp.train.loop import train
from napari_samsp.utils.errors import InputError

QUICK = TrainConfig(epochs=2, views=4, batch=2, threads=2, augment=False)


@pytest.fixture
def stripes(tmp_path) -> TrainingSet:
    """Landscape and portrait images where everything but a dark stripe is the object.

    The bundled model takes the stripe: only training tells it otherwise.
    """
    rng = np.random.default_rng(0)
    training_set = TrainingSet(tmp_path / "set")
    for n, shape in enumerate([(60, 96), (96, 60), (64, 100), (100, 64)]):
        labels = np.ones(shape, np.int32)
        labels[shape[0] // 3 : shape[0] // 2 + 5 * n] = 0
        image = np.where(labels > 0, 160, 60) + rng.normal(0, 10, shape)
        training_set.add(image.clip(0, 255).astype(np.uint8), labels, name=f"s{n}")
    return training_set


def test_training_helps_on_held_out_images_and_its_adapter_works(stripes, tmp_path):
    events = []
    judging = TrainingSet(tmp_path / "judge")
    judging.add(*stripes.samples()[3].read(), name="s3")
    stripes.remove("s3")
    config = replace(
        QUICK, epochs=8, views=8, rate=3e-3, decoder_rate=1e-3,
        validation=str(judging.folder),
    )  # fmt: skip
    finished = train(stripes.folder, tmp_path / "run", config, report=events.append)
    assert isinstance(events[0], Started)
    assert (events[0].images, events[0].held_out) == (3, 1)
    assert sum(isinstance(e, Stepped) for e in events) == 8 * 2
    assert events[-1] == finished
    assert finished.held_out
    assert finished.after.n == 1
    assert len(finished.after.dice) == 2
    assert finished.better is None  # one image cannot tell
    assert finished.after.dice[-1] > finished.before.dice[-1] + 0.1

    # What the report says is what the saved adapter does.
    judged = [
        _dice(tmp_path / "run", sample, config.iterations)
        for sample in TrainingSet(tmp_path / "judge").samples()
    ]
    assert judged == [pytest.approx(finished.after.dice, abs=1e-6)]
    card = read_card(tmp_path / "run" / "adapter")
    assert card.base == "samsp_small"
    assert card.fingerprint == stripes.fingerprint()
    assert card.after["dice"] == finished.after.dice
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 9))
    assert json.loads(lines[0]).keys() >= {"epoch", "loss", "dice", "seconds"}
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["before"].keys() >= {"dice", "iou", "n"}
    assert (report["judged_by"], report["better"]) == ("validation set", None)
    settings = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert settings["rate"] == 3e-3


def _dice(run, sample, iterations):
    image, labels = sample.read()
    steps = Segmenter(adapter=run / "adapter").segment(image, iterations)
    return [
        2 * np.count_nonzero((s.labels > 0) & (labels > 0))
        / (np.count_nonzero(s.labels) + np.count_nonzero(labels))
        for s in steps
    ]  # fmt: skip


def test_a_resumed_run_is_the_run_that_was_never_interrupted(stripes, tmp_path):
    whole = train(stripes.folder, tmp_path / "whole", replace(QUICK, epochs=3))

    class Killed(Exception):
        pass

    def kill(event):
        if isinstance(event, Stepped) and event.epoch == 3:
            raise Killed

    config = replace(QUICK, epochs=3)
    with pytest.raises(Killed):
        train(stripes.folder, tmp_path / "cut", config, report=kill)
    resumed = train(stripes.folder, tmp_path / "cut", config, resume=True)
    assert resumed.after.dice == pytest.approx(whole.after.dice, abs=1e-4)
    name = "metrics.jsonl"
    both = [
        [json.loads(line)["loss"] for line in metrics.read_text().splitlines()]
        for metrics in (tmp_path / "whole" / name, tmp_path / "cut" / name)
    ]
    assert both[0] == pytest.approx(both[1], abs=1e-4)


def test_it_also_learns_from_a_folder_of_images_without_masks(stripes, tmp_path):
    folder = tmp_path / "others"
    folder.mkdir()
    for n in range(3):
        image, _ = stripes.samples()[n].read()
        write_image(folder / f"other{n}.tif", image[::-1, ::-1] // (n + 1))
    config = replace(QUICK, epochs=3, validation="0")
    events = []
    alone = train(stripes.folder, tmp_path / "alone", config)
    config = replace(config, unlabelled=str(folder))
    train(stripes.folder, tmp_path / "run", config, report=events.append)
    notes = [event.message for event in events if isinstance(event, Noted)]
    assert notes == ["Also learning from 3 images without a mask."]
    losses = [
        [json.loads(line)["loss"] for line in metrics.read_text().splitlines()]
        for metrics in (tmp_path / name / "metrics.jsonl" for name in ("alone", "run"))
    ]
    # From half of the run on: until then it is the run without them.
    assert losses[1][0] == pytest.approx(losses[0][0], abs=1e-4)
    assert losses[1][2] > losses[0][2] + 1e-4
    assert alone.adapter


def test_a_run_is_never_overwritten_nor_resumed_with_other_settings(stripes, tmp_path):
    run = tmp_path / "run"
    config = replace(QUICK, epochs=1)
    train(stripes.folder, run, config)
    with pytest.raises(InputError, match="already holds a run"):
        train(stripes.folder, run, config)
    with pytest.raises(InputError, match="another value of rank"):
        train(stripes.folder, run, replace(config, rank=8), resume=True)
    stripes.remove("s0")
    with pytest.raises(InputError, match=r"have changed since .* was begun"):
        train(stripes.folder, run, config, resume=True)


def test_it_says_that_connected_parts_are_the_objects(stripes, tmp_path):
    heard = []
    for objects in (False, True):
        config = replace(QUICK, epochs=1, objects=objects, validation="0")
        train(stripes.folder, tmp_path / f"run{objects}", config, report=heard.append)
    notes = [event.message for event in heard if isinstance(event, Noted)]
    assert [note for note in notes if "connected parts" in note] == notes
    assert len(notes) == 1


def test_stop_keeps_the_best_so_far(stripes, tmp_path):
    steps = []
    finished = train(
        stripes.folder, tmp_path / "run", replace(QUICK, epochs=50),
        report=lambda e: steps.append(e) if isinstance(e, Stepped) else None,
        stop_requested=lambda: len(steps) >= 1,
    )  # fmt: skip
    assert finished.reason == "stopped"
    assert len(steps) == 1
    assert read_card(tmp_path / "run" / "adapter").images == 4


def test_it_stops_early_and_keeps_the_best_epoch(stripes, tmp_path):
    """At a rate that changes nothing no epoch beats the first."""
    still = {"rate": 1e-9, "decoder_rate": 1e-9, "encoder_rate": 1e-9}
    config = replace(QUICK, epochs=6, patience=2, **still)
    events = []
    finished = train(stripes.folder, tmp_path / "run", config, report=events.append)
    assert finished.reason == "early stop"
    assert finished.better is False
    kept = [e.best for e in events if isinstance(e, EpochEnded)]
    assert kept == [True, False, False]


def test_a_time_limit_is_for_learning_more_than_for_judging(stripes, tmp_path):
    """A clock that tells how many images were encoded: judging takes many tiles."""
    events, encoded = [], [0]
    for name in ("s2", "s3"):
        stripes.remove(name)

    def hear(event):
        events.append((event, encoded[0]))

    def count(module, given):
        if isinstance(module, torch.nn.Conv2d) and module.in_channels == 3:
            encoded[0] += len(given[0])

    hook = torch.nn.modules.module.register_module_forward_pre_hook(count)
    config = replace(
        QUICK, views=2, epochs=0, minutes=1, field_of_view=60, patience=0,
    )  # fmt: skip
    try:
        train(
            stripes.folder, tmp_path / "run", config, report=hear,
            seconds=lambda: float(encoded[0]),
        )  # fmt: skip
    finally:
        hook.remove()
    epochs = [(e, at) for e, at in events if isinstance(e, EpochEnded)]
    judged = [e.judged for e, _ in epochs]
    assert judged[-1]  # what the user gets
    assert 1 < sum(judged) < len(judged) / 2
    stepped = {e.epoch: at for e, at in events if isinstance(e, Stepped)}
    judging = sum(at - stepped[e.epoch] for e, at in epochs)
    assert 0 < judging < 0.3 * epochs[-1][1]
    assert not any(e.best for e, _ in epochs if not e.judged)
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["judged"] for row in rows] == judged
    assert {len(json.loads(row)["dice"]) for row in rows} == {QUICK.iterations}


@pytest.mark.parametrize("prompt", ["box", "points+mask"])
def test_per_object_training_with_every_prompt(nuclei, tmp_path, prompt):
    training_set = TrainingSet(tmp_path / "set")
    training_set.add(*nuclei, name="a")
    training_set.add(nuclei[0], nuclei[1] * 0, name="empty")
    config = replace(QUICK, epochs=1, objects=True, prompt=prompt, augment=True)
    finished = train(training_set.folder, tmp_path / "run", config)
    assert isinstance(finished, Finished)
    assert finished.judged_by == "training images"
    assert finished.after.ap50 is not None
    card = read_card(tmp_path / "run" / "adapter")
    assert (card.objects, card.prompt) == (True, prompt)


def test_continuing_from_an_adapter_starts_where_it_ended(stripes, tmp_path):
    first = train(stripes.folder, tmp_path / "a", replace(QUICK, epochs=2))
    config = replace(QUICK, epochs=1, adapter=first.adapter)
    second = train(stripes.folder, tmp_path / "b", config)
    assert second.before.dice == pytest.approx(first.after.dice, abs=1e-3)


def test_before_is_what_the_user_had(tmp_path):
    # The corrections are of small things, which training looks at closely; the base
    # model looks at the whole image, where it sees the large disc.
    training_set = TrainingSet(tmp_path / "set")
    shape = (300, 400)
    for n in range(2):
        image, labels = np.full(shape, 40, np.uint8), np.zeros(shape, np.int32)
        image[disk((150, 200), 120, shape=shape)] = 170
        spot = disk((60 + 20 * n, 350), 8, shape=shape)
        image[spot], labels[spot] = 230, 1
        training_set.add(image, labels, name=f"s{n}")
    finished = train(training_set.folder, tmp_path / "run", replace(QUICK, epochs=1))
    assert max(read_card(finished.adapter).field_of_view) < 200
    user = [
        [dice(step.labels, sample.read()[1]) for step in steps]
        for sample in training_set.samples()
        for steps in [Segmenter().segment(sample.read()[0], 2)]
    ]
    assert finished.before.dice == pytest.approx(np.mean(user, 0), abs=1e-6)


def test_lora_and_decoder_move_and_the_base_does_not(stripes, tmp_path):
    train(stripes.folder, tmp_path / "run", replace(QUICK, epochs=1))
    state = torch.load(tmp_path / "run" / "last" / "state.pt", weights_only=True)
    names = state["adapter"]
    moved = [n for n, v in names.items() if "lora_B" in n and v.abs().sum() > 0]
    assert len(moved) == 8
    kinds = {n.split("base_model.model.")[1].split(".")[0] for n in names}
    assert kinds == {"image_encoder", "prompt_encoder", "mask_decoder"}
    blocks = [n for n in names if ".image_encoder.blocks." in n]
    assert blocks and all("lora" in n for n in blocks)


def test_an_adapter_keeps_the_input_size_that_it_was_trained_at(stripes, tmp_path):
    quick = replace(QUICK, epochs=1)
    train(stripes.folder, tmp_path / "run", replace(quick, input_size=128))
    folder = tmp_path / "run" / "adapter"
    assert read_card(folder).image_size == 128
    assert Segmenter(adapter=folder).input_size == 128
    train(stripes.folder, tmp_path / "on", replace(quick, adapter=str(folder)))
    assert read_card(tmp_path / "on" / "adapter").image_size == 128


def test_a_set_without_a_labelled_pixel_is_refused_and_nothing_is_written(
    nuclei, tmp_path
):
    training_set = TrainingSet(tmp_path / "set")
    for name in "ab":
        training_set.add(nuclei[0], nuclei[1] * 0, name=name)
    with pytest.raises(InputError, match=r"Every mask .* is empty"):
        train(training_set.folder, tmp_path / "run", QUICK)
    assert not (tmp_path / "run").exists()


def test_every_file_of_the_set_is_decoded_once(stripes, tmp_path, monkeypatch):
    read = []
    for reader in ("read_image", "read_labels"):
        real = getattr(core_sample, reader)

        def noting(path, real=real, **options):
            read.append(path)
            return real(path, **options)

        monkeypatch.setattr(core_sample, reader, noting)
    train(stripes.folder, tmp_path / "run", replace(QUICK, epochs=1))
    assert len(read) == len(set(read)) == 8


@pytest.mark.parametrize(("speed", "blocks"), [("decoder", []), ("last-blocks", [3])])
def test_each_speed_makes_an_adapter_that_stock_peft_reads(
    stripes, tmp_path, speed, blocks
):
    config = replace(QUICK, speed=speed, epochs=6, views=8, augment=True)
    finished = train(stripes.folder, tmp_path / "run", config)
    assert finished.better is None  # of images that it saw
    assert finished.after.dice[-1] > finished.before.dice[-1]
    folder = tmp_path / "run" / "adapter"
    assert read_card(folder).speed == speed
    trained = load_file(folder / "adapter_model.safetensors")
    found = {int(n.split(".blocks.")[1][0]) for n in trained if "lora" in n}
    assert sorted(found) == blocks

    # Stock PEFT, and merged, the same as ours.
    image = torch.randn(1, 3, 256, 256)
    peft = PeftModel.from_pretrained(load_sam("samsp_small").sam, str(folder)).eval()
    ours = Segmenter(adapter=folder)
    with torch.inference_mode():
        embedding = ours.sam.image_encoder(image)
        expected = peft.get_base_model().image_encoder(image)
        assert torch.allclose(embedding, expected, atol=1e-4)
    merged = peft.merge_and_unload().mask_decoder.state_dict()
    for name, value in ours.sam.mask_decoder.state_dict().items():
        assert torch.equal(value, merged[name])
    judged = _dice(tmp_path / "run", stripes.samples()[0], 2)
    assert len(judged) == 2


def test_a_resumed_run_keeps_the_speed_that_was_chosen(stripes, tmp_path):
    config = replace(QUICK, epochs=1)
    train(stripes.folder, tmp_path / "run", config)
    settings = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert settings["speed"] == "everywhere"
    with pytest.raises(InputError, match="another value of speed"):
        train(
            stripes.folder, tmp_path / "run",
            replace(config, speed="decoder"), resume=True,
        )  # fmt: skip
    train(stripes.folder, tmp_path / "run", replace(config, epochs=2), resume=True)
