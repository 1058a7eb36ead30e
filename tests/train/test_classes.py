"""Training with classes: learnt, judged, resumed, predicted, evaluated, exported."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from peft import PeftModel
from safetensors.torch import load_file

from napari_samsp import evaluate, export, measure, predict
from napari_samsp.data.label_files import write_tiff
from napari_samsp.data.training_sets.classes import Classes, LabelClass, write_classes
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.data.voxel_size import VoxelSize
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.metrics import dice
from napari_samsp.sam.adapters.adapter import load_adapter
from napari_samsp.sam.adapters.adapter_card import read_card
from napari_samsp.sam.adapters.class_tokens import add_class_tokens
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.loop import train
from napari_samsp.utils.errors import InputError

BRIGHT, DARK = LabelClass(2, "bright", "#ffaa00"), LabelClass(7, "dark", "#0000ff")
QUICK = TrainConfig(epochs=1, views=4, batch=2, threads=2, augment=False)


def picture(seed: int, shape=(72, 104)) -> tuple[np.ndarray, np.ndarray]:
    """Bright and dark squares on gray noise; as a mask of the labels 2 and 7."""
    rng = np.random.default_rng(seed)
    image, labels = rng.normal(110, 8, shape), np.zeros(shape, np.int32)
    for n, row in enumerate((4, 40)):
        for m, column in enumerate((4, 36, 70)):
            side, bright = rng.integers(18, 26), (n + m + seed) % 2
            here = np.s_[row : row + side, column : column + side]
            image[here] += 90 if bright else -80
            labels[here] = 2 if bright else 7
    return image.clip(0, 255).astype(np.uint8), labels


def rows_of(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def training_set(folder, count=3, kind="semantic", classes=(BRIGHT, DARK)):
    made = TrainingSet(folder)
    for n in range(count):
        image, labels = picture(n, (72, 104))
        if n == 2:
            image, labels = image.T.copy(), labels.T.copy()
        made.add(image, labels, name=f"s{n}")
    write_classes(folder, Classes(kind, classes))
    return made


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run that learnt both classes, its set, and what it said at the end."""
    folder = tmp_path_factory.mktemp("classes")
    training_set(folder / "set")
    config = replace(
        QUICK, classes=True, epochs=3, views=40, validation="0", augment=True,
        speed="decoder", decoder_rate=2e-3,
    )  # fmt: skip
    finished = train(folder / "set", folder / "run", config)
    return folder, config, finished


def test_both_classes_are_learnt_and_told_by_name(run):
    folder, _, finished = run
    after = finished.after
    assert set(after.class_dice) == {"bright", "dark"}
    assert min(figures[-1] for figures in after.class_dice.values()) > 0.8
    means = [np.mean(step) for step in zip(*after.class_dice.values(), strict=True)]
    assert after.dice == pytest.approx(means, abs=1e-5)
    card = read_card(folder / "run" / "adapter")
    assert card.classes == (BRIGHT, DARK)
    text = (folder / "run" / "adapter" / "README.md").read_text()
    assert "2 bright, 7 dark" in text
    assert "| Dice of dark |" in text
    report = json.loads((folder / "run" / "report.json").read_text())
    assert report["after"]["class_dice"]["dark"] == after.class_dice["dark"]


def test_labels_are_those_of_the_classes_whole_and_in_tiles(run):
    folder, *_ = run
    segmenter = Segmenter(adapter=folder / "run" / "adapter")
    assert segmenter.classes == (BRIGHT, DARK)
    image, truth = picture(9)
    for tile in ("off", 64):
        *_, last = segmenter.segment(image, iterations=2, tile=tile)
        assert set(np.unique(last.labels)) == {0, 2, 7}
        for label in (2, 7):
            assert dice(last.labels == label, truth == label) > 0.75
        written = np.zeros(image.shape, np.int32)
        segmenter.segment_into(image, written, iterations=2, tile=tile)
        assert (written == last.labels).mean() > 0.999
    with pytest.raises(InputError, match="objects of classes follow objects"):
        list(segmenter.iterate(image, objects=True, before=last))


def test_in_a_stack_each_class_follows_itself(run):
    folder, *_ = run
    segmenter = Segmenter(adapter=folder / "run" / "adapter", device="cpu")
    image, truth = picture(9)
    *_, first = segmenter.segment(image, iterations=2)
    # What is bright in the next slice was dark in this one, and hardly is there.
    dim = np.where(truth == 2, 118, image).astype(np.uint8)
    free, followed = (
        next(segmenter.iterate(dim, 1, before=before)) for before in (None, first)
    )
    there = dice(followed.labels == 2, truth == 2)
    assert there > 0.5
    assert there > dice(free.labels == 2, truth == 2) + 0.2
    assert dice(followed.labels == 7, truth == 7) > 0.75


