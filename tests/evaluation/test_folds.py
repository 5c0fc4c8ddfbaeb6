"""Mean and spread over folds."""

from __future__ import annotations

import statistics
from dataclasses import replace

import pytest

from dtbh.errors import DataError
from dtbh.evaluation.evaluate import evaluate
from dtbh.evaluation.results.folds import describe_folds, over_folds
from dtbh.evaluation.results.values import CROSS, WITHIN
from tests.evaluation.conftest import SETTING, make_codes


@pytest.fixture(scope="module")
def folds():
    return [evaluate(*make_codes(seed=seed), **SETTING) for seed in range(3)]


def test_mean_and_spread_are_those_of_the_standard_library(folds):
    found = over_folds(folds)
    assert list(found) == ["sound->image", "image->sound"]
    for direction, figures in found.items():
        values = [report.directions[direction].map for report in folds]
        spread = figures["mAP"]
        assert spread.mean == pytest.approx(statistics.mean(values))
        assert spread.deviation == pytest.approx(statistics.stdev(values))
        assert (spread.low, spread.high) == (min(values), max(values))
        ranks = [report.directions[direction].pairs.median_rank for report in folds]
        assert figures["median pair rank"].mean == pytest.approx(statistics.mean(ranks))
    text = describe_folds(folds)
    assert max(map(len, text.splitlines())) <= 80
    assert "Leaks from training: of 72 test sounds, 18 (25%) say" in " ".join(text.split()), "of all folds"
    assert "Gallery: test." in text
    assert "not known" in describe_folds([replace(folds[0], leakage={}), *folds[1:]])
    assert f"{found['sound->image']['mAP'].mean:.3f} ± {found['sound->image']['mAP'].deviation:.3f}" in text


def test_four_directions_fit_80_columns():
    images, sounds = make_codes()
    text = describe_folds([evaluate(images, sounds, **SETTING, directions=CROSS + WITHIN)] * 2)
    assert max(map(len, text.splitlines())) <= 80
    assert all(name in text for name in CROSS + WITHIN)
    assert "±" in text
    pair = next(line for line in text.splitlines()[20:] if line.startswith("pair R@10"))
    assert pair.split()[2] == "-", "an image has no pair among images"


def test_folds_must_be_alike(folds):
    with pytest.raises(DataError, match="1 fold has no spread"):
        over_folds(folds[:1])
    with pytest.raises(DataError, match="the folds differ"):
        over_folds([folds[0], replace(folds[1], without="zero")])
