"""Log-mel and MFCC in plain loops, one frame and one filter at a time."""

from __future__ import annotations

import math

import numpy as np


def hz_to_mel(hz):
    """Slaney's scale: linear to 1000 Hz, logarithmic above."""
    return 3 * hz / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def mel_to_hz(mel):
    return 200 * mel / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def mel_filter(number, frequencies, n_mels, f_min, f_max):
    """The weights of one triangle of unit area."""
    low, high = hz_to_mel(f_min), hz_to_mel(f_max)
    left, middle, right = (mel_to_hz(low + (high - low) * (number + offset) / (n_mels + 1)) for offset in (0, 1, 2))
    weights = []
    for hz in frequencies:
        up, down = (hz - left) / (middle - left), (right - hz) / (right - middle)
        weights.append(max(0.0, min(up, down)) * 2 / (right - left))
    return np.array(weights)


def log_mel(wave, *, sample_rate, window, hop, n_fft, n_mels, f_min, f_max):
    """In dB, [n_mels, frames]."""
    hann = [0.5 - 0.5 * math.cos(2 * math.pi * n / window) for n in range(window)]
    frequencies = [k * sample_rate / n_fft for k in range(n_fft // 2 + 1)]
    filters = [mel_filter(m, frequencies, n_mels, f_min, f_max) for m in range(n_mels)]
    columns = []
    for frame in range(1 + len(wave) // hop):
        first = frame * hop - n_fft // 2 + (n_fft - window) // 2
        cut = [hann[n] * float(wave[first + n]) if 0 <= first + n < len(wave) else 0.0 for n in range(window)]
        power = np.abs(np.fft.rfft(cut, n_fft)) ** 2
        columns.append([10 * math.log10(max(1e-10, float(np.dot(weights, power)))) for weights in filters])
    return np.array(columns).T


def mfcc(decibels, n_mfcc):
    """The orthonormal DCT-II of each column."""
    n = len(decibels)
    rows = []
    for k in range(n_mfcc):
        scale = math.sqrt((1 if k == 0 else 2) / n)
        rows.append(scale * sum(math.cos(math.pi * k * (2 * m + 1) / (2 * n)) * decibels[m] for m in range(n)))
    return np.array(rows)


def normalized(features):
    """Each channel's mean taken off, all divided by one standard deviation."""
    centred = np.array([[value - sum(row) / len(row) for value in row] for row in features])
    return centred / math.sqrt(float((centred**2).mean()))
