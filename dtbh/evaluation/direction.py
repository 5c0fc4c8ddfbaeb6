"""One direction's figures, each beside its chance level, from the codes of queries and gallery."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dtbh.codes import Embeddings, HashCodes, unpack
from dtbh.data.manifest import Item
from dtbh.evaluation.metrics import counts, embeddings, radius, ranking
from dtbh.evaluation.metrics.counts import Block, Floats, Ints
from dtbh.evaluation.metrics.embeddings import METRICS
from dtbh.evaluation.metrics.intervals import clusters_of, interval, mean_interval
from dtbh.evaluation.metrics.labels import Classes
from dtbh.evaluation.metrics.ranking import Without
from dtbh.evaluation.perquery import Measured, Ranked, pair_figures, rank, summary
from dtbh.evaluation.results.values import ClassFigures, Confusion, DirectionReport, EmbeddingFigures, QueryFigure

KEPT = 12  # best and worst queries named in a report, at most
MOST_CLASSES = 100  # in a confusion


def direction_report(
    queries: HashCodes,
    gallery: HashCodes,
    *,
    gallery_name: str,
    without: Without,
    seed: int,
    bits: Sequence[Mapping[str, Any]],
    values: Embeddings | None = None,
) -> DirectionReport:
    """The figures of one direction.

    Args:
        queries: Codes, labelled or not; one labelled at least.
        gallery: Codes, likewise. A query that stands here under its own id is left out of its own ranking.
        gallery_name: Which split the gallery is.
        without: What becomes of queries without relevant items.
        seed: Of the bootstrap.
        bits: What ``bit_use`` gave of the queries, and of the gallery.
        values: Embeddings of all these items, to be ranked beside the codes.

    Raises:
        DataError: No query has a relevant item; or one has none and ``without`` is ``"error"``; or an item has no
            embedding.
    """

    def more(found: Measured, block: Block, classes: Classes) -> None:
        found.each["ap stable_order"] = block.stable
        found.sums["distances"] = np.stack([side.sum(axis=0) for side in (block.relevant, block.total)])
        found.sums["radii"] = radius.radius_sums(block.relevant, block.total, without=without)
        found.sums["classes"] = _class_sums(classes, block)

    def count(work: Any, q: Ints, g: Ints, classes: Classes, own: Ints, shares: int) -> Any:
        words, labels = (queries.words[q], gallery.words[g]), (classes.queries, classes.gallery)
        return counts.each_block(work, *words, *labels, queries.bits, own=own, classes=shares, shared=classes.shared)

    ranked = rank(count, queries.items, gallery.items, without, most_classes=MOST_CLASSES, more=more)
    each, sums = ranked.measured.each, ranked.measured.sums
    relevant, total = sums["distances"].astype(np.int64)
    figures = _query_figures(ranked)
    best, worst = _extremes(figures)
    clusters = clusters_of(ranked.queries)
    beside = {} if values is None else {
        metric: embedding_figures(values, queries.items, gallery.items, metric, without=without, seed=seed,
                                  codes=each["average_precision"])
        for metric in METRICS
    }  # fmt: skip
    return DirectionReport(
        gallery=gallery_name,
        n_queries=len(ranked.queries),
        n_gallery=ranked.length,
        queries_without_relevant=int(np.isnan(each["average_precision"]).sum()),
        unlabelled=ranked.left_out,
        interval=mean_interval(each["average_precision"], clusters, seed, without=without),
        ndcg_interval=mean_interval(each["ndcg"], clusters, seed, without=without) if "ndcg" in each else None,
        **summary(ranked.measured, ranked.length, without),
        within_radius=radius.radius_points(sums["radii"]),
        pairs=pair_figures(ranked.pairs, ranked.pairs_length),
        per_class=_per_class(ranked, clusters, seed),
        confusion=_confusion(ranked, sums["classes"]) if sums["classes"].size else None,
        distances={"relevant": tuple(relevant.tolist()), "irrelevant": tuple((total - relevant).tolist())},
        **_by_side(*bits),
        best=best,
        worst=worst,
        query_figures=figures,
        embeddings=beside,
    )


def embedding_figures(
    values: Embeddings,
    queries: Sequence[Item],
    gallery: Sequence[Item],
    metric: str,
    *,
    without: Without,
    seed: int,
    codes: Floats | None = None,
) -> EmbeddingFigures:
    """The figures of real values, ranked by their exact distances.

    Args:
        values: Embeddings of all these items.
        queries: Labelled or not; one labelled at least.
        gallery: Likewise. A query that stands here under its own id is left out of its own ranking.
        metric: Of `embeddings.METRICS`.
        without: What becomes of queries without relevant items.
        seed: Of the bootstrap.
        codes: Average precision of the same labelled queries by codes, float64 [q], to say what hashing cost.

    Raises:
        DataError: As ``direction_report``; or a vector of zeros, for cosines.
    """
    both = values.of(queries), values.of(gallery)

    def count(work: Any, q: Ints, g: Ints, classes: Classes, own: Ints, shares: int) -> Any:
        vectors, labels = (both[0][q], both[1][g]), (classes.queries, classes.gallery)
        return embeddings.each_block(work, *vectors, metric, *labels, own=own, shared=classes.shared)

    ranked = rank(count, queries, gallery, without)
    precision, clusters = ranked.measured.each["average_precision"], clusters_of(ranked.queries)
    lost = None if codes is None else precision - codes
    means = summary(ranked.measured, ranked.length, without)
    return EmbeddingFigures(
        dimensions=values.values.shape[1],
        interval=mean_interval(precision, clusters, seed, without=without),
        pairs=pair_figures(ranked.pairs, ranked.pairs_length),
        cost=None if lost is None else ranking.mean(lost, without=without),
        cost_interval=None if lost is None else mean_interval(lost, clusters, seed, without=without),
        **{
            name: means[name]
            for name in ("map", "chance_map", "anmrr", "precision_at", "recall_at", "f1_at", "ndcg_at")
        },
    )


def bit_use(codes: HashCodes) -> dict[str, Any]:
    """What the bits of codes are like: the figures of one side by the names of ``DirectionReport``."""
    bits = unpack(codes.words, codes.bits)
    balance = bits.mean(axis=0)
    return {
        "distinct_codes": len(np.unique(_as_one(codes.words))),
        "bits_constant": tuple(np.flatnonzero((balance == 0) | (balance == 1)).tolist()),
        "bit_balance": tuple(balance.tolist()),
        "bit_correlation": bit_correlation(bits),
    }


def _by_side(queries: Mapping[str, Any], gallery: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"queries": value, "gallery": gallery[name]} for name, value in queries.items()}


def _as_one(words: np.ndarray) -> np.ndarray:
    """Each code as one value that can be sorted."""
    return (
        words[:, 0] if words.shape[1] == 1 else np.ascontiguousarray(words).view([("", words.dtype)] * words.shape[1])
    )


def bit_correlation(bits: np.ndarray) -> float | None:
    """The mean absolute correlation between two of the bits that change, bool [n, K]; None with fewer than two."""
    values = bits[:, (bits != bits[:1]).any(axis=0)].astype(np.float64)
    if values.shape[1] < 2:
        return None
    values -= values.mean(axis=0)
    values /= np.linalg.norm(values, axis=0)
    between = np.abs(values.T @ values)[np.triu_indices(values.shape[1], 1)]
    return min(float(between.mean()), 1.0)


def _per_class(ranked: Ranked, clusters: Ints, seed: int) -> dict[str, ClassFigures]:
    """Figures for each class of the queries, by name; a query of several labels counts with each."""
    each, figures, classes = ranked.measured.each, {}, ranked.classes
    for place, name in enumerate(classes.names):
        mine = classes.having(classes.queries, place)
        if not mine.any():
            continue
        precision, chance = (each[f"{which}average_precision"][mine] for which in ("", "chance_"))
        has = ~np.isnan(precision)
        figures[name] = ClassFigures(
            n_queries=int(mine.sum()),
            map=float(precision[has].mean()) if has.any() else None,
            chance_map=float(chance[has].mean()) if has.any() else None,
            interval=interval(precision[has], clusters[mine][has], seed) if has.any() else None,
        )
    return figures


def _class_sums(classes: Classes, block: Block) -> Floats:
    """The queries' shares of each class, float64 [b, c], added up by the classes of the query: [c, c]."""
    shares, numbers = block.classes, classes.queries[block.rows]
    if not shares.shape[1]:
        return np.zeros((0, 0))
    if classes.holds is not None:
        shares = shares @ classes.holds
    return np.stack([shares[classes.having(numbers, place)].sum(axis=0) for place in range(len(classes.names))])


