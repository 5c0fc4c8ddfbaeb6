"""What exact search refuses."""

from __future__ import annotations

import numpy as np
import pytest

from dtbh.errors import CodesError, ConfigError
from dtbh.index.hamming import search


@pytest.mark.parametrize("name", ["queries", "gallery"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (np.zeros((2, 1), np.int64), "must be packed uint64 words, found int64"),
        (np.zeros((2, 1), bool), "must be packed uint64 words, found bool"),
        ([[1]], "must be packed uint64 words, found list"),
        (np.zeros(2, np.uint64), r"must be \[number, words\], found \[2\]"),
        (np.zeros((2, 0), np.uint64), r"must be \[number, words\], found \[2, 0\]"),
    ],
)
def test_refuses_other_arrays(name, words, message):
    good = np.zeros((2, 1), np.uint64)
    both = {"queries": good, "gallery": good, name: words}
    for call in (
        search.distances,
        lambda q, g: search.nearest(q, g, 1),
        lambda q, g: search.within(q, g, 1),
    ):
        with pytest.raises(CodesError, match=f"{name} {message}"):
            call(both["queries"], both["gallery"])


def test_refuses_other_numbers_of_words():
    with pytest.raises(CodesError, match="queries have 1 words a code, the gallery 2"):
        search.distances(np.zeros((1, 1), np.uint64), np.zeros((1, 2), np.uint64))


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "3"])
def test_refuses_k(wrong):
    words = np.zeros((1, 1), np.uint64)
    with pytest.raises(ConfigError, match=f"k, .* from 1, found {wrong!r}"):
        search.nearest(words, words, wrong)


@pytest.mark.parametrize("wrong", [-1, 1.5, False])
def test_refuses_a_radius(wrong):
    words = np.zeros((1, 1), np.uint64)
    with pytest.raises(ConfigError, match=f"radius must be a whole number from 0, found {wrong!r}"):
        search.within(words, words, wrong)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True])
def test_refuses_threads(wrong):
    words = np.zeros((1, 1), np.uint64)
    with pytest.raises(ConfigError, match=f"threads must be a whole number from 1, found {wrong!r}"):
        search.nearest(words, words, 1, threads=wrong)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.array([2, 1]), "rows must ascend, each once, from 0 to 4"),
        (np.array([1, 1]), "rows must ascend, each once, from 0 to 4"),
        (np.array([-1, 2]), "rows must ascend, each once, from 0 to 4"),
        (np.array([1, 5]), "rows must ascend, each once, from 0 to 4"),
        (np.array([0.0]), "row numbers or a bool mask"),
        (np.zeros((5, 1), np.bool_), "row numbers or a bool mask"),
        (np.ones(4, np.bool_), "a mask of 4 rows for 5 codes"),
    ],
)
def test_refuses_rows(rows, message):
    words = np.zeros((5, 1), np.uint64)
    with pytest.raises(CodesError, match=message):
        search.nearest(words, words, 1, rows=rows)
