"""Words in training: which of them sounds say, and the terms that have features tell them and codes meet them.

Nothing of this is needed once training is over, and no transcript is ever looked at in encoding or evaluation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from inspect import signature

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dtbh.config import Learning
from dtbh.data.manifest import Item
from dtbh.data.transcripts import said
from dtbh.encoders.hash_head import glorot_
from dtbh.training.losses.base import Outputs, Positive, Sides, known_losses, loss
from dtbh.training.losses.pairwise import pair_contrast
from dtbh.utils.progress import echo

FEWEST = 4
"""Sounds that must say a word before it is one of the vocabulary."""


@loss("spoken_words")
class SpokenWords(nn.Module):
    """Whether each word of the vocabulary is said: binary cross-entropy from deep features, summed over words.

    Mean over the sounds whose words are known. A linear layer, trained with the towers and left behind afterwards; what
    it brings is measured in docs/dtbh-plus.md. A bag of words as the target of a whole clip is that of Kamper, Settle,
    Shakhnarovich and Livescu (*Visually grounded learning of keyword prediction from untranscribed speech*,
    Interspeech 2017), who take an image tagger's guesses in the place of the words.

    Args:
        feature_dim: Width of the deep features.
        words: Size of the vocabulary.
    """

    def __init__(self, *, feature_dim: int, words: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_dim, words)
        glorot_(self)

    def forward(self, sides: Sides) -> Tensor:
        """Over every side whose words are given; zero where nothing is known."""
        given = [(side.features, side.words) for side in sides if side.words is not None]
        if not given:
            return sides[0].features.sum() * 0
        features, words = (torch.cat(parts) for parts in zip(*given, strict=True))
        known = (words[:, 0] >= 0).to(features.dtype)
        targets = words.clamp(min=0).to(features.dtype)
        costs = F.binary_cross_entropy_with_logits(self.linear(features), targets, reduction="none").sum(1)
        return (costs * known).sum() / known.sum().clamp(min=1)


@loss("text_tower")
class TextTower(nn.Module):
    """A third tower, of training alone: what is said as hash-like codes of its own, met by images and sounds.

    A linear layer over the bag of words, brought to length one, with a tanh; and ``pair_contrast`` between its codes
    and those of each modality, where a text and an item of the same pair belong together. The words are those of
    the sounds in the batch that are known to say any. Ours; what it brings is measured in docs/dtbh-plus.md.

    Args:
        bits: Length of a code.
        words: Size of the vocabulary.
        temperature: Of the contrast.
    """

    def __init__(self, *, bits: int, words: int, temperature: Positive) -> None:
        super().__init__()
        self.temperature = temperature
        self.linear = nn.Linear(words, bits)
        glorot_(self)

    def forward(self, sides: Sides) -> Tensor:
        """Mean over the sides; zero where nothing is known."""
        texts = [self._text(side) for side in sides if side.words is not None]
        if not any(len(text.pairs) for text in texts):
            return sides[0].codes.sum() * 0
        text = Outputs(*(torch.cat(parts) for parts in zip(*(text[:4] for text in texts), strict=True)))
        costs = [pair_contrast((text, side), temperature=self.temperature, intra_modal_weight=0) for side in sides]
        return torch.stack(costs).mean()

    def _text(self, side: Outputs) -> Outputs:
        """What the items of a side say that are known to say a word of the vocabulary."""
        assert side.words is not None
        known = (side.words > 0).any(dim=1)
        bag = F.normalize(side.words[known].to(side.codes.dtype))
        return Outputs(bag, torch.tanh(self.linear(bag)), side.labels[known], side.pairs[known])


def targets(learning: Learning, sounds: Sequence[Item]) -> tuple[Learning, Tensor | None]:
    """The settings, without the terms of words where none are known, and what the training sounds say.

    Args:
        learning: Of a run.
        sounds: The training sounds; none where there is no sound tower.

    Returns:
        The settings, and ``occurrences`` over the sounds' own ``vocabulary``; None where no such term is there.
    """
    asked = [name for name, term in learning.losses.items() if term.weight and _asks_for_words(name)]
    if not asked:
        return learning, None
    if known := vocabulary(sounds):
        return learning, occurrences(sounds, known)
    echo(f"no word is known of the training sounds: {' and '.join(asked)} of learning.losses stay out")
    return learning.model_copy(
        update={"losses": {k: v for k, v in learning.losses.items() if not _asks_for_words(k)}}
    ), None


def _asks_for_words(name: str) -> bool:
    """Whether a loss of this name has a parameter ``words``."""
    losses = known_losses()
    return name in losses and "words" in signature(losses[name]).parameters


def vocabulary(sounds: Sequence[Item]) -> tuple[str, ...]:
    """The words that at least ``FEWEST`` of the sounds say, in alphabetical order; case and punctuation aside."""
    counts = Counter(word for sound in sounds for word in set((said(sound) or "").split()))
    return tuple(sorted(word for word, count in counts.items() if count >= FEWEST))


def occurrences(sounds: Sequence[Item], words: Sequence[str]) -> Tensor:
    """Which of the words each sound says: int8 [n, words] of 0 and 1, and a row of -1 where no transcript is known."""
    place = {word: number for number, word in enumerate(words)}
    found = np.zeros((len(sounds), len(words)), np.int8)
    for row, sound in enumerate(sounds):
        text = said(sound)
        found[row, [place[word] for word in (text or "").split() if word in place]] = 1
        if text is None:
            found[row] = -1
    return torch.from_numpy(found)
