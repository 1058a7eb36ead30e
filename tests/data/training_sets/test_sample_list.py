"""Notes change, and whatever else is in their list stays."""

from __future__ import annotations

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_samsp.data.training_sets.sample_list import changed_list, read_list
from napari_samsp.data.training_sets.training_set import TrainingSet

FOREIGN = [
    b"# counted by Ann, 3 May", b"", b'{"note": "no name"}', b'["a list"]', b"\xff\xfe",
    b'{"name": "b", "by": "hand", "spaced" : 1.50}\r',
]  # fmt: skip


def test_keeping_and_removing_keeps_what_others_wrote(tmp_path):
    corrections = TrainingSet(tmp_path)
    path = tmp_path / "samples.jsonl"
    image = np.eye(4, 6, dtype=np.uint8)
    corrections.add(image, image, name="a")
    own = path.read_bytes().rstrip(b"\n")
    path.write_bytes(b"\n".join([*FOREIGN[:3], own, *FOREIGN[3:]]))
    corrections.add(image, image, name="c")
    corrections.add(image, image * 2, name="a", replace=True, layer="new")
    lines = path.read_bytes().split(b"\n")
    assert lines[:3] + lines[4:-2] == FOREIGN
    assert json.loads(lines[3])["layer"] == "new"
    assert [json.loads(lines[-2])["name"], lines[-1]] == ["c", b""]
    gone = corrections.remove("a")
    assert path.read_bytes().split(b"\n")[:-2] == FOREIGN
    corrections.put_back(gone)
    assert read_list(path)["a"]["layer"] == "new"
    assert read_list(path)["b"]["by"] == "hand"


NOTES = st.builds(
    lambda name, n: json.dumps({"name": name, "n": n}).encode(),
    st.sampled_from("abc"), st.integers(),
)  # fmt: skip


@given(
    st.lists(NOTES | st.binary(max_size=9).filter(lambda line: b"\n" not in line)),
    st.dictionaries(st.sampled_from("abcd"), st.none() | st.just({"n": "new"})),
)
def test_only_the_lines_of_changed_samples_change(tmp_path_factory, lines, changes):
    path = tmp_path_factory.mktemp("set") / "samples.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    before = read_list(path)
    changes = {k: v and v | {"name": k} for k, v in changes.items()}
    path.write_bytes(changed_list(path, changes))
    expected = before | changes
    assert read_list(path) == {k: v for k, v in expected.items() if v is not None}
    others = [one for one in lines if name_of(one) not in changes]
    after = path.read_bytes().split(b"\n")[:-1]
    assert [one for one in after if name_of(one) not in changes] == others


def name_of(line: bytes) -> str | None:
    try:
        return json.loads(line)["name"]
    except (ValueError, TypeError, KeyError):
        return None
