"""Weights of backbones: fetching them, reading them from disk, and telling one set from another.

A pickle is never run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dtbh.errors import RunError

PREFIXES = ("", "network.", "image.backbone.", "sound.backbone.")


def fetched(build: Callable[[], Any], name: str, instead: str) -> Any:
    """Build what may have to be fetched.

    Args:
        build: Builds it.
        name: What the error says could not be fetched.
        instead: What to do then.

    Raises:
        RunError: It can't be fetched.
    """
    try:
        return build()
    except (OSError, RuntimeError, ValueError) as error:
        found = " ".join(str(error).split())[:160]
        raise RunError(f"{name}: could not be fetched ({found}); {instead}") from error


def load_weights(backbone: nn.Module, path: str | Path) -> None:
    """Fill a backbone from a state dict.

    Args:
        backbone: All of its tensors are wanted, in their shapes.
        path: A .safetensors or .pth file, or a run folder, whose backbone of the same kind is taken. Names
            may be the backbone's own, or those of the plain network it was made from.

    Raises:
        RunError: No such file, not a state dict, or tensors are missing or of another shape.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise RunError(f"{path}: no weights here; wanted a .safetensors or .pth state dict, or a run folder")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: dict[str, Tensor] = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RunError(f"{path}: not a state dict ({' '.join(str(error).split())[:200]})") from error
    own = backbone.state_dict()
    found = {}
    for name, tensor in own.items():
        names = [n for prefix in PREFIXES for n in (prefix + name, name.removeprefix(prefix)) if n in state]
        fitting = [state[n] for n in names if state[n].shape == tensor.shape]
        if not fitting:
            raise RunError(f"{path}: has no tensor {name} of shape {tuple(tensor.shape)}, which this backbone has")
        found[name] = fitting[0]
    backbone.load_state_dict(found)


def state_fingerprint(module: nn.Module) -> str:
    """SHA-256 over a module's tensors and their names, 16 hex digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
