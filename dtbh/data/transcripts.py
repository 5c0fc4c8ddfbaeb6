"""The words of a transcript, as they are compared: case, punctuation and spacing aside."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache

from dtbh.data.manifest import Item


def said(item: Item) -> str | None:
    """A sound's transcript with case, punctuation and spacing folded; None where there are no words."""
    return (_folded(item.transcript) or None) if item.transcript is not None else None


def as_texts(items: Iterable[Item]) -> list[Item]:
    """The transcripts of sounds as texts: one for each different one of a pair, its id a sound's and ``.txt``."""
    told = {(item.pair, item.transcript): item for item in items if item.modality == "sound" and said(item)}
    return [replace(item, id=f"{item.id}.txt", modality="text", path=None) for item in told.values()]


@lru_cache(maxsize=1 << 17)
def _folded(text: str) -> str:
    kept = (c if unicodedata.category(c)[0] in "LMN" else " " for c in unicodedata.normalize("NFKC", text).casefold())
    return " ".join("".join(kept).split())
