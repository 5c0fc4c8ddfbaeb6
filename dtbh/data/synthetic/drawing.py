"""The pen that aerial scenes are drawn with: textured ground, shapes with shadows, trees, roads, roofs.

A scene is drawn turned by any angle, so it must cover [-FAR, FAR]. Everything is drawn larger and scaled down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]

OVER = 3
FAR = 1.8
ASPHALT: Colour = (92, 94, 98)
CONCRETE: Colour = (178, 174, 166)
WHITE: Colour = (240, 240, 236)
LEAVES: tuple[Colour, ...] = ((44, 78, 38), (56, 92, 44), (38, 68, 40), (74, 102, 50), (62, 84, 36))
GRASS: tuple[Colour, ...] = ((112, 132, 72), (128, 136, 82), (92, 122, 64), (142, 140, 92))


NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CARS: tuple[Colour, ...] = (
    (236, 236, 234), (190, 194, 200), (48, 50, 56), (150, 34, 32), (40, 66, 120), (120, 124, 130),
    (216, 206, 180),
)  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """What a picture shows, in words.

    Attributes:
        names: The scene itself, in words that mean the same, with article or number.
        details: What else is there, each as (noun phrase, how it lies to the scene): ``("many white
            boats", "in")``.
    """

    names: tuple[str, ...]
    details: tuple[tuple[str, str], ...]


class Pen:
    """One picture in the making.

    Args:
        rng: Draws the angle, the scale, the light and all textures.
        size: The side of the finished picture in pixels.
    """

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.rng = rng
        self.size = size
        self._side = size * OVER
        self._unit = self._side / 2 * rng.uniform(0.86, 1.14)
        angle = rng.uniform(0, 2 * math.pi)
        self._cos, self._sin = math.cos(angle), math.sin(angle)
        sun = rng.uniform(0, 2 * math.pi)
        self._sun = (math.cos(sun) * self._unit, math.sin(sun) * self._unit)
        self._image = Image.new("RGB", (self._side, self._side))
        self._draw = ImageDraw.Draw(self._image)
        self._glass = ImageDraw.Draw(self._image, "RGBA")

    def finish(self) -> Image.Image:
        """The picture at its size, with a little haze, cast and grain."""
        small = np.asarray(self._image.reduce(OVER), np.float32)
        gain = self.rng.uniform(0.9, 1.12) * (1 + self.rng.uniform(-0.03, 0.03, 3))
        grain = self.rng.normal(0, 2.5, (*small.shape[:2], 1))
        return Image.fromarray(np.clip(small * gain + self.rng.uniform(-6, 12) + grain, 0, 255).astype(np.uint8))

    def ground(self, first: Colour, second: Colour, *, cells: int = 6) -> None:
        """Cover everything with a texture between two colours."""
        self._image.paste(self._texture(self._image.size, first, second, cells))

    def area(self, points: Sequence[Point], first: Colour, second: Colour, *, cells: int = 8) -> None:
        """A polygon with a texture between two colours."""
        pixels = self._pixels(points)
        across, down = zip(*pixels, strict=True)
        left, top = (max(0, math.floor(min(side))) for side in (across, down))
        right, bottom = (min(self._side, math.ceil(max(side)) + 1) for side in (across, down))
        if right <= left or bottom <= top:
            return
        size = (right - left, bottom - top)
        mask = Image.new("L", size)
        ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in pixels], fill=255)
        self._image.paste(self._texture(size, first, second, cells), (left, top), mask)

    def shape(self, points: Sequence[Point], colour: Colour) -> None:
        """A plain polygon."""
        self._draw.polygon(self._pixels(points), fill=colour)

    def veil(self, points: Sequence[Point], colour: Colour, alpha: int) -> None:
        """A polygon that lets through what lies below; alpha from 0 to 255."""
        self._glass.polygon(self._pixels(points), fill=(*colour, alpha))

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """A line through points, with round joints; the width in scene units."""
        self._draw.line(self._pixels(points), fill=colour, width=self._length(width), joint="curve")

    def dashes(self, start: Point, end: Point, *, width: float, step: float, colour: Colour = WHITE) -> None:
        """A broken line, half of it drawn."""
        length = math.dist(start, end)
        along = ((end[0] - start[0]) / length, (end[1] - start[1]) / length)
        for at in np.arange(0, length, step):
            a, b = at, min(at + step / 2, length)
            self.line(
                [
                    (start[0] + along[0] * a, start[1] + along[1] * a),
                    (start[0] + along[0] * b, start[1] + along[1] * b),
                ],
                width,
                colour,
            )

    def disc(self, centre: Point, radius: float, colour: Colour) -> None:
        """A filled circle."""
        (x, y), r = self._pixels([centre])[0], radius * self._unit
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def ring(self, centre: Point, radius: float, width: float, colour: Colour) -> None:
        """A circle's outline."""
        (x, y), r = self._pixels([centre])[0], radius * self._unit
        self._draw.ellipse((x - r, y - r, x + r, y + r), outline=colour, width=self._length(width))

    def round_shadow(self, centre: Point, radius: float, height: float) -> None:
        """What a round thing of a height throws on the ground."""
        (x, y), r = self._pixels([centre])[0], radius * self._unit
        for part in (0.5, 1.0):
            dx, dy = self._sun[0] * height * part, self._sun[1] * height * part
            self._glass.ellipse((x + dx - r, y + dy - r, x + dx + r, y + dy + r), fill=(12, 18, 30, 80))

    def shadow(self, points: Sequence[Point], height: float) -> None:
        """What a block over a polygon throws on the ground; the height in scene units."""
        near = self._pixels(points)
        far = [(x + self._sun[0] * height, y + self._sun[1] * height) for x, y in near]
        self._glass.polygon(_hull([*near, *far]), fill=(12, 18, 30, 120))

    def tree(self, centre: Point, radius: float) -> None:
        """A crown seen from above, lit from the sun's side, with its shadow."""
        self.round_shadow(centre, radius, radius * 0.9)
        self.crown(centre, radius)

    def crown(self, centre: Point, radius: float) -> None:
        """A tree without its shadow."""
        dark = self.shade(LEAVES[self.rng.integers(len(LEAVES))], 0.12)
        (x, y), r = self._pixels([centre])[0], radius * self._unit
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=dark)
        x, y = x - self._sun[0] * radius * 0.3, y - self._sun[1] * radius * 0.3
        light = scaled(dark, 1.4)
        r *= 0.6
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=light)

    def building(self, centre: Point, half: Point, colour: Colour, *, height: float) -> None:
        """A flat roof with its shadow and a lighter edge."""
        outline = box(centre, half)
        self.shadow(outline, height)
        self.shape(outline, self.shade(colour, 0.05))
        self.line([*outline, outline[0]], 0.012, scaled(colour, 1.12))

    def house(self, centre: Point, half: Point, colour: Colour) -> None:
        """A gable roof: one side in the light, one in the shade."""
        (x, y), (a, b) = centre, half
        self.shadow(box(centre, half), 0.07)
        if a >= b:
            sides = [box((x, y - b / 2), (a, b / 2)), box((x, y + b / 2), (a, b / 2))]
            lit = (0.0, -1.0)
        else:
            sides = [box((x - a / 2, y), (a / 2, b)), box((x + a / 2, y), (a / 2, b))]
            lit = (-1.0, 0.0)
        first = self._towards_sun(lit)
        for side, gain in zip(sides, (1 + 0.16 * first, 1 - 0.16 * first), strict=True):
            self.shape(side, scaled(colour, gain))

    def car(self, centre: Point, half: Point, colour: Colour) -> None:
        """A car: a body and its darker panes."""
        (x, y), (a, b) = centre, half
        self.shadow(box(centre, half), 0.02)
        self.shape(box(centre, half), colour)
        dark = (40, 46, 54)
        if a > b:
            self.shape(box((x + a * 0.35, y), (a * 0.12, b * 0.8)), dark)
            self.shape(box((x - a * 0.55, y), (a * 0.1, b * 0.8)), dark)
        else:
            self.shape(box((x, y + b * 0.35), (a * 0.8, b * 0.12)), dark)
            self.shape(box((x, y - b * 0.55), (a * 0.8, b * 0.1)), dark)

    def road(self, start: Point, end: Point, width: float, *, marked: bool = True) -> None:
        """A straight road with kerbs and a broken centre line."""
        self.line([start, end], width * 1.25, (164, 160, 150))
        self.line([start, end], width, self.shade(ASPHALT, 0.08))
        if marked:
            self.dashes(start, end, width=0.012, step=0.12, colour=(226, 220, 180))

    def shade(self, colour: Colour, spread: float) -> Colour:
        """A colour somewhat lighter or darker, and a little off in hue."""
        gain = 1 + self.rng.uniform(-spread, spread) + self.rng.uniform(-spread / 4, spread / 4, 3)
        red, green, blue = (int(min(255, max(0, c * g))) for c, g in zip(colour, gain, strict=True))
        return red, green, blue

    def some(self, *choices: Colour) -> Colour:
        """One of some colours."""
        return choices[self.rng.integers(len(choices))]

    def _texture(self, size: tuple[int, int], first: Colour, second: Colour, cells: int) -> Image.Image:
        """A texture of a size; so many cells would stand across the whole picture."""
        fine = noise(self.rng, -(-size[0] // OVER), -(-size[1] // OVER), self.size / cells)
        share = fine.resize(size, Image.Resampling.BILINEAR)
        return Image.composite(Image.new("RGB", size, second), Image.new("RGB", size, first), share)

    def _towards_sun(self, way: Point) -> float:
        """How far a direction in the scene faces the light, -1 to 1."""
        x, y = way[0] * self._cos - way[1] * self._sin, way[0] * self._sin + way[1] * self._cos
        return -(x * self._sun[0] + y * self._sun[1]) / self._unit

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        middle, unit = self._side / 2, self._unit
        return [
            (
                middle + unit * (x * self._cos - y * self._sin),
                middle + unit * (x * self._sin + y * self._cos),
            )
            for x, y in points
        ]

    def _length(self, width: float) -> int:
        return max(1, round(width * self._unit))


def box(centre: Point, half: Point) -> list[Point]:
    """The corners of a rectangle along the scene's axes."""
    (x, y), (a, b) = centre, half
    return [(x - a, y - b), (x + a, y - b), (x + a, y + b), (x - a, y + b)]


def counted(number: int, noun: str) -> str:
    """A number and a noun in words: ``"two long piers"``; from ten on, ``"many"``."""
    word = NUMBERS[number] if number < len(NUMBERS) else "many"
    return f"{word} {noun}{'s' * (number != 1)}"


def scaled(colour: Colour, gain: float) -> Colour:
    """A colour made lighter or darker."""
    red, green, blue = (int(min(255, c * gain)) for c in colour)
    return red, green, blue


def mixed(first: Colour, second: Colour, share: float) -> Colour:
    """A colour between two: the first at share 0, the second at 1."""
    red, green, blue = (int(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def wave(rng: np.random.Generator, swing: float, *, turns: float = 1.0) -> NDArray[np.float64]:
    """A smooth winding line from x = -FAR to FAR: shape [65, 2]; the swing in scene units."""
    x = np.linspace(-FAR, FAR, 65)
    y = np.zeros_like(x)
    for part, share in ((1.0, 1.0), (2.1, 0.35), (4.3, 0.12)):
        y += share * swing * np.sin(x * part * turns * math.pi / 1.4 + rng.uniform(0, 2 * math.pi))
    return np.stack([x, y], axis=1)


def noise(rng: np.random.Generator, width: int, height: int, cell: float) -> Image.Image:
    """Smooth noise over three scales, the coarsest with cells of ``cell`` pixels: a grey picture."""
    total = np.zeros((height, width), np.float32)
    for scale, share in ((1, 0.5), (4, 0.3), (16, 0.2)):
        across, down = (max(2, min(side, round(side * scale / cell))) for side in (width, height))
        grid = Image.fromarray(rng.random((down, across), dtype=np.float32))
        total += share * np.asarray(grid.resize((width, height), Image.Resampling.BILINEAR))
    return Image.fromarray(np.clip((total - 0.5) * 460 + 128, 0, 255).astype(np.uint8))


def colour_name(colour: Colour) -> str:
    """A plain name for a colour."""
    red, green, blue = colour
    if min(colour) > 195:
        return "white"
    if max(colour) - min(colour) < 14:
        return "gray"
    if blue >= green and blue > red:
        return "blue"
    if green >= red:
        return "green"
    return "red" if red > 1.6 * green else "brown"


def _hull(points: Sequence[Point]) -> list[Point]:
    """The convex hull, in order (Andrew's monotone chain)."""
    ordered = sorted(points)

    def half(line: Sequence[Point]) -> list[Point]:
        kept: list[Point] = []
        for p in line:
            while (
                len(kept) > 1
                and (
                    (kept[-1][0] - kept[-2][0]) * (p[1] - kept[-2][1])
                    - (kept[-1][1] - kept[-2][1]) * (p[0] - kept[-2][0])
                )
                <= 0
            ):
                kept.pop()
            kept.append(p)
        return kept[:-1]

    return half(ordered) + half(ordered[::-1])
