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
from dtbh.search.naming import BY_CODES, BY_VECTORS, NEARNESS, NEIGHBOURS, PlacedWords, nearest_words
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
    own_likely = []
    for row in range(n):
        asked, own = code_of_words(codes.words[row]), codes.vectors[row].tolist()
        by_codes = [loops.cosine_of_codes(asked, code_of_words(code), words.bits) for code in words.codes]
        likely = loops.probabilities(by_codes, BY_CODES)
        if vectors:
            by_vectors = [cosine(own, (vector * 1e6).round().tolist()) for vector in words.vectors.astype(float)]
            likely = loops.together(likely, loops.probabilities(by_vectors, BY_VECTORS))
        own_likely.append(likely)
    for row, likely in enumerate(own_likely):
        if vectors:
            alike = [cosine(codes.vectors[row].tolist(), other.tolist()) for other in codes.vectors]
            likely = loops.of_neighbours(own_likely, alike, NEIGHBOURS, NEARNESS)
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


def test_neighbours_are_those_of_a_row_of_items(monkeypatch):
    """A tile that words mistake is called as the tiles of its heap are; beyond so many items no neighbour is sought."""
    codes, words = drawn(6, 4, 3)
    words = replace(words, names=("harbor", "river"), codes=words.codes[:2], vectors=np.zeros((2, 6), np.float32))
    heap = np.array([[9, 1, 0, 0, 0, 0]] * 5 + [[0, 0, 0, 9, 1, 0]], np.int16)
    codes = replace(codes, vectors=heap, words=words.codes[[0, 0, 0, 0, 1, 1]])
    alone = nearest_words(codes, replace(words, vectors=None), 1).places[:, 0].tolist()
    assert alone == [0, 0, 0, 0, 1, 1]
    monkeypatch.setattr(naming, "NEIGHBOURS", 3)
    assert nearest_words(codes, words, 1).places[:, 0].tolist()[:5] == [0] * 5
    monkeypatch.setattr(naming, "AMONG", 1)
    assert nearest_words(codes, words, 1).places[:, 0].tolist() == alone


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
