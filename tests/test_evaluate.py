from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_samsp.data.folders.mask_pairs import pair_files
from napari_samsp.data.image_files import write_labels
from napari_samsp.evaluate import main
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.notes import FileNote

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folders(tmp_path: Path, nuclei) -> tuple[Path, Path]:
    """Predictions and masks of three images: perfect, one nucleus short, empty."""
    _, truth = nuclei
    predictions, masks = tmp_path / "predictions", tmp_path / "masks"
    predictions.mkdir()
    masks.mkdir()
    for name, labels in {
        "perfect": truth,
        "short": np.where(truth == 3, 0, truth),
        "empty": np.zeros_like(truth),
    }.items():
        write_labels(predictions / f"{name}.tif", labels)
        Image.fromarray(truth.astype(np.uint8)).save(masks / f"{name}.png")
    return predictions, masks


def run_main(folders: tuple[Path, Path], *options: str) -> int:
    return main([*map(str, folders), *options])


def test_figures(folders, tmp_path: Path, capsys, nuclei) -> None:
    target = tmp_path / "figures.json"
    assert run_main(folders, "--json", str(target)) == 0
    content = json.loads(target.read_text())
    images = content["images"]
    assert images["perfect"] == {"dice": 1, "iou": 1, "boundary_f1": 1}
    assert images["empty"] == {"dice": 0, "iou": 0, "boundary_f1": 0}
    assert content["worst"] == ["empty", "short", "perfect"]
    assert content["dice"]["n"] == 3
    mean = (1 + images["short"]["dice"]) / 3
    assert content["dice"]["mean"] == pytest.approx(mean)
    spread = np.std([1, 0, images["short"]["dice"]], ddof=1)
    assert content["dice"]["std"] == pytest.approx(spread)
    assert "ap50" not in content
    said = capsys.readouterr().out
    assert f"{mean:.3f}" in said
    assert "Boundary F1" in said
    assert said.index("empty") < said.index("short")


def test_objects(folders, tmp_path: Path, capsys) -> None:
    target = tmp_path / "figures.json"
    run_main(folders, "--objects", "--json", str(target))
    content = json.loads(target.read_text())
    assert content["ap50"]["mean"] == pytest.approx((1 + 5 / 6 + 0) / 3)
    assert set(content) > {"ap75", "aji"}
    assert "AP at 0.75" in capsys.readouterr().out


def test_a_mask_without_prediction_is_an_error_that_names_it(folders) -> None:
    (folders[0] / "short.tif").unlink()
    with pytest.raises(InputError, match=r"no prediction in .* for short of "):
        run_main(folders)


def test_missing_predictions_can_be_allowed(folders, tmp_path, capsys) -> None:
    (folders[0] / "short.tif").unlink()
    target = tmp_path / "figures.json"
    assert run_main(folders, "--allow-missing", "--json", str(target)) == 0
    assert json.loads(target.read_text())["missing"] == ["short"]
    assert "Left out, without a prediction: short." in capsys.readouterr().out


def test_a_prediction_without_mask_is_told(folders, capsys) -> None:
    (folders[1] / "short.png").unlink()
    assert run_main(folders) == 0
    assert "Not used, without a mask: short." in capsys.readouterr().out


def test_iterations_are_judged_on_request_only(folders, tmp_path: Path, nuclei) -> None:
    predictions, masks = folders
    for name in ("perfect", "short", "empty"):
        write_labels(predictions / f"{name}.iter0.tif", nuclei[1])
    assert set(pair_files(predictions, masks).pairs) == {"perfect", "short", "empty"}
    target = tmp_path / "figures.json"
    run_main(folders, "--iteration", "0", "--json", str(target))
    assert json.loads(target.read_text())["dice"]["mean"] == 1
    with pytest.raises(InputError, match="iteration 7"):
        run_main(folders, "--iteration", "7")


