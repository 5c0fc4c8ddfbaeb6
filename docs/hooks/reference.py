"""Writes the reference at build time: a page a room, with every module that stands in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2] / "dtbh"
PAGES = {"index": "index_room"}
"""A page named index would be the folder's own."""


def modules(room: str) -> list[str]:
    """The modules of a room by their dotted names."""
    folder = ROOT / room
    files = sorted(folder.rglob("*.py")) if folder.is_dir() else [folder.with_suffix(".py")]
    names = [".".join(("dtbh", *file.relative_to(ROOT).with_suffix("").parts)) for file in files]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def page(room: str) -> str:
    """The page of a room, in Markdown."""
    parts = [f"# {room}\n"]
    parts += [f"## `{name}`\n\n::: {name}\n" for name in modules(room)]
    return "\n".join(parts)


def on_files(files: Any, config: Any) -> Any:
    """Add the pages; called by MkDocs."""
    from mkdocs.structure.files import File

    rooms = [path.stem for path in sorted(ROOT.iterdir()) if path.name != "__init__.py" and path.suffix in ("", ".py")]
    for room in rooms:
        if room != "__pycache__":
            files.append(File.generated(config, f"reference/{PAGES.get(room, room)}.md", content=page(room)))
    return files
