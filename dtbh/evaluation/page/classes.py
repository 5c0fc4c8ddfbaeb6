"""The figures of each class, and which class is taken for which."""

from __future__ import annotations

from html import escape

from dtbh.evaluation.page.axes import drawing
from dtbh.evaluation.page.html import bar, figure, percent, share
from dtbh.evaluation.results.values import ClassFigures, Confusion, DirectionReport

CELL, LETTER = 20, 6.4  # pixels of a cell, and of a letter of its names
SEEN = 0.004  # smaller shares are left blank
NAMED = 6  # confusions in words
PRINTED = 14  # with so many classes at most, the cells say their share


def class_table(direction: DirectionReport) -> str:
    """The mAP of each class, best first; the script makes its head sort it."""
    ranked = sorted(direction.per_class.items(), key=lambda entry: (-(entry[1].map or 0.0), entry[0]))
    rows = "".join(_row(name, figures) for name, figures in ranked)
    return (
        '<table class="classes sortable"><caption>mAP of the queries of each class. The tick is chance, the line over '
        'the bar the 95 % interval.</caption><thead><tr><th scope="col">class</th><th scope="col">queries</th>'
        '<th scope="col" aria-sort="descending">mAP</th><td></td></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _row(name: str, figures: ClassFigures) -> str:
    drawn = "" if figures.map is None else bar(figures.map, figures.chance_map, figures.interval)
    return (
        f'<tr><th scope="row">{escape(name)}</th><td>{figures.n_queries:,}</td>'
        f"<td>{share(figures.map)}</td><td>{drawn}</td></tr>"
    )


def confusion(direction: DirectionReport) -> str:
    """The matrix, and its largest confusions in words; nothing where the report has none."""
    found = direction.confusion
    if found is None:
        return ""
    size = "the size of the class in the gallery" if direction.ndcg is None else "the number of relevant ones"
    caption = (
        f"Of the queries of a row's class, the share of each column's class among the first R hits, R being {size}. "
        "More colour is more; small shares have more of it than they are due, to be seen."
    )
    pairs = sorted(
        ((value, one, other) for one, row in zip(found.labels, found.rows, strict=True)
         for other, value in zip(found.labels, row, strict=True) if one != other and value > SEEN),
        key=lambda entry: (-entry[0], entry[1:]),
    )  # fmt: skip
    words = "".join(
        f"<li><b>{percent(value)}</b> of what <em>{escape(one)}</em> finds is <em>{escape(other)}</em></li>"
        for value, one, other in pairs[:NAMED]
    )
    title = "Most often confused" if direction.ndcg is None else "Most often found for one another"
    listed = f'<h4>{title}</h4><ol class="confused">{words}</ol>' if words else ""
    chart = f'<div class="scroll" tabindex="0" role="group" aria-label="confusion">{matrix(found)}</div>'
    return figure("What is found for what", chart, caption) + listed


def matrix(found: Confusion) -> str:
    """The confusion as squares, rows the queries' classes."""
    names = [name if len(name) < 24 else name[:22] + "…" for name in found.labels]
    cell = max(CELL, round(300 / len(names)))
    left = 12 + LETTER * max(map(len, names))
    top = 12 + 0.78 * LETTER * max(map(len, names))
    parts = []
    for number, name in enumerate(names):
        at = number * cell + cell / 2
        parts.append(f'<text x="{left - 6:.1f}" y="{top + at + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        x, y = left + at + 3, top - 6
        parts.append(f'<text x="{x:.1f}" y="{y:.1f}" transform="rotate(-52 {x:.1f} {y:.1f})">{escape(name)}</text>')
    for i, row in enumerate(found.rows):
        for j, value in enumerate(row):
            if value > SEEN:
                parts.append(
                    _cell(left + j * cell, top + i * cell, cell, value, f"{found.labels[i]} → {found.labels[j]}")
                )
                if len(names) <= PRINTED and value >= 0.05:
                    kind = "onto" if value > 0.55 else "label ink"
                    x, y = left + j * cell + cell / 2, top + i * cell + cell / 2 + 4
                    said = f"{value * 100:.0f}"
                    parts.append(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" class="{kind}">{said}</text>')
    side = cell * len(names)
    parts.append(f'<rect class="frame" x="{left:.1f}" y="{top:.1f}" width="{side}" height="{side}"/>')
    right = left + side + max(0.62 * LETTER * len(names[-1]) - cell / 2, 4)
    return drawing("Confusion of classes; the largest shares stand below in words.", right, top + side + 4, parts)


def _cell(x: float, y: float, side: float, value: float, what: str) -> str:
    return (
        f'<rect class="cell" x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{side - 1}" height="{side - 1}" '
        f'fill-opacity="{value**0.6:.2f}"><title>{escape(what)}: {value:.1%}</title></rect>'
    )
