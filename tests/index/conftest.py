"""Every engine, and what plain loops find among its codes."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from dtbh.codes import HashCodes
from dtbh.data.manifest import Item
from dtbh.index.archive.archive import create_archive
from dtbh.index.base import FIELDS, Index
from dtbh.index.memory import MemoryIndex
from dtbh.index.milvus.index import create_milvus
from tests.index.made import make_codes
from tests.reference import hamming as reference

MILVUS = Path(tempfile.mkdtemp(prefix="dtbh-")) / "milvus.db"
ENGINES: dict[str, Callable[[HashCodes, Path], Index]] = {
    "memory": lambda codes, _: MemoryIndex(codes),
    "archive": lambda codes, path: create_archive(path / "archive", codes),
    "milvus": lambda codes, _: create_milvus(str(MILVUS), codes, collection=f"c{uuid4().hex}"),
}


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[HashCodes], Index]:
    """A function from codes to an index; the same place is taken again."""
    return lambda codes: ENGINES[request.param](codes, tmp_path)


QUERIES = make_codes(7, seed=5, prefix="q")
WHERE: list[dict[str, str]] = [
    {},
    {"label": "beach"},
    {"split": "test"},
    {"label": "river", "split": "train"},
    {"speaker": "ann"},
    {"pair": "p3"},
    {"id": "i4"},
    {"transcript": "words of 3"},
    {"path": "/media/i8.bin"},
    {"sensor": "S1"},
    {"sensor": "S2", "label": "beach"},
    {"écluse": "oui ' \" %", "sensor": "S2"},
    {"label": "nowhere"},
    {"sensor": "S3"},
]


def passes(item: Item, find: str, where: Mapping[str, str]) -> bool:
    return find in ("any", item.modality) and all(
        (field == "label" and value in item.labels)
        or (getattr(item, field) if field in FIELDS else item.fields.get(field)) == value
        for field, value in where.items()
    )


def expected(codes: HashCodes, queries: HashCodes, find: str, where: Mapping[str, str]) -> list[list[tuple[int, str]]]:
    """All that passes, as (distance, id), by loops."""
    gallery = [(row, item) for row, item in enumerate(codes.items) if passes(item, find, where)]
    packed = [reference.code_of_words(codes.words[row]) for row, _ in gallery]
    asked = [reference.code_of_words(words) for words in queries.words]
    return [
        [(distance, gallery[place][1].id) for distance, place in reference.within(code, packed, None)] for code in asked
    ]


def found(result) -> list[list[tuple[int, str]]]:
    return [[(hit.distance, hit.item.id) for hit in hits] for hits in result]


def cut(answers: list[list[tuple[int, str]]], k: int) -> list[list[tuple[int, str]]]:
    return [hits[:k] for hits in answers]


def inside(answers: list[list[tuple[int, str]]], radius: int) -> list[list[tuple[int, str]]]:
    return [[hit for hit in hits if hit[0] <= radius] for hits in answers]
