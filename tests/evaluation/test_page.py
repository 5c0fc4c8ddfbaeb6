"""The page: that it stands alone and is well formed, says what it must, and works in a browser without any network."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import combinations

import numpy as np
import pytest
import soundfile
from PIL import Image

from dtbh.codes import Embeddings
from dtbh.evaluation.evaluate import evaluate
from dtbh.evaluation.metrics.radius import RadiusPoint
from dtbh.evaluation.page import charts
from dtbh.evaluation.page.axes import Plot, Scale, powers, whole
from dtbh.evaluation.page.classes import matrix
from dtbh.evaluation.page.html import percent
from dtbh.evaluation.page.media import clip, thumbnail
from dtbh.evaluation.page.overview import COLOURS
from dtbh.evaluation.page.style import CSS
from dtbh.evaluation.report import write_report
from dtbh.evaluation.results.values import CROSS, WITHIN, Confusion, CutPoint
from tests.evaluation.conftest import SETTING, make_codes, tone

VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Collects tags, ids and addresses, and fails on a tag that closes what is not open."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.addresses, self.ids = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text(folder):
    return (folder / "index.html").read_text()


def test_the_page_stands_alone_and_is_well_formed(text):
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    data = [address for address in checker.addresses if not address.startswith("#")]
    assert len(data) > 20
    assert {address.partition(",")[0] for address in data} == {
        "data:image/jpeg;base64", "data:image/png;base64", "data:audio/mpeg;base64"
    }  # fmt: skip
    assert {address[1:] for address in checker.addresses if address.startswith("#")} <= set(checker.ids)
    assert len(set(checker.ids)) == len(checker.ids)
    assert not re.search(r"https?://|url\(|@import", text)
    assert "prefers-color-scheme: dark" in text
    assert checker.seen.count("svg") == 2 * 6


def test_the_page_says_the_figures_chance_and_leaks(media, text):
    for direction in evaluate(*media, **SETTING).directions.values():
        assert f"{direction.map:.3f}<small>mAP" in text
        assert f"chance {direction.chance_map:.3f}" in text
        for value in (*direction.conventions.values(), *direction.ndcg_at.values(), direction.anmrr):
            assert f"{value:.3f}" in text
    for words in (
        "<b>25%</b> say word for word what a training sound says <small>6 of 24",
        "<b>50%</b> are in a voice of training <small>12 of 24",
        "averaged over all orders",
        "best mean mAP on validation",
        "MiLaN, DeepHash, torchmetrics",
    ):
        assert words in text


def test_the_page_says_what_hashing_cost(media, tmp_path, text):
    assert not re.search("Before the signs|Cost of hashing", text)
    items = [item for codes in media for item in codes.items]
    values = Embeddings(np.random.default_rng(0).normal(size=(len(items), 7)), items)
    report = evaluate(*media, **SETTING, embeddings=values)
    text = write_report(report, tmp_path, images=media[0], sounds=media[1], examples=0).read_text()
    for direction in report.directions.values():
        for metric, one in direction.embeddings.items():
            low, high = one.cost_interval
            assert f"{metric}, 7</th><td>{one.map:.3f}<small>{one.interval[0]:.3f} to" in text
            assert f"<td>{one.cost:+.3f}<small>{low:+.3f} to {high:+.3f}" in text


def test_what_can_not_be_shown_is_said(media, tmp_path):
    images, sounds = media
    broken = images.select([item.label != "beach" or item.pair == "beach-0" for item in images.items])
    silent = sounds.select([item.label != "beach" or item.pair == "beach-0" for item in sounds.items])
    text = write_report(evaluate(broken, silent, **SETTING), tmp_path, images=broken, sounds=silent).read_text()
    assert "i-beach-0: the picture can't be read" in text
    assert "s-beach-0-0: the sound can't be read" in text
    assert "first 12.0 s" in text  # of s-beach-0-1, which is longer


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
    setting = {**SETTING, "checkpoint_rule": nasty, "protocol": nasty, "splits": {nasty: {nasty: 1}}}
    text = write_report(evaluate(images, sounds, **setting), tmp_path, images=images, sounds=sounds).read_text()
    assert "<script>alert" not in text
    assert "beach<b>" not in text
    assert "beach&lt;b&gt;&amp;" in text


def test_examples_can_be_left_out(media, tmp_path):
    images, sounds = media
    report = evaluate(*media, **SETTING)
    none = write_report(report, tmp_path / "none", images=images, sounds=sounds, examples=0).read_text()
    one = write_report(report, tmp_path / "one", images=images, sounds=sounds, examples=1).read_text()
    assert none.count('<article class="query"') == 0
    assert one.count('<article class="query"') == 4


def test_all_directions_what_is_not_known_and_what_was_left_out(media, tmp_path):
    images, sounds = (
        replace(codes, items=tuple(replace(item, pair=None, label=item.label if n else None)
                                   for n, item in enumerate(codes.items)))
        for codes in media
    )  # fmt: skip
    report = evaluate(images, sounds, **{**SETTING, "leakage": {}}, directions=CROSS + WITHIN)
    text = write_report(report, tmp_path, images=images, sounds=sounds).read_text()
    assert text.count('class="panel') == 4
    assert "True pairs are not known" in text
    assert "<p>Not known.</p>" in text
    assert "1 item of the queries without a label left out." in text
    for part in re.findall(r'id="image-to-image".*?</section>', text, re.DOTALL):
        for query, hits in re.findall(r'class="asked"><img [^>]*title="([^"]+)">.*?<ol(.*?)</ol>', part, re.DOTALL):
            assert f'title="{query}"' not in hits  # a query does not find itself


def test_pictures_and_sounds_are_small(media):
    images, sounds = media
    source = thumbnail(images.items[1])
    picture = Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2])))
    assert (picture.format, picture.size, picture.mode) == ("JPEG", (128, 128), "RGB")
    made = clip(next(item for item in sounds.items if item.pair == "river-1"))
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(made.source.partition(",")[2])))
    assert rate == 16000
    assert made.seconds == pytest.approx(1.0)
    assert len(made.source) < 9000
    assert abs(np.fft.rfft(samples[4000:12000])).argmax() * 2 == pytest.approx(tone_of(sounds, "river-1"), abs=4)


def tone_of(sounds, pair):
    return 300 + 40 * next(n for n, item in enumerate(sounds.items) if item.pair == pair)


def test_a_spectrogram_shows_where_the_sound_is(tmp_path, media):
    item = media[1].items[2]
    soundfile.write(tmp_path / "late.wav", np.concatenate([np.zeros(8000), tone(1000, 0.5)]), 16000)
    made = clip(replace(item, path=str(tmp_path / "late.wav")))
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(made.picture.partition(",")[2]))).convert("RGBA"))
    ink = picture[..., 3].astype(float)
    assert ink[:, : ink.shape[1] // 2 - 6].max() == 0
    rows = ink[:, ink.shape[1] // 2 + 10 :].sum(axis=1)
    mel = 2595 * np.log10(1 + np.array([60, 1000, 8000]) / 700)
    assert rows.argmax() == pytest.approx(len(rows) * (1 - (mel[1] - mel[0]) / (mel[2] - mel[0])), abs=2)


@pytest.mark.parametrize("bits", [1, 7, 64, 600, 5000])
def test_charts_of_any_length_can_be_drawn(bits):
    counts = [1] * (bits + 1)
    assert 2 <= charts.distances(counts, [0] * (bits + 1)).count("<text") <= 20
    balance = {"queries": [0.5] * bits, "gallery": [0.0] * bits}
    assert f"{bits} never change" in charts.bit_use(balance)


def test_charts_stay_in_their_frame():
    """Every point of every line lies where its numbers say; labels at the ends do not cover each other."""
    curve = [CutPoint(1, 1.0, 0.0), CutPoint(10, 0.5, 0.5), CutPoint(100, 0.1, 1.0)]
    drawn = charts.top_k(curve, 0.1)
    lines = re.findall(r'<polyline class="line (\w+)[^"]*" points="([^"]+)"', drawn)
    points = {kind: [tuple(map(float, p.split(","))) for p in line.split()] for kind, line in lines}
    (x1, y1), (x10, y10), (x100, _) = points["own"]
    assert x10 - x1 == pytest.approx(x100 - x10, abs=0.2)  # the scale is logarithmic
    assert (y1, points["ink"][2][1]) == (30.0, 30.0)  # both 1
    assert y10 == points["ink"][1][1] == pytest.approx((30 + 258) / 2)
    ends = [float(y) for y in re.findall(r'<text x="[\d.]+" y="([\d.]+)" class="label', drawn)]
    assert np.diff(sorted(ends)).min() >= 15
    alone = [RadiusPoint(0, 1.0, 1.0, 1.0)]
    assert "<svg" in charts.within_radius(alone) + charts.precision_recall(alone, 0.5)


def test_scales():
    assert [text for _, text in whole(64).ticks] == ["0", "8", "16", "24", "32", "40", "48", "56", "64"]
    assert [text for _, text in powers(2100).ticks] == ["1", "10", "100", "1,000"]
    assert powers(1).high > 1
    assert Scale(0, 10, ()).place(5) == 0.5
    assert (
        'aria-label="a &lt;b&gt; &quot;c&quot;"' in Plot('a <b> "c"', whole(2), whole(2), x_label="", y_label="").svg()
    )
    assert [percent(value) for value in (0, 0.001, 0.25, 0.999, 1)] == ["0%", "under 1%", "25%", "over 99%", "100%"]


def test_the_confusion_draws_what_it_holds():
    drawn = matrix(Confusion(("a", "b<c"), ((0.9, 0.1), (0.0, 1.0))))
    assert re.findall(r"<title>(.*?)</title>", drawn) == [
        "a → a: 90.0%",
        "a → b&lt;c: 10.0%",
        "b&lt;c → b&lt;c: 100.0%",
    ]
    strength = [float(value) for value in re.findall(r'fill-opacity="([\d.]+)"', drawn)]
    assert strength[2] == 1 > strength[0] > strength[1] > 0


def chosen(page):
    """Titles of the tabs that are chosen, and the panels that are seen."""
    return (
        page.locator('[role=tab][aria-selected="true"]').all_inner_texts(),
        [panel.get_attribute("id") for panel in page.locator(".panel").all() if panel.is_visible()],
    )


def test_tabs_and_players_in_a_browser(visit, folder):
    seen = visit(folder / "index.html")
    page = seen.page
    assert chosen(page) == (["sound → image"], ["sound-to-image"])
    page.get_by_role("tab", name="image → sound").click()
    assert chosen(page) == (["image → sound"], ["image-to-sound"])
    assert page.url.endswith("#image-to-sound")
    page.keyboard.press("ArrowRight")  # round to the first
    assert chosen(page) == (["sound → image"], ["sound-to-image"])
    page.keyboard.press("End")
    assert chosen(page) == (["image → sound"], ["image-to-sound"])
    player = page.locator(".panel:visible .hits .sound button").first
    player.click()
    assert player.get_attribute("aria-pressed") == "true"
    assert seen.advances() > 0.15
    other = page.locator(".panel:visible .hits .sound button").nth(1)
    other.click()
    assert (player.get_attribute("aria-pressed"), other.get_attribute("aria-pressed")) == ("false", "true")
    seen.advances()
    other.click()
    assert page.evaluate("document.querySelector('audio').paused")
    player.click()  # to its end: it gives the button back
    page.wait_for_function("document.querySelector('audio').ended")
    page.wait_for_function("!document.querySelector('[aria-pressed=true]')")
    assert seen.errors == seen.outside == []


def test_the_class_table_sorts(visit, folder):
    page = visit(folder / "index.html").page
    table = page.locator(".panel:visible .classes")

    def column(number):
        return table.locator(f"tbody tr > :nth-child({number})").all_inner_texts()

    values = [float(value) for value in column(3)]
    assert values == sorted(values, reverse=True)
    table.get_by_role("button", name="mAP").click()
    assert [float(value) for value in column(3)] == sorted(values)
    assert table.locator("th[aria-sort=ascending]").inner_text().startswith("mAP")
    table.get_by_role("button", name="class").click()
    assert column(1) == ["beach", "forest", "river"]
    table.get_by_role("button", name="class").click()
    assert column(1) == ["river", "forest", "beach"]


def test_an_address_opens_its_tab_and_a_card_leads_to_it(visit, folder):
    page = visit((folder / "index.html").as_uri() + "#image-to-sound").page
    assert chosen(page)[1] == ["image-to-sound"]
    page.locator("a.card").first.click()
    page.wait_for_function("document.querySelector('[aria-selected=true]').hash === '#sound-to-image'")
    assert chosen(page)[1] == ["sound-to-image"]


def test_without_script_all_stands_there_and_plays(visit, folder):
    seen = visit(folder / "index.html", java_script_enabled=False)
    assert chosen(seen.page) == ([], ["sound-to-image", "image-to-sound"])
    assert seen.page.locator("audio[controls]").count() > 10
    assert seen.page.locator(".panel h2:visible").count() == 2
    assert seen.errors == seen.outside == []


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_its_words_stand_out(visit, folder, dark):
    seen = visit(folder / "index.html", width=360, height=740, dark=dark)
    assert seen.page.evaluate("document.documentElement.scrollWidth") == 360
    weak = seen.page.evaluate(CONTRASTS)
    assert len(json.loads(weak)["seen"]) >= 4
    assert json.loads(weak)["weak"] == []


# Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation of Color Vision Deficiency, 2009:
# severity 1, linear RGB.
SIGHT = {
    "all cones": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def lab_of(colour, sight):
    """CIE L*a*b* of a colour as someone sees it; 2.3 is a difference just noticed."""
    shares = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    seen = np.clip(np.array(sight) @ linear, 0, 1)
    x, y, z = np.cbrt(to_xyz @ seen / [0.9505, 1.0, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_directions_are_told_apart_by_any_eye(sight, theme):
    colours = [re.findall(rf"--{name}: (#\w{{6}})", CSS)[theme] for name in COLOURS]
    seen = [lab_of(colour, SIGHT[sight]) for colour in colours]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 16


CONTRASTS = """() => {
  const parts = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const rgb = parts(getComputedStyle(e).backgroundColor);
      if (rgb.length === 3 || rgb[3] === 1) return rgb;
    }
    return [255, 255, 255];
  };
  const weak = [], seen = new Set();
  for (const e of document.querySelectorAll("main *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest(".onto, title")) continue;
    const style = getComputedStyle(e), colour = parts(e.closest("svg") ? style.fill : style.color);
    seen.add(String(colour));
    const [a, b] = [light(colour), light(ground(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) weak.push([e.tagName, e.className.baseVal ?? e.className, e.textContent.slice(0, 30), ratio]);
  }
  return JSON.stringify({ weak, seen: [...seen] });
}"""
