"""A speech engine for tests: a chord of its own for each caption's class, so that a tiny network can learn it."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
CHORDS = {"red": (400, 900), "green": (600, 2000), "blue": (1200, 3000)}
VOICES = [f"v{i}" for i in range(8)]


def tones(text: str, voice: str, rate: int, pitch: int) -> tuple[np.ndarray, int]:
    """Half a second of the chord of the first class named in the text, with the voice's own noise."""
    chord = next(c for name, c in CHORDS.items() if name in text)
    t = np.arange(8000) / 16000
    rng = np.random.default_rng(zlib.crc32(f"{voice}{text}".encode()))
    wave = sum(np.sin(2 * np.pi * f * t) for f in chord) / 4 + 0.02 * rng.standard_normal(len(t))
    return wave.astype(np.float32), 16000


def recording(path: Path) -> Path:
    """Two chords of half a second in half a minute of silence, at 9 s and at 21 s."""
    wave = np.zeros(30 * RATE, np.float32)
    for second, label in ((9, "red"), (21, "blue")):
        wave[second * RATE : second * RATE + 8000] = tones(f"a {label} tile", "v0", 170, 50)[0]
    soundfile.write(path, wave, RATE)
    return path
