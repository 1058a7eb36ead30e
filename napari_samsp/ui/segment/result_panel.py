"""What came of the last run: its rounds, what is odd about them, where to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_samsp.inference.plausibility import Oddity, find_oddity
from napari_samsp.ui.result_layers import add_disagreement
from napari_samsp.ui.segment.iteration_table import IterationTable
from napari_samsp.ui.segment.tidy import replace_earlier
from napari_samsp.ui.widgets.plain_text import show_info

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari
    from napari.layers import Image

    from napari_samsp.data.plane_view import PlaneIndex
    from napari_samsp.ui.segment.run_results import RunResults
    from napari_samsp.ui.segment.summary import Summary

ADVICE = {
    Oddity.NOTHING: (
        "Nothing was found. Try other Intensity limits, another channel if there is "
        "one, or set Object size; or label this image by hand, keep it and fine-tune."
    ),
    Oddity.EVERYTHING: (
        "Nearly the whole image is labelled. Try other Intensity limits, or another "
        "channel if there is one; or correct this image, keep it and fine-tune."
    ),
    Oddity.SCALE: (
        "How large the objects are could not be told from the image. Set Object size "
        "above, or draw it across an object, and segment again."
    ),
    Oddity.CONFETTI: (
        "Many small pieces, and the model is unsure of them: images of this kind are "
        "new to it. Correct two or three of them, keep them and fine-tune."
    ),
    Oddity.UNSURE: (
        "The model is unsure of this result: images of this kind are new to it. "
        "Correct two or three of them, keep them and fine-tune."
    ),
    Oddity.PARTS: "{parts} separate parts: give each its own label?",
}
"""See docs/troubleshooting.md, which says the same at more length."""
OTHER_ADAPTER = " Or choose no adapter: this one may be for other images."


class ResultPanel(QWidget):
    """Hidden as long as there is no result.

    Signals: ``status`` (a line for the widget's foot) and ``separate`` (segment again,
    with separate objects).

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer that shows the layers.

    Attributes
    ----------
    kept_slices : callable
        Gives the slices of an image that need no correction any more.
    """

    status = Signal(str)
    separate = Signal()

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self.results: RunResults | None = None
        self.kept_slices: Callable[[Image], set[PlaneIndex]] = lambda _: set()
        self.table = IterationTable()
        self.found_size = QLabel()
        self.found_size.setObjectName("samsp_found_size")
        self.found_size.setWordWrap(True)
        self.advice = QLabel()
        self.advice.setObjectName("samsp_advice")
        self.advice.setWordWrap(True)
        self.separate_button = QPushButton("Separate the objects")
        self.separate_button.setObjectName("samsp_separate")
        self.separate_button.setToolTip(
            "Ticks Separate objects above and segments again, which is quick"
        )
        self.disagreement_button = QPushButton("Show disagreement")
        self.disagreement_button.setObjectName("samsp_disagreement")
        self.disagreement_button.setToolTip(
            "A map of how many rounds differ from the last: look there first"
        )
        self.next_button = QPushButton("Slice to correct next")
        self.next_button.setObjectName("samsp_next_slice")
        self.next_button.setToolTip(
            "Goes to the slice of which the model is least sure, then to the next;\n"
            "slices that were kept are left out"
        )
        self.tidy = QCheckBox("Replace earlier results")
        self.tidy.setObjectName("samsp_tidy")
        self.tidy.setChecked(True)
        self.tidy.setToolTip(
            "A new result takes the place of one of the same image, model and adapter\n"
            "that you did not edit or rename"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (
            self.table, self.found_size, self.tidy, self.advice, self.separate_button,
            self.disagreement_button, self.next_button,
        ):  # fmt: skip
            layout.addWidget(part)
        self.table.chosen.connect(self.show_iteration)
        self.separate_button.clicked.connect(self.separate)
        self.disagreement_button.clicked.connect(self.show_disagreement)
        self.next_button.clicked.connect(self.show_next_slice)
        self.begin(None)

    def begin(self, results: RunResults | None) -> None:
        """Show another run, or none.

        Parameters
        ----------
        results : RunResults or None
            Of a run that begins.
        """
        self.results = results
        self.table.clear_rows()
        self.advice.hide()
        self.found_size.hide()
        self.separate_button.hide()
        self.update_state()

    def add(self, summary: Summary) -> None:
        """Write a round into the table.

        Parameters
        ----------
        summary : Summary
            Of one plane, or of those that are done.
        """
        self.table.show_summary(summary.iteration, summary)
        self.update_state()

    def end(self, whole: bool = True) -> None:
        """Tidy up, and say what is odd about the result, if anything.

        Parameters
        ----------
        whole : bool
            Whether the run came to its end.
        """
        results = self.results
        if results is None or not results.done:
            return
        if whole and self.tidy.isChecked():
            new = [layer for layer in results.layers if layer is not None]
            replace_earlier(self._viewer, results.image, new)
        self._judge()

    def show_figures(self) -> None:
        """Write the table again, and what is odd: the labels have changed."""
        if self.results is None or not self.results.done:
            return
        for summary in self.results.summaries:
            self.table.show_summary(summary.iteration, summary)
        self._judge()

    def _judge(self) -> None:
        results = self.results
        assert results is not None
        self.advice.hide()
        self.separate_button.hide()
        last, request = results.summaries[-1], results.request
        parts = last.parts / results.done
        odd = find_oddity(
            last.area_fraction,
            last.score,
            last.object_count / results.done,
            parts,
            request.objects,
            last.size_is_certain,
        )
        self._show_size(last, request.object_size)
        if odd is None:
            return
        text = ADVICE[odd].format(parts=round(parts))
        if odd is not Oddity.PARTS and request.adapter is not None:
            text += OTHER_ADAPTER
        self.advice.setText(text)
        self.advice.show()
        self.separate_button.setVisible(odd is Oddity.PARTS)

    def _show_size(self, last: Summary, given: float | None) -> None:
        found = last.object_size
        if found is None:
            return
        how = "as set above"
        if given is None:
            how = "estimated" if last.size_is_certain else "estimated, uncertain"
            how += "; Object size above changes it"
        self.found_size.setText(f"Objects are about {found:.0f} px wide ({how}).")
        self.found_size.show()

    def show_iteration(self, number: int) -> None:
        """Show one round alone.

        Parameters
        ----------
        number : int
            Number of the iteration, from 0.
        """
        if self.results is None or not self.results.show_only(number):
            show_info("That round's layer was deleted.")

    def show_disagreement(self) -> None:
        """Add a map of where the rounds disagree."""
        if self.results is not None:
            self.results.fetch_all()
        layers = self.results.layers if self.results else []
        found = [layer for layer in layers if layer is not None]
        if add_disagreement(self._viewer, found) is None:
            show_info("Segment with at least two rounds first.")

    def show_next_slice(self) -> None:
        """Go to the slice that is to be corrected next."""
        if self.results is not None:
            kept = self.kept_slices(self.results.image)
            self.status.emit(self.results.go_to_next_slice(kept))

    def update_state(self) -> None:
        """Show and enable what can be used now."""
        results = self.results
        self.setVisible(results is not None and bool(results.summaries))
        several = results is not None and len(results.summaries) > 1
        self.disagreement_button.setEnabled(several)
        stack = results.request.stack if results else None
        self.next_button.setVisible(
            results is not None and len(results.request.planes) > 1
        )
        self.next_button.setEnabled(stack is not None and stack.is_ranked)
