"""Where to compute, and how: a GPU where there is one, on as many cores as this process may use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dtbh.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from onnxruntime import SessionOptions  # type: ignore[import-untyped]


def resolve_device(name: str = "auto") -> torch.device:
    """The device of a name: ``auto`` takes CUDA, then MPS, then the CPU.

    Raises:
        ConfigError: No such device on this machine.
    """
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if available[device])
    if not available.get(name.partition(":")[0], False):
        found = ", ".join(device for device, there in available.items() if there)
        raise ConfigError(f"training.device: {name!r} is not on this machine, found {found}; use auto")
    return torch.device(name)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def session_options(threads: int = 0) -> SessionOptions:
    """ONNX Runtime's, of which only errors are told, for so many threads; 0: for all cores.

    Networks of 8 bits give the same on every processor: without VNNI sums of their products may pass 16 bits, and where
    weights are large enough for that ONNX Runtime multiplies in another way.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.x64quantprecision", "1")
    return options
