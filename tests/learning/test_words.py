from __future__ import annotations

import torch

from dtbh.data.manifest import Item
from dtbh.learning.terms import Outputs
from dtbh.learning.words import FEWEST, SpokenWords, occurrences, vocabulary

SAID = ["A white boat.", "two boats in the Harbor", "the white harbor", "white, white boat", "a boat", None, "..."]
SOUNDS = [Item(f"s{n}", "sound", transcript=text) for n, text in enumerate(SAID * 2)]


def test_the_vocabulary_is_what_enough_sounds_say() -> None:
    # white and boat are in three sounds of SAID each, a, harbor and the in two, the others in fewer.
    assert FEWEST == 4
    assert vocabulary(SOUNDS) == ("a", "boat", "harbor", "the", "white")
    assert vocabulary(SOUNDS[:7]) == ()
    assert vocabulary([]) == ()


def test_occurrences_are_what_each_sound_says() -> None:
    found = occurrences(SOUNDS[:7], ("boat", "harbor", "white"))
    wanted = [[1, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 1], [1, 0, 0], [-1, -1, -1], [-1, -1, -1]]
    assert found.dtype == torch.int8
    assert found.tolist() == wanted


def test_nothing_known_costs_nothing() -> None:
    features = torch.rand(3, 6, requires_grad=True)
    side = Outputs(features, torch.rand(3, 8), torch.zeros(3), torch.arange(3))
    term = SpokenWords(feature_dim=6, words=2)
    unknown = side._replace(words=torch.full((3, 2), -1, dtype=torch.int8))
    for sides in ((side,), (side, unknown)):
        loss = term(sides)
        assert loss.item() == 0
        loss.backward()
    assert torch.equal(features.grad, torch.zeros(3, 6))
