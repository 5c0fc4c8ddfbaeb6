"""Which files are images and sounds, and which lie under a folder."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from dtbh.errors import MediaError
from dtbh.media.containers import CONTAINER_TYPES
from dtbh.utils.files import odd_kind

PHOTO_TYPES = frozenset({".tif", ".tiff", ".png", ".jpg", ".jpeg"})
SOUND_TYPES = CONTAINER_TYPES | frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf",
     ".w64", ".rf64", ".voc", ".sph", ".nist", ".paf", ".ircam"}
)  # fmt: skip
_STARTS = {
    "image": {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"II*\0": ".tif", b"MM\0*": ".tif", b"II+\0": ".tif",
              b"MM\0+": ".tif", b"GIF8": ".gif", b"BM": ".bmp", b"\0\0\0\x0cjP": ".jp2"},
    "sound": {b"fLaC": ".flac", b"OggS": ".ogg", b"ID3": ".mp3", b"\xff\xfb": ".mp3", b"\xff\xf3": ".mp3",
              b"\xff\xf2": ".mp3", b"\xff\xfa": ".mp3", b"\xff\xf1": ".aac", b"\xff\xf9": ".aac", b"#!AMR": ".amr",
              b".snd": ".au", b"RF64": ".rf64", b"\x1a\x45\xdf\xa3": ".webm", b"caff": ".caf"},
}  # fmt: skip


def file_type(data: bytes, modality: str) -> str | None:
    """The type, as a file's name ends, of an ``"image"`` or ``"sound"`` by its first bytes; None for any other."""
    kind = data[8:12]
    if modality == "image" and kind == b"WEBP":
        return ".webp"
    if modality == "sound" and (data[:4] in (b"RIFF", b"FORM") or data[4:8] == b"ftyp"):
        return {b"WAVE": ".wav", b"AIFF": ".aiff", b"AIFC": ".aifc"}.get(kind, ".m4a" if data[4:8] == b"ftyp" else None)
    return next((suffix for start, suffix in _STARTS[modality].items() if data.startswith(start)), None)


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
        what = "a file; unpack it where it is an archive" if folder.is_file() else "no such folder"
        problems.append(f"{folder}: {what}; give the folder that holds the files")
        return []
    found = [path for path in folder.rglob("*") if path.suffix.lower() in types]
    return sorted(path for path in found if path.is_file() and not path.name.startswith("."))


def check_media(path: Path, wanted: str) -> None:
    """Refuse what is there but no regular file: a folder, a pipe, a device or a socket.

    Args:
        path: What is looked at, not opened; that nothing is there passes.
        wanted: As "an image" or "a sound", for the line.

    Raises:
        MediaError: It is something else.
        OSError: It can't be reached.
    """
    if path.is_dir():
        raise MediaError(f"{path}: a folder, {wanted} file wanted; give the files in it")
    if kind := odd_kind(path):
        raise MediaError(f"{path}: {kind}, not a regular file, {wanted} file wanted; save it as a file first")