def test_a_name_that_looks_like_an_iteration(tmp_path: Path, nuclei) -> None:
    for name in ("predictions", "masks"):
        (tmp_path / name).mkdir()
        write_labels(tmp_path / name / "a.iter3.tif", nuclei[1])
    pairing = pair_files(tmp_path / "predictions", tmp_path / "masks")
    assert set(pairing.pairs) == {"a.iter3"}


def test_sizes_that_differ_are_named(folders, nuclei) -> None:
    write_labels(folders[0] / "short.tif", nuclei[1].T)
    with pytest.raises(InputError, match="short: The prediction is 160 x 96"):
        run_main(folders)


def test_stacks_are_judged_slice_by_slice(folders, nuclei, tmp_path) -> None:
    """With the axes of the file, whether it is OME-TIFF, ImageJ's or plain."""
    predictions, masks = folders
    truth = nuclei[1].astype(np.uint16)
    stack = np.stack([truth, np.where(truth == 3, 0, truth), 0 * truth])
    axes = {"metadata": {"axes": "ZYX"}}
    tifffile.imwrite(masks / "s.tif", np.stack([truth] * 3), imagej=True, **axes)
    tifffile.imwrite(predictions / "s.tif", stack, ome=True, **axes)
    target = tmp_path / "figures.json"
    assert run_main(folders, "--objects", "--json", str(target)) == 0
    content = json.loads(target.read_text())
    images = content["images"]
    for name, slice_ in (("perfect", "s z0"), ("short", "s z1"), ("empty", "s z2")):
        assert images[slice_] == pytest.approx(images[name])
    assert content["dice"]["n"] == 6
    tifffile.imwrite(predictions / "s.tif", stack[:2], ome=True, **axes)
    with pytest.raises(InputError, match=r"s: .*is 2 x 96 x 160 but .* 3 x 96 x 160"):
        run_main(folders)
    tifffile.imwrite(predictions / "s.tif", truth)
    with pytest.raises(InputError, match=r"s: .*is 96 x 160 but .* is 3 x 96 x 160"):
        run_main(folders)


def test_two_files_of_one_name_are_refused(folders) -> None:
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(folders[0] / "short.png")
    with pytest.raises(InputError, match=r"short\.png and short\.tif"):
        run_main(folders)


@pytest.mark.parametrize("which", [0, 1])
def test_missing_folders_are_named(folders, which: int) -> None:
    chosen = list(folders)
    chosen[which] = folders[which] / "nowhere"
    with pytest.raises(InputError, match=r"There is no folder .*nowhere"):
        run_main(tuple(chosen))


def test_names_with_brackets_are_shown_as_they_are(tmp_path, nuclei, capsys) -> None:
    for name in ("predictions", "masks"):
        (tmp_path / name).mkdir()
        write_labels(tmp_path / name / "[red]a.tif", nuclei[1])
    run_main((tmp_path / "predictions", tmp_path / "masks"))
    assert "[red]a" in capsys.readouterr().out


def test_as_a_command(folders, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "napari_samsp.evaluate"]
    good = subprocess.run(
        [*command, *folders], capture_output=True, text=True, cwd=tmp_path
    )
    assert (good.returncode, good.stderr) == (0, "")
    assert "Dice" in good.stdout
    (folders[0] / "short.tif").unlink()
    bad = subprocess.run(
        [*command, *folders], capture_output=True, text=True, cwd=tmp_path
    )
    assert bad.returncode == 2
    assert " for short of " in bad.stderr
    assert bad.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("prediction", "mask"),
    [
        ("a", "a.ome"),
        ("a", "a_mask"),
        ("a", "a_seg"),
        ("a", "a-labels"),
        ("z\u00e4hl", "za\u0308hl"),
    ],
)
def test_usual_names_are_paired_and_listed(tmp_path, nuclei, capsys, prediction, mask):
    for folder, name in {"predictions": prediction, "masks": mask}.items():
        (tmp_path / folder).mkdir()
        write_labels(tmp_path / folder / f"{name}.tif", nuclei[1])
    folders = tmp_path / "predictions", tmp_path / "masks"
    pairing = pair_files(*folders)
    assert list(pairing.pairs) == [prediction]
    assert not pairing.missing
    run_main(folders, "--dry-run")
    said = capsys.readouterr().out
    assert f"{mask}.tif" in said
    assert "Dice" not in said


