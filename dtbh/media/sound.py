"""Sound files to samples, without torch."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dtbh.errors import MediaError
from dtbh.media.containers import is_container, read_container

SILENCE = 1e-4  # a peak under -80 dBFS
RATES = (100, 10_000_000)  # in Hz, that are taken for rates of sounds
BLOCK = 1 << 18  # samples read at a time, of all channels together
BROKEN = (RuntimeError, TypeError, ValueError)
"""What soundfile raises of damaged files, beside libsndfile's own errors, which are RuntimeErrors."""
_UNKNOWN = 0x7FFFF000  # sizes from here on stand in WAV headers that were written to a pipe

Samples = npt.NDArray[np.float32]


def load_sound(
    path: Path | str, *, sample_rate: int = 16000, max_seconds: float | None = None, min_seconds: float = 0.1
) -> Samples:
    """Read a sound file as one channel at ``sample_rate``.

    Channels are averaged. A file whose samples pass full scale (float files may) is scaled down by its peak.

    Args:
        path: Any file libsndfile reads: WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF and others; with PyAV also those of
            `dtbh.media.containers`.
        sample_rate: Rate of the result in Hz; other rates are resampled with soxr.
        max_seconds: Only the first so many seconds are read; None reads all.
        min_seconds: Shorter sounds are refused.

    Returns:
        float32 [samples], in [-1, 1].

    Raises:
        MediaError: The file is missing, empty, no sound, cut short, has NaN or infinity among its samples,
            is shorter than ``min_seconds`` or silent (peak under -80 dBFS). That Ogg, AU or W64 files were cut
            short doesn't show: what is left of them is read.
    """
    path = Path(path)
    _check_file(path)
    samples, rate = read_container(path, max_seconds) if is_container(path) else _read(path, max_seconds)
    if not len(samples):
        raise MediaError(f"{path}: a sound without samples; leave it out or record it again")
    if not RATES[0] <= rate <= RATES[1]:
        raise MediaError(f"{path}: {rate} samples a second, {RATES[0]} to {RATES[1]} wanted; a damaged header?")
    if not np.isfinite(samples).all():
        raise MediaError(f"{path}: NaN or infinity among the samples, finite ones wanted; export it again")
    if len(samples) < min_seconds * rate:
        raise MediaError(f"{path}: {len(samples) / rate:.3f} s long, at least {min_seconds:g} s wanted; leave it out")
    peak = float(np.abs(samples).max())
    if peak < SILENCE:
        level = f"peak {20 * math.log10(peak):.0f} dBFS" if peak > 0 else "all samples are zero"
        raise MediaError(f"{path}: silent ({level}), a peak over -80 dBFS wanted; leave it out or record again")
    if rate != sample_rate:
        import soxr

        samples = soxr.resample(samples, rate, sample_rate)
        peak = float(np.abs(samples).max())
    if max_seconds is not None:
        samples = samples[: round(max_seconds * sample_rate)]
    return np.asarray(samples / peak if peak > 1 else samples, dtype=np.float32)


def _check_file(path: Path) -> None:
    """Refuse what is no readable file, and WAV or AIFF files with less in them than their header says."""
    if path.is_dir():
        raise MediaError(f"{path}: a folder, a sound file wanted; give the files in it")
    if not path.is_file():
        raise MediaError(f"{path}: no such file; check the path, or run dtbh prepare again")
    size = path.stat().st_size
    if size == 0:
        raise MediaError(f"{path}: an empty file (0 bytes), a sound wanted; copy it again or leave it out")
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise MediaError(f"{path}: can't be read ({error.strerror}); check its permissions") from None
    order = {b"RIFF": "<I", b"FORM": ">I"}.get(head[:4])  # WAV and AIFF: libsndfile reads what is left of them
    if order and len(head) == 12:
        promised = struct.unpack(order, head[4:8])[0] + 8
        if size + 1 < promised < _UNKNOWN:  # some writers count a padding byte that isn't there
            raise MediaError(f"{path}: cut short, {size} of {promised} bytes are there; copy it again or leave it out")


def _read(path: Path, max_seconds: float | None) -> tuple[Samples, int]:
    """The file's samples, channels averaged, and its rate."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            promised = file.frames
            wanted = promised if max_seconds is None else min(promised, math.ceil(max_seconds * file.samplerate))
            blocks, found = [np.zeros(0, np.float32)], 0
            while found < wanted:
                block = file.read(min(max(1, BLOCK // file.channels), wanted - found), dtype="float32", always_2d=True)
                if not len(block):
                    break
                blocks.append(block.mean(axis=1))
                found += len(block)
            rate = int(file.samplerate)
    except BROKEN as error:
        reason = " ".join(str(error).removeprefix(f"Error opening {str(path)!r}: ").split())
        raise MediaError(
            f"{path}: not a sound that can be read ({reason.rstrip('.')}); convert it to WAV or FLAC"
        ) from None
    if found < wanted and promised < 1 << 62:  # a stream of unknown length promises 2**63 - 1
        raise MediaError(f"{path}: cut short, {found} of {wanted} samples are there; copy it again or leave it out")
    return np.concatenate(blocks), rate
