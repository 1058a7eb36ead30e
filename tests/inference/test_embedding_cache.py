"""An embedding is computed once, and a broken or full cache costs nothing else."""

from __future__ import annotations

import os
import shutil

import pytest
import torch
from safetensors.torch import save_file

from napari_samsp.data.rgb import Scaling
from napari_samsp.inference.embedding_cache import (
    SIZE_VARIABLE,
    EmbeddingCache,
    fingerprint,
    key,
)
from napari_samsp.inference.segmenter import Segmenter
from napari_samsp.sam.architecture import Architecture, build_sam
from napari_samsp.self_prompting import model as self_prompting
from napari_samsp.utils.errors import InputError

ONE = torch.randn(4, 8, 8)
TINY = Architecture(32, 8, 16, 1, 2, (0,), 2, 16, 16)


@pytest.fixture
def encodings(monkeypatch):
    """How many images each call of the encoder got."""
    seen = []
    plain = self_prompting.SelfPrompting.encode

    def encode(model, images):
        seen.append(len(images))
        return plain(model, images)

    monkeypatch.setattr(self_prompting.SelfPrompting, "encode", encode)
    return seen


def test_other_settings_need_no_second_encoding(nuclei, encodings):
    image, _ = nuclei
    segmenter = Segmenter()
    segmenter.segment(image, iterations=1, tile="off")
    for settings in ({"iterations": 3}, {"prompt": "box"}, {"objects": True}):
        segmenter.segment(image, tile="off", **settings)
    assert sum(encodings) == 1
    # With the same settings another model says the same.
    known = segmenter.segment(image, objects=True, tile="off")
    fresh = Segmenter().segment(image, objects=True, tile="off")
    assert sum(encodings) == 2
    assert (known[-1].labels == fresh[-1].labels).all()


def test_what_the_model_sees_differently_is_encoded(nuclei, encodings):
    image, _ = nuclei
    segmenter = Segmenter()
    segmenter.segment(image, 1, tile="off")
    for changed in (image[::-1], image[:, :-1], image.clip(40)):
        before = sum(encodings)
        segmenter.segment(changed, 1, tile="off")
        assert sum(encodings) == before + 1
    segmenter.scaling = Scaling("percentile", 5, 95)
    segmenter.segment(image, 1, tile="off")
    assert sum(encodings) == before + 2


def test_it_is_there_in_the_next_session(nuclei, encodings, tmp_path):
    image, _ = nuclei
    first = Segmenter(cache=EmbeddingCache(tmp_path / "new")).segment(image)
    count = sum(encodings)
    again = Segmenter(cache=EmbeddingCache(tmp_path / "new")).segment(image)
    assert sum(encodings) == count
    assert (first[-1].logits == again[-1].logits).all()


def test_another_weight_is_another_model():
    encoder = build_sam(TINY).image_encoder
    before = fingerprint(encoder)
    assert fingerprint(encoder) == before
    with torch.no_grad():
        encoder.blocks[0].attn.q_proj.weight[0, 0] += 1e-3
    assert fingerprint(encoder) != before
    assert key(before, ONE) != key(fingerprint(encoder), ONE)


def damage_by_truncation(place):
    place.write_bytes(place.read_bytes()[:-100])


def damage_by_one_bit(place):
    data = bytearray(place.read_bytes())
    data[-5] ^= 1
    place.write_bytes(data)


def damage_by_zeros(place):
    place.write_bytes(bytes(place.stat().st_size))


def damage_by_another_tensor(place):
    save_file({"something": torch.zeros(3)}, place)


def damage_by_no_digest(place):
    save_file({"embedding": torch.zeros(3)}, place)


def damage_by_a_folder(place):
    place.unlink()
    place.mkdir()


