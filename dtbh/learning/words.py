"""Words as targets: which words training sounds say, and the term that has deep features tell them.

Comes in: transcripts of the training sounds. Nothing of this is needed once training is over, and no transcript is
ever looked at in encoding or evaluation.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dtbh.data.manifest import Item
from dtbh.data.splits import said
from dtbh.learning.terms import Sides

FEWEST = 4
"""Sounds that must say a word before it is one of the vocabulary."""


def vocabulary(sounds: Sequence[Item]) -> tuple[str, ...]:
    """The words that at least ``FEWEST`` of the sounds say, in alphabetical order; case and punctuation aside."""
    counts = Counter(word for sound in sounds for word in set((said(sound) or "").split()))
    return tuple(sorted(word for word, count in counts.items() if count >= FEWEST))


def occurrences(sounds: Sequence[Item], words: Sequence[str]) -> Tensor:
    """Which of the words each sound says: int8 [n, words] of 0 and 1, and a row of -1 where no transcript is known."""
    place = {word: number for number, word in enumerate(words)}
    found = torch.zeros(len(sounds), len(words), dtype=torch.int8)
    for row, sound in enumerate(sounds):
        text = said(sound)
        if text is None:
            found[row] = -1
            continue
        for word in text.split():
            if word in place:
                found[row, place[word]] = 1
    return found


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
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, sides: Sides) -> Tensor:
        """Over every side whose words are given; zero where none has any."""
        total, count = sides[0].features.sum() * 0, 0
        for side in sides:
            if side.words is None:
                continue
            known = side.words[:, 0] >= 0
            targets = side.words[known].to(side.features.dtype)
            total = total + F.binary_cross_entropy_with_logits(
                self.linear(side.features[known]), targets, reduction="sum"
            )
            count += int(known.sum())
        return total / max(1, count)
