"""A chart as inline SVG: axes, grid, lines, areas and dots, with labels that stand at what they name.

Colours are classes of the page's own style, so that a chart follows light and dark and the direction it stands in:
``own`` is the direction's colour, ``other`` a grey, ``ink`` the text's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 480, 300
LEFT, TOP, BOTTOM = 46, 30, 42
APART = 15.0  # pixels between two labels at the end of lines

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """Values to places in [0, 1].

    Attributes:
        low: The value at 0.
        high: The value at 1, above ``low``.
        ticks: Values with their texts.
        log: Whether equal ratios are equally far; ``low`` is above 0 then.
    """

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value stands."""
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return (value - low) / (high - low)


SHARES = Scale(0.0, 1.0, tuple((t, f"{t:g}") for t in (0.0, 0.25, 0.5, 0.75, 1.0)))


def whole(high: int, low: int = 0) -> Scale:
    """Whole numbers from ``low`` to ``high`` with at most nine ticks."""
    steps = (base * 10**power for power in range(9) for base in (1, 2, 4, 5, 8))
    step = next(step for step in steps if (high - low) / step <= 8)
    return Scale(low, max(high, low + 1), tuple((n, f"{n:,}") for n in range(-(-low // step) * step, high + 1, step)))


def powers(high: int) -> Scale:
    """A logarithmic scale from 1 to ``high`` with ticks at 1, 10, 100 and so on, and at 2 and 5 of a short one."""
    bases = (1, 2, 5) if high <= 500 else (1,)
    ticks = [base * 10**power for power in range(len(str(high))) for base in bases if base * 10**power <= high]
    return Scale(1.0, max(high, 2), tuple((n, f"{n:,}") for n in ticks), log=True)


class Plot:
    """One chart, drawn part by part.

    Args:
        title: What a screen reader says of it, with the finding in words.
        x: Scale to the right.
        y: Scale upwards.
        x_label: Under the axis.
        y_label: Above the axis, read without turning one's head.
        right: Pixels kept at the right for the labels of lines.
        height: Of the whole chart.
    """

    def __init__(
        self, title: str, x: Scale, y: Scale, *, x_label: str, y_label: str, right: int = 14, height: int = HEIGHT
    ) -> None:
        self.title, self.x, self.y, self.height, self.end = title, x, y, height, WIDTH - right
        self.parts: list[str] = []
        self.labels: list[tuple[float, str, str]] = []
        for value, text in y.ticks:
            at = self.up(value)
            self.parts.append(f'<path class="grid" d="M{LEFT},{at:.1f}H{self.end}"/>')
            self.text(LEFT - 8, at + 4, text, anchor="end")
        for value, text in x.ticks:
            at = self.along(value)
            self.parts.append(f'<path class="tick" d="M{at:.1f},{height - BOTTOM}v4"/>')
            self.text(at, height - BOTTOM + 18, text, anchor="middle")
        self.parts.append(f'<path class="axis" d="M{LEFT},{height - BOTTOM}H{self.end}"/>')
        self.text((LEFT + self.end) / 2, height - 6, x_label, anchor="middle")
        self.text(0, 13, y_label)

    def along(self, value: float) -> float:
        """The pixel of an x value."""
        return LEFT + self.x.place(value) * (self.end - LEFT)

    def up(self, value: float) -> float:
        """The pixel of a y value."""
        return self.height - BOTTOM - self.y.place(value) * (self.height - TOP - BOTTOM)

    def text(self, x: float, y: float, words: str, *, anchor: str = "start", kind: str = "") -> None:
        """Words at a pixel."""
        more = (f' text-anchor="{anchor}"' if anchor != "start" else "") + (f' class="{kind}"' if kind else "")
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}"{more}>{escape(words)}</text>')

    def line(self, points: Sequence[Point], *, kind: str, label: str = "") -> None:
        """A line through values; its label stands at its end, moved where another one stands."""
        drawn = " ".join(f"{self.along(x):.1f},{self.up(y):.1f}" for x, y in points)
        self.parts.append(f'<polyline class="line {kind}" points="{drawn}"/>')
        if label:
            self.labels.append((self.up(points[-1][1]), label, kind))

    def level(self, value: float, *, kind: str, label: str) -> None:
        """A horizontal line, as for chance."""
        self.line([(self.x.low, value), (self.x.high, value)], kind=kind, label=label)

    def steps(self, edges: Sequence[float], values: Sequence[float], *, kind: str) -> None:
        """A filled histogram: ``values[i]`` from ``edges[i]`` to ``edges[i + 1]``."""
        path = f"M{self.along(edges[0]):.1f},{self.up(0):.1f}"
        for end, value in zip(edges[1:], values, strict=True):
            path += f"V{self.up(value):.1f}H{self.along(end):.1f}"
        path += f"V{self.up(0):.1f}"
        self.parts.append(f'<path class="area {kind}" d="{path}Z"/><path class="line thin {kind}" d="{path}"/>')

    def dot(self, x: float, y: float, *, kind: str, note: str, size: float = 2.8) -> None:
        """A dot; ``note`` is shown under the pointer."""
        self.parts.append(
            f'<circle class="dot {kind}" cx="{self.along(x):.1f}" cy="{self.up(y):.1f}" r="{size:g}">'
            f"<title>{escape(note)}</title></circle>"
        )

    def svg(self) -> str:
        """The chart."""
        ends: list[tuple[float, str, str]] = []
        for at, label, kind in sorted(self.labels):
            ends.append((max(at, ends[-1][0] + APART) if ends else at, label, kind))
        over = max((ends[-1][0] if ends else 0.0) - (self.height - BOTTOM), 0.0)
        for at, label, kind in ends:
            self.text(self.end + 7, at - over + 4, label, kind=f"label {kind}")
        return drawing(self.title, WIDTH, self.height, self.parts)


def drawing(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    """An SVG picture with its words for a screen reader."""
    body = "".join(parts)
    return f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}">{body}</svg>'
