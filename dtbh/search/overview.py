"""What an archive of images holds, at a glance: groups of its codes, with their words and a few examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import HashCodes
from dtbh.data.item_words import WORD, words_of
from dtbh.index.base import Index
from dtbh.index.hamming.clusters import clusters
from dtbh.search.naming import PlacedWords, nearest_words

SAMPLE = 2000  # images that are looked at
GROUPS = 12
SMALLEST = 4  # images of a group on average, at least
EXAMPLES = 4
NAMES, LEAST = 3, 0.1  # names of a group, and the share of its images that one must have

Source = Literal["labels", "words", "model", "none"]


@dataclass(frozen=True)
class Group:
    """Images whose codes lie near each other.

    Attributes:
        size: How many of those that were looked at.
        names: What most of them are, with the share of each, the most frequent first; none where nobody knows.
        examples: Rows among the codes that were looked at, those nearest to the group's centre first.
    """

    size: int
    names: tuple[tuple[str, float], ...]
    examples: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Overview:
    """What an archive holds.

    Attributes:
        total: Its images.
        codes: Those that were looked at, evenly from all over.
        groups: The largest first.
        source: Where the names come from.
    """

    total: int
    codes: HashCodes
    groups: tuple[Group, ...]
    source: Source


def overview(index: Index, words: PlacedWords | None = None) -> Overview:
    """Look at an index; the same items give the same groups.

    Names are the items' labels; where none has one, the words that ``dtbh label`` gave them; where it gave none, the
    nearest of ``words``.

    Args:
        index: Any engine's.
        words: Of its encoder, with vectors or without.
    """
    rows = index.rows({"modality": "image"})
    chosen = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).astype(np.int64))]
    codes = index.at(chosen.tolist())
    names, source = _names(codes, words)
    found = clusters(codes.words, codes.bits, max(1, min(GROUPS, len(codes) // SMALLEST)))
    groups = (_group(np.flatnonzero(found.groups == g), found.distances, names) for g in range(len(found.centres)))
    return Overview(len(rows), codes, tuple(groups), source)


def _group(rows: NDArray[np.int64], distances: NDArray[np.int32], names: Sequence[tuple[str, ...]]) -> Group:
    """The images at some rows."""
    counts = Counter(name for row in rows.tolist() for name in names[row])
    often = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:NAMES]
    shares = tuple((name, count / len(rows)) for name, count in often if count >= LEAST * len(rows))
    nearest = rows[np.argsort(distances[rows], kind="stable")[:EXAMPLES]]
    return Group(len(rows), shares, tuple(nearest.tolist()))


def _names(codes: HashCodes, words: PlacedWords | None) -> tuple[list[tuple[str, ...]], Source]:
    """The names of each image, and where they come from."""
    if any(item.labels for item in codes.items):
        return [item.labels for item in codes.items], "labels"
    said = [words_of(item).get(WORD) for item in codes.items]
    if any(said):
        return [(word,) if word else () for word in said], "words"
    if words is None:
        return [()] * len(codes), "none"
    places = nearest_words(codes, words, 1).places[:, 0].tolist()
    return [(words.names[place],) for place in places], "model"
