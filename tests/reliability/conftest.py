"""Counts what was tried, and says so at the end."""

from __future__ import annotations

from collections import Counter

import pytest

_TALLY = pytest.StashKey[Counter]()


@pytest.fixture
def tally(request) -> Counter:
    """What is counted here is printed after the tests."""
    return request.config.stash.setdefault(_TALLY, Counter())


def pytest_configure(config) -> None:
    config.addinivalue_line("markers", "counted(what): count what passes under a name")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    mark = item.get_closest_marker("counted")
    if mark and call.when == "call" and outcome.get_result().passed:
        item.config.stash.setdefault(_TALLY, Counter())[mark.args[0]] += 1


def pytest_terminal_summary(terminalreporter, config) -> None:
    counted = config.stash.get(_TALLY, Counter())
    if counted:
        terminalreporter.section("reliability")
        for what, number in sorted(counted.items()):
            terminalreporter.write_line(f"{what}: {number:,}")


@pytest.fixture
def viewer_model():
    """A viewer without a window."""
    from napari.components import ViewerModel

    return ViewerModel()
