"""A report on disk: ``report.json`` and, beside it, one page that needs nothing else.

Comes in: a report, and the codes it was made from, whose items say where the pictures and sounds lie.
Each file is written whole. No torch in this room.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from dtbh.codes import HashCodes, check_same
from dtbh.errors import DataError
from dtbh.evaluation.page import Example, Hit, render
from dtbh.evaluation.values import DIRECTIONS, QueryFigure, RetrievalReport
from dtbh.files import write_text
from dtbh.index.hamming import nearest

NAME, PAGE = "report.json", "index.html"
HITS = 6


def write_report(
    report: RetrievalReport,
    folder: Path,
    *,
    images: HashCodes,
    sounds: HashCodes,
    examples: int = 6,
) -> Path:
    """Write ``report.json`` and ``index.html`` into ``folder``.

    Args:
        report: What ``evaluate`` gave for these codes.
        folder: Made where it is missing.
        images: The image codes that were evaluated.
        sounds: The sound codes that were evaluated.
        examples: How many of the best and how many of the worst queries the page shows for each direction,
            0 or more.

    Returns:
        The page's path.

    Raises:
        CodesError: The codes are of another length or encoder than the report.
        DataError: A query that the report names is not among the codes.
        DtbhError: The folder can't be written.
    """
    for codes in (images, sounds):
        check_same(codes, report.bits, report.encoder, of="the report")
    page = render(report, _examples(report, images, sounds, examples))
    text = json.dumps(report.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / NAME, text + "\n")
    return write_text(folder / PAGE, page)


def read_report(path: Path) -> RetrievalReport:
    """Read a report from ``report.json``, or from the folder that holds it.

    Raises:
        DataError: No such file, or it is not a report of this version.
    """
    path = path / NAME if path.is_dir() else path
    if not path.is_file():
        raise DataError(f"{path}: no report here; make one with: dtbh evaluate")
    try:
        return RetrievalReport.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, AttributeError, DataError) as error:
        raise DataError(f"{path}: {error}") from None


def _examples(
    report: RetrievalReport, images: HashCodes, sounds: HashCodes, count: int
) -> dict[str, dict[str, list[Example]]]:
    """For each direction, its best and its worst queries with their hits."""
    sides = dict(zip(DIRECTIONS, ((sounds, images), (images, sounds)), strict=True))
    return {
        name: {
            "best": _with_hits(report.directions[name].best[:count], *sides[name]),
            "worst": _with_hits(report.directions[name].worst[:count], *sides[name]),
        }
        for name in DIRECTIONS
    }


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
        examples.append(Example(query, figure.average_precision, tuple(hits)))
    return examples
