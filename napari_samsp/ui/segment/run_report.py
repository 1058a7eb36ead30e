"""Messages of the status line about a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_samsp.ui.widgets.time_left import TimeLeft

if TYPE_CHECKING:
    from napari_samsp.ui.segment.run_results import RunResults


class RunReport:
    """Words progress, by slices where there are several, and the time left.

    Parameters
    ----------
    results : RunResults
        Results of the run.
    """

    def __init__(self, results: RunResults) -> None:
        self._results = results
        self._slices = len(results.request.planes)
        self._time = TimeLeft()
        self.problem = ""

    def begin(self) -> None:
        """Start the clock: the model is loaded."""
        self._time = TimeLeft()

    def progress(self, part_of_plane: float) -> str:
        """Word how far the run is.

        Parameters
        ----------
        part_of_plane : float
            How much of the plane at hand is done, 0 to 1.

        Returns
        -------
        str
            Such as ``Slice 12 of 40, 1 min 20 s left``.
        """
        done = self._results.done + len(self._results.skipped)
        part = min((done + part_of_plane) / self._slices, 1.0)
        left = self._time.text(part)
        if self._slices == 1:
            return f"Segmenting… {100 * part:.0f} %, {left}" if left else "Segmenting…"
        text = f"Slice {min(done + 1, self._slices)} of {self._slices}"
        return f"{text}, {left}" if left else text

    def last_words(self, stopped: bool) -> str:
        """Word how the run ended.

        Parameters
        ----------
        stopped : bool
            Whether it was stopped before its end.

        Returns
        -------
        str
            Empty where the layers say it all.
        """
        if self._slices == 1:
            return self.problem or ("Stopped." if stopped else "")
        results, skipped = self._results, self._results.skipped
        words = []
        if results.done:
            few = results.done < self._slices
            count = f"{results.done} of {self._slices}" if few else str(self._slices)
            words.append(f"{count} slices are segmented.")
        if skipped:
            verb = "was" if len(skipped) == 1 else "were"
            words.append(f"{len(skipped)} {verb} left out: {skipped[0].reason}")
        if self.problem:
            words.insert(0, self.problem)
        elif stopped:
            words.insert(0, "Stopped.")
        return " ".join(words)
