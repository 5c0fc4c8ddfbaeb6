"""What is written, and that the page stands alone."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from PIL import Image

from dtbh.errors import CodesError, DataError
from dtbh.evaluation.charts import distance_histogram
from dtbh.evaluation.protocol import evaluate
from dtbh.evaluation.report import read_report, write_report
from tests.evaluation.conftest import SETTING, make_codes

VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Collects tags and addresses, and fails on a tag that closes what is not open."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.addresses = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """Codes with their media: one picture is damaged, one clip is absent, one too large."""
    root = tmp_path_factory.mktemp("media")
    images, sounds = make_codes(root=root)
    for item in images.items:
        Image.new("RGB", (300, 200), "green").save(item.path)
    for item in sounds.items:
        soundfile.write(item.path, np.zeros(1600), 16000)
    (root / "beach-0.png").write_bytes(b"not a picture")
    (root / "beach-0-0.wav").unlink()
    soundfile.write(root / "beach-0-1.wav", np.zeros(200_000), 16000)  # larger than a page embeds
    return images, sounds


@pytest.fixture(scope="module")
def folder(media, tmp_path_factory):
    """A written report."""
    images, sounds = media
    place = tmp_path_factory.mktemp("out") / "report"
    page = write_report(evaluate(*media, **SETTING), place, images=images, sounds=sounds)
    assert page == place / "index.html"
    return place


def test_the_json_is_the_report(media, folder):
    report = evaluate(*media, **SETTING)
    assert read_report(folder) == read_report(folder / "report.json") == report
    entry = json.loads((folder / "report.json").read_text())
    assert entry["directions"]["sound->image"]["map"] == report.directions["sound->image"].map


def test_every_query_is_written_and_read_back(media, folder):
    report = evaluate(*media, **SETTING)
    lines = (folder / "queries.csv").read_text().splitlines()
    assert lines[0] == "direction,id,label,average_precision,pair_rank"
    assert len(lines) == 1 + 24 + 12
    assert "queries" not in json.loads((folder / "report.json").read_text())["directions"]["sound->image"]
    for name, direction in read_report(folder).directions.items():
        assert direction.query_figures == report.directions[name].query_figures
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


def test_the_page_stands_alone_and_is_well_formed(folder):
    text = (folder / "index.html").read_text()
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert len(checker.addresses) > 20
    assert all(address.startswith("data:image/jpeg;base64,") for address in checker.addresses)
    assert not re.search(r"https?://|url\(|@import", text)
    assert "prefers-color-scheme: dark" in text
    assert checker.seen.count("svg") == 2  # both directions see the same distances, so one histogram


def test_the_page_says_the_figures_chance_and_leaks(media, folder):
    text = (folder / "index.html").read_text()
    for direction in evaluate(*media, **SETTING).directions.values():
        assert f"{direction.map:.3f}<small>mAP" in text
        assert f"chance {direction.chance_map:.3f}" in text
    for words in (
        "6 (25%) say what training says",
        "averaged over all orders",
        "best mean mAP on validation",
    ):
        assert words in text


def test_sounds_play_from_the_page_and_what_can_not_be_shown_is_said(folder):
    text = (folder / "index.html").read_text()
    clips = json.loads(re.search(r'id="clips">(.*?)</script>', text).group(1))
    assert set(re.findall(r'data-clip="([^"]+)"', text)) == set(clips)
    assert all(clip.startswith("data:audio/wav;base64,") for clip in clips.values())
    assert not {"s-beach-0-0", "s-beach-0-1"} & set(clips)


def test_a_damaged_picture_and_a_missing_clip_leave_a_word(media, tmp_path):
    images, sounds = media
    broken = images.select([item.label != "beach" or item.pair == "beach-0" for item in images.items])
    silent = sounds.select([item.label != "beach" or item.pair == "beach-0" for item in sounds.items])
    text = write_report(evaluate(broken, silent, **SETTING), tmp_path, images=broken, sounds=silent).read_text()
    assert "i-beach-0: picture can't be read" in text
    assert ">no sound</button>" in text


def test_text_is_escaped(tmp_path):
    images, sounds = make_codes()
    nasty = "</script><script>alert(1)</script>"
    images, sounds = (
        replace(
            codes,
            items=tuple(
                replace(item, label=f"{item.label}<b>&", transcript=nasty if item.speaker else None)
                for item in codes.items
            ),
        )
        for codes in (images, sounds)
    )
    report = evaluate(images, sounds, **{**SETTING, "checkpoint_rule": nasty})
    text = write_report(report, tmp_path, images=images, sounds=sounds).read_text()
    assert "<script>alert" not in text
    assert "beach&lt;b&gt;&amp;" in text


def test_examples_can_be_left_out(media, tmp_path):
    images, sounds = media
    report = evaluate(*media, **SETTING)
    none = write_report(report, tmp_path / "none", images=images, sounds=sounds, examples=0).read_text()
    one = write_report(report, tmp_path / "one", images=images, sounds=sounds, examples=1).read_text()
    assert none.count('class="card query"') == 0
    assert one.count('class="card query"') == 4


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


@pytest.mark.parametrize("bits", [1, 7, 64, 600, 5000])
def test_a_histogram_of_any_length_can_be_drawn(bits):
    counts = [1] * (bits + 1)
    assert 2 <= distance_histogram(counts, [0] * (bits + 1)).count("<text") <= 20
