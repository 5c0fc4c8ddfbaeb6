"""The image head and the text head in closed form, in the space of a frozen sentence encoder.

Images are brought to what their captions mean (a linear map), both modalities lean on the same concepts, and the bits
are those of iterative quantisation (Gong and Lazebnik, CVPR 2011) of the images' places. Classes are never looked at.
What each step brings is measured in docs/any-words.md.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from torch import Tensor

from dtbh.encoders.concept_head import ConceptHead
from dtbh.errors import ConfigError, DataError
from dtbh.training.shallow import principal_axes, quantizing_rotation, ridged

SENTENCE_SPACE = "sentence_space"
"""Its name in ``learning.fit``."""

TOWARDS = 0.5
"""How far an image's target lies from what its captions mean to their concept, 0 to 1."""

Floats = NDArray[np.float64]


def fit_sentence_space(
    image: ConceptHead, text: ConceptHead, vectors: Tensor, owners: NDArray[np.int64], texts: Tensor,
    said_of: NDArray[np.int64], *, seed: int,
) -> None:  # fmt: skip
    """Set the weights of both heads.

    Args:
        image: The images' head.
        text: The texts' head.
        vectors: What the image backbone gives of each view of each image, float [n, d].
        owners: The number of each one's pair, int64 [n].
        texts: What the sentence encoder gives of each caption, float [m, 384].
        said_of: The number of each one's pair, int64 [m].
        seed: Of the concepts and the rotation.

    Raises:
        ConfigError: More bits or concepts than the data can tell apart.
        DataError: No image has a caption.
    """
    rng = np.random.default_rng(seed)
    meant = _mean_by(texts.double().numpy(), said_of)
    rows = np.array([row for row, owner in enumerate(owners.tolist()) if owner in meant], dtype=np.int64)
    if not len(rows):
        raise DataError("learning.fit: sentence_space needs captions of the images; give sounds with transcripts")
    seen = vectors.double().numpy()[rows]
    wanted = np.stack([meant[owner] for owner in owners[rows].tolist()])
    middle = wanted.mean(axis=0)
    wanted = wanted - middle
    concepts, nearest = _concepts(wanted, len(image.concepts), rng)
    weight, bias = _linear(seen, (1 - TOWARDS) * wanted + TOWARDS * concepts[nearest])
    unit = concepts / np.linalg.norm(concepts, axis=1, keepdims=True).clip(1e-12)
    _set(image.sentence.weight, weight)
    _set(image.sentence.bias, bias)
    _set(text.sentence.weight, np.eye(text.sentence.in_features))
    _set(text.sentence.bias, -middle)
    for head in (image, text):
        _set(head.concepts, unit)
    with torch.inference_mode():
        places = image.moved(F.normalize(image.sentence(torch.from_numpy(seen).float()))).double().numpy()
    layer = image.hash[0]
    assert isinstance(layer, torch.nn.Linear)
    axes = principal_axes(places, layer.out_features)
    centred = (places - places.mean(axis=0)) @ axes.T
    turned = quantizing_rotation(centred, rng) @ axes / centred.std()
    for head in (image, text):
        own = head.hash[0]
        assert isinstance(own, torch.nn.Linear)
        _set(own.weight, turned)
        _set(own.bias, -turned @ places.mean(axis=0))


def _mean_by(texts: Floats, said_of: NDArray[np.int64]) -> dict[int, Floats]:
    """The mean vector of each pair's captions."""
    return {int(pair): texts[said_of == pair].mean(axis=0) for pair in np.unique(said_of)}


def _concepts(wanted: Floats, count: int, rng: np.random.Generator) -> tuple[Floats, NDArray[np.int64]]:
    """Centres of what the captions mean, [count, 384], and the number of each one's centre."""
    distinct = len(np.unique(wanted.round(6), axis=0))
    if count > distinct:
        raise ConfigError(
            f"encoders.concepts.count: {count} concepts of {distinct} images with different captions; set it to "
            f"{max(1, distinct // 4)} or fewer"
        )
    for _ in range(10):  # until no centre is empty
        centres, nearest = kmeans2(wanted, count, minit="++", rng=rng, missing="warn")
        if len(np.unique(nearest)) == count:
            break
    return np.asarray(centres), np.asarray(nearest, dtype=np.int64)


def _linear(seen: Floats, wanted: Floats) -> tuple[Floats, Floats]:
    """Ridge regression: weight [384, d] and bias [384]."""
    centred = seen - seen.mean(axis=0)
    weight = np.linalg.solve(ridged(centred), centred.T @ (wanted - wanted.mean(axis=0)) / len(seen)).T
    return weight, wanted.mean(axis=0) - weight @ seen.mean(axis=0)


def _set(parameter: Tensor, values: Floats) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values))
