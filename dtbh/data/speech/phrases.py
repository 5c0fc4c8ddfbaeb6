"""Texts to be spoken, from which a network learns what utterances mean: captions, parts of them, and any other words.

Other words come from WordNet (Princeton; Debian's ``wordnet-base``): so that what no caption says is told from what
captions say, not taken for it.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from dtbh.errors import DataError

WORDNET = Path("/usr/share/wordnet")
KINDS = {"06": 6.0, "17": 3.0, "15": 1.5, "20": 0.8, "05": 0.5, "27": 0.7, "18": 0.7, "14": 0.6}
"""How often nouns are taken, by the number of their lexicographer's file: artefacts, natural objects, places, plants,
animals, substances, people, groups. Often used ones are taken more often."""
SELDOM = 0.25  # of a noun that WordNet's texts never use
CAPTION, PART = 0.3, 0.2  # shares of whole captions and of parts; the rest are other words
WORDS = (2, 6)  # of a part
LOOKS = ("red", "blue", "green", "white", "black", "brown", "grey", "yellow", "orange", "small", "large", "big",
         "tall", "long", "wide", "narrow", "old", "new", "empty", "busy", "crowded", "round", "square", "curved",
         "straight", "dense", "sparse", "dry", "wet", "bare", "muddy", "sandy", "rocky", "leafy", "wooden",
         "concrete", "paved", "open", "shallow", "deep", "dark", "bright", "flat", "hilly", "steep", "quiet",
         "modern", "ruined", "rusty", "parked", "moored", "scattered", "neat", "winding", "elevated", "outdoor",
         "fenced", "industrial", "rural", "urban", "private", "public")  # fmt: skip
MANY = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "several", "many", "some", "a few",
        "lots of", "rows of", "a row of", "a pair of", "a cluster of", "dozens of")  # fmt: skip
BESIDE = ("near", "beside", "next to", "on", "in", "under", "behind", "in front of", "along", "around", "between",
          "by", "at", "with", "without", "and", "above", "over", "across", "surrounded by", "full of",
          "close to")  # fmt: skip
FRAMES = ("{}", "{}", "{}", "{}", "{}", "show me {}", "find {}", "where is {}", "I want {}", "a picture of {}",
          "a photo of {}", "there is {}", "this is {}", "somewhere with {}", "a place with {}", "we can see {}",
          "looking for {}")  # fmt: skip


def phrases(captions: Sequence[Sequence[str]], seed: int, wordnet: Path = WORDNET) -> Iterator[str]:
    """Texts without end, the same for the same arguments.

    Args:
        captions: Those of each data set, which are taken equally often.
        seed: 0 or more.
        wordnet: The folder of WordNet's ``data.noun`` and ``cntlist.rev``.

    Raises:
        DataError: No WordNet there.
    """
    nouns = _nouns(wordnet)
    names, weights = [*nouns], [*nouns.values()]
    chances = random.Random(seed)
    while True:
        drawn = chances.random()
        if drawn < CAPTION + PART:
            text = chances.choice(chances.choice(captions))
            yield text if drawn < CAPTION else _part(text, chances)
        else:
            yield _scene(names, weights, chances)


def _nouns(folder: Path) -> dict[str, float]:
    """The nouns of WordNet that are names of things, by how often they are taken."""
    try:
        counted = (folder / "cntlist.rev").read_text(encoding="ascii").splitlines()
        listed = (folder / "data.noun").read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise DataError(f"{folder}: no WordNet ({error.strerror}); apt-get install wordnet-base") from None
    used: Counter[tuple[str, str]] = Counter()
    for line in counted:
        key, _, count = line.split()
        word, _, sense = key.partition("%")
        if sense.startswith("1:"):  # a noun
            used[word, sense.split(":")[1]] += int(count)
    found: dict[str, float] = {}
    for line in listed:
        parts = line.split()
        if line.startswith(" ") or parts[1] not in KINDS:
            continue
        for word in parts[4 : 4 + 2 * int(parts[3], 16) : 2]:
            if re.fullmatch(r"[a-z]+([_-][a-z]+)?", word):
                uses = used[word, parts[1]]
                weight = KINDS[parts[1]] * ((1 + uses) ** 0.5 if uses else SELDOM)
                name = word.replace("_", " ")
                found[name] = max(weight, found.get(name, 0.0))
    return found


def _part(caption: str, chances: random.Random) -> str:
    """A few words of a caption in a row, as people ask."""
    words, count = caption.rstrip(" .").split(), chances.randint(*WORDS)
    if len(words) <= count:
        return caption
    first = chances.randint(0, len(words) - count)
    return chances.choice(FRAMES).format(" ".join(words[first : first + count]))


def _scene(names: Sequence[str], weights: Sequence[float], chances: random.Random) -> str:
    """One to three things, beside one another."""
    said, drawn = _thing(names, weights, chances), chances.random()
    for _ in range((drawn < 0.6) + (drawn < 0.12)):
        said += f" {chances.choice(BESIDE)} {_thing(names, weights, chances)}"
    return chances.choice(FRAMES).format(said)


def _thing(names: Sequence[str], weights: Sequence[float], chances: random.Random) -> str:
    (name,) = chances.choices(names, weights)
    drawn = chances.random()
    look = f"{chances.choice(LOOKS)} " if chances.random() < 0.35 else ""
    if drawn < 0.35:
        return f"{'an' if (look or name)[0] in 'aeiou' else 'a'} {look}{name}"
    if drawn < 0.6:
        return f"{chances.choice(MANY)} {look}{_plural(name)}"
    if drawn < 0.75:
        return f"the {look}{name}"
    return f"{look}{_plural(name) if drawn < 0.9 else name}"


def _plural(name: str) -> str:
    if name.endswith(("s", "x", "ch", "sh")):
        return f"{name}es"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}s"
