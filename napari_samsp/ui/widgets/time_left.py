"""How long a job still takes, in words."""

from __future__ import annotations

import time

SPEAK_AFTER_S = 2.0
"""A shorter job needs no word about its time."""


class TimeLeft:
    """Estimates from what is done and the time that it took; counts down in between."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._part = 0.0
        self._end = self._begun

    def text(self, part: float) -> str:
        """Word how long the job still takes.

        Parameters
        ----------
        part : float
            Part of the job that is done, 0 to 1.

        Returns
        -------
        str
            Such as ``1 min 20 s left``; empty in the beginning.
        """
        now = time.monotonic()
        if part != self._part and part > 0:
            self._part = part
            self._end = self._begun + (now - self._begun) / part
        if self._part <= 0 or now - self._begun < SPEAK_AFTER_S:
            return ""
        return f"{duration(self._end - now)} left"


def duration(seconds: float) -> str:
    """Word a duration.

    Parameters
    ----------
    seconds : float
        Below zero counts as zero.

    Returns
    -------
    str
        Such as ``2 h 5 min``, ``1 min 20 s`` or ``7 s``.
    """
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
