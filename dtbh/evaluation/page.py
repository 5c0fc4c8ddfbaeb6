"""The report as one HTML page without any network: figures, charts, classes, queries with their hits.

Comes in: a report, and example queries with their hits, whose pictures and sounds are put into the page.
A picture or sound that can't be read leaves its place to a word; it never stops a report.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from dtbh.data.manifest import Item
from dtbh.evaluation.charts import distance_histogram, precision_recall
from dtbh.evaluation.style import CSS, SCRIPT
from dtbh.evaluation.values import ClassFigures, DirectionReport, PairFigures, RetrievalReport

THUMBNAIL = 128  # pixels
LARGEST_CLIP = 300_000  # bytes
AUDIO_TYPES = {
    ".flac": "audio/flac",
    ".wav": "audio/wav",
    ".ogg": "audio/ogg",
    ".opus": "audio/ogg",
    ".mp3": "audio/mpeg",
}
CHANCE = '<span class="soft">chance</span>'
SHOWN = {
    "sound->image": ("one", "sound → image"),
    "image->sound": ("two", "image → sound"),
    "image->image": ("one", "image → image"),
    "sound->sound": ("two", "sound → sound"),
}


@dataclass(frozen=True)
class Hit:
    """One gallery item of a query: ``right`` is None where its class is not known."""

    item: Item
    distance: int
    right: bool | None
    paired: bool


@dataclass(frozen=True)
class Example:
    """One query with its nearest items, nearest first."""

    query: Item
    average_precision: float
    hits: tuple[Hit, ...]


def render(report: RetrievalReport, examples: Mapping[str, Mapping[str, Sequence[Example]]]) -> str:
    """The whole page as one string of HTML.

    Args:
        report: The figures.
        examples: For each direction, ``"best"`` and ``"worst"`` queries.
    """
    clips: dict[str, str] = {}
    body = [
        "<h1>Image and sound retrieval by hash codes</h1>",
        f'<p class="soft">{report.bits} bits · protocol {escape(report.protocol)} · checkpoint: '
        f"{escape(report.checkpoint_rule)} · encoder {escape(report.encoder)}</p>",
        f'<div class="grid">{"".join(_headline(name, report.directions[name]) for name in report.directions)}</div>',
        _leaks(report),
        _charts(report),
        _classes(report),
        *(_queries(name, examples[name], clips) for name in report.directions),
        _definitions(report),
    ]
    data = json.dumps(clips).replace("<", "\\u003c")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Retrieval report, {report.bits} bits, {escape(report.protocol)}</title>"
        f"<style>{CSS}</style></head><body><main>{''.join(body)}</main>"
        f'<script type="application/json" id="clips">{data}</script><script>{SCRIPT}</script></body></html>\n'
    )


def _headline(name: str, direction: DirectionReport) -> str:
    """The card of one direction."""
    colour, title = SHOWN[name]
    low, high = direction.interval or (direction.map, direction.map)
    interval = f"95 % interval {low:.3f} to {high:.3f}" if direction.interval else "one query, no interval"
    without = direction.queries_without_relevant
    left_out = f", {without:,} of them without anything relevant and left out" if without else ""
    unlabelled = sum(direction.unlabelled.values())
    left_out += f"; {unlabelled:,} items without a label left out" if unlabelled else ""
    return (
        f'<section class="card {colour}"><div class="way">{title}</div>'
        f'<p class="figure">{direction.map:.3f}<small>mAP</small></p>'
        f"{_scale(direction.map, direction.chance_map, (low, high))}"
        f'<p class="soft">{interval} · chance {direction.chance_map:.3f}</p>'
        f"{_at_table(direction)}{_pair_table(direction.pairs)}"
        f"<small>{direction.n_queries:,} queries over a gallery of {direction.n_gallery:,}{left_out}. "
        f"{_codes_line(direction)}</small></section>"
    )


def _codes_line(direction: DirectionReport) -> str:
    """How many different codes there are, and the bits that never change."""
    distinct, constant = direction.distinct_codes, direction.bits_constant
    return (
        f"Distinct codes: {distinct['queries']:,} of queries, {distinct['gallery']:,} of the gallery. "
        f"Bits that never change: {len(constant['queries'])} and {len(constant['gallery'])}."
    )


def _scale(value: float, chance: float | None, interval: tuple[float, float] | None = None) -> str:
    """A bar from 0 to 1 with a tick at the chance level."""
    tick = "" if chance is None else f'<b style="left:{chance:.2%}" title="chance {chance:.3f}"></b>'
    if interval is not None:
        tick += f'<u style="left:{interval[0]:.2%};width:{interval[1] - interval[0]:.2%}"></u>'
    return f'<div class="scale"><i style="width:{value:.2%}"></i>{tick}</div>'


def _row(name: str, values: Sequence[str], cell: str = "td") -> str:
    return f"<tr><{cell}>{name}</{cell}>" + "".join(f"<{cell}>{v}</{cell}>" for v in values) + "</tr>"


def _table(head: str, ks: Sequence[int], rows: Sequence[tuple[str, Mapping[int, float]]]) -> str:
    """Measures at k, one column a k."""
    return (
        f"<table>{_row(head, [f'k = {k}' for k in ks], 'th')}"
        + "".join(_row(name, [f"{values[k]:.3f}" for k in ks]) for name, values in rows)
        + "</table>"
    )


def _at_table(direction: DirectionReport) -> str:
    rows = [
        ("precision", direction.precision_at),
        (CHANCE, direction.chance_precision_at),
        ("recall", direction.recall_at),
        (CHANCE, direction.chance_recall_at),
    ]
    return _table("same class", list(direction.precision_at), rows)


def _pair_table(pairs: PairFigures | None) -> str:
    if pairs is None:
        return "<p><small>True pairs are not known.</small></p>"
    rows = [("R@k", pairs.hit_at), (CHANCE, pairs.chance_hit_at)]
    left_out = f", {pairs.queries_without_pair:,} queries without a pair left out"
    return (
        _table("true pair", list(pairs.hit_at), rows)
        + f"<p>Median rank of the pair {pairs.median_rank:.1f} of {pairs.n_gallery:,} "
        + f'<span class="soft">(chance {pairs.chance_median_rank:.1f}'
        + f"{left_out if pairs.queries_without_pair else ''})</span></p>"
    )


def _leaks(report: RetrievalReport) -> str:
    """What stands in training and in test, and the sizes of the splits."""
    return (
        f'<div class="card note"><p>Leaks from training: {escape(report.leaks)}.</p>'
        f'<p class="soft">Splits: {escape(report.sizes)}.</p></div>'
    )


def _charts(report: RetrievalReport) -> str:
    """Precision and recall of both directions, and the distances (once where both directions agree)."""
    shown = [SHOWN[name] for name in report.directions]
    ways = "".join(f'<span class="{colour}">{title}</span>' for colour, title in shown)
    curves = [(SHOWN[name][0], report.directions[name].within_radius) for name in report.directions]
    figures = [
        f'<figure class="card"><h3>Precision and recall within a Hamming radius</h3>'
        f'<div class="key">{ways}</div>{precision_recall(curves)}'
        "<figcaption>One point a radius, from 0 at the left; mean over queries. Hollow "
        "where fewer than half of the queries retrieve anything.</figcaption></figure>"
    ]
    found = {name: one.distances for name, one in report.directions.items()}
    alike = len(found) > 1 and len({str(one) for one in found.values()}) == 1
    for name, distances in [*found.items()][: 1 if alike else None]:
        title = "Distances" if alike else f"Distances, {SHOWN[name][1]}"
        figures.append(
            f'<figure class="card"><h3>{title}</h3><div class="key"><span class="right">same class</span>'
            f'<span class="wrong">other class</span></div>'
            f"{distance_histogram(distances['relevant'], distances['irrelevant'])}"
            "<figcaption>Image and sound codes against each other; each colour sums to 100 %."
            "</figcaption></figure>"
        )
    return f'<h2>Curves</h2><div class="grid">{"".join(figures)}</div>'


def _classes(report: RetrievalReport) -> str:
    """The mAP of each class in both directions, best first."""
    per_class = [report.directions[name].per_class for name in report.directions]
    names = sorted(
        {name for one in per_class for name in one},
        key=lambda name: (-sum((c[name].map or 0.0) if name in c else 0.0 for c in per_class), name),
    )
    head = "".join(f'<th>queries</th><th colspan="2">{SHOWN[way][1]}</th>' for way in report.directions)
    rows = []
    for name in names:
        cells = [_class_cells(SHOWN[way][0], report.directions[way].per_class.get(name)) for way in report.directions]
        rows.append(f"<tr><td>{escape(name)}</td>{''.join(cells)}</tr>")
    return (
        '<h2>By class</h2><div class="card"><table class="classes">'
        f"<tr><th>class</th>{head}</tr>{''.join(rows)}</table>"
        "<small>mAP of the queries of each class; the tick is chance.</small></div>"
    )


def _class_cells(colour: str, figures: ClassFigures | None) -> str:
    if figures is None or figures.map is None:
        count = 0 if figures is None else figures.n_queries
        return f'<td class="soft">{count:,}</td><td class="soft">–</td><td class="bar"></td>'
    return (
        f'<td class="soft">{figures.n_queries:,}</td><td>{figures.map:.3f}</td>'
        f'<td class="bar {colour}">{_scale(figures.map, figures.chance_map)}</td>'
    )


def _queries(name: str, examples: Mapping[str, Sequence[Example]], clips: dict[str, str]) -> str:
    """The best and the worst queries of one direction."""
    colour, title = SHOWN[name]
    parts = []
    for kind in ("best", "worst"):
        if examples[kind]:
            shown = "".join(_query(example, clips) for example in examples[kind])
            parts.append(f"<h3>{kind.capitalize()} queries, at most one a class</h3>{shown}")
    if not parts:
        return ""
    heading = f'<h2>Queries, <span class="way">{title}</span></h2>'
    return f'<section class="{colour}">{heading}{"".join(parts)}</section>'


def _query(example: Example, clips: dict[str, str]) -> str:
    query = (
        f'<div class="tile">{_media(example.query, clips)}'
        f'<div class="name"><strong>{escape(example.query.label or "no label")}</strong></div>'
        f'<div class="soft">AP {example.average_precision:.3f}</div>{_words(example.query)}</div>'
    )
    hits = "".join(_hit(hit, clips) for hit in example.hits)
    return f'<div class="card query">{query}<ol class="hits">{hits}</ol></div>'


def _hit(hit: Hit, clips: dict[str, str]) -> str:
    kind, mark, words = {
        True: ("right", "✓", "right class"),
        False: ("wrong", "✗", "another class"),
        None: ("", "?", "class not known"),
    }[hit.right]
    pair = "<br>its own pair" if hit.paired else ""
    return (
        f'<li class="tile {kind}">{_media(hit.item, clips)}'
        f'<div class="name" title="{words}"><span class="mark" role="img" aria-label="{words}">{mark}</span> '
        f"{escape(hit.item.label or 'no label')}</div>"
        f'<div class="soft">distance {hit.distance}{pair}</div>{_words(hit.item)}</li>'
    )


def _media(item: Item, clips: dict[str, str]) -> str:
    """The picture, or a button that plays the sound."""
    if item.modality == "image":
        source = _thumbnail(item)
        if source is None:
            return f'<p class="text none">{escape(item.id)}: picture can\'t be read</p>'
        return f'<img src="{source}" alt="{escape(item.id)}" title="{escape(item.id)}" loading="lazy">'
    if item.id not in clips and (source := _clip(item)) is not None:
        clips[item.id] = source
    if item.id not in clips:
        return '<button type="button" disabled title="no file, too large, or of another type">no sound</button>'
    return f'<button type="button" data-clip="{escape(item.id)}">▶ play</button>'


def _words(item: Item) -> str:
    """What is said in a sound, or else its id; nothing for a picture."""
    if item.modality == "image":
        return ""
    return f'<p class="text" title="{escape(item.id)}">{escape(item.transcript or item.id)}</p>'


def _thumbnail(item: Item) -> str | None:
    """The picture as a small JPEG in a data address; None where it can't be read."""
    from PIL import Image

    if item.path is None:
        return None
    try:
        with Image.open(item.path) as picture:
            small = picture.convert("RGB")
            small.thumbnail((THUMBNAIL, THUMBNAIL))
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    data = io.BytesIO()
    small.save(data, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def _clip(item: Item) -> str | None:
    """The sound's file in a data address; None where there is none, or it is too large or of another type."""
    if item.path is None:
        return None
    path = Path(item.path)
    kind = AUDIO_TYPES.get(path.suffix.lower())
    try:
        if kind is None or path.stat().st_size > LARGEST_CLIP:
            return None
        return f"data:{kind};base64," + base64.b64encode(path.read_bytes()).decode()
    except OSError:
        return None


def _definitions(report: RetrievalReport) -> str:
    """What each figure means."""
    entries = {
        "Relevant": f"{report.relevance}.",
        "mAP": "Average precision over all relevant items of a query in the whole gallery; the mean over "
        "queries that have one. The interval is a percentile bootstrap over queries.",
        "Ties": f"Codes of {report.bits} bits have {report.bits + 1} distances, so many items tie. Every "
        f"figure at a rank is {report.ties} of tied items, exactly; the hit lists above show one order.",
        "Chance": "What a random ranking of the same gallery is expected to give, exactly.",
        "R@k": "The probability that an item of the query's own pair stands among the first k.",
        "Worst and best": "By average precision; the best query of each class, and the worst of each.",
        "Checkpoint": f"{report.checkpoint_rule}.",
    }
    rows = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in entries.items())
    return f'<h2>How it is measured</h2><dl class="card">{rows}</dl>'
