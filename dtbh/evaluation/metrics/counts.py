"""From codes to counts: for each query and distance, how many gallery items, how many of them relevant.

Distances are held for a few queries at a time, never for all, so memory is bounded however large the gallery is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dtbh.data.manifest import Item
from dtbh.errors import DataError
from dtbh.evaluation.metrics.labels import SharedLabels
from dtbh.index.hamming.search import distances
from dtbh.utils.device import cores
from dtbh.utils.packages import where_compiled
from dtbh.utils.progress import track

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Words = npt.NDArray[np.uint64]
T = TypeVar("T")
BLOCK = 2_000_000  # distances that a thread of the NumPy path holds at once: 8 MB
QUERIES = 2048  # in a block, at most: with many fewer, calls of NumPy outweigh what they do
MANY = 5_000_000  # from so many comparisons on, compiled code is worth its loading


def group_numbers(query_names: Sequence[str | None], gallery_names: Sequence[str | None]) -> tuple[Ints, Ints]:
    """Class names or pair names as numbers that agree between queries and gallery; -1 for None.

    Numbers follow the sorted names, from 0.

    Returns:
        int64 [q] and int64 [n].
    """
    names = sorted({name for name in (*query_names, *gallery_names) if name is not None})
    number: dict[str | None, int] = {name: i for i, name in enumerate(names)}
    number[None] = -1
    return (
        np.array([number[name] for name in query_names], dtype=np.int64),
        np.array([number[name] for name in gallery_names], dtype=np.int64),
    )


def own_rows(queries: Sequence[Item], gallery: Sequence[Item]) -> Ints:
    """Where each query stands in the gallery itself, by id and modality, int64 [q]; -1 where it does not."""
    rows = {(item.modality, item.id): row for row, item in enumerate(gallery)}
    return np.array([rows.get((item.modality, item.id), -1) for item in queries], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Block:
    """The counts of some queries.

    Attributes:
        rows: Which of the queries.
        relevant: Relevant items at each distance, int64 [b, bits + 1].
        total: All items at each distance, int64 [b, bits + 1].
        classes: Expected share of each class among the first R items, R being the number of relevant ones,
            float64 [b, c]; rows of 0 where nothing is relevant.
        stable: Average precision with tied items in the gallery's order, float64 [b]; NaN where nothing is
            relevant. Only for comparison, see ``conventions``.
        at: In which column some gallery items stand: from rows of the block and of the gallery, int64 [m] both.
        gains: How many labels the items at each distance share with the query, added up, int64 [b, bits + 1]; None
            where items have one label.
        grades: How many ranked items share 1, 2, ... labels with it, int64 [b, g]; None likewise.
    """

    rows: slice
    relevant: Ints
    total: Ints
    classes: Floats
    stable: Floats
    at: Callable[[Ints, Ints], Ints]
    gains: Ints | None = None
    grades: Ints | None = None

    def within(self, columns: slice) -> Block:
        """The same with the counts of some distances alone: where nothing stands at the others."""
        gains = None if self.gains is None else self.gains[:, columns]
        return replace(self, relevant=self.relevant[:, columns], total=self.total[:, columns], gains=gains)


def each_block(
    work: Callable[[Block], T],
    query_words: Words,
    gallery_words: Words,
    query_labels: Ints,
    gallery_labels: Ints,
    bits: int,
    *,
    own: Ints | None = None,
    classes: int = 0,
    shared: SharedLabels | None = None,
) -> Iterator[T]:
    """Count, for each query and each Hamming distance, the gallery items and the relevant ones among them.

    An item is relevant to a query when the two numbers are equal and not negative. With class numbers this
    is relevance by class, with pair numbers relevance by true pair; with ``shared`` they are numbers of combinations of
    labels, and relevant is what shares one at least. Large tasks run compiled, where that can be had, and on all cores.

    Args:
        work: What is done with the counts of some queries; called in several threads at once.
        query_words: Packed codes, uint64 [q, w].
        gallery_words: Packed codes, uint64 [n, w].
        query_labels: Class or pair numbers, int [q]; negative where not known.
        gallery_labels: The same numbers, int [n].
        bits: Length of a code, at least 1.
        own: Where a query stands in the gallery itself, its row there, which is then no part of its
            ranking, int [q]; negative elsewhere. None: no query stands there.
        classes: The number c of classes (or combinations) that ``Block.classes`` counts; 0 counts none.
        shared: How many labels two combinations share; None: one if they are the same, else none.

    Yields:
        What ``work`` gives, in the queries' order.

    Raises:
        DataError: As many labels as codes were wanted, or the gallery is empty.
    """
    n_queries, n_gallery = len(query_words), len(gallery_words)
    check_labels(n_queries, n_gallery, query_labels, gallery_labels)
    own = np.full(n_queries, -1) if own is None else own
    task = _Task(query_words, gallery_words, query_labels, gallery_labels, bits, own, classes, shared)
    if n_queries * n_gallery >= MANY and (compiled := where_compiled(lambda: _compiled(task))) is not None:
        count, step = compiled, QUERIES
    else:
        count, step = partial(_by_numpy, task), min(QUERIES, max(1, BLOCK // n_gallery))
    return in_threads(lambda rows: work(count(rows)), n_queries, step, "comparing codes")


def check_labels(n_queries: int, n_gallery: int, query_labels: Ints, gallery_labels: Ints) -> None:
    """Raise `DataError` unless there is a label for each query and each item of a gallery that has some."""
    if len(query_labels) != n_queries or len(gallery_labels) != n_gallery:
        raise DataError(
            f"labels: found {len(query_labels)} for {n_queries} queries and {len(gallery_labels)} for a "
            f"gallery of {n_gallery}; give one number for each code, -1 where none is known"
        )
    if n_gallery == 0:
        raise DataError("the gallery is empty: there is nothing to rank; choose a split that has items")


def in_threads(work: Callable[[slice], T], n: int, step: int, label: str) -> Iterator[T]:
    """What ``work`` gives of the rows 0..n, ``step`` at a time and in order, worked on by all cores."""
    blocks = [slice(start, min(start + step, n)) for start in range(0, n, step)]
    with ThreadPoolExecutor(max_workers=min(cores(), len(blocks)) or 1) as threads:
        yield from track(threads.map(work, blocks), label, total=n, each=step)


@dataclass(frozen=True, eq=False)
class _Task:
    """The arguments of ``each_block``."""

    query_words: Words
    gallery_words: Words
    query_labels: Ints
    gallery_labels: Ints
    bits: int
    own: Ints
    classes: int
    shared: SharedLabels | None

    def grades(self, rows: slice) -> Ints | None:
        """``Block.grades`` of these queries."""
        if self.shared is None:
            return None
        return self.shared.grades(self.query_labels[rows], self.gallery_labels, self.own[rows])

    def at(self, rows: slice) -> Callable[[Ints, Ints], Ints]:
        """``Block.at`` of these queries: the Hamming distances of single items."""
        words = self.query_words[rows]
        return lambda queries, found: np.bitwise_count(words[queries] ^ self.gallery_words[found]).sum(1, np.int64)


def _compiled(task: _Task) -> Callable[[slice], Block]:
    """Counts a block in compiled code."""
    from dtbh.evaluation import counts_kernel  # not of the folder of measures, which is imported as a whole

    gallery = np.ascontiguousarray(task.gallery_words.T)
    query_labels, gallery_labels = (labels.astype(np.int32) for labels in (task.query_labels, task.gallery_labels))
    shared = None if task.shared is None else task.shared.table

    def count(rows: slice) -> Block:
        n = rows.stop - rows.start
        relevant, total = np.zeros((2, n, task.bits + 1), dtype=np.int64)
        shares, stable = np.zeros((n, task.classes)), np.zeros(n)
        gains = np.zeros((0 if shared is None else n, task.bits + 1), dtype=np.int64)
        counts_kernel.count(task.query_words[rows], gallery, query_labels[rows], gallery_labels, task.own[rows],
                            relevant, total, shares, stable, shared, gains)  # fmt: skip
        return Block(rows, relevant, total, shares, stable, task.at(rows),
                     None if shared is None else gains, task.grades(rows))  # fmt: skip

    count(slice(0, 1))  # compiles, or loads what was compiled
    return count


def _by_numpy(task: _Task, rows: slice) -> Block:
    """Counts a block without compiled code."""
    block, bits = distances(task.query_words[rows], task.gallery_words), task.bits
    mine = np.flatnonzero(task.own[rows] >= 0)
    block[mine, task.own[rows][mine]] = bits + 1  # out of every count
    relevant, total = np.zeros((2, len(block), bits + 2), dtype=np.int64)
    shares = np.zeros((len(block), task.classes))
    labels = task.gallery_labels
    earned, good = alike(task.query_labels[rows], labels, task.shared)
    good &= block <= bits
    for query, row in enumerate(block):
        total[query] = np.bincount(row, minlength=bits + 2)
        relevant[query] = np.bincount(row[good[query]], minlength=bits + 2)
    relevant, total = relevant[:, :-1], total[:, :-1]
    if task.classes:
        weights = top_weights(relevant, total)
        for query, row in enumerate(block):
            found = np.bincount(labels + 1, weights[query, row], minlength=task.classes + 1)[1:]
            shares[query] = found / max(relevant[query].sum(), 1)
    stable, gains = stable_order(block.astype(np.int16), good), None
    if earned is not None:
        gains = np.stack([np.bincount(row, more, bits + 2)[:-1] for row, more in zip(block, earned, strict=True)])
    return Block(rows, relevant, total, shares, stable, task.at(rows),
                 None if gains is None else gains.astype(np.int64), task.grades(rows))  # fmt: skip


def alike(queries: Ints, gallery: Ints, shared: SharedLabels | None) -> tuple[Ints | None, npt.NDArray[np.bool_]]:
    """How many labels queries and gallery items share, int [q, n] (None without ``shared``), and which share any."""
    if shared is None:
        return None, (gallery == queries[:, None]) & (gallery >= 0)
    gains = shared.between(queries, gallery).astype(np.int64)
    return gains, gains > 0


def stable_order(distances: npt.ArrayLike, relevant: npt.ArrayLike) -> Floats:
    """Average precision of the one order that a stable sort leaves: tied items in the gallery's own order.

    This is what ``argsort`` gives in most code of the field, DeepHash's and MiLaN's among it (NumPy's default
    sort is not even stable). Shuffling the gallery changes it; it is here to be compared with.

    Args:
        distances: int or float [q, n].
        relevant: bool [q, n].

    Returns:
        float64 [q]; NaN for a query without relevant items.
    """
    order = np.argsort(np.asarray(distances), axis=1, kind="stable")
    good = np.take_along_axis(np.asarray(relevant, dtype=np.bool_), order, axis=1)
    sums = (np.cumsum(good, axis=1) / np.arange(1, good.shape[1] + 1) * good).sum(axis=1)
    count = good.sum(axis=1)
    return np.asarray(np.divide(sums, count, out=np.full(len(sums), np.nan), where=count > 0))


def top_weights(relevant: Ints, total: Ints) -> Floats:
    """How much an item at each distance counts as one of the first R, R being the number of relevant items.

    Items before the bucket that rank R cuts count 1, those behind it 0, and those in it the share of its
    places that lie within R.

    Returns:
        float64 [q, d + 1]; the last column, for what is out of the ranking, is 0.
    """
    reached, wanted = np.cumsum(total, axis=1), relevant.sum(axis=1, keepdims=True)
    places = np.clip(wanted - (reached - total), 0, total)
    return np.pad(places / np.maximum(total, 1), ((0, 0), (0, 1)))


def distance_counts(
    query_words: Words, gallery_words: Words, query_labels: Ints, gallery_labels: Ints, bits: int,
    *, own: Ints | None = None, shared: SharedLabels | None = None,
) -> tuple[Ints, Ints]:  # fmt: skip
    """The counts of all queries at once; arguments and errors as in ``each_block``.

    Returns:
        ``relevant`` and ``total``, both int64 [q, bits + 1]; column d counts what stands at distance d.
    """
    relevant, total = np.zeros((2, len(query_words), bits + 1), dtype=np.int64)

    def keep(block: Block) -> None:
        relevant[block.rows], total[block.rows] = block.relevant, block.total

    for _ in each_block(keep, query_words, gallery_words, query_labels, gallery_labels, bits, own=own, shared=shared):
        pass
    return relevant, total
