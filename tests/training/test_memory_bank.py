from __future__ import annotations

import pytest
import torch

from dtbh.evaluation.metrics.labels import shared_labels
from dtbh.training.losses.base import Outputs, Sides
from dtbh.training.losses.memory_bank import MemoryContrast
from tests.reference import objectives as reference
from tests.reference.labels import Labelled

BITS = 8
G = torch.Generator().manual_seed(0)


def outputs(n: int) -> Outputs:
    codes = torch.tanh(torch.randn(n, BITS, generator=G)).requires_grad_()
    return Outputs(torch.rand(n, 5, generator=G), codes, torch.randint(3, (n,), generator=G), torch.arange(n))


def plain(side: Outputs) -> dict[str, list[object]]:
    return {"codes": side.codes.tolist(), "labels": side.labels.tolist()}


def test_a_first_batch_has_nothing_to_be_contrasted_with() -> None:
    side = outputs(4)
    loss = MemoryContrast(bits=BITS, memory=6, temperature=0.5)((side, outputs(4)))
    assert loss.item() == 0
    loss.backward()
    assert torch.equal(side.codes.grad, torch.zeros(4, BITS))


@pytest.mark.parametrize("n_sides", [1, 2])
def test_it_is_its_loop_over_the_last_that_fit(n_sides: int) -> None:
    """Batches of four, and a memory of six: of the batch before the last two are still known."""
    term = MemoryContrast(bits=BITS, memory=6, temperature=0.5)
    batches: list[Sides] = [tuple(outputs(4) for _ in range(n_sides)) for _ in range(4)]
    for number, sides in enumerate(batches):
        found = term(sides).item()
        if number < 2:
            continue
        before = []
        for own in range(n_sides):
            newest, older = plain(batches[number - 1][own]), plain(batches[number - 2][own])
            before.append({name: newest[name] + older[name][:2] for name in newest})
        wanted = reference.memory_contrast([plain(side) for side in sides], before, 0.5)
        assert found == pytest.approx(wanted, rel=1e-5)
        assert wanted > 0.1


def test_gradients_reach_the_batch_and_not_the_memory() -> None:
    term = MemoryContrast(bits=BITS, memory=6, temperature=0.5)
    first, second = (outputs(4), outputs(4)), (outputs(4), outputs(4))
    term(first)
    term(second).backward()
    assert all(side.codes.grad is None for side in first)
    assert all(side.codes.grad.abs().sum() > 0 for side in second)


def test_the_memory_is_kept_in_checkpoints() -> None:
    term, other = (MemoryContrast(bits=BITS, memory=6, temperature=0.5) for _ in range(2))
    term((outputs(4), outputs(4)))
    other.load_state_dict(term.state_dict())
    sides = (outputs(4), outputs(4))
    assert other(sides).item() == term(sides).item() != 0


def test_what_is_remembered_is_right_where_a_label_is_shared() -> None:
    texts = ["dock;sea", "sea;ship", "tree"]
    shared = shared_labels(texts)
    assert shared is not None
    term = MemoryContrast(bits=BITS, memory=6, temperature=0.5)  # two of them are never filled
    first, second = ([outputs(4)._replace(shared=torch.from_numpy(shared.table > 0))] for _ in range(2))
    term(tuple(first))
    found = term(tuple(second)).item()
    before, now = ({**plain(x), "labels": [Labelled(texts[i]) for i in x.labels.tolist()]} for x in (*first, *second))
    wanted = reference.memory_contrast([now], [before], 0.5)
    assert found == pytest.approx(wanted, rel=1e-5)
    assert wanted != pytest.approx(reference.memory_contrast([plain(second[0])], [plain(first[0])], 0.5), rel=1e-3)
