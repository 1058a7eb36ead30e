"""``predict --prompts``: points and boxes from a CSV file."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from napari.layers import Points, Shapes
from napari_builtins.io import napari_write_points, napari_write_shapes

from napari_samsp.batch.prompts_file import PromptsFile
from napari_samsp.metrics import iou
from napari_samsp.predict import main
from napari_samsp.utils.errors import InputError

CENTRES = [(20, 25), (66, 90)]
LABELS = (1, 5)


def predict(folder, csv, *more):
    where = [str(folder / "in"), "--output", str(folder / "out")]
    return main([*where, "--prompts", str(csv), *more])


@pytest.fixture
def folder(tmp_path, nuclei):
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in" / "cells.tif", nuclei[0])
    return tmp_path


def test_napari_s_points_become_objects(folder, nuclei):
    csv = folder / "points.csv"
    napari_write_points(str(csv), *Points(np.array(CENTRES)).as_layer_data_tuple()[:2])
    assert predict(folder, csv) == 0
    labels = tifffile.imread(folder / "out" / "cells.tif")
    for n, truth in enumerate(LABELS, start=1):
        assert iou(labels == n, nuclei[1] == truth) > 0.75
    assert labels.max() == 2


def test_so_do_napari_s_rectangles_in_a_stack(folder, nuclei):
    image, truth = nuclei
    stack = np.stack([image[::-1], image])
    tifffile.imwrite(folder / "in" / "cells.tif", stack, metadata={"axes": "ZYX"})
    boxes = []
    for label in LABELS:
        rows, columns = np.nonzero(truth == label)
        y, x = (rows.min() - 1, rows.max() + 1), (columns.min() - 1, columns.max() + 1)
        boxes.append([(1, y[a], x[b]) for a, b in ((0, 0), (0, 1), (1, 1), (1, 0))])
    csv = folder / "boxes.csv"
    shapes = Shapes([np.array(box) for box in boxes])
    napari_write_shapes(str(csv), *shapes.as_layer_data_tuple()[:2])
    assert predict(folder, csv) == 0
    labels = tifffile.imread(folder / "out" / "cells.tif")
    assert not labels[0].any()
    for n, label in enumerate(LABELS, start=1):
        assert iou(labels[1] == n, truth == label) > 0.75


def test_several_images_and_points_beside_an_object(folder, nuclei):
    tifffile.imwrite(folder / "in" / "b.tif", nuclei[0][::-1])
    csv = folder / "p.csv"
    lines = [
        "image,index,axis-0,axis-1,label",
        "cells,0,20,25,1", "cells,0,20,60,0", "b.tif,0,25,25,",
    ]  # fmt: skip
    csv.write_text("\n".join(lines))
    assert predict(folder, csv) == 0
    labels = tifffile.imread(folder / "out" / "cells.tif")
    assert labels[20, 25] == 1 and labels[20, 60] == 0 and labels.max() == 1
    first = (folder / "out" / "b.tif").read_bytes()
    # Other prompts are another result, the same ones are done.
    csv.write_text("\n".join([*lines[:-1], "b.tif,0,72,25,"]))
    assert predict(folder, csv) == 0
    assert (folder / "out" / "b.tif").read_bytes() != first


@pytest.mark.parametrize(
    ("lines", "more", "said"),
    [
        (["a,b", "1,2"], [], "needs the columns index, axis-0 and axis-1"),
        (["index,axis-0,axis-1"], [], "has no prompts"),
        (["index,axis-0,axis-1", "0,1,x"], [], "line 2: axis-1 is 'x'"),
        (["index,axis-0,axis-1", "0,1,500"], [], "is not in the image of 96 x 160"),
        (["index,axis-0,axis-1,axis-2", "0,4,1,5"], [], "on slice 4, which the image"),
        (["image,index,axis-0,axis-1", "z,0,1,5"], [], "no prompts of cells.tif"),
        (["index,axis-0,axis-1,label", "0,1,5,2"], [], "label must be 1"),
        (["index,axis-0,axis-1", "0,1,5"], ["--all-iterations"], "leave out"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(folder, lines, more, said):
    csv = folder / "p.csv"
    csv.write_text("\n".join(lines))
    with pytest.raises(InputError, match=said):
        predict(folder, csv, *more)


def test_of_several_images_each_prompt_says_its_own(folder, nuclei):
    tifffile.imwrite(folder / "in" / "b.tif", nuclei[0])
    csv = folder / "p.csv"
    csv.write_text("index,axis-0,axis-1\n0,20,25\n")
    with pytest.raises(InputError, match="add a column image"):
        predict(folder, csv)
    assert len(PromptsFile(csv).of(folder / "in" / "b.tif")) == 1
