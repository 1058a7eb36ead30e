"""What all tests share."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import threading
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import xxhash
from hypothesis import settings
from skimage import draw

from napari_samsp.sam import registry as models
from napari_samsp.utils.torch_import import import_torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTENT = bytes(range(256)) * 20_000
"""Of the model files that the server below has."""

# Before any window: see napari_samsp.utils.torch_import.
torch = import_torch()
torch.set_num_threads(2)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Begun in the background by a shell, and so would be all that the tests begin.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("short", max_examples=25, deadline=None)
settings.load_profile("short")


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch) -> None:
    """No test sees or changes what the user keeps."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("NAPARI_SAMSP_HOME", str(home))
    monkeypatch.delenv("NAPARI_SAMSP_MODELS_URL", raising=False)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real images with masks, which are not part of the project."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("NAPARI_SAMSP_DATA", beside))
    if not folder.is_dir():
        pytest.skip("no real images: set NAPARI_SAMSP_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def ball_and_rod() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """Makes a ``(Z, 96, 160)`` stack and its labels from a ball's radius in each slice.

    The ball, 1, drifts; a rod beside it, 2, is in all slices.
    """

    def make(*radii: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.zeros((len(radii), 96, 160), np.int32)
        for z, radius in enumerate(radii):
            if radius:
                labels[z][draw.disk((40, 50 + 2 * z), radius)] = 1
            labels[z][draw.disk((60, 120), 16)] = 2
        noise = np.random.default_rng(0).normal(0, 8, labels.shape)
        stack = np.where(labels > 0, 170, 30) + noise
        return stack.clip(0, 255).astype(np.uint8), labels

    return make


@pytest.fixture
def nuclei() -> tuple[np.ndarray, np.ndarray]:
    """A landscape image, (96, 160) uint8, of six bright ellipses, and their labels."""
    rng = np.random.default_rng(0)
    labels = np.zeros((96, 160), np.int32)
    centres = [(20, 25), (24, 75), (18, 130), (70, 30), (66, 90), (72, 138)]
    for number, (y, x) in enumerate(centres, start=1):
        radii = rng.integers(8, 15, 2)
        inside = draw.ellipse(
            y, x, *radii, shape=labels.shape, rotation=rng.uniform(0, np.pi)
        )
        labels[inside] = number
    image = np.where(labels > 0, 170, 30) + rng.normal(0, 8, labels.shape)
    return image.clip(0, 255).astype(np.uint8), labels


class _Handler(BaseHTTPRequestHandler):
    """Serves CONTENT, whole or from a byte on; ``cut`` bytes at most a reply.

    ``piece`` bytes at a time if that is set, and after ``stall_after`` bytes nothing
    until the event ``go on``.
    """

    def __init__(self, state: dict, *args) -> None:
        self.state = state
        super().__init__(*args)

    def do_GET(self) -> None:
        self.state["requests"].append((self.path, self.headers.get("Range")))
        if self.state.get("moved") and not self.path.startswith("/new/"):
            self.send_response(302)
            self.send_header("Location", f"/new{self.path}")
            self.end_headers()
            return
        if self.state.get("gone"):
            self.send_error(404)
            return
        if "refuse" in self.state:
            self.send_error(self.state["refuse"])
            return
        content = self.state.get("content", CONTENT)
        first = 0
        if self.headers.get("Range") and self.state.get("ranges", True):
            first = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if first >= len(content):
                self.send_error(416)
                return
        self.send_response(206 if first else 200)
        if self.state.get("tells_length", True):
            self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        body = content[first:][: self.state.get("cut")]
        stall = self.state.get("stall_after", len(body))
        piece = self.state.get("piece", len(body) or 1)
        with suppress(ConnectionError):
            for start in range(0, min(stall, len(body)), piece):
                self.wfile.write(body[start : min(start + piece, stall)])
            if stall < len(body):
                self.state["go on"].wait(60)
                self.wfile.write(body[stall:])

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server(monkeypatch) -> Iterator[dict]:
    """A server on this computer that has a few files in a size fit for a test.

    Each has a published hash of another kind. Nothing else is ever asked.
    """
    state: dict = {"requests": [], "whole": CONTENT, "go on": threading.Event()}
    for name, published in {
        "vit_b": f"sha256:{hashlib.sha256(CONTENT).hexdigest()}",
        "vit_b_lm": f"xxh128:{xxhash.xxh128(CONTENT).hexdigest()}",
        "vit_b_lm_decoder": f"xxh128:{xxhash.xxh128(CONTENT).hexdigest()}",
        "medsam_vit_b": f"md5:{hashlib.md5(CONTENT).hexdigest()}",
    }.items():
        small = dataclasses.replace(
            models.info(name), published_hash=published, size_bytes=len(CONTENT)
        )
        monkeypatch.setitem(models._REGISTRY, name, small)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, state)) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        state["url"] = f"http://127.0.0.1:{http.server_port}"
        monkeypatch.setenv(models.URL_VARIABLE, f"{state['url']}/")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield state
        state["go on"].set()
        http.shutdown()
        thread.join()
