from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os

import pytest

from napari_samsp import models as command
from napari_samsp.sam import download as fetching
from napari_samsp.sam import registry as models
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.paths import models_folder


def files() -> list[str]:
    return sorted(f.name for f in models_folder().iterdir())


def test_the_bundled_model_is_the_default() -> None:
    assert models.names()[0] == "samsp_small"
    assert models.info("samsp_small").bundled
    assert models.location("samsp_small").name == "samsp_small.safetensors"


def test_hashes_are_whole() -> None:
    digits = {"sha256": 64, "xxh128": 32, "md5": 32}
    for name in models.names()[1:]:
        algorithm, _, value = models.info(name).published_hash.partition(":")
        assert len(value) == digits[algorithm]
        assert int(value, 16)
        assert models.info(name).url.startswith("https://")


def test_every_model_has_a_file_of_its_own() -> None:
    files = [models.info(name).file for name in models.names()]
    assert len(set(files)) == len(files)
    hashes = [models.info(name).published_hash for name in models.names()]
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize(
    ("published", "fits"), [(9_000_000, True), (9_800_000, True), (12_000_000, False)]
)
def test_a_size_that_is_not_published_may_be_a_tenth_off(
    server, monkeypatch, published, fits
):
    monkeypatch.setattr(fetching, "SPARE_BYTES", 0)
    content = bytes(published)
    server["content"] = content
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    model = dataclasses.replace(
        models.info("vit_b"), published_hash=digest, size_bytes=9_000_000
    )
    monkeypatch.setitem(models._REGISTRY, "vit_b", model)
    if fits:
        assert models.download("vit_b").stat().st_size == published
    else:
        with pytest.raises(InputError, match="more than the file has"):
            models.download("vit_b")


def test_a_user_is_told_what_each_model_is_for_and_how_large_it_is(capsys) -> None:
    command.main(["list"])
    said = " ".join(capsys.readouterr().out.split())
    for name in models.names()[1:]:
        about = models.info(name)
        assert about.size_bytes > 40e6
        assert ":" in about.description
        assert f"{name} {models.download_bytes(name) / 1e6:.0f} MB" in said
    assert {"vit_t", "vit_t_lm", "vit_h_histopathology"} < set(models.names())


def test_a_licence_that_is_not_known_is_not_made_up(capsys) -> None:
    command.main(["info", "vit_b_histopathology"])
    said = capsys.readouterr().out
    assert "not stated by its publisher" in said
    assert "XXH128" in said
    assert "compared ever after" in said


def test_unknown_model() -> None:
    with pytest.raises(InputError, match=r"no model vit_x; known are samsp_small, vit"):
        models.info("vit_x")


def test_what_is_not_there_is_told_with_the_way_to_get_it() -> None:
    assert not models.is_available("vit_b")
    with pytest.raises(InputError, match=r"models download vit_b \(375 MB\)") as error:
        models.path("vit_b")
    model, said = models.info("vit_b"), str(error.value)
    assert f"{models_folder()} as {model.file}" in said
    assert f"SHA-256 {model.sha256}" in said
    assert model.url in said


def test_download(server: dict) -> None:
    seen: list[tuple[int, int]] = []
    place = models.download("vit_b", lambda *parts: seen.append(parts))
    assert place == models.path("vit_b")
    assert place.read_bytes() == server["whole"]
    assert files() == [place.name]
    assert seen[-1] == (len(server["whole"]), len(server["whole"]))
    assert [here for here, _ in seen] == sorted(here for here, _ in seen)


def test_what_is_there_is_not_fetched_again(server: dict) -> None:
    models.download("vit_b")
    models.download("vit_b")
    assert len(server["requests"]) == 1


def test_a_download_that_broke_off_is_continued(server: dict) -> None:
    server["cut"] = 3_000_000
    with pytest.raises(InputError, match="broke off"):
        models.download("vit_b")
    assert not models.is_available("vit_b")
    (kept,) = (f.stat().st_size for f in models_folder().iterdir())
    del server["cut"]
    assert models.download("vit_b").read_bytes() == server["whole"]
    assert server["requests"][-1][1] == f"bytes={kept}-"
    assert kept > 0
    assert files() == ["sam_vit_b_01ec64.pth"]


def test_a_server_that_cannot_continue_starts_again(server: dict) -> None:
    server |= {"cut": 3_000_000, "ranges": False}
    with pytest.raises(InputError):
        models.download("vit_b")
    del server["cut"]
    assert models.download("vit_b").read_bytes() == server["whole"]


def test_a_part_that_is_already_whole(server: dict) -> None:
    models_folder().mkdir(parents=True)
    (models_folder() / "sam_vit_b_01ec64.pth.part").write_bytes(server["whole"])
    assert models.download("vit_b").read_bytes() == server["whole"]
    assert files() == ["sam_vit_b_01ec64.pth"]


def test_another_content_is_refused_and_not_kept(server: dict) -> None:
    server["content"] = server["whole"][::-1]
    with pytest.raises(InputError, match="is not the published"):
        models.download("vit_b")
    assert files() == []


