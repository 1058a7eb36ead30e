"""The errors that a user can cause and mend."""

from __future__ import annotations

import errno
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class InputError(ValueError):
    """An input cannot be used; the message is one plain sentence that says why.

    Commands print it and exit with code 2; the widget shows it as a notification.
    """


class InputErrors(InputError):
    """Several of them; a command gives each a line.

    Parameters
    ----------
    messages : sequence of str
        A sentence each.
    """

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__(" ".join(messages))
        self.messages = tuple(messages)


class ConstantImageError(InputError):
    """Every pixel of an image has the same value: there is nothing in it."""


# What a user's computer can refuse; any other OSError is a bug of ours.
_DISK_ERRORS = {
    errno.EACCES: "there is no permission; choose another place, or ask for it",
    errno.EBUSY: "another program uses it; close that and try again",
    errno.EDQUOT: "your share of the disk is used up; make room and try again",
    errno.EEXIST: "it is there already",
    errno.EFBIG: "a file of that size is not allowed there",
    errno.EIO: "the disk failed; look after it before you go on",
    errno.EISDIR: "it is a folder, not a file",
    errno.ELOOP: "its symbolic links lead in a circle",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENOENT: "it does not exist, or not any more",
    errno.ENOMEM: "memory does not suffice; close other programs and try again",
    errno.ENOSPC: "the disk is full; make room and try again",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.ENOTEMPTY: "the folder is not empty",
    errno.EPERM: "the system does not permit it; choose another place",
    errno.EROFS: "the disk is read-only; choose another place",
    errno.ESTALE: "the network folder is gone; connect it again",
    errno.ETXTBSY: "another program uses it; close that and try again",
}


def is_disk_error(error: OSError) -> bool:
    """Whether an error comes from the disk or its permissions, and is no bug."""
    return error.errno in _DISK_ERRORS


# Messages of the allocators of the CPU, CUDA and MPS, of mmap, and of the CPU's
# convolutions, which say no more when there is no room for their scratch space.
_NO_MEMORY = re.compile(
    "out of memory|not enough memory|can't allocate memory|cannot allocate memory|"
    "bad_alloc|_alloc_failed|could not (create|execute) a primitive(?! desc)",
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory was short, on any device."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    # torch raises plain RuntimeErrors, and a class of its own for CUDA only.
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error)))
    )


def in_words(error: InputError | OSError) -> str:
    """Say in a plain sentence what is wrong.

    Parameters
    ----------
    error : InputError or OSError
        An error of ours, which is a sentence, or what the system says of a disk.

    Returns
    -------
    str
        Names the file, if the error does.
    """
    if isinstance(error, InputError):
        return str(error)
    words = _DISK_ERRORS.get(error.errno or 0) or error.strerror or str(error)
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{words}."


def some(names: Sequence[str]) -> str:
    """The first three names, and how many more there are, for a message."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return printable(", ".join(names[:3])) + more


def printable(text: str) -> str:
    """Make a text fit to be printed, whatever file it came from.

    Parameters
    ----------
    text : str
        Anything: a terminal would obey its control characters, and bytes of a file
        name that are no text cannot be printed at all.

    Returns
    -------
    str
        With such characters as Python writes them in a string.
    """
    return "".join(
        c
        if c.isprintable() or c == "\n" or unicodedata.category(c) == "Zs"
        else c.encode("unicode_escape").decode()
        for c in text
    )
