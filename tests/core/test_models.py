from __future__ import annotations

import dataclasses
import hashlib
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from napari_samsp import models as command
from napari_samsp.core import models
from napari_samsp.core.errors import InputError
from napari_samsp.core.folders import models_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = bytes(range(256)) * 20_000


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT, whole or from a byte on; ``cut`` bytes at most a reply."""

    def __init__(self, state: dict, *args) -> None:
        self.state = state
        super().__init__(*args)

    def do_GET(self) -> None:
        self.state["requests"].append((self.path, self.headers.get("Range")))
        if not self.path.endswith(".pth") or self.state.get("gone"):
            self.send_error(404)
            return
        content = self.state.get("content", CONTENT)
        first = 0
        if self.headers.get("Range") and self.state.get("ranges", True):
            first = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if first >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        self.wfile.write(content[first:][: self.state.get("cut")])

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[dict]:
    """A server on this computer that has ``vit_b`` in a size fit for a test."""
    state: dict = {"requests": []}
    small = dataclasses.replace(
        models.info("vit_b"), sha256=hashlib.sha256(CONTENT).hexdigest()
    )
    monkeypatch.setitem(models._REGISTRY, "vit_b", small)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, state)) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        state["url"] = f"http://127.0.0.1:{http.server_port}"
        monkeypatch.setenv(models.URL_VARIABLE, f"{state['url']}/")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield state
        http.shutdown()
        thread.join()


def files() -> list[str]:
    return sorted(f.name for f in models_folder().iterdir())


def test_the_bundled_model_is_the_default() -> None:
    assert models.names()[0] == "samsp_tiny"
    assert models.info("samsp_tiny").bundled
    assert models.location("samsp_tiny").name == "samsp_tiny.safetensors"


def test_hashes_are_whole() -> None:
    for name in models.names()[1:]:
        assert len(models.info(name).sha256) == 64
        assert models.info(name).url.endswith(models.info(name).file)


def test_unknown_model() -> None:
    with pytest.raises(InputError, match=r"no model vit_x; known are samsp_tiny, vit"):
        models.info("vit_x")


def test_what_is_not_there_is_told_with_the_way_to_get_it() -> None:
    assert not models.is_available("vit_b")
    with pytest.raises(InputError, match=r"models download vit_b \(375 MB\)"):
        models.path("vit_b")


def test_download(server: dict) -> None:
    seen: list[tuple[int, int]] = []
    place = models.download("vit_b", lambda *parts: seen.append(parts))
    assert place == models.path("vit_b")
    assert place.read_bytes() == CONTENT
    assert files() == [place.name]
    assert seen[-1] == (len(CONTENT), len(CONTENT))
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
    assert models.download("vit_b").read_bytes() == CONTENT
    assert server["requests"][-1][1] == f"bytes={kept}-"
    assert kept > 0
    assert files() == ["sam_vit_b_01ec64.pth"]


def test_a_server_that_cannot_continue_starts_again(server: dict) -> None:
    server |= {"cut": 3_000_000, "ranges": False}
    with pytest.raises(InputError):
        models.download("vit_b")
    del server["cut"]
    assert models.download("vit_b").read_bytes() == CONTENT


def test_a_part_that_is_already_whole(server: dict) -> None:
    models_folder().mkdir(parents=True)
    (models_folder() / "sam_vit_b_01ec64.pth.part").write_bytes(CONTENT)
    assert models.download("vit_b").read_bytes() == CONTENT
    assert files() == ["sam_vit_b_01ec64.pth"]


def test_another_content_is_refused_and_not_kept(server: dict) -> None:
    server["content"] = CONTENT[::-1]
    with pytest.raises(InputError, match="is not the published"):
        models.download("vit_b")
    assert files() == []


def test_a_missing_file_is_told_with_its_address(server: dict) -> None:
    server["gone"] = True
    with pytest.raises(InputError, match=r"http://127.*\(HTTP 404 Not Found\).*put it"):
        models.download("vit_b")
    assert not models.is_available("vit_b")


def test_without_network(monkeypatch) -> None:
    monkeypatch.setenv(models.URL_VARIABLE, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(InputError, match=r"\(no connection\): try again"):
        models.download("vit_b")


def test_progress_can_stop_a_download(server: dict) -> None:
    def stop(here: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        models.download("vit_b", stop)
    assert not models.is_available("vit_b")
    assert models.download("vit_b").read_bytes() == CONTENT


def test_check_compares_with_the_published_hash() -> None:
    models.check("vit_b", models.info("vit_b").sha256)
    models.check("samsp_tiny", "any")
    with pytest.raises(InputError, match="delete it and run"):
        models.check("vit_b", "0" * 64)


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
