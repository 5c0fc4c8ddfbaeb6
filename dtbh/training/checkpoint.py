"""Checkpoints without pickle: tensors in a .safetensors file, everything else as JSON in its header.

One file, written beside and renamed, so a kill at any moment leaves the last whole one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from dtbh.errors import RunError
from dtbh.utils.files import write_file

STRUCTURE = "structure"


class SafetensorsIO(CheckpointIO):
    """Lightning's checkpoint plugin that reads and writes these files."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint; ``storage_options`` has no meaning here."""
        write_state(checkpoint, Path(path))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = None) -> dict[str, Any]:
        """Read a checkpoint, its tensors on the CPU."""
        return read_state(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        """Delete a checkpoint if it is there."""
        Path(path).unlink(missing_ok=True)


def write_state(state: dict[str, Any], path: Path) -> Path:
    """Write nested dicts, lists, tuples, tensors, numbers, strings and None."""
    tensors: dict[str, Tensor] = {}
    structure = json.dumps(_plain(state, tensors, "state"))
    data = save(tensors, metadata={STRUCTURE: structure})
    return write_file(path, lambda file: file.write(data))


def read_state(path: Path) -> dict[str, Any]:
    """Read what ``write_state`` wrote.

    Raises:
        RunError: No such file, or a damaged one.
    """
    if not path.is_file():
        raise RunError(f"{path}: no checkpoint here")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, not a dict
            structure = json.loads(file.metadata()[STRUCTURE])
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path}: damaged checkpoint ({error}); delete it to train again from the start") from error
    state: dict[str, Any] = _whole(structure, tensors)
    return state


def _plain(node: Any, tensors: dict[str, Tensor], name: str) -> Any:
    """A node as JSON; tensors go into ``tensors`` and leave their name behind."""
    if isinstance(node, Tensor):
        tensors[name] = node.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(node, dict):
        return {"dict": [[_plain(k, tensors, name), _plain(v, tensors, f"{name}.{k}")] for k, v in node.items()]}
    if isinstance(node, list | tuple):
        kind = "list" if isinstance(node, list) else "tuple"
        return {kind: [_plain(v, tensors, f"{name}.{i}") for i, v in enumerate(node)]}
    if node is None or isinstance(node, bool | int | float | str):
        return node
    raise TypeError(f"{name}: {type(node).__name__} can't stand in a checkpoint")


def _whole(node: Any, tensors: dict[str, Tensor]) -> Any:
    """The reverse of ``_plain``."""
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {_whole(k, tensors): _whole(v, tensors) for k, v in content}
    values = [_whole(v, tensors) for v in content]
    return values if kind == "list" else tuple(values)


def portable(module: torch.nn.Module) -> dict[str, Tensor]:
    """A module's tensors on the CPU, each with memory of its own, as .safetensors wants them."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in module.state_dict().items()}
