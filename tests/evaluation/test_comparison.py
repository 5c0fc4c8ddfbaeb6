"""Paired tests: against every change of signs, on made differences, and what may not be compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtbh.codes import HashCodes
from dtbh.errors import DataError
from dtbh.evaluation.comparison import compare, holm, paired_test
from dtbh.evaluation.comparison_text import describe
from dtbh.evaluation.evaluate import evaluate
from dtbh.evaluation.report import read_series, write_report
from tests.evaluation.conftest import SETTING, make_codes
from tests.reference import comparison as naive


def report_of(*, noise=0.8, seed=0, per_class=12, **setting):
    return evaluate(*make_codes(noise=noise, seed=seed, per_class=per_class), **{**SETTING, **setting})


@pytest.fixture(scope="module")
def good():
    return report_of(noise=0.5)


@pytest.fixture(scope="module")
def bad():
    return report_of(noise=2.0, seed=1)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 7)), min_size=1, max_size=20))
def test_few_clusters_are_tested_exactly(rows):
    differences, clusters = (list(column) for column in zip(*rows, strict=True))
    sums = naive.sums_by_cluster(differences, clusters)
    found = paired_test(np.array(differences), np.array(clusters), seed=0)
    if min(map(abs, sums)) > 1e-9 or not any(sums):  # sums of nearly 0 are a matter of rounding
        assert found == pytest.approx(naive.p_value(sums), abs=1e-12)


def test_many_clusters_are_tested_by_chance_and_by_seed():
    rng = np.random.default_rng(0)
    clusters = np.arange(200).repeat(5)
    nothing, some = rng.normal(size=1000), rng.normal(0.3, 1, size=1000)
    assert paired_test(nothing, clusters, 0) > 0.05
    assert paired_test(some, clusters, 0) == pytest.approx(2e-4)
    assert paired_test(nothing, clusters, 3) == paired_test(nothing, clusters, 3) != paired_test(nothing, clusters, 4)


def test_sounds_of_one_image_are_no_independent_draws():
    """With five equal sounds an image, a test over single sounds finds what is not there."""
    rng = np.random.default_rng(0)
    together, alone = [], []
    for trial in range(25):
        differences = rng.normal(size=30).repeat(5)
        together.append(paired_test(differences, np.arange(30).repeat(5), trial) < 0.05)
        alone.append(paired_test(differences, np.arange(150), trial) < 0.05)
    assert sum(together) <= 5  # 1 or 2 expected; more than 5 of 25 come once in a thousand times
    assert sum(alone) >= 6


@given(st.lists(st.sampled_from([0.001, 0.01, 0.02, 0.04, 0.3, 1.0]), max_size=7))
def test_holm_against_its_definition(values):
    assert holm(values) == pytest.approx(naive.holm(values))


def test_a_difference_is_found_with_its_interval(good, bad):
    found = compare({"good": [good], "bad": [bad]})
    assert [block.direction for block in found.blocks] == ["sound->image", "image->sound"]
    assert found.tests == 2
    for block in found.blocks:
        (one,) = block.differences
        maps = [report.directions[block.direction].map for report in (good, bad)]
        assert one.difference == pytest.approx(maps[1] - maps[0])
        assert one.interval[0] < one.difference < one.interval[1] < 0
        assert one.significant
        assert one.p <= one.p_holm <= 2 * one.p
        assert block.n_clusters == 36
    text = describe(found)
    assert max(map(len, text.splitlines())) <= 80
    assert "bad is worse than good by" in text
    assert "more than chance explains" in " ".join(text.split())
    assert "One training of each" in text
    again = compare({"bad": [bad], "good": [good]})
    assert again.blocks[0].differences[0].difference == pytest.approx(-found.blocks[0].differences[0].difference)


def test_nothing_is_made_of_nothing(good):
    found = compare({"one": [good], "two": [good], "three": [report_of(noise=0.5)]})
    assert [one.p_holm for block in found.blocks for one in block.differences] == [1.0] * 4
    assert "this test can't tell them apart" in " ".join(describe(found).split())


def test_seeds_are_averaged_by_query_and_lengths_kept_apart(good, bad):
    other = report_of(noise=0.6, seed=4)
    found = compare({"several": [good, other], "bad": [bad]})
    way = found.blocks[0]
    means = [r.directions["sound->image"].map for r in (good, other)]
    assert way.values["several"].mean == pytest.approx(np.mean(means))
    assert way.differences[0].difference == pytest.approx(bad.directions["sound->image"].map - np.mean(means))
    assert "mean over seeds" in describe(found)

    def shorter(report, bits=12):
        ways = {
            name: replace(one, distances={k: v[: bits + 1] for k, v in one.distances.items()})
            for name, one in report.directions.items()
        }
        return replace(report, bits=bits, directions=ways)

    found = compare({"a": [good, shorter(good)], "b": [bad, shorter(bad)]})
    assert [block.bits for block in found.blocks] == [{"a": 12, "b": 12}] * 2 + [{"a": 20, "b": 20}] * 2
    with pytest.raises(DataError, match="no length of codes in common: a has 12, 20; b has 16"):
        compare({"a": [good, shorter(good)], "b": [shorter(bad, 16)]})


def test_what_may_not_be_compared_is_refused_with_what_differs(good, bad):
    fewer = report_of(per_class=11)
    with pytest.raises(DataError, match=r"b can't be compared with a: sound->image, n gallery 33, not 36"):
        compare({"a": [good], "b": [fewer]})
    way = bad.directions["sound->image"]

    def with_way(**changes):
        return replace(bad, directions={"sound->image": replace(way, **changes)})

    with pytest.raises(DataError, match="gallery train, not test"):
        compare({"a": [good], "b": [with_way(gallery="train")]})
    figures = [replace(way.query_figures[0], id="stranger"), *way.query_figures[1:]]
    with pytest.raises(DataError, match="2 queries stand in one alone, the first is s-beach-0-0"):
        compare({"a": [good], "b": [with_way(query_figures=figures)]})
    figures = [replace(way.query_figures[0], label="moon"), *way.query_figures[1:]]
    with pytest.raises(DataError, match="1 queries have another label, the first is s-beach-0-0"):
        compare({"a": [good], "b": [with_way(query_figures=figures)]})
    figures = [replace(way.query_figures[0], average_precision=None), *way.query_figures[1:]]
    with pytest.raises(DataError, match="other queries have nothing relevant"):
        compare({"a": [good], "b": [with_way(query_figures=figures)]})
    with pytest.raises(DataError, match=r"no queries\.csv"):
        compare({"a": [good], "b": [with_way(query_figures=())]})
    figures = [replace(figure, pair=None) for figure in way.query_figures]
    with pytest.raises(DataError, match="does not say what is of one pair"):
        compare({"a": [good], "b": [with_way(query_figures=figures)]})
    with pytest.raises(DataError, match="without zero, not drop"):
        compare({"a": [good], "b": [replace(bad, without="zero")]})
    with pytest.raises(DataError, match="no direction in common"):
        compare({"a": [with_way()], "b": [replace(bad, directions={"image->sound": bad.directions["image->sound"]})]})
    with pytest.raises(DataError, match="two runs or more"):
        compare({"a": [good]})


def test_what_a_reader_must_know_is_a_warning(good, bad):
    found = compare({"a": [good], "b": [replace(bad, protocol="random, noise at 10 dB", leakage={})]})
    assert found.warnings[0] == "The protocols differ: a has random, b has random, noise at 10 dB."
    assert found.warnings[1].startswith("b was trained on another split than a")
    assert "The protocols differ" in describe(found)


def test_queries_without_anything_relevant_count_as_the_report_says():
    images, sounds = make_codes(noise=0.8)
    fewer = images.select([item.label != "river" for item in images.items])
    noisy = HashCodes.from_values(np.random.default_rng(0).normal(size=(len(sounds), 20)), encoder="abc",
                                  items=sounds.items)  # fmt: skip
    for without in ("drop", "zero"):
        reports = [evaluate(fewer, some, without=without, **SETTING) for some in (sounds, noisy)]
        found = compare({"a": [reports[0]], "b": [reports[1]]})
        maps = [report.directions["sound->image"].map for report in reports]
        assert found.blocks[0].differences[0].difference == pytest.approx(maps[1] - maps[0])


def test_series_are_read_from_folders(tmp_path):
    for seed in (0, 1):
        images, sounds = make_codes(seed=seed)
        write_report(evaluate(images, sounds, **SETTING), tmp_path / f"20-{seed}" / "report", images=images,
                     sounds=sounds, examples=0)  # fmt: skip
    assert len(read_series(tmp_path)) == 2
    assert len(read_series(tmp_path / "20-1")) == 1
    assert read_series(tmp_path / "20-1" / "report" / "report.json") == read_series(tmp_path / "20-1")
    assert read_series(tmp_path / "20-1")[0].directions["sound->image"].query_figures[0].pair == "beach-0"
    with pytest.raises(DataError, match="no report here"):
        read_series(tmp_path / "nothing")
