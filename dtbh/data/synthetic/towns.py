"""Scenes of what people build, each drawn by one function that tells what it has drawn.

A further scene is one function here and one line in ``dtbh.data.synthetic.generate.SCENES``.
"""

from __future__ import annotations

import math

import numpy as np

from dtbh.data.synthetic.drawing import (
    CARS,
    FAR,
    GRASS,
    WHITE,
    Colour,
    Pen,
    Point,
    Scene,
    box,
    colour_name,
    counted,
    scaled,
)

TANK_PAINTS: tuple[tuple[str, Colour], ...] = (
    ("white", WHITE), ("white", (246, 246, 244)), ("gray", (190, 196, 200)), ("yellow", (214, 202, 166)),
    ("blue", (140, 168, 184)),
)  # fmt: skip
Tank = tuple[Point, float]
"""Where a tank stands, and its radius."""


def airport(pen: Pen) -> Scene:
    """Airplanes on an apron before a terminal, and a runway."""
    rng = pen.rng
    grass = pen.some(*GRASS)
    pen.ground(grass, pen.shade(grass, 0.25))
    pen.area(box((0, 0.2), (FAR, 0.62)), (150, 150, 148), (176, 174, 170))
    pen.line([(-FAR, -0.22), (FAR, -0.22)], 0.016, (222, 186, 60))
    runway = bool(rng.random() < 0.7)
    if runway:
        pen.line([(-FAR, -0.85), (FAR, -0.85)], 0.34, pen.shade((98, 100, 104), 0.1))
        pen.dashes((-FAR, -0.85), (FAR, -0.85), width=0.022, step=0.26)
        for y in (-1.0, -0.7):
            pen.line([(-FAR, y), (FAR, y)], 0.012, WHITE)
        pen.line([(0.8, -0.85), (0.8, -0.2)], 0.18, (140, 140, 140))
    roof = pen.some((206, 208, 210), (150, 160, 172), (176, 150, 130))
    pen.building((0, 1.0), (FAR, 0.2), roof, height=0.16)
    planes = int(rng.integers(1, 5))
    size = (0.0, 0.44, 0.38, 0.29, 0.22)[planes] * rng.uniform(0.88, 1.05)
    gap = 2.1 * size
    body = pen.some(WHITE, (246, 246, 244), (222, 228, 236))
    for place in range(planes):
        x = (place - (planes - 1) / 2) * gap + rng.uniform(-0.03, 0.03)
        pen.building((x, 0.72), (0.03, 0.14), (130, 136, 142), height=0.05)
        _plane(pen, (x, 0.28), size, body, pen.some((180, 40, 44), (36, 70, 140), (30, 120, 110), (230, 150, 40)))
    for _ in range(int(rng.integers(2, 8))):
        pen.car((rng.uniform(-1.2, 1.2), rng.uniform(-0.12, -0.04)), (0.05, 0.024), pen.some(*CARS))
    details = [
        (counted(planes, "airplane"), "parked at"),
        (counted(planes, "white airplane"), "standing at"),
        ("a long terminal building", "at"),
    ]
    if runway:
        details.append(("a straight runway", "at"))
    return Scene(("an airport", "an airport", "an airfield"), tuple(details))


def _plane(pen: Pen, centre: Point, size: float, body: Colour, tail: Colour) -> None:
    """An airliner with its nose to +y."""
    x, y = centre

    def put(points: list[Point]) -> list[Point]:
        return [(x + size * a, y + size * b) for a, b in points]

    wing = [(0.0, 0.30), (0.95, -0.32), (0.95, -0.46), (0.0, -0.12), (-0.95, -0.46), (-0.95, -0.32)]
    rudder = [(0.0, -0.72), (0.36, -0.98), (0.36, -1.06), (0.0, -0.94), (-0.36, -1.06), (-0.36, -0.98)]
    hull = [
        (0.0, 1.02),
        (0.06, 0.96),
        (0.1, 0.8),
        (0.1, -0.6),
        (0.03, -1.05),
        (-0.03, -1.05),
        (-0.1, -0.6),
        (-0.1, 0.8),
        (-0.06, 0.96),
    ]
    for part in (rudder[:4], [rudder[0], *rudder[3:]], wing[:4], [wing[0], *wing[3:]], hull):
        pen.shadow(put(part), size * 0.1)
    grey = scaled(body, 0.87)
    pen.shape(put(wing), grey)
    pen.shape(put(rudder), grey)
    for side in (-0.36, 0.36):
        pen.shape(put(box((side, 0.1), (0.055, 0.13))), (110, 114, 122))
    pen.shape(put(hull), body)
    pen.line(put([(0, -0.7), (0, -1.05)]), size * 0.07, tail)


