"""One of several parts of a source, each for a machine of its own, and what joins them again.

Shard 3/16 is the third of sixteen runs of items, so that the shards, one after the other, are the whole in its order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dtbh.data.manifest import Item
from dtbh.errors import CodesError, ConfigError


@dataclass(frozen=True)
class Shard:
    """A part of a source.

    Attributes:
        number: From 1 to ``of``.
        of: How many there are.
        source: Fingerprint of the whole, so that parts of another are not taken for its own; empty at first.
    """

    number: int
    of: int
    source: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise ConfigError(f"--shard {self}: wanted the number and the count of shards, as in --shard 3/16")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """A shard from ``3/16``."""
        number, _, of = text.partition("/")
        if not (number.isdecimal() and of.isdecimal()):
            raise ConfigError(f"--shard {text}: wanted the number and the count of shards, as in --shard 3/16")
        return cls(int(number), int(of))

    @classmethod
    def read(cls, meta: Mapping[str, Any], path: Path) -> Shard | None:
        """The shard that codes or an archive say that they are; None where they are a whole.

        Raises:
            CodesError: What stands there is no shard.
        """
        try:
            return cls(**meta["shard"]) if meta.get("shard") is not None else None
        except (TypeError, ConfigError):
            raise CodesError(f"{path}: says to be the shard {meta['shard']!r}, which is none; make it again") from None

    def take(self, items: Sequence[Item]) -> tuple[Shard, Sequence[Item]]:
        """This shard with the source's fingerprint, and its items."""
        digest = hashlib.sha256("\n".join(item.id for item in items).encode("utf-8", "surrogatepass"))
        first, last = ((len(items) * number) // self.of for number in (self.number - 1, self.number))
        return replace(self, source=digest.hexdigest()[:16]), items[first:last]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def in_order(parts: Mapping[Path, Shard | None]) -> list[Path]:
    """The parts in the order of their shards; as given, where none is a shard.

    Raises:
        CodesError: Shards of several sources, missing ones, or the same one twice.
    """
    shards = {path: shard for path, shard in parts.items() if shard is not None}
    if not shards:
        return list(parts)
    first_path, first = next(iter(shards.items()))
    for path, shard in parts.items():
        if shard is None:
            raise CodesError(f"{path}: is no shard, but {first_path} is {first}; merge shards alone first")
        if (shard.of, shard.source) != (first.of, first.source):
            raise CodesError(f"{path}: is shard {shard} of another source or count than {first_path}, which is {first}")
    found: dict[int, Path] = {}
    for path, shard in shards.items():
        if shard.number in found:
            raise CodesError(f"{path}: is shard {shard}, as {found[shard.number]} is; give each once")
        found[shard.number] = path
    if missing := [number for number in range(1, first.of + 1) if number not in found]:
        some = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise CodesError(f"{len(missing)} of {first.of} shards are missing: {some}; make them first")
    return [found[number] for number in sorted(found)]
