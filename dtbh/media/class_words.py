"""The name of a class as one says it: "baseball field" of ``baseball_field``, ``BaseballField``, ``baseballfield``.

What is written in one word is split into as few known words as it can be, unless it is a word itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from dtbh.media.word_list import land_use_words

SHORTEST = 3
"""Letters of a part of a word that is written in one."""


def class_words(name: str, ranks: Mapping[str, int]) -> str:
    """A class's name in words, in lower case.

    Args:
        name: Of the class, or several joined by ``;``, which are joined by "and" then.
        ranks: The words that are known, with lower numbers for the more frequent.
    """
    names = [_words(part, ranks) for part in name.split(";")]
    return " and ".join(part for part in names if part)


def _words(name: str, ranks: Mapping[str, int]) -> str:
    """One name in words; without its numbers, unless it has nothing else."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    found = re.findall(r"[^\W\d_]+", apart) or re.findall(r"[^\W_]+", apart)
    return " ".join(_split(word.casefold(), ranks) for word in found)


def _split(word: str, ranks: Mapping[str, int]) -> str:
    """A word, or the words that it is made of."""
    if word in ranks or word in _known():
        return _known().get(word, word)
    best: list[tuple[int, int, str] | None] = [(0, 0, "")] + [None] * len(word)  # parts, how rare, and they
    for end in range(SHORTEST, len(word) + 1):
        for start in range(end - SHORTEST + 1):
            before, part = best[start], word[start:end]
            if before is not None and part in ranks:
                here = (before[0] + 1, before[1] + ranks[part], f"{before[2]} {part}".strip())
                best[end] = min(here, best[end] or here)
    whole = best[-1]
    return word if whole is None else whole[2]


@lru_cache(maxsize=1)
def _known() -> dict[str, str]:
    """Words of land use as one says them, by what they are in one word."""
    return {word.replace(" ", "").casefold(): word for word in land_use_words()}
