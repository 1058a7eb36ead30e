"""What labels depend on, besides their image: compared when a call continues."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from napari_samsp.inference.cleanup import Cleanup

if TYPE_CHECKING:
    from napari_samsp.batch.job import Settings

_ELSEWHERE = (
    "device",
    "threads",
    "measure",
    "model",
    "adapter",
    "prompts",
    "object_classes",
)
"""Settings that change no label, and files, whose content is compared instead."""
_LATER = {
    "series": None,
    "single_channels": None,
    "object_size": None,
    "limits": "slice",
    "link_slices": False,
    "cleanup": asdict(Cleanup()),
}
"""Settings that manifests of earlier versions do not have, and what was done then:
such a value is left out."""


def fingerprint(
    settings: Settings,
    model: str,
    adapter: str | None = None,
    prompts: str | None = None,
    decoder: str | None = None,
) -> dict[str, Any]:
    """Plain values of all that the labels of an image depend on.

    Parameters
    ----------
    settings : Settings
        How images are segmented.
    model, adapter, prompts, decoder : str or None
        SHA-256 of the files; None without one. A distance decoder counts where it is
        used: of separate objects, without an adapter.

    Returns
    -------
    dict
        As JSON gives it back.
    """
    found: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(settings).items()
        if name not in _ELSEWHERE and not (name in _LATER and value == _LATER[name])
    }
    found |= {"model": model, "adapter": adapter}
    if decoder is not None and settings.objects and adapter is None:
        found["decoder"] = decoder
    return found | ({"prompts": prompts} if prompts is not None else {})
