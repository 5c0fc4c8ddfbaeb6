"""Rows brought to length one, against loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dtbh.utils.vectors import unit


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_each_has_length_one_and_zero_stays_zero(kind):
    vectors = np.random.default_rng(0).normal(size=(5, 3)).astype(kind)
    vectors[2], vectors[3] = 0, [3e-13, 0, 0]
    found = unit(vectors)
    assert found.dtype == kind
    lengths = [max(math.hypot(*row), 1e-12) for row in vectors.tolist()]
    expected = [[value / length for value in row] for row, length in zip(vectors.tolist(), lengths, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=10 * np.finfo(kind).eps)
