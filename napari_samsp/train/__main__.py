"""``python -m napari_samsp.train``: train an adapter on a training set."""

from __future__ import annotations

import argparse
import difflib
import reprlib
import sys
import threading
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.train.config import TrainConfig
from napari_samsp.train.events import Event, Failed, to_json
from napari_samsp.utils.cli import Parser, run
from napari_samsp.utils.errors import (
    InputError,
    in_words,
    is_disk_error,
    is_out_of_memory,
    printable,
)
from napari_samsp.utils.yaml_files import read_mapping

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = """
  python -m napari_samsp.train corrections --output run
  python -m napari_samsp.train corrections --output run --minutes 5 --objects
  python -m napari_samsp.train corrections --output run --resume
  accelerate launch -m napari_samsp.train corrections --output run
"""


def parser() -> Parser:
    """Build the command line: an option for each field of `TrainConfig`."""
    made = Parser(
        prog="python -m napari_samsp.train",
        description="Train a LoRA adapter with self-prompting and self-distillation.",
        examples=EXAMPLES,
    )
    made.add_argument("set", type=Path, help="folder with images/ and masks/")
    made.add_argument("--output", type=Path, required=True, help="the run's folder")
    made.add_argument("--config", type=Path, help="YAML file of these settings")
    made.add_argument("--resume", action="store_true", help="continue the run")
    made.add_argument(
        "--events",
        action="store_true",
        help="write one JSON object a line to standard output; a line 'stop' on "
        "standard input, or its end, keeps the adapter so far and ends the run",
    )
    hints = get_type_hints(TrainConfig)
    for field in fields(TrainConfig):
        option = "--" + field.name.replace("_", "-")
        kwargs: dict[str, Any] = {"default": argparse.SUPPRESS}
        if hints[field.name] is bool:
            kwargs["action"] = argparse.BooleanOptionalAction
        else:
            kind = hints[field.name]
            kwargs["type"] = kind if kind in (int, float) else str
            kwargs["metavar"] = field.name.upper()
        shown = "" if field.default in (None, MISSING) else f" ({field.default})"
        made.add_argument(option, help=field.metadata["help"] + shown, **kwargs)
    return made


def read_recipe(path: Path) -> dict[str, Any]:
    """Read a YAML file of settings.

    Parameters
    ----------
    path : Path
        A mapping of `TrainConfig`'s fields.

    Returns
    -------
    dict
        Field names and values of the right types.

    Raises
    ------
    InputError
        If it cannot be read, has an unknown key (the nearest right one is named), or
        a value of the wrong type.
    """
    content = read_mapping(path)
    hints = get_type_hints(TrainConfig)
    for name, value in content.items():
        if name not in hints:
            near = difflib.get_close_matches(name[:100], hints, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise InputError(f"{path} has an unknown setting {name[:100]!r}{hint}")
        if hints[name] is float and type(value) is int and abs(value) < 1e15:
            content[name] = float(value)
        elif name == "validation" and type(value) in (int, float):
            content[name] = str(value)
        elif not isinstance(value, hints[name]) or (
            hints[name] is int and isinstance(value, bool)
        ):
            raise InputError(f"{path}: {name} cannot be {reprlib.repr(value)}.")
    return content


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    arguments = vars(parser().parse_args(argv))
    places = {
        k: arguments.pop(k) for k in ("set", "output", "config", "resume", "events")
    }
    recipe = read_recipe(places["config"]) if places["config"] else {}
    config = TrainConfig(**(recipe | arguments))
    if places["events"]:
        _train_with_events(places, config)
        return

    from napari_samsp.train.terminal import Terminal

    with Terminal() as report:
        _train(places, config, report)


def _train_with_events(places: dict[str, Any], config: TrainConfig) -> None:
    stop = threading.Event()

    def listen() -> None:
        for line in sys.stdin:
            if line.strip() == "stop":
                break
        stop.set()  # the input ends when the program that started this one is gone

    threading.Thread(target=listen, daemon=True).start()

    def report(event: Event) -> None:
        print(to_json(event), flush=True)

    try:
        _train(places, config, report, stop.is_set)
    except Exception as error:
        report(Failed(_in_words(error)))
        raise


def _in_words(error: Exception) -> str:
    """Why a run cannot go on, for the widget; the traceback is in the log."""
    if isinstance(error, InputError) or (
        isinstance(error, OSError) and is_disk_error(error)
    ):
        return in_words(error)
    if is_out_of_memory(error):
        return (
            "The memory ran out: close other programs, or train with fewer images, a "
            "smaller input size or a smaller model."
        )
    return (
        f"The trainer failed ({type(error).__name__}): please report it with its log."
    )


def _train(
    places: dict[str, Any],
    config: TrainConfig,
    report: Callable[[Event], None],
    stop_requested: Callable[[], bool] = lambda: False,
) -> None:
    # Before torch is imported, which takes seconds.
    TrainingSet(places["set"]).check()

    from napari_samsp.train.loop import train

    try:
        train(
            places["set"],
            places["output"],
            config,
            resume=places["resume"],
            report=report,
            stop_requested=stop_requested,
        )
    except KeyboardInterrupt:
        if (places["output"] / "metrics.jsonl").is_file():
            text = f"To go on after the last epoch in {places['output']}, add --resume."
            print(printable(text), file=sys.stderr)
        raise


if __name__ == "__main__":
    run(main)
