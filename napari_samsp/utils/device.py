"""Choosing the device that a model runs on."""

from __future__ import annotations

import os

import psutil
import torch

from napari_samsp.utils.errors import InputError

PRECISION_VARIABLE = "NAPARI_SAMSP_PRECISION"
MOMENT = 0.3
"""Seconds for which the load of other programs is measured."""


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


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device is made for products of bfloat16 numbers.

    Elsewhere they are slower than those of float32, on a CPU several times.

    Parameters
    ----------
    device : torch.device
        Any device of torch.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and (
        torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()
    )


def likes_bfloat16(device: torch.device) -> bool:
    """Whether to use products of bfloat16 numbers.

    Parameters
    ----------
    device : torch.device
        Any; False if it is not made for them.

    Returns
    -------
    bool
        On a GPU unless ``$NAPARI_SAMSP_PRECISION`` is ``float32``; on a CPU only if it
        is ``bfloat16``: there, masks are stock SAM's unless one asks otherwise.
    """
    wanted = os.environ.get(PRECISION_VARIABLE)
    asked = wanted != "float32" if device.type == "cuda" else wanted == "bfloat16"
    return asked and has_bfloat16(device)


def free_cores() -> int:
    """Count the cores that nobody else uses at the moment.

    Two threads on one free core are slower than one: each waits for the other at every
    product.

    Returns
    -------
    int
        At least 1, at most the threads that torch would take by itself. Programs of
        low priority do not count.
    """
    most = torch.get_num_threads()
    if most == 1:
        return 1
    use = psutil.cpu_times_percent(interval=MOMENT)
    free = (use.idle + getattr(use, "nice", 0.0) + getattr(use, "iowait", 0.0)) / 100
    return max(1, min(most, round(free * (psutil.cpu_count() or most))))
