"""The charts of one direction, and mAP over code lengths.

Each gives inline SVG whose label for screen readers says what it shows.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from dtbh.evaluation.metrics.radius import RadiusPoint
from dtbh.evaluation.page.axes import LEFT, SHARES, WIDTH, Plot, Scale, powers, whole
from dtbh.evaluation.page.html import percent
from dtbh.evaluation.results.values import CutPoint

ENOUGH = 0.5  # a point is filled where at least this share of queries retrieves something


def top_k(curve: Sequence[CutPoint], chance: float) -> str:
    """Precision and recall of the first k, over k on a logarithmic scale.

    Args:
        curve: Increasing in k.
        chance: Precision of a random ranking, at any k.
    """
    first, last = curve[0], curve[-1]
    title = (
        f"Precision of the first k goes from {first.precision:.2f} at k = {first.k} to {last.precision:.2f} at "
        f"k = {last.k}, recall from {first.recall:.2f} to {last.recall:.2f}."
    )
    plot = Plot(title, powers(last.k), SHARES, x_label="k, items from the top (logarithmic)",
                y_label="mean over queries", right=78)  # fmt: skip
    plot.level(chance, kind="faint dotted", label="chance")
    plot.line([(p.k, p.precision) for p in curve], kind="own", label="precision")
    plot.line([(p.k, p.recall) for p in curve], kind="ink dashed", label="recall")
    for p in curve:
        plot.dot(p.k, p.precision, kind="own", size=2, note=f"first {p.k:,}: precision {p.precision:.3f}")
        plot.dot(p.k, p.recall, kind="ink", size=2, note=f"first {p.k:,}: recall {p.recall:.3f}")
    return plot.svg()


def precision_recall(points: Sequence[RadiusPoint], chance: float) -> str:
    """Precision against recall, one point a Hamming radius; some points say which."""
    first, last = points[0], points[-1]
    title = (
        f"Precision against recall over {len(points)} Hamming radii, from precision {first.precision:.2f} at recall "
        f"{first.recall:.2f} to {last.precision:.2f} at {last.recall:.2f}."
    )
    plot = Plot(title, SHARES, SHARES, x_label="recall", y_label="precision", right=78)
    plot.level(chance, kind="faint dotted", label="chance")
    plot.line([(p.recall, p.precision) for p in points], kind="own")
    named: list[tuple[float, float]] = []
    for p in points:
        note = f"radius {p.radius}: precision {p.precision:.3f}, recall {p.recall:.3f}, {percent(p.answered)} answered"
        plot.dot(p.recall, p.precision, kind="own" if p.answered >= ENOUGH else "own hollow", note=note)
        x, y = plot.along(p.recall), plot.up(p.precision) + 17
        x += 4 if x < plot.end - 70 else -52
        if all(abs(x - other[0]) > 64 or abs(y - other[1]) > 44 for other in named) and y < plot.up(chance) - 12:
            plot.text(x, y, f"r = {p.radius}")
            named.append((x, y))
    return plot.svg()


def within_radius(points: Sequence[RadiusPoint]) -> str:
    """Precision, recall and the share of answered queries over the Hamming radius, as far as recall still rises."""
    last = next((p.radius for p in points if p.recall > 0.9995), points[-1].radius)
    shown = [p for p in points if p.radius <= max(last, 1)]
    title = (
        f"Within a radius of {shown[0].radius} bits {percent(shown[0].answered)} of the queries find something; "
        f"everything relevant is found within {last}."
    )
    plot = Plot(title, whole(max(last, 1)), SHARES, x_label="Hamming radius (bits)", y_label="mean over queries",
                right=78)  # fmt: skip
    plot.line([(p.radius, p.answered) for p in shown], kind="faint", label="answered")
    plot.line([(p.radius, p.recall) for p in shown], kind="ink dashed", label="recall")
    plot.line([(p.radius, p.precision) for p in shown], kind="own", label="precision")
    for p in shown:
        plot.dot(p.radius, p.precision, kind="own", size=2, note=f"within {p.radius}: precision {p.precision:.3f}")
        plot.dot(p.radius, p.recall, kind="ink", size=2, note=f"within {p.radius}: recall {p.recall:.3f}")
    return plot.svg()


def distances(relevant: Sequence[int], irrelevant: Sequence[int]) -> str:
    """The share of relevant and of irrelevant pairs at each Hamming distance 0..bits.

    Args:
        relevant: Counts, one for each distance.
        irrelevant: Counts, as many.
    """
    bits = len(relevant) - 1
    shares = [[n / max(sum(counts), 1) for n in counts] for counts in (relevant, irrelevant)]
    top = max(max(one) for one in shares) or 1.0
    middles = [_median(counts) for counts in (relevant, irrelevant)]
    step = next(s for s in (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2) if top / s <= 5.5)
    ticks = tuple((n * step, f"{round(100 * n * step, 3):g}%") for n in range(int(top / step + 1e-9) + 1))
    title = f"Same class: median distance {middles[0]} of {bits} bits. Other class: median {middles[1]}."
    plot = Plot(title, Scale(-0.5, bits + 0.5, whole(bits).ticks), Scale(0.0, top * 1.08, ticks),
                x_label="Hamming distance (bits)", y_label="share of pairs")  # fmt: skip
    edges = [d - 0.5 for d in range(bits + 2)]
    tops = []
    for kind, values in (("other", shares[1]), ("own", shares[0])):
        plot.steps(edges, values, kind=kind)
        highest = max(range(bits + 1), key=values.__getitem__)
        tops.append((plot.along(highest), plot.up(values[highest])))
    other, own = tops
    near = abs(own[0] - other[0]) < 110
    for (x, y), words, middle, kind in (
        (own, "same class", middles[0], "own"), (other, "other class", middles[1], "faint")
    ):  # fmt: skip
        anchor = "middle" if y > 60 and not near else "start" if x < (LEFT + WIDTH) / 2 else "end"
        x += {"middle": 0, "start": 10, "end": -10}[anchor]
        y += -20 if anchor == "middle" else 10
        if near and kind == "faint" and abs(y - own[1] - 10) < 36:
            y = own[1] + 46
        plot.text(x, y, words, anchor=anchor, kind=f"label {kind}")
        plot.text(x, y + 16, f"median {middle}", anchor=anchor)
    return plot.svg()


def _median(counts: Sequence[int]) -> int | None:
    """The distance in the middle; None with no pairs."""
    total, seen = sum(counts), 0
    for distance, n in enumerate(counts):
        seen += n
        if total and 2 * seen >= total:
            return distance
    return None


def bit_use(balance: Mapping[str, Sequence[float]]) -> str:
    """The share of ones of each bit, sorted by that of the gallery."""
    order = sorted(range(len(balance["gallery"])), key=lambda bit: (balance["gallery"][bit], bit))
    idle = sum(ones in (0.0, 1.0) for ones in balance["gallery"])
    bits = len(order)
    x = Scale(0.5, bits + 0.5, tuple((n, text) for n, text in whole(bits).ticks if n) or ((1, "1"),))
    title = (
        f"Use of {bits} bits: {idle} never change in the gallery; the median bit is a one in "
        f"{percent(statistics.median(balance['gallery']))} of its items."
    )
    plot = Plot(title, x, SHARES, x_label="bits, sorted by their use in the gallery", y_label="share of ones",
                right=78)  # fmt: skip
    plot.level(0.5, kind="faint dotted", label="balanced")
    for place, bit in enumerate(order, start=1):
        two = [balance[side][bit] for side in ("queries", "gallery")]
        low, high = (plot.up(v) for v in two)
        plot.parts.append(f'<path class="line thin faint" d="M{plot.along(place):.1f},{low:.1f}V{high:.1f}"/>')
        plot.dot(place, two[0], kind="own", size=2.6, note=f"bit {bit}: {percent(two[0])} ones in the queries")
        plot.dot(place, two[1], kind="ink hollow", size=2.6, note=f"bit {bit}: {percent(two[1])} ones in the gallery")
    plot.labels += [(plot.up(balance[s][order[-1]]), s, kind) for s, kind in (("queries", "own"), ("gallery", "ink"))]
    return plot.svg()
