"""How far a hit can be believed: the probability that it is right, by its distance.

A run keeps a table of each direction, found on its validation split (`dtbh.training.confidence`). Words are believed
less the less familiar they are: the nearest caption's meaning may be far from theirs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dtbh.errors import RunError
from dtbh.models.run_files import CONFIDENCE
from dtbh.utils.files import parse_json, write_text

VERSION = 1

Strength = Literal["strong", "weak", "nothing close"]
STRONG, WEAK = 0.6, 0.25
"""From which probability of the likeliest hit on an answer is strong, or weak."""

TRUST = {"minilm_l6": (0.426, 13.8), "multilingual_e5_small": (0.853, 75.0)}
"""Of each text backbone: the familiarity that halves a probability, and how steeply.

Fitted on the validation halves of ``own_words.tsv``, ``unanswerable.tsv`` and ``languages.tsv`` in examples/, UCM, 64
bits: see docs/any-words.md.
"""

WORDLESS = 0.5
"""Of a probability is left where a model that listens for words heard none: maybe nobody speaks. Our choice."""


@dataclass(frozen=True, eq=False)
class Confidence:
    """The share of right items among validation's, by direction and distance.

    Attributes:
        right: By direction as in ``"sound->image"``: float64 [bits + 1], falling with the distance.
    """

    right: Mapping[str, NDArray[np.float64]]

    def probability(self, query: str, gallery: str, distance: int) -> float | None:
        """That an item of modality ``gallery`` at this distance is right; None for a direction without a table."""
        table = self.right.get(f"{query}->{gallery}")
        return None if table is None else float(table[min(distance, len(table) - 1)])

    def write(self, folder: Path) -> None:
        """Keep it in a run's folder."""
        right = {way: table.round(4).tolist() for way, table in self.right.items()}
        write_text(folder / CONFIDENCE, json.dumps({"version": VERSION, "right": right}) + "\n")


def read_confidence(folder: Path) -> Confidence | None:
    """What a run, or an exported model, keeps; None for one that was made before there was such a thing.

    Raises:
        RunError: A damaged file, or one of another version.
    """
    path = folder / CONFIDENCE
    if not path.is_file():
        return None
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
        if found["version"] != VERSION:
            raise RunError(f"{path}: version {found['version']}, this dtbh reads {VERSION}; train again")
        right = {str(way): np.array(table, dtype=np.float64) for way, table in found["right"].items()}
        if not all(table.ndim == 1 and len(table) for table in right.values()):
            raise ValueError("wanted a probability a distance")
        return Confidence(right)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise RunError(f"{path}: damaged; train again, or delete it to search without probabilities") from None


def trust(familiarity: float, backbone: str) -> float:
    """The share of a probability that is left for words of this familiarity, 0 to 1.

    Args:
        familiarity: The largest cosine of their vector to the centres of what training captions mean, -1 to 1.
        backbone: What gave the vector, of `TRUST`.
    """
    middle, slope = TRUST[backbone]
    return 1 / (1 + math.exp(-slope * (familiarity - middle)))


def likeliest(probabilities: Iterable[float | None]) -> float | None:
    """The highest that is known: of the nearest hit, wherever rescoring has put it."""
    return max((known for known in probabilities if known is not None), default=None)


def strength(probability: float | None) -> Strength | None:
    """An answer in a word, by the probability of its likeliest hit; None where none is known."""
    if probability is None:
        return None
    return "strong" if probability >= STRONG else "weak" if probability >= WEAK else "nothing close"
