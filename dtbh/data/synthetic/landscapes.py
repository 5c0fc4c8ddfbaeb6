"""Scenes of water and of the land, each drawn by one function that tells what it has drawn.

A further scene is one function here and one line in ``dtbh.data.synthetic.generate.SCENES``.
"""

from __future__ import annotations

import math

import numpy as np

from dtbh.data.synthetic.drawing import (
    FAR,
    GRASS,
    LEAVES,
    WHITE,
    Colour,
    Pen,
    Point,
    Scene,
    box,
    colour_name,
    counted,
    mixed,
    scaled,
    wave,
)

CROPS: tuple[Colour, ...] = (
    (104, 138, 62), (142, 150, 78), (184, 166, 104), (122, 94, 66), (78, 112, 54), (166, 176, 108),
)  # fmt: skip


def harbor(pen: Pen) -> Scene:
    """Piers with moored boats before a quay."""
    rng = pen.rng
    deep = pen.some((34, 62, 84), (30, 74, 86), (44, 72, 78), (22, 50, 74))
    pen.ground(deep, scaled(deep, 1.4), cells=20)
    quay = rng.uniform(0.5, 0.85)
    pen.shadow(box((0, quay + 1), (FAR, 1)), 0.04)
    pen.area(box((0, quay + 1), (FAR, 1)), (160, 156, 146), (190, 186, 176))
    pen.road((-FAR, quay + 0.2), (FAR, quay + 0.2), 0.13)
    for x in np.arange(-FAR, FAR, 0.45):
        roof = pen.some((172, 90, 70), (200, 200, 196), (120, 130, 140))
        pen.building((x, quay + 0.55), (0.16, 0.14), roof, height=0.12)
    step = rng.uniform(0.46, 0.62)
    length = rng.uniform(0.9, 1.5)
    full = rng.uniform(0.35, 0.95)
    start = -FAR + rng.uniform(0, step)
    hull = pen.some(WHITE, WHITE, (228, 232, 238), (206, 176, 130), (60, 90, 150))
    piers = 0
    for x in np.arange(start, FAR, step):
        piers += int(abs(x) < 0.9)
        pen.shape(box((x, quay - length / 2), (0.025, length / 2)), (176, 166, 148))
        for y in np.arange(quay - length + 0.06, quay - 0.08, 0.115):
            for side in (-1, 1):
                if rng.random() < full:
                    size = rng.uniform(0.13, 0.17) * step / 0.5
                    paint = pen.shade(hull if rng.random() < 0.75 else WHITE, 0.06)
                    _boat(pen, (x + side * 0.035, y), side * size, paint)
    many = "many" if full > 0.62 else "some" if full > 0.45 else "a few"
    colour = colour_name(hull)
    return Scene(
        ("a harbor", "a marina", "a small harbor"),
        (
            (f"{many} {colour} boats", "in"),
            (f"{many} boats", "moored in"),
            (counted(max(1, piers), "long pier"), "in"),
            ("dark blue water", "in"),
            ("a road", "beside"),
        ),
    )


def _boat(pen: Pen, stern: Point, length: float, colour: Colour) -> None:
    """A boat from its stern along x, to the left where the length is negative."""
    (x, y), w = stern, 0.037
    outline = [(x, y - w), (x + length * 0.6, y - w), (x + length, y), (x + length * 0.6, y + w), (x, y + w)]
    pen.shadow(outline, 0.025)
    pen.shape(outline, colour)
    pen.shape(
        box((x + length * 0.38, y), (abs(length) * 0.17, w * 0.55)),
        pen.some((70, 84, 104), (150, 120, 90), (110, 116, 124)),
    )


def forest(pen: Pen) -> Scene:
    """Crowns side by side, sometimes with a path."""
    rng = pen.rng
    pen.ground((26, 44, 28), (44, 62, 36), cells=10)
    path = bool(rng.random() < 0.4)
    track = wave(rng, 0.2, turns=0.6)
    if path:
        pen.line([(x, y) for x, y in track], 0.16, pen.some((160, 140, 108), (136, 124, 100)))
    autumn = bool(rng.random() < 0.25)
    thin = bool(rng.random() < 0.3)
    step = rng.uniform(0.13, 0.2)
    for x in np.arange(-1.6, 1.6, step):
        for y in np.arange(-1.6, 1.6, step):
            at = (x + rng.normal(0, step / 4), y + rng.normal(0, step / 4))
            if math.hypot(*at) > 1.65 or (thin and rng.random() < 0.25):
                continue
            if path and abs(np.interp(at[0], track[:, 0], track[:, 1]) - at[1]) < 0.12:
                continue
            radius = step * rng.uniform(0.5, 0.82)
            pen.crown(at, radius)
            if autumn and rng.random() < 0.3:
                pen.disc(at, radius * 0.8, pen.shade(pen.some((158, 106, 46), (140, 120, 52), (128, 72, 40)), 0.1))
    details = [("many green trees", "in"), ("dark green plants", "in")]
    details.append(("some open gaps", "in") if thin else ("trees side by side", "in"))
    if path:
        details += [("a narrow path", "through"), ("a winding path", "in")]
    if autumn:
        details += [("some brown and yellow trees", "in")]
    dense = "a sparse forest" if thin else "a dense forest"
    return Scene((dense, "a forest", "a wood" if thin else "a thick green forest"), tuple(details))


