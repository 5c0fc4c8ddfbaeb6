"""A report in the terminal, in 80 columns: one block a direction, each figure beside its chance level."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from dtbh.evaluation.metrics.map_variants import CONVENTIONS
from dtbh.evaluation.metrics.measures import known_measures
from dtbh.evaluation.results.values import WITHOUT, DirectionReport, RetrievalReport

WIDTH = 80
NAME = 35  # of a class, at most
MEASURES = {"precision": "precision", "recall": "recall", "f1": "F1", "ndcg": "NDCG"}


def describe(report: RetrievalReport, *, classes: bool = False) -> str:
    """The report in words and tables; chance levels stand in parentheses.

    Args:
        report: Of any directions.
        classes: Give each class a line, too.

    Returns:
        Lines of at most 80 characters.
    """
    lines = _wrapped(f"{report.bits} bits, protocol {report.protocol}, encoder {report.encoder}")
    for name, direction in report.directions.items():
        lines += ["-" * WIDTH, *_direction(name, direction, report.without)]
        if name != "image->image" and report.leakage:
            lines += _wrapped(f"leaks: {report.leaks}")
        if classes:
            lines += _classes(direction)
    lines.append("-" * WIDTH)
    for kind, (value, chance) in report.mean_recall.items():
        lines += _wrapped(f"mR of {kind}s, the mean of pair R@1, 5 and 10 both ways: {value:.3f} ({chance:.3f})")
    notes = [
        f"In parentheses: chance, what a random ranking is expected to give. Relevant: {report.relevance}. "
        f"Ties: {report.ties}. mAP stands with its 95 % bootstrap interval, images drawn with all their sounds.",
        f"Checkpoint: {report.checkpoint_rule}.",
        f"Splits: {report.sizes}.",
    ]
    if not any(line.startswith("leaks: ") for line in lines):
        notes.append(f"Leaks from training: {report.leaks}.")
    return "\n".join([*lines, *(line for note in notes for line in _wrapped(note))])


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent="  ")


def _direction(name: str, direction: DirectionReport, without: str) -> list[str]:
    """One direction's figures and counts."""
    lines = [
        f"{name:<15}mAP {_with(direction.map, direction.interval)} ({direction.chance_map:.3f})   "
        f"ANMRR {direction.anmrr:.3f} ({direction.chance_anmrr:.3f})",
        f"{'k':<10}" + "".join(f"{k:>14}" for k in direction.precision_at),
    ]
    if direction.ndcg is not None:
        graded = f"{_with(direction.ndcg, direction.ndcg_interval)} ({direction.chance_ndcg:.3f})"
        lines.insert(1, f"{'':<15}NDCG {graded}   gain: labels in common")
    for key, shown in MEASURES.items():
        lines.append(_row(shown, getattr(direction, f"{key}_at"), getattr(direction, f"chance_{key}_at")))
    for key, further in direction.more_at.items():
        known = known_measures().get(key)
        lines.append(_row(known.shown if known else key, further, direction.chance_more_at[key]))
    pairs = direction.pairs
    if pairs is not None:
        lines.append(_row("pair R@k", pairs.hit_at, pairs.chance_hit_at))
        lines += _wrapped(
            f"pair rank: median {pairs.median_rank:.1f} ({pairs.chance_median_rank:.1f}) of {pairs.n_gallery:,}"
            + (f"; {pairs.queries_without_pair:,} queries without a pair" if pairs.queries_without_pair else "")
        )
    lines.append("mAP by other conventions:")
    for key, value in direction.conventions.items():
        chance = f" ({direction.chance_conventions[key]:.3f})" if key in direction.chance_conventions else ""
        words = f"{value:.3f}{chance} {CONVENTIONS[key].meaning} ({CONVENTIONS[key].used_by})"
        lines += textwrap.wrap(words, WIDTH, initial_indent="  ", subsequent_indent=" " * 16)
    for metric, values in direction.embeddings.items():
        what = f"real values of {values.dimensions} dimensions, {metric} distances"
        text = f"{what}: mAP {_with(values.map, values.interval)}"
        cost = "" if values.cost is None else f"; hashing cost {_with(values.cost, values.cost_interval)}"
        lines += _wrapped(text + cost)
    lines += _wrapped(_counts(direction, without))
    return lines


def _classes(direction: DirectionReport) -> list[str]:
    """One line a class, best first."""
    lines = [f"{'class':<{NAME + 1}}{'queries':>9}{'mAP':>35}"]
    ranked = sorted(direction.per_class.items(), key=lambda entry: (-(entry[1].map or 0.0), entry[0]))
    for name, one in ranked:
        figure = "nothing relevant" if one.map is None else f"{_with(one.map, one.interval)} ({one.chance_map:.3f})"
        lines.append(f"{_short(name):<{NAME + 1}}{one.n_queries:>9,}{figure:>35}")
    return lines


def _short(name: str) -> str:
    """Both ends of a name that is too long: classes often differ in the last letters alone."""
    half = NAME // 2
    return name if len(name) <= NAME else f"{name[:half]}…{name[-half:]}"


def _with(value: float, interval: tuple[float, float] | None) -> str:
    """A figure and its interval; what rounds to 0 has no sign."""
    return f"{value:z.3f}" + ("" if interval is None else " [{:z.3f}, {:z.3f}]".format(*interval))


def _row(name: str, values: Mapping[int, float], chance: Mapping[int, float]) -> str:
    return f"{name:<10}" + "".join(f"{f'{values[k]:.3f} ({chance[k]:.3f})':>14}" for k in values)


def _counts(direction: DirectionReport, without: str) -> str:
    """How many queries and gallery items, and what was left out of them."""
    distinct, constant = direction.distinct_codes, direction.bits_constant
    parts = [f"{direction.n_queries:,} queries over a gallery of {direction.n_gallery:,} ({direction.gallery})"]
    if direction.queries_without_relevant:
        parts.append(f"{direction.queries_without_relevant:,} queries without anything relevant, {WITHOUT[without]}")
    if any(direction.unlabelled.values()):
        parts.append(
            "without a label {queries:,} queries and {gallery:,} of the gallery".format(**direction.unlabelled)
        )
    parts.append(f"distinct codes {distinct['queries']:,} and {distinct['gallery']:,}")
    if any(constant.values()):
        parts.append(f"bits that never change {len(constant['queries'])} and {len(constant['gallery'])}")
    return "; ".join(parts)
