"""A sound file as libsndfile can take it: mostly the file itself, else the parts of it, opened by Python.

Opened here are files with names that are not UTF-8, WAV files whose writer broke off before it put the sizes in, and
the links of chained Ogg files (recordings one after the other), of which libsndfile reads the first only.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from dtbh.utils.files import is_utf8

_PAGE = 27  # bytes of the head of a page of Ogg
_FIRST = 2  # the flag of a page that begins a stream


class Part(io.RawIOBase):
    """Some bytes of a file, to be read only, a few of them replaced.

    Args:
        path: The file.
        start: The first byte.
        end: The first byte after the part.
        mended: Bytes that stand for those of the file, by where they begin in the part.
    """

    def __init__(self, path: Path, start: int, end: int, mended: dict[int, bytes]) -> None:
        self._file, self._start, self._size, self._at, self._mended = path.open("rb"), start, end - start, 0, mended

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The place in the part."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place in the part."""
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        """Fill the buffer as far as the part goes."""
        view = memoryview(buffer).cast("B")
        self._file.seek(self._start + self._at)
        data = bytearray(self._file.read(max(0, min(len(view), self._size - self._at))))
        for place, new in self._mended.items():
            for index, byte in enumerate(new, place - self._at):
                if 0 <= index < len(data):
                    data[index] = byte
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


def sound_parts(path: Path) -> Iterator[Path | Part]:
    """What is to be given to soundfile, one after the other; what is opened is closed before the next.

    Raises:
        OSError: The file can't be read.
    """
    with path.open("rb") as file:
        size = file.seek(0, io.SEEK_END)
        mended, starts = _mended(file, size), _links(file, size)
    if not mended and len(starts) == 1 and is_utf8(str(path)):
        yield path
        return
    for start, end in zip(starts, [*starts[1:], size], strict=True):
        with Part(path, start, end, mended) as part:
            yield part


def unclosed_data(file: BinaryIO, size: int) -> int | None:
    """Where the samples begin of a WAV file that says it has none, though they follow; None for any other file."""
    file.seek(0)
    head = file.read(12)
    if head[:4] != b"RIFF" or head[8:] != b"WAVE":
        return None
    place = 12
    while place + 8 <= size:
        name, length = _chunk(file, place)
        place += 8
        if name == b"data":
            return place if not length and place < size and not _only_chunks(file, place, size) else None
        place += length + length % 2
    return None


def _chunk(file: BinaryIO, place: int) -> tuple[bytes, int]:
    """Name and length of what begins there in a WAV file of at least 8 bytes more."""
    file.seek(place)
    name, length = struct.unpack("<4sI", file.read(8))
    return name, length


def _only_chunks(file: BinaryIO, place: int, size: int) -> bool:
    """Whether named chunks, and no samples, reach from there to the end."""
    while place + 8 <= size:
        name, length = _chunk(file, place)
        if not all(32 <= letter < 127 for letter in name):
            return False
        place += 8 + length + length % 2
    return size <= place <= size + 1


def _mended(file: BinaryIO, size: int) -> dict[int, bytes]:
    """The sizes that are missing in a WAV file, by their places."""
    start = unclosed_data(file, size)
    if start is None:
        return {}
    sizes = (min(whole, 0xFFFFFFFF) for whole in (size - 8, size - start))
    return dict(zip((4, start - 4), (struct.pack("<I", whole) for whole in sizes), strict=True))


def _links(file: BinaryIO, size: int) -> list[int]:
    """Where recordings begin in an Ogg file; of any other file, its beginning."""
    starts, place, heads = [0], 0, True
    while place + _PAGE <= size:
        file.seek(place)
        page = file.read(_PAGE + 255)
        if page[:4] != b"OggS":
            break
        first = bool(page[5] & _FIRST)
        if first and not heads:
            starts.append(place)
        heads = first
        count = page[26]
        place += _PAGE + count + sum(page[_PAGE : _PAGE + count])
    return starts
