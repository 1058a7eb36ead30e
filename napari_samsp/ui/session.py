"""What the user has chosen, for every step of the widget to work on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_samsp.data.training_sets.training_set import TrainingSet
from napari_samsp.ui.segment.segment_steps import SegmentRequest
from napari_samsp.utils.paths import corrections_folder

if TYPE_CHECKING:
    from pathlib import Path

    from napari.layers import Image

    from napari_samsp.data.rgb import Scaling
    from napari_samsp.ui.correct.labelled_plane import LabelledPlane
    from napari_samsp.ui.planes import Channels
    from napari_samsp.ui.segment.segment_panel import SegmentPanel


class Session:
    """The image, the model and the corrections that are chosen now.

    Steps ask it, so that none of them has to know another. What step 1 shows is read
    there each time: nothing is kept that could be out of date.

    Parameters
    ----------
    segmenting : SegmentPanel
        Step 1, where image and model are chosen.

    Attributes
    ----------
    training_set : TrainingSet
        The corrections of the project.
    """

    def __init__(self, segmenting: SegmentPanel) -> None:
        self._segmenting = segmenting
        self.training_set = TrainingSet(corrections_folder())

    @property
    def image(self) -> Image | None:
        """The chosen image layer."""
        return self._segmenting.image.layer

    @property
    def channels(self) -> Channels | None:
        """Which channels of the image are read, if it has any."""
        return self._segmenting.channels.channels

    @property
    def model(self) -> str:
        """Name or file of the base model."""
        return self._segmenting.model_name

    @property
    def adapter(self) -> Path | None:
        """Folder of the adapter in use."""
        adapter = self._segmenting.adapter.adapter
        return adapter.folder if adapter else None

    @property
    def scaling(self) -> Scaling:
        """How intensities become 0 to 255.

        Raises
        ------
        InputError
            If what was typed is no limits.
        """
        return self._segmenting.scaling.scaling

    def request(self, pair: LabelledPlane) -> SegmentRequest:
        """What Segment would do with the plane of labels, with one slice alone."""
        return SegmentRequest(
            read=pair.read,
            planes=(pair.plane,),
            model=self.model,
            adapter=self.adapter,
            iterations=self._segmenting.iterations.value(),
            objects=self._segmenting.objects.isChecked(),
            scaling=self.scaling,
            object_size=self._segmenting.object_size.object_size,
        )
