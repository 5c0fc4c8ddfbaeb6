"""A report in the terminal: a table that fits 80 columns.

Comes in: a report. No torch in this room.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from dtbh.evaluation.values import DirectionReport, RetrievalReport


def describe(report: RetrievalReport) -> str:
    """The report as a table that fits 80 columns; chance levels stand in parentheses.

    Returns:
        Lines of at most 80 characters.
    """
    lines = textwrap.wrap(f"{report.bits} bits, protocol {report.protocol}, encoder {report.encoder}", 80)
    names = list(report.directions)
    for start in range(0, len(names), 2):
        lines += _table(report, names[start : start + 2])
    notes = [
        f"Relevant: {report.relevance}. Ties: {report.ties}.",
        "mAP stands with its 95 % bootstrap interval, images drawn with all their sounds.",
        f"Checkpoint: {report.checkpoint_rule}.",
        f"Splits: {report.sizes}.",
        f"Leaks from training: {report.leaks}.",
    ]
    lines += [line for note in notes for line in textwrap.wrap(note, 80)]
    return "\n".join(lines)


def _table(report: RetrievalReport, names: Sequence[str]) -> list[str]:
    """One or two directions side by side."""
    columns = [_column(report.directions[name]) for name in names]
    lines = [f"{'(chance)':<18}" + "".join(f"{name:>31}" for name in names), "-" * 80]
    for row in dict.fromkeys(key for column in columns for key in column):
        lines.append(f"{row:<18}" + "".join(f"{column.get(row, '-'):>31}" for column in columns))
    return [*lines, "-" * 80]


def _column(direction: DirectionReport) -> dict[str, str]:
    """One direction's rows of the table."""
    interval = "" if direction.interval is None else " [{:.3f}, {:.3f}]".format(*direction.interval)
    rows = {"mAP": f"{direction.map:.3f}{interval} ({direction.chance_map:.3f})"}
    for name, shown in (("precision", "precision"), ("recall", "recall"), ("f1", "F1"), ("ndcg", "NDCG")):
        values, chance = getattr(direction, f"{name}_at"), getattr(direction, f"chance_{name}_at")
        for k in values:
            rows[f"{shown}@{k}"] = f"{values[k]:.3f} ({chance[k]:.3f})"
    if direction.pairs is not None:
        pairs = direction.pairs
        for k in pairs.hit_at:
            rows[f"true pair R@{k}"] = f"{pairs.hit_at[k]:.3f} ({pairs.chance_hit_at[k]:.3f})"
        rows["median pair rank"] = f"{pairs.median_rank:.1f} ({pairs.chance_median_rank:.1f})"
    rows["queries"] = f"{direction.n_queries:,}"
    rows["gallery"] = f"{direction.n_gallery:,} ({direction.gallery})"
    rows["without relevant"] = f"{direction.queries_without_relevant:,}"
    rows["without label"] = " / ".join(f"{direction.unlabelled[side]:,}" for side in ("queries", "gallery"))
    rows["distinct codes"] = " / ".join(f"{direction.distinct_codes[s]:,}" for s in ("queries", "gallery"))
    rows["constant bits"] = " / ".join(str(len(direction.bits_constant[s])) for s in ("queries", "gallery"))
    return rows
