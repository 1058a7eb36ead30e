"""The slices of labels, each with the slice of the image that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from napari_samsp.ui.planes import first_scale
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from napari_samsp.ui.correct.labelled_plane import LabelledPlane


@dataclass(frozen=True)
class Slices:
    """The planes of labels that lie beside the one that is shown.

    Attributes
    ----------
    pair : LabelledPlane
        The one that is shown.
    axis, image_axis : int
        Axis along which they lie, of the labels and of the image. Of several axes it is
        the last one, as with *Follow slices*.
    shown : int
        Index along ``axis`` of the plane that is shown.
    """

    pair: LabelledPlane
    axis: int
    image_axis: int
    shown: int

    @classmethod
    def of(cls, pair: LabelledPlane) -> Slices:
        """Find the slices beside a plane.

        Raises
        ------
        InputError
            If the labels have no other slice, or not those of the image.
        """
        labels, image, channels = pair.labels, pair.image, pair.channels
        sides = first_scale(labels).shape
        in_image = list(range(image.ndim))
        if channels is not None and labels.ndim < image.ndim:
            in_image.remove(channels.axis)
        if channels is not None and labels.ndim == image.ndim:
            cut = {channels.axis}
        else:
            cut = set()
        axes = [
            axis
            for axis, at in enumerate(pair.of_labels)
            if at is not None and axis not in cut and sides[axis] > 1
        ]
        if not axes:
            raise InputError(
                f"{labels.name} has this one slice only: choose All slices and press "
                "Segment, or add a layer with napari's New labels button."
            )
        axis = axes[-1]
        image_axis = in_image[axis - labels.ndim]
        shown = pair.of_labels[axis]
        assert shown is not None
        alike = first_scale(image).shape[image_axis] == sides[axis]
        if not alike or pair.plane[image_axis] != shown:
            raise InputError(
                f"{labels.name} has {sides[axis]} slices but {image.name} has others: "
                "they do not belong together."
            )
        return cls(pair, axis, image_axis, shown)

    def __len__(self) -> int:
        """How many there are."""
        return int(first_scale(self.pair.labels).shape[self.axis])

    def __getitem__(self, index: int) -> LabelledPlane:
        """One of them, by its place along the axis."""
        pair = self.pair
        plane, of_labels = list(pair.plane), list(pair.of_labels)
        plane[self.image_axis] = of_labels[self.axis] = index
        return replace(pair, plane=tuple(plane), of_labels=tuple(of_labels))
