"""What there is to know about an archive, as a value and as lines for people."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dtbh.data.manifest import MODALITIES
from dtbh.data.shards import Shard
from dtbh.index.archive.snapshot import Snapshot

SHOWN = 12  # labels that the lines name


@dataclass(frozen=True)
class ArchiveInfo:
    """What an archive holds and takes.

    Attributes:
        path: The folder.
        version: Of the format.
        bits: Length of a code.
        encoder: Fingerprint of the encoder.
        model: The run that holds it, or None.
        items: How many can be found.
        modalities: How many of each modality.
        labels: How many of each class; those without one are not counted.
        fields: The names of the items' further fields.
        removed: How many rows were removed and still take place; ``dtbh compact`` gives it back.
        segments: In how many parts it was written.
        code_bytes: Size of the codes.
        vector_dim: How many bytes of vectors are kept for each code; None where none are.
        item_bytes: Size of the database.
        shard: Which part of a source it is, as ``"3/16"``; None for a whole.
    """

    path: Path
    version: int
    bits: int
    encoder: str
    model: Path | None
    items: int
    modalities: dict[str, int]
    labels: dict[str, int]
    fields: tuple[str, ...]
    removed: int
    segments: int
    code_bytes: int
    item_bytes: int
    shard: str | None
    vector_dim: int | None = None

    @property
    def vector_bytes(self) -> int:
        """Size of the vectors."""
        return (self.vector_dim or 0) * (self.items + self.removed)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        texts = {"path": str(self.path), "model": None if self.model is None else str(self.model)}
        values = asdict(self) | texts | {"fields": list(self.fields)}
        if values.pop("vector_dim") is None:
            return values
        return values | {"vectors": {"bytes_an_item": self.vector_dim, "bytes": self.vector_bytes}}

    def describe(self) -> str:
        """Lines of at most 80 columns, but for paths."""
        kinds = ", ".join(f"{count:,} {name}s" for name, count in self.modalities.items()) or "none"
        lines = [
            f"archive   {self.path}",
            f"items     {self.items:,} ({kinds})",
            f"codes     {self.bits} bits, encoder {self.encoder}",
            f"model     {self.model or 'not said'}",
            f"on disk   {_size(self.code_bytes)} of codes, {_size(self.item_bytes)} of items",
            f"format    {self.version}, written in {self.segments:,} part{'' if self.segments == 1 else 's'}",
        ]
        if self.vector_dim:
            size = f"{self.vector_dim} bytes an item, {_size(self.vector_bytes)}"
            lines.insert(3, f"vectors   {size}, by which search orders what is near")
        if self.shard:
            lines.append(f"shard     {self.shard} of a source; dtbh merge joins them")
        if self.removed:
            lines.append(f"removed   {self.removed:,} rows, whose place dtbh compact gives back")
        if self.fields:
            lines.append(f"fields    {', '.join(self.fields)}")
        largest = sorted(self.labels, key=lambda label: (-self.labels[label], label))
        lines += [f"labels    {len(largest):,}"] if largest else []
        lines += [f"{self.labels[label]:>12,}  {label}" for label in largest[:SHOWN]]
        lines += [f"{'...':>12}"] if len(largest) > SHOWN else []
        return "\n".join(lines)


def examine(now: Snapshot) -> ArchiveInfo:
    """Look at an archive; its codes are not read."""
    return ArchiveInfo(
        path=now.path,
        version=now.version,
        bits=now.bits,
        encoder=now.encoder,
        model=now.model,
        items=len(now),
        modalities={name: count for name in MODALITIES if (count := now.number("modality", name))},
        labels={label: now.number("label", label) for label in now.live("label")},
        fields=now.names(),
        removed=len(now.removed),
        segments=len(now.segments),
        code_bytes=now.words.nbytes,
        item_bytes=now.item_bytes(),
        shard=str(shard) if (shard := Shard.read(now.meta, now.path)) else None,
        vector_dim=now.vector_dim,
    )


def _size(count: float) -> str:
    """``12.3 MB``."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError
