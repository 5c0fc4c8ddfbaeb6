"""Heads that know the sentence space already, brought to tiles of somebody's own: from one of each class on.

Images are brought to what is said of them by the smallest change of the maps that does so (ridge regression of what is
missing). Each class gets a concept, the centre of what is said of it, in place of those that the heads have or beside
them; classifiers, of what is seen and of what is said, let it be found. The bits are found again, by iterative
quantisation of the new images' places and of those of what the heads knew, which weigh the same: few tiles tell too few
directions apart. What each step brings is measured in docs/how-to/fine-tuning.md.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from torch import Tensor

from dtbh.config import Concepts
from dtbh.encoders.concept_head import ConceptHead, TextHead
from dtbh.models.start import Head
from dtbh.training.sentence_space import IMAGE_EVIDENCE, TEXT_EVIDENCE, TOWARDS, classifier
from dtbh.training.shallow import Floats, Ints, Sample, principal_axes, quantizing_rotation
from dtbh.utils.vectors import unit

RIDGE = 0.1
"""Of a change of the maps: a share of the mean squared length of what is seen."""
IMAGE_DECAY, TEXT_DECAY = 0.01, 0.03
"""Factor of the squared weights of classifiers beside old ones, of centred vectors divided by their deviation."""
IMAGE_PRIOR, TEXT_PRIOR = 2.0, 4.0
"""How much likelier the new concepts are than the old ones, in logits: what is seen and said is more often theirs."""
MOST = 64
"""New concepts where there are no classes."""


def tuned_heads(
    image: Head,
    text: Head,
    images: Sample,
    texts: Floats,
    said_of: Ints,
    *,
    settings: Concepts,
    seed: int,
    keep: bool,
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Both heads with concepts of the new classes.

    Args:
        image: The images' head.
        text: The texts' head.
        images: What the image backbone gives of each image, of which each has a text. Labels are numbers from 0 on.
        texts: What the sentence encoder gives of what is said of them, float64 [m, 384].
        said_of: The number of each one's pair, int64 [m].
        settings: Of the heads.
        seed: Of the bits' rotation.
        keep: Whether the heads' own concepts stay beside the new ones.

    Returns:
        The states of the images' head and of the texts', float32.
    """
    rng = np.random.default_rng(seed)
    first, second = _Head(image, settings, settings.image_temperature), _Head(text, settings, settings.text_temperature)
    meant = np.stack([texts[said_of == pair].mean(axis=0) for pair in images.pairs.tolist()])
    before = -second.state["sentence.bias"]
    middle = before if keep else meant.mean(axis=0)
    for head in (first, second):
        head.state["sentence.bias"] += before - middle
    told = np.stack([meant[images.labels == c].mean(axis=0) for c in range(1 + images.labels.max())])
    centres = told - middle
    first.move("sentence", images.vectors, (1 - TOWARDS) * (meant - middle) + TOWARDS * centres[images.labels])
    if settings.pairs:
        said = second.linear("pair", meant)
        long = np.linalg.norm(first.linear("pair", images.vectors), axis=1).mean()
        first.move("pair", images.vectors, long * unit(said))
    label_of = dict(zip(images.pairs.tolist(), images.labels.tolist(), strict=True))
    of_texts = np.array([label_of[pair] for pair in said_of.tolist()])
    old, concepts = second.state["anchors"], unit(centres)
    if keep:
        first.widen(concepts, images.vectors, images.labels, IMAGE_DECAY, IMAGE_PRIOR)
        second.widen(concepts, texts, of_texts, TEXT_DECAY, TEXT_PRIOR)
        second.state["anchors"] = np.concatenate([old, unit(told)])
    else:
        first.replace(concepts, images.vectors, images.labels, *IMAGE_EVIDENCE)
        second.replace(concepts, texts, of_texts, *TEXT_EVIDENCE)
        second.state["anchors"] = unit(told)
    places = first.hashed(images.vectors)
    remembered = np.repeat(second.hashed(old), max(1, round(len(places) / len(old))), axis=0)
    both = np.concatenate([places, remembered])
    bits = len(first.state["hash.0.bias"])
    axes = principal_axes(both, bits)
    centred = (both - both.mean(axis=0)) @ axes.T
    turned = quantizing_rotation(centred, rng) @ axes / centred.std()
    for head in (first, second):
        head.state |= {"hash.0.weight": turned, "hash.0.bias": -turned @ both.mean(axis=0)}
    return first.numbers(), second.numbers()


