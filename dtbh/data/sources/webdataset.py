"""WebDataset: tar files in which a sample is the files that share a name up to its first full stop.

Tars are read as a stream and never unpacked to where their names say, so no name leads anywhere; how much may come out
of a compressed one is bounded.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from dtbh.data.manifest import BETWEEN, Item, Modality
from dtbh.data.sources.base import source
from dtbh.data.sources.extracted import LARGEST, Extracted
from dtbh.data.sources.readers import items_or_problems
from dtbh.data.sources.rows import COLUMNS, Row, is_free, items_of, rows_of
from dtbh.data.sources.split_names import split_named
from dtbh.errors import DataError
from dtbh.media.files import SOUND_TYPES, image_types
from dtbh.utils.files import parse_json

TEXTS = {"cls": "label", "txt": "transcript", "text": "transcript", "caption": "transcript"}
CAPTIONS = ("transcript", "caption", "captions", "text")
LONGEST = 1 << 20
"""Bytes that a text of a sample may have."""
EXPANDED, FLOOR = 200, 1 << 26  # times a compressed file's size that it may unpack to, and bytes that it may anyway
PACKED: dict[bytes, Callable[[BinaryIO], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}


@source("webdataset")
def webdataset(path: Path, media: Extracted) -> list[Item]:
    """WebDataset tars: images, sounds, ``.cls`` (the class), ``.txt`` (what is said) and ``.json`` (by column).

    Several images, sounds or texts of a sample are told apart by what stands between full stops (``7.left.jpg``). A
    split is the beginning of a tar's name, as in ``train-000.tar``, or stands in the JSON.

    Args:
        path: A tar, also compressed with gzip, bzip2 or xz, or a folder of such.
        media: Takes the images and sounds.

    Returns:
        As `table`.

    Raises:
        DataError: No tar, a damaged one, one with links, or one that unpacks to many times its size.
    """
    problems: list[str] = []
    tars = [path] if path.is_file() else sorted(one for one in path.glob("*.tar*") if one.is_file())
    if not tars:
        raise DataError(f"{path}: no WebDataset; wanted a .tar, or a folder of .tar files")
    items = items_of((row for tar in tars for row in _rows(tar, media, problems)), path.parent, problems)
    if not items and not problems:
        problems.append(f"{path}: no image and no sound in it; wanted files such as 000.jpg, 000.wav and 000.txt")
    return items_or_problems("webdataset", items, problems)


def _rows(tar: Path, media: Extracted, problems: list[str]) -> Iterator[Row]:
    split = split_named(tar.name)
    for key, members in _samples(tar):
        where = f"{tar}: sample {key!r}"
        try:
            values, captions = _known(members)
            values = ({"split": split} if split else {}) | values
            said = {**values, "transcript": captions[0] if len(captions) == 1 else None}
        except DataError as error:
            problems.append(f"{where}: {error}")
            continue
        files: dict[Modality, list[tuple[str, Path | None]]] = {"image": [], "sound": []}
        for name, data in members.items():
            if (modality := _modality(name)) is not None:
                about = ("label", "split") if modality == "image" else ("label", "split", "speaker", "transcript")
                called = f"{key.rpartition('/')[2]}.{name}"
                files[modality].append(media.put(data, modality, called, map(said.get, about), where=where))
        yield from rows_of(where, files, captions, values)


def _modality(name: str) -> Modality | None:
    suffix = f".{name.lower().rpartition('.')[2]}"
    return "image" if suffix in image_types() else "sound" if suffix in SOUND_TYPES else None


def _known(members: dict[str, bytes]) -> tuple[dict[str, str], list[str]]:
    """What the texts of a sample say, by column, and its captions."""
    values: dict[str, str] = {}
    captions: list[str] = []
    for name, data in members.items():
        kind = name.lower().rpartition(".")[2]
        try:
            if kind == "json":
                captions += _from_json(parse_json(data), values)
            elif kind in TEXTS and (text := data.decode("utf-8-sig").strip()):
                captions += [text] if TEXTS[kind] == "transcript" else []
                values |= {"label": text} if TEXTS[kind] == "label" else {}
        except ValueError as error:
            raise DataError(f".{name} can't be read ({error})") from None
    return values, [one for one in captions if one.strip()]


def _from_json(found: Any, values: dict[str, str]) -> list[str]:
    """Note down what an object says by column; returns its captions."""
    if not isinstance(found, dict):
        raise ValueError(f"wanted an object, found {type(found).__name__}")
    for name, value in found.items():
        if name == "label" and isinstance(value, list):
            labels = BETWEEN.join(str(one) for one in value if one is not None and one == one)
            values |= {name: labels} if labels else {}
        elif isinstance(value, (str, int, float)) and (name in ("label", "speaker") or _is_further(name)):
            values |= {name: str(value)} if value == value else {}  # what is not a number says nothing
    if isinstance(split := found.get("split"), str) and (told := split_named(split)):
        values["split"] = told
    for name in CAPTIONS:
        said = found.get(name)
        texts = [one for one in (said if isinstance(said, list) else [said]) if one is not None and one == one]
        if wrong := next((one for one in texts if not isinstance(one, str)), None):
            raise ValueError(f"{name} is {type(wrong).__name__}; wanted a text, or a list of texts")
        if any(texts):
            return texts
    return []


def _is_further(name: str) -> bool:
    return name not in (*COLUMNS, *CAPTIONS) and is_free(name)


def _samples(tar: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Each sample's key and its files by what stands behind the key.

    Raises:
        DataError: A sample's files do not stand together: to wait for what may still come, all would have to be held.
    """
    last: str | None = None
    members: dict[str, bytes] = {}
    ended: set[str] = set()
    for name, data in _members(tar):
        folder, slash, base = name.rpartition("/")
        stem, _, kind = base.partition(".")
        key = f"{folder}{slash}{stem}"
        if key != last and last is not None:
            yield last, members
            ended.add(last)
            members = {}
        if key in ended:
            raise DataError(
                f"{tar}: {name!r} stands apart from the other files of sample {key!r}, which must follow one another; "
                "write the tar in the order of names, as tar --sort=name does"
            )
        if kind in members:
            raise DataError(f"{tar}: sample {key!r} has two files .{kind}; keep one")
        last = key
        members[kind] = data
    if last is not None:
        yield last, members


