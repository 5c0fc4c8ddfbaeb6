"""The image-source model with loops: every image of the speaker behind the walls, one by one."""

from __future__ import annotations

import math


def response(
    sides: list[float], speaker: list[float], microphone: list[float], back: float, rate: int, order: int, samples: int
) -> list[float]:
    """The echoes at the microphone, from the direct sound on, which has amplitude 1 at sample 0."""

    def images(axis: int) -> list[tuple[float, int]]:
        found = []
        for n in range(-order, order + 1):
            found.append((2 * n * sides[axis] + speaker[axis], abs(2 * n)))
            found.append((2 * n * sides[axis] - speaker[axis], abs(2 * n - 1)))
        return found

    direct = math.dist(speaker, microphone)
    result = [0.0] * samples
    for x, bounces_x in images(0):
        for y, bounces_y in images(1):
            for z, bounces_z in images(2):
                far = math.dist((x, y, z), microphone)
                at = round((far - direct) / 343 * rate)
                if at < samples:
                    result[at] += direct / far * back ** (bounces_x + bounces_y + bounces_z)
    return [value / result[0] for value in result]
