from __future__ import annotations

import torch

from dtbh.data.manifest import Item
from dtbh.training.losses.base import Outputs
from dtbh.training.losses.words import FEWEST, SpokenWords, TextTower, occurrences, vocabulary

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


def test_a_text_tower_to_which_nothing_is_said_costs_nothing() -> None:
    codes = torch.rand(3, 8, requires_grad=True)
    side = Outputs(torch.rand(3, 6), codes, torch.zeros(3), torch.arange(3))
    term = TextTower(bits=8, words=2, temperature=0.1)
    unknown = side._replace(words=torch.full((3, 2), -1, dtype=torch.int8))
    for sides in ((side,), (side, unknown)):
        loss = term(sides)
        assert loss.item() == 0
        loss.backward()
    assert torch.equal(codes.grad, torch.zeros(3, 8))


def test_a_text_tower_brings_images_near_to_what_their_sounds_say() -> None:
    """Image and sound of a pair meet at the text alone, and each image must end nearest to its own sound."""
    words = torch.eye(4, 5, dtype=torch.int8)
    start = torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(0))
    images, sounds = torch.nn.Parameter(start[0]), torch.nn.Parameter(start[1])
    term = TextTower(bits=16, words=5, temperature=0.2)
    optimiser = torch.optim.Adam([images, sounds, *term.parameters()], lr=0.05)
    for _ in range(60):
        sides = [Outputs(x, torch.tanh(x), torch.zeros(4), torch.arange(4)) for x in (images, sounds)]
        loss = term((sides[0], sides[1]._replace(words=words)))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    likeness = torch.tanh(images) @ torch.tanh(sounds).T
    assert likeness.argmax(dim=1).tolist() == [0, 1, 2, 3]