def parking_lot(pen: Pen) -> Scene:
    """Rows of cars between white lines."""
    rng = pen.rng
    ground = pen.shade(pen.some((92, 94, 98), (112, 112, 114), (134, 130, 124)), 0.08)
    pen.ground(ground, pen.shade(ground, 0.12), cells=14)
    full = rng.uniform(0.3, 1.0)
    slot, depth = rng.uniform(0.1, 0.13), rng.uniform(0.22, 0.26)
    aisle = rng.uniform(0.22, 0.3)
    islands = bool(rng.random() < 0.5)
    for y in np.arange(-FAR + rng.uniform(0, 0.5), FAR, 2 * depth + aisle):
        pen.line([(-FAR, y), (FAR, y)], 0.014, (226, 226, 220))
        for number, x in enumerate(np.arange(-FAR, FAR, slot)):
            pen.line([(x, y - depth), (x, y + depth)], 0.012, (226, 226, 220))
            if islands and number % 9 == 4:
                pen.shape(box((x + slot / 2, y), (slot * 0.46, depth)), (112, 128, 76))
                pen.tree((x + slot / 2, y - depth * 0.5), slot * 0.5)
                pen.tree((x + slot / 2, y + depth * 0.5), slot * 0.45)
                continue
            for side in (-1, 1):
                if rng.random() < full:
                    at = (x + slot / 2 + rng.normal(0, 0.004), y + side * depth * 0.52)
                    pen.car(at, (slot * 0.33, depth * 0.38), pen.shade(pen.some(*CARS), 0.1))
    building = bool(rng.random() < 0.35)
    if building:
        pen.building((rng.choice((-1.2, 1.2)), 0), (0.55, FAR), pen.some((196, 192, 184), (150, 152, 156)), height=0.2)
    many = "many" if full > 0.7 else "some" if full > 0.45 else "a few"
    details = [
        (f"{many} cars", "parked in"),
        ("rows of cars", "in"),
        ("white lines", "on"),
    ]
    if islands:
        details.append(("some trees", "in"))
    if building:
        details.append(("a large building", "beside"))
    return Scene(("a parking lot", "a car park", "a large parking lot"), tuple(details))


def storage_tanks(pen: Pen) -> Scene:
    """Round tanks on bare ground, with pipes."""
    rng = pen.rng
    soil = pen.some((168, 156, 132), (150, 148, 140), (136, 132, 104), (118, 124, 88))
    pen.ground(soil, pen.shade(soil, 0.16))
    name, colour = TANK_PAINTS[int(rng.integers(len(TANK_PAINTS)))]
    road = bool(rng.random() < 0.4)
    if road:
        pen.road((-FAR, 0.72), (FAR, 0.72), 0.18)
    inside, outside, number = _tank_places(rng, top=0.56 if road else FAR)
    walls = bool(rng.random() < 0.5)
    for (x, y), radius in [*inside, *outside]:
        if walls:
            half = radius * 1.22
            pen.shape(box((x, y), (half, half)), pen.shade((182, 172, 150), 0.05))
            pen.line([*box((x, y), (half, half)), box((x, y), (half, half))[0]], 0.02, (120, 112, 96))
    pen.line([(-FAR, 0.03), (FAR, 0.03)], 0.02, (206, 204, 200))
    pen.line([(-FAR, -0.03), (FAR, -0.03)], 0.014, (170, 120, 90))
    for centre, radius in [*inside, *outside]:
        _tank(pen, centre, radius, pen.shade(colour, 0.04))
    details = [("bare ground", "around"), ("some pipes", "between")]
    if road:
        details.append(("a straight road", "beside"))
    if walls:
        details.append(("low walls", "around"))
    size = "large" if max(r for _, r in inside) > 0.3 else "small"
    return Scene(
        (
            counted(number, "storage tank"),
            counted(number, f"{name} storage tank"),
            counted(number, f"{size} storage tank"),
        ),
        tuple(details),
    )


