"""What an archive holds as one HTML page that needs no network, or as a picture (PNG, extra ``plots``)."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from dtbh.data.inline import media_html
from dtbh.data.item_words import WORD
from dtbh.data.manifest import Item
from dtbh.data.tiling import media_of
from dtbh.errors import ConfigError, DtbhError, MissingExtraError
from dtbh.media.image import thumbnail
from dtbh.media.raster import Tile, picture
from dtbh.search.contact_sheet import STYLE
from dtbh.search.holdings import EXAMPLES, Holdings
from dtbh.utils.files import write_file, write_text

COLOURS = ("#23679e", "#c2590c", "#0c8171", "#b52bb5", "#8a6d00", "#7a28e0", "#b3403a", "#4a7a1e")
OTHERS = "#8a9198"
BARS = 30  # words with a bar
SUFFIXES = (".html", ".png")
WIDTH = 1000  # of the map's drawing
OWN = """
section.block { display: block; } .bars { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 0.75rem;
  align-items: center; margin: 0; } .bars dt { text-align: right; } .bars dd { margin: 0; display: flex; gap: 0.5rem;
  align-items: center; } .bars i { height: 0.8rem; background: var(--on); border-radius: 0.2rem; min-width: 1px; }
.bars span { color: var(--soft); font-size: 0.8125rem; } h2 { font-size: 1rem; margin: 0 0 0.75rem; }
.kinds { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); }
.kinds ol { grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 0.4rem; } .kinds h3 { font-size: 0.9375rem;
  margin: 0 0 0.4rem; } .kinds li .media { min-height: 0; margin: 0; } .kinds img { width: 100%; height: auto;
  aspect-ratio: 1; object-fit: cover; }
svg.map path { fill: currentColor; stroke: currentColor; stroke-width: 2; vector-effect: non-scaling-stroke; }
svg.map { width: 100%; height: auto; max-height: 32rem; background: var(--card);
  border: 1px solid var(--line); border-radius: 0.5rem; }
.key { display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; font-size: 0.8125rem; margin: 0.5rem 0 0; }
.key b { display: inline-block; width: 0.7rem; height: 0.7rem; border-radius: 0.15rem; margin-right: 0.35rem; }
"""


class Shape(NamedTuple):
    """A footprint on the map: its corners in degrees of longitude, times the map's squeeze, and of latitude."""

    word: str
    corners: tuple[tuple[float, float], ...]


def check_suffix(path: Path) -> None:
    """Raise `ConfigError` unless a picture can be written by this name."""
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--out {path}: wanted a name that ends in {' or '.join(SUFFIXES)}")


def write_holdings(found: Holdings, path: Path) -> Path:
    """Write counts by word, a sheet of examples, and a map where there are footprints; returns the path.

    Raises:
        ConfigError: A name that ends otherwise than in ``.html`` or ``.png``.
        MissingExtraError: A PNG without matplotlib.
        DtbhError: The file can't be written.
    """
    check_suffix(path)
    if path.suffix.lower() == ".png":
        return _picture(found, path)
    title = f"{found.named:,} images of {found.path.resolve().name} by their nearest word"
    text = write_text(path, _page(found, title))
    media_html.cache_clear()
    return text


def shapes(items: Sequence[Item]) -> list[Shape]:
    """Footprints as they are drawn: beyond the 180th meridian beside their first corner, and true to scale midway."""
    turned = [
        (str(item.fields[WORD]), [(x - 360 * round((x - corners[0][0]) / 360), y) for x, y in corners])
        for item in items
        if (corners := item.footprint)
    ]
    if not turned:
        return []
    middle = sum(corners[0][1] for _, corners in turned) / len(turned)
    squeeze = max(0.1, math.cos(math.radians(middle)))
    return [Shape(word, tuple((x * squeeze, y) for x, y in corners)) for word, corners in turned]


def _colours(found: Holdings) -> dict[str, str]:
    """Those of the most frequent words."""
    return dict(zip(found.counts, COLOURS, strict=False))


def _page(found: Holdings, title: str) -> str:
    drawn = _map(found)
    kinds = "".join(
        f"<div><h3>{escape(word)}</h3><ol>{''.join(f'<li>{media_html(item)}</li>' for item in items)}</ol></div>"
        for word, items in found.examples.items()
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}{OWN}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f'<section class="block"><h2>Counts</h2>{_bars(found)}</section>\n{drawn}'
        f'<section class="block"><h2>Examples</h2><div class="kinds">{kinds}</div></section>\n</body>\n</html>\n'
    )


