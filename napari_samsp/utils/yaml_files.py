"""YAML files of settings, whoever wrote them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from napari_samsp.utils.errors import InputError, in_words

MOST_BYTES = 1_000_000
"""Settings are a page of text."""


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a file of ``NAME: VALUE`` lines; nothing in it is ever executed.

    Parameters
    ----------
    path : Path
        A YAML file without tags of its own.

    Returns
    -------
    dict
        Names to plain values; empty for an empty file.

    Raises
    ------
    InputError
        If it is missing, broken, too large, or something else than a mapping of names.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is too large for a file of settings.")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"The settings cannot be read: {in_words(error)}") from error
    except Exception as error:  # PyYAML raises many kinds for a broken file
        # Of YAML's errors only the place and the problem are of use.
        problem = getattr(error, "problem", None) or type(error).__name__
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{path} is no valid YAML{line}: {problem}.") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(k, str) for k in content):
        raise InputError(f"{path} must be lines of NAME: VALUE.")
    return content
