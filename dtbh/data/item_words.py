"""The further fields in which ``dtbh label`` keeps an image's nearest words.

``word`` is the nearest, ``words`` the nearest with ``;`` between them, ``word_probabilities`` theirs in the same order,
and ``named_by`` says by which list and model. An item that has one of the first three without ``named_by`` has it from
somebody else, and keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dtbh.data.manifest import BETWEEN, Item

WORD, WORDS, PROBABILITIES, NAMED_BY = "word", "words", "word_probabilities", "named_by"
FIELDS = (WORD, WORDS, PROBABILITIES, NAMED_BY)


def word_fields(words: Sequence[str], probabilities: Sequence[float], stamp: str) -> dict[str, str]:
    """The fields of an item by its nearest words, from one on, the nearest first.

    Args:
        words: None of them with ``;`` in it.
        probabilities: Of each, 0 to 1; two digits are kept.
        stamp: By which list and model.
    """
    shares = BETWEEN.join(f"{probability:.2f}" for probability in probabilities)
    return {WORD: words[0], WORDS: BETWEEN.join(words), PROBABILITIES: shares, NAMED_BY: stamp}


def own_fields(item: Item) -> dict[str, str]:
    """The further fields of an item but those of its words."""
    return {name: value for name, value in item.fields.items() if NAMED_BY not in item.fields or name not in FIELDS}


def words_of(item: Item) -> Mapping[str, str]:
    """The fields of an item's words; none where it was not named."""
    return {name: item.fields[name] for name in FIELDS if name in item.fields} if NAMED_BY in item.fields else {}


def best(item: Item) -> float:
    """How likely an item's nearest word is, 0 to 1; 0 where that is not said."""
    try:
        return float(words_of(item).get(PROBABILITIES, "0").split(BETWEEN)[0])
    except ValueError:
        return 0.0
