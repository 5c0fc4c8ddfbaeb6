"""Small pieces of HTML that every part of the page uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from dtbh.evaluation.page.style import CSS

# Of each direction: its colour's name, its place in addresses, its title.
WAYS = {
    "sound->image": ("one", "sound-to-image", "sound → image"),
    "image->sound": ("two", "image-to-sound", "image → sound"),
    "text->image": ("five", "text-to-image", "text → image"),
    "image->text": ("six", "image-to-text", "image → text"),
    "image->image": ("three", "image-to-image", "image → image"),
    "sound->sound": ("four", "sound-to-sound", "sound → sound"),
}


def share(value: float | None) -> str:
    """A share with three digits; a dash where there is none."""
    return "–" if value is None else f"{value:.3f}"


def percent(value: float) -> str:
    """A share as a percentage that never says 0 or 100 of what is not."""
    text = f"{value:.0%}"
    if text == "0%" and value > 0:
        return "under 1%"
    return "over 99%" if text == "100%" and value < 1 else text


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, kind: str = "", caption: str = "", wide: bool = False
) -> str:
    """A table of ready cells; the first cell of a row is its heading. A wide one scrolls by itself."""
    top = "".join(f'<th scope="col">{cell}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>' + "".join(f"<td>{cell}</td>" for cell in row[1:]) + "</tr>" for row in rows
    )
    shown = f"<caption>{escape(caption)}</caption>" if caption else ""
    made = f"<table{_kind(kind)}>{shown}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
    named = escape(caption or "table")
    return f'<div class="scroll" tabindex="0" role="group" aria-label="{named}">{made}</div>' if wide else made


def over(value: str, under: str) -> str:
    """A figure with a smaller one under it."""
    return f"{value}<small>{under}</small>"


def bar(value: float, chance: float | None, interval: tuple[float, float] | None = None) -> str:
    """A bar from 0 to 1 with a tick at chance and a line over the interval."""
    parts = f'<i style="width:{value:.2%}"></i>'
    if interval is not None:
        parts += f'<u style="left:{interval[0]:.2%};width:{interval[1] - interval[0]:.2%}"></u>'
    if chance is not None:
        parts += f'<b style="left:{chance:.2%}" title="chance {chance:.3f}"></b>'
    return f'<span class="bar" aria-hidden="true">{parts}</span>'


def figure(title: str, chart: str, caption: str) -> str:
    """A chart under its title, over its explanation; title and caption may hold HTML."""
    return f"<figure><h4>{title}</h4>{chart}<figcaption>{caption}</figcaption></figure>"


def terms(entries: Mapping[str, str], kind: str = "") -> str:
    """Terms and what they mean, as plain text."""
    rows = "".join(f"<div><dt>{escape(term)}</dt><dd>{escape(text)}</dd></div>" for term, text in entries.items())
    return f"<dl{_kind(kind)}>{rows}</dl>"


def document(title: str, body: str, script: str = "") -> str:
    """A whole page in the style of all pages; ``title`` is plain text."""
    run = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{CSS}</style></head><body><main>{body}</main>{run}</body></html>\n"
    )


def _kind(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