def _confusion(ranked: Ranked, sums: Floats) -> Confusion:
    """The mean of the queries' shares, by their class."""
    classes = ranked.classes
    times = np.array([classes.having(classes.queries, place).sum() for place in range(len(classes.names))])
    rows = sums / np.maximum(times, 1)[:, None]
    return Confusion(classes.names, tuple(map(tuple, rows.tolist())))


def _query_figures(ranked: Ranked) -> tuple[QueryFigure, ...]:
    precision = ranked.measured.each["average_precision"].tolist()
    ranks = ranked.pairs["pair_rank"][ranked.rows].tolist()
    return tuple(
        QueryFigure(item.id, item.label or "", _known(value), _known(rank), item.pair)
        for item, value, rank in zip(ranked.queries, precision, ranks, strict=True)
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _extremes(figures: Sequence[QueryFigure]) -> tuple[tuple[QueryFigure, ...], tuple[QueryFigure, ...]]:
    """The best query of each class, best first, and the worst of each, worst first; ties by order."""
    known = [figure for figure in figures if figure.average_precision is not None]
    values = np.array([figure.average_precision for figure in known], dtype=np.float64)
    chosen = []
    for order in (np.argsort(-values, kind="stable"), np.argsort(values, kind="stable")):
        first: dict[str, QueryFigure] = {}
        for row in order.tolist():
            first.setdefault(known[row].label, known[row])
        chosen.append(tuple([*first.values()][:KEPT]))
    return chosen[0], chosen[1]
