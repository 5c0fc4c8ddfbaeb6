"""Whether two runs differ by more than the draw of the test images: a paired test over queries.

The sounds of one image are no independent draws, so their differences are added up by pair before anything is tested.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import numpy as np

from dtbh.errors import DataError
from dtbh.evaluation.metrics import ranking
from dtbh.evaluation.metrics.counts import Floats, Ints
from dtbh.evaluation.metrics.intervals import mean_interval
from dtbh.evaluation.results.tables import Cell
from dtbh.evaluation.results.values import DIRECTIONS, DirectionReport, QueryFigure, RetrievalReport

LEVEL = 0.05
RESAMPLES = 9999
CELLS = 4_000_000  # signs held at once: 32 MB
REPORT_TERMS = ("relevance", "ties", "without")
DIRECTION_TERMS = ("gallery", "n_gallery", "n_queries")


@dataclass(frozen=True)
class Difference:
    """What one entry has over the first, in one direction.

    Attributes:
        name: The entry's.
        difference: Its mAP minus the first's.
        interval: 95 % bootstrap interval of ``difference``, images drawn with all their sounds; None with one.
        p: Two-sided, of the permutation test in which each image's two results change places by chance.
        p_holm: The same, corrected for all tests of the comparison (Holm 1979).
    """

    name: str
    difference: float
    interval: tuple[float, float] | None
    p: float
    p_holm: float

    @property
    def significant(self) -> bool:
        """Whether chance is refused at the level of 5 %, all tests together."""
        return self.p_holm < LEVEL


@dataclass(frozen=True)
class Block:
    """One direction: the entries side by side.

    Attributes:
        direction: Its name.
        n_queries: Of each entry.
        n_clusters: How many images, or other queries that stand alone, these belong to.
        n_gallery: Of each entry.
        gallery: Which split.
        bits: By entry, the length of its codes.
        values: By entry, its mAP and chance level.
        differences: Of the second entry from the first, of the third from the first, and so on.
    """

    direction: str
    n_queries: int
    n_clusters: int
    n_gallery: int
    gallery: str
    bits: Mapping[str, int]
    values: Mapping[str, Cell]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Comparison:
    """Entries side by side, the first of which the others are measured against.

    Attributes:
        first: Its name.
        blocks: One a direction and, where whole series are compared, a length.
        tests: How many p-values the correction is for.
        leaks: What stands in training and in test, of the first; a warning says where others differ.
        warnings: What else differs, a sentence each.
    """

    first: str
    blocks: tuple[Block, ...]
    tests: int
    leaks: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def compare(entries: Mapping[str, Sequence[RetrievalReport]], *, seed: int = 0) -> Comparison:
    """Compare runs, or series of runs, with the first of them.

    Args:
        entries: By name, the reports of one run, or of several seeds, over which each query's average precision is
            averaged first. Series with several lengths are compared at each length that all of them have.
        seed: Of permutations and bootstrap.

    Raises:
        DataError: Fewer than two entries, reports without their queries, no direction or length in common, or runs
            that were asked other queries, searched another gallery, or counted otherwise.
    """
    if len(entries) < 2:
        raise DataError("a comparison needs two runs or more")
    warnings: list[str] = []
    drafts = []
    for together in _by_length(entries):
        ways = [w for w in DIRECTIONS if all(w in one.directions for group in together.values() for one in group)]
        if not ways:
            raise DataError(f"{', '.join(together)}: no direction in common; nothing can be compared")
        warnings += _check(together)
        drafts += [_block(way, together, seed) for way in ways]
    corrected = iter(holm([one.p for block in drafts for one in block.differences]))
    blocks = []
    for block in drafts:
        blocks.append(replace(block, differences=tuple(replace(d, p_holm=next(corrected)) for d in block.differences)))
    tests = sum(len(block.differences) for block in blocks)
    name, (first, *_) = next(iter(entries.items()))
    return Comparison(name, tuple(blocks), tests, first.leaks, tuple(dict.fromkeys(warnings)))


def paired_test(differences: Floats, clusters: Ints, seed: int) -> float:
    """Two-sided p-value of a mean difference: each cluster's sum changes its sign by chance.

    Args:
        differences: Of each query, float64 [q].
        clusters: The number of each query's cluster, int64 [q].
        seed: Of the permutations; few clusters are permuted exactly.

    Returns:
        From 2 / (RESAMPLES + 1) to 1; 1 where nothing differs.
    """
    sums = np.bincount(np.unique(clusters, return_inverse=True)[1], differences)
    sums = sums[sums != 0]  # these have no sign to change
    if len(sums) < 2:
        return 1.0
    found, chance = sums.sum(), 0
    if 2 ** len(sums) <= RESAMPLES:
        others = np.array([*product([1, -1], repeat=len(sums))]) @ sums
    else:
        others, chance = np.concatenate([*_signed(sums, np.random.default_rng(seed))]), 1  # what was found is one more
    rounding = abs(found) * 100 * np.finfo(np.float64).eps
    less = np.count_nonzero(others <= found + rounding) + chance
    more = np.count_nonzero(others >= found - rounding) + chance
    return float(min(1.0, 2 * min(less, more) / (len(others) + chance)))


def _signed(sums: Floats, chance: np.random.Generator) -> Iterator[Floats]:
    """The total with signs by chance, `RESAMPLES` times, in batches."""
    batch = min(RESAMPLES, max(1, CELLS // len(sums)))
    pairs = np.tile(np.arange(2), (batch, len(sums), 1))
    for start in range(0, RESAMPLES, batch):
        second = chance.permuted(pairs, axis=-1)[: RESAMPLES - start, :, 0]
        yield np.where(second, -sums, sums).sum(axis=1)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's step-down correction of p-values (Scandinavian Journal of Statistics, 1979), in their order."""
    order = sorted(range(len(values)), key=lambda n: values[n])
    corrected, highest = [0.0] * len(values), 0.0
    for place, n in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - place) * values[n]))
        corrected[n] = highest
    return corrected


