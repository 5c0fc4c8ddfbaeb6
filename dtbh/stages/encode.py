"""Items to a folder of codes, whole or in shards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dtbh.codes import META as CODES_META
from dtbh.codes import HashCodes, read_codes, read_shard, write_codes
from dtbh.data.manifest import Item
from dtbh.data.shards import Shard
from dtbh.data.tiling import Tiling
from dtbh.models.load import load
from dtbh.stages.resumable import KeptCodes, StageResult, make
from dtbh.utils.files import check_place


def encode(
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
) -> StageResult:
    """Encode a manifest, a folder of media or a single file, and write the codes.

    Codes of the same items by the same encoder, newer than the media, are left as they are.

    Args:
        run: A run or an exported model, as `dtbh.models.load.load` takes it.
        source: A prepared data folder, any folder with images or sounds, or a file.
        out: The folder of codes.
        split: Of a manifest, the split to take.
        shard: The part of the items to take; `merge` joins the parts.
        strict: Stop at the first file that can't be read, instead of leaving it out.
        known: Another place of the kind, whose codes are taken over as those in ``out`` are.
        cutting: How to cut scenes into tiles; None takes every file as one image.
        passages: Cut sounds that are longer than the model hears into passages, each an item; silence is left out.
    """
    model, out = load(run), Path(out)
    check_place(out, CODES_META, "codes")

    def standing(place: Path, items: Sequence[Item]) -> KeptCodes | None:
        if not (place / CODES_META).is_file():
            return None
        return KeptCodes(read_codes(place), (place / CODES_META).stat().st_mtime_ns, read_shard(place))

    def write(codes: HashCodes, shard: Shard | None) -> None:
        write_codes(codes, out, shard=shard)

    places = [out, *([] if known is None else [Path(known)])]
    return make(
        model, source, places, split=split, shard=shard, strict=strict, cutting=cutting, standing=standing, write=write,
        passages=passages,
    )  # fmt: skip
