"""Writing files so that a crash leaves the old file or the new one, never half of one.

Comes in: paths and content. Everything is written beside its place, flushed, and renamed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dtbh.errors import DtbhError


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
def fresh_folder(path: Path) -> Iterator[Path]:
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
                new.rename(path)
                shutil.rmtree(old)
            else:
                new.rename(path)
        finally:
            shutil.rmtree(new, ignore_errors=True)


@contextmanager
def alone(folder: Path, doing: str) -> Iterator[None]:
    """Keep other processes from doing the same in ``folder`` while the block runs; the lock dies with the process.

    Args:
        folder: An existing folder.
        doing: What is being done there, as in ``"speaking"``.

    Raises:
        DtbhError: Another process is doing it.
    """
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DtbhError(f"{folder}: another process is {doing} here; wait until it has ended") from None
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
