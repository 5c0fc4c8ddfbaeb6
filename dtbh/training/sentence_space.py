"""The image head and the text head in closed form, in the space of a frozen sentence encoder.

Images are brought to what their captions mean (a linear map), both modalities lean on the same concepts, and the bits
are those of iterative quantisation (Gong and Lazebnik, CVPR 2011) of the images' places, and of their vectors in the
space of pairs (`pair_space`) where that is wanted. Where classes are given, each has concepts of its own, and linear
classifiers of what is seen and of what is said help to choose among them.
What each step brings is measured in docs/any-words.md.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.cluster.vq import kmeans2
from torch import Tensor, nn

from dtbh.encoders.concept_head import ConceptHead, TextHead
from dtbh.errors import ConfigError, DataError
from dtbh.training.pair_space import fit_pairs
from dtbh.training.shallow import Floats, Ints, Sample, principal_axes, quantizing_rotation, ridged
from dtbh.utils.vectors import unit

SENTENCE_SPACE = "sentence_space"
"""Its name in ``learning.fit``."""

TOWARDS = 0.5
"""How far an image's target lies from what its captions mean to their concept, 0 to 1."""

IMAGE_EVIDENCE, TEXT_EVIDENCE = (0.6, 1e-3), (2.0, 0.03)
"""Weight of a classifier's logits beside the cosines to the concepts, and factor of its squared weights in its loss.

Vectors are centred, and divided by their overall deviation, for the latter.
"""


def fit_sentence_space(
    image: ConceptHead, text: TextHead, images: Sample, texts: Floats, said_of: Ints, *, seed: int
) -> None:
    """Set the weights of both heads.

    Args:
        image: The images' head.
        text: The texts' head.
        images: What the image backbone gives of each view of each image. Labels that are all the same are not
            looked at.
        texts: What the sentence encoder gives of each caption, float64 [m, 384].
        said_of: The number of each one's pair, int64 [m].
        seed: Of the concepts and the rotation.

    Raises:
        ConfigError: More bits or concepts than the data can tell apart.
        DataError: No image has a caption.
    """
    rng = np.random.default_rng(seed)
    meant = _mean_by(texts, said_of)
    rows = np.array([row for row, pair in enumerate(images.pairs.tolist()) if pair in meant], dtype=np.int64)
    if not len(rows):
        raise DataError("learning.fit: sentence_space needs captions of the images; give sounds with transcripts")
    vectors, labels, pairs = images.vectors[rows], images.labels[rows], images.pairs[rows].tolist()
    meaning = np.stack([meant[pair] for pair in pairs])
    middle = meaning.mean(axis=0)
    wanted = meaning - middle
    concepts, nearest, class_of = _concepts(wanted, labels, len(image.concepts), rng)
    _set_linear(image.sentence, *_linear(vectors, (1 - TOWARDS) * wanted + TOWARDS * concepts[nearest]))
    _set_linear(text.sentence, np.eye(text.sentence.in_features), -middle)
    _set(text.anchors, unit(concepts + middle))
    label_of = dict(zip(pairs, labels.tolist(), strict=True))
    said = np.isin(said_of, pairs)
    for head, x, y, (weight, decay) in (
        (image, vectors, labels, IMAGE_EVIDENCE),
        (text, texts[said], np.array([label_of[pair] for pair in said_of[said].tolist()]), TEXT_EVIDENCE),
    ):
        _set(head.concepts, unit(concepts))
        w, b = classifier(x, y, decay)
        _set_linear(head.evidence, weight * w[class_of], weight * b[class_of])
    if image.pair is not None and text.pair is not None:
        told = texts[said].mean(axis=0)
        _set_linear(image.pair, *_linear(vectors, meaning - told))
        _set_linear(text.pair, np.eye(text.pair.in_features), -told)
        fit_pairs(image.pair, text.pair, vectors, images.pairs[rows], texts[said], said_of[said], seed=seed)
    with torch.inference_mode():
        places = image.hashed(torch.from_numpy(vectors).float())[0].double().numpy()
    hashed = image.hash[0]
    assert isinstance(hashed, nn.Linear)
    axes = principal_axes(places, hashed.out_features)
    centred = (places - places.mean(axis=0)) @ axes.T
    turned = quantizing_rotation(centred, rng) @ axes / centred.std()
    for head in (image, text):
        _set_linear(head.hash[0], turned, -turned @ places.mean(axis=0))


