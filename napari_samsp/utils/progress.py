"""Progress, reported often enough that a long job can be stopped at any time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from napari_samsp.utils.cancellation import called_before

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from segment_anything.modeling import Sam
    from torch import nn


class Progress:
    """Calls back with the part that is done, and with the same again in between.

    Parameters
    ----------
    tell : callable or None
        Called with 0 to 1. An exception raised by it aborts the run.
    """

    def __init__(self, tell: Callable[[float], None] | None) -> None:
        self._tell, self._done = tell, 0.0

    def __call__(self, done: float) -> None:
        """Report which part is done, 0 to 1."""
        self._done = done
        self.beat()

    def beat(self) -> None:
        """Report the same again: no more is done, but the user may have stopped."""
        if self._tell is not None:
            self._tell(self._done)

    @contextmanager
    def within(self, sam: Sam, distances: nn.Module | None = None) -> Iterator[None]:
        """Beat before every block of the encoder and every call of the decoder.

        Parameters
        ----------
        sam : Sam
            The model that computes.
        distances : torch.nn.Module, optional
            Its distance decoder, before every part of which it beats too.
        """
        if self._tell is None:
            yield
            return
        # The kernels call the parts of SAM's own blocks; vit_t's run as a whole.
        modules = [getattr(b, "norm1", b) for b in sam.image_encoder.blocks]
        more = () if distances is None else distances.modules()
        with called_before([*modules, sam.prompt_encoder, *more], self.beat):
            yield
