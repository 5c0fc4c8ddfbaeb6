"""Cross-modal image-sound hashing: short binary codes for aerial images and the sounds that describe them.

    model = dtbh.load("runs/ucm")
    archive = dtbh.open_archive("archives/ucm")
    hits = dtbh.ask(archive, model, sound="query.wav", k=10)

Everything from ``dtbh.codes`` down works without torch, so names here are imported when they are first used.

ONNX Runtime sends its makers what it does unless it is told not to before it is imported; here it is told, where the
environment says nothing else.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from dtbh.utils.version import __version__

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

if TYPE_CHECKING:
    from dtbh.codes import HashCodes, read_codes, write_codes
    from dtbh.data.manifest import Item, Manifest, read_manifest
    from dtbh.errors import DtbhError
    from dtbh.index.archive.archive import Archive, create_archive, open_archive
    from dtbh.index.base import Index
    from dtbh.index.memory import MemoryIndex
    from dtbh.index.result import Hit, SearchResult
    from dtbh.models.encoder import Encoder
    from dtbh.models.load import load
    from dtbh.search.query import ask
    from dtbh.search.ranking import Ranking


_HOMES = {
    "Archive": "index.archive.archive",
    "DtbhError": "errors",
    "Encoder": "models.encoder",
    "HashCodes": "codes",
    "Hit": "index.result",
    "Index": "index.base",
    "Item": "data.manifest",
    "Manifest": "data.manifest",
    "MemoryIndex": "index.memory",
    "Ranking": "search.ranking",
    "SearchResult": "index.result",
    "ask": "search.query",
    "create_archive": "index.archive.archive",
    "load": "models.load",
    "open_archive": "index.archive.archive",
    "read_codes": "codes",
    "read_manifest": "data.manifest",
    "write_codes": "codes",
}
__all__ = [
    "Archive",
    "DtbhError",
    "Encoder",
    "HashCodes",
    "Hit",
    "Index",
    "Item",
    "Manifest",
    "MemoryIndex",
    "Ranking",
    "SearchResult",
    "__version__",
    "ask",
    "create_archive",
    "load",
    "open_archive",
    "read_codes",
    "read_manifest",
    "write_codes",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dtbh' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"dtbh.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
