"""Media as the page shows them: files by type, thumbnails, waveforms; and the checks of what is sent.

Nothing is decoded before its header says that it is of a bearable size.
"""

from __future__ import annotations

import io
import warnings
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dtbh.config import Service
from dtbh.data.manifest import Item
from dtbh.data.passages import sound_of
from dtbh.data.tiling import media_of
from dtbh.errors import DtbhError, MediaError
from dtbh.media.containers import container_header, is_container
from dtbh.media.raster import Tile, picture
from dtbh.media.sound import Passage, header_seconds, sound_blocks

IMAGE_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000", "PPM")
TYPES = {
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png", ".webp": "image/webp", ".gif": "image/gif",
    ".bmp": "image/bmp", ".tif": "image/tiff", ".tiff": "image/tiff", ".jp2": "image/jp2",
    ".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".opus": "audio/ogg", ".oga": "audio/ogg",
    ".mp3": "audio/mpeg", ".m4a": "audio/mp4", ".aac": "audio/aac",
    ".webm": "audio/webm", ".mp4": "audio/mp4", ".3gp": "audio/3gpp", ".aif": "audio/aiff", ".aiff": "audio/aiff",
}  # fmt: skip
BARS = 96  # of a waveform
CHANNELS, RATES = 16, (1000, 768_000)
LONGEST = 60.0  # seconds of a sound that are drawn


def media_type(path: Path) -> str:
    """The media type of a file by its suffix; unknown ones are plain bytes, which no browser runs."""
    return TYPES.get(path.suffix.lower(), "application/octet-stream")


def check_sound(path: Path, limits: Service) -> None:
    """Refuse a sound whose header asks for more than a query may have.

    Raises:
        MediaError: Too long, too many channels, or a sample rate that nobody records at.
    """
    import soundfile

    try:
        if is_container(path):
            rate, channels, seconds = container_header(path)
        else:
            info = soundfile.info(path)
            rate, channels = info.samplerate, info.channels
            seconds = header_seconds(path)
    except (soundfile.LibsndfileError, RuntimeError, TypeError, ValueError):
        return  # the reader says what is wrong with it
    low, high = RATES
    if not low <= rate <= high:
        raise MediaError(f"{path}: {rate} samples a second, {low} to {high} wanted; convert it")
    if channels > CHANNELS:
        raise MediaError(f"{path}: {channels} channels, at most {CHANNELS} wanted; mix it down")
    if limits.sound_seconds < seconds:
        raise MediaError(f"{path}: {seconds:.0f} s long, at most {limits.sound_seconds:g} s wanted; cut it")


def check_image(path: Path, limits: Service) -> None:
    """Refuse an image whose header asks for more than a query may have.

    Raises:
        MediaError: Too many pixels, or no image of the kinds that are taken.
    """
    from PIL import Image, UnidentifiedImageError

    if path.stat().st_size == 0:
        return  # the reader says so
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=IMAGE_FORMATS) as image:
                millions = image.width * image.height / 1e6
    except UnidentifiedImageError:
        raise MediaError(f"{path}: not an image that can be read; convert it to PNG or JPEG") from None
    except Image.DecompressionBombError:
        millions = float("inf")
    except Exception:  # a damaged header: whatever Pillow's plugins raise
        raise MediaError(f"{path}: a damaged or cut short image; copy it again or leave it out") from None
    if millions > limits.image_megapixels:
        raise MediaError(f"{path}: over {limits.image_megapixels:g} million pixels; cut it into tiles")


def preview(item: Item, size: int, limits: Service) -> tuple[bytes, str]:
    """A picture of an item and its media type: an image as JPEG within ``size`` pixels, a sound's waveform as SVG.

    Raises:
        MediaError: The file is gone, damaged or too large.
    """
    path = Path(str(item.path))
    try:
        stat = path.stat()
    except OSError:
        raise MediaError(f"{path}: the file is gone") from None
    media = sound_of(item) if item.modality == "sound" else media_of(item)
    return _drawn(media, item.modality, size, limits, stat.st_mtime_ns, stat.st_size)


def whole_tile(item: Item, limits: Service) -> tuple[bytes, str]:
    """A tile as it is, not its whole scene; as `preview`."""
    assert item.window is not None
    return preview(item, min(2048, max(item.window[2:])), limits)


@lru_cache(maxsize=4096)
def _drawn(
    media: Path | Tile | Passage, modality: str, size: int, limits: Service, _changed: int, _size: int
) -> tuple[bytes, str]:
    if isinstance(media, Tile):
        return _thumbnail(media, size), "image/jpeg"
    if modality == "sound" or isinstance(media, Passage):
        return _waveform(media).encode(), "image/svg+xml"
    check_image(media, limits)
    return _thumbnail(media, size), "image/jpeg"


def _thumbnail(media: Path | Tile, size: int) -> bytes:
    from PIL import Image

    from dtbh.media.image import thumbnail

    buffer = io.BytesIO()
    try:
        with picture(media) if isinstance(media, Tile) else Image.open(media, formats=IMAGE_FORMATS) as image:
            thumbnail(image, size).save(buffer, "JPEG", quality=85)
    except DtbhError as error:
        raise MediaError(str(error)) from None
    except Exception as error:  # whatever Pillow's plugins raise
        raise MediaError(f"{media}: can't be drawn ({' '.join(str(error).split())})") from None
    return buffer.getvalue()


def _waveform(path: Path | Passage) -> str:
    """A sound's loudness over time as SVG bars, black on nothing: the page gives them its colours as a mask."""
    peaks = _peaks(path)
    bars = "".join(
        f"M{x + 0.5:g} {16 - height:.1f}v{2 * height:.1f}" for x, height in enumerate((15 * peaks).clip(0.5).tolist())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {BARS} 32" preserveAspectRatio="none">'
        f'<path d="{bars}" stroke="#000" stroke-width=".62" stroke-linecap="butt" fill="none"/></svg>'
    )


def _peaks(sound: Path | Passage) -> NDArray[np.float64]:
    """The largest sample of each of the `BARS` parts, as a share of the largest of all; a minute is read at most."""
    part = sound if isinstance(sound, Passage) else Passage(sound, 0.0, LONGEST)
    blocks = []
    for rate, block in sound_blocks(part.path, part.start, min(part.seconds, LONGEST)):
        if not RATES[0] <= rate <= RATES[1] or block.shape[1] > CHANNELS:
            raise MediaError(f"{part.path}: an odd sample rate or number of channels")
        blocks.append(np.abs(block).max(axis=1))
    return _parts(np.concatenate([np.zeros(0, np.float32), *blocks]))


def _parts(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """The largest of each part of sizes of samples, [n], as a share of the largest of all."""
    level = np.nan_to_num(samples.astype(np.float64), posinf=1.0)
    edges = np.linspace(0, len(level), BARS + 1).astype(int)
    peaks = np.array([level[a:b].max(initial=0.0) for a, b in pairwise(edges)])
    return peaks / (peaks.max() or 1.0)
