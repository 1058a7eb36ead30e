"""What the commands share: plain errors, exit codes, and help with examples."""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any, NoReturn

from napari_samsp.utils.errors import (
    InputError,
    InputErrors,
    in_words,
    is_disk_error,
    is_out_of_memory,
    printable,
)
from napari_samsp.utils.notes import FileNote
from napari_samsp.utils.torch_import import wait_without_spinning

if TYPE_CHECKING:
    from collections.abc import Callable

BAD_INPUT = 2
INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """An argument parser whose help ends in examples and whose errors are a sentence.

    Parameters
    ----------
    *args, **kwargs
        As for `argparse.ArgumentParser`.
    examples : str
        Command lines, one per line.
    """

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        kwargs.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        kwargs.setdefault("allow_abbrev", False)
        if examples:
            lines = [f"  {line.strip()}" for line in examples.strip().splitlines()]
            kwargs.setdefault("epilog", "\n".join(["examples:", *lines]))
        super().__init__(*args, **kwargs)

    def error(self, message: str) -> NoReturn:
        """End with exit code 2 and one sentence on standard error.

        Parameters
        ----------
        message : str
            The message of argparse.
        """
        message = printable(message.rstrip("."))
        self.exit(BAD_INPUT, f"{message[:1].upper()}{message[1:]} (see --help).\n")


def run(main: Callable[[list[str] | None], int | None]) -> NoReturn:
    """Run a command and end the process as every command of ours ends.

    Parameters
    ----------
    main : callable
        Takes the arguments, or None for those of the process; gives an exit code, or
        None for 0.

    Raises
    ------
    SystemExit
        Code 0 on success; 2, after one sentence on standard error, for what a user
        can mend (an `InputError`, a full disk, a missing permission, too little
        memory); 130 on Ctrl-C.
    """
    wait_without_spinning()
    _speak_plainly()
    try:
        code = main(None) or 0
        sys.stdout.flush()
    except InputErrors as errors:
        for message in errors.messages:
            code = _say(message, BAD_INPUT)
    except InputError as error:
        code = _say(in_words(error), BAD_INPUT)
    except KeyboardInterrupt:
        code = _say("Interrupted.", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output, such as head, has left: nothing more to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        code = _say(
            "Memory does not suffice: close other programs, or choose a smaller model, "
            "a smaller input size or smaller files.",
            BAD_INPUT,
        )
    except OSError as error:
        if not is_disk_error(error):
            raise
        code = _say(in_words(error), BAD_INPUT)
    sys.exit(code)


def _speak_plainly() -> None:
    """Notes on files are a line each, once, without the place in our code.

    What a console's character set lacks is escaped: never an error after the work.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.simplefilter("default", FileNote)
    plain = warnings.formatwarning

    def formatted(
        message: Warning | str, category: type[Warning], *rest: Any, **more: Any
    ) -> str:
        if issubclass(category, FileNote):
            return printable(str(message)) + "\n"
        return plain(message, category, *rest, **more)

    warnings.formatwarning = formatted


def _say(message: str, code: int) -> int:
    print(printable(" ".join(message.split())), file=sys.stderr)
    return code
