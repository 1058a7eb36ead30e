"""A file or a folder is the old one or the new one, whatever happens."""

from __future__ import annotations

import pytest

from napari_samsp.core import atomic_files
from napari_samsp.core.atomic_files import (
    recover_folder,
    remove_leftovers,
    replace_folder,
    write_atomically,
)


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_atomically(path, b"old")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [f.name for f in tmp_path.iterdir()] == ["a.json"]


def test_an_error_names_the_file(tmp_path):
    path = tmp_path / "gone" / "a.json"
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(path, b"")
    assert caught.value.filename == str(path)


def folder(place, content: str):
    place.mkdir()
    (place / "file").write_text(content)
    return place


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_folder_takes_the_place_of_another(tmp_path, monkeypatch, in_one_step):
    if not in_one_step:
        monkeypatch.setattr(atomic_files.sys, "platform", "somewhere else")
    old = folder(tmp_path / "a", "old")
    replace_folder(folder(tmp_path / ".a.new", "new"), old)
    assert (old / "file").read_text() == "new"
    assert [f.name for f in tmp_path.iterdir()] == ["a"]


def test_a_crash_between_two_renames_is_mended(tmp_path):
    folder(tmp_path / ".a.old", "old")
    folder(tmp_path / ".a.x1", "half")
    recover_folder(tmp_path / "a")
    remove_leftovers(tmp_path, ("a",))
    assert (tmp_path / "a" / "file").read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["a"]
