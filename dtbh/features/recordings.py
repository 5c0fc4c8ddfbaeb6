"""Spoken clips as they might have been recorded: other bodies, microphones, rooms, noise and levels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, firwin2, lfilter

RATE = 16000
BODY = (0.5, 0.15)  # the chance that pitch and formants are another's, and how far at most
COLOUR = (0.5, 12.0)  # the chance of another microphone, and how many dB it lifts or lowers a band at most
TELEPHONE = (0.15, 3200.0, 4500.0)  # its chance, and where it ends, in Hz
ROOM = (0.3, 0.05, 0.35)  # its chance, and how long it echoes, in seconds
NOISE = (0.45, 3.0, 25.0)  # its chance, and the ratio of speech to it, in dB
LEVEL = (-25.0, -1.0)  # of the peak, in dB of full scale
_BANDS = (0.0, 0.06, 0.15, 0.3, 0.55, 0.8, 1.0)  # of half the rate


def as_recorded(samples: NDArray[np.float32], chances: np.random.Generator) -> NDArray[np.float32]:
    """A clip, float32 [n] at 16 kHz, as it might have been recorded: float32, somewhat longer or shorter."""
    x = np.asarray(samples, np.float64)
    if chances.random() < BODY[0]:
        places = np.linspace(0, len(x) - 1, int(len(x) * (1 + BODY[1] * chances.uniform(-1, 1))))
        x = np.interp(places, np.arange(len(x)), x)
    if chances.random() < COLOUR[0]:
        gains = 10 ** (chances.uniform(-COLOUR[1], COLOUR[1], len(_BANDS) - 1) / 20)
        x = np.asarray(lfilter(firwin2(129, _BANDS, [gains[0], *gains]), 1, x))
    if chances.random() < TELEPHONE[0]:
        heard = np.fft.rfftfreq(len(x), 1 / RATE) < chances.uniform(*TELEPHONE[1:])
        x = np.fft.irfft(np.fft.rfft(x) * heard, len(x))
    if chances.random() < ROOM[0]:
        length = int(RATE * chances.uniform(*ROOM[1:]))
        echo = chances.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)  # 60 dB
        echo[0] = chances.uniform(1, 4) * np.sqrt(np.square(echo).sum())
        x = np.asarray(fftconvolve(x, echo))[: len(x) + length // 2]
    if chances.random() < NOISE[0]:
        x = x + _noise(len(x), chances) * np.sqrt(np.square(x).mean() / 10 ** (chances.uniform(*NOISE[1:]) / 10))
    return np.asarray(x * 10 ** (chances.uniform(*LEVEL) / 20) / np.abs(x).max().clip(1e-9), dtype=np.float32)


def _noise(count: int, chances: np.random.Generator) -> NDArray[np.float64]:
    """Between white and pink, of power 1."""
    spectrum = np.fft.rfft(chances.standard_normal(count))
    noise = np.fft.irfft(spectrum * np.fft.rfftfreq(count).clip(1e-3) ** (-chances.uniform(0, 0.5)), count)
    return np.asarray(noise / np.sqrt(np.square(noise).mean()))
