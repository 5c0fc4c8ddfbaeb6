"""What an archive holds by the words that ``dtbh label`` gave its images: counts, examples, and where they lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dtbh.data.item_words import NAMED_BY, WORD, best
from dtbh.data.manifest import Item
from dtbh.errors import ConfigError
from dtbh.index.archive.archive import Archive

LINES = 40  # words that are printed
SHOWN = 12  # words with examples
EXAMPLES = 4
LOOKED = 200  # images of a word, from all over the archive, among which the likeliest are the examples
PLACED = 3000  # images, from all over, that are drawn on the map


@dataclass(frozen=True)
class Holdings:
    """What an archive holds.

    Attributes:
        path: The archive.
        images: How many there are.
        counts: How many have each word as their nearest, the most frequent first.
        lists: How many were named by each list and model.
        examples: Of the most frequent words a few images, the likeliest first.
        placed: Images that have a word and a footprint, at most `PLACED`.
    """

    path: Path
    images: int
    counts: Mapping[str, int]
    lists: Mapping[str, int]
    examples: Mapping[str, tuple[Item, ...]]
    placed: tuple[Item, ...]

    @property
    def named(self) -> int:
        """Images that have a word."""
        return sum(self.counts.values())

    def describe(self) -> str:
        """Lines for people."""
        lines = [f"words     {len(self.counts):,}, of {self.named:,} of {self.images:,} images"]
        lines += [f"named by  {stamp}" for stamp in self.lists]
        if self.named < self.images:
            lines += [f"unnamed   {self.images - self.named:,} images; dtbh label {self.path} names them"]
        lines += [f"{count:>12,}  {word}" for word, count in [*self.counts.items()][:LINES]]
        return "\n".join([*lines, *([f"{'...':>12}"] if len(self.counts) > LINES else [])])

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"images": self.images, "named": self.named, "named_by": dict(self.lists), "words": dict(self.counts)}


def holdings(archive: Archive, *, pictures: bool) -> Holdings:
    """Look at an archive; with examples and places where pictures are wanted.

    Raises:
        ConfigError: No image has a word.
    """
    lists = archive.counted(NAMED_BY)
    found = archive.counted(WORD) if lists else {}
    if not found:
        raise ConfigError(f"{archive.path}: no image has a word yet; give them some: dtbh label {archive.path}")
    counts = dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
    examples, placed = dict[str, tuple[Item, ...]](), tuple[Item, ...]()
    if pictures:
        examples = {word: _examples(archive, word) for word in [*counts][:SHOWN]}
        placed = tuple(i for i in _spread(archive, {"modality": "image"}, PLACED) if i.footprint and WORD in i.fields)
    return Holdings(archive.path, archive.counts().get("image", 0), counts, lists, examples, placed)


def _examples(archive: Archive, word: str) -> tuple[Item, ...]:
    """The likeliest images of a word."""
    return tuple(sorted(_spread(archive, {WORD: word}, LOOKED), key=best, reverse=True)[:EXAMPLES])


def _spread(archive: Archive, where: Mapping[str, str], most: int) -> tuple[Item, ...]:
    """Up to so many items that pass, evenly from all over."""
    rows = archive.rows(where)
    return archive.items(rows[np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64))].tolist())