def test_two_masks_of_one_prediction_are_refused(tmp_path, nuclei):
    for name in ("predictions/a", "masks/a_mask", "masks/a_seg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_labels(tmp_path / f"{name}.tif", nuclei[1])
    with pytest.raises(InputError, match=r"a_mask\.tif and a_seg\.tif"):
        pair_files(tmp_path / "predictions", tmp_path / "masks")


@pytest.mark.parametrize("stack", [False, True])
def test_connected_parts_of_one_value_are_the_objects(tmp_path, nuclei, stack):
    """As other programs write masks: 0 and 255, or 0 and 1."""
    truth = nuclei[1]
    folders = tmp_path / "predictions", tmp_path / "masks"
    options = {"imagej": True, "metadata": {"axes": "ZYX"}} if stack else {}

    def write(folder, *planes):
        pixels = np.stack(planes) if stack else planes[-1]
        folder.mkdir(exist_ok=True)
        tifffile.imwrite(folder / "a.tif", pixels.astype(np.uint8), **options)

    for folder, value in zip(folders, (1, 255), strict=True):
        write(folder, *[np.where(truth > 0, value, 0)] * 2)
    target = tmp_path / "figures.json"

    def precision(*options):
        assert run_main(folders, "--objects", "--json", str(target), *options) == 0
        return json.loads(target.read_text())["ap75"]["mean"]

    with pytest.warns(FileNote, match=r"One value only is in .*predictions.*masks"):
        assert precision() == 1
    write(folders[0], truth, np.where(truth == 3, 0, truth))
    with pytest.warns(FileNote, match=r"One value only is in [^ ]*masks"):
        assert precision() == pytest.approx(11 / 12 if stack else 5 / 6)
    assert precision("--components", "no") == 0
    assert precision("--components", "yes") > 0.8


def test_an_instance_in_two_pieces_is_one_object(tmp_path, nuclei):
    labels = np.where(nuclei[1] == 6, 1, nuclei[1])
    folders = tmp_path / "predictions", tmp_path / "masks"
    for folder in folders:
        folder.mkdir()
        write_labels(folder / "a.tif", labels)
    write_labels(folders[0] / "a.tif", np.where(labels == 2, 0, labels))
    target = tmp_path / "figures.json"
    run_main(folders, "--objects", "--json", str(target))
    assert json.loads(target.read_text())["ap50"]["mean"] == pytest.approx(4 / 5)


def test_a_stack_of_masks_with_a_palette(tmp_path, nuclei):
    """Colours are how it is shown; the indices are the labels."""
    table = np.random.default_rng(0).integers(0, 2**16, (3, 256)).astype(np.uint16)
    folders = tmp_path / "predictions", tmp_path / "masks"
    stack = np.stack([nuclei[1]] * 3).astype(np.uint8)
    for folder in folders:
        folder.mkdir()
    tifffile.imwrite(folders[0] / "a.tif", stack, photometric="minisblack")
    tifffile.imwrite(folders[1] / "a.tif", stack, photometric="palette", colormap=table)
    target = tmp_path / "figures.json"
    assert run_main(folders, "--objects", "--json", str(target)) == 0
    assert json.loads(target.read_text())["ap75"] == {"mean": 1, "std": 0, "n": 3}


def test_an_image_of_a_mask_file_can_be_picked(folders, nuclei, tmp_path):
    with tifffile.TiffWriter(folders[1] / "short.tif") as file:
        file.write(np.zeros((200, 300), np.uint8))
        file.write(nuclei[1].astype(np.uint8))
    (folders[1] / "short.png").unlink()
    target = tmp_path / "figures.json"
    assert run_main(folders, "--series", "1", "--json", str(target)) == 0
    assert 0.8 < json.loads(target.read_text())["images"]["short"]["dice"] < 1
    with pytest.raises(InputError, match="images 0 to 1, not 2"):
        run_main(folders, "--series", "2")
