"""Look at every file before any work: what is missing, empty, unreadable, cut short, or there twice.

Images are decoded to the last pixel, sounds read to the last sample, in threads (Pillow and soundfile let go of the
interpreter meanwhile). Nothing is changed.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dtbh.data.manifest import Item
from dtbh.errors import MediaError
from dtbh.media.containers import container_blocks, is_container
from dtbh.media.files import check_media
from dtbh.media.sound import BLOCK, BROKEN
from dtbh.media.sound_parts import sound_parts, unclosed_data
from dtbh.utils.files import is_utf8
from dtbh.utils.progress import track


@dataclass(frozen=True)
class Findings:
    """What `check` found.

    Attributes:
        problems: What can't be used, one line each, with its path.
        warnings: What is odd, though usable, one line each.
    """

    problems: tuple[str, ...]
    warnings: tuple[str, ...]


def check(items: Iterable[Item], *, root: Path = Path(), workers: int | None = None) -> Findings:
    """Check every file of ``items``, with progress; nothing is raised, all is told at once.

    Args:
        items: Images and sounds; a caption without a file is left out of what concerns files.
        root: Where relative paths start, as `Manifest.root`.
        workers: Threads; as many as there are cores if None.

    Returns:
        Problems: files missing, empty, unreadable or cut short; sounds without samples. Warnings: the same
        content under several ids (pixels for images, bytes for sounds; with the splits, if they differ),
        classes of which only images or only sounds are there, items without a label, silent sounds.
    """
    items = tuple(items)
    files = {(root / item.path, item.modality): None for item in items if item.path is not None}
    looks: dict[str, Callable[[Path], tuple[str, str]]] = {"image": look_at_image, "sound": look_at_sound}

    def look(file: tuple[Path, str]) -> tuple[str, str] | MediaError:
        try:
            return looks[file[1]](file[0])
        except MediaError as error:
            return error

    problems, odd = [], []
    contents: dict[tuple[Path, str], str] = {}
    away = _away(path for path, _ in files)
    problems += [
        f"{folder}: no such folder, and {len(paths)} files should lie below it (first: {paths[0]}); is the drive or "
        f"the network share connected, and are paths relative to where they are written?"
        for folder, paths in away.items()
    ]
    gone = {path for paths in away.values() for path in paths}
    files = {file: None for file in files if file[0] not in gone}
    for file, found in zip(files, _in_threads(look, list(files), workers), strict=True):
        if isinstance(found, MediaError):
            problems.append(str(found))
            continue
        contents[file] = found[0]
        odd += [f"{file[0]}: {found[1]}"] if found[1] else []
    twice = _duplicates([(item, contents.get((root / item.path, item.modality))) for item in items if item.path])
    return Findings(tuple(problems), (*odd, *twice, *_one_sided(items), *_unlabelled(items)))


def look_at_image(path: Path) -> tuple[str, str]:
    """Decode an image completely.

    Returns:
        A fingerprint of its mode, size and pixels, and a remark (always empty).

    Raises:
        MediaError: Missing, empty, unreadable, cut short, or larger than Pillow takes for safe.
    """
    from PIL import Image, UnidentifiedImageError

    _there(path, "an image")
    try:
        with Image.open(path) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise MediaError(
                    f"{path}: {image.width} × {image.height} pixels, more than the {limit} that are safe to "
                    f"decode; cut it into tiles"
                )
            image.load()
            plain = image.convert("RGB") if image.mode in {"P", "1"} else image
            digest = hashlib.sha256(f"{plain.mode} {plain.size}".encode())
            digest.update(plain.tobytes())
    except MediaError:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise MediaError(f"{path}: too many pixels to be safe ({error}); cut it into tiles") from None
    except UnidentifiedImageError:
        raise MediaError(f"{path}: no image of a type that can be read; replace or remove it") from None
    except Exception as error:  # broken files make Pillow's decoders raise nearly anything
        raise MediaError(f"{path}: can't be decoded ({error or type(error).__name__}); replace it") from None
    return digest.hexdigest(), ""


def look_at_sound(path: Path) -> tuple[str, str]:
    """Read a sound to its end, in blocks.

    Returns:
        A fingerprint of the file's bytes, and a remark (empty unless every sample is zero).

    Raises:
        MediaError: Missing, empty, unreadable, without samples, with samples that are no numbers, or
            shorter than its header promises.
    """
    import numpy as np
    import soundfile

    _there(path, "a sound")
    read, promised, silent = 0, 0, True
    try:
        with path.open("rb") as raw:
            digest = hashlib.file_digest(raw, "sha256").hexdigest()
            short = _cut_short(raw)
        if is_container(path):
            return digest, _silent(path)
        for part in sound_parts(path):
            with soundfile.SoundFile(part) as sound:
                promised += sound.frames
                size = max(1, BLOCK // sound.channels)
                while len(block := sound.read(size, dtype="float32", always_2d=True)):
                    read += len(block)
                    silent = silent and not block.any()
                    if not np.isfinite(block).all():
                        raise MediaError(f"{path}: holds samples that are no finite numbers; write it anew")
    except (*BROKEN, OSError) as error:
        reason = getattr(error, "error_string", None) or error
        raise MediaError(f"{path}: can't be read as a sound ({reason}); replace or remove it") from None
    if short or read < promised:
        found = f"{read} of {promised} samples" if read < promised else short
        raise MediaError(f"{path}: cut short ({found}); copy it again")
    if not read:
        raise MediaError(f"{path}: no samples in it; record it again or remove it")
    return digest, "silent, every sample is zero" if silent else ""


def _silent(path: Path) -> str:
    """The remark on a sound that PyAV reads, as `look_at_sound` gives it."""
    seconds, silent = 0.0, True
    for rate, block in container_blocks(path):
        seconds, silent = seconds + len(block) / rate, silent and not block.any()
    if not seconds:
        raise MediaError(f"{path}: no samples in it; record it again or remove it")
    return f"silent, all {seconds:.1f} s are zero" if silent else ""


def _there(path: Path, wanted: str) -> None:
    """Refuse what is no file that can be read, or has nothing in it."""
    if not is_utf8(str(path)):
        raise MediaError(f"{str(path)!a}: the name is no UTF-8, a manifest can't hold it; rename the file")
    try:
        check_media(path, wanted)
        there, size = path.is_file(), path.stat().st_size if path.exists() else 0
    except OSError as error:  # no permission, a share that went away
        raise MediaError(f"{path}: can't be reached ({error.strerror}); is its drive or share connected?") from None
    if not there:
        raise MediaError(f"{path}: no such file")
    if size == 0:
        raise MediaError(f"{path}: empty, 0 bytes; replace or remove it")


MANY = 3


def _away(paths: Iterable[Path]) -> dict[Path, list[Path]]:
    """More than `MANY` files below one folder that is not there, by that folder: they are told in one line."""
    by_parent: dict[Path, list[Path]] = {}
    for path in paths:
        by_parent.setdefault(path.parent, []).append(path)
    away: dict[Path, list[Path]] = {}
    for parent, inside in by_parent.items():
        above = [parent, *parent.parents]
        with suppress(OSError):
            there = next((place for place, one in enumerate(above) if one.exists()), len(above))
            if there:
                away.setdefault(above[there - 1], []).extend(inside)
    return {folder: inside for folder, inside in away.items() if len(inside) > MANY}


def _cut_short(file: BinaryIO) -> str:
    """How a WAV, AIFF or Ogg file ends too early, else an empty string: libsndfile passes over that."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    magic = file.read(12)
    if magic[:4] == b"OggS":
        return _ogg_cut_short(file, size)
    order = {b"RIFF": "little", b"FORM": "big"}.get(magic[:4])
    if order is None:
        return ""
    if unclosed_data(file, size) is not None:  # its writer broke off: what is there is all
        return ""
    place = 12
    while place + 8 <= size:
        file.seek(place)
        head = file.read(8)
        length = int.from_bytes(head[4:], order)  # type: ignore[arg-type]
        if length == 0xFFFFFFFF:  # written as a stream: the length was not known
            return ""
        if place + 8 + length > size:
            return f"{size} of {place + 8 + length} bytes"
        place += 8 + length + length % 2
    return ""


