from __future__ import annotations

import pytest
import torch

from dtbh.config import Learning
from dtbh.encoders.heads import Encoded
from dtbh.errors import ConfigError
from dtbh.learning.distances import code_distance, cosine_distance
from dtbh.learning.objectives import (
    OBJECTIVES,
    approximate_l1,
    code_balance,
    dtbh_objective,
    objective,
    relative_triplet,
)
from dtbh.learning.selection import Triplets, select_active, select_all
from tests.reference import triplets as reference

G = torch.Generator().manual_seed(0)


def encoded(n: int, bits: int = 10) -> Encoded:
    return Encoded(
        torch.rand(n, 6, generator=G).requires_grad_(), torch.tanh(torch.randn(n, bits, generator=G)).requires_grad_()
    )


def test_relative_triplet_is_its_loop() -> None:
    distances = torch.rand(6, 9, generator=G)
    rows, columns = torch.randint(3, (6,), generator=G), torch.randint(3, (9,), generator=G)
    chosen = select_all(distances, rows, columns, margin=0.2)
    wanted = reference.relative_triplet(
        distances.tolist(), reference.triplets(rows.tolist(), columns.tolist()), margin=0.2
    )
    assert wanted > 0
    assert relative_triplet(distances, chosen, margin=0.2).item() == pytest.approx(wanted, rel=1e-6)


def test_no_triplet_is_no_loss_with_a_gradient_of_zero() -> None:
    distances = torch.rand(2, 2, requires_grad=True)
    none = torch.zeros(0, dtype=torch.long)
    loss = relative_triplet(distances, Triplets(none, none, none), margin=0.2)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(distances.grad, torch.zeros(2, 2))


def test_regulariser_and_balance_are_their_loops() -> None:
    codes = torch.tanh(2 * torch.randn(7, 5, generator=G))
    assert approximate_l1(codes).item() == pytest.approx(reference.approximate_l1(codes.tolist()), rel=1e-4)
    assert code_balance(codes).item() == pytest.approx(reference.code_balance(codes.tolist()), rel=1e-5)


def test_regulariser_is_zero_on_binary_codes_and_finite_far_away() -> None:
    assert approximate_l1(torch.tensor([[1.0, -1.0]])).item() == pytest.approx(0, abs=1e-6)
    assert approximate_l1(torch.tensor([[1e6, -1e6]])).isfinite()


def test_code_distance_of_binary_codes_is_the_hamming_distance() -> None:
    a = torch.randint(2, (5, 24), generator=G).float() * 2 - 1
    b = torch.randint(2, (4, 24), generator=G).float() * 2 - 1
    hamming = (a[:, None] != b[None]).sum(dim=2)
    assert torch.allclose(code_distance(a, b) * 24, hamming.float(), atol=1e-4)


def test_distances_lie_between_zero_and_one() -> None:
    a, b = torch.randn(6, 8, generator=G), torch.randn(5, 8, generator=G)
    d = cosine_distance(a, b)
    assert d.shape == (6, 5)
    assert (d >= 0).all()
    assert (d <= 1).all()
    assert cosine_distance(a, a).diagonal().abs().max() < 1e-6


def test_dtbh_objective_is_the_weighted_sum_of_its_terms() -> None:
    images, sounds = encoded(6), encoded(9)
    yi, ys = torch.randint(3, (6,), generator=G), torch.randint(3, (9,), generator=G)
    settings = Learning(margin=0.3, features=0.5, codes=2.0, within=0.7, quantization=0.1, balance=0.2)
    loss = dtbh_objective(images, sounds, yi, ys, settings=settings, select="active")

    def term(a, b, ya, yb, measure, same=False):
        d = measure(a, b)
        chosen = reference.select("active", d.tolist(), ya.tolist(), yb.tolist(), 0.3, same)
        return reference.relative_triplet(d.tolist(), chosen, 0.3)

    wanted = 0.0
    for name, weight, measure in (("features", 0.5, cosine_distance), ("codes", 2.0, code_distance)):
        a, b = getattr(images, name), getattr(sounds, name)
        wanted += weight * (term(a, b, yi, ys, measure) + term(b, a, ys, yi, measure)) / 2
        wanted += weight * 0.7 * (term(a, a, yi, yi, measure, True) + term(b, b, ys, ys, measure, True)) / 2
    for x in (images.codes, sounds.codes):
        wanted += 0.1 * reference.approximate_l1(x.tolist()) / 2 + 0.2 * reference.code_balance(x.tolist()) / 2
    assert loss.total.item() == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("select", ["all", "semi_hard", "hard", "active"])
def test_gradients_reach_both_towers_and_are_finite(select: str) -> None:
    images, sounds = encoded(8), encoded(8)
    labels = torch.arange(8) % 3
    loss = OBJECTIVES["relative_triplet"](images, sounds, labels, labels, settings=Learning(), select=select)
    loss.total.backward()
    for tensor in (*images, *sounds):
        assert tensor.grad.isfinite().all()
        assert tensor.grad.abs().sum() > 0


def test_a_weight_of_zero_leaves_the_term_out() -> None:
    images, sounds = encoded(4), encoded(4)
    labels = torch.tensor([0, 0, 1, 1])
    loss = dtbh_objective(images, sounds, labels, labels, settings=Learning(features=0), select="all")
    assert "features" not in loss.terms
    assert "codes" in loss.terms


def test_selection_that_ignores_the_margin_would_be_noticed() -> None:
    """A broken strategy, which takes only triplets that are ordered wrongly, gives another loss."""
    distances = torch.tensor([[0.3, 0.4]])
    rows, columns = torch.tensor([0]), torch.tensor([0, 1])
    right = relative_triplet(distances, select_active(distances, rows, columns, margin=0.25), margin=0.25)
    broken = relative_triplet(distances, select_active(distances, rows, columns, margin=0.0), margin=0.25)
    assert right.item() == pytest.approx(0.15)
    assert broken.item() == 0


def test_an_unknown_objective_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean relative_triplet"):
        objective("relativ_triplet")
