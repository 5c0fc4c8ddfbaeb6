"""A head that goes by way of the sentence space: what is said, or shown, to hash-like codes that keep its meaning."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dtbh.config import Concepts
from dtbh.encoders.hash_head import Encoded
from dtbh.encoders.sentence_encoder import WIDTH


class ConceptHead(nn.Module):
    """A linear map to the sentence space, a step towards the concepts that lie nearest there, and a hash layer.

    The concepts are centres of what the training captions mean. The step takes words that no caption has said to where
    captions of the same meaning lie, and takes out of an image what no caption tells; what few bits then keep is the
    meaning. A linear classifier of the backbone's output has a say in which concepts are near. As a network it is
    attention over a fixed memory. Where ``settings.pairs`` is above 0, a second linear map keeps what tells one image
    from another of its class; it gives the deep features, and goes into the codes with that weight.
    `dtbh.training.sentence_space` sets the weights.

    Args:
        inputs: Width of the backbone's output.
        settings: ``count``, ``share`` and ``pairs``.
        bits: Length of a code.
        temperature: Of the softmax over the cosines to the concepts.
    """

    def __init__(self, inputs: int, settings: Concepts, *, bits: int, temperature: float) -> None:
        super().__init__()
        self.feature_dim = WIDTH
        """Width of the deep features."""
        self.sentence = nn.Linear(inputs, WIDTH)
        self.evidence = nn.Linear(inputs, settings.count)
        self.concepts = nn.Parameter(torch.zeros(settings.count, WIDTH))
        self.pair = nn.Linear(inputs, WIDTH) if settings.pairs else None
        self.hash = nn.Sequential(nn.Linear(2 * WIDTH if settings.pairs else WIDTH, bits), nn.Tanh())
        self.share, self.pairs, self.temperature = settings.share, settings.pairs, temperature
        self.tanh_scale = 1.0
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Encoded:
        """Map float [n, inputs] to deep features, float [n, 384], and hash-like codes."""
        meant, features = self.hashed(x)
        linear, tanh = self.hash
        return Encoded(features, tanh(self.tanh_scale * linear(meant)))

    def hashed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the hash layer sees, float [n, 384] or [n, 768], and the deep features."""
        places = self.placed(x)
        if self.pair is None:
            return places, places
        vectors = F.normalize(self.pair(x))
        return torch.cat([places, self.pairs * vectors], dim=1), vectors

    def placed(self, x: Tensor) -> Tensor:
        """Places in the sentence space, float [n, 384], after the step."""
        vectors = F.normalize(self.sentence(x))
        likeness = vectors @ self.concepts.T / self.temperature + self.evidence(x)
        return torch.lerp(vectors, torch.softmax(likeness, dim=1) @ self.concepts, self.share)


class TextHead(ConceptHead):
    """The head of texts, which also knows how familiar a text is."""

    def __init__(self, inputs: int, settings: Concepts, *, bits: int, temperature: float) -> None:
        super().__init__(inputs, settings, bits=bits, temperature=temperature)
        self.anchors = nn.Parameter(torch.zeros(settings.count, inputs), requires_grad=False)

    def familiarity(self, x: Tensor) -> Tensor:
        """The largest cosine of each vector, float [n, inputs], to the centres of what training captions mean."""
        likeness: Tensor = F.normalize(x) @ self.anchors.T
        return likeness.amax(dim=1)
