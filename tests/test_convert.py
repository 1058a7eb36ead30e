"""``python -m napari_samsp.convert``: labels to other programs' files and back."""

from __future__ import annotations

import json
import pickle
import zipfile

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_samsp.convert import main
from napari_samsp.data.annotations import coco
from napari_samsp.data.annotations.formats import ENDINGS, format_of, read, write
from napari_samsp.data.annotations.outlines import Outline, draw, fill, trace
from napari_samsp.data.image_files import read_labels, write_labels
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.utils.errors import InputError

ANY_LABELS = hnp.arrays(
    np.int32,
    st.tuples(st.integers(1, 9), st.integers(1, 14)),
    elements=st.integers(0, 4),
)


@pytest.fixture
def labels() -> np.ndarray:
    """Landscape: touching objects, a hole with an island, one in two pieces."""
    made = np.zeros((40, 70), np.int32)
    made[5:25, 5:30] = 3
    made[8:20, 8:20] = 0
    made[12:15, 12:15] = 3
    made[5:25, 30:45] = 8
    made[0:3, 60:70] = made[35:40, 0:9] = 11
    return made


def opened(path, form, shape) -> np.ndarray:
    assert format_of(path) == form
    ((_, found),) = read(path, form, lambda _: shape)
    return found


@given(ANY_LABELS)
def test_outlines_hold_every_pixel(labels) -> None:
    assert np.array_equal(draw(trace(labels), labels.shape), labels)


@pytest.mark.parametrize("form", [form for form in ENDINGS if form != "ome-zarr"])
@given(labels=ANY_LABELS)
def test_round_trips_of_any_labels(tmp_path_factory, form, labels) -> None:
    path = tmp_path_factory.mktemp("made") / f"a{ENDINGS[form]}"
    if form == "imagej-roi" and not labels.any():
        return
    if form == "coco":
        coco.write(path, [("a.tif", labels)])
    else:
        write(path, form, labels, "a.tif")
    found = opened(path, form, labels.shape)
    if form == "yolo":  # which has no numbers, but an order
        _, order = np.unique(labels, return_inverse=True)
        labels = order.reshape(labels.shape) + (not np.any(labels == 0))
    assert np.array_equal(found, labels)


@pytest.mark.parametrize("form", [form for form in ENDINGS if form != "yolo"])
def test_the_command_there_and_back(tmp_path, labels, form) -> None:
    (tmp_path / "masks").mkdir()
    write_labels(tmp_path / "masks" / "cells_mask.tif", labels)
    there, back = tmp_path / "there", tmp_path / "back"
    main([str(tmp_path / "masks"), "--output", str(there), "--to", form])
    options = ["--size", "40x70", "--output", str(back), "--to", "tiff"]
    main([str(there), *options])
    assert np.array_equal(read_labels(back / "cells.tif"), labels)
    with pytest.raises(InputError, match="there already"):
        main([str(there), *options])
    main([str(there), *options, "--overwrite"])
    with pytest.raises(InputError, match="would replace a source"):
        main([str(back), "--output", str(back), "--to", "tiff", "--overwrite"])


def test_a_training_set_of_one_command(tmp_path, labels) -> None:
    (tmp_path / "images").mkdir()
    image = np.arange(labels.size, dtype=np.uint16).reshape(labels.shape)
    tifffile.imwrite(tmp_path / "images" / "cells.tif", image)
    write(tmp_path / "cells.geojson", "geojson", labels, "cells.tif")
    command = [
        str(tmp_path / "cells.geojson"), "--images", str(tmp_path / "images"),
        "--output", str(tmp_path / "set"), "--to", "training-set",
    ]  # fmt: skip
    main(command)
    (sample,) = TrainingSet(tmp_path / "set").check()
    found = sample.read()
    assert np.array_equal(found[0], image)
    assert np.array_equal(found[1], labels)
    with pytest.raises(InputError, match="already"):
        main(command)


def test_a_broken_file_does_not_stop_the_others(tmp_path, labels) -> None:
    write(tmp_path / "a.zip", "imagej-roi", labels, "a.tif")
    (tmp_path / "b.zip").write_bytes(b"PK nothing")
    options = ["--size", "40x70", "--output", str(tmp_path / "out"), "--to", "png"]
    with pytest.raises(InputError, match=r"b\.zip.*\(1 images are converted\)"):
        main([str(tmp_path), *options])
    assert np.array_equal(read_labels(tmp_path / "out" / "a.png"), labels)