def river(pen: Pen) -> Scene:
    """Winding water between banks, sometimes under a bridge."""
    rng = pen.rng
    land = pen.some(*GRASS, (150, 134, 100))
    pen.ground(land, pen.shade(LEAVES[int(rng.integers(len(LEAVES)))], 0.2), cells=5)
    middle = wave(rng, rng.uniform(0.16, 0.34), turns=rng.uniform(0.6, 0.95))
    width = rng.uniform(0.16, 0.3) * (1 + 0.18 * np.sin(middle[:, 0] * 3 + rng.uniform(0, 6)))

    def band(extra: float) -> list[Point]:
        upper, lower = middle[:, 1] + width + extra, middle[:, 1] - width - extra
        return [*zip(middle[:, 0], upper, strict=True), *zip(middle[::-1, 0], lower[::-1], strict=True)]

    pen.area(band(0.06), (170, 156, 120), (138, 124, 92), cells=14)
    water = pen.some((62, 92, 92), (58, 104, 92), (48, 78, 100), (70, 112, 122))
    pen.area(band(0.0), water, scaled(water, 1.2), cells=14)
    trees = int(rng.integers(20, 170))
    for _ in range(trees):
        at = (rng.uniform(-1.5, 1.5), rng.uniform(-1.5, 1.5))
        gap = abs(float(np.interp(at[0], middle[:, 0], middle[:, 1])) - at[1])
        if gap > float(width.max()) + 0.1:
            pen.tree(at, rng.uniform(0.04, 0.09))
    bridge = bool(rng.random() < 0.35)
    if bridge:
        x = rng.uniform(-0.5, 0.5)
        pen.shadow(box((x, 0), (0.1, FAR)), 0.05)
        pen.road((x, -FAR), (x, FAR), 0.17)
    name = colour_name(water)
    details = [
        ("many trees" if trees > 90 else "some trees", "along"),
        ("green banks" if land in GRASS else "brown banks", "along"),
    ]
    if bridge:
        details += [("a bridge", "over"), ("a straight road", "across")]
    return Scene(("a winding river", "a river", f"a {name} river"), tuple(details))


def beach(pen: Pen) -> Scene:
    """Sea, surf and sand."""
    rng = pen.rng
    sand = pen.some((222, 204, 164), (206, 186, 146), (232, 220, 190))
    pen.ground(sand, pen.shade(sand, 0.08), cells=8)
    shore = wave(rng, rng.uniform(0.03, 0.12), turns=rng.uniform(0.5, 0.9))
    shore[:, 1] += rng.uniform(-0.3, 0.2)
    sea = pen.some((28, 92, 124), (34, 110, 132), (22, 74, 112), (50, 106, 116))

    def below(offset: float, ripple: float) -> list[Point]:
        wiggle = ripple * np.sin(shore[:, 0] * 9 + offset * 40)
        return [*zip(shore[:, 0], shore[:, 1] + offset + wiggle, strict=True), (FAR, -FAR), (-FAR, -FAR)]

    pen.veil(below(0.1, 0.01), scaled(sand, 0.76), 150)
    pen.shape(below(0.0, 0.01), (236, 240, 238))
    shallow = mixed(sea, (170, 226, 214), 0.5)
    for step in range(10):
        pen.shape(below(-0.035 - 0.06 * step, 0.012), mixed(shallow, sea, step / 9))
    pen.area(below(-0.62, 0.012), sea, scaled(sea, 1.1), cells=24)
    waves = int(rng.integers(1, 4))
    for number in range(waves):
        edge = below(-0.16 - 0.17 * number - rng.uniform(0, 0.05), 0.02)[:-2]
        at = 0
        while at < 60:
            length = int(rng.integers(6, 20))
            pen.line(edge[at : at + length], rng.uniform(0.012, 0.024), mixed(shallow, WHITE, 0.7))
            at += length + int(rng.integers(1, 7))
    details = [
        ("white waves", "on"),
        (f"{colour_name(sea)} sea", "beside"),
        (f"{'white' if sand[2] > 180 else 'yellow'} sand", "on"),
    ]
    if rng.random() < 0.55:
        for _ in range(int(rng.integers(10, 30))):
            x = rng.uniform(-1.4, 1.4)
            y = float(np.interp(x, shore[:, 0], shore[:, 1])) + rng.uniform(0.2, 0.45)
            pen.round_shadow((x, y), 0.032, 0.03)
            pen.disc((x, y), 0.034, pen.some((214, 60, 50), (240, 200, 60), (60, 110, 190), WHITE))
            pen.disc((x, y), 0.01, WHITE)
        details.append(("many colourful umbrellas", "on"))
    if rng.random() < 0.5:
        for _ in range(90):
            x = rng.uniform(-1.6, 1.6)
            inland = float(np.interp(x, shore[:, 0], shore[:, 1])) + rng.uniform(0.75, 1.7)
            pen.tree((x, inland), rng.uniform(0.06, 0.11))
        details.append(("green trees", "behind"))
    return Scene(("a beach", "a sandy beach", "a beach by the sea"), tuple(details))


