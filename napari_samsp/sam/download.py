"""Download a large file, resuming it as often as needed. Needs no torch."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import requests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# Small, so that on a slow line the progress moves and a user can stop it.
CHUNK = 1 << 16
SPARE_BYTES, SPARE_PART = 2_000_000, 0.1
"""What a file may have beyond its size, which not every publisher tells."""
TIMEOUT_S = 30.0
"""Seconds to wait for an answer, and for each chunk after it."""


class TooLargeError(requests.RequestException):
    """A server sends more than the file can have."""


class Resumable:
    """A downloader for pooch that keeps a part and goes on from it.

    Parameters
    ----------
    part : Path
        Where the part is kept.
    size : int
        Bytes of the whole file, to about a tenth: for servers that do not say, and as
        a bound, since the hash can be compared only at the end.
    progress : callable or None
        Called with the bytes that are here and the bytes in all. What it raises ends
        the download; the part stays.
    """

    def __init__(
        self, part: Path, size: int, progress: Callable[[int, int], None] | None
    ) -> None:
        self.part = part
        self.size = size
        self.most = size + max(SPARE_BYTES, round(size * SPARE_PART))
        self.progress = progress

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        """Download a file, as pooch asks.

        Parameters
        ----------
        url : str
            Address of the file; redirections are followed.
        output_file : str
            Where it is written.

        Raises
        ------
        requests.RequestException
            If it cannot be fetched.
        """
        if self.part.is_symlink() or (self.part.exists() and not self.part.is_file()):
            self.part.unlink()  # or its target would be written to
        have = self.part.stat().st_size if self.part.is_file() else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(
            url, headers=headers, stream=True, timeout=TIMEOUT_S
        ) as reply:
            refused = requests.codes.requested_range_not_satisfiable
            if have and reply.status_code == refused:
                # The part has all the bytes, or is no part of this file: the hash
                # will tell.
                os.replace(self.part, output_file)
                return
            reply.raise_for_status()
            resumed = reply.status_code == requests.codes.partial_content
            self._receive(reply, have if resumed else 0)
        os.replace(self.part, output_file)

    def _receive(self, reply: requests.Response, have: int) -> None:
        total = have + int(reply.headers.get("Content-Length", 0)) or self.size
        with self.part.open("ab" if have else "wb") as stream:
            for chunk in reply.iter_content(CHUNK):
                have += len(chunk)
                if have > self.most:
                    break
                stream.write(chunk)
                if self.progress is not None:
                    self.progress(have, max(have, total))
        if have > self.most:
            self.part.unlink()
            raise TooLargeError


def reason(error: requests.RequestException) -> str:
    """Say in a few words why a download failed.

    Parameters
    ----------
    error : requests.RequestException
        The error that ended the download.

    Returns
    -------
    str
        Such as ``HTTP 404 Not Found`` or ``no connection``.
    """
    if error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}".rstrip()
    if "Read timed out" in str(error):
        return "no answer"
    return {
        "ChunkedEncodingError": "the connection broke off",
        "ConnectionError": "no connection",
        "ConnectTimeout": "no answer",
        "TooLargeError": "it sends more than the file has",
        "TooManyRedirects": "it sends in circles",
    }.get(type(error).__name__, type(error).__name__)
