"""What is kept of each query, and what a report makes of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dtbh.data.manifest import Item
from dtbh.errors import DataError
from dtbh.evaluation.metrics import map_variants, pairs, ranking
from dtbh.evaluation.metrics.counts import Block, Floats, Ints, own_rows
from dtbh.evaluation.metrics.labels import Classes, classes_of
from dtbh.evaluation.metrics.map_variants import CONVENTIONS
from dtbh.evaluation.metrics.measures import known_measures
from dtbh.evaluation.metrics.ranking import Without
from dtbh.evaluation.results.values import CutPoint, PairFigures

Count = Callable[[Callable[[Block], Any], Ints, Ints, Classes, Ints, int], Iterator[Any]]
Gains = tuple[Ints, Ints]
"""Of several labels, ``Block.gains`` and ``Block.grades``."""
AT = (1, 5, 10, 20, 50)
NAMED = 20  # queries that an error names, at most
MEASURES = {
    "precision_at": ranking.precision_at,
    "recall_at": ranking.recall_at,
    "f1_at": ranking.f1_at,
    "ndcg_at": ranking.ndcg_at,
}
GRADED = "grades"
"""Where items have several labels, the name in ``Measured.each`` of ``Block.grades``; else there is none."""


@dataclass(frozen=True, eq=False)
class Measured:
    """The figures of some queries.

    Attributes:
        each: By name, those of each query, float64 [b] or [b, k]; NaN without relevant items.
        sums: By name, what is added up over queries.
        pairs: By name, what ``pairs.measured`` gave of each query; empty where that is left for later.
    """

    each: dict[str, Floats]
    sums: dict[str, Floats]
    pairs: dict[str, Floats] = field(default_factory=dict)


def measured(block: Block, length: int, without: Without) -> Measured:
    """The figures of a block of queries, but for chance.

    Args:
        block: Without those columns in which nothing stands, if one likes.
        length: Of the shortest ranking of all queries.
        without: What becomes of queries without relevant items.
    """
    relevant, total = block.relevant, block.total
    curve_at = ranking.log_spaced(length)
    hits, wanted = ranking.hits_at(relevant, total, curve_at), relevant.sum(axis=1)
    counted = np.ones(len(wanted), dtype=np.bool_) if without == "zero" else wanted > 0
    gains = None if block.gains is None or block.grades is None else (block.gains, block.grades)
    each = {
        **_with_chance_level(relevant, total, length, gains),
        "n_relevant": wanted.astype(np.float64),
        "n_ranked": total.sum(axis=1).astype(np.float64),
        **({} if gains is None else {GRADED: gains[1].astype(np.float64)}),
    }
    sums = {
        "counted": np.array(counted.sum(), dtype=np.float64),
        "curve_precision": (hits * counted[:, None] / np.array(curve_at)).sum(axis=0),
        "curve_recall": (hits / np.maximum(wanted, 1)[:, None]).sum(axis=0),
    }
    return Measured(each, sums)


def _with_chance_level(relevant: Ints, total: Ints, length: int, gains: Gains | None) -> dict[str, Floats]:
    """The figures that a random ranking is expected to have something of, too."""
    at, k = _at(length), min(length, map_variants.K)
    found = {
        "average_precision": ranking.average_precision(relevant, total),
        "nmrr": ranking.nmrr(relevant, total),
        **{name: measure(relevant, total, at) for name, measure in MEASURES.items()},
        **{f"more {name}": one.at_k(relevant, total, at) for name, one in known_measures().items()},
        **{f"ap {name}": one.at_k(relevant, total, k) for name, one in CONVENTIONS.items() if one.at_k is not None},
    }
    if gains is not None:
        graded = {"gains": gains[0], "grades": gains[1]}
        found["ndcg"] = ranking.ndcg(relevant, total, **graded)
        found["ndcg_at"] = ranking.ndcg_at(relevant, total, at, **graded)
    return found


def joined(parts: Sequence[Measured], length: int) -> Measured:
    """The figures of all queries from those of the blocks, with what a random ranking is expected to have.

    Chance depends on nothing but how many items are ranked and relevant (and share how many labels), and there are few
    such pairs.
    """
    each = concatenated([part.each for part in parts])
    sizes = np.column_stack([each["n_relevant"], each["n_ranked"], *([each[GRADED]] if GRADED in each else [])])
    kinds, inverse = np.unique(sizes.astype(np.int64), axis=0, return_inverse=True)
    grades = kinds[:, 2:]
    gains = (grades @ np.arange(1, grades.shape[1] + 1)[:, None], grades) if GRADED in each else None
    chance = _with_chance_level(kinds[:, :1], kinds[:, 1:2], length, gains)
    each |= {f"chance_{name}": values[inverse.reshape(-1)] for name, values in chance.items()}
    return Measured(each, {name: np.sum([part.sums[name] for part in parts], axis=0) for name in parts[0].sums})


@dataclass(frozen=True, eq=False)
class Ranked:
    """All queries of a direction, measured.

    Attributes:
        queries: The labelled ones.
        rows: Their rows among all queries, int64 [q].
        classes: The classes of the labelled queries and gallery items.
        length: Of the shortest ranking: labelled gallery items, less the query itself where it is one.
        measured: The figures of the labelled queries over labelled items.
        pairs: What ``pairs.measured`` gave of all queries, labelled or not, over all items.
        pairs_length: Of the shortest ranking of all items.
        left_out: How many ``queries`` and ``gallery`` items have no label.
    """

    queries: tuple[Item, ...]
    rows: Ints
    classes: Classes
    length: int
    measured: Measured
    pairs: dict[str, Floats]
    pairs_length: int
    left_out: dict[str, int]


def rank(
    count: Count,
    queries: Sequence[Item],
    gallery: Sequence[Item],
    without: Without,
    *,
    most_classes: int = 0,
    more: Callable[[Measured, Block, Classes], None] | None = None,
) -> Ranked:
    """Rank the gallery for each query, and measure.

    Args:
        count: Counts block by block: given what is done with a block, the rows of queries and of gallery items
            that take part, their classes, where queries stand in the gallery, and of how many combinations of labels
            the shares are wanted.
        queries: Labelled or not.
        gallery: Likewise.
        without: What becomes of queries without relevant items.
        most_classes: With more than these, no shares of classes are counted.
        more: Adds to what is kept of a block; takes the classes of all.

    Raises:
        DataError: The gallery holds nothing but a query itself.
    """
    sides = {"queries": queries, "gallery": gallery}
    rows = {side: np.flatnonzero([item.label is not None for item in items]) for side, items in sides.items()}
    kept = {side: [items[i] for i in rows[side].tolist()] for side, items in sides.items()}
    classes = classes_of(*([item.label for item in items] for items in kept.values()))
    left_out = {side: len(items) - len(kept[side]) for side, items in sides.items()}
    all_own = own_rows(queries, gallery)
    own = own_rows(*kept.values()) if any(left_out.values()) else all_own
    length, all_length = len(kept["gallery"]) - int((own >= 0).any()), len(gallery) - int((all_own >= 0).any())
    if length == 0 and kept["gallery"]:
        raise DataError(
            f"the gallery holds nothing but the query {kept['gallery'][0].id} itself: there is nothing to rank; choose "
            "a gallery that has more items"
        )
    links = pairs.links_of(queries, gallery, all_own)

    def of_pairs(block: Block) -> dict[str, Floats]:
        return pairs.measured(links.relevant(block), block.total, all_length)

    def work(block: Block) -> Measured:
        stand = np.flatnonzero(block.total.any(axis=0))
        some = slice(stand[0], stand[-1] + 1)  # no item stands at the other distances
        found = measured(block.within(some), length, without)
        if not any(left_out.values()):
            found.pairs.update(of_pairs(block))
        if more is not None:
            more(found, block, classes)
        return found

    shares = classes.combinations if len(classes.names) <= most_classes else 0
    parts = list(count(work, rows["queries"], rows["gallery"], classes, own, shares))
    if without == "error":
        _refuse_without(kept["queries"], parts)
    if any(left_out.values()):  # items without a label have no part in the above, but may be pairs
        none = replace(classes, queries=np.full(len(queries), -1), gallery=np.full(len(gallery), -1), shared=None)
        pair_parts = list(count(of_pairs, np.arange(len(queries)), np.arange(len(gallery)), none, all_own, 0))
    else:
        pair_parts = [part.pairs for part in parts]
    return Ranked(
        queries=tuple(kept["queries"]),
        rows=rows["queries"],
        classes=classes,
        length=length,
        measured=joined(parts, length),
        pairs=concatenated(pair_parts),
        pairs_length=all_length,
        left_out=left_out,
    )


def _refuse_without(queries: Sequence[Item], parts: Sequence[Measured]) -> None:
    """Raise `DataError` with the queries' names where some have nothing relevant."""
    none = np.flatnonzero(np.concatenate([part.each["n_relevant"] for part in parts]) == 0)
    if len(none):
        raise DataError(
            f"{len(none)} of {len(queries)} queries have no relevant item in the gallery; check the labels of both "
            "sides, or let without be drop or zero",
            [f"{queries[row].id}: class {queries[row].label}" for row in none[:NAMED].tolist()],
        )


