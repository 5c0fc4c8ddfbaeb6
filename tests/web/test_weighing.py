"""Weighed bits of the archives that are served: their order, those near enough, and engines that can't weigh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dtbh.codes import HashCodes, pack
from dtbh.config import Service
from dtbh.data.manifest import Item
from dtbh.errors import ConfigError
from dtbh.index.archive.archive import create_archive
from dtbh.index.memory import MemoryIndex
from dtbh.index.result import SearchResult
from dtbh.search.ranking import BY_BITS, Ranking, best
from dtbh.web.app import create_app
from dtbh.web.archives import ArchiveRegistry, Question
from tests.index.made import make_codes

WEIGHED, EXPANDED = Ranking(asymmetric=True), Ranking(9, 2)


def codes(bits: list[list[int]], weights: NDArray[np.uint8] | None = None) -> HashCodes:
    items = tuple(Item(f"i{row}", "image") for row in range(len(bits)))
    return HashCodes(pack(np.array(bits, np.bool_)), len(bits[0]), "e1", items, weights=weights)


def ids(registry: ArchiveRegistry, query: HashCodes, **question: Any) -> list[str]:
    (answer,) = registry.search([(query, Question(("a",), find="image", ranking=WEIGHED, **question))])
    assert not isinstance(answer, Exception)
    return [hit.item.id for hit in answer]


def test_the_order_is_the_archive_s_own_and_those_near_enough_need_not_be_the_first(tmp_path: Path) -> None:
    """Two bits of no weight differ in the first, one in the third; the last is near by bits, and far by weights."""
    create_archive(tmp_path / "a", codes([[0, 0, 1, 1], [0, 1, 1, 1], [0, 0, 0, 1], [1, 0, 0, 0]]))
    query, registry = codes([[0, 0, 0, 0]], np.array([[7, 1, 0, 0]], np.uint8)), ArchiveRegistry([tmp_path / "a"])
    assert ids(registry, query, k=4) == ["i0", "i2", "i1", "i3"]
    assert ids(registry, query, k=1, distance=1) == ["i2"]
    assert ids(registry, query, k=3, distance=1) == ["i2", "i3"]


class OfAnotherPackage(MemoryIndex):
    """As engines were before bits could be weighed."""

    def search(self, codes: HashCodes, k: int = 10, *, find: Any = None, where: Any = None) -> SearchResult:  # type: ignore[override]
        return super().search(codes, k, find=find, where=where)


class Its:
    """An engine that opens it."""

    label = "own"

    def state(self) -> object:
        return 0

    def open(self) -> OfAnotherPackage:
        return OfAnotherPackage(make_codes())


def test_an_engine_that_knows_no_weights_says_so() -> None:
    index, said = OfAnotherPackage(make_codes()), "its engine can't weigh bits .*; search without asymmetric"
    with pytest.raises(ConfigError, match=said):
        WEIGHED.check(index)
    WEIGHED.check(MemoryIndex(make_codes()))
    engine: Any = Its()
    registry = ArchiveRegistry([engine])
    registry.check(BY_BITS, registry.names)
    with pytest.raises(ConfigError, match=said):
        registry.check(WEIGHED, registry.names)


class Rescoring(OfAnotherPackage):
    """As engines were before queries were expanded."""

    def search(self, codes: HashCodes, k: int = 10, *, find: Any = None, where: Any = None, rescore: Any = None) -> Any:  # type: ignore[override]
        return MemoryIndex.search(self, codes, k, find=find, where=where, rescore=rescore)


def test_an_engine_that_expands_nothing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "its engine can't expand queries .*; search without expand"
    with pytest.raises(ConfigError, match=said):
        EXPANDED.check(Rescoring(make_codes(dim=5)))
    able, bare = MemoryIndex(make_codes(dim=5)), MemoryIndex(make_codes())
    EXPANDED.check(able)
    assert best(able) == Ranking(1000, 20, asymmetric=True)
    assert best(bare) == best(Rescoring(make_codes(dim=5))) == BY_BITS
    monkeypatch.setattr(Its, "open", lambda self: Rescoring(make_codes(dim=5)))
    engine: Any = Its()
    registry = ArchiveRegistry([engine])
    registry.check(Ranking(9), registry.names)
    with pytest.raises(ConfigError, match=said):
        registry.check(EXPANDED, registry.names)


def test_a_service_of_such_an_engine_is_not_started_to_weigh() -> None:
    engine: Any = Its()
    with pytest.raises(ConfigError, match="its engine can't weigh bits"):
        create_app([engine], limits=Service(asymmetric=True))
