"""Imports go one way, no two files import each other, and a search node does without torch."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "dtbh"
LAYERS = (
    "errors", "utils", "config", "media", "data", "codes", "features", "encoders", "models", "index", "evaluation",
    "training", "search", "stages", "web", "cli",
)  # fmt: skip
"""A room imports only from those before it, wherever in a file the import stands."""

TORCH = {"torch", "torchaudio", "torchvision", "lightning"}
TORCH_ROOMS = ("features", "encoders", "training")
TORCH_FILES = ("models/torch_encoder.py", "models/export.py", "stages/train.py")
TORCH_INSIDE_A_FUNCTION = ("utils/device.py", "cli/doctor.py", "models/start.py", "stages/perturbations.py")


def module_of(path: Path) -> str:
    """``dtbh.index.base`` of ``index/base.py``; a package's name of its ``__init__``."""
    parts = ("dtbh", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for path in sorted(ROOT.rglob("*.py"))}


def imported(source: str, known: frozenset[str] = frozenset(FILES)) -> set[str]:
    """The modules of dtbh that a file imports anywhere: at its head, in functions, for types alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = below & known
            found |= modules | ({node.module} if len(modules) < len(below) else set())
    return {name for name in found if name.partition(".")[0] == "dtbh"}


def room(module: str) -> str:
    """The layer of a module; the face ``dtbh`` itself stands above them all."""
    return module.partition(".")[2].partition(".")[0]


def upward(module: str, source: str) -> list[str]:
    """The rooms that a module imports though they come after its own."""
    own = LAYERS.index(room(module))
    rooms = {room(name) for name in imported(source)}
    return sorted(name for name in rooms if name == "" or LAYERS.index(name) > own)


def circle(imports: dict[str, set[str]]) -> list[str]:
    """Some modules that import each other in a circle, if there are such."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def files_with_torch(sources: dict[str, str]) -> list[str]:
    """The files that import torch or what stands on it, though their room does without."""
    found = []
    for name, source in sources.items():
        tree = ast.parse(source)
        nodes = list(ast.walk(tree) if name not in TORCH_INSIDE_A_FUNCTION else tree.body)
        names = [a.name for node in nodes if isinstance(node, ast.Import) for a in node.names]
        names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
        if TORCH & {part.partition(".")[0] for part in names}:
            found.append(name)
    return [name for name in found if not name.startswith(TORCH_ROOMS) and name not in TORCH_FILES]


@pytest.mark.parametrize("module", [name for name in FILES if name != "dtbh"])
def test_a_file_imports_only_from_rooms_before_it(module: str) -> None:
    assert upward(module, FILES[module].read_text()) == []


def test_no_two_files_import_each_other() -> None:
    imports = {name: imported(path.read_text()) for name, path in FILES.items() if name != "dtbh"}
    assert circle(imports) == []


def test_nothing_lies_loose_at_the_top() -> None:
    assert {path.name for path in ROOT.glob("*.py")} == {"__init__.py", "errors.py", "codes.py"}
    assert {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"} | {
        "errors", "codes",
    } == {*LAYERS}  # fmt: skip


def test_torch_stays_in_its_rooms() -> None:
    assert files_with_torch({p.relative_to(ROOT).as_posix(): p.read_text() for p in FILES.values()}) == []


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("from dtbh.stages.train import train", ["stages"]),
        ("def f():\n    from dtbh.search import query", ["search"]),
        ("if TYPE_CHECKING:\n    import dtbh.web.app", ["web"]),
        ("from dtbh import cli", ["cli"]),
        ("from dtbh import __version__", [""]),
        ("from dtbh.errors import DtbhError", []),
    ],
)
def test_an_import_the_wrong_way_would_be_found(source: str, wrong: list[str]) -> None:
    assert upward("dtbh.codes", source) == wrong


def test_a_circle_would_be_found() -> None:
    assert len(circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == 4
    assert files_with_torch({"index/x.py": "def f():\n    import torch.nn"}) == ["index/x.py"]
    assert files_with_torch({"utils/device.py": "import torch"}) == ["utils/device.py"]


@pytest.mark.parametrize(
    "name",
    [
        "codes", "config", "index.archive.archive", "evaluation.evaluate", "evaluation.report", "evaluation.schema",
        "search.query", "search.contact_sheet", "media.image", "media.sound", "models.encoder", "models.load",
        "models.onnx_encoder", "stages.export", "stages.evaluate", "stages.index", "stages.sweep", "cli.main",
        "data.sources.captioned", "stages.prepare", "stages.speak", "data.splits", "data.synthetic.generate",
        "web.app",
    ],
)  # fmt: skip
def test_without_torch(name: str) -> None:
    code = f"import sys, dtbh.{name}; sys.exit('torch' in sys.modules or 'lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_public_names_are_found() -> None:
    import dtbh

    for name in dtbh.__all__:
        assert getattr(dtbh, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = dtbh.nothing