def _tank_places(rng: np.random.Generator, *, top: float) -> tuple[list[Tank], list[Tank], int]:
    """Tanks that are surely in sight, those at the rim, and how many to speak of."""
    radius = rng.uniform(0.14, 0.36)
    step = radius * rng.uniform(2.5, 2.9)
    inside: list[Tank] = []
    outside: list[Tank] = []
    for x in np.arange(-FAR + rng.uniform(0, step), FAR, step):
        for y in (-step * 1.5, -step * 0.5, step * 0.5, step * 1.5):
            if abs(y) > 0.95 or y + radius > top or rng.random() < 0.12:
                continue
            (inside if math.hypot(x, y) < 0.85 else outside).append(((x, y), radius * rng.uniform(0.88, 1.0)))
    if len(inside) < 2:
        inside = [((-step / 2, -step / 2), radius), ((step / 2, -step / 2), radius)]
        outside = []
    number = len(inside) if not outside else 10 if len(inside) > 4 else len(inside)
    return inside, ([] if number < 10 else outside), number


def _tank(pen: Pen, centre: Point, radius: float, colour: Colour) -> None:
    pen.round_shadow(centre, radius, radius * 0.45)
    pen.disc(centre, radius, scaled(colour, 0.7))
    pen.disc(centre, radius * 0.94, colour)
    pen.ring(centre, radius * 0.6, 0.01, scaled(colour, 0.85))
    for number in range(8):
        turn = number * math.pi / 4
        edge = (centre[0] + radius * 0.92 * math.cos(turn), centre[1] + radius * 0.92 * math.sin(turn))
        pen.line([centre, edge], 0.006, scaled(colour, 0.89))
    pen.disc(centre, radius * 0.08, (120, 120, 124))


def residential(pen: Pen) -> Scene:
    """Houses with gardens along streets."""
    rng = pen.rng
    grass = pen.some(*GRASS)
    pen.ground(grass, pen.shade(grass, 0.22), cells=12)
    roofs = pen.some((150, 84, 62), (128, 112, 100), (112, 112, 118), (172, 120, 84))
    gap = rng.uniform(0.95, 1.15)
    start = rng.uniform(-0.5, 0.5) - 2 * gap
    cross = rng.uniform(-0.8, 0.8)
    crossing = bool(rng.random() < 0.5)
    streets = [start + gap * number for number in range(5)]
    if crossing:
        pen.road((cross, -FAR), (cross, FAR), 0.15, marked=False)
    pools = 0
    plot = rng.uniform(0.32, 0.46)
    for y in streets:
        pen.road((-FAR, y), (FAR, y), 0.15, marked=False)
        for x in np.arange(-FAR + rng.uniform(0, 0.3), FAR, plot):
            if crossing and abs(x - cross) < 0.28:
                continue
            for side in (-1, 1):
                pools += _plot(pen, (x, y), side, plot, roofs)
    for _ in range(int(rng.integers(6, 60))):
        x, y = rng.uniform(-1.5, 1.5), streets[int(rng.integers(5))] + gap / 2 + rng.uniform(-0.07, 0.07)
        pen.tree((x, y), rng.uniform(0.04, 0.085))
    names = {
        (150, 84, 62): "red",
        (128, 112, 100): "brown",
        (112, 112, 118): "gray",
        (172, 120, 84): "orange",
    }
    details = [
        ("many houses", "in"),
        (f"houses with {names[roofs]} roofs", "in"),
        ("green lawns", "in"),
        ("two crossing roads" if crossing else "a straight road", "in"),
    ]
    if pools > 3:
        details.append(("some swimming pools", "in"))
    return Scene(("a residential area", "a residential area", "a neighborhood"), tuple(details))


