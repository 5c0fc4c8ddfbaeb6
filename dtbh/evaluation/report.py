"""A report on disk: ``report.json`` and ``queries.csv`` and, beside them, one page that needs nothing else.

Comes in: a report, and the codes it was made from, whose items say where the pictures and sounds lie.
Each file is written whole. No torch in this room.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dtbh.codes import HashCodes, check_same
from dtbh.errors import DataError
from dtbh.evaluation.page import Example, Hit, render
from dtbh.evaluation.values import QueryFigure, RetrievalReport
from dtbh.files import write_text
from dtbh.index.hamming import nearest

NAME, PAGE, QUERIES = "report.json", "index.html", "queries.csv"
COLUMNS = ("direction", "id", "label", "average_precision", "pair_rank")
HITS = 6


def write_report(
    report: RetrievalReport,
    folder: Path,
    *,
    images: HashCodes | None,
    sounds: HashCodes | None,
    searched: HashCodes | None = None,
    examples: int = 6,
) -> Path:
    """Write ``report.json``, ``queries.csv`` and ``index.html`` into ``folder``.

    Args:
        report: What ``evaluate`` gave for these codes.
        folder: Made where it is missing.
        images: The image codes that were evaluated; None where there were none.
        sounds: The sound codes that were evaluated, likewise.
        searched: The gallery's codes, where it was another than those.
        examples: How many of the best and how many of the worst queries the page shows for each direction,
            0 or more.

    Returns:
        The page's path.

    Raises:
        CodesError: The codes are of another length or encoder than the report.
        DataError: A query that the report names is not among the codes.
        DtbhError: The folder can't be written.
    """
    given = {name: codes for name, codes in (("image", images), ("sound", sounds)) if codes is not None}
    found = given if searched is None else {"image": searched.of("image"), "sound": searched.of("sound")}
    for codes in (*given.values(), *found.values()):
        check_same(codes, report.bits, report.encoder, of="the report")
    page = render(report, _examples(report, given, found, examples))
    text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / QUERIES, _queries_table(report))
    write_text(folder / NAME, text + "\n")
    return write_text(folder / PAGE, page)


def read_report(path: Path) -> RetrievalReport:
    """Read a report from ``report.json``, or from the folder that holds it; with its queries where they are.

    Raises:
        DataError: No such file, or it is not a report of this version.
    """
    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise DataError(f"{path}: no report here; make one with: dtbh evaluate")
    try:
        report = RetrievalReport.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, AttributeError, DataError) as error:
        raise DataError(f"{path}: {error}") from None
    table = path.with_name(QUERIES)
    if not table.is_file():
        return report
    figures = _read_queries(table)
    directions = {
        name: replace(one, query_figures=tuple(figures.get(name, ()))) for name, one in report.directions.items()
    }
    return replace(report, directions=directions)


def _queries_table(report: RetrievalReport) -> str:
    """The figures of every query of every direction as CSV; empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, direction in report.directions.items():
        for one in direction.query_figures:
            writer.writerow([name, one.id, one.label, one.average_precision, one.pair_rank])
    return text.getvalue()


def _read_queries(path: Path) -> dict[str, list[QueryFigure]]:
    """What ``_queries_table`` wrote, by direction.

    Raises:
        DataError: Not such a table, or a value out of range.
    """
    figures: dict[str, list[QueryFigure]] = {}
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            if (head := next(rows, [])) != [*COLUMNS]:
                raise ValueError(f"columns {', '.join(head)}")
            for name, id_, label, *values in rows:
                precision, rank = (float(value) if value else None for value in values)
                figures.setdefault(name, []).append(QueryFigure(id_, label, precision, rank))
    except (ValueError, DataError) as error:
        raise DataError(f"{path}: not the queries of a report ({error}); run dtbh evaluate again") from None
    return figures


def _examples(
    report: RetrievalReport, given: Mapping[str, HashCodes], found: Mapping[str, HashCodes], count: int
) -> dict[str, dict[str, list[Example]]]:
    """For each direction, its best and its worst queries with their hits."""
    examples = {}
    for name, direction in report.directions.items():
        query, hit = name.split("->")
        examples[name] = {
            "best": _with_hits(direction.best[:count], given[query], found[hit]),
            "worst": _with_hits(direction.worst[:count], given[query], found[hit]),
        }
    return examples


def _with_hits(figures: Sequence[QueryFigure], queries: HashCodes, gallery: HashCodes) -> list[Example]:
    """The queries with the nearest of the gallery; ties in the gallery's order."""
    rows = {item.id: row for row, item in enumerate(queries.items)}
    missing = [figure.id for figure in figures if figure.id not in rows]
    if missing:
        raise DataError(f"the report names query {missing[0]}, which is not among the codes; evaluate again")
    examples = []
    for figure in figures:
        row = rows[figure.id]
        query = queries.items[row]
        found, places = nearest(queries.words[row : row + 1], gallery.words, HITS)
        hits = []
        for distance, place in zip(found[0].tolist(), places[0].tolist(), strict=True):
            item = gallery.items[place]
            right = None if item.label is None else item.label == query.label
            paired = item.pair is not None and item.pair == query.pair
            hits.append(Hit(item, distance=distance, right=right, paired=paired))
        examples.append(Example(query, figure.average_precision or 0.0, tuple(hits)))
    return examples
