"""From codes to a report: both directions, each figure beside its chance level.

Comes in: the hash codes of the images and the sounds of one split, made by one encoder, with what is known
of the splits. The gallery is all given codes of the other modality. No torch in this room.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dtbh.codes import HashCodes, check_same, unpack
from dtbh.errors import DataError
from dtbh.evaluation import ranking
from dtbh.evaluation.ranking import Floats, Ints
from dtbh.evaluation.values import (
    DIRECTIONS,
    ClassFigures,
    DirectionReport,
    PairFigures,
    QueryFigure,
    RetrievalReport,
)

__all__ = ["DIRECTIONS", "DirectionReport", "RetrievalReport", "describe", "evaluate"]

AT = (1, 5, 10, 20, 50)
PAIRS_AT = (1, 5, 10)
RESAMPLES = 1000
KEPT = 12  # best and worst queries named in a report, at most


def evaluate(
    images: HashCodes,
    sounds: HashCodes,
    *,
    protocol: str,
    splits: Mapping[str, Mapping[str, int]],
    leakage: Mapping[str, Any],
    checkpoint_rule: str,
    seed: int = 0,
) -> RetrievalReport:
    """Evaluate both directions: every sound as a query over the images, every image over the sounds.

    Items without a label are counted and left out where the class decides; they stay in the gallery where
    the true pair decides.

    Args:
        images: Codes of images, n >= 1.
        sounds: Codes of sounds, of the same encoder and length.
        protocol: The protocol's name.
        splits: For each split, counts of its items.
        leakage: ``Leakage.to_dict()`` of ``dtbh.data.splits``, or empty where training is not known.
        checkpoint_rule: How the checkpoint was chosen.
        seed: Of the bootstrap; the same seed gives the same report.

    Raises:
        CodesError: Different lengths or encoders.
        DataError: No codes, sounds among the images, no labels at all, one class only, or no query with a
            relevant item.
    """
    for name, codes in (("image", images), ("sound", sounds)):
        _check(name, codes)
    check_same(sounds, images.bits, images.encoder, of="those of the images")
    known = {item.label for item in (*images.items, *sounds.items) if item.label is not None}
    if len(known) == 1:
        raise DataError(
            f"all labelled items are of one class, {known.pop()}: every ranking would be perfect; "
            "evaluate on two classes or more"
        )
    return RetrievalReport(
        bits=images.bits,
        encoder=images.encoder,
        protocol=protocol,
        splits={name: dict(counts) for name, counts in splits.items()},
        leakage=dict(leakage),
        checkpoint_rule=checkpoint_rule,
        seed=seed,
        directions={
            "sound->image": _direction(sounds, images, seed),
            "image->sound": _direction(images, sounds, seed),
        },
    )


def _check(name: str, codes: HashCodes) -> None:
    if len(codes) == 0:
        raise DataError(f"no {name} codes: the gallery is empty; choose a split that has {name}s")
    strangers = [item.id for item in codes.items if item.modality != name]
    if strangers:
        raise DataError(f"{len(strangers)} of the {name} codes are not of {name}s, the first is {strangers[0]}")
    if all(item.label is None for item in codes.items):
        raise DataError(
            f"none of {len(codes)} {name}s has a label, so nothing is relevant by class; give labels in the manifest"
        )


def _labelled(codes: HashCodes) -> HashCodes:
    return codes.select(np.array([item.label is not None for item in codes.items]))


def _direction(all_queries: HashCodes, all_gallery: HashCodes, seed: int) -> DirectionReport:
    """One direction's figures."""
    queries, gallery = _labelled(all_queries), _labelled(all_gallery)
    names = [item.label or "" for item in queries.items]
    query_labels, gallery_labels = ranking.group_numbers(names, [item.label for item in gallery.items])
    relevant, total = ranking.distance_counts(queries.words, gallery.words, query_labels, gallery_labels, queries.bits)
    precision = ranking.average_precision(relevant, total)
    at = [k for k in AT if k <= len(gallery)]
    chance = ranking.all_tied(relevant, total)
    sides = {"queries": all_queries, "gallery": all_gallery}
    balance = {side: unpack(codes.words, codes.bits).mean(axis=0) for side, codes in sides.items()}
    best, worst = _extremes([item.id for item in queries.items], names, precision)
    return DirectionReport(
        map=ranking.mean(precision),
        chance_map=ranking.chance_map(query_labels, gallery_labels),
        interval=_interval(precision, seed),
        n_queries=len(queries),
        n_gallery=len(gallery),
        queries_without_relevant=int(np.isnan(precision).sum()),
        unlabelled={
            "queries": len(all_queries) - len(queries),
            "gallery": len(all_gallery) - len(gallery),
        },
        precision_at=_means(at, ranking.precision_at(relevant, total, at)),
        chance_precision_at=_means(at, ranking.precision_at(*chance, at)),
        recall_at=_means(at, ranking.recall_at(relevant, total, at)),
        chance_recall_at=_means(at, ranking.recall_at(*chance, at)),
        pairs=_pairs(all_queries, all_gallery),
        pr_curve=ranking.precision_recall_curve(relevant, total),
        per_class=_per_class(names, query_labels, gallery_labels, precision),
        distances={
            "relevant": tuple(relevant.sum(axis=0).tolist()),
            "irrelevant": tuple((total - relevant).sum(axis=0).tolist()),
        },
        distinct_codes={side: len(np.unique(codes.words, axis=0)) for side, codes in sides.items()},
        bits_constant={
            side: tuple(np.flatnonzero((ones == 0) | (ones == 1)).tolist()) for side, ones in balance.items()
        },
        bit_balance={side: tuple(ones.tolist()) for side, ones in balance.items()},
        best=best,
        worst=worst,
    )


