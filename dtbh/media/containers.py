"""Sounds as phones and browsers record them, and the sound tracks of videos: MP4, WebM, 3GP, AAC and AMR, through PyAV.

libsndfile reads none of these. Which file is one is told by its first bytes, whatever its name is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dtbh.errors import DtbhError, MediaError

CONTAINER_TYPES = frozenset({".m4a", ".mp4", ".m4v", ".mov", ".3gp", ".webm", ".mka", ".mkv", ".aac", ".amr"})
_STARTS = (b"\x1a\x45\xdf\xa3", b"\xff\xf1", b"\xff\xf9", b"#!AMR")  # Matroska and WebM, AAC in ADTS, AMR
_PLAIN = frozenset({"aac", "amr", "amrnb", "amrwb"})  # packets in a row without an index, in which a seek is a guess
_BEFORE = 0.2  # seconds that decoders need to swing in

Samples = npt.NDArray[np.float32]


def is_container(path: Path) -> bool:
    """Whether the file begins as one of these formats does; False where it can't be read."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head[4:8] == b"ftyp" or head.startswith(_STARTS)


def container_blocks(path: Path, start: float = 0.0, seconds: float | None = None) -> Iterator[tuple[int, Samples]]:
    """The first sound track, or a part of it, piece by piece; what is before that part is not decoded.

    Args:
        path: The file.
        start: Where to begin, in seconds.
        seconds: How much is read; None reads to the end.

    Yields:
        The rate in Hz and some samples, float32 [n, channels].

    Raises:
        MediaError: PyAV is not installed, there is no sound track, or the file is damaged.
    """
    with _opened(path) as (stream, container):
        if start > _BEFORE and container.format.name not in _PLAIN:
            container.seek(_ticks(stream, start - _BEFORE), stream=stream)
        position, left = None, math.inf
        for at, frame in _frames(container, stream, start):
            rate = int(frame.sample_rate)
            if position is None:
                position = round(at * rate) - round(start * rate)
                left = math.inf if seconds is None else math.ceil(seconds * rate)
            block = frame.to_ndarray().reshape(frame.layout.nb_channels, -1).T
            block = block[max(0, -position) :][: int(min(left, len(block)))]
            position += frame.samples
            left -= len(block)
            if len(block):
                yield rate, block
            if left <= 0:
                return


def container_header(path: Path) -> tuple[int, int, float]:
    """Rate in Hz, channels, and length in seconds (0 where the header does not say, as of a browser's recording).

    Raises:
        MediaError: As in `container_blocks`.
    """
    with _opened(path) as (stream, container):
        seconds = (container.duration or 0) / 1e6
        return int(stream.codec_context.sample_rate), int(stream.codec_context.channels), seconds


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The first sound track and its container; what libav says is wrong becomes one line."""
    try:
        import av
    except ModuleNotFoundError:
        raise MediaError(
            f"{path}: in a format of phones and browsers, which PyAV reads: pip install 'dtbh[av]', or convert it to "
            "WAV or FLAC"
        ) from None
    try:
        with path.open("rb") as file, av.open(file) as container:  # a name need not be UTF-8
            if not container.streams.audio:
                raise MediaError(f"{path}: has no sound track; leave it out")
            yield container.streams.audio[0], container
    except DtbhError:
        raise
    except Exception as error:  # of damaged files not only libav's own
        reason = " ".join(str(getattr(error, "strerror", "") or error).split())
        raise MediaError(f"{path}: can't be read to its end ({reason}); copy it again, or convert it to WAV") from None


def _frames(container: Any, stream: Any, start: float) -> Iterator[tuple[float, Any]]:
    """The track's frames as floats, plane by plane, from shortly before ``start``, each with its time in seconds."""
    from av import AudioResampler

    resampler = AudioResampler(format="fltp")
    early = _ticks(stream, start - _BEFORE)
    at, step = 0.0, float(stream.time_base)
    for packet in container.demux(stream):
        if start and packet.pts is not None and packet.pts < early:
            continue
        for frame in packet.decode():
            if start and frame.pts is not None:
                at = (frame.pts - (stream.start_time or 0)) * step
            for part in resampler.resample(frame):
                yield at, part
    for part in resampler.resample(None):
        yield at, part


def _ticks(stream: Any, seconds: float) -> int:
    """A time as the track counts it."""
    return int(stream.start_time or 0) + int(max(0.0, seconds) / stream.time_base)
