"""Sounds as phones and browsers record them, and the sound tracks of videos: MP4, WebM, 3GP, AAC and AMR, through PyAV.

libsndfile reads none of these. Which file is one is told by its first bytes, whatever its name is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dtbh.errors import DtbhError, MediaError

CONTAINER_TYPES = frozenset({".m4a", ".mp4", ".m4v", ".mov", ".3gp", ".webm", ".mka", ".mkv", ".aac", ".amr"})
_STARTS = (b"\x1a\x45\xdf\xa3", b"\xff\xf1", b"\xff\xf9", b"#!AMR")  # Matroska and WebM, AAC in ADTS, AMR

Samples = npt.NDArray[np.float32]


def is_container(path: Path) -> bool:
    """Whether the file begins as one of these formats does; False where it can't be read."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head[4:8] == b"ftyp" or head.startswith(_STARTS)


def read_container(path: Path, max_seconds: float | None = None) -> tuple[Samples, int]:
    """The first sound track, channels averaged.

    Args:
        path: The file.
        max_seconds: Only the first so many seconds are read; None reads all.

    Returns:
        float32 [samples], and their rate in Hz.

    Raises:
        MediaError: PyAV is not installed, there is no sound track, or the file is damaged.
    """
    with _opened(path) as (stream, container):
        rate = int(stream.codec_context.sample_rate)
        wanted = None if max_seconds is None else int(np.ceil(max_seconds * rate))
        blocks, found = [np.zeros(0, np.float32)], 0
        for frame in _resampled(container, stream):
            block = frame.to_ndarray().reshape(frame.layout.nb_channels, -1).mean(axis=0, dtype=np.float32)
            blocks.append(block)
            found += len(block)
            if wanted is not None and found >= wanted:
                break
    return np.concatenate(blocks)[:wanted], rate


def container_header(path: Path) -> tuple[int, int, float]:
    """Rate in Hz, channels, and length in seconds (0 where the header does not say, as of a browser's recording).

    Raises:
        MediaError: As in `read_container`.
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
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise MediaError(f"{path}: has no sound track; leave it out")
            yield container.streams.audio[0], container
    except DtbhError:
        raise
    except Exception as error:  # of damaged files not only libav's own
        reason = " ".join(str(getattr(error, "strerror", "") or error).split())
        raise MediaError(f"{path}: can't be read to its end ({reason}); copy it again, or convert it to WAV") from None


def _resampled(container: Any, stream: Any) -> Iterator[Any]:
    """The track's frames as floats, plane by plane."""
    from av import AudioResampler

    resampler = AudioResampler(format="fltp")
    for frame in container.decode(stream):
        yield from resampler.resample(frame)
    yield from resampler.resample(None)