def _means(at: Sequence[int], values: Floats) -> dict[int, float]:
    """The mean over queries for each k."""
    return {k: ranking.mean(values[:, column]) for column, k in enumerate(at)}


def _interval(values: Floats, seed: int) -> tuple[float, float] | None:
    """95 % percentile bootstrap of the mean over queries; None with fewer than two."""
    from scipy.stats import bootstrap

    known = values[~np.isnan(values)]
    if len(known) < 2:
        return None
    found = bootstrap(
        (known,),
        np.mean,
        n_resamples=RESAMPLES,
        batch=max(1, 4_000_000 // len(known)),
        method="percentile",
        random_state=np.random.default_rng(seed),
    ).confidence_interval
    return min(float(found.low), 1.0), min(float(found.high), 1.0)


def _pairs(queries: HashCodes, gallery: HashCodes) -> PairFigures | None:
    """The figures on true pairs; None where no query's pair is in the gallery."""
    numbers = ranking.group_numbers([item.pair for item in queries.items], [item.pair for item in gallery.items])
    paired = np.isin(numbers[0], numbers[1]) & (numbers[0] >= 0)
    if not paired.any():
        return None
    tables = ranking.distance_counts(queries.words[paired], gallery.words, numbers[0][paired], numbers[1], queries.bits)
    chance = ranking.all_tied(*tables)
    at = [k for k in PAIRS_AT if k <= len(gallery)]
    return PairFigures(
        n_queries=int(paired.sum()),
        n_gallery=len(gallery),
        queries_without_pair=int((~paired).sum()),
        hit_at=_means(at, ranking.hit_at(*tables, at)),
        chance_hit_at=_means(at, ranking.hit_at(*chance, at)),
        median_rank=ranking.median_rank(*tables),
        chance_median_rank=ranking.median_rank(*chance),
    )


def _per_class(
    names: Sequence[str], query_labels: Ints, gallery_labels: Ints, precision: Floats
) -> dict[str, ClassFigures]:
    """Figures for each class of the queries, by name."""
    numbers = dict(zip(names, query_labels.tolist(), strict=True))
    figures = {}
    for name in sorted(numbers):
        mine = query_labels == numbers[name]
        found = bool((gallery_labels == numbers[name]).any())
        figures[name] = ClassFigures(
            n_queries=int(mine.sum()),
            map=ranking.mean(precision[mine]) if found else None,
            chance_map=ranking.chance_map(query_labels[mine], gallery_labels) if found else None,
        )
    return figures


def _extremes(
    ids: Sequence[str], names: Sequence[str], precision: Floats
) -> tuple[tuple[QueryFigure, ...], tuple[QueryFigure, ...]]:
    """The best query of each class, best first, and the worst of each, worst first; ties by order."""
    ranked = [int(row) for row in np.argsort(precision, kind="stable") if not np.isnan(precision[row])]
    chosen = []
    for rows in (sorted(ranked, key=lambda row: -precision[row]), ranked):
        first: dict[str, int] = {}
        for row in rows:
            first.setdefault(names[row], row)
        chosen.append(tuple(QueryFigure(ids[row], float(precision[row])) for row in [*first.values()][:KEPT]))
    return chosen[0], chosen[1]


def describe(report: RetrievalReport) -> str:
    """The report as a table that fits 80 columns; chance levels stand in parentheses.

    Returns:
        Lines of at most 80 characters.
    """
    lines = [
        *textwrap.wrap(f"{report.bits} bits, protocol {report.protocol}, encoder {report.encoder}", 80),
        f"{'(chance)':<18}{DIRECTIONS[0]:>31}{DIRECTIONS[1]:>31}",
        "-" * 80,
    ]
    columns = [_column(report.directions[name]) for name in DIRECTIONS]
    for name in dict.fromkeys(key for column in columns for key in column):
        lines.append(f"{name:<18}" + "".join(f"{column.get(name, '-'):>31}" for column in columns))
    lines.append("-" * 80)
    notes = [
        f"Relevant: {report.relevance}. Ties: {report.ties}.",
        "mAP stands with its 95 % bootstrap interval over queries.",
        f"Checkpoint: {report.checkpoint_rule}.",
        f"Splits: {report.sizes}.",
        f"Leaks from training: {report.leaks}.",
    ]
    lines += [line for note in notes for line in textwrap.wrap(note, 80)]
    return "\n".join(lines)


def _column(direction: DirectionReport) -> dict[str, str]:
    """One direction's rows of the table."""
    interval = "" if direction.interval is None else " [{:.3f}, {:.3f}]".format(*direction.interval)
    rows = {"mAP": f"{direction.map:.3f}{interval} ({direction.chance_map:.3f})"}
    for k in direction.precision_at:
        rows[f"precision@{k}"] = f"{direction.precision_at[k]:.3f} ({direction.chance_precision_at[k]:.3f})"
    for k in direction.recall_at:
        rows[f"recall@{k}"] = f"{direction.recall_at[k]:.3f} ({direction.chance_recall_at[k]:.3f})"
    if direction.pairs is not None:
        pairs = direction.pairs
        for k in pairs.hit_at:
            rows[f"true pair R@{k}"] = f"{pairs.hit_at[k]:.3f} ({pairs.chance_hit_at[k]:.3f})"
        rows["median pair rank"] = f"{pairs.median_rank:.1f} ({pairs.chance_median_rank:.1f})"
    rows["queries"] = f"{direction.n_queries:,}"
    rows["gallery"] = f"{direction.n_gallery:,}"
    rows["without relevant"] = f"{direction.queries_without_relevant:,}"
    rows["without label"] = " / ".join(f"{direction.unlabelled[side]:,}" for side in ("queries", "gallery"))
    rows["distinct codes"] = " / ".join(f"{direction.distinct_codes[s]:,}" for s in ("queries", "gallery"))
    rows["constant bits"] = " / ".join(str(len(direction.bits_constant[s])) for s in ("queries", "gallery"))
    return rows