def _by_length(entries: Mapping[str, Sequence[RetrievalReport]]) -> list[Mapping[str, Sequence[RetrievalReport]]]:
    """The entries to be compared together: as they are where each has one length, else at each length in common."""
    lengths = {name: {report.bits for report in reports} for name, reports in entries.items()}
    if all(len(found) == 1 for found in lengths.values()):
        return [entries]
    common = set.intersection(*lengths.values())
    if not common:
        said = "; ".join(f"{name} has {', '.join(map(str, sorted(found)))}" for name, found in lengths.items())
        raise DataError(f"no length of codes in common: {said}")
    return [{name: [r for r in reports if r.bits == bits] for name, reports in entries.items()}
            for bits in sorted(common)]  # fmt: skip


def _check(entries: Mapping[str, Sequence[RetrievalReport]]) -> list[str]:
    """What differs that a reader must know; what makes a comparison void is an error."""
    reports = [(name, report) for name, several in entries.items() for report in several]
    first_name, first = reports[0]
    warnings = []
    for name, other in reports[1:]:
        for term in REPORT_TERMS:
            _same(term, (first_name, getattr(first, term)), (name, getattr(other, term)))
        if other.protocol != first.protocol:
            warnings.append(f"The protocols differ: {first_name} has {first.protocol}, {name} has {other.protocol}.")
        if other.splits != first.splits or other.leakage != first.leakage:
            warnings.append(f"{name} was trained on another split than {first_name} ({other.sizes}; {first.sizes}).")
        if other.checkpoint_rule != first.checkpoint_rule:
            warnings.append(f"{name} chose its checkpoint otherwise than {first_name}: {other.checkpoint_rule}.")
    return warnings


def _same(what: str, one: tuple[str, Any], other: tuple[str, Any]) -> None:
    if one[1] != other[1]:
        told = f"{what.replace('_', ' ')} {other[1]}, not {one[1]}"
        raise _unlike(other[0], one[0], f"{told}; evaluate both in the same way")


def _block(way: str, entries: Mapping[str, Sequence[RetrievalReport]], seed: int) -> Block:
    """One direction, its p-values not yet corrected."""
    first_name = next(iter(entries))
    ones = {name: [report.directions[way] for report in several] for name, several in entries.items()}
    first = ones[first_name][0]
    for name, several in ones.items():
        for one in several:
            for term in DIRECTION_TERMS:
                _same(f"{way}, {term}", (first_name, getattr(first, term)), (name, getattr(one, term)))
    queries = _queries(first_name, way, first)
    numbers: dict[str, int] = {}
    cluster = np.array([numbers.setdefault(_cluster(one), len(numbers)) for one in queries.values()], dtype=np.int64)
    mine, *others = (_precisions(name, way, several, first_name, queries) for name, several in ones.items())
    without: ranking.Without = entries[first_name][0].without  # type: ignore[assignment]
    differences = []
    for name, theirs in zip([*ones][1:], others, strict=True):
        if not np.array_equal(np.isnan(theirs), np.isnan(mine)):
            raise _unlike(name, first_name, f"{way}, other queries have nothing relevant")
        gap = theirs - mine
        p = paired_test(np.nan_to_num(gap), cluster, seed)
        between = mean_interval(gap, cluster, seed, without=without)
        differences.append(Difference(name, ranking.mean(gap, without=without), between, p, p))
    return Block(
        direction=way, n_queries=first.n_queries, n_clusters=len(numbers), n_gallery=first.n_gallery,
        gallery=first.gallery, bits={name: several[0].bits for name, several in entries.items()},
        values={name: Cell(tuple(one.map for one in several), several[0].chance_map) for name, several in ones.items()},
        differences=tuple(differences),
    )  # fmt: skip


def _queries(name: str, way: str, one: DirectionReport) -> dict[str, QueryFigure]:
    """The queries of a report by id."""
    if not one.query_figures:
        raise DataError(f"{name}: {way}, no queries.csv beside report.json; run dtbh evaluate again")
    if one.pairs is not None and all(figure.pair is None for figure in one.query_figures):
        raise DataError(f"{name}: {way}, queries.csv does not say what is of one pair; run dtbh evaluate again")
    return {figure.id: figure for figure in one.query_figures}


def _cluster(one: QueryFigure) -> str:
    return f"query {one.id}" if one.pair is None else f"pair {one.pair}"


def _precisions(
    name: str, way: str, several: Sequence[DirectionReport], first_name: str, wanted: Mapping[str, QueryFigure]
) -> Floats:
    """Average precision by query in the order of ``wanted``, mean over seeds, float64 [q]; NaN where there is none."""
    rows = []
    for one in several:
        found = _queries(name, way, one)
        if strangers := sorted(found.keys() ^ wanted.keys()):
            told = f"{len(strangers):,} queries stand in one alone, the first is {strangers[0]}"
            raise _unlike(name, first_name, f"{way}, {told}; evaluate both on the same split")
        if others := [id_ for id_, figure in found.items() if figure.label != wanted[id_].label]:
            told = f"{len(others):,} queries have another label, the first is {others[0]}"
            raise _unlike(name, first_name, f"{way}, {told}")
        values = [found[id_].average_precision for id_ in wanted]
        rows.append([np.nan if value is None else value for value in values])
    return np.asarray(np.mean(rows, axis=0), dtype=np.float64)


def _unlike(name: str, first: str, why: str) -> DataError:
    return DataError(f"{name} can't be compared with {first}: {why}")
