"""Where in a recording somebody speaks: by how loud short frames are over the noise around them. No torch.

Levels are of 250 to 4,000 Hz, where speech is and hum and rumble are not, and of the loudest channel, so that nothing
cancels. Any sound that rises out of what is around it counts, be it speech or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtbh.errors import MediaError
from dtbh.media.sound import Passage, Samples, sound_blocks

FRAME = 0.02  # seconds
BAND = (250.0, 4000.0)  # Hz
SMOOTHED = 5  # frames whose powers are averaged
AROUND, QUIETEST = 5, 10  # the floor: the lowest of the 10 percent quantiles of so many seconds before and after
DEEPEST = 50.0  # dB that the floor lies at most under the loudest second's median: digital silence has none
OPENS, HOLDS = 6.0, 3.0  # dB over the floor where speech begins, and down to which it goes on
PAUSE = 0.5  # seconds without speech that end a phrase
SHORTEST = 0.12  # seconds; what is shorter is a click
AIR = 0.2  # seconds that a passage has before and after its phrases
LOUDEST = 40.0  # dB over the floor beyond which louder is not more
LOUD, CLEAR = 90, 15.0  # this percentile of the speech lies so many dB over the floor where its end can be told
SILENT = 0.5  # seconds of silence that a recording which fits may begin or end with
TOGETHER = 1.5  # seconds of silence at most between the phrases of a passage
_TINY, _MOST = 1e-12, 64.0  # of powers, and of samples: what is beyond is no sound, and refused where it is read


@dataclass(frozen=True)
class Phrase:
    """A stretch of speech without a pause: first frame and the one after the last."""

    first: int
    end: int


@dataclass(frozen=True)
class Speech:
    """A recording's speech.

    Attributes:
        seconds: Length of the recording.
        step: Seconds from a frame to the next.
        over: How far each frame lies over the noise around it, in dB from 0: float32 [frames].
        phrases: In order.
    """

    seconds: float
    step: float
    over: NDArray[np.float32]
    phrases: tuple[Phrase, ...]


def find_speech(path: Path, *, within: float | None = None) -> Speech:
    """The speech of a recording, which is read through once and never held as a whole.

    Args:
        path: Any file that `load_sound` reads.
        within: Longer recordings are refused, in seconds; None takes any.

    Raises:
        MediaError: It can't be read, or is longer.
    """
    parts, seconds, step = [np.zeros(0, np.float32)], 0.0, FRAME
    for found, read, step in _levels(path):  # noqa: B007
        parts.append(found)
        seconds += read
        if within is not None and seconds > within:
            raise MediaError(f"{path}: over {within:g} s long, at most {within:g} s wanted; cut it")
    levels = _smoothed(np.concatenate(parts))
    over = np.maximum(levels - noise_floor(levels, step), 0).astype(np.float32)
    return Speech(seconds, step, over, phrases(over, step))


def noise_floor(levels: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """The level of the noise around each frame, in dB, [frames].

    Args:
        levels: Of frames, in dB, [frames].
        step: Seconds from a frame to the next.
    """
    if not len(levels):
        return levels
    length = max(1, round(1 / step))
    seconds = [levels[first : first + length] for first in range(0, len(levels), length)]
    if len(seconds) > 1 and len(seconds[-1]) < length:
        seconds[-2:] = [np.concatenate(seconds[-2:])]
    lows = np.array([np.percentile(second, QUIETEST) for second in seconds])
    loudest = max(float(np.median(second)) for second in seconds)
    around = np.lib.stride_tricks.sliding_window_view(np.pad(lows, AROUND, constant_values=np.inf), 2 * AROUND + 1)
    floors = np.maximum(around.min(axis=1), loudest - DEEPEST)
    return np.repeat(floors, [len(second) for second in seconds])


def phrases(over: NDArray[np.float32], step: float) -> tuple[Phrase, ...]:
    """Runs of frames over the noise, those with less than a pause between them together.

    Args:
        over: dB over the floor, [frames].
        step: Seconds from a frame to the next.
    """
    edges = np.flatnonzero(np.diff(over > HOLDS, prepend=False, append=False))
    runs = [(a, b) for a, b in edges.reshape(-1, 2).tolist() if over[a:b].max() > OPENS and (b - a) * step >= SHORTEST]
    found: list[Phrase] = []
    for first, end in runs:
        if found and (first - found[-1].end) * step < PAUSE:
            found[-1] = Phrase(found[-1].first, end)
        else:
            found.append(Phrase(first, end))
    return tuple(found)


def best_passage(path: Path, speech: Speech, longest: float) -> Passage | None:
    """The part of a recording that says most in so many seconds; None for its first ones, as they are.

    It begins with a phrase, and is the one with the most speech: dB over the noise, summed over time. A recording that
    fits is taken whole, unless it begins or ends with over `SILENT` seconds in which nobody speaks. In noise that hides
    where speech ends, all that fits is heard.

    Args:
        path: The recording.
        speech: Its speech.
        longest: Seconds that are heard at most, above 0.
    """
    if not speech.phrases:
        return None
    step, counted = speech.step, _counted(speech)
    begins = [phrase.first * step for phrase in speech.phrases]
    starts = [begin - AIR if begin > SILENT else 0.0 for begin in begins]
    sums = np.concatenate([[0.0], np.cumsum(counted)])
    firsts = np.array([round(start / step) for start in starts])
    gains = sums[np.minimum(firsts + round(longest / step), len(counted))] - sums[firsts]
    start = starts[int(gains.argmax())]
    last = max(phrase.end for phrase, begin in zip(speech.phrases, begins, strict=True) if begin < start + longest)
    clear = float(np.percentile(counted[counted > 0], LOUD)) >= CLEAR
    end = min(last * step + AIR if clear else speech.seconds, start + longest, speech.seconds)
    if start == 0 and min(longest, speech.seconds) - end <= SILENT - AIR:
        return None
    return Passage(path, round(start, 3), round(end - start, 3))


def passages(path: Path, speech: Speech, longest: float) -> list[Passage]:
    """A recording cut into passages at its pauses; what is silent between them is left out.

    Phrases come together while they fit and no longer silence is between them than `TOGETHER`. A phrase that does not
    fit alone is cut where it is most quiet, in its second half.

    Args:
        path: The recording.
        speech: Its speech.
        longest: Seconds of a passage at most, above 0.
    """
    found: list[tuple[int, int]] = []
    frames, air = int(longest / speech.step), round(min(AIR, longest / 8) / speech.step)
    for phrase in _pieces(speech, frames - 2 * air):
        if found and phrase.end - found[-1][0] <= frames - 2 * air:
            silent = (phrase.first - found[-1][1]) * speech.step
            if 0 < silent <= TOGETHER:
                found[-1] = (found[-1][0], phrase.end)
                continue
        found.append((phrase.first, phrase.end))
    cut = []
    for first, end in found:
        start, stop = max(0, first - air) * speech.step, min((end + air) * speech.step, speech.seconds)
        cut.append(Passage(path, round(start, 3), round(stop - start, 3)))
    return cut


def _pieces(speech: Speech, frames: int) -> Iterator[Phrase]:
    """The phrases, those of more frames than that in pieces."""
    for phrase in speech.phrases:
        first = phrase.first
        while phrase.end - first > frames:
            half = first + frames // 2
            cut = half + int(speech.over[half : first + frames].argmin())
            yield Phrase(first, cut)
            first = cut
        yield Phrase(first, phrase.end)


def _counted(speech: Speech) -> NDArray[np.float64]:
    """What each frame counts: dB over the noise, where it is in a phrase."""
    counted = np.zeros(len(speech.over))
    for phrase in speech.phrases:
        counted[phrase.first : phrase.end] = np.minimum(speech.over[phrase.first : phrase.end], LOUDEST)
    return counted


def _levels(path: Path) -> Iterator[tuple[NDArray[np.float32], float, float]]:
    """Of each piece that is read: levels in dB, [frames]; its length and that from a frame to the next, in seconds."""
    rest: Samples | None = None
    for rate, block in sound_blocks(path):
        length = max(1, round(FRAME * rate))
        block_seconds = len(block) / rate
        block = block if rest is None else np.concatenate([rest, block])
        whole = len(block) // length * length
        rest = block[whole:]
        window = np.hanning(length + 1)[:-1].astype(np.float32)[:, None]
        frames = np.nan_to_num(block[:whole].clip(-_MOST, _MOST)).reshape(-1, length, block.shape[1])
        low, high = (min(round(hertz * length / rate), length // 2) for hertz in BAND)
        spectra = np.fft.rfft(frames * window, axis=1)[:, low : high + 1]
        powers = (np.abs(spectra) ** 2).sum(axis=1).max(axis=1, initial=0.0) / length**2
        yield (10 * np.log10(powers + _TINY)).astype(np.float32), block_seconds, length / rate


def _smoothed(levels: NDArray[np.float32]) -> NDArray[np.float64]:
    """Levels whose powers are averaged over some frames."""
    if len(levels) < SMOOTHED:
        return levels.astype(np.float64)
    powers = 10 ** (np.pad(levels.astype(np.float64), SMOOTHED // 2, mode="edge") / 10)
    return np.asarray(10 * np.log10(np.convolve(powers, np.ones(SMOOTHED) / SMOOTHED, "valid")))
