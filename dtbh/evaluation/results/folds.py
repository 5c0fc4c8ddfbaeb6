"""The figures of a cross-validation: their mean and spread over the folds."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from dtbh.data.leakage import Leakage
from dtbh.errors import DataError
from dtbh.evaluation.results.values import DirectionReport, RetrievalReport

K = 10


@dataclass(frozen=True)
class Spread:
    """One figure over folds.

    Attributes:
        mean: Of the folds.
        deviation: Standard deviation of the folds, with n - 1; how far a single split may be off.
        low: The least fold's.
        high: The greatest fold's.
    """

    mean: float
    deviation: float
    low: float
    high: float


def _at(name: str) -> Callable[[DirectionReport], float | None]:
    return lambda one: getattr(one, name).get(K)


FIGURES: dict[str, Callable[[DirectionReport], float | None]] = {
    "mAP": lambda one: one.map,
    "chance mAP": lambda one: one.chance_map,
    "ANMRR": lambda one: one.anmrr,
    f"precision@{K}": _at("precision_at"),
    f"recall@{K}": _at("recall_at"),
    f"NDCG@{K}": _at("ndcg_at"),
    "NDCG": lambda one: one.ndcg,
    "pair R@1": lambda one: None if one.pairs is None else one.pairs.hit_at.get(1),
    f"pair R@{K}": lambda one: None if one.pairs is None else one.pairs.hit_at.get(K),
    "median pair rank": lambda one: None if one.pairs is None else one.pairs.median_rank,
}


def over_folds(reports: Sequence[RetrievalReport]) -> dict[str, dict[str, Spread]]:
    """Mean and spread of the main figures, by direction and name; those that a fold lacks are left out.

    Raises:
        DataError: Fewer than two reports, or reports of different directions, lengths of code or galleries.
    """
    if len(reports) < 2:
        raise DataError(f"{len(reports)} fold has no spread; give the reports of two folds or more")
    kinds = {(r.bits, r.without, *((name, one.gallery) for name, one in r.directions.items())) for r in reports}
    if len(kinds) > 1:
        raise DataError(
            "the folds differ in bits, directions, gallery or in what became of queries without relevant items; "
            "evaluate them all alike"
        )
    found: dict[str, dict[str, Spread]] = {}
    for direction in reports[0].directions:
        found[direction] = {}
        for name, figure in FIGURES.items():
            values = [value for r in reports if (value := figure(r.directions[direction])) is not None]
            if len(values) == len(reports):
                found[direction][name] = Spread(
                    float(np.mean(values)), float(np.std(values, ddof=1)), min(values), max(values)
                )
    return found


def describe_folds(reports: Sequence[RetrievalReport]) -> str:
    """``over_folds`` as a table of at most 80 columns: mean ± standard deviation, and what leaks in all folds."""
    found = over_folds(reports)
    lines = [f"{len(reports)} folds, mean ± standard deviation over folds"]
    names = list(found)
    for start in range(0, len(names), 2):
        some = names[start : start + 2]
        lines += ["-" * 80, f"{'':<18}" + "".join(f"{name:>31}" for name in some)]
        for row in dict.fromkeys(key for name in some for key in found[name]):
            cells = [found[name].get(row) for name in some]
            shown = ("-" if cell is None else f"{cell.mean:.3f} ± {cell.deviation:.3f}" for cell in cells)
            lines.append(f"{row:<18}" + "".join(f"{cell:>31}" for cell in shown))
    lines.append("-" * 80)
    for note in _notes(reports):
        lines += textwrap.wrap(note, 80, subsequent_indent="  ")
    return "\n".join(lines)


def _notes(reports: Sequence[RetrievalReport]) -> list[str]:
    """What was searched, and how many test sounds of all folds training has met."""
    protocols = dict.fromkeys(report.protocol for report in reports)
    galleries = dict.fromkeys(one.gallery for report in reports for one in report.directions.values())
    leaks = "not known"
    if all(report.leakage for report in reports):
        counts: Counter[str] = Counter()
        for report in reports:
            counts.update(report.leakage)
        leaks = Leakage(**{one.name: counts[one.name] for one in fields(Leakage)}).describe()
    return [f"Protocol: {'; '.join(protocols)}. Gallery: {', '.join(galleries)}.", f"Leaks from training: {leaks}."]
