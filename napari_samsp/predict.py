"""``python -m napari_samsp.predict``: segment files without a prompt."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samsp.batch.fingerprint import fingerprint
from napari_samsp.batch.job import Settings
from napari_samsp.batch.manifest import Manifest, State, label_files
from napari_samsp.batch.object_sizes import in_words
from napari_samsp.batch.objects import objects_table
from napari_samsp.batch.options import parser
from napari_samsp.batch.outputs import plan
from napari_samsp.batch.prompts_file import PromptsFile
from napari_samsp.data.folders.image_listing import find_images
from napari_samsp.data.training_sets.classes import (
    CLASSES_FILE,
    Classes,
    OtherProgramError,
    meaning_of,
    read_classes,
    write_classes,
)
from napari_samsp.inference.cleanup import Cleanup
from napari_samsp.sam import registry as models
from napari_samsp.sam.adapters.adapter_card import WEIGHTS_FILE, read_card
from napari_samsp.sam.prompt_kind import check_iterations
from napari_samsp.utils.atomic_files import remove_leftovers
from napari_samsp.utils.cli import run
from napari_samsp.utils.errors import InputError, InputErrors

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from napari_samsp.batch.job import Job, Outcome
    from napari_samsp.inference.scale.object_scale import ObjectScale


def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    args = parser().parse_args(argv)
    images = find_images(
        args.input,
        args.output,
        args.recursive,
        label_files(args.output),
        split=args.series is None,
    )
    check_iterations(args.iterations)
    _cleanup(args)
    _check_prompts(args, len(images))
    settings, depends_on = _settings(args)
    args.output.mkdir(parents=True, exist_ok=True)
    output = args.output.resolve()
    manifest = Manifest(output, depends_on)
    classes = _classes(args, settings.objects, manifest.others(images))
    todo = {
        name: path
        for name, path in images.items()
        if args.overwrite or not manifest.is_done(name, path)
    }
    jobs, files = plan(
        todo, images.values(), output, settings, manifest, args.overwrite
    )
    _write_classes(args.output, classes)
    failed: list[str] = []
    scales: list[ObjectScale] = []
    states = {name: _state(path) for name, path in todo.items()}
    with ExitStack() as stack:
        table = None
        if args.table:
            before = {
                name: (manifest.labels(name), path)
                for name, path in images.items()
                if name not in todo
            }
            rows = objects_table(
                args.table, todo, before, settings.axes, args.overwrite, failed, classes
            )
            table = stack.enter_context(rows)
        stack.enter_context(_recording(manifest, jobs, files, output, args.scheduler))
        for outcome in _watched(jobs, settings, args):
            name = outcome.job.labels.relative_to(output).as_posix()
            manifest.add(name, outcome, states[name])
            scales += outcome.scales
            if outcome.error:
                failed.append(outcome.error)
            elif table is not None:
                for columns in outcome.objects:
                    table.add(name, columns)
    _check_failed(failed, len(images))
    if args.object_size is None and (summary := in_words(scales)):
        print(summary, file=sys.stderr)
    if len(todo) < len(images):
        print(
            f"{len(images) - len(todo)} of {len(images)} images were done before; "
            "--overwrite does them again.",
            file=sys.stderr,
        )
    return 0


@contextmanager
def _recording(
    manifest: Manifest,
    jobs: list[Job],
    files: list[str],
    output: Path,
    scheduler: str | None,
) -> Iterator[None]:
    """Say in the manifest which files are being written, until they are."""
    if jobs:
        manifest.begin(files)
    whole = False
    try:
        yield
        whole = True
    finally:
        _remove_leftovers(jobs, [output / file for file in files])
        if whole or not scheduler:  # a cluster may go on with what it began
            manifest.end()


def _check_failed(failed: list[str], count: int) -> None:
    good = count - len(failed)
    if len(failed) == 1:
        rest = f" ({good} of {count} images are done)" if count > 1 else ""
        raise InputError(failed[0] + rest)
    if failed:
        raise InputErrors([*failed, f"{good} of {count} images are done."])


def _classes(
    args: argparse.Namespace, objects: bool, others: list[str]
) -> Classes | None:
    """What the labels mean, if the adapter tells classes apart.

    Raises
    ------
    InputError
        If the output folder says something else, and is not to be overwritten, or also
        holds the labels of other images, which keep their meaning.
    """
    listed = read_card(args.adapter).classes if args.adapter else ()
    meant = None if args.prompts is not None else meaning_of(listed, objects)
    try:
        before = read_classes(args.output)
    except InputError as error:
        tells_nothing = meant is None and isinstance(error, OtherProgramError)
        if not args.overwrite and not tells_nothing:
            raise
        return meant
    if before != meant and others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise InputError(
            f"{args.output} also holds the labels of {others[0]}{more}, whose classes "
            "are not those of now: use another --output, or give these images, too."
        )
    if before not in (None, meant) and not args.overwrite:
        other = "other classes than the adapter" if meant else "classes of labels"
        without = "" if meant else ", and those of now have none"
        raise InputError(
            f"{args.output / CLASSES_FILE} names {other}{without}: use another "
            "--output, or add --overwrite."
        )
    return meant


def _write_classes(output: Path, meant: Classes | None) -> None:
    """Say beside the labels what they mean; without classes nothing is said."""
    if meant is not None:
        write_classes(output, meant)
        return
    try:
        stale = read_classes(output) is not None
    except OtherProgramError:
        return
    if stale:  # --overwrite was given
        (output / CLASSES_FILE).unlink()


def _check_prompts(args: argparse.Namespace, images: int) -> None:
    if args.prompts is None:
        return
    if (
        args.all_iterations
        or args.follow_slices
        or args.link_slices
        or args.prompt is not None
        or not _cleanup(args).is_off
    ):
        raise InputError(
            "--prompts gives the last iteration of each object as it is: leave out "
            "--all-iterations, --follow-slices, --link-slices, --prompt, --threshold, "
            "--min-size and --fill-holes."
        )
    if images > 1 and not PromptsFile(args.prompts).names_images:
        raise InputError(
            f"{args.prompts} does not say which image a prompt is of: add a column "
            "image with the files' names, or give one input."
        )


def _cleanup(args: argparse.Namespace) -> Cleanup:
    return Cleanup(args.threshold, args.min_size, args.fill_holes)


def _settings(args: argparse.Namespace) -> tuple[Settings, dict[str, Any]]:
    """The settings, and all of them that the labels depend on, with hashes."""
    card = read_card(args.adapter) if args.adapter else None
    model = card.base_to_load(args.model) if card else args.model or "samsp_small"
    file = models.path(model) if model in models.names() else Path(model)
    if not file.exists():
        raise InputError(
            f"There is no model and no file {model}; models known by name are "
            f"{', '.join(models.names())}."
        )
    settings = Settings(
        model=model if model in models.names() else str(file.resolve()),
        adapter=str(args.adapter.resolve()) if args.adapter else None,
        device=args.device,
        input_size=args.input_size,
        iterations=args.iterations,
        objects=args.objects
        if args.objects is not None
        else bool(card and card.objects),
        prompt=args.prompt,
        tile=args.tile,
        all_iterations=args.all_iterations,
        limits=args.limits,
        follow_slices=args.follow_slices,
        channels=args.channel if args.channel is not None else args.channels,
        axes=args.axes.upper() if args.axes else None,
        series=args.series,
        output_format=args.format,
        measure=args.table is not None,
        prompts=str(args.prompts.resolve()) if args.prompts else None,
        object_size=args.object_size,
        link_slices=args.link_slices,
        cleanup=_cleanup(args),
    )
    if args.link_slices and not settings.objects:
        raise InputError(
            "--link-slices needs separate objects: add --objects, or leave it out."
        )
    if card and len(card.classes) > 1 and settings.objects and not settings.prompts:
        settings = replace(settings, object_classes=True)
    decoder = models.decoder_file(model)
    return settings, fingerprint(
        settings,
        models.file_sha256(file),
        models.file_sha256(args.adapter / WEIGHTS_FILE) if args.adapter else None,
        models.file_sha256(args.prompts) if args.prompts else None,
        models.file_sha256(decoder) if decoder else None,
    )


def _watched(
    jobs: list[Job], settings: Settings, args: argparse.Namespace
) -> Iterator[Outcome]:
    """What becomes of the files, with a bar that tells the time left."""
    if not jobs:
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from napari_samsp.batch import workers

    with Progress(
        TextColumn("segmenting"),
        BarColumn(),
        TextColumn("{task.fields[count]}/{task.fields[all]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        speed_estimate_period=3600,
    ) as bar:
        task = bar.add_task("", total=len(jobs), count=0, all=len(jobs))

        def within(part: float) -> None:
            bar.update(task, completed=done + part)

        outcomes: Generator[Outcome]
        if args.scheduler:
            outcomes = workers.on_cluster(jobs, settings, args.scheduler)
        elif args.workers is not None:
            outcomes = workers.in_processes(jobs, settings, args.workers)
        else:
            outcomes = workers.in_this_process(jobs, settings, within)
        done = 0
        with closing(outcomes):  # whatever happens, no worker goes on
            for count, outcome in enumerate(outcomes, start=1):
                done = count
                bar.update(task, completed=done, count=done)
                yield outcome


def _state(path: Path) -> State | None:
    try:
        return State.of(path)
    except OSError:
        return None


def _remove_leftovers(jobs: list[Job], files: list[Path]) -> None:
    """Remove what workers that were ended had begun to write."""
    collected = [job.labels.with_name(f"{job.labels.name}.labels") for job in jobs]
    names: dict[Path, list[str]] = {}
    for file in [*files, *collected]:
        names.setdefault(file.parent, []).append(file.name)
    for folder in names:
        if folder.is_dir():
            remove_leftovers(folder, tuple(names[folder]))


if __name__ == "__main__":
    run(main)
