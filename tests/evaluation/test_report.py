"""What is written and read back, and its schema."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from dtbh.cli.main import main
from dtbh.errors import CodesError, DataError
from dtbh.evaluation.evaluate import evaluate
from dtbh.evaluation.report import read_report, rewrite_page, write_report
from dtbh.evaluation.schema import report_schema, write_report_schema
from tests.evaluation.conftest import SETTING, make_codes


def test_the_json_is_the_report(media, folder):
    report = evaluate(*media, **SETTING)
    assert read_report(folder) == read_report(folder / "report.json") == report
    entry = json.loads((folder / "report.json").read_text())
    assert entry["directions"]["sound->image"]["map"] == report.directions["sound->image"].map


def test_every_figure_in_the_json_has_its_definition_there(folder):
    entry = json.loads((folder / "report.json").read_text())
    direction, said = entry["directions"]["sound->image"], entry["definitions"]
    names = {*direction, *(f"{part}.{name}" for part in ("pairs", "conventions") for name in direction[part])}
    names |= {f"{part}.{name}" for part in ("precision_curve", "within_radius") for name in direction[part][0]}
    assert {name for name in names if not said.get(name)} == set()
    assert said["conventions.min_r_k"].startswith("mAP of the first 20, divided by min(R, 20)")


def test_every_query_is_written_and_read_back(media, folder):
    report = evaluate(*media, **SETTING)
    lines = (folder / "queries.csv").read_text().splitlines()
    assert lines[0] == "direction,id,label,average_precision,pair_rank,pair"
    assert len(lines) == 1 + 24 + 12
    assert "queries" not in json.loads((folder / "report.json").read_text())["directions"]["sound->image"]
    for name, direction in read_report(folder).directions.items():
        assert direction.query_figures == report.directions[name].query_figures
        assert {figure.pair for figure in direction.query_figures} == {item.pair for item in media[0].items}
        precisions = [figure.average_precision for figure in direction.query_figures]
        assert np.mean(precisions) == pytest.approx(direction.map)
        assert np.median([figure.pair_rank for figure in direction.query_figures]) == direction.pairs.median_rank


def test_queries_without_a_figure_are_read_back_so(tmp_path):
    images, sounds = make_codes()
    fewer = images.select([item.label != "river" for item in images.items])
    report = evaluate(fewer, sounds, **SETTING)
    write_report(report, tmp_path, images=fewer, sounds=sounds)
    figures = read_report(tmp_path).directions["sound->image"].query_figures
    assert figures == report.directions["sound->image"].query_figures
    assert [f.average_precision for f in figures if f.label == "river"] == [None] * 8
    (tmp_path / "queries.csv").write_text("direction,id\n")
    with pytest.raises(DataError, match=r"queries\.csv: not the queries of a report \(columns direction, id"):
        read_report(tmp_path)
    head = "direction,id,label,average_precision,pair_rank"
    (tmp_path / "queries.csv").write_text(f"{head}\nsound->image,s,river,2.0,\n")
    with pytest.raises(DataError, match=r"queries\.csv: not the queries of a report \(query s: average_precision"):
        read_report(tmp_path)
    (tmp_path / "queries.csv").unlink()
    assert read_report(tmp_path).directions["sound->image"].query_figures == ()


def test_one_modality_has_a_report_too(media, tmp_path):
    images, _ = media
    text = write_report(evaluate(images, None, **SETTING), tmp_path, images=images, sounds=None).read_text()
    assert "image → image" in text
    assert "sound → image" not in text
    assert list(read_report(tmp_path).directions) == ["image->image"]


def test_codes_of_another_run_are_refused_and_nothing_is_written(media, tmp_path):
    images, sounds = media
    report = evaluate(*media, **SETTING)
    with pytest.raises(CodesError, match="encoder other"):
        write_report(report, tmp_path / "r", images=replace(images, encoder="other"), sounds=sounds)
    with pytest.raises(DataError, match="not among the codes"):
        write_report(report, tmp_path / "r", images=images, sounds=sounds.select([0]))
    assert not (tmp_path / "r").exists()


def test_what_is_no_report_is_named(tmp_path):
    with pytest.raises(DataError, match=r"report\.json: no report here"):
        read_report(tmp_path / "report.json")
    for text in ("{", "[]", '{"version": 7}', '{"version": 1}'):
        (tmp_path / "report.json").write_text(text)
        with pytest.raises(DataError, match=r"report\.json: "):
            read_report(tmp_path)


def test_the_page_is_made_again_from_what_was_written(folder, tmp_path):
    written = (folder / "index.html").read_text()
    (folder / "index.html").unlink()
    assert rewrite_page(folder) == rewrite_page(folder / "report.json") == folder / "index.html"
    assert (folder / "index.html").read_text() == written
    moved = tmp_path / "far" / "away"
    moved.mkdir(parents=True)
    (moved / "report.json").write_bytes((folder / "report.json").read_bytes())
    text = rewrite_page(moved).read_text()
    assert "the picture can't be read" in text
    assert "data:audio" not in text
    assert "<h3>Worst queries" in text
    with pytest.raises(DataError, match="no report here"):
        rewrite_page(tmp_path / "nowhere")


def test_paths_in_the_json_start_from_its_folder(media, folder):
    found = json.loads((folder / "report.json").read_text())["examples"]["sound->image"]["best"][0]
    item = found["hits"][0]["item"]
    assert not item["path"].startswith("/")
    assert (folder / item["path"]).resolve().name == f"{item['pair']}.png"
    assert found["hits"][0]["right"] is True
    distances = [hit["distance"] for hit in found["hits"]]
    assert distances == sorted(distances)


@pytest.mark.parametrize("change", ["query", "hits", "right"])
def test_examples_that_are_none_are_named(folder, tmp_path, change):
    entry = json.loads((folder / "report.json").read_text())
    example = entry["examples"]["sound->image"]["best"][0]
    {"query": example, "hits": example, "right": example["hits"][0]}[change].pop(change)
    (tmp_path / "report.json").write_text(json.dumps(entry))
    with pytest.raises(DataError, match=r"report\.json: not the examples of a report"):
        read_report(tmp_path)


def test_the_schema_fits_what_is_written_and_nothing_else(media, folder, tmp_path):
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed: pip install 'dtbh[dev]'")
    schema = json.loads(write_report_schema(tmp_path / "schema.json").read_text())
    assert schema == report_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    entry = json.loads((folder / "report.json").read_text())
    check.validate(entry)
    images, _ = media
    write_report(evaluate(images, None, **{**SETTING, "leakage": {}}), tmp_path, images=images, sounds=None)
    check.validate(json.loads((tmp_path / "report.json").read_text()))
    direction = entry["directions"]["sound->image"]
    for where, key, value in (
        (entry, "version", 1), (entry, "bits", "64"), (entry, "more", 0), (entry["leakage"], "more", 0),
        (direction, "map", None), (direction, "more", 0), (direction["confusion"], "labels", [1]),
        (entry["directions"], "image->smell", direction),
    ):  # fmt: skip
        before = dict(where)
        where[key] = value
        assert not check.is_valid(entry), key
        where.clear()
        where.update(before)
    del direction["map"]
    assert not check.is_valid(entry)


def test_the_schema_says_what_each_field_means():
    definitions = report_schema()["$defs"]
    for name, definition in definitions.items():
        assert definition["description"], name
    assert "Mean average precision" in definitions["DirectionReport"]["properties"]["map"]["description"]
    described = [field for one in ("DirectionReport", "RetrievalReport", "PairFigures", "Item", "Hit")
                 for field in definitions[one]["properties"].values()]  # fmt: skip
    assert all(field["description"] for field in described)


def test_the_command_line_makes_the_page_again_and_writes_the_schema(folder, tmp_path, capsys):
    assert main(["report", str(folder)]) == 0
    assert capsys.readouterr().out == f"report: {folder / 'index.html'}\n"
    assert main(["schema", "--report", str(tmp_path / "report.schema.json")]) == 0
    assert json.loads((tmp_path / "report.schema.json").read_text()) == report_schema()
    assert main(["report", str(tmp_path)]) == 2
    assert "no report here or below; make one with: dtbh evaluate" in capsys.readouterr().err