def _mean_by(texts: Floats, said_of: Ints) -> dict[int, Floats]:
    """The mean vector of each pair's captions."""
    return {int(pair): texts[said_of == pair].mean(axis=0) for pair in np.unique(said_of)}


def _concepts(wanted: Floats, classes: Ints, count: int, rng: np.random.Generator) -> tuple[Floats, Ints, Ints]:
    """Centres of what the captions of each class mean.

    Returns:
        The centres [count, 384], the number of each row's centre, and the number of each centre's class.
    """
    present = np.unique(classes)
    distinct = {c: len(np.unique(wanted[classes == c].round(6), axis=0)) for c in present.tolist()}
    if not len(present) <= count <= sum(distinct.values()):
        raise ConfigError(
            f"encoders.concepts.count: {count} concepts of {sum(distinct.values())} images with different captions in "
            f"{len(present)} classes; set it to {max(len(present), sum(distinct.values()) // 4)}"
        )
    centres: list[Floats] = []
    class_of: list[int] = []
    nearest = np.zeros(len(wanted), dtype=np.int64)
    for c, share in _shares(distinct, count).items():
        own = np.flatnonzero(classes == c)
        for _ in range(10):  # until no centre is empty
            found, near = kmeans2(wanted[own], share, minit="++", rng=rng, missing="warn")
            if len(np.unique(near)) == share:
                break
        nearest[own] = near + len(class_of)
        centres.append(found)
        class_of += [c] * share
    return np.concatenate(centres), nearest, np.array(class_of)


def _shares(most: dict[int, int], count: int) -> dict[int, int]:
    """As even a share of ``count`` for each class as its ``most`` allows."""
    shares = dict.fromkeys(most, 0)
    while count:
        open_ = [c for c in most if shares[c] < most[c]]
        for c in open_[:count]:
            shares[c] += 1
        count -= len(open_[:count])
    return shares


@torch.inference_mode(mode=False)
def classifier(vectors: Floats, classes: Ints, decay: float) -> tuple[Floats, Floats]:
    """Logistic regression of classes from 0 on, int64 [n], in vectors, float64 [n, d]: weight [classes, d] and bias."""
    middle, spread = vectors.mean(axis=0), vectors.std() or 1.0  # all alike: nothing to tell
    layer = nn.Linear(vectors.shape[1], 1 + int(classes.max())).double()
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    x, y = torch.from_numpy((vectors - middle) / spread), torch.from_numpy(classes)
    search = torch.optim.LBFGS(layer.parameters(), max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        total = F.cross_entropy(layer(x), y) + decay * layer.weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    search.step(loss)  # type: ignore[no-untyped-call]
    weight = layer.weight.detach().numpy() / spread
    return weight, layer.bias.detach().numpy() - weight @ middle


def _linear(seen: Floats, wanted: Floats) -> tuple[Floats, Floats]:
    """Ridge regression: weight [384, d] and bias [384]."""
    centred = seen - seen.mean(axis=0)
    weight = np.linalg.solve(ridged(centred), centred.T @ (wanted - wanted.mean(axis=0)) / len(seen)).T
    return weight, wanted.mean(axis=0) - weight @ seen.mean(axis=0)


def _set_linear(layer: nn.Module, weight: Floats, bias: Floats) -> None:
    assert isinstance(layer, nn.Linear)
    _set(layer.weight, weight)
    _set(layer.bias, bias)


def _set(parameter: Tensor, values: Floats) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(values))
