"""A model out of an archive of others: only the files of a model, only plain names, only so much."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

from dtbh.errors import RunError
from dtbh.models.encoder import EXPORTED
from dtbh.models.run_files import RUN
from dtbh.models.shared_files import SUMS, checked_name, takes

ARCHIVES = (".tar.gz", ".tgz", ".zip")
MOST = 1000  # members that are looked at
CHUNK = 1 << 20
DAMAGED = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError)


class _Member(NamedTuple):
    name: PurePosixPath
    open: Callable[[], IO[bytes] | None]


def unpack(archive: Path, folder: Path, address: str, *, limit: int) -> None:
    """Take the files of a model out of an archive; other files in it stay in it.

    Args:
        archive: The file.
        folder: An empty one.
        address: What messages name.
        limit: Bytes at most, of all files together.

    Raises:
        RunError: Damaged, larger than that, without a model, or with a name that leads out of the folder, or a link.
    """
    left = limit
    with _members(archive, address, limit) as members:
        heads = [member.name for member in members if member.name.name in (EXPORTED, RUN)]
        if not heads:
            raise RunError(f"{address}: no model in it (neither {EXPORTED} nor {RUN}); wanted an archive of its folder")
        root = min(heads, key=lambda name: len(name.parts)).parent
        for member in members:
            name = member.name.name
            if member.name.parent != root or not (takes(name) or name == SUMS):
                continue
            source = member.open()
            assert source is not None
            with source, (folder / checked_name(name, address)).open("wb") as file:
                while chunk := source.read(CHUNK):
                    left -= len(chunk)
                    if left < 0:
                        raise _too_much(address, limit)
                    file.write(chunk)


@contextmanager
def _members(archive: Path, address: str, limit: int) -> Iterator[list[_Member]]:
    """The plain files of an archive, once all names are known to be harmless."""
    try:
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive) as file:
                infos = [info for info in file.infolist() if not info.is_dir()]
                yield [_Member(_safe(info.filename, address, len(infos)), _opener(file.open, info)) for info in infos]
        else:
            with tarfile.open(archive, "r:gz") as tar:
                found: list[_Member] = []
                size = 0
                for info in tar:
                    name, size = _safe(info.name, address, len(found)), size + info.size
                    if size > limit:
                        raise _too_much(address, limit)
                    if not (info.isfile() or info.isdir()):
                        raise RunError(f"{address}: holds {info.name!r}, a link or a device; nothing was unpacked")
                    if info.isfile():
                        found.append(_Member(name, _opener(tar.extractfile, info)))
                yield found
    except (*DAMAGED, NotImplementedError, RuntimeError) as error:  # another compression, a password
        raise RunError(f"{address}: can't be unpacked ({error}); tell whoever shares it") from None


def _opener(open: Callable[[Any], IO[bytes] | None], info: Any) -> Callable[[], IO[bytes] | None]:
    return lambda: open(info)


def _safe(name: str, address: str, count: int) -> PurePosixPath:
    """A member's name that leads nowhere else."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise RunError(f"{address}: holds {name!r}, which leads out of its folder; nothing was unpacked")
    if count > MOST:
        raise RunError(f"{address}: holds more than {MOST} files; this is no archive of a model")
    return path


def _too_much(address: str, limit: int) -> RunError:
    return RunError(f"{address}: more than {limit / 1e9:.1f} GB unpacked; this is no sound model")
