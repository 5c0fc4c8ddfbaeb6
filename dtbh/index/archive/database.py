"""The database of an archive as its readers see it: they ask, and never write.

What a killed writer left half-written is undone by SQLite before the next answer.
"""

from __future__ import annotations

import sqlite3
import threading
import weakref
from contextlib import closing
from pathlib import Path
from typing import Any

from dtbh.errors import CodesError
from dtbh.index.archive.layout import AGAIN

BUSY = 60.0  # seconds that a question waits while a commit is written
CUT_OFF = sqlite3.SQLITE_READONLY_ROLLBACK


class Database:
    """A read-only connection that threads may share, each in its turn.

    Args:
        path: The file.

    Raises:
        CodesError: It is missing, or can't be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        if not path.is_file():
            raise CodesError(f"{path}: is missing, so the archive has no items; {AGAIN}")
        try:
            uri = f"{path.resolve().as_uri()}?mode=ro"
            self._sqlite = sqlite3.connect(uri, uri=True, check_same_thread=False, timeout=BUSY)
        except sqlite3.Error as error:
            raise CodesError(f"{path}: can't be opened ({error}); {AGAIN}") from None
        weakref.finalize(self, self._sqlite.close)

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a question.

        Raises:
            CodesError: The database is damaged, or busy for too long.
        """
        try:
            with self._lock:
                try:
                    return self._sqlite.execute(sql, values).fetchall()
                except sqlite3.OperationalError as error:
                    if getattr(error, "sqlite_errorcode", None) != CUT_OFF:
                        raise
                    self._undo()
                    return self._sqlite.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise CodesError(f"{self._path}: can't be read ({' '.join(str(error).split())}); {AGAIN}") from None

    def _undo(self) -> None:
        """Have SQLite undo a commit that a killed process left half-written, which a reader may not."""
        try:
            with closing(sqlite3.connect(self._path, timeout=BUSY)) as sqlite:
                sqlite.execute("SELECT COUNT(*) FROM segments").fetchone()
        except sqlite3.Error as error:
            raise CodesError(
                f"{self._path}: a process was killed while it wrote, and what it left can't be undone here ({error}); "
                "open the archive once as someone who may write to it"
            ) from None
