"""The table that papers print, in each of its forms, and the figure."""

from __future__ import annotations

import csv
import statistics
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from dtbh.errors import DataError, MissingExtraError
from dtbh.evaluation import plots
from dtbh.evaluation.evaluate import evaluate
from dtbh.evaluation.plots import draw
from dtbh.evaluation.results.tables import Table, write_table
from tests.evaluation.conftest import SETTING, make_codes


def lengthened(report, bits, gain):
    """The same report as if of longer codes, and better."""
    more = (0,) * (bits - report.bits)
    ways = {
        name: replace(way, map=min(way.map + gain, 1.0), distances={k: v + more for k, v in way.distances.items()})
        for name, way in report.directions.items()
    }
    return replace(report, bits=bits, directions=ways)


@pytest.fixture(scope="module")
def reports():
    """Two methods: one of three seeds at 20 and 40 bits, one of two seeds at 20 bits."""
    own = [evaluate(*make_codes(seed=seed), **SETTING) for seed in (1, 2, 3)]
    return {"DTBH & more_": [*own, *(lengthened(one, 40, 0.02) for one in own)], "CCA-ITQ": own[:2]}


def test_means_and_spreads(reports):
    table = Table.of(reports)
    assert table.methods == ("DTBH & more_", "CCA-ITQ")
    assert (table.bits, table.directions) == ((20, 40), ("sound->image", "image->sound"))
    for way in table.directions:
        values = [report.directions[way].map for report in reports["DTBH & more_"][:3]]
        cell = table.cells["DTBH & more_", way, 20]
        assert cell.values == tuple(values)
        assert cell.mean == pytest.approx(sum(values) / 3)
        assert cell.spread == pytest.approx((sum((v - sum(values) / 3) ** 2 for v in values) / 2) ** 0.5)
        assert cell.chance == reports["CCA-ITQ"][0].directions[way].chance_map
        assert table.rows(way)["CCA-ITQ"][1] is None
    fewer = "Of 3 seeds, there are fewer of: CCA-ITQ at 20 bits 2."
    leaks = "Leaks from training: of 24 test sounds, 6 (25%) say what training says; 12 (50%) in a voice of training."
    assert table.notes == ("Protocol: random.", "Gallery: test.", leaks, fewer)
    without = [replace(one, leakage={}) for one in reports["CCA-ITQ"]]
    assert "Leaks from training: not known." in Table.of({"a": without}).notes
    one = Table.of({"a": reports["CCA-ITQ"][:1]})
    assert one.cells["a", "sound->image", 20].spread is None
    assert "±" not in one.text()
    assert "–" in Table.of({**reports, "nothing": []}).text()
    alone = replace(
        reports["CCA-ITQ"][0], directions={"sound->image": reports["CCA-ITQ"][0].directions["sound->image"]}
    )
    text = Table.of({"both": reports["CCA-ITQ"], "one way": [alone], "nothing": []}).text()
    assert [text.count(f"\n{name} ") for name in ("both", "one way", "nothing")] == [2, 1, 2]
    with pytest.raises(DataError, match="no reports"):
        Table.of({"a": []})


def test_the_text_has_every_cell_and_80_columns(reports):
    text = Table.of(reports).text()
    values = [report.directions["image->sound"].map for report in reports["CCA-ITQ"]]
    line = f"{statistics.mean(values):.3f}±{statistics.stdev(values):.3f}"
    assert [line, "–"] == next(x for x in reversed(text.splitlines()) if x.startswith("CCA-ITQ")).split()[1:]
    own = reports["CCA-ITQ"]
    many = {
        "a method with a very long name of its own": [lengthened(one, b, 0.0) for b in range(20, 32) for one in own]
    }
    wide = Table.of(many).text()
    assert max(map(len, wide.splitlines())) <= 80
    assert all(wide.count(f" {bits} bits") == 2 for bits in range(20, 32))