def test_a_server_that_sends_without_end_is_left(server: dict) -> None:
    server["content"] = bytes(len(server["whole"]) + 10_000_000)
    server["tells_length"] = False
    seen: list[int] = []
    with pytest.raises(InputError, match="more than the file has"):
        models.download("vit_b", lambda here, _: seen.append(here))
    assert max(seen) < len(server["whole"]) + 3_000_000
    assert not list(models_folder().iterdir())


def test_a_server_that_refuses_the_range_of_nothing(server: dict) -> None:
    server["refuse"] = 416
    with pytest.raises(InputError, match="HTTP 416"):
        models.download("vit_b")


@pytest.mark.skipif(os.name == "nt", reason="links need a permission on Windows")
def test_a_part_that_is_a_link_is_not_written_through(server: dict, tmp_path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(server["whole"][:1000])
    models_folder().mkdir(parents=True)
    part = models_folder() / f"{models.info('vit_b').file}.part"
    part.symlink_to(victim)
    assert models.download("vit_b").read_bytes() == server["whole"]
    assert victim.read_bytes() == server["whole"][:1000]


def test_a_missing_file_is_told_with_its_address(server: dict) -> None:
    server["gone"] = True
    with pytest.raises(InputError, match=r"http://127.*\(HTTP 404 Not Found\).*put it"):
        models.download("vit_b")
    assert not models.is_available("vit_b")


def test_without_network(monkeypatch) -> None:
    monkeypatch.setenv(models.URL_VARIABLE, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(InputError, match=r"\(no connection\): try again") as error:
        models.download("vit_b")
    model, said = models.info("vit_b"), str(error.value)
    assert f"{models_folder()} as {model.file}" in said
    assert f"SHA-256 {model.sha256}" in said


def test_a_redirection_is_followed(server: dict) -> None:
    server |= {"moved": True, "cut": 3_000_000}
    with pytest.raises(InputError):
        models.download("vit_b")
    del server["cut"]
    assert models.download("vit_b").read_bytes() == server["whole"]
    path, asked = server["requests"][-1]
    assert path == "/new/sam_vit_b_01ec64.pth"
    assert asked is not None  # the new place, too, is asked for the rest only


def test_a_slow_server_moves_the_progress(server: dict) -> None:
    server["piece"] = 1000
    seen: list[int] = []
    models.download("vit_b", lambda here, total: seen.append(here))
    assert max(b - a for a, b in itertools.pairwise(seen)) < 200_000


def test_a_server_that_falls_silent_is_left_and_its_part_kept(
    server: dict, monkeypatch
) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.3)
    server["stall_after"] = 1_000_000
    with pytest.raises(InputError, match=r"\(no answer\)"):
        models.download("vit_b")
    del server["stall_after"]
    monkeypatch.setattr(fetching, "TIMEOUT_S", 30)
    assert models.download("vit_b").read_bytes() == server["whole"]
    assert int(server["requests"][-1][1].removeprefix("bytes=").rstrip("-")) > 900_000


def test_the_progress_knows_the_size_that_a_server_does_not_tell(server: dict) -> None:
    server["tells_length"] = False
    seen: list[tuple[int, int]] = []
    models.download("vit_b", lambda *parts: seen.append(parts))
    assert {total for _, total in seen} == {len(server["whole"])}


@pytest.mark.parametrize("name", ["vit_b_lm", "medsam_vit_b"])
def test_without_a_published_sha256_that_of_the_first_download_is_kept(
    server: dict, name: str
) -> None:
    place = models.download(name)
    record = place.with_name(f"{place.name}.sha256")
    digest = hashlib.sha256(server["whole"]).hexdigest()
    assert record.read_text() == f"{digest}  {place.name}\n"
    models.check(name, digest)
    with pytest.raises(InputError, match="is not the published"):
        models.check(name, "0" * 64)


@pytest.mark.parametrize("name", ["vit_b_lm", "medsam_vit_b"])
def test_other_hashes_refuse_another_content(server: dict, name: str) -> None:
    server["content"] = server["whole"][::-1]
    with pytest.raises(InputError, match="is not the published"):
        models.download(name)
    assert files() == []


def test_a_file_put_there_by_hand_is_checked_at_its_first_use(server: dict) -> None:
    models_folder().mkdir(parents=True)
    place = models.location("vit_b_lm")
    place.write_bytes(server["whole"][::-1])
    with pytest.raises(InputError, match="is not the published"):
        models.check("vit_b_lm", hashlib.sha256(server["whole"][::-1]).hexdigest())
    assert files() == [place.name]
    place.write_bytes(server["whole"])
    models.check("vit_b_lm", hashlib.sha256(server["whole"]).hexdigest())
    assert files() == [place.name, f"{place.name}.sha256"]
    assert server["requests"] == []


def test_a_distance_decoder_comes_with_its_model(server: dict, capsys) -> None:
    seen: list[tuple[int, int]] = []
    place = models.download("vit_b_lm", lambda *parts: seen.append(parts))
    decoder = models.decoder_file("vit_b_lm")
    assert place.name == "vit_b_lm.pt"
    assert decoder == place.with_name("vit_b_lm_decoder.pt")
    assert decoder.read_bytes() == place.read_bytes() == server["whole"]
    both = 2 * len(server["whole"])
    assert models.download_bytes("vit_b_lm") == both
    assert seen[-1] == (both, both)
    assert {total for _, total in seen} == {both}
    assert [here for here, _ in seen] == sorted(here for here, _ in seen)
    models.download("vit_b_lm")
    assert len(server["requests"]) == 2
    command.main(["info", "vit_b_lm"])
    said = capsys.readouterr().out
    assert f"decoder       {decoder} (downloaded)" in said
    assert models.info("vit_b_lm_decoder").url in said


def test_only_what_its_publisher_has_is_fetched(server: dict) -> None:
    models.download("vit_b")
    assert [path for path, _ in server["requests"]] == ["/sam_vit_b_01ec64.pth"]
    with_one = {name for name in models.names() if models.decoder_of(name)}
    assert with_one == {
        *("vit_t_lm", "vit_b_lm", "vit_l_lm", "vit_b_medical_imaging"),
        *(f"vit_{size}_em_organelles" for size in "tbl"),
        *(f"vit_{size}_histopathology" for size in "blh"),
    }
    assert not any(name.endswith("_decoder") for name in models.names())


def test_decoders_have_whole_hashes_and_files_of_their_own() -> None:
    decoders = [
        models.info(f"{n}_decoder") for n in models.names() if models.decoder_of(n)
    ]
    for one in decoders:
        algorithm, _, digits = one.published_hash.partition(":")
        assert (algorithm, len(digits)) == ("xxh128", 32)
        assert int(digits, 16)
        assert one.url.startswith("https://")
    assert len({one.url for one in decoders}) == len(decoders)
    assert len({one.published_hash for one in decoders}) == len(decoders)
    names = {models.info(name).url for name in models.names()}
    assert not names & {one.url for one in decoders}


def test_a_model_without_its_decoder_is_told_and_can_be_used(
    server: dict, capsys
) -> None:
    models.download("vit_b_lm")
    models.location("vit_b_lm_decoder").unlink()
    server["gone"] = True
    with pytest.raises(InputError, match=r"vit_b_lm is here.*as vit_b_lm_decoder.pt"):
        models.download("vit_b_lm")
    assert models.path("vit_b_lm").is_file()
    command.main(["list"])
    assert "no decoder" in " ".join(capsys.readouterr().out.split())


def test_a_decoder_of_another_content_is_refused(server: dict) -> None:
    models_folder().mkdir(parents=True)
    models.location("vit_b_lm_decoder").write_bytes(server["whole"][::-1])
    with pytest.raises(InputError, match="models download vit_b_lm") as error:
        models.check("vit_b_lm_decoder", "0" * 64)
    assert str(error.value).endswith("models download vit_b_lm.")


def test_progress_can_stop_a_download(server: dict) -> None:
    def stop(here: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        models.download("vit_b", stop)
    assert not models.is_available("vit_b")
    assert models.download("vit_b").read_bytes() == server["whole"]


def test_check_compares_with_the_published_hash() -> None:
    models.check("vit_b", models.info("vit_b").sha256)
    models.check("samsp_small", "any")
    with pytest.raises(InputError, match="delete it and run"):
        models.check("vit_b", "0" * 64)


def test_sha256_of_a_file(tmp_path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    assert models.file_sha256(path).startswith("ba7816bf8f01cfea414140de5dae2223b00361")


def test_list(capsys) -> None:
    assert command.main([]) == 0
    first = capsys.readouterr().out
    assert all(name in first for name in models.names())
    assert command.main(["list"]) == 0
    assert capsys.readouterr().out == first


def test_info(capsys) -> None:
    command.main(["info", "vit_l"])
    said = capsys.readouterr().out
    assert models.info("vit_l").url in said
    assert "not downloaded" in said
    assert "1250 MB" in said


def test_download_command(server: dict, capsys) -> None:
    assert command.main(["download", "vit_b"]) == 0
    assert capsys.readouterr().out == f"{models.location('vit_b')}\n"
    command.main(["info", "vit_b"])
    assert "downloaded" in capsys.readouterr().out


def test_info_tells_how_a_file_is_checked(capsys) -> None:
    command.main(["info", "vit_b_lm"])
    said = capsys.readouterr().out
    assert "XXH128        fe9252a29f3f4ea53c15a06de471e186" in said
    assert "compared ever after" in said


def test_info_of_a_file(capsys, tmp_path) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(models.path("samsp_small").read_bytes())
    command.main(["info", str(path)])
    said = capsys.readouterr().out
    assert "architecture  samsp_small" in said
    assert models.file_sha256(path) in said
