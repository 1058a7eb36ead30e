"""What a batch is made of: settings, and for each file a job and its outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_samsp.inference.cleanup import Cleanup

if TYPE_CHECKING:
    from napari_samsp.data.tables.object_table import Columns
    from napari_samsp.data.training_sets.classes import Classes
    from napari_samsp.inference.scale.object_scale import ObjectScale


@dataclass(frozen=True)
class Settings:
    """How files are segmented.

    Attributes
    ----------
    model, adapter, device, input_size
        As for `napari_samsp.inference.segmenter.Segmenter`.
    iterations, objects, prompt, tile, object_size
        As for its `segment`.
    all_iterations : bool
        Whether each iteration's labels are written too.
    limits : {"stack", "slice"}
        Whether the planes of a stack share their intensity limits.
    follow_slices : bool
        Whether a plane of a stack is prompted by the result of the one before.
    channels : tuple of int or None
        The channels that are red, green and blue, or one that is gray.
    axes : str or None
        Instead of what the files say.
    series : int or None
        Which image of a file that holds several; None: the largest.
    output_format : {"auto", "tif", "ome-zarr"}
        ``auto``: OME-Zarr for large OME-Zarr images, NIfTI for NIfTI, TIFF for all
        others.
    measure : bool
        Whether the objects are measured too.
    threads : int
        Of torch; 0 leaves its default.
    prompts : str or None
        A CSV file of points or boxes, see `napari_samsp.batch.prompts_file`.
    single_channels : tuple of int or None
        As ``channels``, of images alone whose channels are no colours.
    object_classes : bool
        Whether the classes of the objects are written beside their labels.
    link_slices : bool
        Whether objects that overlap in a stack get one number, after the fact.
    cleanup : Cleanup
        What is done with the labels: threshold, holes, least size.
    """

    model: str
    adapter: str | None = None
    device: str = "auto"
    input_size: int | None = None
    iterations: int = 3
    objects: bool = False
    prompt: str | None = None
    tile: Literal["auto", "on", "off"] | int = "auto"
    all_iterations: bool = False
    limits: Literal["stack", "slice"] = "stack"
    follow_slices: bool = False
    channels: tuple[int, ...] | None = None
    axes: str | None = None
    series: int | None = None
    output_format: Literal["auto", "tif", "ome-zarr"] = "auto"
    measure: bool = False
    threads: int = 0
    prompts: str | None = None
    single_channels: tuple[int, ...] | None = None
    object_classes: bool = False
    object_size: float | None = None
    link_slices: bool = False
    cleanup: Cleanup = field(default_factory=Cleanup)


@dataclass(frozen=True)
class Job:
    """An image file and its labels.

    Attributes
    ----------
    image : Path
        The image file.
    labels : Path
        Where the labels go, without the ending of the file.
    spared : tuple of Path
        Files beside the labels that must not be replaced.
    """

    image: Path
    labels: Path
    spared: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Attributes
    ----------
    job : Job
        What was segmented.
    files : tuple of Path
        Files that were written; the last iteration's labels come first.
    seconds : float
        Wall time in seconds.
    error : str
        One sentence if it could not be segmented, else empty.
    objects : tuple of dict
        What was measured, one table per slice.
    scores : tuple of tuple of float
        SAM's predicted IoU of each plane, iteration by iteration; of a blank plane
        none.
    count : int
        How many labels the last iteration has, of several planes the sum.
    scales : tuple of ObjectScale
        Of each plane that was segmented: how large its objects were taken to be.
    look : str or None
        How the image looks to the model, see
        `napari_samsp.inference.interactive.correct_next.look_as_text`.
    classes : Classes or None
        What the labels mean, if the model tells classes apart.
    """

    job: Job
    files: tuple[Path, ...]
    seconds: float
    error: str = ""
    objects: tuple[Columns, ...] = ()
    scores: tuple[tuple[float, ...], ...] = ()
    count: int = 0
    scales: tuple[ObjectScale, ...] = ()
    look: str | None = None
    classes: Classes | None = None
