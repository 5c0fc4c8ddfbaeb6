"""A measure of one's own: one function, and every report has it, beside chance, in JSON, table and page."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dtbh.evaluation.describe import describe
from dtbh.evaluation.evaluate import evaluate
from dtbh.evaluation.metrics import ranking
from dtbh.evaluation.metrics.measures import MEASURES, measure
from dtbh.evaluation.page.render import render
from dtbh.evaluation.results.definitions import definitions
from dtbh.evaluation.results.values import DirectionReport, RetrievalReport
from tests.evaluation.conftest import SETTING


@pytest.fixture
def report(codes, monkeypatch: pytest.MonkeyPatch) -> RetrievalReport:
    monkeypatch.setitem(MEASURES, "hit", None)
    del MEASURES["hit"]

    @measure("hit", "hit rate")
    def hit(relevant, total, k):
        """The share of queries with anything of their class among the first k."""
        return ranking.hit_at(relevant, total, k)

    return evaluate(*codes, **SETTING)


def test_it_is_measured_with_its_chance(report: RetrievalReport) -> None:
    for direction in report.directions.values():
        found, chance = direction.more_at["hit"], direction.chance_more_at["hit"]
        assert found.keys() == direction.precision_at.keys()
        assert found[1] == pytest.approx(direction.precision_at[1])  # of one item, both are whether it is relevant
        assert chance[1] == pytest.approx(direction.chance_precision_at[1])
        assert found[5] > chance[5] > chance[1]
        assert np.all(np.diff([*found.values()]) >= 0)


def test_it_goes_to_json_and_back_and_is_shown(report: RetrievalReport) -> None:
    for name, direction in report.directions.items():
        again = DirectionReport.from_dict(json.loads(json.dumps(report.to_dict()))["directions"][name])
        assert again.more_at == direction.more_at
        assert again.chance_more_at == direction.chance_more_at
    assert "\nhit rate " in describe(report)
    assert ">hit rate<" in render(report, {})
    assert definitions()["more_at.hit"] == "The share of queries with anything of their class among the first k."


def test_a_report_without_it_is_read(report: RetrievalReport) -> None:
    entry = json.loads(json.dumps(report.to_dict()))["directions"]["sound->image"]
    del entry["more_at"], entry["chance_more_at"]
    assert DirectionReport.from_dict(entry).more_at == {}
