"""A file or a folder is the old one or the new one, whatever happens."""

from __future__ import annotations

import os

import pytest

from napari_samsp.utils import atomic_files
from napari_samsp.utils.atomic_files import (
    folder_beside,
    recover_folder,
    remove_leftovers,
    replace_folder,
    write_atomically,
    written_beside,
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


def test_a_crash_between_two_renames_is_mended(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_files.sys, "platform", "somewhere else")
    old = folder(tmp_path / "a", "old")
    fresh = folder_beside(old)

    def crash(source, target):
        if target == old:
            raise KeyboardInterrupt
        rename(source, target)

    rename = os.replace
    with monkeypatch.context() as dying:
        dying.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            replace_folder(fresh, old)
    assert not old.exists()
    recover_folder(old)
    remove_leftovers(tmp_path, ("a",))
    assert (old / "file").read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("name", ["a.tif", "a" * 200 + ".tif", "細胞" * 40 + ".tif"])
def test_what_a_kill_left_is_removed_and_nothing_else(tmp_path, name):
    """Hidden files of editors and people look much alike."""
    others = {f".{name[:60]}.{end}" for end in ("swp", "original", "3f2a9c", "old")}
    for other in others:
        (tmp_path / other).write_text("mine")
    with pytest.raises(FileNotFoundError), written_beside(tmp_path / name) as place:
        place.rename(tmp_path / "moved")
    (tmp_path / "moved").rename(place)
    folder_beside(tmp_path / name)
    if os.name != "nt":
        link = folder_beside(tmp_path / name)
        link.rmdir()
        link.symlink_to(tmp_path)
    remove_leftovers(tmp_path, ("b.tif",))
    assert place.is_file()
    remove_leftovers(tmp_path, (name,))
    assert {path.name for path in tmp_path.iterdir()} == others


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_files_and_folders_have_the_permissions_that_the_umask_gives(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a", b"x")
        (tmp_path / "plain").write_bytes(b"x")
        replace_folder(folder_beside(tmp_path / "b"), tmp_path / "b")
        (tmp_path / "plain folder").mkdir()
    finally:
        os.umask(before)
    for ours, plain in (("a", "plain"), ("b", "plain folder")):
        assert (tmp_path / ours).stat().st_mode == (tmp_path / plain).stat().st_mode