def test_csv_has_all_digits(reports, tmp_path):
    paths = write_table(Table.of(reports), tmp_path)
    assert [path.name for path in paths] == ["table.txt", "table.md", "table.csv", "table.tex"]
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 3
    assert rows[0]["method"] == "DTBH & more_"
    assert [row["runs"] for row in rows] == ["3", "3", "3", "3", "2", "2"]
    values = [report.directions["sound->image"].map for report in reports["CCA-ITQ"]]
    found = next(row for row in rows if (row["method"], row["direction"]) == ("CCA-ITQ", "sound->image"))
    assert float(found["map"]) == statistics.mean(values)
    assert float(found["spread"]) == statistics.stdev(values)


def test_latex_escapes_and_makes_the_best_bold(reports):
    text = Table.of(reports).latex()
    assert r"DTBH \& more\_ & $" in text
    assert r"\emph{sound $\rightarrow$ image}" in text
    assert text.count(r"\begin{tabular}{lrr}") == 1
    bold = [line for line in text.splitlines() if r"\mathbf" in line]
    assert all(line.count("&") == 2 + line.count(r"\&") for line in bold)
    assert text.count(r"\mathbf") >= 4  # of two lengths and two directions


def test_markdown_has_a_column_a_direction_and_length(reports):
    lines = Table.of(reports).markdown().splitlines()
    assert lines[0] == ("| method | sound->image, 20 bits | sound->image, 40 bits | image->sound, 20 bits | "
                        "image->sound, 40 bits |")  # fmt: skip
    assert len(lines) == 7
    assert lines[3].count("–") == 2
    assert lines[4].startswith("| chance | 0.")
    assert lines[6].startswith("mAP, exact over ties; mean and standard deviation over seeds. Protocol: random.")


def test_what_does_not_compare_is_said(reports):
    other = replace(reports["CCA-ITQ"][0], protocol="files")
    assert "The protocols differ (files, random)" in Table.of({**reports, "x": [other]}).text().replace("\n  ", " ")


def test_the_figure(reports, tmp_path):
    pytest.importorskip("matplotlib", reason="the figure needs the extra plots")
    table = Table.of(reports)
    png, svg = draw(table, [tmp_path / "map.png", tmp_path / "map.svg"])
    with Image.open(png) as picture:
        assert picture.width > 1000
    text = svg.read_text()
    for said in ("sound → image", "image → sound", "CCA-ITQ", "DTBH &amp; more_", "chance", "mAP"):
        assert f">{said}<" in text, said
    before = svg.read_bytes()
    assert draw(table, [svg])[0].read_bytes() == before


def test_the_figure_shows_every_figure_and_a_method_looks_alike_in_each_panel(reports, monkeypatch):
    pytest.importorskip("matplotlib", reason="the figure needs the extra plots")
    from matplotlib.figure import Figure

    made = []
    monkeypatch.setattr(plots, "_save", lambda figure, path: made.append(figure) or path)
    low, high = (dict(reports["CCA-ITQ"][0].directions) for _ in range(2))
    low["sound->image"] = replace(low["sound->image"], map=0.2)
    high = {"image->sound": replace(high["image->sound"], map=0.97)}
    known = reports["CCA-ITQ"][0]
    draw(Table.of({"one": [replace(known, directions=low)], "other": [replace(known, directions=high)]}), [Path("x")])
    (figure,) = made
    assert isinstance(figure, Figure)
    first, second = figure.axes
    assert first.get_ylim()[0] == 0
    assert first.get_ylim()[1] == second.get_ylim()[1] > 0.97, "what is drawn last is cut off"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["one", "other", "chance"]
    colours = [{bars.get_label(): bars.lines[0].get_color() for bars in panel.containers} for panel in figure.axes]
    assert list(colours[0]) == ["one"]
    assert list(colours[1]) == ["one", "other"]
    assert colours[0]["one"] == colours[1]["one"] != colours[1]["other"]


def test_the_figure_without_matplotlib_names_the_extra(reports, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"dtbh\[plots\]"):
        draw(Table.of(reports), [tmp_path / "map.png"])


def test_the_room_waits_with_matplotlib_and_scipy():
    code = ("import sys, dtbh.evaluation.plots, dtbh.cli.experiments; "
            "sys.exit(bool({'matplotlib', 'scipy', 'torch'} & {*sys.modules}))")  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
