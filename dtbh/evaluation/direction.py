"""One direction's figures, each beside its chance level, from the codes of queries and gallery.

Comes in: codes of one encoder whose items carry labels and pairs. Queries go through in blocks; of each only
its own few figures are kept. No torch in this room.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dtbh.codes import HashCodes, unpack
from dtbh.evaluation import ranking
from dtbh.evaluation.counts import Block, Floats, Ints, each_block, group_numbers, own_rows
from dtbh.evaluation.intervals import clusters_of, interval, mean_interval
from dtbh.evaluation.pairs import code_links, pair_figures
from dtbh.evaluation.pairs import measured as pairs_measured
from dtbh.evaluation.perquery import Measured, concatenated, joined, measured, summary
from dtbh.evaluation.ranking import Without
from dtbh.evaluation.values import ClassFigures, Confusion, DirectionReport, QueryFigure

KEPT = 12  # best and worst queries named in a report, at most
MOST_CLASSES = 100  # in a confusion


def direction_report(
    all_queries: HashCodes, all_gallery: HashCodes, *, gallery: str, without: Without, seed: int
) -> DirectionReport:
    """The figures of one direction.

    Args:
        all_queries: Codes, labelled or not; one labelled at least.
        all_gallery: Codes, likewise. A query that stands here under its own id is left out of its own ranking.
        gallery: Which split the gallery is.
        without: What becomes of queries without relevant items.
        seed: Of the bootstrap.

    Raises:
        DataError: No query has a relevant item; or one has none and ``without`` is ``"error"``.
    """
    queries, searched = _labelled(all_queries), _labelled(all_gallery)
    names, gallery_names = ([item.label or "" for item in codes.items] for codes in (queries, searched))
    labels = sorted({*names, *gallery_names})
    numbers = group_numbers(names, gallery_names)
    own = own_rows(queries.items, searched.items)
    length = len(searched) - int((own >= 0).any())
    left_out = {"queries": len(all_queries) - len(queries), "gallery": len(all_gallery) - len(searched)}
    paired = None if any(left_out.values()) else _Paired(queries, searched, own)
    n_classes = len(labels) if len(labels) <= MOST_CLASSES else 0

    def work(block: Block) -> Measured:
        tables = block.relevant, block.total
        found = measured(*tables, length, without)
        found.each["ap stable_order"] = block.stable
        if paired is not None:
            found.each.update(paired.measured(block))
        found.sums["distances"] = np.stack([side.sum(axis=0) for side in tables])
        found.sums["radii"] = ranking.radius_sums(*tables, without=without)
        found.sums["classes"] = _class_sums(numbers[0][block.rows], block.classes)
        return found

    blocks = each_block(work, queries.words, searched.words, *numbers, queries.bits, own=own, classes=n_classes)
    result = joined(list(blocks), length)
    each, sums = result.each, result.sums
    if paired is None:  # items without a label have no part in the above, but may be pairs
        paired = _Paired(all_queries, all_gallery, own_rows(all_queries.items, all_gallery.items))
        each |= paired.all_measured()
    relevant, total = sums["distances"].astype(np.int64)
    precision = each["average_precision"]
    figures = _query_figures(queries, precision, dict(zip(paired.ids, each["pair_rank"].tolist(), strict=True)))
    best, worst = _extremes(figures)
    clusters = clusters_of(queries.items)
    return DirectionReport(
        gallery=gallery,
        n_queries=len(queries),
        n_gallery=length,
        queries_without_relevant=int(np.isnan(precision).sum()),
        unlabelled=left_out,
        interval=mean_interval(precision, clusters, seed, without=without),
        **summary(result, length, without),
        within_radius=ranking.radius_points(sums["radii"]),
        pairs=pair_figures(each, paired.length),
        per_class=_per_class(names, each, clusters, seed),
        confusion=_confusion(labels, numbers[0], sums["classes"]) if n_classes else None,
        distances={"relevant": tuple(relevant.tolist()), "irrelevant": tuple((total - relevant).tolist())},
        **_bits({"queries": all_queries, "gallery": all_gallery}),
        best=best,
        worst=worst,
        query_figures=figures,
    )


class _Paired:
    """The true pairs between codes."""

    def __init__(self, queries: HashCodes, gallery: HashCodes, own: Ints) -> None:
        self._queries, self._gallery, self._own = queries, gallery, own
        self._links, self._apart = code_links(queries, gallery, own)
        self.length = len(gallery) - int((own >= 0).any())
        self.ids = [item.id for item in queries.items]

    def measured(self, block: Block) -> dict[str, Floats]:
        """The figures of each query of a block of all."""
        relevant = self._links.relevant(block.rows, self._apart, block.total.shape[1])
        return pairs_measured(relevant, block.total, self.length)

    def all_measured(self) -> dict[str, Floats]:
        """The figures of each query, where its distances were not counted for another reason."""
        queries, gallery = self._queries, self._gallery
        none = np.full(len(queries), -1), np.full(len(gallery), -1)
        blocks = each_block(self.measured, queries.words, gallery.words, *none, queries.bits, own=self._own)
        return concatenated(list(blocks))


def _bits(sides: Mapping[str, HashCodes]) -> dict[str, Any]:
    """What the bits of each side are like."""
    bits = {side: unpack(codes.words, codes.bits) for side, codes in sides.items()}
    balance = {side: values.mean(axis=0) for side, values in bits.items()}
    constant = {side: np.flatnonzero((ones == 0) | (ones == 1)) for side, ones in balance.items()}
    return {
        "distinct_codes": {side: len(np.unique(codes.words, axis=0)) for side, codes in sides.items()},
        "bits_constant": {side: tuple(places.tolist()) for side, places in constant.items()},
        "bit_balance": {side: tuple(ones.tolist()) for side, ones in balance.items()},
        "bit_correlation": {side: bit_correlation(values) for side, values in bits.items()},
    }


def bit_correlation(bits: np.ndarray) -> float | None:
    """The mean absolute correlation between two of the bits that change, bool [n, K]; None with fewer than two."""
    values = bits[:, (bits != bits[:1]).any(axis=0)].astype(np.float64)
    if values.shape[1] < 2:
        return None
    values -= values.mean(axis=0)
    values /= np.linalg.norm(values, axis=0)
    between = np.abs(values.T @ values)[np.triu_indices(values.shape[1], 1)]
    return min(float(between.mean()), 1.0)


def _labelled(codes: HashCodes) -> HashCodes:
    return codes.select(np.array([item.label is not None for item in codes.items]))


def _per_class(names: Sequence[str], each: Mapping[str, Floats], clusters: Ints, seed: int) -> dict[str, ClassFigures]:
    """Figures for each class of the queries, by name."""
    labels = np.array(names)
    figures = {}
    for name in sorted(set(names)):
        mine = labels == name
        precision, chance = (each[f"{which}average_precision"][mine] for which in ("", "chance_"))
        has = ~np.isnan(precision)
        figures[name] = ClassFigures(
            n_queries=int(mine.sum()),
            map=float(precision[has].mean()) if has.any() else None,
            chance_map=float(chance[has].mean()) if has.any() else None,
            interval=interval(precision[has], clusters[mine][has], seed) if has.any() else None,
        )
    return figures


def _class_sums(query_labels: Ints, shares: Floats) -> Floats:
    """The queries' shares of each class, float64 [b, c], added up by the class of the query: [c, c]."""
    sums = np.zeros((shares.shape[1], shares.shape[1]))
    for label in np.unique(query_labels) if shares.shape[1] else ():
        sums[label] = shares[query_labels == label].sum(axis=0)
    return sums


