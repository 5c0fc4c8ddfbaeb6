"""One direction's figures, each beside its chance level, from the codes of queries and gallery.

Comes in: codes of one encoder whose items carry labels and pairs. Queries go through in blocks; of each only
its own few figures are kept. No torch in this room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dtbh.codes import HashCodes, unpack
from dtbh.evaluation import conventions as conventional
from dtbh.evaluation import ranking
from dtbh.evaluation.conventions import CONVENTIONS
from dtbh.evaluation.counts import Floats, Ints, count_blocks, distance_counts, group_numbers
from dtbh.evaluation.intervals import clusters_of, interval
from dtbh.evaluation.ranking import Without
from dtbh.evaluation.values import ClassFigures, Confusion, CutPoint, DirectionReport, PairFigures, QueryFigure

AT = (1, 5, 10, 20, 50)
PAIRS_AT = (1, 5, 10)
KEPT = 12  # best and worst queries named in a report, at most
MOST_CLASSES = 100  # in a confusion
MEASURES = {
    "precision_at": ranking.precision_at,
    "recall_at": ranking.recall_at,
    "f1_at": ranking.f1_at,
    "ndcg_at": ranking.ndcg_at,
}


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
    queries, found = _labelled(all_queries), _labelled(all_gallery)
    names = [item.label or "" for item in queries.items]
    gallery_names = [item.label or "" for item in found.items]
    labels = sorted({*names, *gallery_names})
    query_labels, gallery_labels = group_numbers(names, gallery_names)
    own = _own_rows(queries, found)
    length = len(found) - int((own >= 0).any())
    at, curve_at = [k for k in AT if k <= length], ranking.log_spaced(length)
    distances, radii = np.zeros((2, queries.bits + 1), dtype=np.int64), np.zeros((5, queries.bits + 1))
    parts: list[dict[str, Floats]] = []
    blocks = count_blocks(
        queries.words, found.words, query_labels, gallery_labels, queries.bits, own=own,
        classes=len(labels) if len(labels) <= MOST_CLASSES else 0,
    )  # fmt: skip
    for block in blocks:
        tables = block.relevant, block.total
        conventions = {"ap stable_order": block.stable, **_conventions(*tables, min(length, conventional.K))}
        parts.append({**_measured(*tables, at, curve_at), **conventions, "classes": block.classes})
        distances += np.stack([block.relevant.sum(axis=0), (block.total - block.relevant).sum(axis=0)])
        radii += ranking.radius_sums(*tables, without=without)
    each = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    pairs, pair_ranks = _pairs(all_queries, all_gallery)
    figures = _query_figures(queries, each["average_precision"], pair_ranks)
    best, worst = _extremes(figures)
    sides = {"queries": all_queries, "gallery": all_gallery}
    bits = {side: unpack(codes.words, codes.bits) for side, codes in sides.items()}
    balance = {side: values.mean(axis=0) for side, values in bits.items()}
    scores = ranking.settled(each["average_precision"], without)
    counted = ~np.isnan(each["average_precision"]) | (without == "zero")
    clusters = clusters_of(queries.items)
    return DirectionReport(
        gallery=gallery,
        map=float(scores.mean()),
        chance_map=ranking.mean(each["chance_average_precision"], without=without),
        interval=interval(scores, clusters[counted], seed),
        n_queries=len(queries),
        n_gallery=length,
        queries_without_relevant=int(np.isnan(each["average_precision"]).sum()),
        unlabelled={"queries": len(all_queries) - len(queries), "gallery": len(all_gallery) - len(found)},
        **{name: _means(at, values, without) for name, values in each.items() if name.endswith("_at")},
        precision_curve=_curve(curve_at, each, without),
        within_radius=ranking.radius_points(radii),
        conventions={name: ranking.mean(each[f"ap {name}"], without=without) for name in CONVENTIONS},
        anmrr=ranking.mean(each["nmrr"], without=without),
        chance_anmrr=ranking.mean(each["chance_nmrr"], without=without),
        pairs=pairs,
        per_class=_per_class(names, each, clusters, seed),
        confusion=_confusion(labels, query_labels, each["classes"]),
        distances={name: tuple(row) for name, row in zip(("relevant", "irrelevant"), distances.tolist(), strict=True)},
        distinct_codes={side: len(np.unique(codes.words, axis=0)) for side, codes in sides.items()},
        bits_constant={
            side: tuple(np.flatnonzero((ones == 0) | (ones == 1)).tolist()) for side, ones in balance.items()
        },
        bit_balance={side: tuple(ones.tolist()) for side, ones in balance.items()},
        bit_correlation={side: bit_correlation(values) for side, values in bits.items()},
        best=best,
        worst=worst,
        query_figures=figures,
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


def _labelled(codes: HashCodes) -> HashCodes:
    return codes.select(np.array([item.label is not None for item in codes.items]))


def _own_rows(queries: HashCodes, gallery: HashCodes) -> Ints:
    """Where each query stands in the gallery itself, int64 [q]; -1 where it does not."""
    rows = {item.id: row for row, item in enumerate(gallery.items)}
    modality = {item.id: item.modality for item in gallery.items}
    return np.array([rows[i.id] if modality.get(i.id) == i.modality else -1 for i in queries.items], dtype=np.int64)


def _measured(relevant: Ints, total: Ints, at: Sequence[int], curve_at: Sequence[int]) -> dict[str, Floats]:
    """The figures of each query of a block, by name: [b] or [b, k]."""
    figures = {"average_precision": ranking.average_precision(relevant, total)}
    chance = ranking.all_tied(relevant, total)
    figures["chance_average_precision"] = ranking.average_precision(*chance)
    figures["nmrr"], figures["chance_nmrr"] = ranking.nmrr(relevant, total), ranking.nmrr(*chance)
    for name, measure in MEASURES.items():
        figures[name] = measure(relevant, total, at)
        figures[f"chance_{name}"] = measure(*chance, at)
    figures["curve_precision"] = ranking.precision_at(relevant, total, curve_at)
    figures["curve_recall"] = ranking.recall_at(relevant, total, curve_at)
    return figures


def _conventions(relevant: Ints, total: Ints, k: int) -> dict[str, Floats]:
    """Average precision of each query of a block by the conventions that need no order."""
    return {f"ap {name}": one.at_k(relevant, total, k) for name, one in CONVENTIONS.items() if one.at_k is not None}


def _means(at: Sequence[int], values: Floats, without: Without) -> dict[int, float]:
    """The mean over queries for each k."""
    means = np.minimum(ranking.settled(values, without).mean(axis=0), 1.0)
    return dict(zip(at, means.tolist(), strict=True))


def _curve(at: Sequence[int], each: Mapping[str, Floats], without: Without) -> tuple[CutPoint, ...]:
    precision, recall = (_means(at, each[f"curve_{name}"], without) for name in ("precision", "recall"))
    return tuple(CutPoint(k, precision[k], recall[k]) for k in at)


def _pairs(queries: HashCodes, gallery: HashCodes) -> tuple[PairFigures | None, dict[str, float]]:
    """The figures on true pairs and each query's rank of its own; None where no query's pair is in the gallery."""
    numbers = group_numbers([item.pair for item in queries.items], [item.pair for item in gallery.items])
    own = _own_rows(queries, gallery)
    tables = distance_counts(queries.words, gallery.words, *numbers, queries.bits, own=own)
    paired = tables[0].sum(axis=1) > 0
    if not paired.any():
        return None, {}
    relevant, total = tables[0][paired], tables[1][paired]
    chance = ranking.all_tied(relevant, total)
    length = int(total.sum(axis=1).min())
    at = [k for k in PAIRS_AT if k <= length]
    ranks = ranking.first_rank(relevant, total)
    figures = PairFigures(
        n_queries=int(paired.sum()),
        n_gallery=length,
        queries_without_pair=int((~paired).sum()),
        hit_at=_means(at, ranking.hit_at(relevant, total, at), "drop"),
        chance_hit_at=_means(at, ranking.hit_at(*chance, at), "drop"),
        median_rank=float(np.median(ranks)),
        chance_median_rank=ranking.median_rank(*chance),
    )
    ids = [queries.items[row].id for row in np.flatnonzero(paired)]
    return figures, dict(zip(ids, ranks.tolist(), strict=True))


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


def _confusion(labels: Sequence[str], query_labels: Ints, classes: Floats) -> Confusion | None:
    """The mean of the queries' shares, by their class."""
    if not classes.shape[1]:
        return None
    rows = np.zeros((len(labels), len(labels)))
    for label in np.unique(query_labels):
        rows[label] = classes[query_labels == label].mean(axis=0)
    return Confusion(tuple(labels), tuple(map(tuple, rows.tolist())))


def _query_figures(queries: HashCodes, precision: Floats, pair_ranks: Mapping[str, float]) -> tuple[QueryFigure, ...]:
    values = (None if np.isnan(value) else value for value in precision.tolist())
    return tuple(
        QueryFigure(item.id, item.label or "", value, pair_ranks.get(item.id))
        for item, value in zip(queries.items, values, strict=True)
    )


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
