from __future__ import annotations

import pytest
import torch

from dtbh.evaluation.metrics.labels import shared_labels
from dtbh.training.losses.base import alike
from dtbh.training.losses.mining import MINERS, Triplets
from tests.reference import triplets as reference
from tests.reference.labels import Labelled


def batch(seed: int, anchors: int, candidates: int, classes: int) -> tuple[torch.Tensor, ...]:
    g = torch.Generator().manual_seed(seed)
    distances = torch.rand(anchors, candidates, generator=g)
    rows = torch.randint(classes, (anchors,), generator=g)
    columns = torch.randint(classes, (candidates,), generator=g)
    return distances, rows, columns


@pytest.mark.parametrize("name", MINERS)
@pytest.mark.parametrize("same", [False, True])
def test_every_strategy_is_its_loop_on_many_batches(name: str, same: bool) -> None:
    selected = 0
    for seed in range(40):
        anchors = 1 + seed % 7
        candidates = anchors if same else 1 + seed % 5
        distances, rows, columns = batch(seed, anchors, candidates, 1 + seed % 4)
        if same:
            columns = rows
        found = MINERS[name](distances, rows, columns, margin=0.3, same=same)
        wanted = reference.select(name, distances.tolist(), rows.tolist(), columns.tolist(), 0.3, same)
        triplets = torch.stack([found.anchors, found.positives, found.negatives], dim=1).tolist()
        assert sorted(map(tuple, triplets)) == sorted(wanted)
        selected += len(found)
    assert selected > 50  # the batches were not all empty


@pytest.mark.parametrize("name", MINERS)
def test_what_is_selected_is_a_triplet_of_the_right_labels(name: str) -> None:
    distances, rows, columns = batch(7, 12, 17, 3)
    t = MINERS[name](distances, rows, columns, margin=0.5)
    assert len(t) > 0
    assert torch.equal(rows[t.anchors], columns[t.positives])
    assert (rows[t.anchors] != columns[t.negatives]).all()


@pytest.mark.parametrize("name", MINERS)
def test_one_class_has_no_triplets(name: str) -> None:
    distances, _, _ = batch(1, 4, 5, 1)
    assert len(MINERS[name](distances, torch.zeros(4), torch.zeros(5), margin=0.3)) == 0


def test_an_item_is_never_its_own_positive() -> None:
    distances, rows, _ = batch(3, 10, 10, 3)
    for select in MINERS.values():
        t = select(distances, rows, rows, margin=0.5, same=True)
        assert (t.anchors != t.positives).all()


def test_a_separated_batch_has_nothing_active() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    distances = (labels[:, None] != labels[None]).float()
    assert len(MINERS["active"](distances, labels, labels, margin=0.25)) == 0
    assert len(MINERS["all"](distances, labels, labels, margin=0.25)) == 16


def test_triplets_check_themselves() -> None:
    with pytest.raises(AssertionError, match="three index vectors"):
        Triplets(torch.zeros(2), torch.zeros(3), torch.zeros(2))


TEXTS = ["dock", "dock;sea", "sea;ship", "grass;tree", "tree"]


@pytest.mark.parametrize("name", MINERS)
@pytest.mark.parametrize("same", [False, True])
def test_of_several_labels_one_in_common_makes_a_positive_and_none_a_negative(name: str, same: bool) -> None:
    shared = shared_labels(TEXTS)
    assert shared is not None
    selected = 0
    for seed in range(20):
        distances, rows, columns = batch(seed, 6, 6, len(TEXTS))
        columns = rows if same else columns
        common = alike(rows, columns, torch.from_numpy(shared.table > 0))
        found = MINERS[name](distances, rows, columns, margin=0.3, same=same, alike=common)
        texts = ([Labelled(TEXTS[i]) for i in side.tolist()] for side in (rows, columns))
        wanted = reference.select(name, distances.tolist(), *texts, 0.3, same)
        triplets = torch.stack([found.anchors, found.positives, found.negatives], dim=1).tolist()
        assert sorted(map(tuple, triplets)) == sorted(wanted)
        alone = MINERS[name](distances, rows, columns, margin=0.3, same=same)
        selected += len(found) != len(alone) or not torch.equal(found.negatives, alone.negatives)
    assert selected > 10  # the numbers alone would have given others