def stack_of_classes() -> tuple[np.ndarray, tuple[int, int, int]]:
    """Three slices of what hardly moves; a dark one, at a place, is bright at last."""
    image, truth = picture(9)
    left = np.arange(truth.shape[1]) < 34
    apart = (truth == 7) & ~left  # what would touch it
    image[apart], truth[apart] = 110, 0
    here = truth == 7
    turned = np.where(here, 200, image)
    row, column = np.argwhere(here).mean(0).astype(int)
    stack = [image, np.roll(image, 1, 1), np.roll(turned, 1, 0)]
    return np.stack(stack).astype(np.uint8), (2, row, column)


@pytest.mark.parametrize("how", ["--link-slices", "--follow-slices"])
def test_an_object_has_one_class_through_a_stack(run, tmp_path, how):
    folder, *_ = run
    stack, here = stack_of_classes()
    write_tiff(tmp_path / "s.tif", stack, "ZYX", VoxelSize())
    command = [str(tmp_path / "s.tif"), "--output", str(tmp_path / "out"), "--objects"]
    command += ["--iterations", "2", "--adapter", str(folder / "run" / "adapter")]

    def objects(*options) -> tuple[np.ndarray, list[dict[str, str]], set[str]]:
        table = tmp_path / "objects.csv"
        predict.main([*command, "--overwrite", *options, "--table", str(table)])
        told = (tmp_path / "out" / "s.classes.csv").read_text().splitlines()
        return tifffile.imread(tmp_path / "out" / "s.tif"), rows_of(table), {*told}

    labels, alone, told = objects()
    assert "z,label,class" in told
    seen = {(row["slice"], row["label"]): row["class"] for row in alone}
    assert seen["2", str(labels[here])] == "bright"  # by itself it is what it looks

    labels, rows, told = objects(how)
    assert "label,class" in told
    of_object = dict(line.split(",") for line in told - {"label,class"})
    assert of_object.keys() == {str(n) for n in np.unique(labels)[1:]}
    assert {row["label"]: row["class"] for row in rows} == of_object
    for row in rows:
        assert row["class"] == of_object[row["label"]]
    assert labels[here]
    assert of_object[str(labels[here])] == "dark"
    assert len(np.unique(labels[:, here[1], here[2]])) == 1


def test_stock_peft_opens_the_adapter(run):
    folder, *_ = run
    adapter = folder / "run" / "adapter"
    saved = load_file(adapter / "adapter_model.safetensors")
    name = "base_model.model.prompt_encoder.class_tokens.weight"
    assert saved[name].shape == (2, 128)
    sam = load_sam("samsp_small").sam
    add_class_tokens(sam, 2)  # as the model card says
    stock = PeftModel.from_pretrained(sam, str(adapter))
    assert torch.equal(stock.prompt_encoder.class_tokens.weight, saved[name])
    # Without them it opens too, and knows no classes.
    plain = PeftModel.from_pretrained(load_sam("samsp_small").sam, str(adapter))
    assert not hasattr(plain.prompt_encoder, "class_tokens")


def test_predict_and_evaluate_know_the_classes(run, tmp_path, capsys):
    folder, *_ = run
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    for n in (8, 9):
        image, truth = picture(n)
        tifffile.imwrite(tmp_path / "images" / f"p{n}.tif", image)
        tifffile.imwrite(tmp_path / "masks" / f"p{n}.tif", truth.astype(np.uint8))
    out = tmp_path / "out"
    command = [str(tmp_path / "images"), "--output", str(out), "--iterations", "2"]
    command += ["--adapter", str(folder / "run" / "adapter")]
    table = tmp_path / "areas.csv"
    predict.main([*command, "--table", str(table)])
    named = {(row["image"], row["label"]): row["class"] for row in rows_of(table)}
    both = {"2": "bright", "7": "dark"}
    assert named == {(p, n): both[n] for p in ("p8", "p9") for n in both}
    assert set(np.unique(tifffile.imread(out / "p8.tif"))) == {0, 2, 7}
    assert (
        json.loads((out / "classes.json").read_text())["classes"][1]["name"] == "dark"
    )
    figures = tmp_path / "figures.json"
    judge = [str(out), str(tmp_path / "masks"), "--classes", "--json", str(figures)]
    evaluate.main(judge)
    told = json.loads(figures.read_text())
    assert told["classes"]["dark"]["dice"]["n"] == 2
    both = [told["classes"][name]["dice"]["mean"] for name in ("bright", "dark")]
    assert told["dice"]["mean"] == pytest.approx(np.mean(both))
    assert min(both) > 0.75
    assert "dark" in capsys.readouterr().out
    # With objects the labels are objects, and a table tells their classes.
    predict.main([*command[:2], str(tmp_path / "objects"), *command[3:], "--objects"])
    table = (tmp_path / "objects" / "p8.classes.csv").read_text().splitlines()
    labels = tifffile.imread(tmp_path / "objects" / "p8.tif")
    assert table[0] == "label,class"
    assert len(table) - 1 == labels.max() >= 4
    of_object = dict(line.split(",") for line in table[1:])
    truth = picture(8)[1]
    for label, name in of_object.items():
        here = truth[labels == int(label)]
        assert (here == (2 if name == "bright" else 7)).mean() > 0.5
    judge = [str(tmp_path / "objects"), *judge[1:], "--objects"]
    evaluate.main(judge)
    assert "ap50" in json.loads(figures.read_text())["classes"]["bright"]
    # A second call finds everything done, and measures it.
    again = [*command[:2], str(tmp_path / "objects"), *command[3:], "--objects"]
    predict.main([*again, "--table", str(tmp_path / "objects.csv")])
    assert "2 of 2 images were done" in capsys.readouterr().err
    found = rows_of(tmp_path / "objects.csv")
    assert {
        row["label"]: row["class"] for row in found if row["image"] == "p8"
    } == of_object
    measure.main([str(tmp_path / "objects"), "--output", str(tmp_path / "m.csv")])
    assert [row["class"] for row in rows_of(tmp_path / "m.csv")] == [
        row["class"] for row in found
    ]


