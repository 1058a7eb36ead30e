"""The models that are known by name, and how one gets onto the disk. Needs no torch."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from napari_samsp.sam.catalogue import DECODER, DECODERS, MODELS
from napari_samsp.utils.atomic_files import write_atomically
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.paths import models_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samsp.sam.catalogue import Model

URL_VARIABLE = "NAPARI_SAMSP_MODELS_URL"

_REGISTRY = {model.name: model for model in (*MODELS, *DECODERS)}


def names() -> list[str]:
    """The names of all models, the default first."""
    return [model.name for model in MODELS]


def info(name: str) -> Model:
    """Look up a model or a decoder; an `InputError` lists the known ones if none."""
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
        The file, which exists.

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
    size = f"{download_bytes(name) / 1e6:.0f} MB"
    raise InputError(
        f"The model {name} is not on this computer yet: run python -m "
        f"napari_samsp.models download {name} ({size}), or "
        f"fetch {model.url} elsewhere ({model.hash_in_words}) and put it into "
        f"{place.parent} as {model.file}."
    )


def decoder_of(name: str) -> str | None:
    """The name of a model's distance decoder; None if its publisher has none."""
    decoder = f"{name}{DECODER}"
    return decoder if decoder in _REGISTRY else None


def decoder_file(name_or_path: str) -> Path | None:
    """The file of a distance decoder that lies beside a model's own.

    Parameters
    ----------
    name_or_path : str
        One of `names`, or a checkpoint file.

    Returns
    -------
    Path or None
        ``NAME_decoder.pt`` of ``NAME.pt``; None if it is not there.
    """
    if name_or_path in names():
        name = decoder_of(name_or_path)
        place = location(name) if name else None
    else:
        file = Path(name_or_path)
        place = file.with_name(f"{file.stem}{DECODER}{file.suffix}")
    return place if place is not None and place.is_file() else None


def download_bytes(name: str) -> int:
    """How much `download` fetches if nothing is there, to about a tenth."""
    decoder = decoder_of(name)
    return info(name).size_bytes + (info(decoder).size_bytes if decoder else 0)


def file_sha256(path: str | Path) -> str:
    """Hash a file's content.

    Parameters
    ----------
    path : str or Path
        Any file.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def check(name: str, sha256: str) -> None:
    """Compare the hash of a model's file with what it must be.

    That is the published SHA-256. Where the publisher gives an MD5 or XXH128, which
    tells a broken file but not a forged one, that is compared the first time, and the
    SHA-256 is kept beside the file, as ``sha256sum`` writes it, and compared ever
    after.

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
    model, place = info(name), location(name)
    if model.bundled:
        return
    record = place.with_name(f"{place.name}.sha256")
    expected = model.sha256
    if not expected and record.is_file():
        expected = record.read_text(encoding="utf-8").partition(" ")[0]
    if expected:
        found = sha256
    else:
        import pooch

        algorithm, _, expected = model.published_hash.partition(":")
        found = pooch.file_hash(str(place), algorithm)
    if found != expected:
        raise InputError(
            f"{place} is not the published {name}, or only a part of it (hash "
            f"{found[:8]} instead of {expected[:8]}): delete it and run python -m "
            f"napari_samsp.models download {name.removesuffix(DECODER)}."
        )
    if not model.sha256 and not record.is_file():
        with suppress(OSError):  # a folder that only an administrator may write to
            write_atomically(record, f"{sha256}  {place.name}\n".encode())


def download(name: str, progress: Callable[[int, int], None] | None = None) -> Path:
    """Fetch a model, and its distance decoder if it has one, unless they are there.

    A file appears in the models folder complete and with the published hash, or not
    at all. What an interrupted download got stays beside it, and the next goes on from
    there. A file that is there is checked, and fetched anew if it is another.
    ``$NAPARI_SAMSP_MODELS_URL`` names another folder of the same files.

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
        The model's file in the models folder, complete and checked.

    Raises
    ------
    InputError
        If one cannot be fetched; says where from, where to put it by hand, and the
        hash to check it by.
    OSError
        If one cannot be written.
    """
    model, decoder = info(name), decoder_of(name)
    if model.bundled:
        return path(name)
    if decoder is None:
        return _fetch(model, progress)
    problem: InputError | None = None
    before, after = 0, model.size_bytes

    def in_all(here: int, total: int) -> None:
        if progress is not None:
            progress(before + here, before + total + after)

    # The decoder first, so that a model that is there has its decoder, too.
    try:
        before = _fetch(info(decoder), in_all).stat().st_size
    except InputError as error:
        problem = error
    after = 0
    place = _fetch(model, in_all)
    if problem is not None:
        raise InputError(
            f"{name} is here and can be used, but its distance decoder is not: "
            f"{problem}"
        ) from problem
    return place


def _fetch(model: Model, progress: Callable[[int, int], None] | None) -> Path:
    """Fetch one file; what `download` says of it holds for each."""
    import pooch
    import requests

    from napari_samsp.sam.download import Resumable, reason

    place = location(model.name)
    mirror = os.environ.get(URL_VARIABLE)
    url = f"{mirror.rstrip('/')}/{model.file}" if mirror else model.url
    by_hand = (
        f"try again, or fetch it elsewhere and put it into {place.parent} as "
        f"{model.file} ({model.hash_in_words})."
    )
    place.parent.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel("WARNING")
    part = place.with_name(f"{place.name}.part")
    try:
        pooch.retrieve(
            url,
            known_hash=model.published_hash,
            fname=place.name,
            path=place.parent,
            downloader=Resumable(part, model.size_bytes, progress),
        )
    except requests.RequestException as error:
        raise InputError(
            f"{model.file} could not be fetched from {url} ({reason(error)}): {by_hand}"
        ) from error
    except ValueError as error:  # pooch: the hash is another
        raise InputError(
            f"What {url} sent is not the published {model.file}: {by_hand}"
        ) from error
    if not model.sha256:
        check(model.name, file_sha256(place))
    return place
