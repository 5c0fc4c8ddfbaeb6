"""The core of encode and index: codes that are kept as they come, so that what was killed goes on where it was.

Codes that stand in the place already are taken over where their media did not change since. Where there are many items,
those that are done are kept beside the place, in a folder named ``.<name>.partial``, until all are.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import HashCodes, word_count
from dtbh.data.item_words import words_of
from dtbh.data.manifest import Item
from dtbh.data.passages import sound_of
from dtbh.data.shards import Shard
from dtbh.data.tiling import Tiling, media_of
from dtbh.errors import CodesError, DataError, DtbhError
from dtbh.index.archive.archive import Archive, create_archive, open_archive
from dtbh.index.archive.layout import META as ARCHIVE_META
from dtbh.models.encoder import Encoder
from dtbh.stages.inputs import counted, items_of, storable
from dtbh.utils.files import file_lock
from dtbh.utils.progress import echo, track

T = TypeVar("T")


BATCH = 4096  # items that are kept together; a killed stage does at most so many again


@dataclass(frozen=True)
class StageResult:
    """What a stage left.

    Attributes:
        path: The folder it wrote, or the name of an index that is no folder.
        count: Items in it.
        failures: One line for each file that could not be read, or whose name is not UTF-8, and was left out.
        new: Items that were encoded by this call.
    """

    path: Path | str
    count: int
    failures: tuple[str, ...]
    new: int = 0


@dataclass(frozen=True)
class KeptCodes:
    """Codes that were made before, and when; media that changed since are encoded again."""

    codes: HashCodes
    when: int
    shard: Shard | None = None
    whole: bool = True  # whether nothing else stands there


Standing = Callable[[Path, Sequence[Item]], KeptCodes | None]


def make(
    model: Encoder, source: str | Path, places: Sequence[Path], *, split: str, shard: Shard | None, strict: bool,
    cutting: Tiling | None, standing: Standing, write: Callable[[HashCodes, Shard | None], None],
    passages: bool = False, vectors: bool = False,
) -> StageResult:  # fmt: skip
    """Have the codes of a source written to the first of the places, unless they are there; with vectors or without."""
    none = no_codes(model, vectors=vectors)
    items: Sequence[Item] = items_of(model, source, split, cutting, passages)
    if shard is not None:
        shard, items = shard.take(items)
    wanted, (items, nameless) = len(items), storable(items, strict=strict)
    old, *others = [_standing(place, items, standing) for place in places]
    with _going_on(none, places[0], len(items) > BATCH) as store:
        kept = [old, *others, None if store is None else stored_in(store, items)]
        codes, failures, new = _codes_of(model, items, none, kept, store, strict=strict)
        failures = (*nameless, *failures)
        if wanted and not len(codes) and shard is None:  # of a shard the others may have what can be read
            raise DataError(f"{source}: none of {wanted} files could be read", failures[:20])
        same = old is not None and old.whole and _alike(old.codes, none)
        if new or old is None or not same or old.codes.items != codes.items or old.shard != shard:
            write(codes, shard)
    return StageResult(places[0], len(codes), failures, new)


def _standing(place: Path, items: Sequence[Item], standing: Standing) -> KeptCodes | None:
    """What stands in a place; nothing where that is damaged, which is said."""
    try:
        return standing(place, items)
    except CodesError as error:
        echo(f"making it again: {error}")
        return None


def _alike(codes: HashCodes, none: HashCodes) -> bool:
    """Whether codes are of the encoder, and have vectors, as those that are to be made."""
    return (codes.encoder, codes.vector_dim) == (none.encoder, none.vector_dim)


def _codes_of(
    model: Encoder, items: Sequence[Item], none: HashCodes, kept: Sequence[KeptCodes | None], store: Archive | None,
    *, strict: bool,
) -> tuple[HashCodes, tuple[str, ...], int]:  # fmt: skip
    """Codes of the items that can be read, why the others can't, and how many were encoded now."""
    words = np.zeros((len(items), none.words.shape[1]), np.uint64)
    vectors = None if none.vector_dim is None else np.zeros((len(items), none.vector_dim), np.int16)
    have = np.zeros(len(items), np.bool_)
    named: dict[int, Mapping[str, str]] = {}
    for part in kept:
        if part is not None and part.codes.encoder == none.encoder:
            _take_over(items, part, words, vectors, have, named)
    missing = np.flatnonzero(~have)
    if 0 < len(missing) < len(items):
        echo(f"{int(have.sum())} of {len(items)} items are encoded already")
    begin(model, [items[place] for place in missing.tolist()])
    failures: list[str] = []
    for places in batches(missing.tolist()):
        encoding = model.encode([items[place] for place in places], skip=not strict, vectors=vectors is not None)
        failures += encoding.failures
        codes, done = encoding.codes, 0
        for place in places:
            if done < len(codes) and codes.items[done] == items[place]:
                _copy(codes, done, words, vectors, place)
                have[place] = True
                done += 1
        if store is not None:
            store.remove(
                [id for id, row in zip(_ids(codes), store.places(_ids(codes)), strict=True) if row is not None]
            )
            store.add(codes)
    chosen = np.flatnonzero(have)
    found = HashCodes(
        words[chosen], model.bits, model.fingerprint,
        tuple(_named(items[place], named.get(place, {})) for place in chosen.tolist()),
        None if vectors is None else vectors[chosen],
    )  # fmt: skip
    return found, tuple(failures), int(have[missing].sum())


