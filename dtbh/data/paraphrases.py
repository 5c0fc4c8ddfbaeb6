"""Other ways to say what captions say, as people ask who search: for training alone.

What is drawn depends on the seed and the ids alone.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from dtbh.data.manifest import Item, Manifest
from dtbh.data.transcripts import said
from dtbh.errors import ConfigError

FIELD = "paraphrase_of"
"""The further field of an item that is one; it names the item whose caption it says in other words."""
OPENINGS = ("there is", "there are", "this is", "these are", "it is", "here is", "here are", "we can see")
FRAMES = ("{}", "{}", "there is {}", "this is {}", "we can see {}", "show me {}", "find {}", "a picture of {}")
DROPPED = 0.25  # of the words that are not the telling one, on average
SPAN = (2, 5)  # words of a caption that are left where only its core is said


def original(item: Item) -> str | None:
    """The id of the item whose caption this one paraphrases; None for any other item."""
    return item.fields.get(FIELD)


def originals(manifest: Manifest) -> Manifest:
    """The manifest without its paraphrases."""
    return manifest.replaced(item for item in manifest if original(item) is None)


def paraphrased(manifest: Manifest, each: int, *, seed: int = 0) -> Manifest:
    """The manifest with ``each`` paraphrases of every caption, in the place of those it has.

    Every other one, from the first, has words left out; the rest are a span of the caption around its most telling
    word, the one that most belongs to the class (where there are none, to the pair), by counts over all captions, which
    is the one thing they have of captions that are held out. Both lose an opening such as *there are* and get another,
    or none.

    Args:
        manifest: Sounds without a transcript have no paraphrases.
        each: 0 or more. Those that come out as the caption itself, or twice, are left out.
        seed: 0 or more.

    Returns:
        Items without a path, for ``dtbh.stages.speak.speak``; label, pair and split are those of the original.

    Raises:
        ConfigError: ``each`` or ``seed`` is below 0.
    """
    if each < 0 or seed < 0:
        raise ConfigError(f"paraphrases: 0 or more and a seed of 0 or more are wanted, found {each} and {seed}")
    kept = originals(manifest)
    if each == 0:
        return kept
    telling = _Telling(kept.sounds)
    added = []
    for item in kept.sounds:
        known, words = {said(item)}, _without_opening(said(item) or "")
        if not words:
            continue
        core = telling.place(item, words)
        for number in range(each):
            text = _paraphrase(item.id, words, core, number, seed)
            if text not in known:
                known.add(text)
                added.append(
                    replace(
                        item,
                        id=f"{item.id}~{number + 1}",
                        path=None,
                        speaker=None,
                        transcript=text,
                        fields={**item.fields, FIELD: item.id},
                    )
                )
    return kept.replaced((*kept, *added))


class _Telling:
    """Which word of a caption belongs most to its class: often said there, and seldom elsewhere."""

    def __init__(self, sounds: Iterable[Item]) -> None:
        self._everywhere: Counter[str] = Counter()
        self._within: dict[str, Counter[str]] = {}
        self._captions: Counter[str] = Counter()
        for item in sounds:
            words = set((said(item) or "").split())
            self._everywhere.update(words)
            self._within.setdefault(_group(item), Counter()).update(words)
            self._captions[_group(item)] += 1

    def place(self, item: Item, words: list[str]) -> int:
        """Where in ``words`` the most telling one stands."""
        within, captions = self._within[_group(item)], self._captions[_group(item)]
        shares = [within[w] ** 2 / (self._everywhere[w] * captions) for w in words]
        return int(np.argmax(shares))


def _group(item: Item) -> str:
    """What an item's words may tell: its class, else its pair."""
    return f"class {item.label}" if item.label is not None else f"pair {item.pair or item.id}"


def _paraphrase(name: str, words: list[str], core: int, number: int, seed: int) -> str:
    """One of the paraphrases of the words that an item of this name says; the word at ``core`` stays."""
    digest = hashlib.sha256(f"{seed} {name} {number}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
    if number % 2 == 0:
        kept = [w for i, w in enumerate(words) if i == core or rng.random() >= DROPPED]
    else:
        length = min(int(rng.integers(SPAN[0], SPAN[1] + 1)), len(words))
        first = int(rng.integers(max(0, core - length + 1), min(core, len(words) - length) + 1))
        kept = words[first : first + length]
    return FRAMES[int(rng.integers(len(FRAMES)))].format(" ".join(kept))


def _without_opening(text: str) -> list[str]:
    """The words of a caption that has no opening, or has it no more."""
    for opening in OPENINGS:
        if f"{text} ".startswith(f"{opening} "):
            return text.removeprefix(opening).split()
    return text.split()
