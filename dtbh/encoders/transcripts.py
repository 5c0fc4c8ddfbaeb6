"""What sound files say; of those that will be asked for again, written down once and kept on disk."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtbh.encoders.feature_cache import stored_outputs
from dtbh.errors import MediaError
from dtbh.media.sound import Passage, load_sound
from dtbh.media.transcriber import AT_ONCE, RATE, VERSION, Heard, Transcriber, Way, wordless
from dtbh.media.utterance import VERSION as UTTERANCE
from dtbh.media.utterance import WIDTH
from dtbh.utils.progress import track

HEARING = "hearing words"


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
        return [write(heard) for heard in hear([path for path, _ in wanted])]

    write, read = (_bytes, _of_bytes) if transcriber.utterances is None else (_meant_bytes, _of_meant_bytes)
    files = [path for path in paths if isinstance(path, Path)]
    if not stored or len(files) < len(paths):
        starts = track(range(0, len(paths), AT_ONCE), HEARING, total=len(paths), each=AT_ONCE)
        return [heard for start in starts for heard in hear(paths[start : start + AT_ONCE])]
    there = [path for path in files if path.is_file()]
    if not there:
        return [None] * len(paths)
    name = f"words-{VERSION}-{max_seconds:g}" + (f"-{language}" if transcriber.any_language else "")
    if transcriber.prompt:
        name += f"-{zlib.crc32(transcriber.prompt.encode()):08x}"
    if transcriber.hypotheses > 1:
        name += f"-of-{transcriber.hypotheses}"
    if transcriber.utterances is not None:
        name += f"-meant-{UTTERANCE}"
    rows = stored_outputs(there, compute, backbone=name, views=[0], batch=AT_ONCE, dtype="|u1", label=HEARING)
    found = {path: read(row[0]) for path, row in zip(there, rows, strict=True)}
    return [found.get(path) for path in files]


def unheard(sound: Path | Passage) -> MediaError:
    """Why a file, or a passage of one, has no words: it can't be read, or nobody says any."""
    try:
        load_sound(sound)
    except MediaError as error:
        return error
    return wordless(sound if isinstance(sound, Path) else sound.path)


def _bytes(heard: Heard | None) -> NDArray[np.uint8]:
    """As the store keeps it: whether it is sure, and the text; nothing for None.

    Of more ways than one a line each, how likely it is before the text.
    """
    lines = [f"{heard.sure:d}{heard.text}"] if heard else []
    if heard and heard.ways:
        lines = [_line(way) for way in heard.ways]
    return np.frombuffer("\n".join(lines).encode(), np.uint8)


def _of_bytes(row: NDArray[np.uint8]) -> Heard | None:
    lines = row.tobytes().decode().split("\n")
    if len(lines) == 1:
        return Heard(lines[0][1:], lines[0][0] == "1") if lines[0] else None
    ways = tuple(map(_way, lines))
    return Heard(ways[0].text, ways[0].sure, ways, ways[0].likelihood)


def _meant_bytes(heard: Heard | None) -> NDArray[np.uint8]:
    """The same with what is meant: its numbers in 16 bits, then a line for each way to understand it."""
    if heard is None:
        return np.zeros(0, np.uint8)
    assert heard.meaning is not None
    lines = map(_line, heard.ways or (Way(heard.text, heard.sure, heard.likelihood),))
    return np.frombuffer(heard.meaning.astype("<f2").tobytes() + "\n".join(lines).encode(), np.uint8)


def _of_meant_bytes(row: NDArray[np.uint8]) -> Heard | None:
    if not len(row):
        return None
    said = row.tobytes()
    ways = tuple(map(_way, said[2 * WIDTH :].decode().split("\n")))
    meaning = np.frombuffer(said[: 2 * WIDTH], "<f2").astype(np.float32)
    return Heard(ways[0].text, ways[0].sure, ways if len(ways) > 1 else (), ways[0].likelihood, meaning)


def _line(way: Way) -> str:
    return f"{way.sure:d}{way.likelihood!r} {way.text}"


def _way(line: str) -> Way:
    likelihood, text = line[1:].split(" ", 1)
    return Way(text, line[0] == "1", float(likelihood))


def _wave(path: Path | Passage, max_seconds: float) -> NDArray[np.float32]:
    """A file's samples; none where it can't be read, of which whoever reads it for its sound tells."""
    try:
        return load_sound(path, sample_rate=RATE, max_seconds=max_seconds)
    except MediaError:
        return np.zeros(0, np.float32)
