from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from napari_samsp.utils.cli import Parser, run
from napari_samsp.utils.errors import InputError, in_words

if TYPE_CHECKING:
    from pathlib import Path


def ending(capsys: pytest.CaptureFixture[str], error: BaseException | int | None):
    """Exit code and standard error of a command that raises or returns this."""

    def main(arguments: list[str] | None = None) -> int | None:
        assert arguments is None
        if isinstance(error, BaseException):
            raise error
        return error

    with pytest.raises(SystemExit) as exit_:
        run(main)
    return exit_.value.code, capsys.readouterr().err


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (3, 3)])
def test_code_of_a_command_that_ends(capsys, returned, code) -> None:
    assert ending(capsys, returned) == (code, "")


def test_bad_input_is_one_sentence(capsys) -> None:
    error = InputError("The image is empty:\nit has no pixels.")
    assert ending(capsys, error) == (2, "The image is empty: it has no pixels.\n")


def test_interrupt(capsys) -> None:
    assert ending(capsys, KeyboardInterrupt()) == (130, "Interrupted.\n")


@pytest.mark.parametrize(
    "code", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENOENT]
)
def test_what_a_disk_refuses_is_one_sentence(capsys, code: int) -> None:
    import os

    error = OSError(code, os.strerror(code), "runs/a")
    sentence = in_words(error)
    assert sentence.startswith("runs/a: ")
    assert ending(capsys, error) == (2, f"{sentence}\n")


def test_other_faults_keep_their_traceback() -> None:
    def main(arguments: list[str] | None = None) -> None:
        raise OSError(errno.EBADF, "ours")

    with pytest.raises(OSError, match="ours"):
        run(main)


def test_bad_usage_is_one_sentence(capsys) -> None:
    parser = Parser(prog="x")
    parser.add_argument("--number", type=int)
    with pytest.raises(SystemExit) as exit_:
        parser.parse_args(["--number", "many"])
    assert exit_.value.code == 2
    said = capsys.readouterr().err
    assert said == "Argument --number: invalid int value: 'many' (see --help).\n"


def test_options_are_not_guessed_from_their_beginning(capsys) -> None:
    parser = Parser(prog="x")
    parser.add_argument("--iterations", type=int)
    with pytest.raises(SystemExit):
        parser.parse_args(["--iter", "2"])
    assert "unrecognized arguments" in capsys.readouterr().err.lower()


def test_help_ends_in_examples() -> None:
    text = Parser(prog="x", examples="\n    x a\n    x b --c\n  ").format_help()
    assert text.endswith("examples:\n  x a\n  x b --c\n")


def test_subcommands_are_plain_too(capsys) -> None:
    parser = Parser(prog="x")
    parser.add_subparsers(dest="command").add_parser("go").add_argument("where")
    with pytest.raises(SystemExit):
        parser.parse_args(["go"])
    said = capsys.readouterr().err
    assert said == "The following arguments are required: where (see --help).\n"


def test_a_reader_that_leaves_is_no_fault(tmp_path: Path) -> None:
    code = (
        "from napari_samsp.utils.cli import run\n"
        "run(lambda _: [print('x' * 100) for _ in range(10000)] and 0)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    process.stdout.close()
    with process.stderr as stream:
        assert stream.read() == b""
    assert process.wait(60) == 1


def test_threads_of_torch_do_not_spin_while_others_work(monkeypatch):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    with pytest.raises(SystemExit):
        run(lambda argv: 0)
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    with pytest.raises(SystemExit):
        run(lambda argv: 0)
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
