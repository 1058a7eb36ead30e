from __future__ import annotations

import pytest

from napari_samsp.sam.adapters.adapter_card import AdapterCard
from napari_samsp.sam.known_files import MOST, find, known_files, remember
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.paths import home


@pytest.fixture
def file(tmp_path):
    """Make a file in a folder of its own."""

    def make(folder: str, name: str = "best.pt") -> str:
        place = tmp_path / folder / name
        place.parent.mkdir()
        place.write_bytes(b"")
        return str(place)

    return make


def test_the_newest_is_first_and_none_is_there_twice(file) -> None:
    a, b = file("a"), file("b")
    remember(a)
    remember(b)
    remember(a)
    assert [one.path for one in known_files()] == [a, b]


def test_a_hash_finds_the_right_one_of_equal_names(file) -> None:
    a, b = file("a"), file("b")
    remember(a, "1" * 64)
    remember(b, "2" * 64)
    assert str(find("best.pt", "1" * 64)) == a
    assert str(find("renamed.pt", "2" * 64)) == b
    assert find("best.pt", "3" * 64) is None


def test_without_a_hash_the_name_must_do(file) -> None:
    a = file("a")
    remember(a)
    assert str(find("best.pt", "1" * 64)) == a
    remember(a, "2" * 64)
    remember(a)  # opened again: its hash is not forgotten
    assert find("best.pt", "1" * 64) is None


def test_what_is_gone_is_not_listed(file, tmp_path) -> None:
    remember(file("a"))
    (tmp_path / "a" / "best.pt").unlink()
    assert known_files() == []


def test_the_list_does_not_grow_for_ever(file) -> None:
    for n in range(MOST + 3):
        remember(file(f"{n}"))
    assert len(known_files()) == MOST


@pytest.mark.parametrize("content", ["", "{", "[1]", "{}", '[{"path": 1}]'])
def test_a_broken_list_is_an_empty_one(content: str) -> None:
    home().mkdir(parents=True, exist_ok=True)
    (home() / "checkpoints.json").write_text(content)
    assert known_files() == []


def test_an_adapter_finds_its_base_file(file) -> None:
    card = AdapterCard("best.pt", "1" * 64, 1024)
    with pytest.raises(InputError, match="with --model"):
        card.base_to_load()
    a = file("a")
    remember(a, "1" * 64)
    assert card.base_to_load() == a
    assert card.base_to_load("other.pt") == "other.pt"
