"""The archive on disk: codes in a memory-mapped file, items in SQLite; it grows, and a crash loses nothing.

An archive is a folder with ``codes.bin`` (raw little-endian uint64 [n, words]), ``items.sqlite`` (the items by row, the
committed segments of ``codes.bin`` with their checksums, and what was removed) and ``archive.json`` (version, bits,
encoder, model, and which generation of the files counts). One that is made of codes with vectors has ``vectors.bin``
too (int8 [n, d]), and takes codes with vectors alone. SQLite is the commit point: the codes and vectors that count are
those of its segments.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import HashCodes, check_storable
from dtbh.data.shards import Shard
from dtbh.index.archive import writing
from dtbh.index.archive.info import ArchiveInfo, examine
from dtbh.index.archive.layout import META
from dtbh.index.archive.snapshot import Snapshot, open_snapshot
from dtbh.index.exact import ExactIndex


class Archive(ExactIndex):
    """An open archive; `open_archive` and `create_archive` make it. It can be read from several threads.

    It shows what was committed when it was opened, or last refreshed, or changed through it. An `Index`.

    Attributes:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._now = open_snapshot(path)

    @property
    def name(self) -> str:
        """Where it is, for messages."""
        return f"the archive {self.path}"

    @property
    def model(self) -> Path | None:
        """The run that holds the encoder, or None where that was not said."""
        return self._now.model

    @property
    def words(self) -> NDArray[np.uint64]:
        """uint64 [rows, ceil(bits / 64)], memory-mapped and read-only; also of rows that were removed."""
        return self._now.words

    def add(self, codes: HashCodes, /) -> int:
        """Append codes with new ids, in one commit; returns how many.

        Raises:
            CodesError: Codes of another encoder or length, with vectors where none are kept or without where they are,
                or an id that is there already.
            DtbhError: Another process is writing, or the disk is full; the archive stays as it was.
        """
        if len(codes):
            writing.add(self.path, codes)
            self.refresh()
        return len(codes)

    def remove(self, ids: Iterable[str], /) -> int:
        """Mark items as removed, in one commit; returns how many. `compact` gives back their place.

        Raises:
            CodesError: An id that is not there; nothing is removed then.
            DtbhError: Another process is writing, or the disk is full; the archive stays as it was.
        """
        count = writing.remove(self.path, ids)
        self.refresh()
        return count

    def compact(self) -> None:
        """Write the archive anew, beside and renamed, without what was removed; rows are counted anew.

        Raises:
            CodesError: Something was altered since it was committed.
            DtbhError: Another process is writing, or the disk is full; the archive stays as it was.
        """
        writing.compact(self.path)
        self.refresh()

    def describe(self, further: Callable[[HashCodes], Sequence[Mapping[str, str]]], /) -> None:
        """Give items other further fields, in one commit: as `compact`, the archive is written anew and renamed.

        Args:
            further: Gives, for some items with their codes, all further fields that each is to have (``Item.fields``);
                it is asked for a segment at a time. What it raises leaves the archive as it was.

        Raises:
            CodesError: Something was altered since it was committed.
            DataError: A field by a name that it can't have.
            DtbhError: Another process is writing, or the disk is full; the archive stays as it was.
        """
        writing.describe(self.path, further)
        self.refresh()

    def counted(self, field: str) -> dict[str, int]:
        """How many items have each value of one of the items' further fields; the values sorted."""
        view = self._now
        return {value: view.number(field, value) for value in view.live(field)} if field in view.names() else {}

    def refresh(self) -> None:
        """See what is committed now, also by other processes."""
        now = open_snapshot(self.path)
        if now.state != self._now.state:
            self._now = now

    def verify(self, *, items: bool = True) -> None:
        """Read everything, or the codes alone, and compare it with what was committed.

        Raises:
            CodesError: Codes, items or filters with another checksum, or a damaged database; each is named.
        """
        self._now.verify(items=items)

    @property
    def shard(self) -> Shard | None:
        """Which part of a source the archive is; None for a whole."""
        return Shard.read(self._now.meta, self.path)

    def info(self) -> ArchiveInfo:
        """What the archive holds and takes."""
        return examine(self._now)

    def _repr_html_(self) -> str:
        """What it holds, as notebooks show it."""
        from html import escape

        return f"<pre>{escape(self.info().describe())}</pre>"

    def _view(self) -> Snapshot:
        self._now.check_whole()
        return self._now


def open_archive(path: str | Path) -> Archive:
    """Open an archive for searching. Nothing is read but its settings; `Archive.verify` reads all.

    Raises:
        CodesError: No archive, a file missing, too short or of a newer version; each is named.
    """
    return Archive(Path(path))


def create_archive(
    path: str | Path, codes: HashCodes, *, model: str | Path | None = None, shard: Shard | None = None
) -> Archive:
    """Write an archive, beside and renamed, and open it; an older archive there is replaced.

    Paths of items and model are kept relative to the folder, so that it can move together with its media.

    Args:
        path: The archive's folder.
        codes: Codes and items, of one encoder; the ids must be unique. With vectors, these are kept too.
        model: The run that made the codes.
        shard: Which part of a source this is.

    Raises:
        CodesError: An id stands twice, text that is not UTF-8, or something else stands in the place.
        DtbhError: The disk is full or the place can't be written.
    """
    path = Path(path)
    check_storable(codes)
    if (path / META).is_file():
        path = path.resolve()  # a link is followed, as by those who read it
    root = path.parent.resolve() / path.name
    run = None if model is None else Path(os.path.relpath(Path(model).resolve(), root)).as_posix()
    meta = {"bits": codes.bits, "encoder": codes.encoder, "model": run, **({"shard": shard.to_dict()} if shard else {})}
    meta |= {} if codes.vectors is None else {"vectors": codes.vector_dim}
    writing.create(path, meta, writing.chunked(codes, path))
    return Archive(path)
