from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dtbh.errors import RunError
from dtbh.training.checkpoint import read_state, write_state

STATE = {
    "epoch": 3, "rate": 0.1, "none": None, "yes": True, "name": "x", 7: [1, (2, "a")],
    "nested": {"weights": torch.arange(6.0).reshape(2, 3), "half": torch.ones(2, dtype=torch.bfloat16)},
    "optimizer_states": [{"state": {0: {"step": torch.tensor(5.0)}}}],
}  # fmt: skip


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    assert same(STATE, read_state(write_state(STATE, tmp_path / "s.safetensors")))


def test_tensors_that_share_memory_are_written(tmp_path: Path) -> None:
    x = torch.arange(4.0)
    back = read_state(write_state({"a": x, "b": x, "c": x[1:]}, tmp_path / "s"))
    assert same({"a": x, "b": x, "c": x[1:]}, back)


def test_what_is_neither_plain_nor_a_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"state\.a: Path|PosixPath can't stand"):
        write_state({"a": tmp_path}, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_missing_and_cut_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no checkpoint here"):
        read_state(tmp_path / "none")
    path = write_state(STATE, tmp_path / "s")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(RunError, match="damaged checkpoint"):
        read_state(path)
