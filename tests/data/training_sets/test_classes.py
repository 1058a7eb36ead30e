"""What labels mean: ``classes.json``, tables of objects, and labels that tell both."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_samsp.data.training_sets.class_labels import (
    check_present,
    encode,
    objects_and_classes,
)
from napari_samsp.data.training_sets.class_tables import class_table, read_table
from napari_samsp.data.training_sets.classes import (
    Classes,
    LabelClass,
    parse_classes,
    read_classes,
    write_classes,
)
from napari_samsp.utils.errors import InputError

LEAF, SPOT = LabelClass(2, "leaf", "#00ff00"), LabelClass(5, "spot", "#ff0000")
SEMANTIC = Classes("semantic", (LEAF, SPOT))
INSTANCES = Classes("instances", (LEAF, SPOT), ())


def listed(*classes, kind="semantic", **more):
    return {"kind": kind, "classes": list(classes), **more}


def test_what_is_written_is_read(tmp_path):
    for classes in (SEMANTIC, INSTANCES, Classes("semantic", (LEAF,), (7, 255))):
        write_classes(tmp_path, classes)
        assert read_classes(tmp_path) == classes
    assert read_classes(tmp_path / "elsewhere") is None


def test_a_short_list_is_enough():
    found = parse_classes(
        listed({"label": 3, "name": " crack "}, {"label": 1, "name": "Ignore"})
    )
    assert found.names == ["crack"]
    assert found.ignore == (1, 255)
    assert found.classes[0].color.startswith("#")
    # 255 is a class if somebody says so, and an object among many.
    assert parse_classes(listed({"label": 255, "name": "crack"})).ignore == ()
    one = {"label": 1, "name": "cell"}
    assert parse_classes(listed(one, kind="instances")).ignore == ()
    assert parse_classes(listed(one, ignore=None)).ignore == ()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "no list"),
        (listed(kind="both"), "semantic or instances"),
        (listed(), "names no class"),
        (listed({"label": 4}), "the class with label 4 has no name"),
        (listed({"label": 4, "name": "  "}), "the class with label 4 has no name"),
        (listed({"label": 4, "name": "a\x1b[2J"}), "cannot be shown"),
        (listed({"label": 4, "name": "a" * 1000}), "longer than 80"),
        (listed({"label": True, "name": "a"}), "not a number from 1"),
        (listed({"label": 0, "name": "a"}), "not a number from 1"),
        (listed({"label": 10**9, "name": "a"}), "not a number from 1"),
        (listed({"label": 1, "name": "a", "color": "url(x)"}), "color of a"),
        (listed("leaf"), "class 1 of the list is 'leaf'"),
        (listed({"label": 1, "name": "a"}, ignore=1), "class and to be ignored"),
        (listed({"label": 1, "name": "a"}, ignore="no"), "not a label"),
        (listed(*({"label": 1, "name": n} for n in "ab")), "have the label 1"),
        (listed(*({"label": n, "name": "a"} for n in (1, 2))), "have the name a"),
        (listed({"label": 5, "name": "2"}), "with label 5 is called 2, which a table"),
        (listed({"label": 5, "name": " 02.0 "}), "such as class 02.0"),
        (
            listed(*({"label": n, "name": str(n)} for n in range(1, 201))),
            "200 classes, and at most 64",
        ),
    ],
)
def test_what_cannot_be_used_is_said_in_a_sentence(tmp_path, content, said):
    (tmp_path / "classes.json").write_text(json.dumps(content))
    with pytest.raises(
        InputError, match=r"classes\.json cannot be used: .*\.$"
    ) as error:
        read_classes(tmp_path)
    assert said in str(error.value)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "\xff", ""])
def test_files_that_are_no_json_are_refused(tmp_path, text):
    (tmp_path / "classes.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="cannot be used"):
        read_classes(tmp_path)


def test_semantic_labels_become_indices_and_the_unlabelled_is_left_out():
    mask = np.array([[0, 2, 5], [255, 2, 0]])
    labels, ignored = encode(mask, SEMANTIC)
    assert labels.tolist() == [[0, 1, 2], [0, 1, 0]]
    assert ignored.tolist() == [[False] * 3, [True, False, False]]
    assert encode(mask[:1], SEMANTIC)[1] is None
    with pytest.raises(InputError, match=r"label 3, 9, which classes\.json does not"):
        encode(np.array([[3, 9, 2]]), SEMANTIC)


def test_objects_of_a_semantic_mask_are_the_parts_of_each_class():
    mask = np.array([[2, 0, 2, 5], [2, 0, 5, 5]])
    labels, _ = encode(mask, SEMANTIC, objects=True)
    assert len(np.unique(labels)) == 4
    assert ((labels[labels > 0] - 1) % 2).tolist() == [0, 0, 1, 0, 1, 1]
    assert labels[0, 3] == labels[1, 2]
    assert labels[0, 0] != labels[0, 2]


def test_a_table_tells_the_class_of_each_object(tmp_path):
    path = tmp_path / "a.classes.csv"
    path.write_text("\ufefflabel,class,note\n7,Leaf,x\n300,5,\n", encoding="utf-8")
    table = read_table(path, INSTANCES)
    assert table == {7: 0, 300: 1}
    mask = np.array([[7, 0, 300], [7, 300, 300]])
    assert encode(mask, INSTANCES, table)[0].tolist() == [[1, 0, 2], [1, 2, 2]]
    labels, _ = encode(mask, INSTANCES, table, objects=True)
    assert ((labels - 1) % 2)[mask > 0].tolist() == [0, 1, 0, 1, 1]
    found, kinds, _ = objects_and_classes(mask, tmp_path / "a.tif", INSTANCES, True)
    assert kinds.tolist() == [[2, 0, 5], [2, 5, 5]]
    assert len(np.unique(found)) == 3
    with pytest.raises(InputError, match=r"label 8, which the table .*gives no class"):
        encode(np.array([[8]]), INSTANCES, table)


def test_a_class_may_be_called_like_its_own_label(tmp_path):
    classes = parse_classes(
        listed(*({"label": n, "name": name} for n, name in ((2, "2"), (5, "0.5 mM"))))
    )
    (tmp_path / "a.classes.csv").write_text("label,class\n1,2\n2,5\n3,0.5 mm\n")
    assert read_table(tmp_path / "a.classes.csv", classes) == {1: 0, 2: 1, 3: 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,class\n", "no columns label and class"),
        ("label,class\n1,stem\n", "object 1 has the class 'stem'"),
        ("label,class\n-1,leaf\n", "line 2 has no label"),
        ("label,class\n99999999999999999999,leaf\n", "line 2 has no label"),
        ("label,class\n1\n", "object 1 has the class ''"),
        ("label,class\n1,leaf\n1,spot\n", "object 1 has two classes"),
        ("z,label,class\n0,1,leaf\n", "it is of a stack"),
        ("z,label,class\n,1,leaf\n", "line 2 does not say which slice"),
        ("label,class\n1," + "a" * 200_000, "cannot be used"),
        ("", "no columns"),
    ],
)
def test_a_broken_table_is_refused(tmp_path, text, said):
    (tmp_path / "a.classes.csv").write_text(text)
    with pytest.raises(InputError, match=r"a\.classes\.csv cannot be used") as error:
        read_table(tmp_path / "a.classes.csv", INSTANCES)
    assert said in str(error.value)
    with pytest.raises(InputError, match=r"There is no b\.classes\.csv"):
        read_table(tmp_path / "b.classes.csv", INSTANCES)


def test_the_table_of_predicted_objects_can_be_read_again(tmp_path):
    names = {2: "leaf", 5: 'spot, "old"'}
    classes = Classes("instances", (LEAF, LabelClass(5, names[5], "#ff0000")), ())
    path = tmp_path / "a.classes.csv"
    path.write_bytes(class_table("", [((None, None), np.array([0, 5, 2]))], names))
    assert read_table(path, classes) == {1: 1, 2: 0}
    planes = [((z, None, None), np.array([0, 2])) for z in (0, 3)]
    assert class_table("z", planes, names) == b"z,label,class\n0,1,leaf\n3,1,leaf\n"


def test_a_class_without_a_pixel_cannot_be_learnt():
    images = [np.array([[0, 1]]), np.array([[3, 1]])]
    with pytest.raises(InputError, match=r"No training mask has a pixel of spot \(5\)"):
        check_present(images, SEMANTIC)
    check_present([*images, np.array([[4]])], SEMANTIC)
