"""No call writes over an image, or over a file that is somebody else's."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import zarr
from skimage import io

from napari_samsp import predict
from napari_samsp.batch.job import Job, Outcome, Settings
from napari_samsp.batch.manifest import MANIFEST_FILE, Manifest, State
from napari_samsp.batch.outputs import plan
from napari_samsp.data import image_source as stored_image
from napari_samsp.utils.errors import InputError

SETTINGS = Settings("", iterations=2)
links = pytest.mark.skipif(os.name == "nt", reason="links need a permission")


@pytest.fixture
def folder(tmp_path, nuclei):
    """Images of three kinds."""
    place = tmp_path / "in"
    (place / "deep").mkdir(parents=True)
    io.imsave(place / "a.png", nuclei[0])
    tifffile.imwrite(place / "b.tif", nuclei[0])
    tifffile.imwrite(place / "deep" / "c.tif", nuclei[0])
    return place


def state(folder):
    return {
        path.relative_to(folder): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def run(*arguments):
    return predict.main([*map(str, arguments), "--iterations", "1", "--tile", "off"])


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize(
    "arguments",
    [
        ["in", "--output", "in"],
        ["in/b.tif", "--output", "in"],
        ["in/b.tif", "--output", "in/deep/.."],
        ["in", "--recursive", "--output", "in"],
        ["in/deep", "--recursive", "--output", "in/deep"],
        ["in/deep/c.tif", "in/b.tif", "--output", "in/deep"],
        pytest.param(["in/b.tif", "--output", "link"], marks=links),
        pytest.param(["in/b.tif", "--output", "out"], marks=links),
        pytest.param(["in", "--recursive", "--output", "out2"], marks=links),
    ],
)
def test_an_input_is_never_written_over(
    folder, tmp_path, monkeypatch, arguments, overwrite
):
    """Whatever the paths are, and whatever links lead to it."""
    monkeypatch.chdir(tmp_path)
    if os.name != "nt":
        (tmp_path / "link").symlink_to("in", target_is_directory=True)
        for name in ("out", "out2"):
            (tmp_path / name).mkdir()
        (tmp_path / "out" / "b.tif").symlink_to(folder / "b.tif")
        (tmp_path / "out2" / "deep").symlink_to(folder / "deep")
    before = state(folder)
    with pytest.raises(InputError, match=r"take the place of the image .*--output"):
        run(*arguments, *overwrite)
    assert state(folder) == before


def test_images_of_another_kind_may_share_their_folder_with_the_labels(folder):
    """And the labels are not taken for images by the next call."""
    (folder / "b.tif").unlink()
    for _ in range(2):
        assert run(folder, "--output", folder) == 0
    assert sorted(path.name for path in folder.iterdir()) == [
        "a.png", "a.tif", "deep", MANIFEST_FILE,
    ]  # fmt: skip


def test_masks_by_hand_are_refused_by_name_unless_asked(folder, tmp_path):
    masks = tmp_path / "masks"
    masks.mkdir()
    (masks / "b.tif").write_bytes(b"mine")
    (masks / ".b.tif.swp").write_bytes(b"an editor's")
    (masks / ".b.tif.original").write_bytes(b"a backup")
    before = state(masks)
    with pytest.raises(InputError, match=r"b\.tif .*would be replaced.*--overwrite"):
        run(folder, "--output", masks)
    assert state(masks) == before
    assert run(folder, "--output", masks, "--overwrite") == 0
    after = state(masks)
    assert all(after[path] == before[path] for path in before if path.name[0] == ".")
    assert tifffile.imread(masks / "b.tif").ndim == 2
    before = state(masks)
    assert run(folder, "--output", masks, "--input-size", "128") == 0  # now ours
    assert state(masks) != before


def test_a_foreign_ome_zarr_stays(folder, tmp_path):
    out = tmp_path / "out"
    group = zarr.open_group(str(out / "a.ome.zarr"), mode="w", zarr_format=2)
    group.create_array("0", data=np.arange(6).reshape(2, 3))
    before = state(out)
    with pytest.raises(InputError, match=r"a\.ome\.zarr .*would be replaced"):
        run(folder / "a.png", "--output", out, "--format", "ome-zarr")
    assert state(out) == before


def test_labels_that_were_corrected_are_no_longer_ours(folder, tmp_path):
    out = tmp_path / "out"
    assert run(folder / "a.png", "--output", out) == 0
    labels = tifffile.imread(out / "a.tif")
    tifffile.imwrite(out / "a.tif", labels + 1)
    assert run(folder / "a.png", "--output", out) == 0  # it is done
    with pytest.raises(InputError, match=r"a\.tif .*would be replaced"):
        run(folder / "a.png", "--output", out, "--input-size", "128")
    assert np.array_equal(tifffile.imread(out / "a.tif"), labels + 1)


def test_labels_of_a_call_that_was_killed_are_ours(folder, tmp_path):
    """It wrote them and died before it could list them."""
    image = folder / "a.png"
    manifest = Manifest(tmp_path, {})
    jobs, files = plan({"a": image}, [image], tmp_path, SETTINGS, manifest, False)
    assert files == ["a.tif", "a.classes.csv"]
    manifest.begin(files)
    (tmp_path / "a.tif").write_bytes(b"labels")
    manifest.end()
    again = Manifest(tmp_path, {})
    assert plan({"a": image}, [image], tmp_path, SETTINGS, again, False)[0] == jobs
    again.begin(files)
    outcome = Outcome(jobs[0], (tmp_path / "a.tif",), 1.0)
    again.add("a", outcome, State.of(image))
    again.end()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "a.tif", "in", MANIFEST_FILE,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("images", "settings"),
    [
        (["a.iter1.png", "a.png"], replace(SETTINGS, all_iterations=True)),
        (["a.ome.iter0.png", "a.ome.png"], replace(SETTINGS, all_iterations=True)),
    ],
)
def test_no_two_images_share_a_label_file(tmp_path, images, settings):
    named = {name.removesuffix(".png"): tmp_path / name for name in images}
    manifest = Manifest(tmp_path, {})
    with pytest.raises(InputError, match="would both become"):
        plan(named, named.values(), tmp_path, settings, manifest, False)


@pytest.fixture
def in_zarr(tmp_path, nuclei):
    path = tmp_path / "z.ome.zarr"
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    group.create_array("0", data=nuclei[0], chunks=(64, 64))
    group.attrs["multiscales"] = [
        {"axes": [{"name": n} for n in "yx"], "datasets": [{"path": "0"}]}
    ]
    return path


def test_beside_an_ome_zarr_its_size_decides(in_zarr, monkeypatch):
    """Labels of a small one are a TIFF, those of a large one would replace it."""
    out = in_zarr.parent
    assert run(in_zarr, "--output", out) == 0
    assert (out / "z.tif").is_file()
    monkeypatch.setattr(stored_image, "LARGE_PIXELS", 1000)
    before = state(in_zarr)
    with pytest.raises(InputError, match=r"z\.ome\.zarr would be replaced"):
        run(in_zarr, "--output", out, "--overwrite")
    assert state(in_zarr) == before
    with pytest.raises(InputError, match="is in the image"):
        run(in_zarr, "--output", in_zarr / "labels")
    assert state(in_zarr) == before


def test_labels_without_content_are_not_done(folder, tmp_path):
    out = tmp_path / "out"
    assert run(folder / "a.png", "--output", out) == 0
    (out / "a.tif").write_bytes(b"")
    assert run(folder / "a.png", "--output", out) == 0
    assert tifffile.imread(out / "a.tif").ndim == 2


@pytest.mark.parametrize("files", [[], ["/etc/hostname"], ["../a.tif"], ["b.tif"], 7])
def test_a_line_that_names_no_labels_of_its_image_is_not_done(tmp_path, files):
    image, out = tmp_path / "a.png", tmp_path / "out"
    out.mkdir()
    for path in (image, tmp_path / "a.tif", out / "b.tif", out / "a.tif"):
        path.write_bytes(b"content")
    outcome = Outcome(Job(image, out / "a"), (out / "a.tif",), 1.0)
    Manifest(out, {}).add("a", outcome, State.of(image))
    assert Manifest(out, {}).is_done("a", image)
    path = out / MANIFEST_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": files}))
    manifest = Manifest(out, {})
    assert not manifest.is_done("a", image)
    assert not manifest.may_replace("b.tif")


@links
@pytest.mark.parametrize("what", ["a pipe", "a device", "a folder"])
def test_a_manifest_that_is_no_file_is_refused_at_once(folder, tmp_path, what):
    out = tmp_path / "out"
    out.mkdir()
    if what == "a pipe":
        os.mkfifo(out / MANIFEST_FILE)
    elif what == "a device":
        (out / MANIFEST_FILE).symlink_to("/dev/full")
    else:
        (out / MANIFEST_FILE).mkdir()
    with pytest.raises(InputError, match=r"manifest\.jsonl is no plain file"):
        run(folder / "a.png", "--output", out)
    if what == "a folder":
        shutil.rmtree(out / MANIFEST_FILE)
        assert run(folder / "a.png", "--output", out) == 0
