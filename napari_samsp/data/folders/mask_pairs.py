"""Which prediction belongs to which mask, by the names of their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_samsp.data.image_files import MASK_SUFFIXES
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.file_names import ITERATION, by_stem, image_stem


@dataclass(frozen=True)
class Pairing:
    """Which prediction belongs to which mask.

    Attributes
    ----------
    pairs : dict
        Prediction's and mask's file by name.
    missing : list of str
        Masks without a prediction.
    unmatched : list of str
        Predictions without a mask.
    """

    pairs: dict[str, tuple[Path, Path]]
    missing: list[str]
    unmatched: list[str]


def pair_files(predictions: Path, masks: Path, iteration: int | None = None) -> Pairing:
    """Pair the files of two folders by stem.

    Parameters
    ----------
    predictions : Path
        Holds ``NAME.tif`` or ``NAME.png``; ``NAME.iter0.tif`` and the like are of
        single iterations.
    masks : Path
        Holds ``NAME.tif`` or ``NAME.png``, also ``NAME.ome.tif``, ``NAME_mask``,
        ``NAME_seg``, ``NAME-labels`` and the like.
    iteration : int, optional
        Take the predictions of this iteration instead.

    Returns
    -------
    Pairing

    Raises
    ------
    InputError
        If a folder is missing or empty, or two of its files have the same stem.
    """
    true = _by_stem(masks)
    found: dict[str, Path] = {}
    for stem, path in _by_stem(predictions).items():
        part = None if stem in true else ITERATION.fullmatch(stem)
        number = int(part["number"]) if part else None
        if number == iteration:
            found[part["name"] if part else stem] = path
    if not found:
        of = "" if iteration is None else f" of iteration {iteration}"
        raise InputError(
            f"There are no predictions{of} in {predictions}; write them with "
            "python -m napari_samsp.predict."
        )
    true = _renamed(true, found)
    return Pairing(
        {
            name: (found[name], true[name])
            for name in sorted(found.keys() & true.keys())
        },
        sorted(true.keys() - found.keys()),
        sorted(found.keys() - true.keys()),
    )


def _renamed(true: dict[str, Path], found: dict[str, Path]) -> dict[str, Path]:
    """Masks by the names of their predictions, such as NAME for NAME_mask."""
    named: dict[str, Path] = {}
    for stem, path in true.items():
        short = image_stem(stem)
        # A prediction of the mask's own name wins.
        name = short if stem not in found and short in found else stem
        if name != stem and (other := named.get(name) or true.get(name)):
            raise InputError(
                f"{other.name} and {path.name} would both be the mask of {name}; keep "
                "one of them."
            )
        named[name] = path
    return named


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.")
    files = by_stem(folder, MASK_SUFFIXES)
    if not files:
        raise InputError(f"There are no {', '.join(MASK_SUFFIXES)} files in {folder}.")
    return files
