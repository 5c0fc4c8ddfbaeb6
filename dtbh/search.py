"""A query file to results, and results to a table.

Comes in: an index, and a model that turns files into codes. JSON is `SearchResult.to_dict`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from dtbh.codes import HashCodes
from dtbh.errors import CodesError, ConfigError, DataError
from dtbh.index.engine import Find, Index
from dtbh.index.result import Hit, SearchResult
from dtbh.model import Encoder

WIDTH = 80


def encode_query(model: Encoder, *, sound: str | Path | None = None, image: str | Path | None = None) -> HashCodes:
    """The code of one query file, a sound or an image.

    Raises:
        ConfigError: Both files, or none.
        DataError: No such file.
        MediaError: The file can't be read.
    """
    path = sound if image is None else image
    if path is None or (sound is not None and image is not None):
        raise ConfigError("a search needs one query: give a sound or an image, not both")
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file; give a query that exists")
    return model.encode_images([path]) if image is not None else model.encode_sounds([path])


def query_file(
    index: Index,
    model: Encoder,
    *,
    sound: str | Path | None = None,
    image: str | Path | None = None,
    k: int = 10,
    find: Find | None = None,
    where: Mapping[str, str] | None = None,
) -> SearchResult:
    """Search an index with one sound file or one image file.

    Args:
        index: Where to search.
        model: What encodes the query; the one that the index was made with.
        sound: The query, if it is a sound.
        image: The query, if it is an image.
        k: Number of hits, from 1.
        find: What to find, as in `Index.search`.
        where: Filters, as in `Index.search`.

    Raises:
        ConfigError: Both files or none, or what `Index.search` refuses.
        DataError: No such file.
        CodesError: The model is not the one the index was made with.
    """
    if model.fingerprint != index.encoder:
        raise CodesError(
            f"{index.name}: made by encoder {index.encoder}, the model is {model.fingerprint}; search "
            f"with {index.model or 'the run that made it'}, or index again"
        )
    return index.search(encode_query(model, sound=sound, image=image), k, find=find, where=where)


def render_table(result: SearchResult) -> str:
    """The hits as plain text of at most 80 columns: rank, distance, id, label, caption.

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
    heads = ("rank", "distance", "id", "label", "caption")
    cells = [
        (str(hit.rank), str(hit.distance), *map(_plain, (hit.item.id, hit.item.label, hit.item.transcript)))
        for hit in hits
    ]
    kept = [column for column in range(5) if any(row[column] for row in cells)]
    widths = {c: max(_width(heads[c]), *(_width(row[c]) for row in cells)) for c in kept}
    room = WIDTH - 2 * (len(kept) - 1) - sum(widths[c] for c in kept if c < 2)
    widths |= _shared({c: widths[c] for c in kept if c >= 2}, room)
    rule = tuple("-" * widths.get(c, 0) for c in range(5))
    return ["  ".join(_fitted(row[c], widths[c], right=c < 2) for c in kept).rstrip() for row in (heads, rule, *cells)]


def _shared(widths: dict[int, int], room: int) -> dict[int, int]:
    """Widths that come to at most ``room``: the widest column gives first."""
    while sum(widths.values()) > room:
        widest = max(widths, key=lambda c: widths[c])
        widths[widest] -= 1
    return widths


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
