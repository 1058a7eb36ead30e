"""The list of what was kept."""

from __future__ import annotations

from napari_samsp.core.training_set import TrainingSet

WAIT_MS = 30_000


def test_the_list_follows_another_window(widget, qtbot, nuclei):
    """From the first correction on, whose folder is not there yet."""
    panel = widget.correcting
    another = TrainingSet(panel.training_set.folder)
    assert not another.folder.exists()

    def listed() -> list[str]:
        rows = range(panel.list.topLevelItemCount())
        return [panel.list.topLevelItem(row).text(0) for row in rows]

    for change, expected in (
        (lambda: another.add(*nuclei, name="a"), ["a"]),
        (lambda: another.add(*nuclei, name="b"), ["a", "b"]),
        (lambda: another.remove("a"), ["b"]),
    ):
        with qtbot.waitSignal(panel.changed, timeout=WAIT_MS):
            change()
        qtbot.waitUntil(lambda expected=expected: listed() == expected)


def test_what_is_selected_stays_so(widget, qtbot, nuclei):
    panel = widget.correcting
    panel.training_set.add(*nuclei, name="mine")
    panel.refresh(select="mine")
    with qtbot.waitSignal(panel.changed, timeout=WAIT_MS):
        TrainingSet(panel.training_set.folder).add(*nuclei, name="its")
    assert panel.selected == "mine"
