"""Tables as files."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest

from napari_samsp.data.tables.object_table import measure
from napari_samsp.data.tables.table_files import TableFile, check_table, write_table
from napari_samsp.utils.errors import InputError


def rows(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def columns(**values) -> dict[str, np.ndarray]:
    return {name: np.array(column) for name, column in values.items()}


def test_all_digits_are_kept(tmp_path) -> None:
    third = 1 / 3
    write_table(
        tmp_path / "a.csv", "one", [columns(label=[4], area=[third], x=[np.nan])]
    )
    (row,) = rows(tmp_path / "a.csv")
    assert row == {"image": "one", "label": "4", "area": repr(third), "x": ""}


def test_images_with_other_columns_share_a_table(tmp_path) -> None:
    path = tmp_path / "a.csv"
    with TableFile(path) as table:
        table.add("flat", columns(label=[1, 2], mean=[5.0, 6.0]))
        table.write()
        table.add("stack, of two", columns(slice=[3], label=[1], mean_1=[7.0]))
        table.write()
    assert path.read_text().splitlines() == [
        "image,slice,label,mean,mean_1",
        "flat,,1,5.0,",
        "flat,,2,6.0,",
        '"stack, of two",3,1,,7.0',
    ]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_is_continued(tmp_path, ending) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"a.{ending}"
    labels = np.kron(np.arange(6).reshape(2, 3), np.ones((4, 4), int))
    write_table(path, "001", [measure(labels)])
    with TableFile(path) as table:
        table.add("002", measure(labels))
        assert table.keep({"other"}) == 0
        table.write()
    with TableFile(path) as table:
        assert table.keep({"001"}) == 5
        assert table.images == {"002"}
        table.write()
    if ending == "csv":
        assert [row["image"] for row in rows(path)] == ["002"] * 5
        return
    from pyarrow import parquet

    found = parquet.read_table(path).to_pydict()
    assert found["image"] == ["002"] * 5
    assert found["label"] == [1, 2, 3, 4, 5]
    assert found["area"] == [16.0] * 5
    assert found["perimeter"] == measure(labels)["perimeter"].tolist()


def test_other_files_are_not_replaced(tmp_path) -> None:
    path = tmp_path / "notes.csv"
    path.write_text("image,comment\n")
    with pytest.raises(InputError, match="is no table of objects"):
        TableFile(path)
    check_table(path, overwrite=True)
    write_table(path, "one", [columns(label=[1])])
    check_table(path)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is no table"):
        check_table(tmp_path / "folder.csv", overwrite=True)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is no table"):
        check_table(tmp_path / "binary.csv")


def test_names_that_cannot_be_written(tmp_path) -> None:
    with pytest.raises(InputError, match="written as"):
        check_table(tmp_path / "a.xlsx")
    with pytest.raises(InputError, match="no folder"):
        check_table(tmp_path / "none" / "a.csv")


def test_parquet_without_pyarrow_names_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(InputError, match="pip install pyarrow"):
        check_table(tmp_path / "a.parquet")


def test_a_name_that_is_no_text(tmp_path) -> None:
    path = tmp_path / "a.csv"
    write_table(path, "caf\udce9", [columns(label=[1])])
    assert rows(path)[0]["image"] == "caf\\udce9"
