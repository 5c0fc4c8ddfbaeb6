"""One page across the reports of several runs: mAP against code length, the table that papers print, and the runs.

Runs of one series and one code length are the seeds that a mean is taken over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from dtbh.evaluation.page.axes import Plot, Scale
from dtbh.evaluation.page.html import WAYS, bar, count, document, figure, table
from dtbh.evaluation.results.tables import CHANCE, NONE, Cell, Table
from dtbh.evaluation.results.values import RetrievalReport

COLOURS = ("one", "two", "three", "four", "five", "six")
STEP = 0.05  # of mAP, between two ticks at least


@dataclass(frozen=True)
class Run:
    """One run of the page.

    Attributes:
        series: What its line is called; runs of a sweep share it. May be empty where there is one series.
        name: Its own.
        link: To its own page, from this one.
        report: Its figures.
    """

    series: str
    name: str
    link: str
    report: RetrievalReport


def overview(runs: Sequence[Run]) -> str:
    """The whole page as one string of HTML.

    Args:
        runs: One or more.
    """
    ways = [way for way in WAYS if any(way in run.report.directions for run in runs)]
    galleries = {one.gallery for run in runs for one in run.report.directions.values()}
    protocols = {run.report.protocol for run in runs}
    apart = ""
    for what, found in (("protocols", protocols), ("galleries", galleries)):
        if len(found) > 1:
            apart += f"The {what} differ ({escape(', '.join(sorted(found)))}): such figures do not compare. "
    head = f"<header><h1>{count(len(runs), 'run')} <span>side by side</span></h1></header>"
    leaks = dict.fromkeys(run.report.leaks for run in runs if run.report.leakage.get("test_sounds", 1))
    said = f"Leaks from training: {escape(', or '.join(leaks))}." if leaks else ""
    warned = f'<section class="leaks"><p>{apart}{said}</p></section>' if apart or said else ""
    colours = {way: WAYS[way][0] if len(_series(runs)) == 1 else "" for way in ways}  # else colours tell the series
    drawn = "".join(
        f'<div class="{colours[way]}">{figure(_title(way), across_bits(runs, way), CAPTION)}</div>' for way in ways
    )
    tables = "".join(f'<div class="means {colours[way]}">{_means(runs, way)}</div>' for way in ways)
    body = f'{head}{warned}<h3>mAP against bits</h3><div class="pairs">{drawn}</div><h3>Mean and spread</h3>'
    return document(f"{count(len(runs), 'run')} side by side", f"{body}{tables}<h3>Runs</h3>{_runs(runs, colours)}")


CAPTION = "One dot a run, the line through the means of the seeds. The axis begins where the figures do, not at 0."


def _title(way: str) -> str:
    return f'<span class="way">{WAYS[way][2]}</span>'


def across_bits(runs: Sequence[Run], way: str) -> str:
    """The mAP of one direction over code lengths on a logarithmic scale, one line a series, as SVG."""
    made = _table(runs)
    cells = {
        series: {bits: cell for bits, cell in zip(made.bits, line, strict=True) if cell is not None}
        for series, line in made.rows(way).items()
    }
    values = [value for line in cells.values() for cell in line.values() for value in cell.values]
    lengths = sorted({bits for line in cells.values() for bits in line})
    low = max(math.floor((min(values) - 0.01) / STEP) * STEP, 0.0)
    high = min(math.ceil((max(values) + 0.01) / STEP) * STEP, 1.0)
    every = max(1, round((high - low) / STEP / 5))
    marks = [round(low + STEP * n, 2) for n in range(0, round((high - low) / STEP) + 1, every)]
    x = Scale(lengths[0] / 1.15, lengths[-1] * 1.15, tuple((bits, str(bits)) for bits in lengths), log=True)
    said = "; ".join(
        f"{series or 'mean'} " + ", ".join(f"{cell.mean:.3f} at {bits}" for bits, cell in line.items())
        for series, line in cells.items()
    )
    right = 110 if len(made.methods) > 1 else 14
    plot = Plot(f"mAP against bits: {said}.", x, Scale(low, high, tuple((mark, f"{mark:g}") for mark in marks)),
                x_label="bits of a code (logarithmic)", y_label="mAP", right=right)  # fmt: skip
    for number, series in enumerate(made.methods):  # a series has one colour in every direction
        line = cells.get(series)
        if not line:
            continue
        kind = "own" if len(made.methods) == 1 else f"{COLOURS[number % 6]} own" + " dashed" * (number >= 6)
        plot.line([(bits, cell.mean) for bits, cell in line.items()], kind=kind, label=series)
        for bits, cell in line.items():
            for value in cell.values:
                plot.dot(bits, value, kind=f"{kind} hollow", note=f"{series} {bits} bits: {value:.3f}".strip())
    return plot.svg()


def _series(runs: Sequence[Run]) -> list[str]:
    return list(dict.fromkeys(run.series for run in runs))


def _table(runs: Sequence[Run]) -> Table:
    return Table.of({series: [run.report for run in runs if run.series == series] for series in _series(runs)})


def _means(runs: Sequence[Run], way: str) -> str:
    """The table that papers print, of one direction, without lengths that none was run at."""
    made = _table(runs)
    there = [n for n, chance in enumerate(made.chance(way)) if chance is not None]
    rows = [[escape(series or "mAP"), *(_spread(line[n]) for n in there)] for series, line in made.rows(way).items()]
    rows.append([CHANCE, *(f"{chance:.3f}" for chance in made.chance(way) if chance is not None)])
    return f"<h4>{_title(way)}</h4>{table(['bits', *(str(made.bits[n]) for n in there)], rows, wide=True)}"


def _spread(cell: Cell | None) -> str:
    """Mean and standard deviation over seeds."""
    return NONE if cell is None else f"{cell.text()}<small>{count(len(cell.values), 'run')}</small>"


def _runs(runs: Sequence[Run], colours: Mapping[str, str]) -> str:
    """Every run with its figures, leading to its own page."""
    rows = []
    for run in runs:
        cells = [
            f'<span class="{colour or "plain"}">{one.map:.3f}{bar(one.map, one.chance_map, one.interval)}</span>'
            if (one := run.report.directions.get(way)) else "–"
            for way, colour in colours.items()
        ]  # fmt: skip
        name = f'<a href="{escape(run.link)}">{escape(run.name)}</a>'
        rows.append([name, str(run.report.bits), escape(run.report.protocol), *cells])
    titles = (f'<span class="{colour}">{_title(way)}</span>' for way, colour in colours.items())
    head = ["run", "bits", "protocol", *titles]
    return table(head, rows, kind="runs", wide=True)
