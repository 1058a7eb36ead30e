"""Connections of a widget to objects that outlive it, cut when the widget goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtCore import QObject


class Ties:
    """Connections to a viewer and the like, which end when their owner is destroyed.

    Qt keeps a closure that is connected to ``destroyed``, and calls it although the
    garbage collector has emptied it: a crash. Of a bound method it asks first whether
    the object is still there; so the owner keeps its ties in an attribute.

    Parameters
    ----------
    owner : QObject
        What hears nothing more once it is destroyed.
    """

    def __init__(self, owner: QObject) -> None:
        self._cuts: list[Callable[[], object]] = []
        owner.destroyed.connect(self.cut)

    def connect(self, emitter: Any, slot: Callable[..., Any]) -> None:
        """Connect a slot to one of napari's emitters, until the ties are cut.

        Parameters
        ----------
        emitter : napari.utils.events.EventEmitter
            An emitter that can outlive the owner, and would call a deleted object.
        slot : callable
            Called by the signal.
        """
        emitter.connect(slot)
        self._cuts.append(lambda: emitter.disconnect(slot))

    def add(self, cut: Callable[[], object]) -> None:
        """Have something called when the ties are cut.

        Parameters
        ----------
        cut : callable
            Must not touch the owner's part in Qt, which is gone by then.
        """
        self._cuts.append(cut)

    def cut(self, *_: Any) -> None:
        """Cut all ties, in the order in which they were made."""
        cuts, self._cuts = self._cuts, []
        for cut in cuts:
            cut()
