"""Pictures and sounds small enough to stand in a page: thumbnails, clips and their spectrograms as data addresses.

What can't be read gives None and never stops a report.
"""

from __future__ import annotations

import base64
import functools
import io
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dtbh.data.manifest import Item
from dtbh.errors import DtbhError, MediaError

THUMBNAIL = 128  # pixels, square
RATE = 16000  # Hz
LONGEST = 12.0  # seconds of a sound that stand in the page
THIN = 0.95  # of libsndfile's range for MP3: about 33 kbit/s at 16 kHz
COLUMNS, ROWS, GREYS = 168, 48, 8  # of a spectrogram
FLOOR = 60.0  # dB under its loudest point where a spectrogram is blank


@dataclass(frozen=True)
class Clip:
    """One sound for the page.

    Attributes:
        source: MP3, one channel: every browser plays it, and it takes a fifth of the time of Opus to write.
        picture: Its spectrogram: PNG, black on nothing.
        seconds: How long the clip is.
        cut: Whether the file is longer.
    """

    source: str
    picture: str
    seconds: float
    cut: bool


@functools.lru_cache(maxsize=512)
def thumbnail(item: Item) -> str | None:
    """The middle of the picture as a small JPEG; None where it can't be read."""
    from PIL import Image

    from dtbh.data.tiling import media_of
    from dtbh.media.image import load_pixels

    if item.path is None:
        return None
    try:
        pixels = load_pixels(media_of(item), THUMBNAIL)
    except (DtbhError, OSError):
        return None
    return _picture(Image.fromarray(pixels.transpose(1, 2, 0)), "jpeg", quality=80, optimize=True)


@functools.lru_cache(maxsize=512)
def clip(item: Item) -> Clip | None:
    """The first seconds of the sound; None where it can't be read, or libsndfile can't write MP3."""
    import soundfile

    from dtbh.data.passages import sound_of
    from dtbh.media.sound import load_sound

    if item.path is None:
        return None
    data = io.BytesIO()
    try:
        samples = load_sound(sound_of(item), sample_rate=RATE, max_seconds=LONGEST + 0.1)
        cut, samples = len(samples) > LONGEST * RATE, samples[: int(LONGEST * RATE)]
        soundfile.write(data, samples, RATE, format="MP3", subtype="MPEG_LAYER_III", compression_level=THIN)
    except (MediaError, OSError, RuntimeError, TypeError, ValueError):
        return None
    return Clip(_address("audio/mpeg", data.getvalue()), _spectrogram(samples), len(samples) / RATE, cut)


def _spectrogram(samples: npt.NDArray[np.float32]) -> str:
    """Loudness over time and mel-spaced frequency, in a few greys that let the page's colour through."""
    from PIL import Image

    size = 512
    padded = np.pad(samples, size // 2)
    starts = np.linspace(0, len(padded) - size, COLUMNS).astype(np.int64)
    frames = padded[starts[:, None] + np.arange(size)] * np.hanning(size)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    mel = np.linspace(_mel(60.0), _mel(RATE / 2), ROWS + 1)
    edges = 700 * (10 ** (mel / 2595) - 1) * size / RATE
    bands = np.stack([_between(power, low, high) for low, high in itertools.pairwise(edges)])
    loud = 10 * np.log10(np.maximum(bands, 1e-12))
    shares = np.clip(1 + (loud - np.percentile(loud, 99.5)) / FLOOR, 0, 1)[::-1] ** 1.3
    image = Image.fromarray((shares * (GREYS - 1)).round().astype(np.uint8), "P")
    image.putpalette([0] * 3 * GREYS)
    return _picture(image, "png", transparency=bytes(np.linspace(0, 255, GREYS).astype(np.uint8)), bits=3)


def _mel(hertz: float) -> float:
    return float(2595 * np.log10(1 + hertz / 700))


def _between(power: npt.NDArray[np.floating[Any]], low: float, high: float) -> npt.NDArray[np.floating[Any]]:
    """The mean power between two bins, [columns]; a band narrower than a bin takes the bin it lies in."""
    first = int(low)
    found: npt.NDArray[np.floating[Any]] = power[:, first : max(first + 1, int(high))].mean(axis=1)
    return found


def _picture(image: Any, kind: str, **options: Any) -> str:
    data = io.BytesIO()
    image.save(data, kind.upper(), **options)
    return _address(f"image/{kind}", data.getvalue())


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