def _bars(found: Holdings) -> str:
    shown, most = [*found.counts.items()][:BARS], max(found.counts.values())
    rows = "".join(
        f'<dt>{escape(word)}</dt><dd><i style="width:{80 * count / most:.2f}%"></i><span>{count:,}</span></dd>'
        for word, count in shown
    )
    rest = len(found.counts) - len(shown)
    return f'<dl class="bars">{rows}</dl>' + (f'<p class="legend">and {rest} more words</p>' if rest else "")


def _map(found: Holdings) -> str:
    """The footprints as SVG; nothing where there are none."""
    drawn = shapes(found.placed)
    if not drawn:
        return ""
    xs, ys = zip(*(corner for shape in drawn for corner in shape.corners), strict=True)
    scale = WIDTH / max(max(xs) - min(xs), 2 * (max(ys) - min(ys)), 1e-9)
    width, height, colours = (max(xs) - min(xs)) * scale, (max(ys) - min(ys)) * scale, _colours(found)
    paths = "".join(
        f'<path style="color:{colours.get(shape.word, OTHERS)}" d="M'
        + "L".join(f"{(x - min(xs)) * scale:.1f} {(max(ys) - y) * scale:.1f}" for x, y in shape.corners)
        + f'Z"><title>{escape(shape.word)}</title></path>'
        for shape in drawn
    )
    here = {shape.word for shape in drawn}
    key = "".join(
        f'<span><b style="background:{colour}"></b>{escape(word)}</span>'
        for word, colour in [*((w, c) for w, c in colours.items() if w in here), ("other words", OTHERS)]
    )
    return (
        f'<section class="block"><h2>Where</h2><svg class="map" role="img" aria-label="Map of {len(drawn)} images" '
        f'viewBox="-8 -8 {width + 16:.1f} {height + 16:.1f}">{paths}</svg><p class="key">{key}</p></section>\n'
    )


def _picture(found: Holdings, path: Path) -> Path:
    """The same as a PNG."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtraError("matplotlib", "plots", "drawing a PNG (an --out of .html needs nothing)") from None
    drawn, rows = shapes(found.placed), max(1, len(found.examples))
    heights = [0.62 * rows + 1, *([4.0] if drawn else [])]
    figure = Figure(figsize=(11, sum(heights)), layout="constrained")
    parts = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    left, right = parts[0, 0].subfigures(1, 2, width_ratios=[1.25, 1])
    shown = [*found.counts.items()][:BARS]
    bars = left.subplots()
    bars.barh([word for word, _ in shown][::-1], [count for _, count in shown][::-1], color=COLOURS[0])
    bars.spines[["top", "right"]].set_visible(False)
    bars.tick_params(labelsize=7)
    bars.set_title(f"{found.named:,} images by their nearest word", fontsize=10)
    axes = right.subplots(rows, EXAMPLES, squeeze=False)
    for panel in axes.ravel():
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    for row, (word, items) in zip(axes, found.examples.items(), strict=False):
        row[0].set_ylabel(word, rotation=0, ha="right", va="center", fontsize=7)
        for panel, item in zip(row, items, strict=False):
            if (pixels := _pixels(item)) is not None:
                panel.imshow(pixels)
    if drawn:
        _plot(parts[1, 0].subplots(), drawn, _colours(found))
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=130)
    return write_file(path, lambda file: file.write(content.getvalue()))


def _plot(panel: Any, drawn: Sequence[Shape], colours: dict[str, str]) -> None:
    """The map, with matplotlib."""
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Patch

    faces = [colours.get(shape.word, OTHERS) for shape in drawn]
    panel.add_collection(PolyCollection([shape.corners for shape in drawn], facecolors=faces, edgecolors=faces))
    panel.autoscale_view()
    panel.set(xticks=[], yticks=[], aspect="equal")
    keys = [Patch(color=colour, label=word) for word, colour in {**colours, "other words": OTHERS}.items()]
    panel.legend(handles=keys, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)


def _pixels(item: Item) -> Any:
    """A thumbnail; None where the file can't be read."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            media = media_of(item)
            with picture(media) if isinstance(media, Tile) else Image.open(media) as image:
                return thumbnail(image, 96)
    except (OSError, ValueError, SyntaxError, TypeError, Image.DecompressionBombError, DtbhError):
        return None