@pytest.mark.parametrize(
    "damage",
    [
        damage_by_truncation,
        damage_by_one_bit,
        damage_by_zeros,
        damage_by_another_tensor,
        damage_by_no_digest,
        damage_by_a_folder,
        os.unlink,
    ],
)
def test_a_broken_file_is_a_missing_one(damage, tmp_path):
    EmbeddingCache(tmp_path).put("a", ONE)
    assert torch.equal(EmbeddingCache(tmp_path).get("a"), ONE)
    (place,) = tmp_path.iterdir()
    damage(place)
    cache = EmbeddingCache(tmp_path)
    assert cache.get("a") is None
    cache.put("a", ONE)
    assert torch.equal(cache.get("a"), ONE)


def test_the_oldest_make_room(tmp_path):
    EmbeddingCache(tmp_path).put("0", ONE)
    size = next(tmp_path.iterdir()).stat().st_size
    limit, cache = 5 * size, EmbeddingCache(tmp_path, 5 * size, ONE.nbytes)
    for n, name in enumerate("1234"):
        cache.put(name, ONE)
        os.utime(tmp_path / f"{name}.safetensors", (n + 1, n + 1))
    os.utime(tmp_path / "0.safetensors", (0, 0))
    assert cache.get("0") is not None  # used: it is the youngest now
    for name in "56789":
        cache.put(name, ONE)
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= limit
        assert cache.get(name) is not None
    kept = {file.stem for file in tmp_path.iterdir()}
    assert "0" not in kept or "1" not in kept
    assert "9" in kept


def test_memory_is_bounded():
    cache = EmbeddingCache(memory_bytes=2 * ONE.nbytes)
    for name in "abc":
        cache.put(name, ONE)
    assert [cache.get(name) is None for name in "abc"] == [True, False, False]


def test_nothing_is_written_where_the_user_wants_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv(SIZE_VARIABLE, "0")
    EmbeddingCache(tmp_path).put("a", ONE)
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv(SIZE_VARIABLE, "much")
    with pytest.raises(InputError, match=r"number of megabytes.*much"):
        EmbeddingCache(tmp_path)


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    cache = EmbeddingCache(blocked / "embeddings")
    cache.put("a", ONE)
    assert torch.equal(cache.get("a"), ONE)


def test_a_folder_that_vanishes_is_made_again(tmp_path):
    cache = EmbeddingCache(tmp_path / "e")
    for name in "ab":
        cache.put(name, ONE)
        shutil.rmtree(tmp_path / "e")
    cache.put("c", ONE)
    assert [file.stem for file in (tmp_path / "e").iterdir()] == ["c"]


def test_kept_embeddings_cannot_be_changed_from_outside():
    cache, mine = EmbeddingCache(), ONE.clone()
    cache.put("a", mine)
    mine.zero_()
    assert torch.equal(cache.get("a"), ONE)


@pytest.mark.parametrize("settings", [{}, {"objects": True}, {"tile": 100}])
def test_an_image_that_was_embedded_needs_no_encoding(nuclei, encodings, settings):
    image, _ = nuclei
    segmenter = Segmenter()
    scaling = Scaling("limits", 10, 200)
    assert segmenter.embed(image, scaling=scaling, **settings)
    done = sum(encodings)
    segmenter.scaling = scaling
    found = segmenter.segment(image, **settings)
    assert 0 < done == sum(encodings)
    fresh = Segmenter(scaling=scaling).segment(image, **settings)
    assert (found[-1].labels == fresh[-1].labels).all()


def test_embedding_ahead_leaves_most_of_the_memory(nuclei, encodings):
    """There is room for eight embeddings: two may be ahead, six not."""
    image, _ = nuclei
    one = 4 * 1536 * 16**2
    segmenter = Segmenter(cache=EmbeddingCache(memory_bytes=8 * one))
    assert not segmenter.embed(image, tile=60)
    assert not encodings
    assert segmenter.embed(image, tile=100)
    assert sum(encodings) == 2
    assert not Segmenter(cache=EmbeddingCache(memory_bytes=2 * one)).embed(image)
