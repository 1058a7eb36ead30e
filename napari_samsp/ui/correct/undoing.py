"""What was removed or replaced in a training set, to be put back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_samsp.data.training_sets.versions import Version, bring_back
from napari_samsp.utils.errors import InputError

if TYPE_CHECKING:
    from napari_samsp.data.training_sets.sample import Sample
    from napari_samsp.data.training_sets.training_set import TrainingSet


class Undoing:
    """The last one comes back first."""

    def __init__(self) -> None:
        self._items: list[Sample | Version] = []

    def __bool__(self) -> bool:
        """Whether there is anything to undo."""
        return bool(self._items)

    def note(self, gone: Sample | Version) -> None:
        """Note what was removed, or how it was before it was replaced."""
        self._items.append(gone)

    def clear(self) -> None:
        """Forget all of it: another set is shown."""
        self._items.clear()

    def put_back(self, training_set: TrainingSet) -> tuple[Sample, str]:
        """Put back what was noted last.

        Returns
        -------
        tuple
            The sample, and what became of it in a sentence.

        Raises
        ------
        InputError, OSError
            If it cannot be put back; what is gone for good is forgotten.
        """
        last = self._items[-1]
        try:
            if isinstance(last, Version):
                back = bring_back(training_set, last)
            else:
                back = training_set.put_back(last)
        except InputError:
            if _is_gone(last, training_set):
                self._items.pop()
            raise
        self._items.pop()
        was = "as it was before" if isinstance(last, Version) else "back"
        return back, f"{back.name} is {was}."


def _is_gone(last: Sample | Version, training_set: TrainingSet) -> bool:
    if isinstance(last, Version):
        return last.name not in {s.name for s in training_set.samples()}
    return not last.mask.is_file()
