"""Items by their labels: which class numbers they have, and how many labels two of them share.

Every combination of labels that occurs has a number, so that the ranking itself looks at small numbers alone; where
each item has one label, the combinations are the classes, and nothing is shared but the class itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dtbh.data.manifest import BETWEEN, split_labels

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class SharedLabels:
    """How many labels two combinations share, by their numbers.

    Attributes:
        table: int16 [c + 1, c + 1]; the last row and column, which are those of the number -1, are 0.
    """

    table: Counts

    @property
    def most(self) -> int:
        """The largest number of labels that two of them share, 1 or more."""
        return max(int(self.table.max(initial=0)), 1)

    def between(self, queries: Ints, gallery: Ints) -> Counts:
        """The number of labels that each query shares with each gallery item, int16 [q, n]; 0 where one is -1."""
        return np.asarray(self.table[queries[:, None], gallery[None]])

    def grades(self, queries: Ints, gallery: Ints, own: Ints) -> Ints:
        """How many gallery items share 1, 2, ... labels with each query, int64 [q, most].

        Args:
            queries: Numbers, int64 [q].
            gallery: Numbers, int64 [n].
            own: As in ``counts.each_block``, int64 [q]: the query itself is not counted.
        """
        times = np.bincount(np.where(gallery < 0, len(self.table) - 1, gallery), minlength=len(self.table))
        different, place = np.unique(queries, return_inverse=True)
        found = np.stack([(self.table[different] == grade) @ times for grade in range(1, self.most + 1)], axis=1)
        found = found[place.reshape(-1)].astype(np.int64)
        mine = np.flatnonzero(own >= 0)
        grade = self.table[queries[mine], gallery[own[mine]]]
        some = grade > 0
        found[mine[some], grade[some] - 1] -= 1
        return found


@dataclass(frozen=True, eq=False)
class Classes:
    """The classes of queries and gallery items.

    Attributes:
        queries: The number of each query's combination of labels, int64 [q]; -1 for one without.
        gallery: The same of gallery items, int64 [n].
        names: The labels, sorted.
        combinations: The number c of combinations.
        holds: Which labels each combination has, bool [c, len(names)]; None where each is a single label.
        shared: What the combinations share; None likewise.
    """

    queries: Ints
    gallery: Ints
    names: tuple[str, ...]
    combinations: int
    holds: Bools | None
    shared: SharedLabels | None

    def having(self, numbers: Ints, name: int) -> Bools:
        """Which of these numbers, none of them -1, stand for a combination with label ``name``."""
        return np.asarray(numbers == name if self.holds is None else self.holds[numbers, name])


def classes_of(queries: Sequence[str | None], gallery: Sequence[str | None]) -> Classes:
    """The classes of items by their ``label``, which may hold several; numbers follow the sorted texts, from 0."""
    texts = sorted({text for text in (*queries, *gallery) if text is not None})
    number: dict[str | None, int] = {None: -1, **{text: i for i, text in enumerate(texts)}}
    asked, found = (np.array([number[text] for text in side], dtype=np.int64) for side in (queries, gallery))
    shared = shared_labels(texts)
    if shared is None:
        return Classes(asked, found, tuple(texts), len(texts), None, None)
    holds, names = held_labels(texts)
    return Classes(asked, found, names, len(texts), holds, shared)


def held_labels(texts: Sequence[str]) -> tuple[Bools, tuple[str, ...]]:
    """Which labels each text of labels has, bool [c, labels], and the labels, sorted."""
    parts = [split_labels(text) for text in texts]
    names = tuple(sorted({name for part in parts for name in part}))
    place = {name: i for i, name in enumerate(names)}
    holds = np.zeros((len(texts), len(names)), dtype=np.bool_)
    for row, part in enumerate(parts):
        holds[row, [place[name] for name in part]] = True
    return holds, names


def shared_labels(texts: Sequence[str]) -> SharedLabels | None:
    """What texts of labels share, by their places; None where each is a single label."""
    if not any(BETWEEN in text for text in texts):
        return None
    holds = held_labels(texts)[0].astype(np.float32)  # small whole numbers, and quick
    return SharedLabels(np.pad(holds @ holds.T, (0, 1)).astype(np.int16))
