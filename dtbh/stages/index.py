"""From a run and a source of items to an archive, or to what another engine holds; what was killed goes on.

Codes that stand in the place already are taken over where their media did not change since. Where there are many
items, those that are done are kept beside the place, in a folder named ``.<name>.partial``, until all are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dtbh.codes import HashCodes
from dtbh.data.manifest import Item
from dtbh.data.shards import Shard
from dtbh.data.tiling import Tiling
from dtbh.errors import CodesError
from dtbh.index.archive.archive import create_archive, open_archive
from dtbh.index.archive.layout import META as ARCHIVE_META
from dtbh.index.base import Index
from dtbh.index.engines.archive import ArchiveEngine
from dtbh.index.engines.base import Engine
from dtbh.models.encoder import Encoder, gives_vectors
from dtbh.models.load import load
from dtbh.stages.inputs import items_of, storable
from dtbh.stages.resumable import KeptCodes, StageResult, batches, begin, make, media_key, no_codes, stored_in
from dtbh.utils.files import check_place
from dtbh.utils.interrupts import kept
from dtbh.utils.progress import echo

BARE = "keeps no vectors, as it was made; made again with dtbh index --vectors, searches find more"


def index(
    run: str | Path,
    source: str | Path,
    *,
    out: str | Path,
    split: str = "all",
    shard: Shard | None = None,
    strict: bool = False,
    known: str | Path | None = None,
    cutting: Tiling | None = None,
    passages: bool = False,
    vectors: bool | None = None,
) -> StageResult:
    """Encode as `encode` does, and make a searchable archive of it; one that is up to date is left as it is.

    With ``vectors`` it keeps those of the items too, by which a search orders what is near. Unless that is said, an
    archive that stands there goes on as it is, and a new one keeps them where the model takes any words. The other
    arguments are those of `encode`.
    """
    model, out = load(run), Path(out)
    check_place(out, ARCHIVE_META, "archive")

    def standing(place: Path, items: Sequence[Item]) -> KeptCodes | None:
        return stored_in(open_archive(place), items) if (place / ARCHIVE_META).is_file() else None

    def write(codes: HashCodes, shard: Shard | None) -> None:
        create_archive(out, codes, model=model.path, shard=shard)

    places = [out, *([] if known is None else [Path(known)])]
    if vectors is None:
        vectors = next((there for there in map(_keeps_vectors, places) if there is not None), _any_words(model))
        if not vectors and _any_words(model):
            echo(f"{out}: {BARE}")
    return make(
        model, source, places, split=split, shard=shard, strict=strict, cutting=cutting, standing=standing, write=write,
        passages=passages, vectors=vectors,
    )  # fmt: skip


def _keeps_vectors(place: Path) -> bool | None:
    """Whether the archive that stands there keeps vectors; None where there is none, or a damaged one."""
    try:
        return open_archive(place).vector_dim is not None if (place / ARCHIVE_META).is_file() else None
    except CodesError:
        return None


def _any_words(model: Encoder) -> bool:
    """Whether a model takes any words, and gives vectors: such are of one space, whatever they are of."""
    return model.senses.sentences is not None and gives_vectors(model)


def grow(
    run: str | Path,
    source: str | Path,
    *,
    out: str | Path | Engine,
    make: bool = False,
    split: str = "all",
    strict: bool = False,
    cutting: Tiling | None = None,
    passages: bool = False,
    vectors: bool | None = None,
) -> StageResult:
    """Add to an index the items of a source that it does not have.

    Those that it has are left as they are. Each batch is committed on its own, so a killed call goes on where it was.

    Args:
        run: As in `index`.
        source: As in `index`.
        out: An archive's folder, or an engine.
        make: Make an index where there is none.
        split: As in `index`.
        strict: As in `index`.
        cutting: As in `index`.
        passages: As in `index`.
        vectors: Make an index that keeps vectors, or one that does not; as in `index` unless said. One that is there
            goes on as it was made.

    Raises:
        CodesError: No index, one without vectors where ``vectors`` are asked for, or with where none are to be, one
            of another encoder (both fingerprints are named), or ids that stand for other files there; nothing is added
            then.
    """
    model, engine = load(run), ArchiveEngine(Path(out)) if isinstance(out, str | Path) else out
    if make:
        items = items_of(model, source, split, cutting, passages)
        keep = _any_words(model) if vectors is None else vectors
        found = engine.open() if engine.exists() else engine.create(no_codes(model, vectors=keep), model=model.path)
    else:
        found = engine.open()
        items = items_of(model, source, split, cutting, passages)
    if vectors is not None and vectors != (found.vector_dim is not None):
        made, how = ("out", "--vectors") if vectors else ("", "--no-vectors")
        raise CodesError(f"{found.name} was made with{made} vectors; index everything again with {how}, without --add")
    if vectors is None and found.vector_dim is None and _any_words(model):
        echo(f"{found.name}: {BARE}")
    done = _grow(model, items, found, strict=strict)
    return replace(done, path=engine.path) if isinstance(engine, ArchiveEngine) else done


def _grow(model: Encoder, items: Sequence[Item], index: Index, *, strict: bool) -> StageResult:
    """Add to an index the items that it does not have."""
    if model.fingerprint != index.encoder:
        raise CodesError(
            f"{index.name}: made by encoder {index.encoder}, {model.path} is {model.fingerprint}; add with "
            f"{index.model or 'the run that made it'}, or index again"
        )
    items, nameless = storable(items, strict=strict)
    places = index.places(item.id for item in items)
    there = [item for item, row in zip(items, places, strict=True) if row is not None]
    stored = index.items(row for row in places if row is not None)
    if clash := [(new, old) for new, old in zip(there, stored, strict=True) if media_key(new) != media_key(old)]:
        new, old = clash[0]
        raise CodesError(
            f"{index.name}: {len(clash)} ids stand for other files there, the first is {new.id}: {old.path}, not "
            f"{new.path}; remove them first, or give the new ones other ids"
        )
    failures = [*nameless]
    missing = [item for item, row in zip(items, places, strict=True) if row is None]
    added = 0
    begin(model, missing)
    with kept(f"what {index.name} has is kept, and the same call goes on from there"):
        for batch in batches(missing):
            encoding = model.encode(batch, skip=not strict, vectors=index.vector_dim is not None)
            added += index.add(encoding.codes)
            failures += encoding.failures
    return StageResult(index.name, len(index), tuple(failures), added)
