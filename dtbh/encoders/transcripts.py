"""What sound files say; of those that will be asked for again, written down once and kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtbh.encoders.feature_cache import stored_outputs
from dtbh.errors import MediaError
from dtbh.media.sound import Passage, load_sound
from dtbh.media.transcriber import RATE, VERSION, Heard, Transcriber

BATCH = 8


def transcripts(
    transcriber: Transcriber, paths: Sequence[Path | Passage], *, language: str, max_seconds: float, stored: bool
) -> list[Heard | None]:
    """The words of each sound file; None where there are none, or where it can't be read.

    Args:
        transcriber: What hears them.
        paths: The files, or passages of them, which are never stored.
        language: What is spoken, or ``auto``.
        max_seconds: What is beyond is not heard.
        stored: Look them up in the store on disk, and keep new ones there.
    """

    def hear(files: Sequence[Path | Passage]) -> list[Heard | None]:
        return transcriber([_wave(path, max_seconds) for path in files], language)

    def compute(wanted: list[tuple[Path, int]]) -> list[NDArray[Any]]:
        return [_bytes(heard) for heard in hear([path for path, _ in wanted])]

    files = [path for path in paths if isinstance(path, Path)]
    if not stored or len(files) < len(paths):
        parts = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
        return [heard for part in parts for heard in hear(part)]
    there = [path for path in files if path.is_file()]
    if not there:
        return [None] * len(paths)
    name = f"words-{VERSION}-{max_seconds:g}" + (f"-{language}" if transcriber.any_language else "")
    rows = stored_outputs(there, compute, backbone=name, views=[0], batch=BATCH, dtype="|u1")
    found = {path: _of_bytes(row[0]) for path, row in zip(there, rows, strict=True)}
    return [found.get(path) for path in files]


def _bytes(heard: Heard | None) -> NDArray[np.uint8]:
    """As the store keeps it: whether it is sure, and the text; nothing for None."""
    return np.frombuffer(f"{heard.sure:d}{heard.text}".encode() if heard else b"", np.uint8)


def _of_bytes(row: NDArray[np.uint8]) -> Heard | None:
    text = row.tobytes().decode()
    return Heard(text[1:], text[0] == "1") if text else None


def _wave(path: Path | Passage, max_seconds: float) -> NDArray[np.float32]:
    """A file's samples; none where it can't be read, of which whoever reads it for its sound tells."""
    try:
        return load_sound(path, sample_rate=RATE, max_seconds=max_seconds)
    except MediaError:
        return np.zeros(0, np.float32)