def grouped(meant: Floats, seed: int) -> Ints:
    """Numbers of groups of like meaning, from 0 on, for images without classes: int64 [n]."""
    distinct = len(np.unique(meant.round(6), axis=0))
    _, near = kmeans2(meant, min(MOST, distinct), minit="++", rng=np.random.default_rng(seed), missing="warn")
    return np.unique(near, return_inverse=True)[1].astype(np.int64)


class _Head:
    """A head whose parameters may still change, in double precision."""

    def __init__(self, state: Head, settings: Concepts, temperature: float) -> None:
        self.state: dict[str, Floats] = {name: values.astype(np.float64) for name, values in state.items()}
        self._settings, self._temperature = settings, temperature

    def linear(self, name: str, x: Floats) -> Floats:
        """What one of the maps gives."""
        return np.asarray(x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"])

    def move(self, name: str, x: Floats, wanted: Floats) -> None:
        """Change a map so that it gives what is wanted; what is unlike all that is seen stays where it is."""
        middle, spread = x.mean(axis=0), x.std() or 1.0
        seen = np.column_stack([(x - middle) / spread, np.ones(len(x))])
        alike = seen @ seen.T
        ridge = RIDGE * np.trace(alike) / len(alike) * np.eye(len(alike))
        change = np.linalg.solve(alike + ridge, wanted - self.linear(name, x)).T @ seen
        weight = change[:, :-1] / spread
        self.state[f"{name}.weight"] += weight
        self.state[f"{name}.bias"] += change[:, -1] - weight @ middle

    def replace(self, concepts: Floats, x: Floats, classes: Ints, weight: float, decay: float) -> None:
        """Put concepts in the place of all others, and learn to find them."""
        found, bias = classifier(x, classes, decay)
        self.state |= {"concepts": concepts, "evidence.weight": weight * found, "evidence.bias": weight * bias}

    def widen(self, concepts: Floats, x: Floats, classes: Ints, decay: float, prior: float) -> None:
        """Add concepts, and learn to find them: logistic regression beside the old ones, which stay as they are."""
        count, state = len(concepts), self.state
        state["concepts"] = np.concatenate([state["concepts"], concepts])
        state["evidence.weight"] = np.concatenate([state["evidence.weight"], np.zeros((count, x.shape[1]))])
        state["evidence.bias"] = np.concatenate([state["evidence.bias"], np.full(count, state["evidence.bias"].mean())])
        likeness = unit(self.linear("sentence", x)) @ state["concepts"].T / self._temperature
        middle, spread = x.mean(axis=0), x.std() or 1.0
        weight, bias = _found(likeness + self.linear("evidence", x), (x - middle) / spread, classes, count, decay)
        state["evidence.weight"][-count:] += weight / spread
        state["evidence.bias"][-count:] += prior + bias - weight / spread @ middle

    def hashed(self, x: Floats) -> Floats:
        """What the hash layer sees, as `ConceptHead` says."""
        count, bits = len(self.state["concepts"]), len(self.state["hash.0.bias"])
        kind = TextHead if "anchors" in self.state else ConceptHead
        settings = self._settings.model_copy(update={"count": count})
        head = kind(x.shape[1], settings, bits=bits, temperature=self._temperature).double()
        head.load_state_dict({name: torch.from_numpy(part) for name, part in self.state.items()})
        with torch.inference_mode():
            return np.asarray(head.hashed(torch.from_numpy(x))[0].numpy())

    def numbers(self) -> dict[str, NDArray[np.float32]]:
        """The parameters as they are kept."""
        return {name: values.astype(np.float32) for name, values in self.state.items()}


@torch.inference_mode(mode=False)
def _found(likeness: Floats, x: Floats, classes: Ints, count: int, decay: float) -> tuple[Floats, Floats]:
    """What is added to the last ``count`` columns: weight [count, d] and bias [count]."""
    fixed, seen = torch.from_numpy(likeness), torch.from_numpy(x)
    wanted = torch.from_numpy(classes) + likeness.shape[1] - count
    weight = torch.zeros(count, x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        search.zero_grad()
        added = F.pad(seen @ weight.T + bias, (likeness.shape[1] - count, 0))
        total = F.cross_entropy(fixed + added, wanted) + decay * (weight.square().sum() + 0.1 * bias.square().sum())
        total.backward()  # type: ignore[no-untyped-call]
        return total

    search.step(loss)  # type: ignore[no-untyped-call]
    return weight.detach().numpy(), bias.detach().numpy()