def _copy(codes: HashCodes, row: int, words: NDArray[np.uint64], vectors: NDArray[np.int16] | None, place: int) -> None:
    """Put the code at a row, and its vector, in their place."""
    words[place] = codes.words[row]
    if vectors is not None:
        assert codes.vectors is not None
        vectors[place] = codes.vectors[row]


def _take_over(
    items: Sequence[Item], kept: KeptCodes, words: NDArray[np.uint64], vectors: NDArray[np.int16] | None,
    have: NDArray[np.bool_], named: dict[int, Mapping[str, str]],
) -> None:  # fmt: skip
    """Fill in the codes of media that did not change since, if they have the vectors that are wanted; and the words.

    Words that media were given they keep, whether they are encoded again or not.
    """
    rows = {media_key(item): row for row, item in enumerate(kept.codes.items)}
    fits = vectors is None or kept.codes.vector_dim == vectors.shape[1]
    for place, item in enumerate(items):
        row = rows.get(media_key(item))
        if row is not None and not have[place]:
            file = Path(str(item.path))
            if file.is_file() and file.stat().st_mtime_ns < kept.when:
                if said := words_of(kept.codes.items[row]):
                    named[place] = said
                if fits:
                    _copy(kept.codes, row, words, vectors, place)
                    have[place] = True


def _named(item: Item, said: Mapping[str, str]) -> Item:
    """The item with the words that it was given; one that has such fields of its own keeps those."""
    return replace(item, fields={**said, **item.fields}) if said and not said.keys() & item.fields.keys() else item


@contextmanager
def _going_on(none: HashCodes, out: Path, many: bool) -> Iterator[Archive | None]:
    """Where codes of this kind are kept until all are there, if they are many; it goes when the block ends well."""
    folder = out.parent / f".{out.name}.partial"
    if not many and not folder.is_dir():
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder, "encoding"):
        path = folder / "archive"
        try:
            store = open_archive(path)
            whole = (store.encoder, store.bits, store.vector_dim) == (none.encoder, none.bits, none.vector_dim)
        except DtbhError:
            whole = False
        if not whole:
            shutil.rmtree(path, ignore_errors=True)
            store = create_archive(path, none)
        try:
            yield store
        except BaseException as error:
            if not len(store):
                shutil.rmtree(folder)
            elif isinstance(error, KeyboardInterrupt):
                error.add_note(f"{len(store)} items are kept in {folder}, and the same call goes on from there")
            raise
        shutil.rmtree(folder)


def no_codes(model: Encoder, *, vectors: bool = False) -> HashCodes:
    """No codes at all, of this encoder, with vectors or without."""
    none = np.empty((0, model.vector_dim), np.int16) if vectors else None
    return HashCodes(np.empty((0, word_count(model.bits)), np.uint64), model.bits, model.fingerprint, (), none)


def stored_in(archive: Archive, items: Sequence[Item]) -> KeptCodes:
    """What an archive has of these items, if its codes are whole; the items of a big one are not read for a few."""
    archive.verify(items=False)
    rows = [row for row in archive.places(item.id for item in items) if row is not None]
    whole = len(rows) == len(archive) and rows == sorted(rows)
    return KeptCodes(archive.at(rows), (archive.path / ARCHIVE_META).stat().st_mtime_ns, archive.shard, whole)


def batches(things: Sequence[T]) -> Iterator[Sequence[T]]:
    """Pieces of a sequence, with progress where there are several."""
    for start in track(range(0, len(things), BATCH), "encoding", total=len(things), each=BATCH):
        yield things[start : start + BATCH]


def begin(model: Encoder, items: Sequence[Item]) -> None:
    """Say what will be encoded, if anything."""
    if items:
        echo(f"encoding {counted(items)} with {model.path} on {model.device}", event="start")


def media_key(item: Item) -> object:
    """What an item's code depends on."""
    return item.modality, sound_of(item) if item.modality == "sound" else media_of(item)


def _ids(codes: HashCodes) -> list[str]:
    return [item.id for item in codes.items]
