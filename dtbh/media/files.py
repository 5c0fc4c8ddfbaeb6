"""Which files are images and sounds, and which lie under a folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from dtbh.media.containers import CONTAINER_TYPES

PHOTO_TYPES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg"})
SOUND_TYPES = CONTAINER_TYPES | frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf",
     ".w64", ".rf64", ".voc", ".sph", ".nist", ".paf", ".ircam"}
)  # fmt: skip


@cache
def image_types() -> frozenset[str]:
    """Every file type that PIL opens and decodes, lower case with the dot."""
    from PIL import Image

    stubs = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF", "EPS"}  # recognised, but not decoded by PIL alone
    found = Image.registered_extensions().items()
    return frozenset(ext.lower() for ext, name in found if name in Image.OPEN and name not in stubs)


def media_files(folder: Path, types: frozenset[str], problems: list[str]) -> list[Path]:
    """All files under ``folder`` of these types, in upper or lower case; sorted, without hidden ones."""
    if not folder.is_dir():
        problems.append(f"{folder}: no such folder; give the folder that holds the files")
        return []
    found = [path for path in folder.rglob("*") if path.suffix.lower() in types]
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))
