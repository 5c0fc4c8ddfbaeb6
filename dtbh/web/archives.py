"""The archives that are served: found by name, searched together, and opened again when they have grown.

Whatever engine holds them; those of one encoder can be searched at once.
"""

from __future__ import annotations

import base64
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import HashCodes
from dtbh.data.manifest import Item
from dtbh.errors import CodesError, ConfigError, DtbhError
from dtbh.index.base import Find, Index
from dtbh.index.engines.archive import ArchiveEngine
from dtbh.index.engines.base import Engine
from dtbh.search.ranking import BEST, BY_BITS, Ranking, best

RECHECK = 0.5  # seconds between two looks at whether an archive has grown
AMONG = 1000  # nearest by weighed bits, among which those are looked for that are near enough


@dataclass(frozen=True)
class Question:
    """How to search, beside the query's code.

    Attributes:
        archives: Names.
        k: Number of hits.
        find: ``"image"``, ``"sound"``, ``"any"``, or None for the other modality.
        where: Filters as (field, value).
        distance: Only hits at most so far away.
        ranking: The order of the hits; what it takes, vectors and weights, the codes must have.
    """

    archives: tuple[str, ...]
    k: int = 10
    find: Find | None = None
    where: tuple[tuple[str, str], ...] = ()
    distance: int | None = None
    ranking: Ranking = BY_BITS


@dataclass(frozen=True)
class Found:
    """A hit: its distance, its archive's name, the item and its code in hex; its similarity, where it has one."""

    distance: int
    archive: str
    item: Item
    code: str
    similarity: float | None = None


class ArchiveRegistry:
    """Archives by name: the folder's or the collection's, with a number where two are called alike.

    Args:
        places: Folders of archives, or engines.

    Raises:
        CodesError: No archive there.
    """

    def __init__(self, places: Sequence[str | Path | Engine]) -> None:
        self._lock = threading.Lock()
        self._engines: dict[str, Engine] = {}
        self._open: dict[str, Index] = {}
        self._seen: dict[str, tuple[float, object]] = {}
        self._best: dict[str, tuple[Index, Ranking]] = {}  # of each as it was open when that was last asked
        for place in places:
            engine: Engine = ArchiveEngine(Path(place)) if isinstance(place, str | Path) else place
            seen, name, number = engine.state(), engine.label, 2
            while name in self._open:
                name, number = f"{engine.label}-{number}", number + 1
            self._engines[name], self._open[name] = engine, engine.open()
            self._seen[name] = time.monotonic(), seen

    @property
    def names(self) -> tuple[str, ...]:
        """Names, in the order given."""
        return tuple(self._open)

    def archive(self, name: str) -> Index:
        """The archive, as it was committed at most half a second ago.

        Raises:
            CodesError: No archive has this name.
        """
        if name not in self._open:
            raise CodesError(f"no archive is called {name!r}; there are {', '.join(self.names)}")
        with self._lock:
            checked, seen = self._seen[name]
            now = time.monotonic()
            if now - checked > RECHECK:
                found = self._engines[name].state()
                if found != seen:
                    try:
                        self._open[name] = self._engines[name].open()
                    except DtbhError:  # being replaced: go on with what is open, and look again
                        found = seen
                self._seen[name] = (now, found)
            return self._open[name]

    def together(self, names: Sequence[str]) -> tuple[str, ...]:
        """These archives, or all, once it is sure that one query can search them all.

        Raises:
            CodesError: No archive has this name.
            ConfigError: They were made by different encoders.
        """
        chosen = tuple(dict.fromkeys(names)) or self.names
        if len({(archive.encoder, archive.bits) for archive in map(self.archive, chosen)}) > 1:
            raise ConfigError(f"{', '.join(chosen)} were made by different encoders; name those to search together")
        return chosen

    def best(self, names: Sequence[str]) -> Ranking:
        """The order that finds most, of those that all of these archives can do."""
        orders = []
        for name in names:
            archive = self.archive(name)
            if name not in self._best or self._best[name][0] is not archive:
                self._best[name] = archive, best(archive)
            orders.append(self._best[name][1])
        return max(orders, key=BEST.index, default=BY_BITS)

    def bare(self) -> list[str]:
        """Names of the archives that keep no vectors, where others do."""
        bare = [name for name in self.names if self.archive(name).vector_dim is None]
        return bare if len(bare) < len(self.names) else []

    def check(self, ranking: Ranking, names: Sequence[str]) -> None:
        """Raise `ConfigError` if any of these archives can't order so."""
        for name in names:
            ranking.check(self.archive(name), name)

    def search(self, asked: Sequence[tuple[HashCodes, Question]]) -> list[list[Found] | Exception]:
        """Answer single queries, those of one question together.

        Args:
            asked: Codes of one item each, with their questions.

        Returns:
            For each its hits, by distance, or by similarity and then by distance where they were rescored, or by
            similarity where bits were weighed, then in the archives' order; or why there are none.
        """
        alike: dict[tuple[Question, str], list[int]] = defaultdict(list)
        for place, (code, question) in enumerate(asked):
            alike[question, code.modality].append(place)
        answers: list[list[Found] | Exception] = [[] for _ in asked]
        for (question, _), places in alike.items():
            try:
                hits = self._together(HashCodes.concatenate([asked[place][0] for place in places]), question)
            except DtbhError as error:
                hits = [error] * len(places)
            for place, found in zip(places, hits, strict=True):
                answers[place] = found
        return answers

    def sample(self, name: str, modality: str, count: int) -> list[tuple[Item, str]]:
        """Up to ``count`` items of a modality and their codes, from all over the archive, many labels first."""
        archive = self.archive(name)
        rows = archive.rows({"modality": modality})
        places = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), 40 * count)).astype(int))
        codes = archive.at(rows[places].tolist())
        seen: dict[str | None, int] = defaultdict(int)
        order: list[tuple[int, int]] = []  # how often the label came before, and the place
        for place, item in enumerate(codes.items):
            order.append((seen[item.label], place))
            seen[item.label] += 1
        chosen = sorted(place for _, place in sorted(order)[:count])
        return [(codes.items[place], to_hex(codes.words[place], codes.bits)) for place in chosen]

    def _together(self, codes: HashCodes, question: Question) -> list[list[Found] | Exception]:
        hits: list[list[Found]] = [[] for _ in range(len(codes))]
        ranking = question.ranking
        k, weighed = question.k, ranking.asymmetric and ranking.rescore is None
        if question.distance is not None:  # those that are near enough need not be the first k
            k = max(k, ranking.rescore or 0, AMONG if weighed else 0)
        for name in question.archives:
            archive = self.archive(name)
            result = archive.search(codes, k, find=question.find, where=dict(question.where), **ranking.arguments())
            for found, rows, answer in zip(hits, result.rows, result, strict=True):
                words = archive.words_at(rows.tolist())
                for word, hit in zip(words, answer, strict=True):
                    if question.distance is None or hit.distance <= question.distance:
                        code = to_hex(word, archive.bits)
                        found.append(Found(hit.distance, name, hit.item, code, hit.similarity))
        for found in hits:
            # stable: ties keep the archives' order
            found.sort(key=lambda hit: (-(hit.similarity or 0), 0 if weighed else hit.distance))
            del found[question.k :]
        return list(hits)


