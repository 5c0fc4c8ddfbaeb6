"""Imports go one way, and the rooms of a search node do without torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "dtbh"
LAYERS = (
    "errors", "files", "progress", "packages", "media", "config", "runs", "data", "shards", "codes", "index",
    "evaluation", "card", "listening", "model", "exported", "device", "features", "encoders", "learning", "encode",
    "quantize", "export", "gathering", "indexing", "evaluating", "distributed", "search", "sheet", "stages",
    "sweeping", "doctor", "web", "geo", "archives", "experiments", "cli",
)  # fmt: skip
WITHOUT_TORCH = (
    "codes", "config", "index.archive", "evaluation.protocol", "evaluation.report", "evaluation.schema", "search",
    "sheet", "media.image", "media.sound", "model", "exported", "stages", "sweeping", "cli", "data.sources",
    "data.speech", "data.splits", "data.synthetic",
)  # fmt: skip


def room(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


def imported_rooms(source: str) -> set[str]:
    """The rooms that a file imports when it is imported; not inside functions, not for types alone."""
    found: set[str] = set()
    for node in ast.parse(source).body:
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name.split(".")[1] for name in names if name.startswith("dtbh.")}
    return found


def upward(path: Path, source: str) -> list[str]:
    own = LAYERS.index(room(path))
    return [r for r in imported_rooms(source) if LAYERS.index(r) > own]


FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_from_rooms_above_it(path: Path) -> None:
    assert upward(path, path.read_text()) == []


def test_an_import_the_wrong_way_would_be_found() -> None:
    assert upward(ROOT / "codes.py", "from dtbh.stages.train import train") == ["learning"]


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_without_torch(name: str) -> None:
    code = f"import sys, dtbh.{name}; sys.exit('torch' in sys.modules or 'lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_are_found() -> None:
    import dtbh

    for name in dtbh.__all__:
        assert getattr(dtbh, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dtbh.nothing
