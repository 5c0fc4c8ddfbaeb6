"""How fast are MFCC and log-mel, beside librosa's? On one thread each, with the same settings and clips.

    python examples/benchmark_features.py

Speech-like clips of 1 to 6 seconds, in batches of mixed lengths, as training draws them. The runs of both
sides take turns, medians of processor time are given, and the values are compared before any time is.
Exits with 1 where they disagree.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # before numpy and torch are imported
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"

import argparse
import statistics
import sys
from collections.abc import Callable

import librosa
import numpy as np
import torch
from processor_time import spent

from dtbh import config
from dtbh.features.sound import SoundFeatures, pad_batch

RATE = 16000
TOLERANCE_DB = 1e-2


def speech_like(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Harmonics of a wandering pitch under a syllable rhythm, with breath noise: float32 [samples]."""
    time_axis = np.arange(round(seconds * RATE)) / RATE
    pitch = rng.uniform(90, 220) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * time_axis))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 20))
    rhythm = np.clip(np.sin(2 * np.pi * rng.uniform(3, 5) * time_axis), 0.02, 1)
    return (0.1 * rhythm * (voice + 0.1 * rng.standard_normal(len(time_axis)))).astype(np.float32)


def with_librosa(kind: str, clip: np.ndarray) -> np.ndarray:
    """The features of one clip by librosa, [channels, frames]."""
    power = librosa.feature.melspectrogram(
        y=clip, sr=RATE, n_fft=512, win_length=400, hop_length=160, pad_mode="constant",
        n_mels=64, fmin=50.0, fmax=7600.0,
    )  # fmt: skip
    decibels = librosa.power_to_db(power, top_db=None)
    return librosa.feature.mfcc(S=decibels, n_mfcc=40) if kind == "mfcc" else decibels


def differences(kind: str, module: SoundFeatures, clips: list[np.ndarray]) -> float:
    """The greatest difference of any value of any clip, in dB."""
    features, counts = module(*pad_batch(clips))
    return max(
        float(np.abs(with_librosa(kind, clip) - row[:, :count].numpy()).max())
        for clip, row, count in zip(clips, features, counts.tolist(), strict=True)
    )


def each(function: Callable[..., object], arguments: list[tuple[object, ...]]) -> None:
    """Call the function on each, keeping no result."""
    for given in arguments:
        function(*given)


def compare(kind: str, clips: list[np.ndarray], batch: int, runs: int) -> float:
    """Print the rows of one kind; returns the greatest difference from librosa in dB."""
    settings = config.SoundFeatures(kind=kind, shift_ms=10.0).model_dump()  # type: ignore[arg-type]
    plain, normalized = SoundFeatures(**{**settings, "normalize": False}), SoundFeatures(**settings)
    lists = [(clips[start : start + batch],) for start in range(0, len(clips), batch)]
    batches = [pad_batch(*one) for one in lists]
    rows: dict[str, Callable[[], None]] = {
        "librosa": lambda: each(lambda clip: with_librosa(kind, clip), [(clip,) for clip in clips]),
        "dtbh": lambda: each(plain, batches),
        "dtbh, padding too": lambda: each(lambda one: plain(*pad_batch(one)), lists),
        "dtbh, normalised": lambda: each(normalized, batches),
    }
    apart = max(differences(kind, plain, *one) for one in lists)
    times: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(runs):
        for name, work in rows.items():
            times[name].append(spent(work))
    sound, base = sum(map(len, clips)) / RATE, statistics.median(times["librosa"])
    for name in rows:
        took = statistics.median(times[name])
        print(
            f"{kind:<8}{name:<20}{1000 * took / len(clips):>9.3f}{len(clips) / took:>9.0f}"
            f"{sound / took:>11.0f}{base / took:>8.2f}"
        )
    print(f"{kind:<8}greatest difference from librosa: {apart:.1e} dB")
    return apart


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=128)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--runs", type=int, default=15)
    settings = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    clips = [speech_like(rng, seconds) for seconds in rng.uniform(1, 6, settings.clips)]
    sound = sum(map(len, clips)) / RATE
    print(f"{len(clips)} clips, {sound:.0f} s of sound, batches of {settings.batch}, one thread each")
    print(f"{'kind':<8}{'by':<20}{'ms/clip':>9}{'clips/s':>9}{'sound s/s':>11}{'ratio':>8}")
    with torch.inference_mode():
        apart = [compare(kind, clips, settings.batch, settings.runs) for kind in ("mfcc", "logmel")]
    return 0 if max(apart) < TOLERANCE_DB else 1


if __name__ == "__main__":
    sys.exit(main())
