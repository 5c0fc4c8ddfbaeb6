"""Whisper's encoder in NumPy, one clip and one head at a time, as Radford et al. (2023) and OpenAI's code define it."""

from __future__ import annotations

from collections.abc import Mapping

import librosa
import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

Array = NDArray[np.float64]
HEADS, LAYERS = 6, 4


def log_mel(wave: Array) -> Array:
    """Of samples whose number is a multiple of 160: [80, samples / 160]. Zeros are what stands around the clip."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    filters = librosa.filters.mel(sr=16000, n_fft=400, n_mels=80)
    padded = np.concatenate([np.zeros(200), wave, np.zeros(200)])
    frames = [padded[start : start + 400] * window for start in range(0, len(wave), 160)]
    power = np.stack([np.abs(np.fft.rfft(frame)) ** 2 for frame in frames], axis=1)
    decades = np.log10(np.maximum(filters @ power, 1e-10))
    return (np.maximum(decades, decades.max() - 8) + 4) / 4


def log_mel_in_window(wave: Array, seconds: int) -> Array:
    """Of a clip with silence behind it, or cut, to fill a window: [80, 100 * seconds]; what is beyond is a mirror."""
    clip = np.concatenate([wave, np.zeros(seconds * 16000)])[: seconds * 16000]
    mirrored = np.concatenate([clip[200:0:-1], clip, clip[-2:-202:-1]])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    filters = librosa.filters.mel(sr=16000, n_fft=400, n_mels=80)
    decades = np.zeros((80, 100 * seconds))
    for number in range(100 * seconds):
        power = np.abs(np.fft.rfft(mirrored[160 * number : 160 * number + 400] * window)) ** 2
        decades[:, number] = np.log10(np.maximum(filters @ power, 1e-10))
    return (np.maximum(decades, decades.max() - 8) + 4) / 4


def encode(weights: Mapping[str, NDArray[np.float32]], wave: Array) -> Array:
    """Samples [n] to [ceil(n / 1280), 384]: outputs of 20 ms, four averaged; silence follows the clip."""
    count = -(-len(wave) // 1280)
    mel = log_mel(np.concatenate([wave, np.zeros((count + 1) * 1280 - len(wave))]))
    x = _gelu(_convolved(mel, weights["conv1.weight"], weights["conv1.bias"], 1))
    x = _gelu(_convolved(x, weights["conv2.weight"], weights["conv2.bias"], 2)).T[: 4 * count]
    x = x + weights["positions"][: len(x)]
    for number in range(LAYERS):
        own = {k.removeprefix(f"layers.{number}."): v for k, v in weights.items() if k.startswith(f"layers.{number}.")}
        inputs = _linear(own, "attention_in", _normed(own, "attention_norm", x))
        x = x + _linear(own, "attention_out", _attended(inputs))
        x = x + _linear(own, "narrow", _gelu(_linear(own, "wide", _normed(own, "norm", x))))
    x = _normed(weights, "norm", x)
    return np.stack([x[4 * i : 4 * i + 4].mean(0) for i in range(count)])


def _attended(inputs: Array) -> Array:
    """Queries, keys and values side by side, [t, 3 * d], to [t, d]."""
    queries, keys, values = np.split(inputs, 3, axis=1)
    found = np.zeros_like(queries)
    for columns in np.split(np.arange(queries.shape[1]), HEADS):
        for t, query in enumerate(queries[:, columns]):
            scores = keys[:, columns] @ query / np.sqrt(len(columns))
            shares = np.exp(scores - scores.max())
            found[t, columns] = shares / shares.sum() @ values[:, columns]
    return found


def _convolved(x: Array, kernel: NDArray[np.float32], bias: NDArray[np.float32], stride: int) -> Array:
    padded = np.pad(x, ((0, 0), (1, 1)))
    places = range(0, x.shape[1], stride)
    return np.stack([np.tensordot(kernel, padded[:, t : t + 3], 2) + bias for t in places], axis=1)


def _linear(weights: Mapping[str, NDArray[np.float32]], name: str, x: Array) -> Array:
    return x @ weights[f"{name}.weight"].T.astype(np.float64) + weights[f"{name}.bias"]


def _normed(weights: Mapping[str, NDArray[np.float32]], name: str, x: Array) -> Array:
    centred = x - x.mean(1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5)
    return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _gelu(x: Array) -> Array:
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))
