"""Levels of frames, the noise around them and phrases, in plain loops, one frame at a time."""

from __future__ import annotations

import cmath
import math
import statistics


def level(frame, rate):
    """Power between 250 and 4,000 Hz of one Hann-windowed frame of one channel, in dB."""
    n = len(frame)
    low, high = (min(round(hertz * n / rate), n // 2) for hertz in (250, 4000))
    windowed = [x * (0.5 - 0.5 * math.cos(2 * math.pi * i / n)) for i, x in enumerate(frame)]
    power = 0.0
    for k in range(low, high + 1):
        power += abs(sum(x * cmath.exp(-2j * math.pi * k * i / n) for i, x in enumerate(windowed))) ** 2
    return 10 * math.log10(power / n**2 + 1e-12)


def smoothed(levels):
    """Mean power of five frames around each; the first and the last stand for what is beyond."""
    found = []
    for place in range(len(levels)):
        near = [levels[min(max(place + off, 0), len(levels) - 1)] for off in range(-2, 3)]
        found.append(10 * math.log10(sum(10 ** (x / 10) for x in near) / 5))
    return found


def quantile(values, share):
    """Linear between the two nearest."""
    ordered, place = sorted(values), share * (len(values) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


def floors(levels, length):
    """For each frame the lowest 10 percent quantile of the seconds up to five away; never 50 dB under the loudest."""
    seconds = [levels[first : first + length] for first in range(0, len(levels), length)]
    if len(seconds) > 1 and len(seconds[-1]) < length:
        last = seconds.pop()
        seconds[-1] = seconds[-1] + last
    loudest = max(statistics.median(second) for second in seconds)
    found = []
    for place, second in enumerate(seconds):
        near = seconds[max(0, place - 5) : place + 6]
        lowest = min(quantile(other, 0.1) for other in near)
        found += [max(lowest, loudest - 50)] * len(second)
    return found


def phrases(over, step):
    """(first, end) of what stays over 3 dB for 0.12 s and passes 6; half a second apart at least."""
    runs, start = [], None
    for place, value in enumerate([*over, 0.0]):
        if value > 3 and start is None:
            start = place
        if value <= 3 and start is not None:
            if max(over[start:place]) > 6 and (place - start) * step >= 0.12:
                runs.append([start, place])
            start = None
    found = []
    for first, end in runs:
        if found and (first - found[-1][1]) * step < 0.5:
            found[-1][1] = end
        else:
            found.append([first, end])
    return [tuple(run) for run in found]
