"""The contact sheet: queries and their hits as one HTML page that needs no network.

Pictures and short sounds are inside the page; every text is escaped.
"""

from __future__ import annotations

import base64
import functools
import io
import warnings
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import HashCodes, unpack
from dtbh.data.manifest import Item
from dtbh.data.tiling import media_of
from dtbh.errors import CodesError, DtbhError
from dtbh.index.result import Hit, SearchResult
from dtbh.media.image import thumbnail
from dtbh.media.raster import Tile, picture
from dtbh.utils.files import write_text
from dtbh.utils.progress import track

if TYPE_CHECKING:
    from dtbh.models.confidence import Strength

SOUND_BYTES = 1_000_000  # longer sounds are named, not embedded
AUDIO_TYPES = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".opus": "audio/ogg",
               ".oga": "audio/ogg", ".mp3": "audio/mpeg", ".m4a": "audio/mp4"}  # fmt: skip

LEGEND = '<p class="legend">Each square is one bit; the outlined bits of a hit differ from the query.</p>'

STYLE = """
:root { color-scheme: light dark; --page: #f4f5f3; --card: #fff; --text: #1d2320; --soft: #5d6762;
  --line: #dde1de; --off: #e4e8e5; --on: #6c7a73; --differs: #d9480f; }
@media (prefers-color-scheme: dark) { :root { --page: #141816; --card: #1e2421; --text: #e6ebe8;
  --soft: #9aa6a0; --line: #323a36; --off: #303834; --on: #8a9891; --differs: #ff8c4a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1.25rem; background: var(--page); color: var(--text);
  font: 0.9375rem/1.45 system-ui, sans-serif; }
h1 { font-size: 1.25rem; margin: 0 0 1rem; }
section { display: grid; grid-template-columns: 12.5rem 1fr; gap: 1.25rem; align-items: start;
  padding: 1.25rem 0; border-top: 1px solid var(--line); }
.query { position: sticky; top: 1rem; }
.query h2 { font-size: 0.8125rem; font-weight: 600; color: var(--soft); margin: 0 0 0.4rem; }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: 0.75rem;
  grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 0.5rem; padding: 0.6rem;
  min-width: 0; }
.media { display: grid; place-items: center; min-height: 3.5rem; margin-bottom: 0.5rem; }
li .media { min-height: 10rem; }
.sounds .media { min-height: 3.5rem; }
img { display: block; max-width: 100%; border-radius: 0.25rem; }
audio { width: 100%; min-width: 0; height: 2.5rem; }
.gone { width: 100%; padding: 0.6rem; border: 1px dashed var(--line); border-radius: 0.25rem;
  color: var(--soft); font-size: 0.75rem; overflow-wrap: anywhere; }
.rank { display: flex; justify-content: space-between; gap: 0.5rem; color: var(--soft);
  font-variant-numeric: tabular-nums; font-size: 0.8125rem; }
.rank b { color: var(--text); }
.label { font-weight: 600; overflow-wrap: anywhere; }
.id { color: var(--soft); font-size: 0.75rem; overflow-wrap: anywhere; }
.caption { margin: 0.25rem 0 0; overflow-wrap: anywhere; }
.bits { display: block; width: 100%; margin-top: 0.5rem; }
.bits .off { fill: var(--off); } .bits .on { fill: var(--on); }
.bits .differs { fill: none; stroke: var(--differs); stroke-width: 0.2; }
.legend { color: var(--soft); font-size: 0.75rem; margin: 0.4rem 0 0; }
@media (max-width: 40rem) { body { padding: 0.75rem; } section { grid-template-columns: 1fr; }
  .query { position: static; } ol { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0.5rem; }
  ol.sounds { grid-template-columns: 1fr; } li .media { min-height: 8rem; }
  .sounds .media { min-height: 0; } }
"""


def write_sheet(
    result: SearchResult,
    queries: HashCodes,
    path: str | Path,
    *,
    hit_words: NDArray[np.uint64] | None = None,
) -> Path:
    """Write one HTML page with each query and its hits.

    Args:
        result: What the search gave.
        queries: What it was asked, in the same order.
        path: The page.
        hit_words: The hits' codes, uint64 [q, k, words], as ``archive.words[result.rows]`` gives them; with
            them, the page shows each hit's bits and marks those that differ from the query's.

    Returns:
        The page's path.

    Raises:
        CodesError: Another number of queries, or codes of another shape.
        DtbhError: The page can't be written.
    """
    if len(queries) != len(result):
        raise CodesError(f"the result has {len(result)} queries, but {len(queries)} were given")
    wanted = (*result.rows.shape, queries.words.shape[1])
    if hit_words is not None and hit_words.shape != wanted:
        raise CodesError(f"the hits' codes must be {list(wanted)}, found {list(hit_words.shape)}")
    sections = []
    for query, hits in enumerate(track(result, "drawing the sheet", total=len(result))):
        asked = unpack(queries.words[query : query + 1], queries.bits)[0]
        found = None if hit_words is None else unpack(hit_words[query], queries.bits)
        sections.append(_section(queries.items[query], hits, asked=asked, found=found, strength=result.strength(query)))
    embedded.cache_clear()
    return write_text(Path(path), _page(sections))