def test_run_lengths_as_pycocotools_packs_them() -> None:
    # mask.encode of a 3 x 4 mask with [1:, 1:3] set, by pycocotools 2.0.11.
    mask = np.zeros((3, 4), bool)
    mask[1:, 1:3] = True
    assert coco.run_lengths(mask) == [4, 2, 1, 2, 3]
    assert coco.unpacked("42102") == coco.run_lengths(mask)


@pytest.mark.parametrize("masks", [np.uint16, np.int32, np.uint8])
def test_cellpose_without_running_anything(tmp_path, labels, masks) -> None:
    path = tmp_path / "cells_seg.npy"
    content = {
        "masks": labels.astype(masks), "outlines": labels * 0, "filename": "cells.tif",
        "ismanual": np.zeros(3, bool), "flows": [labels / 2], "diameter": np.float64(3),
    }  # fmt: skip
    np.save(path, content, allow_pickle=True)
    assert np.array_equal(opened(path, "cellpose", None), labels)


class _Harmful:
    def __reduce__(self):
        return (eval, ("__import__('os').mkdir('harm')",))


def test_a_harmful_pickle_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a_seg.npy", {"masks": _Harmful()}, allow_pickle=True)
    with pytest.raises(InputError, match=r"would run .*eval.*save them as PNG"):
        opened(tmp_path / "a_seg.npy", "cellpose", None)
    (tmp_path / "b_seg.npy").write_bytes(pickle.dumps(1))
    with pytest.raises(InputError, match="cannot be read"):
        opened(tmp_path / "b_seg.npy", "cellpose", None)
    assert not (tmp_path / "harm").exists()


def test_bombs_are_refused(tmp_path) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        for n in range(6):
            file.writestr(f"{n}.roi", bytes(100_000_000))
    with pytest.raises(InputError, match="unpacks to 6 ROIs"):
        opened(bomb, "imagej-roi", (9, 9))
    huge = {"id": 1, "file_name": "a.png", "height": 10**6, "width": 10**6}
    path = tmp_path / "huge.json"
    path.write_text(json.dumps({"images": [huge], "annotations": []}))
    with pytest.raises(InputError, match="more than the limit"):
        opened(path, "coco", None)


@pytest.mark.parametrize(
    "segmentation",
    [
        {"size": [9, 9], "counts": [10**15]},
        {"size": [9, 9], "counts": "~~~"},
        {"size": [10**6, 10**6], "counts": [0]},
        [[1, 2, 3]],
        [["x", "y"]],
        None,
    ],
)
def test_broken_annotations_are_named(tmp_path, segmentation) -> None:
    path = tmp_path / "a.json"
    image = {"id": 1, "file_name": "a.png", "height": 9, "width": 9}
    annotation = {"image_id": 1, "segmentation": segmentation}
    path.write_text(json.dumps({"images": [image], "annotations": [annotation]}))
    with pytest.raises(InputError, match=r"a\.json has "):
        opened(path, "coco", None)


def test_huge_and_far_polygons() -> None:
    labels = np.zeros((3000, 4), np.int32)
    zigzag = np.array([[n % 4, 3000 * (n % 2)] for n in range(40_000)])
    with pytest.raises(InputError, match="too often for the outline"):
        fill(labels, [zigzag], 1)
    far = np.array([[-1e300, -1e300], [1e300, -1e300], [1e300, 1e300], [-1e300, 1e300]])
    fill(labels, [far], 2)
    with pytest.raises(InputError, match="not finite"):
        draw([Outline(1, [[np.array([[0, 0], [np.nan, 1], [3, 3]])]])], (9, 9))


def test_what_is_missing_is_said(tmp_path, labels) -> None:
    write(tmp_path / "a.zip", "imagej-roi", labels, "a.tif")
    with pytest.raises(InputError, match="--images DIR or --size"):
        main([str(tmp_path / "a.zip"), "--output", str(tmp_path / "a.png")])
    with pytest.raises(InputError, match="Say with --to"):
        main([str(tmp_path / "a.zip"), "--output", str(tmp_path / "out")])
    with pytest.raises(InputError, match="needs images"):
        main([str(tmp_path), "--output", str(tmp_path / "s"), "--to", "training-set"])
