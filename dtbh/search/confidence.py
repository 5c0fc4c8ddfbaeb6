"""How far the hits of a query can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dtbh.data.manifest import Modality
from dtbh.models.confidence import WORDLESS, Confidence, trust
from dtbh.models.encoder import Encoder, Encoding


class Belief(NamedTuple):
    """What a query's hits are believed by.

    Attributes:
        modality: Whose table of distances counts; of a sound in which words were heard, that of texts.
        share: What is left of the table's probabilities, 0 to 1.
    """

    modality: Modality
    share: float = 1.0


def belief(model: Encoder, asked: Encoding) -> Belief:
    """What one query is believed by.

    Words, typed or heard, are believed less the less familiar they are; a sound in which a model that listens for
    words heard none, by half.

    Args:
        model: What encoded the query.
        asked: The query alone.
    """
    (item,) = asked.codes.items
    senses, familiarity = model.senses, asked.familiarity.get(item.id)
    if familiarity is not None and senses.sentences is not None:
        return Belief("text", round(trust(familiarity, senses.sentences), 4))
    return Belief(item.modality, WORDLESS if senses.listens and item.modality == "sound" else 1.0)


def hit_probabilities(
    confidence: Confidence | None, by: Belief, hits: Sequence[tuple[Modality, int]]
) -> list[float | None]:
    """The probability that each hit is right.

    Args:
        confidence: The model's tables.
        by: What the query is believed by.
        hits: Modality and distance of each.

    Returns:
        One each, 0 to 1; None where no table says.
    """
    if confidence is None:
        return [None] * len(hits)
    found = [confidence.probability(by.modality, modality, distance) for modality, distance in hits]
    return [None if right is None else round(by.share * right, 3) for right in found]