def _ogg_cut_short(file: BinaryIO, size: int) -> str:
    """The last page of an Ogg file must be whole and say that it is the last."""
    start = max(0, size - (1 << 17))  # a page has 65,307 bytes at most
    file.seek(start)
    tail = file.read()
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    whole = len(page) > 27 and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
    return "" if whole and page[5] & 4 else "its last page is missing"


def _in_threads(
    look: Callable[[tuple[Path, str]], tuple[str, str] | MediaError],
    files: Sequence[tuple[Path, str]],
    workers: int | None,
) -> list[tuple[str, str] | MediaError]:
    """One look at each file, in order, with progress; an interruption drops what has not begun."""
    from PIL import Image

    Image.init()
    pool = ThreadPoolExecutor(workers or os.cpu_count() or 1)
    try:
        with warnings.catch_warnings():  # around all threads: the filters are the process's
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return list(track(pool.map(look, files), "checking files", total=len(files)))
    finally:
        pool.shutdown(cancel_futures=True)


def _duplicates(items: Sequence[tuple[Item, str | None]]) -> list[str]:
    """The same content under several ids, one line for each content."""
    groups: dict[tuple[str, str], list[Item]] = {}
    for item, content in items:
        if content is not None:
            groups.setdefault((item.modality, content), []).append(item)
    lines = []
    for (modality, _), group in groups.items():
        if len(group) == 1:
            continue
        splits = sorted({item.split for item in group if item.split})
        what = f"in the splits {' and '.join(splits)}" if len(splits) > 1 else f"{len(group)} times"
        places = ", ".join(f"{item.id} ({item.path})" for item in group)
        lines.append(f"the same {modality} {what}: {places}")
    return lines


def _one_sided(items: Sequence[Item]) -> list[str]:
    """Classes that have items of one modality only, where the other is there at all."""
    have: dict[str, set[str]] = {"image": set(), "sound": set()}
    for item in items:
        have[item.modality].update(item.labels)
    pairs = (("image", "sound"), ("sound", "image"))
    return [f"class {label}: {a}s but no {b}s" for a, b in pairs if have[b] for label in sorted(have[a] - have[b])]


def _unlabelled(items: Sequence[Item]) -> list[str]:
    """One line with how many items lack a label, and the first of them."""
    without = [item.path or item.id for item in items if item.label is None]
    some = ", ".join(without[:5]) + (", ..." if len(without) > 5 else "")
    return [f"{len(without)} without a label, so they are relevant to nothing: {some}"] if without else []
