"""How the widget is set, as the image list's jobs take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_samsp.batch.job import Settings
from napari_samsp.ui.images.stored.results import Wanted

if TYPE_CHECKING:
    from napari_samsp.ui.segment.segment_panel import SegmentPanel


def wanted_of(panel: SegmentPanel) -> Wanted:
    """How images are to be segmented.

    Parameters
    ----------
    panel : SegmentPanel
        As it is set now. Of images with channels the one that is chosen there counts,
        or else the first.

    Raises
    ------
    InputError
        If its intensity limits make no sense.
    """
    adapter, channels = panel.adapter.adapter, panel.channels.channels
    settings = Settings(
        model=panel.model_name,
        adapter=str(adapter.folder) if adapter is not None else None,
        iterations=panel.iterations.value(),
        objects=panel.objects.isChecked(),
        object_size=panel.object_size.object_size,
        limits="stack" if panel.scaling.same.isChecked() else "slice",
        all_iterations=True,
        output_format="tif",
        cleanup=panel.form.cleanup.cleanup,
        single_channels=channels.picked if channels is not None else (0,),
        object_classes=panel.objects.isChecked()
        and adapter is not None
        and len(adapter.card.classes) > 1,
    )
    return Wanted(settings, panel.scaling.scaling)