def _members(tar: Path) -> Iterator[tuple[str, bytes]]:
    """The files of a tar that may belong to a sample, in order, with their bytes."""
    try:
        with tar.open("rb") as raw, _Bounded(raw, tar) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                base = member.name.rpartition("/")[2]
                if member.isdir() or base.startswith(".") or "." not in base:
                    continue
                if not member.isreg() or member.issparse():
                    raise DataError(
                        f"{tar}: {member.name!r} is a link, a device or full of holes; a sample is of files alone"
                    )
                kind = base.lower().rpartition(".")[2]
                text = kind == "json" or kind in TEXTS
                if not text and _modality(base) is None:
                    continue
                most = LONGEST if text else LARGEST
                if not 0 <= member.size <= most:
                    raise DataError(f"{tar}: {member.name!r} has {member.size} bytes; at most {most} are taken")
                file = archive.extractfile(member)
                data = b"" if file is None else file.read()
                if len(data) != member.size:
                    raise DataError(f"{tar}: {member.name!r} is cut short; copy the tar again")
                yield member.name, data
    except (
        tarfile.TarError,
        OSError,
        EOFError,
        ValueError,
        OverflowError,
        zlib.error,
        lzma.LZMAError,
        RecursionError,
    ) as error:
        raise DataError(f"{tar}: damaged, or no tar ({error}); copy or write it again") from None


class _Bounded(io.RawIOBase):
    """What a file unpacks to, as far as that is in proportion to its size."""

    def __init__(self, raw: BinaryIO, path: Path) -> None:
        head = raw.read(6)
        raw.seek(0)
        opened = next((kind for mark, kind in PACKED.items() if head.startswith(mark)), None)
        self._file = cast("BinaryIO", raw if opened is None else opened(raw))
        self._path, self._read = path, 0
        self._most = max(EXPANDED * path.stat().st_size, FLOOR)

    def read(self, size: int = -1) -> bytes:
        """So many bytes, or what is left."""
        data = self._file.read(size)
        self._read += len(data)
        if self._read > self._most:
            raise DataError(f"{self._path}: unpacks to more than {EXPANDED} times its size; refused as a bomb")
        return data
