"""Items to the words that lie nearest to them: by their codes, and by their vectors too where an archive keeps them.

A word is placed among images by what the text tower makes of it in a few prompts. How much likelier one word is than
another is a softmax over the list, so a probability is one among the words of that list: where "harbor" and "marina"
both stand in it, they share. Prompts and temperatures were chosen on validation (docs/how-to/naming.md), and so was
that vectors and codes together, by the geometric mean of their probabilities, say more than either. Where there are
vectors, what lies in one heap has one name: the probabilities of an item's neighbours count too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dtbh.codes import HashCodes, pack, signs
from dtbh.errors import ConfigError, DtbhError
from dtbh.index.hamming.plain import distances
from dtbh.models.encoder import Encoder, text_item
from dtbh.utils.vectors import unit

PROMPTS = ("{}", "an aerial view of {}")
"""What the text tower reads of a word; what it makes of them is averaged."""

BY_VECTORS, BY_CODES = 0.05, 0.1
"""Temperatures of the softmax over cosines: of vectors, and of codes as +1 and -1."""

NEIGHBOURS, NEARNESS, AMONG = 10, 0.2, 4096
"""Items nearest by vector, itself one of them, whose probabilities are averaged, each with a weight that falls by a
factor of e for so much of a cosine; they are looked for among so many that come in a row. Chosen on validation
(docs/how-to/naming.md)."""

CELLS = 1 << 22  # likenesses that are worked on at once: 32 MB
BATCH = 256  # words that are encoded at once


@dataclass(frozen=True, eq=False)
class PlacedWords:
    """Words among the codes of one encoder.

    Attributes:
        names: The w words.
        codes: uint64 [w, words].
        vectors: Of length one, float32 [w, d]; None where items have codes alone.
        bits: Length of a code.
        encoder: Fingerprint of the encoder.
    """

    names: tuple[str, ...]
    codes: NDArray[np.uint64]
    vectors: NDArray[np.float32] | None
    bits: int
    encoder: str

    def stamp(self, top: int) -> str:
        """Tells a naming of items from any other, as in ``"287 words 3f2a9c01b2d4"``."""
        by = [
            PROMPTS,
            BY_CODES,
            None if self.vectors is None else [BY_VECTORS, NEIGHBOURS, NEARNESS, AMONG],
            self.encoder,
            top,
        ]
        digest = hashlib.sha256(json.dumps([self.names, by]).encode()).hexdigest()
        return f"{len(self.names)} words {digest[:12]}"


@dataclass(frozen=True, eq=False)
class Names:
    """The nearest words of n items, the likeliest first; of those that are as likely the first of the list.

    Attributes:
        places: Which of the words, int64 [n, top].
        probabilities: float64 [n, top], of a softmax over all words.
    """

    places: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def check_model(model: Encoder) -> None:
    """Raise `ConfigError` unless the model has a tower for texts."""
    if model.senses.sentences is None:
        raise ConfigError(
            f"{model.path}: has no tower for texts, so no word has a place among its codes; use an archive of a model "
            "that has one, such as configs/any-words/ucm.yaml"
        )


def place_words(
    model: Encoder, names: Sequence[str], *, vectors: bool, prompts: Sequence[str] = PROMPTS
) -> PlacedWords:
    """Encode words.

    Args:
        model: With a text tower.
        names: From one word on, all different.
        vectors: Whether they are compared with items that have vectors.
        prompts: Texts with ``{}`` for the word.

    Raises:
        ConfigError: No tower for texts.
        DtbhError: No words, or one that says nothing to the text tower.
    """
    check_model(model)
    if not names:
        raise DtbhError("no words to name by: give at least one")
    codes, directions = list[NDArray[np.uint64]](), list[NDArray[np.float64]]()
    for start in range(0, len(names), BATCH):
        part = names[start : start + BATCH]
        asked = [[text_item(prompt.format(name)) for name in part] for prompt in prompts]
        found = [model.encode(items, values=True, vectors=vectors) for items in asked]
        codes.append(pack(signs(np.stack([np.asarray(one.values, np.float64) for one in found]).mean(axis=0))))
        if vectors:
            directions.append(np.stack([unit(np.asarray(one.codes.vectors, np.float64)) for one in found]).mean(axis=0))
    placed = unit(np.concatenate(directions)).astype(np.float32) if vectors else None
    return PlacedWords(tuple(names), np.concatenate(codes), placed, model.bits, model.fingerprint)


def nearest_words(codes: HashCodes, words: PlacedWords, top: int) -> Names:
    """The likeliest words of items; of those with vectors, of each and its nearest neighbours among these same items.

    Args:
        codes: Of the words' encoder; with vectors where the words have them.
        words: What they may be named.
        top: How many words each is to have, from 1; at most all are given.

    Raises:
        ConfigError: ``top`` below 1.
    """
    if top < 1:
        raise ConfigError(f"top, the number of words of an item, must be from 1, found {top}")
    top = min(top, len(words.names))
    places = np.empty((len(codes), top), np.int64)
    probabilities = np.empty((len(codes), top))
    for first in range(0, len(codes), AMONG):
        here = codes.select(range(first, min(first + AMONG, len(codes))))
        each = np.concatenate([softmax(logits(here, words, part)) for part in _blocks(len(here), len(words.names))])
        near, shares = _neighbours(here, words)
        for part in _blocks(len(here), len(words.names)):
            pairs = zip(near[part].T, shares[part].T, strict=True)
            likely = np.asarray(sum(share[:, None] * each[rows] for rows, share in pairs))
            # In steps of a billionth: what differs by rounding alone is in the order of the list, on any machine.
            order = np.argsort(-likely.round(9), axis=1, kind="stable")[:, :top]
            rows = slice(first + part.start, first + part.start + len(likely))
            places[rows], probabilities[rows] = order, np.take_along_axis(likely, order, axis=1)
    return Names(places, probabilities)


def _neighbours(codes: HashCodes, words: PlacedWords) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Of each item the rows of the nearest, itself one of them, and their shares of one, both [n, m].

    Without vectors each is alone.
    """
    if words.vectors is None:
        return np.arange(len(codes))[:, None], np.ones((len(codes), 1))
    own, most = _directions(codes, slice(None)), min(NEIGHBOURS, len(codes))
    near, weights = np.empty((len(codes), most), np.int64), np.empty((len(codes), most))
    for part in _blocks(len(codes), len(codes)):
        alike = own[part] @ own.T
        near[part] = np.sort(np.argpartition(-alike, most - 1, axis=1)[:, :most], axis=1)
        weights[part] = np.exp((np.take_along_axis(alike, near[part], axis=1) - 1) / NEARNESS)
    return near, weights / weights.sum(axis=1, keepdims=True)


def _directions(codes: HashCodes, part: slice) -> NDArray[np.float32]:
    """Vectors of length one, float32 [n, d]."""
    assert codes.vectors is not None
    return unit(codes.vectors[part].astype(np.float64)).astype(np.float32)


def logits(codes: HashCodes, words: PlacedWords, part: slice) -> NDArray[np.float64]:
    """What the softmax is taken of, float64 [n, w]: cosines to all words, each kind over its temperature."""
    apart = distances(codes.words[part], words.codes).astype(np.float64)
    by_codes = np.asarray((1 - 2 * apart / words.bits) / BY_CODES)
    if words.vectors is None:
        return by_codes
    by_vectors = (_directions(codes, part) @ words.vectors.T).astype(np.float64) / BY_VECTORS
    return np.asarray((by_vectors + by_codes) / 2)


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of each row, float64 [n, w]."""
    raised = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))


def _blocks(rows: int, width: int) -> Iterator[slice]:
    step = max(1, CELLS // width)
    return (slice(start, start + step) for start in range(0, rows, step))