def _page(sections: Sequence[str]) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Search result</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>Search result</h1>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def _section(
    item: Item, hits: Sequence[Hit], *, asked: NDArray[np.bool_], found: NDArray[np.bool_] | None,
    strength: Strength | None,
) -> str:  # fmt: skip
    """One query and its hits."""
    query = embedded(item) + _texts(item) + ("" if found is None else _bits(asked, asked) + LEGEND)
    cards = "".join(_card(hit, asked, None if found is None else found[hit.rank - 1]) for hit in hits)
    kind = "sounds" if all(hit.item.modality == "sound" for hit in hits) else "images"
    answer = f'<ol class="{kind}">{cards}</ol>' if hits else "<p>Nothing passes.</p>"
    said = f'<p class="legend">Answer: {strength}</p>' if strength else ""
    head = f'<div class="query card"><h2>Query: {item.modality}</h2>{query}{said}</div>'
    return f"<section>\n{head}\n{answer}\n</section>"


def _card(hit: Hit, asked: NDArray[np.bool_], found: NDArray[np.bool_] | None) -> str:
    """One hit."""
    likely = "" if hit.probability is None else f", {hit.probability:.0%} likely"
    alike = "" if hit.similarity is None else f", similarity {hit.similarity:.3f}"
    rank = f'<div class="rank"><b>{hit.rank}</b><span>distance {hit.distance}{alike}{likely}</span></div>'
    bits = "" if found is None else _bits(found, asked)
    return f'<li class="card">{embedded(hit.item)}{rank}{_texts(hit.item)}{bits}</li>\n'


def _texts(item: Item) -> str:
    """Label, id and caption, escaped."""
    label = f'<div class="label">{escape(item.label)}</div>' if item.label else ""
    caption = f'<p class="caption">{escape(item.transcript)}</p>' if item.transcript else ""
    return f'{label}<div class="id">{escape(item.id)}</div>{caption}'


def _bits(bits: NDArray[np.bool_], asked: NDArray[np.bool_]) -> str:
    """The bits as a strip of squares, those that differ outlined."""
    row = 16 if len(bits) <= 128 else 32
    differs = bits != asked
    paths = {"off": ~bits, "on": bits}
    drawn = "".join(f'<path class="{name}" d="{_squares(chosen, row, inset=0.0)}"/>' for name, chosen in paths.items())
    if differs.any():
        drawn += f'<path class="differs" d="{_squares(differs, row, inset=0.1)}"/>'
    width, height = min(len(bits), row), -(-len(bits) // row)
    name = f"{int(differs.sum())} of {len(bits)} bits differ from the query"
    size = f' style="max-width: {width / row:.0%}"' if width < row else ""
    return (
        f'<svg class="bits"{size} viewBox="-0.1 -0.1 {width + 0.2} {height + 0.2}" role="img" '
        f'aria-label="{name}"><title>{name}</title>{drawn}</svg>'
    )


def _squares(chosen: NDArray[np.bool_], row: int, *, inset: float) -> str:
    """An SVG path with a square for each chosen bit."""
    side = 0.85 - 2 * inset
    return "".join(
        f"M{bit % row + inset:g} {bit // row + inset:g}h{side:g}v{side:g}h-{side:g}z"
        for bit in np.flatnonzero(chosen).tolist()
    )


@functools.lru_cache(maxsize=1000)
def embedded(item: Item) -> str:
    """The picture or the player of an item as HTML that has it inside, or a box that says why there is none."""
    if item.path is None:
        return '<div class="media"><div class="gone">no file</div></div>'
    path = Path(item.path)
    if not path.is_file():
        inside = _gone("file is gone", path)
    else:
        inside = _picture(path, item) if item.modality == "image" else _player(path)
    return f'<div class="media">{inside}</div>'


def _gone(why: str, path: Path) -> str:
    return f'<div class="gone">{why}:<br>{escape(str(path))}</div>'


def _picture(path: Path, item: Item) -> str:
    """A thumbnail as an embedded JPEG."""
    from PIL import Image

    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            media = media_of(item)
            with picture(media) if isinstance(media, Tile) else Image.open(path) as image:
                small = thumbnail(image)
            small.save(buffer, "JPEG", quality=85)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, DtbhError) as error:
        return _gone(f"can't be read ({escape(str(error))})", path)
    width, height = small.size
    alt = escape(item.label or item.id)
    return f'<img src="{_data("image/jpeg", buffer.getvalue())}" width="{width}" height="{height}" alt="{alt}">'


def _player(path: Path) -> str:
    """An audio player with the file inside, where it is short enough."""
    try:
        if path.stat().st_size >= SOUND_BYTES:
            return _gone("too long to be put into this page", path)
        data = path.read_bytes()
    except OSError as error:
        return _gone(f"can't be read ({escape(str(error.strerror))})", path)
    kind = AUDIO_TYPES.get(path.suffix.lower(), "audio/wav")
    return f'<audio controls preload="metadata" src="{_data(kind, data)}"></audio>'


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
