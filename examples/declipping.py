"""Clipped sounds without their flat tops: A-SPADE, the analysis sparse audio declipper.

Kitić, Bertin and Gribonval, *Sparsity and cosparsity for audio declipping: a flexible non-convex approach* (LVA/ICA
2015). Of each frame few frequencies are to be left, more with each round, while samples that were not clipped stay as
they are and those that were lie at the clipping level or beyond. What it brings speech, and why no query goes through
it: docs/sounds.md; `hard_sounds.py` measures it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRAME, HOP = 512, 128  # samples: 32 ms at 16 kHz, three quarters of each in the next
MORE = 2  # frequencies that are added with each round
ROUNDS, NEAR = 200, 0.1  # at most; and the share of a frame that sparse and consistent frames may differ by at the end
LEVEL, CLIPPED = 1e-3, 1e-3  # within which share of the peak a sample was clipped, and how many make a clipped sound


def declipped(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """A sound with what was cut off its peaks put back, as far as that can be told; others as they are.

    Args:
        wave: float32 [samples]. It is clipped where one sample in a thousand lies at its peaks.

    Returns:
        float32 [samples], beyond [-1, 1] where the peaks were.
    """
    above, below = wave >= wave.max() * (1 - LEVEL), wave <= wave.min() * (1 - LEVEL)
    if (above | below).mean() < CLIPPED:
        return wave
    beyond = (-len(wave)) % HOP
    frames, high, low = (_frames(np.pad(values, (FRAME, FRAME + beyond))) for values in (wave, above, below))
    window = np.sqrt(np.hanning(FRAME + 1)[:-1])
    found = frames * window
    rows = np.flatnonzero((high | low).any(axis=1))
    found[rows] = _restored(found[rows], high[rows], low[rows])
    total, weight = np.zeros((2, len(wave) + 2 * FRAME + beyond))
    for place, frame in enumerate(found):
        part = slice(place * HOP, place * HOP + FRAME)
        total[part] += frame * window
        weight[part] += window**2
    own = slice(FRAME, FRAME + len(wave))
    return np.where(above | below, total[own] / weight[own], wave).astype(np.float32)


def _restored(frames: NDArray[np.float64], high: NDArray[np.bool_], low: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Clipped frames [n, samples], windowed, by rounds of ADMM: sparse, then consistent, then what both differ by."""
    found, left = frames.copy(), np.arange(len(frames))
    dual = np.zeros((len(frames), FRAME + 1), complex)
    for count in range(MORE, MORE * (ROUNDS + 1), MORE):
        wanted = np.fft.rfft(found[left], 2 * FRAME, norm="ortho") + dual[left]
        sizes = np.abs(wanted)
        least = np.partition(sizes, FRAME + 1 - min(count, FRAME), axis=1)[:, FRAME + 1 - min(count, FRAME)]
        sparse = np.where(sizes >= least[:, None], wanted, 0)
        near = np.fft.irfft(sparse - dual[left], 2 * FRAME, norm="ortho")[:, :FRAME]
        clipped = np.where(high[left], np.maximum(near, frames[left]), np.minimum(near, frames[left]))
        found[left] = np.where(high[left] | low[left], clipped, frames[left])
        apart = np.fft.rfft(found[left], 2 * FRAME, norm="ortho") - sparse
        dual[left] += apart
        left = left[np.linalg.norm(apart, axis=1) > NEAR * np.linalg.norm(sparse, axis=1)]
        if not len(left):
            break
    return found


def _frames(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Overlapping pieces [n, FRAME]."""
    return np.lib.stride_tricks.sliding_window_view(values, FRAME)[::HOP]