def to_hex(words: np.ndarray, bits: int) -> str:
    """One code, uint64 [words], as hex digits: byte by byte, lowest bits first."""
    return words.astype("<u8").tobytes()[: -(-bits // 8)].hex()


def from_hex(text: str, bits: int, encoder: str, vector: str | None = None, weights: str | None = None) -> HashCodes:
    """The inverse of `to_hex`, as a query; with a vector as `to_base64` writes it, and weights as `to_digits` does.

    Raises:
        CodesError: Another length, a bit set beyond ``bits``, no such vector, or no such weights.
    """
    octets = bytes.fromhex(text)
    if len(octets) != -(-bits // 8):
        raise CodesError(f"a code of {bits} bits has {2 * -(-bits // 8)} hex digits, found {len(text)}")
    words = np.frombuffer(octets.ljust(8 * -(-bits // 64), b"\0"), "<u8").astype(np.uint64)[None]
    if weights is not None and len(weights) != bits:
        raise CodesError(f"a code of {bits} bits has {bits} weights, found {len(weights)}")
    sure = None if weights is None else np.array([[*map(int, weights)]], np.uint8)
    vectors = None if vector is None else _from_base64(vector)
    return HashCodes(words, bits, encoder, (Item(text, "image"),), vectors, sure)


def to_digits(weights: NDArray[np.uint8]) -> str:
    """The weights of one code, uint8 [bits], as text for addresses: a digit a bit."""
    return "".join(map(str, weights.tolist()))


def to_base64(vector: NDArray[np.int16]) -> str:
    """One vector, int16 [d], as text for addresses: little-endian, RFC 4648 with ``-`` and ``_``, no padding."""
    return base64.urlsafe_b64encode(vector.astype("<i2").tobytes()).decode().rstrip("=")


def _from_base64(text: str) -> NDArray[np.int16]:
    """The inverse of `to_base64`, int16 [1, d]."""
    try:
        octets = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        return np.frombuffer(octets, "<i2").astype(np.int16)[None]
    except ValueError as error:
        raise CodesError(f"{text[:20]!r}... is no vector as an answer or an item gives it ({error})") from None
