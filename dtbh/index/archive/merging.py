"""Several archives as one, a segment at a time, so that no size is too large."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

from dtbh.data.shards import Shard, in_order
from dtbh.errors import CodesError
from dtbh.index.archive import writing
from dtbh.index.archive.archive import Archive
from dtbh.index.archive.layout import META, Chunk
from dtbh.index.archive.postings import COLUMNS, Row
from dtbh.index.archive.snapshot import Snapshot, open_snapshot
from dtbh.utils.files import check_place
from dtbh.utils.progress import track

PATH = COLUMNS.index("path")


def merge_archives(path: str | Path, parts: Sequence[str | Path]) -> Archive:
    """Write an archive of several; one that stands there is replaced.

    Shards come in their order, other parts, all different, as given. What was removed is left out, and all that is
    read is compared with its checksums.

    Raises:
        CodesError: No archive, another encoder, vectors in some parts alone, an id in two parts, shards that are
            missing, altered files.
        DtbhError: The disk is full or the place can't be written.
    """
    path = Path(path)
    check_place(path, META, "archive")
    opened = {Path(part): open_snapshot(Path(part)) for part in parts}
    chosen = [opened[part] for part in in_order({p: Shard.read(s.meta, p) for p, s in opened.items()})]
    first = chosen[0]
    for part in chosen[1:]:
        if (part.encoder, part.bits) != (first.encoder, first.bits):
            raise CodesError(
                f"{part.name}: of encoder {part.encoder} with {part.bits} bits, {first.name} of {first.encoder} with "
                f"{first.bits}; encode both with the same run"
            )
        if part.vector_dim != first.vector_dim:
            have, lack = (first, part) if part.vector_dim is None else (part, first)
            raise CodesError(
                f"{lack.name}: keeps no vectors, {have.name} keeps {have.vector_dim} numbers for each code; index the "
                "one again with --vectors, or the other in another place without"
            )
    root = path.resolve() if (path / META).is_file() else path.parent.resolve() / path.name
    run = None if first.model is None else Path(os.path.relpath(first.model, root)).as_posix()
    meta = {"bits": first.bits, "encoder": first.encoder, "model": run}
    meta |= {} if first.vector_dim is None else {"vectors": first.vector_dim}
    try:
        writing.create(path, meta, writing.joined(_chunks(chosen, root)))
    except writing.TwiceError as error:
        where = [part.name for part in chosen if part.row(error.id) is not None]
        raise CodesError(f"{path}: {', '.join(where)} have the id {error.id!r} each; nothing was written") from None
    return Archive(path)


def _chunks(parts: Sequence[Snapshot], root: Path) -> Iterator[Chunk]:
    """The chunks of all parts, with paths as an archive at ``root`` has them."""
    for part in track(parts, "merging", total=len(parts)):
        old = part.path.resolve()

        @cache
        def moved(folder: str, old: Path = old) -> str:
            return Path(os.path.relpath(os.path.normpath(old / folder), root)).as_posix()

        for chunk in part.chunks():
            yield chunk._replace(rows=[_moved(row, moved) for row in chunk.rows])


def _moved(row: Row, moved: Callable[[str], str]) -> Row:
    """A stored row whose path starts from another folder."""
    if row[PATH] is None:
        return row
    folder, name = os.path.split(row[PATH])
    return (*row[:PATH], f"{moved(folder)}/{name}", *row[PATH + 1 :])
