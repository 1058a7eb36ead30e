"""Readers: a training set, a run and results open as layers, an adapter is selected.

Each is opened by the file that lists what its folder holds. A reader of folders would
be asked about every folder, and napari would ask the user which reader to take.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_samsp.batch.manifest import MANIFEST_FILE
from napari_samsp.data.image_files import read_labels
from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.sam.adapters.adapter_card import CARD_FILE
from napari_samsp.ui.commands import opened_widget
from napari_samsp.ui.result_files import MOST_IMAGES, LayerData, read_results
from napari_samsp.ui.result_layers import SAMPLE_KEY
from napari_samsp.ui.widgets.plain_text import plain, show_info
from napari_samsp.utils.errors import InputError
from napari_samsp.utils.yaml_files import read_mapping

if TYPE_CHECKING:
    from collections.abc import Callable

    from napari_samsp.data.training_sets.sample import Sample

NO_LAYERS: list[tuple[None]] = [(None,)]
"""What tells napari that a reader did its work without a layer."""
LISTS = (CARD_FILE, MANIFEST_FILE, "samples.jsonl", "metrics.jsonl")
"""Files that stand for the folder that they are in."""


def get_reader(path: str | list[str]) -> Callable[..., list[Any]] | None:
    """Find the reader of a path, for napari.

    Parameters
    ----------
    path : str or list of str
        What the user opens.

    Returns
    -------
    callable or None
        None if it is none of our folders, or several paths.
    """
    if not isinstance(path, str):
        return None
    folder = Path(path)
    if folder.name in LISTS:
        folder = folder.parent
    if (folder / CARD_FILE).is_file():
        return _plainly(select_adapter, folder)
    if (folder / "config.yaml").is_file() and (folder / "metrics.jsonl").is_file():
        return _plainly(read_run, folder)
    if (folder / MANIFEST_FILE).is_file():
        return _plainly(read_results, folder)
    if (folder / "images").is_dir() and (folder / "masks").is_dir():
        return _plainly(read_training_set, folder)
    return None


def _plainly(
    read: Callable[[Path], list[Any]], folder: Path
) -> Callable[..., list[Any]]:
    """A reader whose errors are plain text, since napari itself shows them."""

    def reader(*_: Any, **__: Any) -> list[Any]:
        try:
            return read(folder)
        except InputError as error:
            raise InputError(plain(str(error))) from error

    return reader


def select_adapter(folder: Path) -> list[tuple[None]]:
    """Select an adapter in the widget, which is opened if it is not.

    Parameters
    ----------
    folder : Path
        Folder of the adapter.

    Returns
    -------
    list
        Empty, as there are no layers to add.

    Raises
    ------
    InputError
        If no viewer is open, or the adapter is broken.
    """
    import napari

    viewer = napari.current_viewer()
    if viewer is None:
        raise InputError("Open napari's window first, then the adapter.")
    opened_widget(viewer).segmenting.adapter.choose(folder)
    return NO_LAYERS


def read_run(folder: Path) -> list[LayerData]:
    """Read what a run was trained on.

    Parameters
    ----------
    folder : Path
        Folder of the run.

    Returns
    -------
    list of tuple
        As `read_training_set`.

    Raises
    ------
    InputError
        If the run does not say where its training set is, or that is gone or broken.
    """
    path = folder / "config.yaml"
    place = read_mapping(path).get("training_set")
    if not isinstance(place, str):
        raise InputError(f"{path} does not say where the training set is.")
    return read_training_set(Path(place))


def read_training_set(folder: Path) -> list[LayerData]:
    """Read images, masks and predictions of a training set.

    Parameters
    ----------
    folder : Path
        Folder of the training set.

    Returns
    -------
    list of tuple
        For each image, of `MOST_IMAGES` at most, an image layer, a labels layer of
        what was predicted if that is known, and one of its mask; only the first
        image's are visible.

    Raises
    ------
    InputError
        If it is no training set, or a file of it is broken.
    """
    training_set = TrainingSet(folder)
    samples = training_set.check()
    if len(samples) > MOST_IMAGES:
        show_info(
            f"{folder} holds {len(samples)} images: the first {MOST_IMAGES} are shown."
        )
    layers: list[LayerData] = []
    for sample in samples[:MOST_IMAGES]:
        layers += _layers(sample, visible=not layers)
    return layers


def _layers(sample: Sample, visible: bool) -> list[LayerData]:
    image, mask = sample.read()
    options: dict[str, Any] = {
        "visible": visible,
        "metadata": {SAMPLE_KEY: str(sample.image)},
    }
    channels: dict[str, Any] = {}
    if image.ndim == 3:
        rgb = image.shape[-1] in (3, 4)
        channels = {"rgb": True} if rgb else {"channel_axis": -1}
    layers: list[LayerData] = [
        (image, {"name": sample.name, **channels, **options}, "image")
    ]
    if sample.prediction is not None:
        # Below the mask and hidden, to be compared with it.
        name = f"{sample.name} prediction"
        labels = read_labels(sample.prediction)
        layers.append((labels, {"name": name, **options, "visible": False}, "labels"))
    layers.append((mask, {"name": f"{sample.name} mask", **options}, "labels"))
    return layers
