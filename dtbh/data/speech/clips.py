"""From an engine's samples to a clip's bytes: 16 kHz, mono, cut to the speech, at one level.

No files in this room.
"""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import soundfile
import soxr

from dtbh.data.speech.engines import Samples

SAMPLE_RATE = 16000
PEAK = 10 ** (-3 / 20)
QUIET = 10 ** (-50 / 20)
MARGIN = SAMPLE_RATE // 20
FORMATS = {"flac": ("FLAC", "PCM_16"), "opus": ("OGG", "OPUS")}
_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def finish(samples: Samples, sample_rate: int) -> Samples:
    """Resample to 16 kHz, cut silence to 50 ms at either end, and set the peak to -3 dBFS.

    Args:
        samples: Shape [n], float, any level.
        sample_rate: In Hz.

    Returns:
        Shape [m], float32, at 16 kHz; empty where nothing is louder than digital silence. Silent is what
        lies 50 dB below the peak.
    """
    samples = np.asarray(samples, np.float32)
    if sample_rate != SAMPLE_RATE and len(samples):
        samples = soxr.resample(samples, sample_rate, SAMPLE_RATE).astype(np.float32, copy=False)
    peak = float(np.abs(samples).max(initial=0.0))
    if peak < 1e-4:
        return samples[:0]
    heard = np.flatnonzero(np.abs(samples) > peak * QUIET)
    samples = samples[max(0, heard[0] - MARGIN) : heard[-1] + 1 + MARGIN]
    return (samples * np.float32(PEAK / peak)).astype(np.float32)


def pack(samples: Samples, suffix: str) -> bytes:
    """A finished clip as the bytes of a ``.flac`` or ``.opus`` file (Opus in an Ogg container).

    The same samples give the same bytes.
    """
    container, coding = FORMATS[suffix]
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLE_RATE, format=container, subtype=coding)
    return buffer.getvalue() if suffix == "flac" else _with_serial(buffer.getvalue(), 1)


def _with_serial(ogg: bytes, serial: int) -> bytes:
    """The Ogg stream with a fixed serial number in each page: the writer draws one from the clock."""
    pages, start = [], 0
    while start < len(ogg):
        segments = ogg[start + 26]
        body = start + 27 + segments
        end = body + sum(ogg[start + 27 : body])
        page = bytearray(ogg[start:end])
        page[14:18] = struct.pack("<I", serial)
        page[22:26] = bytes(4)
        page[22:26] = struct.pack("<I", _ogg_checksum(bytes(page)))
        pages.append(bytes(page))
        start = end
    return b"".join(pages)


def _ogg_checksum(page: bytes) -> int:
    """Ogg's CRC-32 (most significant bit first, from 0): zlib's, of mirrored bytes, mirrored."""
    mirrored = zlib.crc32(page.translate(_MIRRORED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