def farmland(pen: Pen) -> Scene:
    """A patchwork of fields in rows, or round fields under pivots."""
    rng = pen.rng
    soil = pen.some((150, 128, 92), (166, 146, 108), (128, 112, 76))
    pen.ground(soil, pen.shade(soil, 0.15))
    round_fields = bool(rng.random() < 0.3)
    cell = rng.uniform(0.62, 0.95) if round_fields else rng.uniform(0.5, 1.0)
    start = -FAR + rng.uniform(0, cell)
    for i, x in enumerate(np.arange(start, FAR, cell)):
        step = cell * (1.0 if round_fields else 0.82)
        for y in np.arange(-FAR + (0.0 if round_fields else 0.3 * (i % 2)), FAR, step):
            crop = pen.shade(pen.some(*CROPS), 0.1)
            if round_fields:
                _round_field(pen, (x, y), cell * 0.47, crop)
            else:
                _striped_field(pen, (x, y), (cell * 0.48, cell * 0.4), crop)
    track = bool(rng.random() < 0.6)
    if track:
        x = start + cell * 0.5 + cell * int(rng.integers(1, 3))
        pen.line([(x, -FAR), (x, FAR)], 0.06, (196, 180, 146))
    barn = bool(rng.random() < 0.35)
    if barn:
        at = (rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5))
        pen.house(at, (0.13, 0.08), pen.some((168, 66, 52), (190, 190, 186)))
        for _ in range(5):
            pen.tree((at[0] + rng.uniform(-0.3, 0.3), at[1] + rng.choice((-0.2, 0.2))), 0.05)
    details = [
        ("many round fields", "in") if round_fields else ("many rows of crops", "in"),
        ("green and brown fields", "in"),
    ]
    if track:
        details.append(("a narrow dirt road", "through"))
    if barn:
        details.append(("a small farmhouse", "in"))
    return Scene(("a piece of farmland", "a piece of cropland", "farmland"), tuple(details))


def _striped_field(pen: Pen, centre: Point, half: Point, crop: Colour) -> None:
    (x, y), (a, b) = centre, half
    pen.area(box(centre, half), crop, pen.shade(crop, 0.14), cells=6)
    step = pen.rng.uniform(0.035, 0.06)
    dark = scaled(crop, 0.82)
    if pen.rng.random() < 0.5:
        for at in np.arange(y - b + step / 2, y + b, step):
            pen.line([(x - a, at), (x + a, at)], step * 0.35, dark)
    else:
        for at in np.arange(x - a + step / 2, x + a, step):
            pen.line([(at, y - b), (at, y + b)], step * 0.35, dark)


def _round_field(pen: Pen, centre: Point, radius: float, crop: Colour) -> None:
    pen.disc(centre, radius, crop)
    for share in np.arange(0.2, 1.0, 0.2):
        pen.ring(centre, radius * share, 0.012, scaled(crop, 0.9))
    turn = pen.rng.uniform(0, 2 * math.pi)
    tip = (centre[0] + radius * math.cos(turn), centre[1] + radius * math.sin(turn))
    pen.line([centre, tip], 0.016, (210, 206, 196))
