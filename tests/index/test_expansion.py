"""Candidates as their neighbours show them, against plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtbh.index import expansion
from dtbh.index.memory import MemoryIndex
from tests.index.test_rescoring import CODES, QUERIES
from tests.reference import hamming
from tests.reference import rescoring as reference


@given(st.integers(0, 1 << 32), st.integers(1, 9), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_neighbours_are_those_of_loops(seed: int, count: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-3, 4, (count, dim)).astype(np.int8)
    likeness = rng.integers(-8, 9, count) / 8
    shown, alike = expansion.augmented(vectors, likeness)
    wanted = reference.augmented(list(zip(vectors.tolist(), likeness.tolist(), strict=True)))
    np.testing.assert_allclose(shown, [vector for vector, _ in wanted], atol=1)  # halves, by the last bit of a sum
    np.testing.assert_allclose(alike, [of_codes for _, of_codes in wanted], atol=1e-9)


@pytest.mark.parametrize("dim", [384, 1040, 1041, 4096])
def test_cosines_are_exact_whatever_the_dimension(dim: int) -> None:
    vectors = np.full((3, dim), 127, np.int8)
    vectors[1, ::2], vectors[2, 1] = -127, 126
    (whole,) = [[[sum(a * b for a, b in zip(x, y, strict=True)) for y in vectors.tolist()] for x in vectors.tolist()]]
    lengths = [whole[row][row] ** 0.5 for row in range(3)]
    for row in range(3):
        np.testing.assert_allclose(
            expansion._alike(vectors)[row], [whole[row][c] / (lengths[row] * lengths[c]) for c in range(3)], rtol=1e-14
        )


def test_those_beyond_the_first_stay_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expansion, "AMONG", 7)
    result = MemoryIndex(CODES).search(QUERIES, 30, find="any", rescore=30, expand=3)
    packed = [hamming.code_of_words(words) for words in CODES.words]
    stored = [reference.rounded(vector.tolist(), 127) for vector in CODES.vectors]
    for row in range(len(QUERIES)):
        near = hamming.within(hamming.code_of_words(QUERIES.words[row]), packed, None)[:30]
        candidates = [(distance, place, stored[place]) for distance, place in near]
        wanted = reference.expanded(QUERIES.vectors[row].tolist(), candidates, 30, 3, CODES.bits, most=7)
        assert result.rows[row].tolist() == [place for _, _, place in wanted]


def test_what_lies_in_a_heap_is_known_by_it() -> None:
    """Of two codes as far from the query one is of a heap of near ones, and one lies alone."""
    vectors = np.array([[100, row, 0] for row in range(5)] + [[0, 0, 100]], np.int8)
    shown, alike = expansion.augmented(vectors, np.array([1, 1, 1, 1, -0.5, -0.5]))
    assert alike[4] > 0.5
    assert alike[5] < -0.4
    assert shown[5].tolist().index(32767) == 2


def test_what_is_the_query_itself_comes_first() -> None:
    for row in range(len(CODES)):
        query = replace(CODES.select([row]), weights=None)
        rows = MemoryIndex(CODES).search(query, 60, find="any", rescore=60, expand=5).rows[0].tolist()
        alike = [other for other in range(len(CODES)) if (CODES.vectors[other] == CODES.vectors[row]).all()]
        if CODES.vectors[row].any():
            assert rows[0] in alike


def test_a_vector_of_zeros_stays_alone() -> None:
    vectors = np.array([[5, 1], [5, 2], [5, 3], [5, 4], [5, 5], [0, 0], [0, 0]], np.int8)
    likeness = np.array([1, 1, 1, 1, 1, -0.5, 0.25])
    shown, alike = expansion.augmented(vectors, likeness)
    assert not shown[5:].any()
    assert alike[5:].tolist() == [-0.5, 0.25]
    np.testing.assert_allclose(alike[:5], 1)
