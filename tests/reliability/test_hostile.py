"""Whatever a file holds: exit code 2, one sentence, and nothing written elsewhere."""

from __future__ import annotations

import functools
import json
import os
import tracemalloc
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from hostile import IMAGES, MASKS, RAMP, RECIPES, planted, tiff
from hostile_models import ADAPTERS, CHECKPOINTS

from napari_samsp import evaluate, export, models, predict
from napari_samsp.inference import adapted_model
from napari_samsp.sam import checkpoints
from napari_samsp.sam.adapters import adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.train import __main__ as train
from napari_samsp.ui.correct.correct_panel import CorrectPanel
from napari_samsp.ui.models.adapter_chooser import AdapterChooser
from napari_samsp.ui.readers import get_reader
from napari_samsp.ui.segment.segment_panel import SegmentPanel
from napari_samsp.ui.session import Session
from napari_samsp.utils import cli
from napari_samsp.utils.errors import InputError

MOST_MEMORY = 200_000_000
"""Far below what the bombs would unfold to, and above what a command needs."""


@pytest.fixture(autouse=True)
def _links(request) -> None:
    if os.name == "nt" and "link" in request.node.name:
        pytest.skip("links need a permission on Windows")


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder beside which nothing may be written."""
    folder = tmp_path / "given"
    folder.mkdir()
    return folder


@pytest.fixture
def memory_bounded(request):
    """Where a file claims to be huge, nothing huge may be allocated."""

    @contextmanager
    def measured():
        tracemalloc.start()
        try:
            yield
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < MOST_MEMORY

    # Tracing makes deep recursions take minutes.
    huge = any(word in request.node.name for word in ("million", "10^", "gigabytes"))
    return measured if huge else nullcontext


@pytest.fixture
def refused(tmp_path, capsys, tally, memory_bounded):
    """Run a command that must refuse its input; gives the sentence."""

    def run(command, *arguments) -> str:
        before = tree(tmp_path)
        with pytest.raises(SystemExit) as ending, memory_bounded():
            cli.run(lambda _: command.main([str(a) for a in arguments]))
        said = capsys.readouterr().err
        assert ending.value.code == 2, said
        assert "Traceback" not in said
        assert said.count("\n") == 1
        assert len(said) < 1000
        new = {p for p in tree(tmp_path) - before if p.parts[0] != "out"}
        assert not new
        tally["hostile or broken inputs refused by a command"] += 1
        return said

    return run


def tree(folder: Path) -> set[Path]:
    return {path.relative_to(folder) for path in folder.rglob("*")}


@pytest.fixture(autouse=True)
def _load_once(monkeypatch) -> None:
    # The bundled model takes as long to load as the rest of a case.
    def load(name, *args):
        return _bundled(args) if name == "samsp_small" else checkpoints.load_sam(name)

    monkeypatch.setattr(adapted_model, "load_sam", load)


@functools.cache
def _bundled(args: tuple):
    return checkpoints.load_sam("samsp_small", *args)


@pytest.mark.parametrize("case", IMAGES)
def test_images(place, tmp_path, refused, case):
    name, make = IMAGES[case]
    make(place / name)
    said = refused(predict, place / name, "--output", tmp_path / "out")
    assert name in said
    assert not planted(place).exists()


@pytest.mark.parametrize("case", MASKS)
def test_masks_to_train_on(place, tmp_path, refused, case):
    name, make = MASKS[case]
    for folder in ("images", "masks"):
        (place / folder).mkdir()
    (place / "images" / "a.tif").write_bytes(tiff())
    make(place / "masks" / name)
    refused(train, place, "--output", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("case", sorted(MASKS.keys() - {"a mask without a label"}))
def test_masks_to_compare_with(place, refused, case):
    name, make = MASKS[case]
    for folder in ("predictions", "masks"):
        (place / folder).mkdir()
    (place / "predictions" / "a.tif").write_bytes(tiff())
    make(place / "masks" / name)
    refused(evaluate, place / "predictions", place / "masks")


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_checkpoints(place, tmp_path, refused, case):
    name, make = CHECKPOINTS[case]
    make(place / name)
    refused(models, "info", place / name)
    image = place / "image.tif"
    image.write_bytes(tiff())
    out = tmp_path / "out"
    refused(predict, image, "--output", out, "--model", place / name)
    assert not planted(place).exists()


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> Path:
    """An adapter that can be used."""
    folder = tmp_path_factory.mktemp("adapters") / "sound"
    loaded = checkpoints.load_sam("samsp_small")
    model = adapter.add_lora(loaded.sam, 2, loaded.name)
    card = AdapterCard("samsp_small", loaded.sha256, 256)
    adapter.save_adapter(model, folder, card)
    return folder


def copy(folder: Path, target: Path) -> Path:
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


@pytest.mark.parametrize("case", ADAPTERS)
def test_adapters(sound, place, tmp_path, refused, case):
    folder = copy(sound, place / "adapter")
    ADAPTERS[case](folder)
    refused(export, folder, "--output", tmp_path / "out" / "a.pth")
    assert not (tmp_path / "out" / "a.pth").exists()
    assert not planted(place).exists()


@pytest.mark.parametrize("case", ADAPTERS)
def test_adapters_in_the_widget(sound, place, qtbot, tally, case):
    """The chooser lists them, or says what is wrong; it never falls over."""
    folder = copy(sound, place / "adapter")
    ADAPTERS[case](folder)
    chooser = AdapterChooser()
    qtbot.addWidget(chooser)
    try:
        chooser.choose(folder)
    except InputError as error:
        assert "\n" not in str(error)
    else:  # its tensors are read when it is used
        assert chooser.adapter.name
    tally["hostile or broken inputs given to the widget"] += 1


@pytest.mark.parametrize("case", RECIPES)
def test_recipes(place, tmp_path, refused, case):
    content, words = RECIPES[case]
    for folder in ("images", "masks"):
        (place / folder).mkdir()
        (place / folder / "a.tif").write_bytes(tiff())
    recipe = place / "r.yaml"
    recipe.write_bytes(content if isinstance(content, bytes) else content.encode())
    said = refused(train, place, "--output", tmp_path / "out", "--config", recipe)
    assert words in said
    assert not Path("planted").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("info", "../../../etc/passwd"), ("download", "../../x"), ("info", ""),
        ("download", "vit_b/../../x"), ("info", "x" * 300), ("info", "a\nb"),
    ],
)  # fmt: skip
def test_names_that_try_to_leave_a_folder(refused, arguments):
    refused(models, *arguments)


SUFFIXES = (".tif", ".png", ".jpg")
FILES = {**{f"images: {k}": v for k, v in IMAGES.items()},
         **{f"masks: {k}": v for k, v in MASKS.items()}}  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [k for k, (name, _) in FILES.items() if ".z" not in name and ".x" not in name],
)
def test_correction_sets_in_the_widget(place, viewer_model, qtbot, tally, case):
    """The set is listed, and opening it gives layers or a sentence."""
    kind = case.partition(":")[0]
    name, make = FILES[case]
    for folder in ("images", "masks"):
        (place / folder).mkdir()
        if folder != kind:
            (place / folder / "a.tif").write_bytes(tiff())
    make(place / kind / name)
    segmenting = SegmentPanel(viewer_model)
    qtbot.addWidget(segmenting)
    panel = CorrectPanel(viewer_model, Session(segmenting))
    qtbot.addWidget(panel)
    panel.set_folder(place)
    for item in [
        panel.list.topLevelItem(n) for n in range(panel.list.topLevelItemCount())
    ]:
        panel.list.setCurrentItem(item)
        panel.open_selected()
        opened = len(viewer_model.layers) == 2
        assert opened != bool(panel.message.text())
        assert "\n" not in panel.message.text()
    try:
        assert get_reader(str(place))(str(place))
    except InputError as error:
        assert "\n" not in str(error)
    tally["hostile or broken inputs given to the widget"] += 1


def test_odd_but_sound_paths(tmp_path, capsys):
    """Spaces, other scripts, links, and a link that leads back up."""
    folder = tmp_path / "mein Ordner 細胞" / "[a]*?"[:3]
    folder.mkdir(parents=True)
    image = np.kron(RAMP[:20, :28] % 2 * 200, np.ones((2, 2))).astype(np.uint8)
    (folder / "ein Bild ä.tif").write_bytes(tiff(image))
    if os.name != "nt":
        (folder / "link.tif").symlink_to(folder / "ein Bild ä.tif")
        (folder / "up").symlink_to(folder.parent)
    out = tmp_path / "aus gabe"
    arguments = [str(folder), "--output", str(out), "--iterations", "1"]
    assert not predict.main(arguments)
    written = {path.name for path in out.iterdir() if path.suffix == ".tif"}
    links = set() if os.name == "nt" else {"link.tif"}
    assert written == {"ein Bild ä.tif", *links}


def test_65536_labels_are_no_harm(tmp_path):
    labels = np.arange(65_537, dtype=np.int32)[: 65_536 + 1].reshape(1, -1)
    labels = np.repeat(labels, 2, axis=0)
    for folder in ("predictions", "masks"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.tif").write_bytes(tiff(labels))
    target = tmp_path / "figures.json"
    arguments = [str(tmp_path / "predictions"), str(tmp_path / "masks")]
    assert evaluate.main([*arguments, "--objects", "--json", str(target)]) == 0
    assert json.loads(target.read_text())["dice"]["mean"] == 1
