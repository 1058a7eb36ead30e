"""The errors that a user can cause and mend."""

from __future__ import annotations


class InputError(ValueError):
    """An input cannot be used; the message is one plain sentence that says why.

    Commands print it and exit with code 2; the widget shows it as a notification.
    """
