"""Hash heads fitted in closed form to what frozen backbones say: the baselines without gradient descent.

A code is the sign of ``weight @ x + bias``. A new method is a function and a line in ``SHALLOW_METHODS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dtbh.config import hint
from dtbh.data.manifest import Modality
from dtbh.encoders.hash_head import HashHead
from dtbh.errors import ConfigError, DataError
from dtbh.training.losses.pairwise import class_centres

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
ROUNDS = 50  # of iterative quantisation, as Gong and Lazebnik have them
RIDGE = 0.1  # of the features' mean variance; on UCM, validation is the same from 0.1 to 10
CERTAIN = 1e3  # factor that makes a softmax choose one class


class Sample(NamedTuple):
    """What is fitted to, of one modality.

    Attributes:
        vectors: float64 [n, d].
        labels: int64 [n], class numbers.
        pairs: int64 [n], as in ``Outputs``.
    """

    vectors: Floats
    labels: Ints
    pairs: Ints


Samples = Mapping[Modality, Sample]
Layers = list[tuple[Floats, Floats]]
"""Weight [out, in] and bias [out] of each linear layer."""


def lsh(samples: Samples, *, bits: int, rng: np.random.Generator) -> dict[Modality, Layers]:
    """Locality-sensitive hashing: signs of random projections of the centred vectors (Charikar, STOC 2002)."""
    (modality, sample), *_ = _alone(samples, "lsh")
    return {modality: [_centred(rng.normal(size=(bits, sample.vectors.shape[1])), sample.vectors)]}


def pca_rotated(samples: Samples, *, bits: int, rng: np.random.Generator) -> dict[Modality, Layers]:
    """PCA with a random rotation (PCA-RR; Jégou et al., CVPR 2010), which spreads the variance over the bits."""
    (modality, sample), *_ = _alone(samples, "pca_rotated")
    return {modality: [_centred(_rotation(bits, rng) @ principal_axes(sample.vectors, bits), sample.vectors)]}


def itq(samples: Samples, *, bits: int, rng: np.random.Generator) -> dict[Modality, Layers]:
    """PCA with the rotation that brings the projections nearest to their signs (ITQ; Gong and Lazebnik, CVPR 2011)."""
    (modality, sample), *_ = _alone(samples, "itq")
    axes = principal_axes(sample.vectors, bits)
    turned = quantizing_rotation((sample.vectors - sample.vectors.mean(axis=0)) @ axes.T, rng)
    return {modality: [_centred(turned @ axes, sample.vectors)]}


def cca_itq(samples: Samples, *, bits: int, rng: np.random.Generator) -> dict[Modality, Layers]:
    """Canonical correlation of two modalities over their pairs, then one ITQ rotation for both.

    Gong and Lazebnik (CVPR 2011) have the labels as the second view and scale each direction by its correlation;
    here the views are images and sounds. The covariances are ridged by a share of their mean variance.
    """
    if len(samples) != 2:
        raise ConfigError("learning.fit: cca_itq needs two modalities; give both encoders.image and encoders.sound")
    (first, a), (second, b) = samples.items()
    rows = {int(pair): row for row, pair in enumerate(a.pairs)}
    both = [(rows[int(pair)], row) for row, pair in enumerate(b.pairs) if int(pair) in rows]
    if len(both) <= bits:
        raise DataError(f"cca_itq: {len(both)} pairs of {first}s and {second}s for {bits} bits; more pairs are needed")
    x, y = (s.vectors[[pair[side] for pair in both]] for side, s in enumerate((a, b)))
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    root_x, root_y = _inverse_root(x), _inverse_root(y)
    if bits > min(x.shape[1], y.shape[1]):
        raise ConfigError(f"learning.fit: cca_itq gives at most {min(x.shape[1], y.shape[1])} bits here, found {bits}")
    u, correlations, v = np.linalg.svd(root_x @ (x.T @ y / len(x)) @ root_y, full_matrices=False)
    scale = correlations[:bits, None]
    of_x, of_y = scale * (root_x @ u[:, :bits]).T, scale * (root_y @ v[:bits].T).T
    turned = quantizing_rotation(np.concatenate([x @ of_x.T, y @ of_y.T]), rng)
    return {first: [_centred(turned @ of_x, a.vectors)], second: [_centred(turned @ of_y, b.vectors)]}


def class_codes(samples: Samples, *, bits: int, rng: np.random.Generator) -> dict[Modality, Layers]:
    """Classify, then give the code of the class: what mAP over classes rewards although nothing is ordered within.

    A linear classifier (least squares on one-hot labels, ridged), then the centres of ``class_centres``. The head's
    deep features are one value a class behind a softmax, so ``feature_dim`` must be the number of classes.
    """
    classes = 1 + max(int(sample.labels.max()) for sample in samples.values())
    found: dict[Modality, Layers] = {}
    for modality, (x, labels, _) in samples.items():
        centred, wanted = x - x.mean(axis=0), np.eye(classes)[labels]
        weight = np.linalg.solve(ridged(centred), centred.T @ (wanted - wanted.mean(axis=0)) / len(x)).T
        bias = wanted.mean(axis=0) - weight @ x.mean(axis=0)
        codes = class_centres(classes, bits).numpy().astype(np.float64)
        found[modality] = [(CERTAIN * weight, CERTAIN * bias), (codes.T, np.zeros(bits))]
    return found


SHALLOW_METHODS: dict[str, Callable[..., dict[Modality, Layers]]] = {
    "lsh": lsh,
    "pca_rotated": pca_rotated,
    "itq": itq,
    "cca_itq": cca_itq,
    "class_codes": class_codes,
}


def fitted(name: str, samples: Samples, *, bits: int, seed: int) -> dict[Modality, Layers]:
    """The layers that a method of ``SHALLOW_METHODS`` finds.

    Raises:
        ConfigError: No such method (the nearest is named), or not for these modalities or so many bits.
        DataError: Too few items or pairs.
    """
    if name not in SHALLOW_METHODS:
        raise ConfigError(f"learning.fit: no method {name!r}; {hint(name, list(SHALLOW_METHODS))}")
    return SHALLOW_METHODS[name](samples, bits=bits, rng=np.random.default_rng(seed))


def set_layers(head: HashHead, layers: Layers, name: str) -> None:
    """Give a head's linear layers these weights.

    Raises:
        ConfigError: The head has other layers.
    """
    own = [layer for layer in head.modules() if isinstance(layer, nn.Linear)]
    found = [tuple(layer.weight.shape) for layer in own]
    wanted = [weight.shape for weight, _ in layers]
    if found != wanted:
        raise ConfigError(
            f"learning.fit: {name} gives layers of {_shapes(wanted)}, the head has {_shapes(found)}; set "
            "encoders.hidden and encoders.feature_dim so (feature_dim 0: the backbone's output)"
        )
    with torch.no_grad():
        for layer, (weight, bias) in zip(own, layers, strict=True):
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))


def quantizing_rotation(projected: Floats, rng: np.random.Generator) -> Floats:
    """The rotation [bits, bits] of ITQ, from a random one: signs and orthogonal Procrustes in turns.

    Args:
        projected: Centred projections, [n, bits].
        rng: For the start.

    Returns:
        R such that ``projected @ R.T`` lies near its signs.
    """
    rotation = _rotation(projected.shape[1], rng)
    for _ in range(ROUNDS):
        signs = np.where(projected @ rotation.T >= 0, 1.0, -1.0)
        u, _, v = np.linalg.svd(signs.T @ projected)
        rotation = u @ v
    return rotation


def _alone(samples: Samples, name: str) -> list[tuple[Modality, Sample]]:
    if len(samples) != 1:
        raise ConfigError(
            f"learning.fit: {name} takes one modality, which has no codes in common with another; set the other "
            "tower to null, as in encoders.sound=null"
        )
    return list(samples.items())


def _centred(weight: Floats, vectors: Floats) -> tuple[Floats, Floats]:
    return weight, -weight @ vectors.mean(axis=0)


def principal_axes(vectors: Floats, bits: int) -> Floats:
    """The axes of greatest variance, [bits, d]."""
    if bits > min(vectors.shape):
        raise ConfigError(f"learning.fit: at most {min(vectors.shape)} bits can be had here, found {bits}")
    return np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)[2][:bits]


def _rotation(bits: int, rng: np.random.Generator) -> Floats:
    q, r = np.linalg.qr(rng.normal(size=(bits, bits)))
    return np.asarray(q * np.sign(np.diag(r)))


def ridged(centred: Floats) -> Floats:
    """The covariance of centred vectors with a share of its mean variance on the diagonal."""
    covariance = centred.T @ centred / len(centred)
    return np.asarray(covariance + RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance)))


def _inverse_root(centred: Floats) -> Floats:
    values, axes = np.linalg.eigh(ridged(centred))
    return np.asarray(axes / np.sqrt(values) @ axes.T)


def _shapes(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join(f"{outputs} x {inputs}" for outputs, inputs in shapes)
