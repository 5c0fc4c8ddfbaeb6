"""The table that papers print: rows methods, columns bits, mean and spread over seeds, one block a direction."""

from __future__ import annotations

import csv
import io
import statistics
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dtbh.errors import DataError
from dtbh.evaluation.results.values import DIRECTIONS, RetrievalReport
from dtbh.utils.files import write_text

WIDTH = 80
NONE = "–"
CHANCE = "chance"
COLUMNS = ("method", "direction", "bits", "runs", "map", "spread", "chance_map")
LATEX = str.maketrans({**{c: f"\\{c}" for c in "&%$#_{}"}, "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
                       "\\": r"\textbackslash{}"})  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """The runs of one method at one length, in one direction.

    Attributes:
        values: The mAP of each run, one or more.
        chance: What a random ranking is expected to have, their mean.
    """

    values: tuple[float, ...]
    chance: float

    @property
    def mean(self) -> float:
        """The mean over runs."""
        return statistics.mean(self.values)

    @property
    def spread(self) -> float | None:
        """The standard deviation over runs, with n - 1; None of one run."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None

    def text(self, between: str = " ± ") -> str:
        """Mean and, of several runs, spread."""
        return f"{self.mean:.3f}" + ("" if self.spread is None else f"{between}{self.spread:.3f}")


@dataclass(frozen=True)
class Table:
    """Every method's mAP at every length.

    Attributes:
        methods: The rows, in order.
        bits: The columns, in order.
        directions: The blocks, in order.
        cells: By method, direction and bits; what was not run is absent.
        notes: What a reader must know before comparing, a sentence each.
    """

    methods: tuple[str, ...]
    bits: tuple[int, ...]
    directions: tuple[str, ...]
    cells: Mapping[tuple[str, str, int], Cell]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, reports: Mapping[str, Sequence[RetrievalReport]]) -> Table:
        """The table of the reports of each method; a method without any is a row of dashes.

        Raises:
            DataError: No report at all.
        """
        known = [report for several in reports.values() for report in several]
        if not known:
            raise DataError("no reports to make a table of")
        cells: dict[tuple[str, str, int], Cell] = {}
        ways = tuple(way for way in DIRECTIONS if any(way in report.directions for report in known))
        lengths = tuple(sorted({report.bits for report in known}))
        for method, several in reports.items():
            for way in ways:
                for bits in lengths:
                    ones = [r.directions[way] for r in several if r.bits == bits and way in r.directions]
                    if ones:
                        chance = statistics.mean(one.chance_map for one in ones)
                        cells[method, way, bits] = Cell(tuple(one.map for one in ones), chance)
        return cls(tuple(reports), lengths, ways, cells, _notes(known, cells))

    def rows(self, way: str) -> dict[str, list[Cell | None]]:
        """Of one direction, the cells of each method over the lengths; None where nothing was run.

        A method that has figures in other directions alone has no row.
        """
        other = {m for m, _, _ in self.cells} - {m for m, w, _ in self.cells if w == way}
        return {m: [self.cells.get((m, way, bits)) for bits in self.bits] for m in self.methods if m not in other}

    def chance(self, way: str) -> list[float | None]:
        """Of one direction, what a random ranking is expected to have at each length: the mean over methods."""
        found = [[c.chance for (_, w, b), c in self.cells.items() if (w, b) == (way, bits)] for bits in self.bits]
        return [statistics.mean(values) if values else None for values in found]

    def text(self) -> str:
        """Lines of at most 80 characters; lengths that do not fit beside each other stand below."""
        name = min(max(len(method) for method in (*self.methods, *self.directions, CHANCE)), 26) + 1
        wide = 13 if any(cell.spread is not None for cell in self.cells.values()) else 8
        at_once = (WIDTH - name) // wide
        lines = []
        for way in self.directions:
            rows = [(method, [_or_dash(cell, "±") for cell in cells]) for method, cells in self.rows(way).items()]
            rows.append((CHANCE, [NONE if value is None else f"{value:.3f}" for value in self.chance(way)]))
            for first in range(0, len(self.bits), at_once):
                part = slice(first, first + at_once)
                lines.append(f"{way:<{name}}" + "".join(f"{f'{bits} bits':>{wide}}" for bits in self.bits[part]))
                for row, texts in rows:
                    short = row if len(row) < name else row[: name - 2] + "…"
                    lines.append(f"{short:<{name}}" + "".join(f"{text:>{wide}}" for text in texts[part]))
                lines.append("")
        for note in (self.caption, *self.notes):
            lines += textwrap.wrap(note, WIDTH, subsequent_indent="  ")
        return "\n".join(lines) + "\n"

    def markdown(self) -> str:
        """One table of all directions, a method a row, and below it what a reader must know."""
        head = ["method", *(f"{way}, {bits} bits" for way in self.directions for bits in self.bits)]
        lines = [head, ["---"] * len(head)]
        found = {way: self.rows(way) for way in self.directions}
        for method in self.methods:
            cells = [cell for way in self.directions for cell in found[way].get(method, [None] * len(self.bits))]
            lines.append([method, *map(_or_dash, cells)])
        chances = [NONE if value is None else f"{value:.3f}" for way in self.directions for value in self.chance(way)]
        lines.append([CHANCE, *chances])
        rows = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        return f"{rows}\n{' '.join((self.caption, *self.notes))}\n"

    def csv(self) -> str:
        """One line a method, direction and length, all digits."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(COLUMNS)
        for (method, way, bits), cell in self.cells.items():
            writer.writerow([method, way, bits, len(cell.values), cell.mean, cell.spread, cell.chance])
        return text.getvalue()

    def latex(self) -> str:
        """A ``tabular`` with the rules of booktabs; the best mean of each column, as printed, is bold."""
        columns = len(self.bits)
        lines = [f"% {note}" for note in (self.caption, *self.notes)]
        lines += [rf"\begin{{tabular}}{{l{'r' * columns}}}", r"\toprule"]
        lines.append(" & ".join(["", *(f"{bits} bits" for bits in self.bits)]) + r" \\")
        for way in self.directions:
            title = way.replace("->", r" $\rightarrow$ ")
            lines += [r"\midrule", rf"\multicolumn{{{columns + 1}}}{{l}}{{\emph{{{title}}}}} \\"]
            rows = self.rows(way)
            best = [max((f"{cell.mean:.3f}" for cell in column if cell), default="")
                    for column in zip(*rows.values(), strict=True)]  # fmt: skip
            for method, cells in rows.items():
                texts = [_latex(cell, best[column]) for column, cell in enumerate(cells)]
                lines.append(" & ".join([method.translate(LATEX), *texts]) + r" \\")
            chances = ["--" if value is None else f"{value:.3f}" for value in self.chance(way)]
            lines.append(" & ".join([CHANCE, *chances]) + r" \\")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"

    @property
    def caption(self) -> str:
        """What the figures are."""
        several = any(cell.spread is not None for cell in self.cells.values())
        return "mAP, exact over ties" + ("; mean and standard deviation over seeds." if several else ".")


