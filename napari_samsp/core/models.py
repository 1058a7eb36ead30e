"""The models that are known by name, and how one gets onto the disk. Needs no torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samsp.core.errors import InputError
from napari_samsp.core.folders import models_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

URL_VARIABLE = "NAPARI_SAMSP_MODELS_URL"
_CHUNK = 1 << 20
_TIMEOUT = 30.0


@dataclass(frozen=True)
class Model:
    """A model that is known by name.

    Attributes
    ----------
    name : str
        What a user calls it.
    architecture : str
        A key of ``napari_samsp.core.sam.ARCHITECTURES``.
    file : str
        Its file's name.
    url : str
        Where its publisher keeps that; empty for a bundled one.
    sha256 : str
        Of the file; empty for a bundled one, which the installed package vouches for.
    size_bytes : int
        Of the file; 0 for a bundled one, which is there to be asked.
    licence, description : str
        For a person.
    """

    name: str
    architecture: str
    file: str
    url: str
    sha256: str
    size_bytes: int
    licence: str
    description: str

    @property
    def bundled(self) -> bool:
        """Whether it came with the package."""
        return not self.url


def _by_meta(size: str, file: str, sha256: str, size_bytes: int) -> Model:
    return Model(
        f"vit_{size[0]}",
        f"vit_{size[0]}",
        file,
        f"https://dl.fbaipublicfiles.com/segment_anything/{file}",
        sha256,
        size_bytes,
        "Apache-2.0",
        f"Segment Anything by Meta, {size} size",
    )


_REGISTRY = {
    model.name: model
    for model in (
        Model(
            "samsp_tiny",
            "samsp_tiny",
            "samsp_tiny.safetensors",
            "",
            "",
            0,
            "BSD-3-Clause",
            "small SAM for microscopy; comes with napari-samsp, needs no network",
        ),
        _by_meta(
            "base",
            "sam_vit_b_01ec64.pth",
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
            375_042_383,
        ),
        _by_meta(
            "large",
            "sam_vit_l_0b3195.pth",
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
            1_249_524_607,
        ),
        _by_meta(
            "huge",
            "sam_vit_h_4b8939.pth",
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
            2_564_550_879,
        ),
    )
}


def names() -> list[str]:
    """The names of all models, the default first."""
    return list(_REGISTRY)


def info(name: str) -> Model:
    """Look up a model; an `InputError` lists the known ones if there is none."""
    if name not in _REGISTRY:
        raise InputError(f"There is no model {name}; known are {', '.join(names())}.")
    return _REGISTRY[name]


def location(name: str) -> Path:
    """Where a model's file is, or will be: in the package, or the models folder."""
    model = info(name)
    if model.bundled:
        return Path(str(resources.files("napari_samsp") / "weights" / model.file))
    return models_folder() / model.file


def is_available(name: str) -> bool:
    """Whether a model's file is on this disk; loading it checks its content."""
    return location(name).is_file()


def path(name: str) -> Path:
    """The file of a model that is on this disk.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    Path
        It exists.

    Raises
    ------
    InputError
        If it is not there; says how to get it.
    """
    model, place = info(name), location(name)
    if place.is_file():
        return place
    if model.bundled:
        raise InputError(
            f"The bundled model {place} is missing: install napari-samsp again."
        )
    raise InputError(
        f"The model {name} is not on this computer yet: run python -m "
        f"napari_samsp.models download {name} ({model.size_bytes / 1e6:.0f} MB), or "
        f"put {model.file} into {place.parent}."
    )


def check(name: str, sha256: str) -> None:
    """Compare a file's hash with the published one.

    Parameters
    ----------
    name : str
        One of `names`.
    sha256 : str
        Of the file that was read.

    Raises
    ------
    InputError
        If it is another file, or a part of it.
    """
    model = info(name)
    if model.sha256 and sha256 != model.sha256:
        raise InputError(
            f"{location(name)} is not the published {name}, or only a part of it "
            f"(SHA-256 {sha256[:8]} instead of {model.sha256[:8]}): delete it and run "
            f"python -m napari_samsp.models download {name}."
        )


def download(name: str, progress: Callable[[int, int], None] | None = None) -> Path:
    """Fetch a model, unless it is there.

    The file appears in the models folder complete and with the published hash, or not
    at all. What an interrupted download got stays beside it, and the next goes on from
    there. ``$NAPARI_SAMSP_MODELS_URL`` names another folder of the same files.

    Parameters
    ----------
    name : str
        One of `names`.
    progress : callable, optional
        Called with the bytes that are here and the bytes in all. What it raises ends
        the download.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If it cannot be fetched; says where from and where to put it by hand.
    OSError
        If it cannot be written.
    """
    model = info(name)
    if model.bundled:
        return path(name)
    import pooch
    import requests

    place = location(name)
    mirror = os.environ.get(URL_VARIABLE)
    url = f"{mirror.rstrip('/')}/{model.file}" if mirror else model.url
    place.parent.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(
            url,
            known_hash=f"sha256:{model.sha256}",
            fname=place.name,
            path=place.parent,
            downloader=_Resumable(place.with_name(f"{place.name}.part"), progress),
        )
    except requests.RequestException as error:
        raise InputError(
            f"{model.file} could not be fetched from {url} ({_reason(error)}): try "
            f"again, or fetch it elsewhere and put it into {place.parent}."
        ) from error
    except ValueError as error:  # pooch: the hash is another
        raise InputError(
            f"What {url} sent is not the published {model.file}: try again, or fetch "
            f"it elsewhere and put it into {place.parent}."
        ) from error
    return place


class _Resumable:
    """A downloader for pooch that keeps a part and goes on from it."""

    def __init__(self, part: Path, progress: Callable[[int, int], None] | None) -> None:
        self.part = part
        self.progress = progress

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        import requests

        have = self.part.stat().st_size if self.part.is_file() else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as reply:
            if reply.status_code == requests.codes.requested_range_not_satisfiable:
                # The part has all the bytes, or is no part of this file: the hash
                # will tell.
                os.replace(self.part, output_file)
                return
            reply.raise_for_status()
            resumed = reply.status_code == requests.codes.partial_content
            self._receive(reply, have if resumed else 0)
        os.replace(self.part, output_file)

    def _receive(self, reply: requests.Response, have: int) -> None:
        total = have + int(reply.headers.get("Content-Length", 0))
        with self.part.open("ab" if have else "wb") as stream:
            for chunk in reply.iter_content(_CHUNK):
                stream.write(chunk)
                have += len(chunk)
                if self.progress is not None:
                    self.progress(have, max(have, total))


def _reason(error: requests.RequestException) -> str:
    if error.response is not None:
        return f"HTTP {error.response.status_code} {error.response.reason}".rstrip()
    return {
        "ChunkedEncodingError": "the connection broke off",
        "ConnectionError": "no connection",
        "ConnectTimeout": "no answer",
        "ReadTimeout": "no answer",
    }.get(type(error).__name__, type(error).__name__)
