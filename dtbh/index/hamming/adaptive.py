"""One code set that is searched again and again: what searching it has shown, and what is made of that.

Everything is first looked at code by code. Once as much time has gone into that as grouping the rows by code or listing
them in tables would take, and a sample of the codes shows that it pays, it is done. So nobody has to choose, and nobody
pays more than about twice the least. Importing this needs numba.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from dtbh.index.hamming import grouping, multiindex, scan
from dtbh.index.hamming.rows import Found, Rows

FETCHING = 8  # queries that take as long as fetching the codes from memory
GROUPING = 600  # queries over all codes that take as long as grouping them where few are distinct,
RARITY = 1 / 150  # and how many more for each distinct code: its rows lie further apart
LISTING = 2000  # queries over all codes that take as long as making tables
NEVER = float("inf")


def due(rows: Rows) -> float:
    """How many queries over all codes take as long as grouping them; infinitely many where it would not pay."""
    least, most = grouping.guess(rows)
    payable = rows.count / grouping.PAYS
    return GROUPING + RARITY * float(np.sqrt(least * min(most, payable))) if least <= payable else NEVER


class Learned:
    """What is known about some rows; it may be used from several threads, of which one at a time learns.

    Attributes:
        rows: The rows that count.
        groups: The rows by distinct code, once it is known that this pays.
        tables: What answers small radii, once it is known that this pays; of the distinct codes if there are groups.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.groups: grouping.Groups | None = None
        self.tables: multiindex.Tables | None = None
        self._learning = threading.Lock()
        self._spent = self._spent_near = 0.0  # queries over all codes so far, and those within a radius
        self._group_at, self._list_at = float(GROUPING), float(LISTING)
        self._guessed = False

    def nearest(self, asked: NDArray[np.uint64], k: int, threads: int) -> Found:
        """As `scan.nearest`, of the rows that count."""
        self._learn(len(asked))
        if (groups := self.groups) is None:
            return scan.nearest(asked, self.rows, k, threads)
        return groups.nearest(scan.nearest(asked, groups.rows, min(k, groups.rows.count), threads), k)

    def within(self, queries: NDArray[np.uint64], radius: int, threads: int) -> list[Found]:
        """For each query the distances and rows of all within a radius."""
        self._learn(len(queries), queries, radius)
        groups, tables = self.groups, self.tables
        rows = self.rows if groups is None else groups.rows
        if tables is None or tables.rows is not rows:
            found = scan.within(queries, rows, radius, threads)
        else:
            looked_up = tables.within(queries, radius)
            dense = [query for query, one in enumerate(looked_up) if one is None]
            scanned = iter(scan.within(queries[dense], rows, radius, threads) if dense else ())
            found = [next(scanned) if one is None else one for one in looked_up]
        return found if groups is None else [groups.within(one) for one in found]

    def _learn(self, count: int, queries: NDArray[np.uint64] | None = None, radius: int = 0) -> None:
        """Add what these queries take to what has been spent, and learn if there has been enough."""
        self._spent += FETCHING + count
        self._spent_near += 0 if queries is None else FETCHING + count
        grouped, listed = self._spent < self._group_at, self._spent_near < self._list_at
        if (grouped and listed) or not self._learning.acquire(blocking=False):
            return
        try:
            if not grouped:
                self._group()
            if queries is not None and self._spent_near >= self._list_at:
                rows = self.rows if self.groups is None else self.groups.rows
                self.tables = multiindex.tables(rows, queries, radius)
                self._list_at = NEVER if self.tables is not None else 2 * self._list_at
        except OSError:  # the compiler's cache can't be written any more; looking at every code is compiled already
            self._group_at = self._list_at = NEVER
        finally:
            self._learning.release()

    def _group(self) -> None:
        """Guess how many distinct codes there are; group the rows if that pays and has been paid for."""
        if not self._guessed:
            self._guessed = True
            self._group_at = due(self.rows)
        if self._spent >= self._group_at:
            self._group_at = NEVER
            self.groups = grouping.group(self.rows)
            if self.groups is not None and self.tables is not None:
                self.tables, self._list_at = None, float(LISTING)
