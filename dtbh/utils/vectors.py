"""Vectors as directions."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Float = TypeVar("Float", np.float32, np.float64)
SHORTEST = 1e-12
"""Vectors are divided by no less, as by torch.nn.functional.normalize."""


def unit(vectors: NDArray[Float]) -> NDArray[Float]:
    """Each brought to length one; one of zeros stays so, and one that is shorter than `SHORTEST` stays short.

    Args:
        vectors: float32 or float64 [n, d].

    Returns:
        Of the same type, [n, d].
    """
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(SHORTEST), dtype=vectors.dtype)
