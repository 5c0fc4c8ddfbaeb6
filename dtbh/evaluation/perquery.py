"""What is kept of each query, and what a report makes of all of them.

Comes in: the tables of ``counts``, block by block. No torch in this room.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dtbh.evaluation import conventions, ranking
from dtbh.evaluation.conventions import CONVENTIONS
from dtbh.evaluation.counts import Floats, Ints
from dtbh.evaluation.ranking import Without
from dtbh.evaluation.values import CutPoint

AT = (1, 5, 10, 20, 50)
MEASURES = {
    "precision_at": ranking.precision_at,
    "recall_at": ranking.recall_at,
    "f1_at": ranking.f1_at,
    "ndcg_at": ranking.ndcg_at,
}


def measured(relevant: Ints, total: Ints, length: int) -> dict[str, Floats]:
    """The figures of each query of a block, by name: [b] or [b, k]; NaN for queries without relevant items.

    Args:
        relevant: Relevant items at each distance, int64 [b, d].
        total: All items at each distance, int64 [b, d].
        length: Of the shortest ranking of all queries.
    """
    at, curve_at, k = _at(length), ranking.log_spaced(length), min(length, conventions.K)
    chance = ranking.all_tied(relevant, total)
    figures = {
        "average_precision": ranking.average_precision(relevant, total),
        "chance_average_precision": ranking.average_precision(*chance),
        "nmrr": ranking.nmrr(relevant, total),
        "chance_nmrr": ranking.nmrr(*chance),
        "curve_precision": ranking.precision_at(relevant, total, curve_at),
        "curve_recall": ranking.recall_at(relevant, total, curve_at),
    }
    for name, measure in MEASURES.items():
        figures[name], figures[f"chance_{name}"] = measure(relevant, total, at), measure(*chance, at)
    for name, one in CONVENTIONS.items():
        if one.at_k is not None:
            figures[f"ap {name}"] = one.at_k(relevant, total, k)
    return figures


def joined(parts: Sequence[Mapping[str, Floats]]) -> dict[str, Floats]:
    """The figures of all queries, from those of the blocks."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def summary(each: Mapping[str, Floats], length: int, without: Without) -> dict[str, Any]:
    """Means over queries, by the names of ``DirectionReport``.

    Args:
        each: What ``measured`` gave, of all queries.
        length: As there.
        without: What becomes of queries without relevant items.

    Raises:
        DataError: No query has a relevant item; or one has none and ``without`` is ``"error"``.
    """
    at, curve_at = _at(length), ranking.log_spaced(length)
    curves = (_means(curve_at, each[f"curve_{name}"], without) for name in ("precision", "recall"))
    single = {"map": "average_precision", "anmrr": "nmrr"}
    return {
        **{name: ranking.mean(each[key], without=without) for name, key in single.items()},
        **{f"chance_{name}": ranking.mean(each[f"chance_{key}"], without=without) for name, key in single.items()},
        **{name: _means(at, each[name], without) for measure in MEASURES for name in (measure, f"chance_{measure}")},
        "precision_curve": tuple(CutPoint(k, p[k], r[k]) for p, r in [tuple(curves)] for k in curve_at),
        "conventions": {
            name: ranking.mean(each[f"ap {name}"], without=without) for name in CONVENTIONS if f"ap {name}" in each
        },
    }


def _at(length: int) -> list[int]:
    return [k for k in AT if k <= length]


def _means(at: Sequence[int], values: Floats, without: Without) -> dict[int, float]:
    """The mean over queries for each k."""
    means = np.minimum(ranking.settled(values, without).mean(axis=0), 1.0)
    return dict(zip(at, means.tolist(), strict=True))
