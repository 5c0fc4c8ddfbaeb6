"""The archive as an engine: a folder on disk."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from dtbh.index.engines.base import engine

if TYPE_CHECKING:
    from dtbh.codes import HashCodes
    from dtbh.index.base import Index


@engine("archive")
@dataclass(frozen=True)
class ArchiveEngine:
    """An archive in a folder.

    Args:
        path: The folder.
    """

    making: ClassVar[Collection[str]] = ()
    path: Path

    @property
    def label(self) -> str:
        """The folder's name."""
        return self.path.resolve().name

    def exists(self) -> bool:
        """As `Engine.exists`."""
        from dtbh.index.archive.layout import META

        return (self.path / META).is_file()

    def open(self) -> Index:
        """As `Engine.open`."""
        from dtbh.index.archive.archive import open_archive

        return open_archive(self.path)

    def create(self, codes: HashCodes, *, model: str | Path | None = None) -> Index:
        """As `Engine.create`; an older archive there is replaced."""
        from dtbh.index.archive.archive import create_archive

        return create_archive(self.path, codes, model=model)

    def state(self) -> object:
        """Names, sizes and times of change of the folder's files."""
        try:
            stats = [(file.name, file.stat()) for file in sorted(self.path.iterdir())]
        except OSError:
            return ()
        return [(name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
