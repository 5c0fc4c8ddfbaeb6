"""Writing files so that a crash leaves the old file or the new one, never half of one.

Everything is written beside its place, flushed, and renamed.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from dtbh.errors import CodesError, DtbhError
from dtbh.utils.progress import echo


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text to ``path`` in one step; returns ``path``."""
    return write_file(path, lambda file: file.write(text.encode("utf-8")))


def write_file(path: Path, write: Callable[[BinaryIO], object]) -> Path:
    """Have ``write`` fill a file beside ``path``, then rename it to ``path``; returns ``path``.

    Raises:
        DtbhError: The disk is full, or the folder can't be written; what stood there stays.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    return path


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A new folder beside ``path`` to fill; it takes ``path``'s place when the block ends without error.

    Raises:
        DtbhError: The disk is full, or the parent can't be written; what stood there stays.
    """
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            new.chmod(0o777 & ~_umask())
            yield new
            if path.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
                path.rename(old / "old")
                try:
                    new.rename(path)
                except BaseException:  # an interruption, too
                    (old / "old").rename(path)
                    raise
                finally:
                    shutil.rmtree(old)
            else:
                new.rename(path)
        finally:
            shutil.rmtree(new, ignore_errors=True)


def cache_folder() -> Path:
    """Where is kept what can be made or fetched again: ``$DTBH_CACHE``, else ``dtbh`` in the user's cache folder."""
    if "DTBH_CACHE" in os.environ:
        return Path(os.environ["DTBH_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "dtbh"


@contextmanager
def file_lock(folder: Path, doing: str, *, wait: bool = False) -> Iterator[None]:
    """Keep other processes from doing the same in ``folder`` while the block runs; the lock dies with the process.

    Args:
        folder: An existing folder.
        doing: What is being done there, as in ``"speaking"``.
        wait: Wait until another process has ended, instead of raising.

    Raises:
        DtbhError: Another process is doing it.
    """
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise DtbhError(f"{folder}: another process is {doing} here; wait until it has ended") from None
            echo(f"{folder}: another process is {doing} here; waiting until it has ended")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Have an operating system's refusal come out as one line that names the path.

    Raises:
        DtbhError: In place of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise DtbhError(f"{path}: can't be written ({error.strerror or error}); nothing was changed") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def check_regular(path: Path, wanted: str) -> None:
    """Refuse a device or a pipe, whose reading may never end; a folder, or nothing, is left to whoever opens it.

    Args:
        path: The file, or a link to it.
        wanted: What it should be, as in ``"a table"``.

    Raises:
        OSError: It is one.
    """
    if kind := odd_kind(path):
        raise OSError(f"{kind}, not a regular file, {wanted} wanted")


def is_utf8(text: str) -> bool:
    """Whether UTF-8 can hold a text; not where a file's name has bytes of another kind."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def odd_kind(path: Path) -> str:
    """What stands there, as in ``a pipe``, where that is neither a file nor a folder nor nothing; else empty."""
    if not path.exists() or path.is_file() or path.is_dir():
        return ""
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(path.stat().st_mode), "something odd")


def parse_json(text: str | bytes) -> Any:
    """What JSON says.

    Raises:
        ValueError: It is none, or lists stand in lists so deep that no program wrote it.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_meta(path: Path, versions: Sequence[int], keys: Sequence[str], again: str) -> dict[str, Any]:
    """The JSON object of ``path``, of one of these ``versions`` and with these ``keys``."""
    try:
        meta = parse_json(path.read_text(encoding="utf-8"))
        found = meta["version"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CodesError(f"{path}: can't be read as JSON with a version ({error}); {again}") from None
    if found not in versions:
        reads = " and ".join(map(str, versions))
        raise CodesError(f"{path}: version {found}, this dtbh reads {reads}; update dtbh, or {again}")
    if missing := [key for key in keys if key not in meta]:
        raise CodesError(f"{path}: lacks {', '.join(missing)}; {again}")
    return dict(meta)


def check_place(folder: Path, marker: str, kind: str) -> None:
    """Raise `CodesError` where writing ``folder`` would replace anything but an older one of its ``kind``."""
    if folder.is_dir() and not (folder / marker).is_file() and any(folder.iterdir()):
        raise CodesError(f"{folder}: the folder is in use and holds no {kind}; choose another place, or empty it")
    there = next(path for path in (folder, *folder.parents) if path.exists())
    if not there.is_dir():
        raise CodesError(f"{there}: a file stands here, wanted a folder for {kind}; choose another place")
