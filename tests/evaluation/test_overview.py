"""The page across several reports: its means, its lines, its links, and what it warns of."""

from __future__ import annotations

import re
import statistics
from dataclasses import replace

import pytest

from dtbh.errors import DataError
from dtbh.evaluation.evaluate import evaluate
from dtbh.evaluation.page.overview import Run, across_bits, overview
from dtbh.evaluation.report import rewrite_page, write_report
from tests.evaluation.conftest import SETTING, make_codes


@pytest.fixture(scope="module")
def reports():
    """Reports of two seeds."""
    return [evaluate(*make_codes(seed=seed), **SETTING) for seed in (1, 2)]


def runs_of(reports):
    """Two series: one of 20 and 40 bits with two seeds each, one of 20 bits and one seed."""
    longer = [replace(one, directions={name: replace(way, map=min(way.map + 0.05, 1.0), distances={
        key: counts + (0,) * 20 for key, counts in way.distances.items()}) for name, way in one.directions.items()},
        bits=40) for one in reports]  # fmt: skip
    runs = [Run("ours", f"ours/{n}", f"ours/{n}/index.html", one) for n, one in enumerate([*longer, *reports])]
    return [*runs, Run("<theirs>", "<theirs>/0", "theirs/0/index.html", reports[0])]


def test_means_lines_and_links(reports):
    runs = runs_of(reports)
    text = overview(runs)
    values = [one.directions["sound->image"].map for one in reports]
    assert f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}<small>2 runs" in text
    assert f"{values[0]:.3f}<small>1 run<" in text
    assert re.findall(r'href="([^"]+)"', text) == [run.link for run in runs]
    assert "<theirs>" not in text
    assert "do not compare" not in text
    assert "Leaks from training: of 24 test sounds, 6 (25%) say what training says" in text
    chance = reports[0].directions["sound->image"].chance_map
    assert f'<th scope="row">chance</th><td>{chance:.3f}</td>' in text
    drawn = across_bits(runs, "sound->image")
    ours = re.search(r'class="line one own" points="([^"]+)"', drawn).group(1).split()
    assert len(ours) == 2  # the means at 20 and at 40 bits
    assert drawn.count("<circle") == 5
    assert f"ours 20 bits: {values[1]:.3f}" in drawn


def test_what_does_not_compare_is_said(reports):
    runs = runs_of(reports)
    runs[0] = replace(runs[0], report=replace(runs[0].report, protocol="<own>"))
    assert "The protocols differ (&lt;own&gt;, random): such figures do not compare." in overview(runs)
    one = reports[0].directions["sound->image"]
    other = replace(reports[0], directions={"sound->image": replace(one, gallery="train")})
    assert "The galleries differ (test, train)" in overview([*runs, Run("", "a", "a", other)])


def test_reports_below_a_folder_are_put_side_by_side(reports, tmp_path, visit):
    for series in ("a", "b"):
        for seed, report in enumerate(reports):
            images, sounds = make_codes(seed=seed + 1)
            write_report(report, tmp_path / series / str(seed) / "report", images=images, sounds=sounds, examples=1)
    assert rewrite_page(tmp_path) == tmp_path / "reports.html"
    seen = visit(tmp_path / "reports.html", width=390, height=800)
    assert seen.page.evaluate("document.documentElement.scrollWidth") == 390
    assert seen.page.locator("svg .label").all_text_contents() == ["a", "b"] * 2
    seen.page.get_by_role("link", name="b/1").click()
    assert seen.page.get_by_role("tab").count() == 2
    assert seen.errors == seen.outside == []
    assert rewrite_page(tmp_path / "a").read_text().count("<svg") == 2
    (tmp_path / "a" / "0" / "report" / "report.json").write_text("{}")
    with pytest.raises(DataError, match=r"0/report/report\.json: report version None"):
        rewrite_page(tmp_path)
