"""Charts of the report page as inline SVG, drawn by hand: axes, grid, labels.

Comes in: curves and counts of a report. Colours are the page's own (``style.CSS``).
"""

from __future__ import annotations

from collections.abc import Sequence

from dtbh.evaluation.ranking import RadiusPoint

WIDTH, HEIGHT = 420, 290
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 10, 42
ENOUGH = 0.5  # a point is filled where at least this share of queries retrieves something


def precision_recall(curves: Sequence[tuple[str, Sequence[RadiusPoint]]]) -> str:
    """Precision against recall over Hamming radii.

    Args:
        curves: Each with the colour's name, ``"one"`` or ``"two"``.
    """
    ticks = [0.0, 0.25, 0.5, 0.75, 1.0]
    parts = _frame("recall", "precision", [(t, f"{t:g}") for t in ticks], [(t, f"{t:g}") for t in ticks])
    for colour, curve in curves:
        points = [(_x(point.recall), _y(point.precision)) for point in curve]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="var(--{colour})" stroke-width="2" stroke-linejoin="round"/>'
        )
        for (x, y), point in zip(points, curve, strict=True):
            fill = f"var(--{colour})" if point.answered >= ENOUGH else "var(--card)"
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.4" fill="{fill}" stroke="var(--{colour})">'
                f"<title>radius {point.radius}: {point.answered:.0%} of queries retrieve something</title></circle>"
            )
    return _svg("Precision against recall over Hamming radii", parts)


def distance_histogram(relevant: Sequence[int], irrelevant: Sequence[int]) -> str:
    """The share of relevant and of irrelevant pairs at each Hamming distance 0..bits.

    Args:
        relevant: Counts, one for each distance.
        irrelevant: Counts, as many.
    """
    bits = len(relevant) - 1
    shares = [[n / max(sum(counts), 1) for n in counts] for counts in (relevant, irrelevant)]
    top = max(max(one) for one in shares) or 1.0
    step = next(step for step in (1, 2, 4, 8, 16, 32, 64, 128, 256, bits) if bits / step <= 8)
    xs = [((d + 0.5) / (bits + 1), str(d)) for d in range(0, bits + 1, step)]
    ys = [(f, f"{f * top:.{0 if top >= 0.2 else 1}%}") for f in (0.0, 0.25, 0.5, 0.75, 1.0)]
    parts = _frame("Hamming distance (bits)", "share of pairs", xs, ys)
    for colour, values in zip(("wrong", "right"), reversed(shares), strict=True):
        path = f"M{_x(0):.1f},{_y(0):.1f}"
        for distance, share in enumerate(values):
            path += f"V{_y(share / top):.1f}H{_x((distance + 1) / (bits + 1)):.1f}"
        path += f"V{_y(0):.1f}"
        parts.append(
            f'<path d="{path}Z" fill="var(--{colour})" fill-opacity=".25"/>'
            f'<path d="{path}" fill="none" stroke="var(--{colour})" stroke-width="1.5"/>'
        )
    return _svg("Hamming distances of relevant and irrelevant pairs", parts)


def _x(share: float) -> float:
    return LEFT + share * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def _frame(x_label: str, y_label: str, xs: Sequence[tuple[float, str]], ys: Sequence[tuple[float, str]]) -> list[str]:
    """Grid, axis labels and ticks; each tick is its place in [0, 1] and its text."""
    parts = []
    for place, text in ys:
        y = _y(place)
        parts.append(f'<path d="M{LEFT},{y:.1f}H{WIDTH - RIGHT}" stroke="var(--grid)"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    for place, text in xs:
        x = _x(place)
        parts.append(f'<path d="M{x:.1f},{HEIGHT - BOTTOM}v4" stroke="var(--line)"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle">{text}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<path d="M{LEFT},{_y(0)}H{WIDTH - RIGHT}" stroke="var(--soft)"/>')
    parts.append(f'<text x="{_x(0.5):.1f}" y="{HEIGHT - 6}" text-anchor="middle">{x_label}</text>')
    parts.append(f'<text x="11" y="{middle}" text-anchor="middle" transform="rotate(-90 11 {middle})">{y_label}</text>')
    return parts


def _svg(title: str, parts: Sequence[str]) -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{title}">{body}</svg>'
