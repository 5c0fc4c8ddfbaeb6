from __future__ import annotations

from pathlib import Path

import pytest
import torch

from dtbh.config import Learning, make_config, read_config
from dtbh.errors import ConfigError
from dtbh.training.losses.base import LOSSES, Outputs
from dtbh.training.losses.distances import code_distance, cosine_distance
from dtbh.training.losses.mining import Triplets, select_active, select_all
from dtbh.training.losses.objective import Objective
from dtbh.training.losses.quantization import approximate_l1, balance
from dtbh.training.losses.triplet import relative_triplet
from dtbh.training.sentence_space import SENTENCE_SPACE
from dtbh.training.shallow import SHALLOW_METHODS
from tests.reference import triplets as reference

G = torch.Generator().manual_seed(0)


SIZES = {"bits": 10, "classes": 3, "feature_dim": 6, "words": 5}
PRESETS = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))


def outputs(n: int, bits: int = 10, classes: int = 3) -> Outputs:
    """What a tower might say of n items; every class is there."""
    return Outputs(
        torch.rand(n, 6, generator=G).requires_grad_(),
        torch.tanh(torch.randn(n, bits, generator=G)).requires_grad_(),
        torch.arange(n) % classes,
        torch.arange(n),
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
    sides = (outputs(7), outputs(5))
    for term, loop in ((approximate_l1, reference.approximate_l1), (balance, reference.code_balance)):
        wanted = sum(loop(side.codes.tolist()) for side in sides) / 2
        assert term(sides).item() == pytest.approx(wanted, rel=1e-4)


def test_regulariser_is_zero_on_binary_codes_and_finite_far_away() -> None:
    side = outputs(1)
    assert approximate_l1((side._replace(codes=torch.tensor([[1.0, -1.0]])),)).item() == pytest.approx(0, abs=1e-6)
    assert approximate_l1((side._replace(codes=torch.tensor([[1e6, -1e6]])),)).isfinite()


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


def test_dtbh_is_the_weighted_sum_of_its_terms() -> None:
    images, sounds = outputs(6), outputs(9)
    yi, ys = images.labels, sounds.labels
    terms = {"feature_triplets": 0.5, "code_triplets": 2.0, "approximate_l1": 0.1, "balance": 0.2}
    loss = Objective(Learning(margin=0.3, intra_modal_weight=0.7, losses=terms), SIZES)((images, sounds))

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


def test_one_modality_alone_learns_from_itself() -> None:
    images = outputs(8)
    loss = Objective(Learning(intra_modal_weight=0, losses={"code_triplets": 1}), SIZES)((images,))
    d = code_distance(images.codes, images.codes)
    chosen = reference.select("active", d.tolist(), images.labels.tolist(), images.labels.tolist(), 0.25, True)
    assert loss.total.item() == pytest.approx(reference.relative_triplet(d.tolist(), chosen, 0.25), rel=1e-4)
    assert loss.total > 0


@pytest.mark.parametrize("selection", ["all", "semi_hard", "hard", "active"])
def test_gradients_reach_both_towers_and_are_finite(selection: str) -> None:
    sides = (outputs(8), outputs(8))
    Objective(Learning(selection=selection), SIZES)(sides).total.backward()
    for side in sides:
        for tensor in (side.features, side.codes):
            assert tensor.grad.isfinite().all()
            assert tensor.grad.abs().sum() > 0


def test_a_weight_of_zero_leaves_the_term_out() -> None:
    objective = Objective(Learning(losses={"feature_triplets": 0, "code_triplets": 1}), SIZES)
    assert set(objective((outputs(4), outputs(4))).terms) == {"code_triplets"}


def test_a_term_of_weight_zero_needs_no_parameters_and_has_no_state() -> None:
    terms = {"feature_contrast": 0, "learned_centres": 0, "approximate_l1": 0.5}
    objective = Objective(Learning.model_validate({"losses": terms}), {})
    assert list(objective.weights) == ["approximate_l1"]
    assert not list(objective.parameters())


def test_a_warm_up_takes_all_triplets() -> None:
    sides = (outputs(8), outputs(8))
    terms = {"code_triplets": {"selection": "semi_hard"}}
    objective = Objective(Learning(warmup_epochs=1, losses=terms), SIZES)
    every = Objective(Learning(selection="all", losses={"code_triplets": 1}), SIZES)
    assert objective(sides, epoch=0).total == every(sides).total
    assert objective(sides, epoch=1).total != every(sides).total


def test_a_term_with_state_is_trained_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    class Scaled(torch.nn.Module):
        def __init__(self, *, classes: int, start: float) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.full((classes,), start))

        def forward(self, sides):
            return self.scale.sum() * sides[0].codes.square().mean()

    monkeypatch.setitem(LOSSES, "scaled", Scaled)
    objective = Objective(Learning(losses={"scaled": {"start": 2.0}}), SIZES)
    objective((outputs(4),)).total.backward()
    (parameter,) = objective.parameters()
    assert parameter.tolist() == [2.0, 2.0, 2.0]
    assert parameter.grad.abs().sum() > 0


