"""Images and sounds that stand inside other files, written out once beside the manifest.

A file's name ends in a digest of its bytes and of what is said of it, so the same picture in several rows is one file,
nothing is ever written over, and a second run finds what the first one wrote.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from dtbh.data.manifest import Modality
from dtbh.errors import DataError
from dtbh.media.files import SOUND_TYPES, file_type, image_types
from dtbh.utils.files import explained

LARGEST = 1 << 28
"""Bytes that one image or sound may have."""


class Extracted:
    """A folder for what is taken out of other files; what was written is removed again where its block fails.

    Args:
        folder: Of their files alone, made when the first comes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._came: dict[Path, str] = {}
        self._new: list[Path] = []
        self._made: list[Path] = []

    def put(
        self, data: bytes, modality: Modality, name: str = "", said: Iterable[str | None] = (), *, where: str
    ) -> tuple[str, Path]:  # fmt: skip
        """Write one out; returns its name and its file.

        Args:
            data: The bytes of an image or sound file.
            modality: Which of both.
            name: What it is called where it comes from; only letters and digits of it are kept.
            said: What is known of it: the same bytes of which something else is said are another file.
            where: It stands, for messages.

        Raises:
            DataError: It is neither by its bytes nor by its name, or larger than `LARGEST`.
            DtbhError: The folder can't be written.
        """
        called = f"{where}: {modality}" + (f" {name!r}" if name else "")
        if not data or len(data) > LARGEST:
            raise DataError(f"{called} has {len(data)} bytes; wanted 1 to {LARGEST}")
        given = Path(name).suffix.lower()
        types = image_types() if modality == "image" else SOUND_TYPES
        suffix = file_type(data, modality) or (given if given in types else None)
        if suffix is None:
            raise DataError(f"{called} begins with {data[:8]!r}, as no {modality} does that can be read")
        digest = hashlib.sha256(data)
        for text in said:
            digest.update(b"\0" if text is None else b"\1" + text.encode("utf-8", "surrogatepass"))
        plain = re.sub(r"[^\w-]+", "_", Path(name).stem).strip("_")[:40] or modality
        path = self.folder / f"{plain}-{digest.hexdigest()[:16]}{suffix}"
        with explained(path):
            if not (path.is_file() and path.stat().st_size == len(data)):
                self._make()
                part = path.with_name(f".{path.name}")
                self._new += [part, path]
                part.write_bytes(data)
                part.replace(path)
        self._came.setdefault(path, called)
        return path.name, path

    def told(self, problem: str) -> str:
        """A line about one of the files as one about where it came from."""
        path, colon, rest = problem.partition(": ")
        return f"{self._came.get(Path(path), path)}{colon}{rest}"

    def _make(self) -> None:
        if not self.folder.is_dir():
            self._made += [one for one in (self.folder, *self.folder.parents) if not one.exists()]
            self.folder.mkdir(parents=True)

    def settle(self) -> None:
        """Have all that was written on the disk for good, before a manifest names it."""
        if self._new:
            os.sync()

    def forget(self, files: Iterable[Path]) -> None:
        """Remove files of this folder that no manifest names any more."""
        for path in files:
            if path.parent == self.folder:
                path.unlink(missing_ok=True)
        with suppress(OSError):  # others may lie there, or none at all
            self.folder.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            for path in self._new:
                path.unlink(missing_ok=True)
            for folder in self._made:
                with suppress(OSError):
                    folder.rmdir()
