"""A report on disk: ``report.json`` and ``queries.csv`` and, beside them, one page that needs nothing else.

Each file is written whole.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dtbh.codes import HashCodes, check_same
from dtbh.data.manifest import MODALITIES, Modality
from dtbh.errors import DataError
from dtbh.evaluation.page.overview import Run, overview
from dtbh.evaluation.page.render import render
from dtbh.evaluation.results import examples as chosen_queries
from dtbh.evaluation.results.definitions import definitions
from dtbh.evaluation.results.examples import Examples
from dtbh.evaluation.results.values import QueryFigure, RetrievalReport
from dtbh.utils.files import parse_json, write_text

NAME, PAGE, QUERIES, OVERVIEW = "report.json", "index.html", "queries.csv", "reports.html"
COLUMNS = ("direction", "id", "label", "average_precision", "pair_rank", "pair")


def write_report(
    report: RetrievalReport,
    folder: Path,
    *,
    images: HashCodes | None,
    sounds: HashCodes | None,
    texts: HashCodes | None = None,
    searched: HashCodes | None = None,
    examples: int = 6,
) -> Path:
    """Write ``report.json``, ``queries.csv`` and ``index.html`` into ``folder``.

    Args:
        report: What ``evaluate`` gave for these codes.
        folder: Made where it is missing.
        images: The image codes that were evaluated; None where there were none.
        sounds: The sound codes that were evaluated, likewise.
        texts: The codes of texts that were evaluated, likewise.
        searched: The gallery's codes, where it was another than those.
        examples: How many of the best and how many of the worst queries are shown for each direction, 0 or more.

    Returns:
        The page's path.

    Raises:
        CodesError: The codes are of another length or encoder than the report.
        DataError: A query that the report names is not among the codes.
        DtbhError: The folder can't be written.
    """
    sorts: dict[Modality, HashCodes | None] = {"image": images, "sound": sounds, "text": texts}
    given: dict[str, HashCodes] = {name: codes for name, codes in sorts.items() if codes is not None}
    found: Mapping[str, HashCodes] = given if searched is None else {name: searched.of(name) for name in MODALITIES}
    for codes in (*given.values(), *found.values()):
        check_same(codes, report.bits, report.encoder, of="the report")
    chosen = chosen_queries.choose(report, given, found, examples)
    page = render(report, chosen)
    entry = {**report.to_dict(), "definitions": definitions(several=report.graded),
             "examples": chosen_queries.to_dict(chosen, folder)}  # fmt: skip
    text = json.dumps(entry, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / QUERIES, _queries_table(report))
    write_text(folder / NAME, text + "\n")
    return write_text(folder / PAGE, page)


def read_report(path: Path, *, queries: bool = True) -> RetrievalReport:
    """Read a report from ``report.json``, or from the folder that holds it; with its queries where they are.

    Args:
        path: The file or the folder.
        queries: Whether the queries are wanted; there may be a hundred thousand.

    Raises:
        DataError: No such file, or it is not a report of this version.
    """
    path = _file(path)
    report = _read(path)[0]
    table = path.with_name(QUERIES)
    if not queries or not table.is_file():
        return report
    figures = _read_queries(table)
    directions = {
        name: replace(one, query_figures=tuple(figures.get(name, ()))) for name, one in report.directions.items()
    }
    return replace(report, directions=directions)


def read_series(path: Path) -> list[RetrievalReport]:
    """The report of a run, or those of all runs below a folder, with their queries.

    Args:
        path: A run folder that was evaluated, the folder of a report, ``report.json``, or a folder of runs, of each of
            which the report in ``report`` counts.

    Raises:
        DataError: No report here or below, or one that is not of this version.
    """
    if path.is_file() or (path / NAME).is_file():
        return [read_report(path)]
    found = sorted(path.rglob(f"report/{NAME}"))
    return [read_report(one) for one in found] or [read_report(path)]


def rewrite_page(path: Path) -> Path:
    """Make the page again from the ``report.json`` beside it; or the page across the reports below a folder.

    Pictures and sounds are taken from where they lie; those that are gone leave a word in their place.

    Args:
        path: ``report.json``, the folder that holds it, or a folder of runs that were evaluated. Runs in one folder
            are one series of the page across them.

    Returns:
        The page's path: ``index.html``, or ``reports.html`` across several.

    Raises:
        DataError: No report here or below, or one that is not of this version.
        DtbhError: The folder can't be written.
    """
    if path.is_dir() and not (path / NAME).exists():
        return _write_overview(path)
    path = _file(path)
    return write_text(path.with_name(PAGE), render(*_read(path)))


def _write_overview(folder: Path) -> Path:
    runs = []
    for path in sorted(folder.rglob(NAME)):
        place = path.parent.relative_to(folder)
        name = place.parent if place.name == "report" else place
        series = name.parent.as_posix().removeprefix(".")
        runs.append(Run(series, name.as_posix(), (place / PAGE).as_posix(), _read(path)[0]))
    if not runs:
        raise DataError(f"{folder}: no report here or below; make one with: dtbh evaluate")
    return write_text(folder / OVERVIEW, overview(runs))


def _file(path: Path) -> Path:
    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise DataError(f"{path}: no report here; make one with: dtbh evaluate")
    return path


def _read(path: Path) -> tuple[RetrievalReport, Examples]:
    """What ``report.json`` says, and its examples."""
    try:
        entry: dict[str, Any] = parse_json(path.read_text(encoding="utf-8"))
        entry.pop("definitions", None)  # for readers
        examples = chosen_queries.from_dict(entry.pop("examples", {}), path.parent)
        return RetrievalReport.from_dict(entry), examples
    except (ValueError, AttributeError, TypeError, OverflowError, DataError) as error:
        raise DataError(f"{path}: {error}") from None


def _queries_table(report: RetrievalReport) -> str:
    """The figures of every query of every direction as CSV; empty where there is none."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, direction in report.directions.items():
        for one in direction.query_figures:
            writer.writerow([name, one.id, one.label, one.average_precision, one.pair_rank, one.pair])
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
            if (head := next(rows, [])) not in ([*COLUMNS], [*COLUMNS[:-1]]):  # earlier ones have no pairs
                raise ValueError(f"columns {', '.join(head)}")
            for name, id_, label, *values in rows:
                precision, rank = (float(value) if value else None for value in values[:2])
                pair = (values[2] or None) if len(head) == len(COLUMNS) else None
                figures.setdefault(name, []).append(QueryFigure(id_, label, precision, rank, pair))
    except (ValueError, IndexError, csv.Error, DataError) as error:
        raise DataError(f"{path}: not the queries of a report ({error}); run dtbh evaluate again") from None
    return figures
