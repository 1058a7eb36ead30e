"""Where the model runs."""

from __future__ import annotations

import torch

from napari_samsp.core.errors import InputError


def choose_device(name: str = "auto") -> torch.device:
    """Resolve a device's name.

    Parameters
    ----------
    name : str
        ``auto`` takes CUDA, then MPS, then the CPU; else a name that torch knows.

    Returns
    -------
    torch.device
        One that exists here.

    Raises
    ------
    InputError
        If it does not.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        if torch.backends.mps.is_available():
            return torch.device("mps")
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(
            f"There is no device {name!r} here; use --device auto or cpu."
        ) from error
    return device
