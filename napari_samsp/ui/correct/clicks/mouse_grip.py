"""Takes the mouse and two keys of a labels layer from napari, and gives them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from napari.layers import Labels

PAN = "pan_zoom"


class MouseGrip:
    """Holds one layer at a time; no QObject, so that it can let go after its widget.

    Parameters
    ----------
    on_mode, on_paint : callable
        Called when the user chooses one of napari's own tools, and when anybody paints.
    keys : dict of str to callable
        What keys do while a layer is held.
    """

    def __init__(
        self,
        on_mode: Callable[[Any], None],
        on_paint: Callable[[Any], None],
        keys: dict[str, Callable[[Any], None]],
    ) -> None:
        self.labels: Labels | None = None
        self._on_mode, self._on_paint = on_mode, on_paint
        self._keys = {**keys, "Space": _pan}

    def take(self, labels: Labels, drags: bool) -> None:
        """Hold a layer.

        Parameters
        ----------
        labels : Labels
            Another one is let go.
        drags : bool
            A drag is the tool's, and does not move the view.
        """
        self.release()
        self.labels = labels
        labels.mode = PAN
        labels.mouse_pan = not drags
        labels.cursor = "cross"
        labels.events.mode.connect(self._on_mode)
        labels.events.paint.connect(self._on_paint)
        for key, action in self._keys.items():
            labels.bind_key(key, action, overwrite=True)

    def release(self, *_: Any) -> None:
        """Let go."""
        labels, self.labels = self.labels, None
        if labels is None:
            return
        labels.events.mode.disconnect(self._on_mode)
        labels.events.paint.disconnect(self._on_paint)
        if labels.mode == PAN:
            labels.mouse_pan = True
            labels.cursor = "standard"
        for key in self._keys:
            labels.bind_key(key, None)


def _pan(labels: Labels) -> Iterator[None]:
    """While the key is held a drag moves the view, as with napari's own tools."""
    before, labels.mouse_pan = labels.mouse_pan, True
    yield
    labels.mouse_pan = before
