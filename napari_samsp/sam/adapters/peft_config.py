"""An adapter's ``adapter_config.json``, read with care: PEFT believes every word of it.

It would allocate any rank, match any regular expression, which can take for ever, and
start other ways of training than LoRA.
"""

from __future__ import annotations

import json
import re
import reprlib
from pathlib import Path
from typing import Any

from peft import LoraConfig

from napari_samsp.utils.errors import InputError

MOST_RANK = 1024
MOST_BYTES = 1_000_000
MOST_NAMES = 500
"""Modules that are named one by one: six in each of 32 blocks, and some more."""
MOST_CHOICES = 4
"""Groups and repeats of all patterns together; each multiplies the time of a match."""
_MOST_PATTERN = 500
_FREE = {
    "base_model_name_or_path", "bias", "fan_in_fan_out", "inference_mode",
    "lora_dropout", "peft_version", "revision", "task_type", "use_rslora",
}  # fmt: skip
"""Settings whose value does no harm."""
# A group holds plain names, since one that can match in several ways takes for ever.
_NAME = r"(?:[\w-]|\\\.)+"
_GROUP = rf"\((?:\?:)?({_NAME}(?:\|{_NAME})*)\)"
_ATOM = r"(?:[\w-]|\.|\\[.dw]|\[[\w-]+\])[*+?]?"
_PATTERN = re.compile(rf"\^?(?:{_ATOM}|{_GROUP})*\$?")
_OURS = {"base_model_class": "Sam", "parent_library": "segment_anything.modeling.sam"}
"""What PEFT writes of the model that it wrapped, for those who would import it."""


def check_config(path: Path) -> None:
    """Check that a configuration is plain LoRA of a sane size.

    Parameters
    ----------
    path : Path
        The adapter's ``adapter_config.json``.

    Raises
    ------
    InputError
        If it is broken, or asks for something else.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("it is too large")
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise TypeError("it is no object")
        _check(content)
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f"The adapter's {path} is broken: {error}.") from error


def _check(content: dict[str, Any]) -> None:
    usual = json.loads(json.dumps(LoraConfig().to_dict(), default=str))
    patterns: list[Any] = []
    for name, value in content.items():
        wrong = ValueError(f"{name[:100]} is {reprlib.repr(value)}")
        if name in _FREE:
            continue
        if name in ("r", "lora_alpha"):
            if type(value) not in (int, float) or not 0 < value <= MOST_RANK:
                raise wrong
        elif name in ("rank_pattern", "alpha_pattern"):
            if not isinstance(value, dict):
                raise wrong
            for number in value.values():
                if type(number) not in (int, float) or not 0 < number <= MOST_RANK:
                    raise wrong
            patterns += value
        elif name in ("target_modules", "exclude_modules", "modules_to_save"):
            names = [value] if isinstance(value, str) else value or []
            if not isinstance(names, list):
                raise wrong
            patterns += names
        elif name == "auto_mapping":
            if value not in (None, _OURS):
                raise wrong
        elif name == "peft_type":
            if value != "LORA":
                raise wrong
        elif value and value != usual.get(name):
            raise wrong
    if not {"peft_type", "r", "target_modules"} <= content.keys():
        raise ValueError("it lacks peft_type, r or target_modules")
    _check_patterns(patterns)


def _check_patterns(patterns: list[Any]) -> None:
    """Refuse what takes a regular expression for ever."""
    if len(patterns) > MOST_NAMES:
        raise ValueError(f"it names {len(patterns):,} modules")
    choices = 0
    for pattern in patterns:
        if not isinstance(pattern, str) or len(pattern) > _MOST_PATTERN:
            raise ValueError(f"a pattern is {reprlib.repr(pattern)}")
        involved = ValueError(f"the pattern {pattern!r} is too involved")
        if not _PATTERN.fullmatch(pattern):
            raise involved
        for group in re.findall(_GROUP, pattern):
            names = group.split("|")
            if len(set(names)) < len(names):
                raise involved
        choices += len(re.findall(r"[*+(]|(?<!\()\?", pattern))
        if choices > MOST_CHOICES:
            raise involved
