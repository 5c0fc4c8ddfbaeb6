"""Sound files to samples, without torch."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dtbh.errors import MediaError
from dtbh.media.containers import container_blocks, container_header, is_container
from dtbh.media.files import check_media
from dtbh.media.sound_parts import sound_parts

SILENCE = 1e-4  # a peak under -80 dBFS
RATES = (100, 10_000_000)  # in Hz, that are taken for rates of sounds
OFFSET = 0.1  # a mean beyond so much of the standard deviation is no sound, and is taken off
CANCELLED = 0.99  # of the power that the loudest channel has in the mean of all: with less, they cancel
BLOCK = 1 << 18  # samples read at a time, of all channels together
BROKEN = (RuntimeError, TypeError, ValueError)
"""What soundfile raises of damaged files, beside libsndfile's own errors, which are RuntimeErrors."""
_UNKNOWN = 0x7FFFF000  # sizes from here on stand in WAV headers that were written to a pipe

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Passage:
    """A part of a sound file.

    Attributes:
        path: The file.
        start: Where it begins, in seconds from 0.
        seconds: How long it is, above 0.
    """

    path: Path
    start: float
    seconds: float


def load_sound(
    source: Path | str | Passage,
    *,
    sample_rate: int = 16000,
    max_seconds: float | None = None,
    min_seconds: float = 0.1,
) -> Samples:
    """Read a sound file, or a passage of one, as one channel at ``sample_rate``.

    Channels are brought together as `one_channel` says. A file whose samples pass full scale (float files may) is
    scaled down by its peak.

    Args:
        source: Any file libsndfile reads: WAV, FLAC, Ogg Vorbis, Opus, MP3, AIFF and others; with PyAV also those of
            `dtbh.media.containers`. Of a passage nothing else of the file is decoded.
        sample_rate: Rate of the result in Hz; other rates are resampled with soxr.
        max_seconds: Only the first so many seconds are read; None reads all.
        min_seconds: Shorter sounds are refused.

    Returns:
        float32 [samples], in [-1, 1].

    Raises:
        MediaError: The file is missing, empty, no sound, cut short, has NaN or infinity among its samples,
            is shorter than ``min_seconds`` or silent (peak under -80 dBFS), or has no such passage. That Ogg, AU or
            W64 files were cut short doesn't show: what is left of them is read.
    """
    path, start, longest = Path(source.path if isinstance(source, Passage) else source), 0.0, max_seconds
    if isinstance(source, Passage):
        start, longest = source.start, min(source.seconds, math.inf if max_seconds is None else max_seconds)
    blocks, rate = [np.zeros((0, 1), np.float32)], sample_rate
    for rate, block in sound_blocks(path, start, longest):  # noqa: B007
        blocks.append(block)
    channels = np.concatenate(blocks[1:] or blocks)
    if not len(channels):
        what = f"no passage from {start:g} s on in it" if start else "a sound without samples"
        raise MediaError(f"{path}: {what}; leave it out or record it again")
    if not RATES[0] <= rate <= RATES[1]:
        raise MediaError(f"{path}: {rate} samples a second, {RATES[0]} to {RATES[1]} wanted; a damaged header?")
    if not np.isfinite(channels).all():
        raise MediaError(f"{path}: NaN or infinity among the samples, finite ones wanted; export it again")
    if len(channels) < min_seconds * rate:
        raise MediaError(f"{path}: {len(channels) / rate:.3f} s long, at least {min_seconds:g} s wanted; leave it out")
    samples = one_channel(channels)
    peak = float(np.abs(samples).max())
    if peak < SILENCE:
        cut = longest is not None and len(samples) >= longest * rate
        part = f" from {start:g} s on for {longest:g} s" if cut else ""
        what = f"silent{part} ({_level(channels, peak)})"
        raise MediaError(f"{path}: {what}, a peak over -80 dBFS wanted; leave it out or record again")
    if rate != sample_rate:
        import soxr

        samples = soxr.resample(samples, rate, sample_rate)
        peak = float(np.abs(samples).max())
    if longest is not None:
        samples = samples[: round(longest * sample_rate)]
    return np.asarray(samples / peak if peak > 1 else samples, dtype=np.float32)


def header_seconds(path: Path) -> float:
    """How long a file says that it is, in seconds; 0 where it does not, or can't be read."""
    import soundfile

    try:
        if is_container(path):
            return container_header(path)[2]
        infos = [soundfile.info(part) for part in sound_parts(path)]
    except (MediaError, OSError, *BROKEN):
        return 0.0
    return sum(float(info.frames / info.samplerate) for info in infos if info.frames < 1 << 62)


