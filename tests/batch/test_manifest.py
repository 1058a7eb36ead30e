"""What is done is known, and what changed is done again."""

from __future__ import annotations

import json
import os
import sys

import pytest

from napari_samsp.batch.job import Job, Outcome
from napari_samsp.batch.manifest import MANIFEST_FILE, Manifest, State

SETTINGS = {"iterations": 3, "channels": [0], "prompt": None}


@pytest.fixture
def done(tmp_path):
    """An image whose labels are written, by a manifest that says so."""
    image = tmp_path / "a.png"
    image.write_bytes(b"12345")
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.tif").write_bytes(b"labels")
    scores = ((0.5, 0.9),)
    job = Job(image, out / "a")
    outcome = Outcome(job, (out / "a.tif",), 1.5, scores=scores, count=7)
    Manifest(out, SETTINGS).add("a", outcome, State.of(image))
    assert Manifest(out, SETTINGS).is_done("a", image)
    return image, out


def test_a_line_tells_what_became_of_an_image(done):
    image, out = done
    (line,) = (out / MANIFEST_FILE).read_text().splitlines()
    assert json.loads(line) == {
        "name": "a", "status": "done", "image": str(image), "bytes": 5,
        "modified": image.stat().st_mtime_ns, "files": ["a.tif"], "seconds": 1.5,
        "written": [[6, (out / "a.tif").stat().st_mtime_ns]],
        "error": None, "settings": SETTINGS, "scores": [[0.5, 0.9]], "objects": 7,
        "object_size": None, "object_size_certain": True,
    }  # fmt: skip


def touch(image, out):
    os.utime(image, ns=(1, 1))


def grow(image, out):
    stat = image.stat()
    image.write_bytes(b"123456")
    os.utime(image, ns=(stat.st_mtime_ns, stat.st_mtime_ns))


def lose(image, out):
    (out / "a.tif").unlink()


def vanish(image, out):
    image.unlink()


def fail(image, out):
    outcome = Outcome(Job(image, out / "a"), (), 1.5, "It is broken.")
    Manifest(out, SETTINGS).add("a", outcome, State.of(image))


def cut(image, out):
    path = out / MANIFEST_FILE
    path.write_bytes(path.read_bytes()[:-9])


@pytest.mark.parametrize("change", [touch, grow, lose, vanish, fail, cut])
def test_what_changed_is_not_done(done, change):
    image, out = done
    change(image, out)
    assert not Manifest(out, SETTINGS).is_done("a", image)


def test_other_settings_and_other_images_are_not_done(done):
    image, out = done
    assert not Manifest(out, {**SETTINGS, "iterations": 2}).is_done("a", image)
    assert not Manifest(out, SETTINGS).is_done("b", image)
    (image.parent / "other").mkdir()
    moved = image.rename(image.parent / "other" / "a.png")
    assert not Manifest(out, SETTINGS).is_done("a", moved)


def test_a_line_after_a_torn_one_is_whole(done):
    image, out = done
    cut(image, out)
    outcome = Outcome(Job(image, out / "a"), (out / "a.tif",), 1.0)
    Manifest(out, SETTINGS).add("a", outcome, State.of(image))
    assert Manifest(out, SETTINGS).is_done("a", image)


def test_a_folder_changes_with_the_files_in_it(tmp_path):
    (tmp_path / "a.zarr" / "0").mkdir(parents=True)
    (tmp_path / "a.zarr" / "0" / "0").write_bytes(b"123")
    before = State.of(tmp_path / "a.zarr")
    assert before.bytes == 3
    (tmp_path / "a.zarr" / "0" / "1").write_bytes(b"1")
    assert State.of(tmp_path / "a.zarr") != before


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are Unicode")
@pytest.mark.parametrize(
    "name",
    [
        b"caf\xe9",
        "line\u2028 and paragraph\u2029".encode(),
        "\x85".encode(),
        b"a\x0cb\nc",
    ],
)
def test_a_name_of_any_bytes_is_listed_and_done(tmp_path, name):
    """Such as one that is not UTF-8, or that other programs split lines at."""
    image = tmp_path / os.fsdecode(name)
    image.write_bytes(b"12345")
    out = tmp_path / "out"
    out.mkdir()
    labels = out / f"{image.name}.tif"
    labels.write_bytes(b"labels")
    outcome = Outcome(Job(image, out / image.name), (labels,), 1.5)
    Manifest(out, SETTINGS).add(image.name, outcome, State.of(image))
    assert Manifest(out, SETTINGS).is_done(image.name, image)
    assert (out / MANIFEST_FILE).read_bytes().decode().count("\n") == 1
