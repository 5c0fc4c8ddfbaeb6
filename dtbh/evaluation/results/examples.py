"""The best and the worst queries of a report with their nearest items: what a reader looks at and listens to.

They stand in ``report.json`` with the paths of their media, so that the page can be made again without the codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dtbh.codes import HashCodes
from dtbh.data.manifest import Item, relative
from dtbh.errors import DataError
from dtbh.evaluation.results.values import QueryFigure, RetrievalReport
from dtbh.index.hamming.search import nearest

HITS = 6
KINDS = ("best", "worst")


@dataclass(frozen=True)
class Hit:
    """One gallery item that a query finds.

    Attributes:
        item: What was found.
        distance: In bits.
        right: Whether it shares a label with the query; None where it has none.
        paired: Whether it is of the query's own pair.
    """

    item: Item
    distance: int
    right: bool | None
    paired: bool


@dataclass(frozen=True)
class Example:
    """One query with what it finds.

    Attributes:
        query: What was asked.
        average_precision: Of its whole ranking.
        hits: The nearest items, nearest first; ties in the gallery's order.
    """

    query: Item
    average_precision: float
    hits: tuple[Hit, ...]


# By direction, and in it by "best" and "worst".
Examples = Mapping[str, Mapping[str, Sequence[Example]]]


def choose(
    report: RetrievalReport, queries: Mapping[str, HashCodes], gallery: Mapping[str, HashCodes], count: int
) -> Examples:
    """For each direction its best and its worst queries, at most ``count`` of each, with their hits.

    Args:
        report: What was found.
        queries: Codes by ``"image"``, ``"sound"`` and ``"text"``, those that the report's directions ask with.
        gallery: Codes that were searched, likewise.
        count: 0 or more.

    Raises:
        DataError: A query that the report names is not among the codes.
    """
    chosen = {}
    for name, direction in report.directions.items():
        asked, found = name.split("->")
        chosen[name] = {kind: _with_hits(getattr(direction, kind)[:count], queries[asked], gallery[found])
                        for kind in KINDS}  # fmt: skip
    return chosen


def _with_hits(figures: Sequence[QueryFigure], queries: HashCodes, gallery: HashCodes) -> list[Example]:
    """The queries with the nearest of the gallery, themselves left out."""
    rows = {item.id: row for row, item in enumerate(queries.items)}
    missing = [figure.id for figure in figures if figure.id not in rows]
    if missing:
        raise DataError(f"the report names query {missing[0]}, which is not among the codes; evaluate again")
    examples = []
    for figure in figures:
        row = rows[figure.id]
        query = queries.items[row]
        found, places = nearest(queries.words[row : row + 1], gallery.words, min(HITS + 1, len(gallery)))
        hits = [
            _hit(query, gallery.items[place], distance)
            for distance, place in zip(found[0].tolist(), places[0].tolist(), strict=True)
            if (gallery.items[place].id, gallery.items[place].modality) != (query.id, query.modality)
        ]
        examples.append(Example(query, figure.average_precision or 0.0, tuple(hits[:HITS])))
    return examples


def _hit(query: Item, item: Item, distance: int) -> Hit:
    right = None if item.label is None else not set(item.labels).isdisjoint(query.labels)
    return Hit(item, distance=distance, right=right, paired=item.pair is not None and item.pair == query.pair)


def to_dict(examples: Examples, folder: Path) -> dict[str, Any]:
    """Plain values for JSON; the media's paths become relative to ``folder``."""

    def item(one: Item) -> dict[str, Any]:
        return one.to_dict() if one.path is None else {**one.to_dict(), "path": relative(Path(one.path), folder)}

    def example(one: Example) -> dict[str, Any]:
        hits = [{"item": item(h.item), "distance": h.distance, "right": h.right, "paired": h.paired} for h in one.hits]
        return {"query": item(one.query), "average_precision": one.average_precision, "hits": hits}

    return {
        name: {kind: [example(e) for e in found] for kind, found in both.items()} for name, both in examples.items()
    }


def from_dict(entry: Mapping[str, Any], folder: Path) -> Examples:
    """The examples that ``to_dict`` wrote for ``folder``, their paths joined to it again.

    Raises:
        DataError: A field is missing or unknown.
    """

    def item(one: Mapping[str, Any]) -> Item:
        read = Item(**one)
        return read if read.path is None else replace(read, path=str(folder / read.path))

    def example(one: Mapping[str, Any]) -> Example:
        hits = tuple(Hit(**{**hit, "item": item(hit["item"])}) for hit in one["hits"])
        return Example(item(one["query"]), one["average_precision"], hits)

    try:
        return {name: {kind: [example(e) for e in both[kind]] for kind in KINDS} for name, both in entry.items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"not the examples of a report ({type(error).__name__}: {error})") from None