def _confusion(labels: Sequence[str], query_labels: Ints, sums: Floats) -> Confusion:
    """The mean of the queries' shares, by their class."""
    rows = sums / np.maximum(np.bincount(query_labels, minlength=len(labels)), 1)[:, None]
    return Confusion(tuple(labels), tuple(map(tuple, rows.tolist())))


def _query_figures(queries: HashCodes, precision: Floats, pair_ranks: Mapping[str, float]) -> tuple[QueryFigure, ...]:
    return tuple(
        QueryFigure(item.id, item.label or "", _known(value), _known(pair_ranks[item.id]))
        for item, value in zip(queries.items, precision.tolist(), strict=True)
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _extremes(figures: Sequence[QueryFigure]) -> tuple[tuple[QueryFigure, ...], tuple[QueryFigure, ...]]:
    """The best query of each class, best first, and the worst of each, worst first; ties by order."""
    ranked = sorted((f for f in figures if f.average_precision is not None), key=lambda f: f.average_precision or 0.0)
    chosen = []
    for some in (sorted(ranked, key=lambda f: -(f.average_precision or 0.0)), ranked):
        first: dict[str, QueryFigure] = {}
        for figure in some:
            first.setdefault(figure.label, figure)
        chosen.append(tuple([*first.values()][:KEPT]))
    return chosen[0], chosen[1]
