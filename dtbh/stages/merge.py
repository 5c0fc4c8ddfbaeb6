"""Archives, or codes, that were made in parts, to one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dtbh.codes import META as CODES_META
from dtbh.codes import HashCodes, read_codes, read_shard, write_codes
from dtbh.data.shards import in_order
from dtbh.errors import CodesError, ConfigError
from dtbh.index.archive.merging import merge_archives
from dtbh.stages.resumable import StageResult


def merge(out: str | Path, parts: Sequence[str | Path]) -> StageResult:
    """Join archives to an archive, or folders of codes to one; shards come in their order, others as given.

    Raises:
        CodesError: Neither archives nor codes, some of each, several encoders, an id in two parts, or shards that
            are missing.
    """
    if len(parts) < 2:
        raise ConfigError("merge wants two parts or more: dtbh merge OUT PART PART ...")
    out, folders = Path(out), [Path(part) for part in parts]
    places = [part.resolve() for part in folders]
    for part in folders:
        if places.count(part.resolve()) > 1:
            raise CodesError(f"{part}: is given twice")
    if out.resolve() in places:
        raise CodesError(f"{out}: is one of the parts; choose another place for the whole")
    if all((part / CODES_META).is_file() for part in folders):
        return _merge_codes(out, folders)
    if codes := [part for part in folders if (part / CODES_META).is_file()]:
        raise CodesError(f"{codes[0]}: holds codes, but not all parts do; merge archives or codes")
    archive = merge_archives(out, folders)
    return StageResult(archive.path, len(archive), ())


def _merge_codes(out: Path, parts: Sequence[Path]) -> StageResult:
    ordered = in_order({part: read_shard(part) for part in parts})
    codes = HashCodes.concatenate([read_codes(part) for part in ordered])
    return StageResult(write_codes(codes, out), len(codes), ())