def test_a_run_with_classes_resumes_and_goes_on_only_with_the_same_ones(run, tmp_path):
    folder, config, finished = run
    more = replace(config, epochs=4)
    resumed = train(folder / "set", folder / "run", more, resume=True)
    assert resumed.before == finished.before
    assert min(figures[-1] for figures in resumed.after.class_dice.values()) > 0.8
    adapter = str(folder / "run" / "adapter")
    for classes, said in (
        ((BRIGHT, LabelClass(7, "black", "#000000")), "is to learn bright, black"),
        (None, "is to learn foreground alone"),
    ):
        other = training_set(tmp_path / said[-5:], classes=classes or (BRIGHT, DARK))
        config = replace(QUICK, classes=classes is not None, adapter=adapter)
        with pytest.raises(InputError, match=said):
            train(other.folder, tmp_path / "run", config)


def test_an_exported_sam_is_plain_and_says_what_it_lacks(run, tmp_path, capsys):
    folder, *_ = run
    out = tmp_path / "mine.safetensors"
    export.main([str(folder / "run" / "adapter"), "--output", str(out)])
    said = capsys.readouterr().out
    assert "has no place for classes, so the file does not know bright, dark" in said
    assert load_file(out).keys() == load_sam_keys()
    assert load_sam(str(out)).architecture == "samsp_small"


def load_sam_keys():
    from napari_samsp.sam.architecture import to_stock_layout

    return to_stock_layout(load_sam("samsp_small").sam.state_dict()).keys()


def test_one_class_is_exactly_the_method_without_classes(tmp_path):
    one = LabelClass(1, "square", "#ff0000")
    labels = []
    for classes in (True, False):
        made = TrainingSet(tmp_path / f"set {classes}")
        image, mask = picture(0)
        made.add(image, (mask > 0).astype(np.int32), name="a")
        write_classes(made.folder, Classes("semantic", (one,)))
        run = tmp_path / f"run {classes}"
        train(made.folder, run, replace(QUICK, classes=classes))
        segmenter = Segmenter(adapter=run / "adapter")
        labels.append([s.labels for s in segmenter.segment(picture(5)[0])])
    for with_classes, without in zip(*labels, strict=True):
        assert (with_classes == without).all()
    assert labels[0][-1].any()


def test_a_set_that_cannot_be_learnt_is_refused_in_a_sentence(tmp_path):
    made = training_set(tmp_path / "set", 1)
    out, config = tmp_path / "run", replace(QUICK, classes=True)

    def refused(said, config=config):
        with pytest.raises(InputError, match=said):
            train(made.folder, out, config)
        assert not out.exists()

    extra = LabelClass(9, "rust", "#884400")
    write_classes(made.folder, Classes("semantic", (BRIGHT, DARK, extra)))
    refused(r"No training mask has a pixel of rust \(9\)")
    write_classes(made.folder, Classes("semantic", (BRIGHT,)))
    refused(r"s0: the mask has the label 7, which classes\.json does not name")
    write_classes(made.folder, Classes("instances", (BRIGHT, DARK), ()))
    refused(r"There is no s0\.classes\.csv beside the mask")
    (made.folder / "classes.json").unlink()
    refused(r"There is no classes\.json in")


def test_an_adapter_that_says_wrong_things_of_its_classes_is_refused(run, tmp_path):
    folder, *_ = run
    broken = tmp_path / "adapter"
    broken.mkdir()
    for path in (folder / "run" / "adapter").iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    card = json.loads((broken / "samsp.json").read_text())
    for classes, said in (
        ([{"label": 1, "name": str(n)} for n in range(200)], "broken"),
        ([{"label": 1}], "broken: the class with label 1 has no name"),
        ([], "does not fit its base model"),
        ([{"label": n, "name": str(n)} for n in (1, 2, 3)], "cannot be read|not fit"),
    ):
        (broken / "samsp.json").write_text(json.dumps(card | {"classes": classes}))
        loaded = load_sam("samsp_small")
        with pytest.raises(InputError, match=said):
            load_adapter(loaded.sam, broken, loaded.sha256)