def write_table(table: Table, folder: Path) -> list[Path]:
    """Write ``table.txt``, ``table.md``, ``table.csv`` and ``table.tex`` into ``folder``; returns their paths."""
    made = {"txt": table.text(), "md": table.markdown(), "csv": table.csv(), "tex": table.latex()}
    return [write_text(folder / f"table.{suffix}", text) for suffix, text in made.items()]


def _notes(reports: Sequence[RetrievalReport], cells: Mapping[tuple[str, str, int], Cell]) -> tuple[str, ...]:
    notes = []
    found = {
        "protocol": {report.protocol for report in reports},
        "gallery": {one.gallery for report in reports for one in report.directions.values()},
    }
    for (what, values), several in zip(found.items(), ("protocols", "galleries"), strict=True):
        if len(values) > 1:
            notes.append(f"The {several} differ ({', '.join(sorted(values))}): such figures do not compare.")
        else:
            notes.append(f"{what.capitalize()}: {values.pop()}.")
    leaks = dict.fromkeys(report.leaks for report in reports if report.leakage.get("test_sounds", 1))
    if leaks:
        notes.append(f"Leaks from training: {', or '.join(leaks)}.")
    most = max(len(cell.values) for cell in cells.values())
    fewer = {
        f"{method} at {bits} bits {len(cell.values)}"
        for (method, _, bits), cell in cells.items() if len(cell.values) < most
    }  # fmt: skip
    if fewer:
        notes.append(f"Of {most} seeds, there are fewer of: {', '.join(sorted(fewer))}.")
    return tuple(notes)


def _or_dash(cell: Cell | None, between: str = " ± ") -> str:
    return NONE if cell is None else cell.text(between)


def _latex(cell: Cell | None, best: str) -> str:
    if cell is None:
        return "--"
    mean = f"{cell.mean:.3f}"
    shown = rf"\mathbf{{{mean}}}" if mean == best else mean
    return f"${shown}$" if cell.spread is None else rf"${shown} \pm {cell.spread:.3f}$"
