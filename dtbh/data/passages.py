"""Recordings to passages: which parts of a sound file are items, and which part of a query is heard.

An item is a passage; ``fields`` holds the recording's name, so that a search can be told to stay within one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dtbh.data.manifest import Item
from dtbh.media.sound import Passage
from dtbh.media.speech import best_passage, find_speech, passages


def sound_of(item: Item) -> Path | Passage:
    """What is read for a sound: its file, or a passage of it."""
    path = Path(str(item.path))
    return Passage(path, *item.window) if item.window is not None and len(item.window) == 2 else path


def cut_recording(path: Path, name: str, longest: float) -> list[Item]:
    """The passages of a recording in which something is said, as items; one that fits is an item as it is.

    Args:
        path: The recording; it is read through once, and never held as a whole.
        name: What its passages' ids begin with.
        longest: Seconds of a passage at most, above 0.

    Raises:
        MediaError: It can't be read.
    """
    speech = find_speech(path)
    if speech.seconds <= longest:
        return [Item(name, "sound", str(path.resolve()))]
    return [
        Item(f"{name}@{part.start:g}", "sound", str(path.resolve()), window=(part.start, part.seconds),
             fields={"recording": name})
        for part in passages(path, speech, longest)
    ]  # fmt: skip


def heard_part(item: Item, longest: float, *, within: float | None = None) -> tuple[Item, str]:
    """A sound as a query: the part of it that says most in so many seconds.

    Args:
        item: A sound with its file; one that is a passage already stays as it is.
        longest: Seconds that are heard, above 0.
        within: Longer recordings are refused, in seconds; None takes any.

    Returns:
        The item, with a window where a part was chosen, and what was left out, as in ``"5.0 to 8.2 s of 60.0 s
        used"``; empty where nothing was.

    Raises:
        MediaError: The file can't be read, or is longer.
    """
    path = Path(str(item.path))
    if item.window is not None:
        return item, ""
    speech = find_speech(path, within=within)
    part = best_passage(path, speech, longest)
    if part is not None:
        end = part.start + part.seconds
        return replace(item, window=(part.start, part.seconds)), _used(part.start, end, speech.seconds)
    return item, _used(0.0, longest, speech.seconds) if speech.seconds > longest else ""


def _used(start: float, end: float, seconds: float) -> str:
    return f"{start:.1f} to {end:.1f} s of {seconds:.1f} s used"