def _plot(pen: Pen, street: Point, side: int, width: float, roofs: Colour) -> bool:
    """One house with its drive, and perhaps a pool; whether there is one."""
    rng = pen.rng
    x, y = street[0], street[1] + side * rng.uniform(0.26, 0.3)
    pen.line([(x + width * 0.28, street[1] + side * 0.07), (x + width * 0.28, y)], 0.05, (190, 186, 178))
    roof = pen.shade(roofs, 0.14)
    a, b = width * rng.uniform(0.3, 0.38), rng.uniform(0.075, 0.1)
    pen.house((x, y), (a, b), roof)
    if rng.random() < 0.5:
        pen.house((x + rng.choice((-1, 1)) * a * 0.5, y + side * b * 0.9), (0.055, 0.1), roof)
    if rng.random() < 0.3:
        pen.car((x + width * 0.28, street[1] + side * 0.12), (0.02, 0.04), pen.some(*CARS))
    pool = bool(rng.random() < 0.16)
    if pool:
        pen.shape(box((x - width * 0.1, y + side * 0.17), (0.065, 0.035)), (226, 226, 220))
        pen.shape(box((x - width * 0.1, y + side * 0.17), (0.052, 0.024)), (70, 170, 200))
    return pool


def tennis_court(pen: Pen) -> Scene:
    """Courts with their lines, in a park."""
    rng = pen.rng
    grass = pen.some(*GRASS)
    pen.ground(grass, pen.shade(grass, 0.2))
    courts = int(rng.integers(1, 5))
    inner, outer = [
        ((46, 104, 80), (138, 74, 58)), ((52, 92, 146), (58, 112, 82)), ((58, 118, 84), (86, 140, 98)),
        ((166, 92, 66), (142, 78, 58)), ((64, 104, 158), (120, 150, 180)),
    ][rng.integers(5)]  # fmt: skip
    inner, outer = pen.shade(inner, 0.06), pen.shade(outer, 0.06)
    size = {1: 0.56, 2: 0.46, 3: 0.36, 4: 0.3}[courts] * rng.uniform(0.9, 1.08)
    step = size * 1.4
    x0, y0 = rng.uniform(-0.08, 0.08), rng.uniform(-0.1, 0.1)
    road = bool(rng.random() < 0.5)
    if road:
        pen.road((-FAR, y0 + size + 0.5), (FAR, y0 + size + 0.5), 0.2)
    reach = (courts * step / 2, size * 1.32)
    for _ in range(int(rng.integers(10, 60))):
        at = (rng.uniform(-1.5, 1.5), rng.uniform(-1.5, 1.5))
        clear = abs(at[0] - x0) > reach[0] + 0.12 or abs(at[1] - y0) > reach[1] + 0.12
        if clear and not (road and abs(at[1] - y0 - size - 0.5) < 0.24):
            pen.tree(at, rng.uniform(0.05, 0.11))
    pen.shadow(box((x0, y0), reach), 0.02)
    pen.shape(box((x0, y0), reach), outer)
    for number in range(courts):
        _court(pen, (x0 + (number - (courts - 1) / 2) * step, y0), size, inner)
    pen.line([*box((x0, y0), reach), box((x0, y0), reach)[0]], 0.014, (66, 74, 70))
    details = [("some green trees", "around"), ("grass", "around"), ("white lines", "on")]
    if road:
        details.append(("a straight road", "beside"))
    return Scene(
        (
            counted(courts, "tennis court") if courts > 1 else "a tennis court",
            counted(courts, f"{colour_name(inner)} tennis court"),
            f"{counted(courts, 'tennis court')} side by side" if courts > 1 else "a single tennis court",
        ),
        tuple(details),
    )  # fmt: skip


def _court(pen: Pen, centre: Point, size: float, colour: Colour) -> None:
    """A court of its true proportions; the size is half its length."""
    (x, y), a = centre, size * 0.461
    pen.shape(box(centre, (a, size)), colour)
    width = max(0.018, size * 0.04)
    for half in ((a, size), (a * 0.75, size)):
        corners = box(centre, half)
        pen.line([*corners, corners[0]], width, WHITE)
    for across in (-0.538, 0.538):
        pen.line([(x - a * 0.75, y + size * across), (x + a * 0.75, y + size * across)], width, WHITE)
    pen.line([(x, y - size * 0.538), (x, y + size * 0.538)], width, WHITE)
    pen.line([(x - a * 1.15, y), (x + a * 1.15, y)], width * 0.8, (50, 54, 56))
