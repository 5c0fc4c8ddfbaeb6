"""Results as a table of plain text."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from dtbh.index.result import Hit, SearchResult

WIDTH = 80
NUMBERS = 4  # columns, before those of text


def render_table(result: SearchResult) -> str:
    """The hits as plain text of at most 80 columns: rank, distance, similarity, probability, id, label, caption.

    A column that nobody fills is left out; a text too long for its column ends with an ellipsis.
    """
    blocks = []
    for number, hits in enumerate(result, start=1):
        title = [f"query {number}"] if len(result) > 1 else []
        blocks.append("\n".join([*title, *_table(hits)]))
    return "\n\n".join(blocks)


def _table(hits: Sequence[Hit]) -> list[str]:
    """The lines of one query's table."""
    if not hits:
        return ["nothing passes"]
    heads = ("rank", "distance", "similarity", "right", "id", "label", "caption")
    cells = [
        (str(hit.rank), str(hit.distance), _decimals(hit.similarity), _percent(hit.probability),
         *map(_plain, (hit.item.id, hit.item.label, hit.item.transcript)))
        for hit in hits
    ]  # fmt: skip
    kept = [column for column in range(len(heads)) if any(row[column] for row in cells)]
    widths = {c: max(_width(heads[c]), *(_width(row[c]) for row in cells)) for c in kept}
    room = WIDTH - 2 * (len(kept) - 1) - sum(widths[c] for c in kept if c < NUMBERS)
    widths |= _shared({c: widths[c] for c in kept if c >= NUMBERS}, room)
    rule = tuple("-" * widths.get(c, 0) for c in range(len(heads)))
    return [
        "  ".join(_fitted(row[c], widths[c], right=c < NUMBERS) for c in kept).rstrip() for row in (heads, rule, *cells)
    ]


def _shared(widths: dict[int, int], room: int) -> dict[int, int]:
    """Widths that come to at most ``room``: the widest column gives first."""
    while sum(widths.values()) > room:
        widest = max(widths, key=lambda c: widths[c])
        widths[widest] -= 1
    return widths


def _decimals(similarity: float | None) -> str:
    return "" if similarity is None else f"{similarity:.3f}"


def _percent(probability: float | None) -> str:
    return "" if probability is None else f"{probability:.0%}"


def _plain(text: str | None) -> str:
    """One line without control characters, so that no text can steer the terminal."""
    return "".join(char if char.isprintable() else " " for char in text or "")


def _width(text: str) -> int:
    """Columns that a terminal needs."""
    return sum(0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF") for char in text)


def _fitted(text: str, width: int, *, right: bool) -> str:
    """The text in exactly ``width`` columns."""
    if _width(text) > width:
        while _width(text) > width - 1:
            text = text[:-1]
        text += "…"
    space = " " * (width - _width(text))
    return space + text if right else text + space