def concatenated(parts: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    """Figures of each query by name, block after block."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def summary(found: Measured, length: int, without: Without) -> dict[str, Any]:
    """Means over queries, by the names of ``DirectionReport``.

    Args:
        found: Of all queries.
        length: As in ``measured``.
        without: Likewise.

    Raises:
        DataError: No query has a relevant item; or one has none and ``without`` is ``"error"``.
    """
    each, at, curve_at = found.each, _at(length), ranking.log_spaced(length)
    other = [name for name in CONVENTIONS if f"ap {name}" in each]
    more = [name for name in known_measures() if f"more {name}" in each]
    chance = {name: each.get(f"chance_ap {name}", each["chance_average_precision"]) for name in other}
    means = {
        name: ranking.mean(each[f"{which}{key}"], without=without)
        for which in ("", "chance_")
        for name, key in ((f"{which}map", "average_precision"), (f"{which}anmrr", "nmrr"), (f"{which}ndcg", "ndcg"))
        if key in each
    }
    precision, recall = (
        np.minimum(found.sums[f"curve_{name}"] / found.sums["counted"], 1.0).tolist()
        for name in ("precision", "recall")
    )
    return {
        **means,
        **{name: _means(at, each[name], without) for measure in MEASURES for name in (measure, f"chance_{measure}")},
        "more_at": {name: _means(at, each[f"more {name}"], without) for name in more},
        "chance_more_at": {name: _means(at, each[f"chance_more {name}"], without) for name in more},
        "precision_curve": tuple(map(CutPoint, curve_at, precision, recall)),
        "conventions": {name: ranking.mean(each[f"ap {name}"], without=without) for name in other},
        "chance_conventions": {name: ranking.mean(values, without=without) for name, values in chance.items()},
    }


def _at(length: int) -> list[int]:
    return [k for k in AT if k <= length]


def _means(at: Sequence[int], values: Floats, without: Without) -> dict[int, float]:
    """The mean over queries for each k."""
    means = np.minimum(ranking.settled(values, without).mean(axis=0), 1.0)
    return dict(zip(at, means.tolist(), strict=True))


def pair_figures(each: Mapping[str, Floats], length: int) -> PairFigures | None:
    """The figures over queries, from all that ``measured`` gave; None where no query has a pair there.

    Args:
        each: By name, all queries.
        length: Of a ranking.
    """
    paired = ~np.isnan(each["pair_rank"])
    if not paired.any():
        return None
    hits, chance = (each[name][paired].mean(axis=0).tolist() for name in ("pair_hit", "chance_pair_hit"))
    return PairFigures(
        n_queries=int(paired.sum()),
        n_gallery=length,
        queries_without_pair=int((~paired).sum()),
        hit_at=dict(zip(pairs.AT, hits, strict=False)),
        chance_hit_at=dict(zip(pairs.AT, chance, strict=False)),
        median_rank=float(np.median(each["pair_rank"][paired])),
        chance_median_rank=float(np.median(each["chance_pair_rank"][paired])),
    )
