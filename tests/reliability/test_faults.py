"""Real faults: full disks, folders that refuse or go away, layers that change."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.train import __main__ as train
from napari_samsp.ui.correct.correct_panel import CorrectPanel
from napari_samsp.ui.segment.segment_panel import SegmentPanel
from napari_samsp.ui.session import Session
from napari_samsp.utils import cli
from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.errors import InputError, in_words

QUICK = [
    "--views", "2", "--batch", "2", "--rank", "1", "--input-size", "64", "--patience",
    "0", "--threads", "1", "--no-augment",
]  # fmt: skip


pytestmark = pytest.mark.counted("faults injected")


@contextmanager
def full_disk(size: int):
    """A disk that takes no more than so many bytes a file: the kernel's own refusal."""
    resource = pytest.importorskip("resource", reason="Windows has no such limits")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def content(folder: Path) -> dict[str, bytes]:
    """Every file, but for the lock, which is empty."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def noise(seed: int, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """An image that does not compress, and its mask."""
    image = np.random.default_rng(seed).integers(0, 255, (side, side + 16), np.uint8)
    return image, (image > 100).astype(np.int32)


@pytest.mark.parametrize("what", ["add", "replace", "remove"])
def test_a_full_disk_changes_no_correction(tmp_path, what):
    corrections = TrainingSet(tmp_path / "set")
    corrections.add(*noise(0), name="a")
    before = content(corrections.folder)
    with full_disk(30), pytest.raises(OSError, match=r"File too large") as refused:
        if what == "remove":
            corrections.remove("a")
        else:
            corrections.add(*noise(1), name="a", replace=what == "replace")
    assert "not allowed there" in in_words(refused.value)
    assert ".stage" not in in_words(refused.value)
    assert content(corrections.folder) == before
    corrections.add(*noise(1), name="b")  # and goes on when there is room
    assert [s.name for s in corrections.check()] == ["a", "b"]


def test_a_disk_that_is_really_full(tmp_path):
    """A file system of one megabyte, where the system lets us make one."""
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from napari_samsp.utils.errors import in_words\n"
        "from napari_samsp.data.training_sets.training_set import TrainingSet\n"
        "corrections, kept = TrainingSet(Path(sys.argv[1]) / 'set'), 0\n"
        "try:\n"
        "    while True:\n"
        "        image = np.random.default_rng(kept).integers(0, 255, (256, 300))\n"
        "        corrections.add(image.astype(np.uint8), image, name='a')\n"
        "        kept += 1\n"
        "except OSError as error:\n"
        "    print(kept, len(corrections.check()), in_words(error))\n"
    )
    mount = f"mount -t tmpfs -o size=1m tmpfs {tmp_path} && exec "
    command = f'{mount} {sys.executable} -c "$CODE" {tmp_path}'
    try:
        done = subprocess.run(
            ["unshare", "--mount", "--map-root-user", "sh", "-c", command],
            env=os.environ | {"CODE": code}, capture_output=True, text=True,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if "permitted" in done.stderr or "denied" in done.stderr:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    kept, readable, sentence = done.stdout.split(maxsplit=2)
    assert int(kept) == int(readable) > 0, done.stderr
    assert "the disk is full; make room" in sentence


def test_a_trainer_on_a_full_disk_keeps_what_it_had(tmp_path, capsys):
    corrections = TrainingSet(tmp_path / "set")
    corrections.add(*noise(0), name="a")
    run = tmp_path / "run"
    arguments = [str(corrections.folder), "--output", str(run), *QUICK]
    train.main([*arguments, "--epochs", "1"])
    before = content(run)
    more = [*arguments, "--epochs", "2", "--resume"]
    with full_disk(100_000), pytest.raises(SystemExit) as ending:
        cli.run(lambda _: train.main(more))
    assert ending.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
    after = content(run)
    assert {name for name in before if before[name] != after.get(name)} <= {
        "config.yaml",  # it names the epochs
        "metrics.jsonl",  # has a line more if only what follows it was too large
    }
    train.main(more)
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 2


# As root permissions do not stop the tests; but nobody can write below a file.
@pytest.mark.parametrize("what", ["a file in the way", "no permission"])
def test_a_folder_that_cannot_be_written(tmp_path, qtbot, viewer_model, nuclei, what):
    if what == "no permission":
        if os.name == "nt" or os.geteuid() == 0:
            pytest.skip("permissions do not stop this user")
        folder = tmp_path / "mine"
        folder.mkdir(mode=0o500)
    else:
        folder = tmp_path / "file"
        folder.write_bytes(b"")
    panel = made_panel(qtbot, viewer_model, nuclei)
    panel.set_folder(folder / "set")
    panel.keep()
    assert panel.message.text().startswith(str(folder))
    assert "\n" not in panel.message.text()
    assert "Errno" not in panel.message.text()


def made_panel(qtbot, viewer, nuclei) -> CorrectPanel:
    """With an image and labels that are chosen."""
    image = viewer.add_image(nuclei[0], name="cells")
    labels = viewer.add_labels(nuclei[1].copy(), name="mine")
    segmenting = SegmentPanel(viewer)
    qtbot.addWidget(segmenting)
    segmenting.image.choose(image)
    # In a dock, napari calls its reset_choices.
    viewer.layers.events.removed.connect(lambda _event: segmenting.image.refresh())
    panel = CorrectPanel(viewer, Session(segmenting))
    qtbot.addWidget(panel)
    panel.labels.choose(labels)
    return panel


def test_a_set_that_is_deleted_while_it_is_shown(qtbot, viewer_model, nuclei, tmp_path):
    panel = made_panel(qtbot, viewer_model, nuclei)
    panel.set_folder(tmp_path / "set")
    for act in (panel.open_selected, panel.remove_selected):
        panel.keep()
        assert panel.selected == "cells"
        shutil.rmtree(tmp_path / "set")
        act()
        assert "no correction named cells" in panel.message.text()
        assert panel.list.topLevelItemCount() == 0
    panel.keep()
    panel.remove_selected()
    shutil.rmtree(tmp_path / "set")
    panel.undo()
    assert "are gone from removed/" in panel.message.text()
    assert not panel.kept_list.buttons["undo"].isEnabled()
    panel.keep()  # begins the set anew
    assert [s.name for s in TrainingSet(tmp_path / "set").check()] == ["cells"]


def test_two_windows_on_one_set(qtbot, viewer_model, nuclei, tmp_path):
    one = made_panel(qtbot, viewer_model, nuclei)
    segmenting = SegmentPanel(viewer_model)
    qtbot.addWidget(segmenting)
    other = CorrectPanel(viewer_model, Session(segmenting))
    qtbot.addWidget(other)
    one.set_folder(tmp_path)
    one.keep()
    other.set_folder(tmp_path)
    assert other.list.topLevelItemCount() == 1
    other.list.setCurrentItem(other.list.topLevelItem(0))
    one.remove_selected()
    other.open_selected()
    assert "no correction named cells" in other.message.text()
    assert other.list.topLevelItemCount() == 0
    one.undo()
    other.refresh(select="cells")
    other.open_selected()
    assert viewer_model.layers[-1].name == "cells correction"


@pytest.mark.parametrize("gone", ["cells", "mine"])
def test_a_layer_that_is_deleted_meanwhile(qtbot, viewer_model, nuclei, tmp_path, gone):
    panel = made_panel(qtbot, viewer_model, nuclei)
    panel.set_folder(tmp_path / "set")
    viewer_model.layers.remove(viewer_model.layers[gone])
    panel.keep()
    assert "not open" in panel.message.text() or "Choose" in panel.message.text()
    assert not (tmp_path / "set").exists()


def test_a_layer_that_is_renamed_meanwhile(qtbot, viewer_model, nuclei, tmp_path):
    panel = made_panel(qtbot, viewer_model, nuclei)
    panel.set_folder(tmp_path)
    for layer in viewer_model.layers:
        layer.name = f"other {layer.name}"
    panel.keep()
    assert [s.name for s in TrainingSet(tmp_path).check()] == ["other_cells"]


def test_other_pixels_under_the_same_name(qtbot, viewer_model, nuclei, tmp_path):
    """They are another correction; the first one stays as it is."""
    panel = made_panel(qtbot, viewer_model, nuclei)
    panel.set_folder(tmp_path)
    panel.keep()
    before = content(tmp_path)
    viewer_model.layers["cells"].data = nuclei[0][::-1].copy()
    panel.keep()
    assert [s.name for s in TrainingSet(tmp_path).check()] == ["cells", "cells-2"]
    after = content(tmp_path)
    assert all(after[name] == before[name] for name in before if "samples" not in name)


def test_keeping_opening_and_removing_leave_the_undo_of_the_user_alone(
    qtbot, viewer_model, nuclei, tmp_path
):
    panel = made_panel(qtbot, viewer_model, nuclei)
    panel.set_folder(tmp_path)
    layer = viewer_model.layers["mine"]
    layer.paint((5, 5), 9)
    painted = layer.data.copy()
    for act in (
        panel.keep, panel.open_selected, panel.remove_selected, panel.undo
    ):  # fmt: skip
        panel.labels.choose(layer)
        act()
        assert np.array_equal(layer.data, painted)
    layer.undo()
    assert np.array_equal(layer.data, nuclei[1])
    layer.redo()
    assert np.array_equal(layer.data, painted)


def test_a_file_below_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(NotADirectoryError) as refused:
        write_atomically(tmp_path / "a" / "b", b"")
    assert "a file, not a folder" in in_words(refused.value)


def test_two_trainers_into_one_folder(tmp_path):
    """The second is told so, and the first goes on."""
    corrections = TrainingSet(tmp_path / "set")
    corrections.add(*noise(0), name="a")
    arguments = [
        str(corrections.folder), "--output", str(tmp_path / "run"), *QUICK, "--resume",
    ]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", "napari_samsp.train", *arguments, "--epochs", "1000",
         "--events"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path,
    ) as first:  # fmt: skip
        assert b"Started" in first.stdout.readline()
        with pytest.raises(InputError, match="Another process is training into"):
            train.main([*arguments, "--epochs", "2"])
        first.stdin.close()  # ends it
        first.stdout.read()
        assert first.wait(60) == 0
