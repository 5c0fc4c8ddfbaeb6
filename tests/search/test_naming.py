"""Nearest words: as in loops, and the same whatever else is named at the same time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtbh.codes import HashCodes, whole_numbers
from dtbh.data.manifest import Item
from dtbh.errors import ConfigError
from dtbh.search import naming
from dtbh.search.naming import BY_CODES, BY_VECTORS, PlacedWords, nearest_words
from tests.reference import naming as loops
from tests.reference.hamming import code_of_words
from tests.reference.rescoring import cosine


def drawn(n, w, seed, *, bits=20, dim=6):
    """Items and words, some of which lie where others do."""
    rng = np.random.default_rng(seed)
    items = [Item(f"i{row}", "image") for row in range(n)]
    values, directions = rng.normal(size=(w, bits)), rng.normal(size=(w, dim))
    values[w // 2 :] = values[: w - w // 2]
    codes = HashCodes.from_values(rng.normal(size=(n, bits)), encoder="e", items=items)
    codes = replace(codes, vectors=whole_numbers(rng.normal(size=(n, dim)), np.int16))
    words = HashCodes.from_values(values, encoder="e", items=[Item(f"w{row}", "text") for row in range(w)])
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    names = tuple(f"w{row}" for row in range(w))
    return codes, PlacedWords(names, words.words, unit.astype(np.float32), bits, "e")


@given(st.integers(1, 12), st.integers(1, 9), st.integers(0, 99), st.integers(1, 12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_as_loops(n, w, seed, top, vectors):
    codes, words = drawn(n, w, seed)
    words = words if vectors else replace(words, vectors=None)
    found = nearest_words(codes, words, top)
    assert found.places.shape == found.probabilities.shape == (n, min(top, w))
    for row in range(n):
        asked, own = code_of_words(codes.words[row]), codes.vectors[row].tolist()
        by_codes = [loops.cosine_of_codes(asked, code_of_words(code), words.bits) for code in words.codes]
        likely = loops.probabilities(by_codes, BY_CODES)
        if vectors:
            by_vectors = [cosine(own, (vector * 1e6).round().tolist()) for vector in words.vectors.astype(float)]
            likely = loops.together(likely, loops.probabilities(by_vectors, BY_VECTORS))
        order = loops.ranked([round(value, 5) for value in likely])[:top]
        np.testing.assert_allclose(found.probabilities[row], [likely[place] for place in order], atol=1e-4)
        if not vectors:
            assert found.places[row].tolist() == order


def test_blocks_change_nothing(monkeypatch):
    codes, words = drawn(50, 7, 1)
    whole = nearest_words(codes, words, 3)
    monkeypatch.setattr(naming, "CELLS", 10)
    parts = nearest_words(codes, words, 3)
    assert (whole.places == parts.places).all()
    np.testing.assert_allclose(whole.probabilities, parts.probabilities, rtol=1e-4)


def test_words_alike_keep_the_order_of_the_list():
    codes, words = drawn(30, 6, 2)
    found = nearest_words(codes, replace(words, vectors=None), 6).places
    for first, twin in ((0, 3), (1, 4), (2, 5)):
        assert (np.argwhere(found == first)[:, 1] < np.argwhere(found == twin)[:, 1]).all()


def test_a_stamp_tells_lists_models_and_numbers_of_words_apart():
    _, words = drawn(1, 4, 0)
    others = [words.stamp(2), replace(words, names=words.names[::-1]).stamp(3), replace(words, encoder="f").stamp(3)]
    stamps = {words.stamp(3), *others, replace(words, vectors=None).stamp(3)}
    assert len(stamps) == 5
    assert all(stamp.startswith("4 words ") for stamp in stamps)


def test_no_word_wanted():
    codes, words = drawn(1, 4, 0)
    with pytest.raises(ConfigError, match="from 1, found 0"):
        nearest_words(codes, words, 0)
