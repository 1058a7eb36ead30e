"""``predict --table``: the objects of what was segmented, also by earlier calls."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from skimage import io

from napari_samsp.measure import main as measure
from napari_samsp.predict import main as predict
from napari_samsp.utils.errors import InputError

QUICK = ("--iterations", "1", "--tile", "off", "--objects")


@pytest.fixture
def images(tmp_path, nuclei):
    folder = tmp_path / "images"
    folder.mkdir()
    io.imsave(folder / "a.png", nuclei[0])
    io.imsave(folder / "b.png", np.ascontiguousarray(nuclei[0].T))
    return folder


def rows(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return sorted(
            csv.DictReader(stream), key=lambda row: (row["image"], int(row["label"]))
        )


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_the_table_is_what_measure_makes_of_the_labels(
    images, tmp_path, workers
) -> None:
    table, masks = tmp_path / "objects.csv", tmp_path / "masks"
    options = ["--output", str(masks), "--table", str(table), *QUICK, *workers]
    assert predict([str(images), *options]) == 0
    found = rows(table)
    assert {row["image"] for row in found} == {"a", "b"}
    assert "mean_intensity" in found[0]
    again = tmp_path / "again.csv"
    measure([str(masks), "--images", str(images), "--output", str(again)])
    assert rows(again) == found


def test_a_second_call_keeps_the_rows_of_what_is_done(
    images, tmp_path, nuclei, monkeypatch
) -> None:
    table, masks = tmp_path / "objects.csv", tmp_path / "masks"
    options = ["--output", str(masks), "--table", str(table), *QUICK]
    predict([str(images / "a.png"), *options])
    kept = rows(table)
    io.imsave(images / "c.png", np.ascontiguousarray(nuclei[0][:, ::-1]))
    with monkeypatch.context() as patch:
        # What is done is not measured again: its labels may be large.
        patch.setattr("napari_samsp.batch.objects.measured", None)
        predict([str(images), *options])
    found = rows(table)
    assert found[: len(kept)] == kept
    assert {row["image"] for row in found} == {"a", "b", "c"}
    # An image that changed is segmented and measured anew.
    io.imsave(images / "a.png", np.ascontiguousarray(nuclei[0][::-1]))
    predict([str(images), *options])
    changed = [row for row in rows(table) if row["image"] == "a"]
    assert changed
    assert changed != kept
    assert len(rows(table)) == len(found) - len(kept) + len(changed)


def test_what_was_done_without_a_table_is_measured(images, tmp_path) -> None:
    table, masks = tmp_path / "objects.csv", tmp_path / "masks"
    predict([str(images), "--output", str(masks), *QUICK])
    changed = (masks / "a.tif").stat().st_mtime_ns
    predict([str(images), "--output", str(masks), *QUICK, "--table", str(table)])
    assert (masks / "a.tif").stat().st_mtime_ns == changed
    assert {row["image"] for row in rows(table)} == {"a", "b"}


def test_a_bad_image_costs_no_rows_of_the_others(images, tmp_path) -> None:
    (images / "bad.png").write_bytes(b"\x89PNG nothing")
    table = tmp_path / "objects.csv"
    options = ["--output", str(tmp_path / "masks"), "--table", str(table), *QUICK]
    with pytest.raises(InputError, match=r"bad\.png"):
        predict([str(images), *options])
    assert {row["image"] for row in rows(table)} == {"a", "b"}


def test_another_file_is_refused_before_anything_is_segmented(images, tmp_path) -> None:
    (tmp_path / "mine.csv").write_text("my,notes\n")
    masks = tmp_path / "masks"
    with pytest.raises(InputError, match="is no table of objects"):
        predict([
            str(images), "--output", str(masks), *QUICK,
            "--table", str(tmp_path / "mine.csv"),
        ])  # fmt: skip
    assert not (masks / "a.tif").exists()
