"""Inputs of `fuzz.py`: bytes that can be read, in every format, and how they are altered."""

from __future__ import annotations

import io
import json
import random
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, float("nan"), float("inf"), 10**30, "", "\ud800", "\0", "../..", "a;b", "x" * 5000, [],
    {}, [[]], {"": None}, [None] * 50,
)  # fmt: skip
DEEP = "[" * 100_000


def altered(data: bytes, draw: random.Random) -> bytes:
    """Valid bytes, altered here and there; JSON, or lines of it, also in their values."""
    if data[:1] in b"{[" and draw.random() < 0.6:
        with suppress(ValueError):
            return _altered_json(data, draw)
    new = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        at, how = draw.randrange(len(new) + 1), draw.randrange(7)
        size = draw.choice((1, 2, 4, 8, 64, 1024))
        if how == 0:
            del new[at:]
        elif how == 1:
            del new[at : at + size]
        elif how == 2:
            new[at:at] = draw.randbytes(size)
        elif how == 3:
            new[at : at + size] = draw.randbytes(len(new[at : at + size]))
        elif how == 4:
            number = draw.choice(NUMBERS).to_bytes(8, "little")[: draw.choice((1, 2, 4))]
            new[at : at + len(number)] = number if draw.random() < 0.5 else number[::-1]
        elif how == 5:
            there = draw.randrange(len(new) + 1)
            new[at:at] = new[there : there + size]
        elif at < len(new):
            new[at] ^= 1 << draw.randrange(8)
    return bytes(new)


def _altered_json(data: bytes, draw: random.Random) -> bytes:
    """One value of a line of JSON, or of a whole file, replaced, left out or added."""
    lines = data.decode().splitlines()
    try:
        values, whole = [json.loads(line) for line in lines if line.strip()], False
    except ValueError:
        values, whole = [json.loads(data)], True
    row = draw.randrange(len(values))
    path: list[tuple[Any, Any]] = []
    node = values[row]
    while isinstance(node, (dict, list)) and node and (not path or draw.random() < 0.7):
        key = draw.choice(list(node)) if isinstance(node, dict) else draw.randrange(len(node))
        path.append((node, key))
        node = node[key]
    parent, key = path[-1] if path else ({}, "x")
    if draw.random() < 0.2:
        del parent[key]
    elif isinstance(parent, dict) and draw.random() < 0.2:
        parent[draw.choice(("id", "x", "version", "label", "\ud800"))] = draw.choice(VALUES)
    else:
        parent[key] = draw.choice(VALUES)
    texts = [json.dumps(value, indent=1 if whole else None) for value in values]
    if draw.random() < 0.02:
        texts[row] = DEEP
    return ("\n".join(texts) + "\n").encode()


@cache
def sounds() -> tuple[bytes, ...]:
    """A second of a tone in every format that can be written here."""
    wave = 0.3 * np.sin(np.arange(8000) / 5)
    found = []
    for kind, subtype, rate in (
        ("WAV", "PCM_16", 16000), ("WAV", "FLOAT", 8000), ("FLAC", None, 16000), ("OGG", "VORBIS", 16000),
        ("OGG", "OPUS", 16000), ("MP3", None, 16000), ("AIFF", None, 16000), ("AU", None, 16000), ("CAF", None, 16000),
    ):  # fmt: skip
        with suppress(soundfile.LibsndfileError, ValueError):
            file = io.BytesIO()
            soundfile.write(file, wave, rate, format=kind, subtype=subtype)
            found.append(file.getvalue())
    return (*found, *_containers(wave))


def _containers(wave: np.ndarray[Any, Any]) -> Iterator[bytes]:
    """The same as phones and browsers record it, where PyAV is installed."""
    try:
        import av
    except ModuleNotFoundError:
        return
    for kind, codec, rate in (("mp4", "aac", 16000), ("webm", "libopus", 48000), ("adts", "aac", 16000)):
        file = io.BytesIO()
        with av.open(file, "w", format=kind) as out:
            stream = out.add_stream(codec, rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
            frame.sample_rate = rate
            for part in (frame, None):
                for packet in stream.encode(part):
                    out.mux(packet)
        yield file.getvalue()


def images() -> list[bytes]:
    """A small picture in several formats and modes."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    found = []
    for kind, mode, how in (
        ("PNG", "RGB", {}), ("PNG", "P", {}), ("PNG", "RGBA", {}), ("JPEG", "RGB", {}), ("JPEG", "CMYK", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("TIFF", "F", {}), ("TIFF", "I;16", {}), ("BMP", "RGB", {}),
        ("GIF", "P", {}), ("WEBP", "RGB", {}), ("PPM", "L", {}), ("ICO", "RGBA", {}), ("TGA", "RGB", {}),
    ):  # fmt: skip
        file = io.BytesIO()
        (picture.convert("I").convert(mode) if mode == "I;16" else picture.convert(mode)).save(file, kind, **how)
        found.append(file.getvalue())
    return found


def scenes() -> list[bytes]:
    """A small scene with coordinates, where rasterio is installed."""
    try:
        import rasterio
        from rasterio.transform import from_origin
    except ModuleNotFoundError:
        return []
    values = np.random.default_rng(0).integers(0, 3000, (3, 20, 24)).astype(np.uint16)
    with warnings.catch_warnings(), rasterio.MemoryFile() as memory:
        warnings.simplefilter("ignore")  # of the packages that rasterio stands on
        with memory.open(driver="GTiff", width=24, height=20, count=3, dtype="uint16", crs="EPSG:32632", nodata=0,
                         transform=from_origin(5e5, 5e6, 10, 10)) as scene:  # fmt: skip
            scene.write(values)
        return [bytes(memory.read())]


def files_of(folder: Path, *names: str) -> dict[str, bytes]:
    """The files of a folder, those of these names where any are given."""
    there = [path for path in sorted(folder.iterdir()) if path.is_file() and (not names or path.name in names)]
    return {path.name: path.read_bytes() for path in there}