def test_selection_that_ignores_the_margin_would_be_noticed() -> None:
    """A broken strategy, which takes only triplets that are ordered wrongly, gives another loss."""
    distances = torch.tensor([[0.3, 0.4]])
    rows, columns = torch.tensor([0]), torch.tensor([0, 1])
    right = relative_triplet(distances, select_active(distances, rows, columns, margin=0.25), margin=0.25)
    broken = relative_triplet(distances, select_active(distances, rows, columns, margin=0.0), margin=0.25)
    assert right.item() == pytest.approx(0.15)
    assert broken.item() == 0


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_preset_learns_from_something(path: Path) -> None:
    """Its terms exist, take its parameters, and pull at each tower that it has; or its fit exists."""
    config = read_config(path)
    if config.learning.fit not in (None, SENTENCE_SPACE):
        assert config.learning.fit in SHALLOW_METHODS
        return
    bits = config.encoders.bits
    sides = tuple(outputs(8, bits) for _ in config.encoders.modalities)
    sides = tuple(side._replace(pairs=side.pairs // 2) for side in sides)  # so that a pair occurs within one too
    loss = Objective(config.learning, {**SIZES, "bits": bits})(sides).total
    loss.backward()
    assert loss.isfinite()
    for side in sides:
        found = [x.grad for x in (side.features, side.codes) if x.grad is not None]
        assert all(grad.isfinite().all() for grad in found)
        assert any(grad.abs().sum() > 0 for grad in found)


@pytest.mark.parametrize(
    ("terms", "message"),
    [
        ({"code_triplet": 1}, r"learning\.losses\.code_triplet: no such term; did you mean code_triplets\?"),
        ({"code_triplets": {"margn": 1}}, r"learning\.losses\.code_triplets\.margn: no such setting; .*margin\?"),
        ({"code_triplets": {"margin": "wide"}}, r"learning\.losses\.code_triplets\.margin: .*number.*'wide'"),
        ({"code_triplets": {"margin": -1}}, r"learning\.losses\.code_triplets\.margin: .*greater than 0"),
        ({"approximate_l1": {"margin": 1}}, r"approximate_l1\.margin: no such setting; known here: none"),
        ({"code_triplets": 0}, "every weight is 0"),
        ({"needs": 1}, r"learning\.losses\.needs\.power: wanted a value, found none"),
    ],
)
def test_what_is_wrong_with_a_term_is_named(
    terms: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def needs(sides: object, *, power: int) -> object: ...

    monkeypatch.setitem(LOSSES, "needs", needs)
    with pytest.raises(ConfigError, match=message) as caught:
        Objective(Learning(losses=terms), SIZES)
    assert "\n" not in str(caught.value)


def test_an_unknown_selection_is_named() -> None:
    learning = make_config({"learning": {"selection": "semihard"}}).learning
    with pytest.raises(ConfigError, match=r"learning\.selection: no selection 'semihard'; did you mean semi_hard\?"):
        Objective(learning, SIZES)
    terms = {"code_triplets": {"selection": "best"}}
    with pytest.raises(ConfigError, match=r"code_triplets\.selection: .*no selection 'best'; known here: all, active"):
        Objective(make_config({"learning": {"losses": terms}}).learning, SIZES)
