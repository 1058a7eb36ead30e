"""The settings of the widget, which each project remembers for itself."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_samsp.inference.cleanup import Cleanup
from napari_samsp.sam import registry as models
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from napari_samsp.data.projects import Project
    from napari_samsp.ui.widget import SamSpWidget

PAUSE_MS = 500
"""Pause after a change, so that a spin box that is held down is written once."""
_TYPES: dict[str, tuple[type, ...]] = {
    "model": (str,),
    "adapter": (str, type(None)),
    "iterations": (int,),
    "objects": (bool,),
    "follow_slices": (bool,),
    "link_slices": (bool,),
    "object_size": (int,),
    "threshold": (int, float),
    "min_size": (int,),
    "fill_holes": (bool,),
    "scaling": (str,),
    "same_limits": (bool,),
    "minutes": (int, float),
    "images_place": (str,),
    "images_at": (str,),
    "images_ranked": (bool,),
}


class SettingsStore:
    """Restores the settings of a widget, and stores what changes.

    Parameters
    ----------
    widget : SamSpWidget
        The dock widget, with its panels in place.
    project : Project
        The project whose settings are kept.
    """

    def __init__(self, widget: SamSpWidget, project: Project) -> None:
        self._widget, self._project = widget, project
        self._switching = False
        self._restore(read_state(project))
        self._state = self._written = self._read_off()
        self._timer = QTimer(widget)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self.write)
        segmenting = widget.segmenting
        for signal in (
            segmenting.model.changed,
            segmenting.adapter.changed,
            segmenting.iterations.valueChanged,
            segmenting.objects.toggled,
            segmenting.slices.follow.toggled,
            segmenting.slices.link.toggled,
            segmenting.object_size.pixels.valueChanged,
            segmenting.form.cleanup.changed,
            segmenting.scaling.edited,
            widget.finetuning.settings.minutes.valueChanged,
            widget.images.control.changed,
        ):
            signal.connect(self._on_change)
        # By then the timer is gone.
        widget.destroyed.connect(self.write)

    def write(self, *_: Any) -> None:
        """Write what changed; a disk that refuses is not worth an interruption."""
        if self._state != self._written:
            self._written = self._state
            with suppress(OSError):
                self._project.store(self._state)

    @contextmanager
    def switching_to(self, project: Project) -> Iterator[None]:
        """Go on with another project: its settings where it has any, else these.

        Parameters
        ----------
        project : Project
            The project that is worked on from now on. What changes within the ``with``
            block is a setting of neither.
        """
        self._timer.stop()
        self.write()
        self._project, self._switching = project, True
        try:
            yield
        finally:
            self._switching = False
        self._restore(read_state(project))
        self._state = self._written = self._read_off()

    def _on_change(self, *_: Any) -> None:
        if self._switching:
            return
        self._state = self._read_off()
        self._timer.start()

    def _read_off(self) -> dict[str, Any]:
        segmenting = self._widget.segmenting
        adapter = segmenting.adapter.adapter
        return {
            "model": segmenting.model_name,
            "adapter": str(adapter.folder) if adapter else None,
            "iterations": segmenting.iterations.value(),
            "objects": segmenting.objects.isChecked(),
            "follow_slices": segmenting.slices.follow.isChecked(),
            "link_slices": segmenting.slices.link.isChecked(),
            "object_size": segmenting.object_size.pixels.value(),
            **asdict(segmenting.form.cleanup.cleanup),
            "scaling": segmenting.scaling.choice_or_none(),
            "same_limits": segmenting.scaling.same.isChecked(),
            "minutes": self._widget.finetuning.settings.minutes.value(),
            **self._widget.images.control.place_and_image(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        segmenting = self._widget.segmenting
        model = state.get("model", "")
        with suppress(OSError, ValueError):  # a name that no disk takes
            if model in models.names() or Path(model).is_file():
                segmenting.model.choose(model)
        if state.get("adapter"):
            with suppress(OSError, ValueError):  # moved or removed since
                segmenting.adapter.choose(Path(state["adapter"]))
        # After the adapter, which brings its own mode.
        if "iterations" in state:
            segmenting.iterations.setValue(state["iterations"])
        if "objects" in state:
            segmenting.objects.setChecked(state["objects"])
        if "follow_slices" in state:
            segmenting.slices.follow.setChecked(state["follow_slices"])
        if "link_slices" in state:
            segmenting.slices.link.setChecked(state["link_slices"])
        with suppress(InputError):  # written by hand
            known = {f.name: state[f.name] for f in fields(Cleanup) if f.name in state}
            segmenting.form.cleanup.show_cleanup(Cleanup(**known))
        if "object_size" in state:
            segmenting.object_size.pixels.setValue(state["object_size"])
        if "scaling" in state:
            segmenting.scaling.show_choice(state["scaling"])
        if "same_limits" in state:
            segmenting.scaling.same.setChecked(state["same_limits"])
        if "minutes" in state:
            self._widget.finetuning.settings.minutes.setValue(state["minutes"])
        images = self._widget.images
        images.ranked.setChecked(state.get("images_ranked", False))
        if state.get("images_place"):
            images.control.open_place(state["images_place"], state.get("images_at", ""))


def read_state(project: Project) -> dict[str, Any]:
    """Read what a project remembers.

    Parameters
    ----------
    project : Project
        A project, whose file may be missing or broken.

    Returns
    -------
    dict
        Values of the right kind; others are left out.
    """
    content = project.settings()
    return {
        name: content[name]
        for name, kinds in _TYPES.items()
        if name in content
        and type(content[name]) in kinds
        # Qt's numbers are of 32 bits.
        and (type(content[name]) not in (int, float) or abs(content[name]) < 2**31)
    }