def wav_of(passage: Passage) -> bytes:
    """A passage as a file of its own: WAV of 16 bits, one channel, 16 kHz, as any browser plays it.

    Raises:
        MediaError: As in `load_sound`.
    """
    import soundfile

    data = io.BytesIO()
    soundfile.write(data, load_sound(passage), 16000, format="WAV", subtype="PCM_16")
    return data.getvalue()


def one_channel(channels: Samples) -> Samples:
    """The mean of the channels; the loudest alone where the others cancel it. An offset is taken off first.

    Args:
        channels: float32 [samples, channels], finite.

    Returns:
        float32 [samples].
    """
    means = channels.mean(axis=0, dtype=np.float64)
    spreads = channels.std(axis=0, dtype=np.float64)
    offset = np.abs(means) > OFFSET * spreads
    if offset.any():
        channels = channels - np.where(offset, means, 0).astype(np.float32)
    together = np.asarray(channels.mean(axis=1), dtype=np.float32)
    if channels.shape[1] > 1:
        loudest = int(spreads.argmax())
        left = float(together.var(dtype=np.float64))
        if left < CANCELLED * (spreads[loudest] / channels.shape[1]) ** 2:
            return np.ascontiguousarray(channels[:, loudest])
    return together


def sound_blocks(path: Path, start: float = 0.0, seconds: float | None = None) -> Iterator[tuple[int, Samples]]:
    """The samples of a file, or of a part of it, piece by piece: what is before that part is not decoded.

    Args:
        path: As in `load_sound`.
        start: Where to begin, in seconds.
        seconds: How much is read; None reads to the end.

    Yields:
        The rate in Hz and some samples, float32 [n, channels].

    Raises:
        MediaError: As in `load_sound`, but for what the samples are.
    """
    _check_file(path)
    form: tuple[int, int] | None = None
    for rate, block in container_blocks(path, start, seconds) if is_container(path) else _blocks(path, start, seconds):
        form = _like(form, (rate, block.shape[1]), path)  # a stream may change on its way, a damaged one too
        yield rate, block


def _like(before: tuple[int, int] | None, form: tuple[int, int], path: Path) -> tuple[int, int]:
    """The rate and channels of what comes next, which must be those of what came before."""
    if before not in (None, form):
        raise MediaError(f"{path}: recordings of several rates or channels in a row; cut it into them")
    return form


def _check_file(path: Path) -> None:
    """Refuse what is no readable file, and WAV or AIFF files with less in them than their header says."""
    check_media(path, "a sound")
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


def _blocks(path: Path, start: float, seconds: float | None) -> Iterator[tuple[int, Samples]]:
    """As `sound_blocks`, by libsndfile."""
    import soundfile

    form: tuple[int, int] | None = None
    skipped, left = 0, math.inf
    try:
        for part in sound_parts(path):
            with soundfile.SoundFile(part) as file:
                rate, promised = int(file.samplerate), file.frames
                if form is None:
                    skipped, left = round(start * rate), math.inf if seconds is None else math.ceil(seconds * rate)
                form = _like(form, (rate, file.channels), path)
                first = min(skipped, promised)
                if first:
                    file.seek(first)
                found, wanted = 0, int(min(promised - first, left))
                while found < wanted:
                    count = min(max(1, BLOCK // file.channels), wanted - found)
                    block = file.read(count, dtype="float32", always_2d=True)
                    if not len(block):
                        break
                    yield rate, block
                    found += len(block)
            if found < wanted and promised < 1 << 62:  # a stream of unknown length promises 2**63 - 1
                raise MediaError(
                    f"{path}: cut short, {found} of {wanted} samples are there; copy it again or leave it out"
                )
            skipped, left = skipped - first, left - found
            if left <= 0:
                return
    except MediaError:
        raise
    except BROKEN as error:
        raise MediaError(f"{path}: not a sound that can be read{_reason(error)}; convert it to WAV or FLAC") from None


def _reason(error: Exception) -> str:
    """What libsndfile says of a file, in brackets; nothing where it takes one that is there for none."""
    reason = " ".join(str(getattr(error, "error_string", None) or error).split()).rstrip(".")
    return "" if reason.startswith("File does not exist") else f" ({reason})"


def _level(channels: Samples, peak: float) -> str:
    """What there is in a sound that is silent: a faint one, a constant level, or nothing."""
    if np.abs(channels).max() >= SILENCE:
        means = channels.mean(axis=0, dtype=np.float64)
        return f"nothing but a constant level of {means[np.abs(means).argmax()]:.3g}"
    return f"peak {20 * math.log10(peak):.0f} dBFS" if peak > 0 else "all samples are zero"
