"""The models known by name: ``python -m napari_samsp.models``."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from napari_samsp.sam import registry as models
from napari_samsp.utils.cli import Parser, run
from napari_samsp.utils.errors import printable
from napari_samsp.utils.paths import HOME_VARIABLE, models_folder


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : list of str, optional
        Default: those of the process.

    Returns
    -------
    int
        Exit code; 0 on success.

    Raises
    ------
    InputError
        If there is no such model or file, or it cannot be fetched or read.
    """
    options = _parser().parse_args(arguments)
    if options.command == "info" and _is_file(options.name):
        _show_file(Path(options.name))
    elif options.command == "info":
        _show(options.name)
    elif options.command == "download":
        _download(options.name)
    else:
        _list()
    return 0


def _list() -> None:
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for title in ("model", "size", "state"):
        table.add_column(title, no_wrap=True)
    table.add_column("what it is")
    for name in models.names():
        model = models.info(name)
        table.add_row(name, _size(name), _state(name), model.description)
    console.print(table)
    console.print("Downloads are kept in", Text(str(models_folder())), soft_wrap=True)
    console.print(f"(${HOME_VARIABLE} moves what is kept elsewhere)", soft_wrap=True)


def _is_file(name: str) -> bool:
    return name not in models.names() and Path(name).is_file()


def _show_file(path: Path) -> None:
    from napari_samsp.sam.checkpoints import load_sam

    loaded = load_sam(str(path))
    parameters = sum(p.numel() for p in loaded.sam.parameters())
    _print_lines(
        {
            "model": str(path),
            "architecture": loaded.architecture,
            "parameters": f"{parameters / 1e6:.1f} million",
            "size": f"{path.stat().st_size / 1e6:.0f} MB",
            "SHA-256": loaded.sha256,
            "decoder": "for distances, used for separate objects"
            if loaded.distances
            else "none for distances",
            "note": loaded.note or "nothing was left out",
        }
    )


def _show(name: str) -> None:
    model = models.info(name)
    lines = {
        "model": f"{name} - {model.description}",
        "architecture": model.architecture,
        "licence": model.licence,
        "size": _size(name),
        "state": _state(name),
        "file": str(models.location(name)),
    }
    if not model.bundled:
        algorithm, digits = model.hash_in_words.split()
        lines |= {"from": model.url, algorithm: digits}
        if decoder := models.decoder_of(name):
            also = models.info(decoder)
            lines |= {
                "decoder": f"{models.location(decoder)} ({_state(decoder)})",
                "decoder from": also.url,
                f"its {algorithm}": also.hash_in_words.split()[1],
            }
        if not model.sha256:
            lines["trust"] = (
                f"the {algorithm} tells a broken file, not a forged one: the SHA-256 "
                "of the first download is kept beside it and compared ever after"
            )
    _print_lines(lines)


def _print_lines(lines: dict[str, str]) -> None:
    for title, value in lines.items():
        print(f"{title:<13} {printable(value)}")


def _download(name: str) -> None:
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task(name, total=None)
        place = models.download(
            name, lambda here, total: bar.update(task, completed=here, total=total)
        )
    print(place)


def _state(name: str) -> str:
    if not models.is_available(name):
        return "missing" if models.info(name).bundled else "not downloaded"
    decoder = models.decoder_of(name)
    if decoder and not models.is_available(decoder):
        return "no decoder"
    return "bundled" if models.info(name).bundled else "downloaded"


def _size(name: str) -> str:
    size = models.download_bytes(name)
    if models.is_available(name):
        beside = models.decoder_file(name)
        files = [models.location(name), *([beside] if beside else [])]
        size = sum(file.stat().st_size for file in files)
    return f"{size / 1e6:.0f} MB" if size else "-"


def _parser() -> Parser:
    parser = Parser(
        prog="python -m napari_samsp.models",
        description="List, describe and download models. Without a command: list.",
        examples="""
        python -m napari_samsp.models
        python -m napari_samsp.models info vit_b
        python -m napari_samsp.models info my_finetuned_sam.pth
        python -m napari_samsp.models download vit_b
        """,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("list", help="all models, and which are on this computer")
    for command, text in {
        "info": "where a model is from and where it is kept, or what a file holds",
        "download": "fetch a model once; resumes and checks its hash",
    }.items():
        one = commands.add_parser(command, help=text, description=text)
        file = " or a checkpoint file" if command == "info" else ""
        one.add_argument("name", metavar="NAME", help=f"a model's name{file}")
    return parser


if __name__ == "__main__":
    run(main)
