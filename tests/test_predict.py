"""``python -m napari_samsp.predict``: files in, labels out."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import tifffile
import zarr
from skimage import io

from napari_samsp import Segmenter, measure
from napari_samsp.data.rgb import Scaling
from napari_samsp.data.training_sets.classes import LabelClass
from napari_samsp.predict import main
from napari_samsp.sam.adapters.adapter import add_lora, save_adapter
from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.checkpoints import load_sam
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import FileNote


def test_the_command_writes_labels_of_every_iteration(tmp_path, nuclei):
    folder = tmp_path / "my images"
    folder.mkdir()
    io.imsave(folder / "one.png", nuclei[0])
    tifffile.imwrite(folder / "two.tif", nuclei[0].T.astype(np.uint16) * 100)
    (folder / "notes.txt").write_text("not an image")
    group = zarr.open_group(str(folder / "three.ome.zarr"), mode="w", zarr_format=2)
    group.create_array("0", data=nuclei[0][None, :, :])
    group.attrs["multiscales"] = [
        {"axes": [{"name": n} for n in "cyx"], "datasets": [{"path": "0"}]}
    ]
    out = tmp_path / "out"
    main([
        str(folder), "--output", str(out), "--iterations", "2", "--all-iterations",
    ])  # fmt: skip
    assert sorted(f.name for f in out.glob("*.tif")) == sorted(
        f"{name}{kind}.tif"
        for name in ("one", "two", "three")
        for kind in ("", ".iter0", ".iter1")
    )
    for name, shape in (("one", (96, 160)), ("two", (160, 96)), ("three", (96, 160))):
        last = tifffile.imread(out / f"{name}.tif")
        assert last.shape == shape
        assert last.dtype == np.int32
        assert (last == tifffile.imread(out / f"{name}.iter1.tif")).all()
    (step,) = Segmenter().segment(nuclei[0], 1)
    assert (tifffile.imread(out / "one.iter0.tif") == step.labels).all()


def test_the_adapter_says_how_to_run(tmp_path, nuclei):
    """Prompt, scaling and objects come from the adapter."""
    loaded = load_sam("samsp_small")
    card = AdapterCard(
        "samsp_small", loaded.sha256, 256, Scaling("limits", 0, 255), prompt="box",
        objects=True,
    )  # fmt: skip
    save_adapter(add_lora(loaded.sam, 4, "samsp_small"), tmp_path / "a", card)
    segmenter = Segmenter(adapter=tmp_path / "a")
    assert segmenter.kind == "box"
    assert segmenter.scaling == card.scaling
    assert segmenter.adapter_name == "a"
    io.imsave(tmp_path / "x.png", nuclei[0])
    main([
        str(tmp_path / "x.png"), "--output", str(tmp_path / "out"),
        "--adapter", str(tmp_path / "a"),
    ])  # fmt: skip
    expected = segmenter.segment(nuclei[0], 3, objects=True)[-1].labels
    assert (tifffile.imread(tmp_path / "out" / "x.tif") == expected).all()


def test_one_bad_image_does_not_stop_the_others(tmp_path, nuclei):
    io.imsave(tmp_path / "a.png", np.full((9, 9), 5, np.uint8), check_contrast=False)
    (tmp_path / "b.tif").write_bytes(b"II*\0broken")
    io.imsave(tmp_path / "c.png", nuclei[0])
    with pytest.raises(InputError, match=r"a\.png.*constant.*b\.tif.*1 of 3 images"):
        main([str(tmp_path), "--output", str(tmp_path / "out"), "--iterations", "1"])
    out = tmp_path / "out"
    assert sorted(f.name for f in out.iterdir()) == ["c.tif", "manifest.jsonl"]


def test_slices_of_a_series_follow_each_other_if_asked(tmp_path, nuclei):
    """Along the last axis of the stack, and in no other file."""
    image = nuclei[0]
    series = np.stack([image, image // 2 + 20] * 2).reshape(2, 2, *image.shape)
    tifffile.imwrite(tmp_path / "a.tif", series, imagej=True, metadata={"axes": "TZYX"})
    io.imsave(tmp_path / "b.png", image)
    quick = [str(tmp_path), "--iterations", "1", "--tile", "off", "--all-iterations"]
    quick += ["--limits", "slice"]
    for name, more in (("alone", []), ("after", ["--follow-slices"])):
        main([*quick, "--output", str(tmp_path / name), *more])
    alone, after = (
        tifffile.imread(tmp_path / name / "a.iter0.tif") for name in ("alone", "after")
    )
    assert np.array_equal(alone[:, 0], after[:, 0])
    segmenter = Segmenter()
    for t in range(2):
        (first,) = segmenter.segment(series[t, 0], 1, tile="off")
        (second,) = segmenter.iterate(series[t, 1], 1, tile="off", before=first)
        assert np.array_equal(after[t, 1], second.labels)
    assert not np.array_equal(alone[:, 1], after[:, 1])
    plain, same = (
        tifffile.imread(tmp_path / name / "b.tif") for name in ("alone", "after")
    )
    assert np.array_equal(plain, same)


def test_one_of_a_files_images_can_be_picked(tmp_path, nuclei):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.tile(nuclei[0], (2, 2)))
        file.write(nuclei[0])
    command = [str(tmp_path / "a.tif"), "--output", str(tmp_path), "--iterations", "1"]
    for extra, shape in (["--series", "1"], (96, 160)), ([], (192, 320)):
        output = tmp_path / f"out{len(extra)}"
        command[2] = str(output)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FileNote)
            assert main([*command, *extra]) == 0
        assert tifffile.imread(output / "a.tif").shape == shape


def test_bad_usage_ends_with_2_and_a_sentence(tmp_path, nuclei):
    for folder in ("p", "q", "empty"):
        (tmp_path / folder).mkdir()
    io.imsave(tmp_path / "p" / "a.png", nuclei[0])
    io.imsave(tmp_path / "q" / "a.png", nuclei[0])
    for inputs, words in (
        (["gone.png"], "no file or folder gone.png"),
        (["p", "q"], "would both become a.tif"),
        (["empty"], "holds no image"),
        (["p/*.jpg"], "No image matches p/*.jpg"),
        (["p", "--channel", "x"], "numbers from 0"),
        (["p", "--iterations", "0"], "from 1 to 100, not 0"),
        (["p", "--iterations", "101"], "from 1 to 100, not 101"),
        (["p", "--adapter", "q"], "is not an adapter"),
        (["p", "--object-size", "nan"], "it must be a number of pixels above 0"),
        (["p", "--object-size", "161"], "is more than the image has (96 x 160)"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "napari_samsp.predict", *inputs, "--output", "o"],
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("size", ["0", "-3", "inf", "x", "30 --tile 64"])
def test_object_sizes_that_make_no_sense(tmp_path, capsys, size):
    with pytest.raises(SystemExit) as end:
        main(["a.png", "--output", str(tmp_path), "--object-size", *size.split()])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "above 0" in line or "not allowed with" in line


def test_the_size_of_the_objects_is_taken_or_told(tmp_path, nuclei, capsys):
    image = np.tile(nuclei[0], (2, 2))
    io.imsave(tmp_path / "a.png", image)
    quick = [str(tmp_path / "a.png"), "--iterations", "1", "--objects", "--output"]
    assert main([*quick, str(tmp_path / "auto")]) == 0
    (found,) = Segmenter().segment(image, 1, objects=True)
    said = capsys.readouterr().err
    assert said == f"Objects are about {found.scale.object_size:.0f} pixels wide.\n"
    (line,) = (tmp_path / "auto" / "manifest.jsonl").read_text().splitlines()
    about = json.loads(line)
    assert about["object_size"] == round(found.scale.object_size, 1)
    assert about["object_size_certain"]
    assert "object_size" not in about["settings"]
    assert main([*quick, str(tmp_path / "o"), "--object-size", "12"]) == 0
    (expected,) = Segmenter().segment(image, 1, objects=True, object_size=12)
    assert np.array_equal(tifffile.imread(tmp_path / "o/a.tif"), expected.labels)
    (line,) = (tmp_path / "o" / "manifest.jsonl").read_text().splitlines()
    assert json.loads(line)["object_size"] == 12
    assert not capsys.readouterr().err


def test_the_command_can_use_another_input_size(tmp_path, nuclei):
    io.imsave(tmp_path / "a.png", nuclei[0])
    arguments = [str(tmp_path / "a.png"), "--iterations", "1", "--tile", "off"]
    main([*arguments, "--output", str(tmp_path / "out"), "--input-size", "128"])
    (expected,) = Segmenter(input_size=128).segment(nuclei[0], 1, tile="off")
    assert np.array_equal(tifffile.imread(tmp_path / "out/a.tif"), expected.labels)
    with pytest.raises(InputError, match="multiple of 16, such as 496, not 500"):
        main([*arguments, "--output", str(tmp_path / "o"), "--input-size", "500"])


def test_a_second_call_does_what_is_new_or_changed(tmp_path, nuclei, capsys):
    """And finds files by patterns, and in folders in folders."""
    image, out = nuclei[0], tmp_path / "out"
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name in ("a", "b", "deep/a"):
        io.imsave(tmp_path / "in" / f"{name}.png", image)
    quick = ["--iterations", "1", "--tile", "off", "--output", str(out)]

    def written(*arguments):
        before = {p: p.stat().st_mtime_ns for p in out.rglob("*.tif")}
        main([*arguments, *quick])
        now = {p: p.stat().st_mtime_ns for p in out.rglob("*.tif")}
        return sorted(
            p.relative_to(out).as_posix() for p in now if now[p] != before.get(p)
        )

    folder = str(tmp_path / "in")
    assert written(f"{folder}/[b]*.png") == ["b.tif"]
    assert written(folder) == ["a.tif"]
    assert "1 of 2 images were done before" in capsys.readouterr().err
    assert written(folder, "--recursive") == ["deep/a.tif"]
    io.imsave(tmp_path / "in" / "a.png", image[::-1])
    assert written(folder) == ["a.tif"]
    assert written(folder) == []
    assert written(folder, "--overwrite") == ["a.tif", "b.tif"]
    assert written(folder, "--input-size", "128") == ["a.tif", "b.tif"]
    lines = (out / "manifest.jsonl").read_text().splitlines()
    assert len(lines) == 8
    assert all(json.loads(line)["status"] == "done" for line in lines)


def test_each_image_that_failed_has_a_line(tmp_path, nuclei):
    folder = tmp_path / "images"
    folder.mkdir()
    io.imsave(folder / "good.png", nuclei[0])
    for name in ("a.png", "b.png"):
        (folder / name).write_text("no picture")
    command = [str(folder), "--output", str(tmp_path / "out"), "--iterations", "1"]
    module = [sys.executable, "-m", "napari_samsp.predict", *command]
    done = subprocess.run(module, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    *_, first, second, last = done.stderr.splitlines()
    assert first.count("a.png") == 1 and second.count("b.png") == 1
    assert last == "1 of 3 images are done."


def test_a_nifti_volume_gives_a_nifti_that_counts_as_done(tmp_path, nuclei, capsys):
    nibabel = pytest.importorskip("nibabel")
    stack = np.stack([nuclei[0], nuclei[0][::-1]])
    affine = np.diag([0.5, 0.5, 2, 1])
    path = tmp_path / "brain.nii.gz"
    nibabel.save(nibabel.Nifti1Image(stack.T, affine), path)
    command = [str(path), "--output", str(tmp_path / "out"), "--iterations", "1"]
    assert main(command) == 0
    labels = nibabel.load(tmp_path / "out" / "brain.nii.gz")
    assert labels.shape == (160, 96, 2)
    np.testing.assert_allclose(labels.affine, affine)
    assert np.asarray(labels.dataobj).any()
    before = (tmp_path / "out" / "brain.nii.gz").stat().st_mtime_ns
    assert main(command) == 0
    assert "1 of 1 images were done before" in capsys.readouterr().err
    assert (tmp_path / "out" / "brain.nii.gz").stat().st_mtime_ns == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("workers", [[], ["--workers", "1"]])
def test_ctrl_c_keeps_what_is_done_and_leaves_no_part(tmp_path, nuclei, workers):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for n in range(60):
        io.imsave(folder / f"{n:02}.png", np.roll(nuclei[0], n, 1))
    command = [
        sys.executable, "-m", "napari_samsp.predict", str(folder), "--output",
        str(out), "--iterations", "1", "--tile", "off", *workers,
    ]  # fmt: skip
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        manifest = out / "manifest.jsonl"
        while child.poll() is None and not manifest.is_file():
            time.sleep(0.01)
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does
        _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert said == "Interrupted.\n"
    lines = manifest.read_text().splitlines()
    done = [json.loads(line)["name"] for line in lines]
    assert 0 < len(done) < 60
    names = sorted(path.name for path in out.iterdir())
    assert set(names) >= {"manifest.jsonl", *(f"{name}.tif" for name in done)}
    assert len(names) <= len(done) + 2  # one may be whole and not yet listed
    for path in out.glob("*.tif"):
        assert tifffile.imread(path).shape == nuclei[0].shape


def test_no_classes_of_earlier_labels_are_left_beside_those_of_now(tmp_path, nuclei):
    """An adapter with classes, one with others, and none: each in the same folder."""
    loaded = load_sam("samsp_small")
    io.imsave(tmp_path / "a.png", nuclei[0])
    out, objects = tmp_path / "out", tmp_path / "objects.csv"
    quick = [str(tmp_path / "a.png"), "--output", str(out), "--iterations", "1"]

    def adapter(*names: str) -> list[str]:
        listed = [LabelClass(n, name, "#00ff00") for n, name in enumerate(names, 1)]
        card = AdapterCard(
            loaded.name, loaded.sha256, 256, classes=tuple(listed), objects=True
        )
        folder = tmp_path / "-".join(names)
        model = add_lora(load_sam("samsp_small").sam, 2, loaded.name, classes=2)
        save_adapter(model, folder, card)
        return ["--adapter", str(folder)]

    def classes() -> set[str | None]:
        measure.main([str(out), "--output", str(objects), "--overwrite"])
        with objects.open(newline="") as file:
            return {row.get("class") for row in csv.DictReader(file)}

    first, second = adapter("leaf", "spot"), adapter("round", "long")
    main([*quick, *first])
    assert classes() <= {"leaf", "spot"}
    labels = (out / "a.tif").read_bytes()
    for other in (second, [*second, "--no-objects"], ["--objects"], []):
        with pytest.raises(InputError, match=r"classes\.json names .* --overwrite"):
            main([*quick, *other])
        assert (out / "a.tif").read_bytes() == labels
        assert classes() <= {"leaf", "spot"}
    main([*quick, *second, "--overwrite"])
    assert classes() <= {"round", "long"}
    # Of areas the label tells the class, and a table would tell that of an object.
    main([*quick, *second, "--no-objects", "--overwrite"])
    assert not (out / "a.classes.csv").exists()
    assert classes() <= {"round", "long"}
    main([*quick, *second, "--overwrite"])
    assert (out / "a.classes.csv").exists()
    # Nor those of now beside labels of other images, which keep their meaning.
    shutil.copy(tmp_path / "a.png", tmp_path / "b.png")
    both = [str(tmp_path / "b.png"), *quick]
    main([*both, *second, "--overwrite"])
    for other in (first, ["--objects"]):
        with pytest.raises(InputError, match="also holds the labels of b, whose"):
            main([*quick, *other, "--overwrite"])
        assert classes() <= {"round", "long"}
    main([*both, "--objects", "--overwrite"])
    assert sorted(file.name for file in out.iterdir()) == [
        "a.tif", "b.tif", "manifest.jsonl",
    ]  # fmt: skip
    assert classes() == {None}


def test_a_table_of_classes_that_somebody_wrote_is_not_removed(tmp_path, nuclei):
    io.imsave(tmp_path / "a.png", nuclei[0])
    table = tmp_path / "out" / "a.classes.csv"
    table.parent.mkdir()
    table.write_text("label,class\n1,leaf\n")
    theirs = table.with_name("classes.json")
    theirs.write_text('["leaf"]')
    quick = [str(tmp_path / "a.png"), "--output", str(table.parent)]
    quick += ["--iterations", "1"]
    with pytest.raises(InputError, match=r"a\.classes\.csv in .* would be replaced"):
        main(quick)
    assert table.exists()
    main([*quick, "--overwrite"])
    assert not table.exists()
    assert theirs.exists()
