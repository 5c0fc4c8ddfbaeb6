"""A picture or a sound inside HTML: pages and notebooks that show them need no network and no other file."""

from __future__ import annotations

import base64
import functools
import io
import warnings
from html import escape
from pathlib import Path

from dtbh.data.manifest import Item
from dtbh.data.passages import sound_of
from dtbh.data.tiling import media_of
from dtbh.errors import MediaError
from dtbh.media.image import thumbnail
from dtbh.media.raster import Tile, picture
from dtbh.media.sound import Passage, wav_of

SOUND_BYTES = 1_000_000  # longer sounds are named, not embedded
AUDIO_TYPES = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".opus": "audio/ogg",
               ".oga": "audio/ogg", ".mp3": "audio/mpeg", ".m4a": "audio/mp4"}  # fmt: skip


@functools.lru_cache(maxsize=1000)
def media_html(item: Item) -> str:
    """The picture or the player of an item, or a box that says why there is none; every text is escaped."""
    if item.path is None:
        return '<div class="media"><div class="gone">no file</div></div>'
    path = Path(item.path)
    if not path.is_file():
        inside = _gone("file is gone", path)
    else:
        inside = _picture(path, item) if item.modality == "image" else _player(sound_of(item))
    return f'<div class="media">{inside}</div>'


def _gone(why: str, path: Path) -> str:
    return f'<div class="gone">{why}:<br>{escape(str(path))}</div>'


def _picture(path: Path, item: Item) -> str:
    """A thumbnail as an embedded JPEG."""
    from PIL import Image

    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            media = media_of(item)
            with picture(media) if isinstance(media, Tile) else Image.open(path) as image:
                small = thumbnail(image)
            small.save(buffer, "JPEG", quality=85)
    except Exception as error:  # of damaged files Pillow's decoders raise nearly anything
        return _gone(f"can't be read ({escape(str(error))})", path)
    width, height = small.size
    alt = escape(item.label or item.id)
    return f'<img src="{_data("image/jpeg", buffer.getvalue())}" width="{width}" height="{height}" alt="{alt}">'


def _player(sound: Path | Passage) -> str:
    """An audio player with the file inside, where it is short enough, or with the passage."""
    if isinstance(sound, Passage):
        try:
            return f'<audio controls preload="metadata" src="{_data("audio/wav", wav_of(sound))}"></audio>'
        except MediaError as error:
            return _gone(f"can't be read ({escape(str(error))})", sound.path)
    path = sound
    try:
        if path.stat().st_size >= SOUND_BYTES:
            return _gone("too long to be put into this page", path)
        data = path.read_bytes()
    except OSError as error:
        return _gone(f"can't be read ({escape(str(error.strerror))})", path)
    kind = AUDIO_TYPES.get(path.suffix.lower(), "audio/wav")
    return f'<audio controls preload="metadata" src="{_data(kind, data)}"></audio>'


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
