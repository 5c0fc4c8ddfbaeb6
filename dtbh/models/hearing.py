"""How far the words of a sound, what it means as a whole and its own network lead its code."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from dtbh.media.transcriber import Heard
from dtbh.utils.vectors import unit

CLEAR, SHARED = 0.94, 0.5
"""A sound that its own tower places this surely (mean size of its hash-like codes) leaves its words so much at most.

Chosen on validation: the tower is sure of what training said, whoever says it, and unsure of anything else.
"""

FAMILIAR = 1.0
"""Weight of how familiar words are, -1 to 1, beside their mean log-likelihood, where a sound can be understood in more
ways than one. Chosen on validation (docs/ready.md)."""

UNLIKELY, KNOWN = -0.6, 0.6
"""What a sound means as a whole has half of its sentence where its words have this mean log-likelihood, more where they
are less likely; and half of that where the whole is this familiar, less where it is less. Chosen on validation
(docs/hearing.md)."""
_STEEP, _STEEPER = 4.0, 12.0


def word_shares(
    heard: Sequence[Heard], own: NDArray[np.float32], familiarity: Sequence[float]
) -> tuple[NDArray[np.float32], list[float]]:
    """How far words lead sounds.

    Args:
        heard: What each sound says.
        own: What the sound tower alone says of each: hash-like codes, float32 [n, bits].
        familiarity: Of each one's words.

    Returns:
        The words' shares in the codes, float32 [n, 1], and how familiar words and sound are together.
    """
    clear = (np.abs(own).mean(axis=1) > CLEAR).tolist()
    shares = [min(said.share, SHARED) if known else said.share for said, known in zip(heard, clear, strict=True)]
    together = [1.0 if known else near for known, near in zip(clear, familiarity, strict=True)]
    return np.array(shares, dtype=np.float32)[:, None], together


def understood(
    heard: Sequence[Heard | None], familiarity: Callable[[Sequence[str]], Sequence[float | None]]
) -> list[Heard | None]:
    """Of the ways to understand each sound the one that is likely and familiar together.

    Args:
        heard: What each sound says, with what else it may say.
        familiarity: Gives the familiarity of texts, as `CodeBatch` says.
    """
    texts = list(dict.fromkeys(way.text for said in heard if said is not None for way in said.ways))
    near = dict(zip(texts, familiarity(texts), strict=True)) if texts else {}

    def best(said: Heard) -> Heard:
        text, sure, likelihood = max(said.ways, key=lambda way: way.likelihood + FAMILIAR * (near[way.text] or 0.0))
        return Heard(text, sure, (), likelihood, said.meaning)

    return [best(said) if said is not None and said.ways else said for said in heard]


def meanings(heard: Sequence[Heard]) -> NDArray[np.float32]:
    """What sounds mean as a whole, float32 [n, 384]."""
    return np.stack([said.meaning for said in heard if said.meaning is not None])


def as_meant(
    heard: Sequence[Heard], vectors: NDArray[np.float32], familiarity: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The sentences of sounds: those of their words, brought towards what they mean as a whole.

    Args:
        heard: What each says, with its meaning.
        vectors: What the sentence encoder gives of the words, float32 [n, 384].
        familiarity: Of the meanings, float32 [n].

    Returns:
        Vectors of length one, float32 [n, 384].
    """
    likelihood = np.array([said.likelihood for said in heard], dtype=np.float32)
    share = _rising(_STEEP * (UNLIKELY - likelihood)) * _rising(_STEEPER * (familiarity - KNOWN))
    words = unit(vectors)
    return np.asarray(unit(words + share[:, None] * (meanings(heard) - words)), dtype=np.float32)


def _rising(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The logistic curve."""
    return np.asarray(1 / (1 + np.exp(-x)), dtype=np.float32)
