"""From the mouse on napari's canvas to clicks and drags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_samsp.ui.correct.clicks.rubber_band import RubberBand

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import napari

BOX, LINE = "box", "line"
DRAG_PIXELS = 5
"""Of the screen; a hand that clicks moves less."""


class ClickMouse:
    """Listens to a viewer's mouse while it is on.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer whose mouse is listened to.
    draws : callable
        Gives `BOX` or `LINE` if a drag draws it now, or else nothing.
    on_click : callable
        Called with a position in the viewer's world, and whether the left button was
        pressed without Alt.
    on_drag : callable
        Called with the first and the last position of what was drawn.
    """

    def __init__(
        self,
        viewer: napari.viewer.Viewer,
        draws: Callable[[], str],
        on_click: Callable[[np.ndarray, bool], None],
        on_drag: Callable[[np.ndarray, np.ndarray], None],
    ) -> None:
        self._callbacks = viewer.mouse_drag_callbacks
        self._draws, self._on_click, self._on_drag = draws, on_click, on_drag
        # The very same object, to be found again.
        self._listener = self._listen

    def listen(self, on: bool) -> None:
        """Begin, or end."""
        if self._listener in self._callbacks:
            self._callbacks.remove(self._listener)
        if on:
            self._callbacks.append(self._listener)

    def _listen(self, _viewer: Any, event: Any) -> Iterator[None]:
        keys = set(map(str, event.modifiers))
        if event.button not in (1, 2) or keys & {"Shift", "Control"}:
            return
        plain = event.button == 1 and "Alt" not in keys
        start, corner = np.array(event.position), np.array(event.pos)
        shape = self._draws() if plain else ""
        band = RubberBand(event, shape == LINE) if shape else None
        dragged = False
        yield
        while event.type == "mouse_move":
            moved = np.abs(np.array(event.pos) - corner).max()
            dragged = dragged or bool(moved > DRAG_PIXELS)
            if band is not None and dragged:
                band.stretch(event)
            yield
        if band is not None:
            band.remove()
        if not dragged:
            self._on_click(start, plain)
        elif band is not None:
            self._on_drag(start, np.array(event.position))
