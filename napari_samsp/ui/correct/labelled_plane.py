"""A plane of a labels layer, and the plane of the image that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image, Labels

from napari_samsp.data.training_sets.sample import size_text
from napari_samsp.ui.planes import Channels, PlaneReader, plane_within, shown_plane
from napari_samsp.ui.result_layers import Source, source_of
from napari_samsp.ui.segment.large_plane import LazyPlane
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import Dims

    from napari_samsp.data.plane_view import PlaneIndex


@dataclass(frozen=True)
class LabelledPlane:
    """A plane of an image and its labels, at full resolution.

    Attributes
    ----------
    image : Image
        The image layer.
    labels : Labels
        The labels layer.
    plane, of_labels : PlaneIndex
        Index of the plane in the image, and in the labels.
    channels : Channels or None
        Channels of the image that are read.
    source : Source or None
        What the labels were made of, if by us.
    """

    image: Image
    labels: Labels
    plane: PlaneIndex
    of_labels: PlaneIndex
    channels: Channels | None
    source: Source | None

    @classmethod
    def shown(
        cls,
        labels: Labels | None,
        image: Image | None,
        dims: Dims,
        channels: Channels | None = None,
    ) -> LabelledPlane:
        """Pair what the viewer shows of labels and their image.

        Parameters
        ----------
        labels : Labels or None
            What the user corrects.
        image : Image or None
            What it belongs to.
        dims : Dims
            The viewer's: of a stack, the slice that is shown is taken.
        channels : Channels, optional
            Of the image, for labels that are not ours: a result knows its own.

        Raises
        ------
        InputError
            If a layer is missing, sizes differ, or the image got other pixels since.
        """
        if not isinstance(labels, Labels):
            raise InputError("Choose the Labels layer that you corrected.")
        if not isinstance(image, Image):
            raise InputError(
                f"The image that {labels.name} belongs to is not open: open it, and "
                "choose it as the image above."
            )
        source = source_of(labels)
        if source is not None:
            channels = source.channels
            source.check(labels, image)
        plane = source.plane if source is not None else None
        if plane is None:
            plane = shown_plane(image, dims, channels)
        if source is not None and labels.ndim == image.ndim:
            of_labels = plane_within(plane, labels)
        else:
            alike = labels.ndim == image.ndim
            of_labels = shown_plane(labels, dims, channels if alike else None)
        found = cls(image, labels, plane, of_labels, channels, source)
        sides, labelled = found.pixels.shape[:2], found.numbers.shape
        if sides != labelled:
            raise InputError(
                f"{labels.name} is {size_text(labelled)} pixels but {image.name} is "
                f"{size_text(sides)}: they do not belong together."
            )
        return found

    @property
    def read(self) -> PlaneReader:
        """A reader of the image's planes."""
        return PlaneReader.of(self.image, self.channels)

    @property
    def pixels(self) -> LazyPlane:
        """The image's plane, of which windows are read."""
        return LazyPlane(self.read, self.plane)

    @property
    def numbers(self) -> LazyPlane:
        """The labels' plane, of which windows are read."""
        return LazyPlane(PlaneReader.of(self.labels), self.of_labels)

    @property
    def scaling(self) -> dict[str, Any]:
        """How the plane's intensities were scaled, where it was segmented by us."""
        if self.source is None:
            return {}
        return self.source.scalings.get(self.plane, {})

    def place_of(self, position: Sequence[float]) -> tuple[int, int]:
        """The pixel at a position, which may lie outside the plane.

        Parameters
        ----------
        position : sequence of float
            In the viewer's world.

        Returns
        -------
        tuple of int
            Row and column.

        Raises
        ------
        InputError
            If it is on a slice that the labels do not have.
        """
        at = np.floor(np.array(self.labels.world_to_data(position)) + 0.5).astype(int)
        if any(
            index is not None and at[axis] != index
            for axis, index in enumerate(self.of_labels)
        ):
            raise InputError(
                f"{self.labels.name} has no labels on this slice: go to its slice, or "
                "segment this one."
            )
        row, column = (
            int(at[axis]) for axis, index in enumerate(self.of_labels) if index is None
        )
        return row, column

    def pixel_at(self, position: Sequence[float]) -> tuple[int, int]:
        """As `place_of`, of a position in the image.

        Raises
        ------
        InputError
            If it is outside.
        """
        row, column = self.place_of(position)
        height, width = self.numbers.shape
        if not (0 <= row < height and 0 <= column < width):
            raise InputError(f"That is outside {self.image.name}: click in the image.")
        return row, column
