"""More of the page in a real Chromium: recordings that end by themselves, choosing, comparing, batches, the visit."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dtbh.codes import HashCodes
from dtbh.index.archive.archive import create_archive, open_archive
from tests.browser import Visit, Visiting, launched
from tests.tones import tones
from tests.web.conftest import Making, Serving

CARDS = "#hits:not([aria-busy]) .card"
MODULE = "import('./static/recorder.js')"


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A microphone that hears one and a half seconds of a voice, then twelve of an empty room."""
    path = tmp_path_factory.mktemp("microphone") / "red.wav"
    wave, rate = tones("red", "v0", 0, 0)
    voice = np.resize(wave, int(1.5 * rate))
    soundfile.write(path, np.concatenate([voice, np.zeros(12 * rate, voice.dtype)]), rate, subtype="PCM_16")
    with launched(f"--use-file-for-fake-audio-capture={path}") as browser:
        yield browser


@pytest.fixture(scope="module")
def placed(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny archive, with footprints."""
    tiny = open_archive(tiny_archive)
    codes = tiny.codes([item.id for item in tiny.items(range(len(tiny)))])
    ring = ((11.0, 48.0), (11.0, 48.1), (11.1, 48.1), (11.1, 48.0))  # clockwise
    items = tuple(
        replace(item, transcript=None, footprint=ring if item.modality == "image" else None, fields={"sensor": "S2"})
        for item in codes.items
    )
    path = tmp_path_factory.mktemp("placed") / "a"
    create_archive(path, HashCodes(codes.words, codes.bits, codes.encoder, items), model=tiny.model)
    return path


@pytest.fixture(scope="module")
def address(make: Making, serving: Serving, placed: Path) -> Iterator[str]:
    with serving(make(placed)) as served:
        yield served


@pytest.fixture
def go(visit: Visiting) -> Visiting:
    return partial(visit, bypass_csp=True, permissions=["microphone"])


def started(go: Visiting, address: str) -> Visit:
    seen = go(address)
    seen.page.wait_for_selector("#samples img")
    return seen


def test_a_recording_ends_at_silence_and_can_be_heard_before_it_is_sent(address: str, go: Visiting) -> None:
    seen = started(go, address)
    seen.page.check("#review")
    seen.page.click("#mic")
    seen.page.wait_for_selector("#level:not([hidden])")
    seen.page.wait_for_function("document.querySelector('#level path').getAttribute('d').includes('V')")
    seen.page.wait_for_selector("#again:not([hidden])")  # nobody pressed again
    seconds = seen.page.evaluate(
        "new Promise(done => { const a = document.querySelector('#again audio');"
        "a.duration ? done(a.duration) : a.onloadedmetadata = () => done(a.duration); })"
    )
    assert 1.2 < seconds < 9
    assert seen.page.evaluate("document.activeElement.textContent") == "Search with it"
    assert not [asked for asked in seen.requests if "/v1/search" in asked]
    seen.page.click("text=Drop it")
    assert seen.page.evaluate("document.activeElement.id") == "mic"
    seen.page.uncheck("#review")
    seen.page.click("#mic")
    seen.page.wait_for_selector(CARDS)
    assert seen.page.inner_text("#result-name") == "spoken query"
    assert seen.errors == []


LEVELS = """levels => import("./static/recorder.js").then(({ pauses }) => {
  const silent = pauses();
  return levels.findIndex((level, i) => silent(level, i / 20));
})"""


@pytest.mark.parametrize(
    ("levels", "ends"),
    [
        ([0.001] * 20 + [0.1] * 20 + [0.001] * 60, 39 + 25),  # after the voice, and 1.2 s
        ([0.02] * 20 + [0.2] * 20 + [0.02] * 60, 39 + 25),  # in a louder room
        ([0.001] * 200, -1),  # nobody has spoken yet
        ([0.2] * 200, -1),  # one who does not stop
        (([0.1] * 10 + [0.001] * 15) * 8, -1),  # breaths
        ([0.001] * 20 + [0.1] * 2 + [0.001] * 100, -1),  # a click
    ],
)
def test_when_somebody_has_said_it(address: str, go: Visiting, levels: list[float], ends: int) -> None:
    assert started(go, address).page.evaluate(LEVELS, levels) in (ends, ends + 1)


def test_mp4_where_there_is_no_webm(address: str, go: Visiting) -> None:
    seen = started(go, address)
    assert seen.page.evaluate(f"{MODULE}.then(({{ kind }}) => kind())").startswith("audio/webm")
    seen.page.evaluate("MediaRecorder.isTypeSupported = type => type === 'audio/mp4'")  # as Safari has it
    assert seen.page.evaluate(f"{MODULE}.then(({{ kind }}) => kind())") == "audio/mp4"


def test_what_the_browser_cannot_read_itself_is_sent_as_it_is(address: str, go: Visiting) -> None:
    pytest.importorskip("av", reason="PyAV is not installed: pip install 'dtbh[av]'")
    seen = started(go, address)
    seen.page.evaluate("() => { window.OfflineAudioContext = class { constructor() { throw new Error('no'); } } }")
    sent = []
    seen.page.on("request", lambda request: "/search/sound" in request.url and sent.append(request.post_data_buffer))
    seen.page.click("#mic")
    seen.page.wait_for_selector(CARDS)
    assert b"Content-Type: audio/webm" in sent[0]
    assert seen.page.inner_text("#result-name") == "spoken query"


def test_choosing_comparing_and_taking_away(address: str, go: Visiting, tiny_data: Path) -> None:
    seen = started(go, address)
    seen.page.locator("#samples button").first.click()
    seen.page.wait_for_selector(CARDS)
    assert seen.page.locator("#chosen").is_hidden()
    for place in (4, 0, 2):
        seen.page.locator(".choose").nth(place).check()
    assert seen.page.inner_text("#chosen-count") == "3 chosen"
    seen.page.click("#compare-chosen")
    assert [name[:2] for name in seen.page.locator("#compare h3").all_inner_texts()] == ["1.", "3.", "5."]
    assert seen.page.locator("#compare .bits").count() == 3
    seen.page.click("#compare form button")
    saved = {}
    for kind in ("csv", "geojson", "zip"):
        with seen.page.expect_download() as download:
            seen.page.click(f"#{kind}-chosen")
        saved[kind] = Path(download.value.path()).read_bytes()
    rows = list(csv.DictReader(io.StringIO(saved["csv"].decode())))
    assert [row["rank"] for row in rows] == ["1", "3", "5"]
    features = json.loads(saved["geojson"])["features"]
    assert [one["properties"]["id"] for one in features] == [row["id"] for row in rows]
    ring = features[0]["geometry"]["coordinates"][0]
    assert ring == [[11.1, 48.0], [11.1, 48.1], [11.0, 48.1], [11.0, 48.0], [11.1, 48.0]]  # counterclockwise
    assert features[0]["properties"]["sensor"] == "S2"
    with zipfile.ZipFile(io.BytesIO(saved["zip"])) as files:
        assert [*files.namelist()] == [*(f"{n:03d}-{row['id']}.png" for n, row in enumerate(rows, 1)), "items.json"]
    seen.page.fill("#distance", "11")  # the same query: those that are still there stay chosen
    seen.page.wait_for_function("location.search.includes('distance=11')")
    assert seen.page.locator(".choose:checked").count() == 3
    seen.page.locator(f"{CARDS} .like").last.click()
    seen.page.wait_for_selector("#chosen", state="hidden")
    assert seen.errors == []


def test_several_files_are_a_batch(address: str, go: Visiting, tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_text("no sound")
    (tmp_path / "notes.txt").write_text("not sent at all")
    images = [tiny_data / "images" / f"{name}.png" for name in ("blue3", "red4")]
    seen = started(go, address)
    seen.page.set_input_files("#file", [*images, tmp_path / "bad.wav", tmp_path / "notes.txt"])
    seen.page.wait_for_selector("#batch-more:not([hidden])")
    assert seen.page.inner_text("#batch-name") == "3 queries"
    assert seen.page.inner_text("#batch-said") == "2 answered, 1 left out"
    assert seen.page.inner_text("#batch-hits .failed").startswith("bad.wav: not a sound")
    with seen.page.expect_download() as download:
        seen.page.click("#batch-csv")
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert [(row["query"], row["rank"]) for row in rows[9:11]] == [("blue3.png", "10"), ("red4.png", "1")]
    again = seen.page.request.post(f"{address}/v1/search/batch?format=csv", multipart={
        "file": {"name": "blue3.png", "mimeType": "image/png", "buffer": images[0].read_bytes()}
    }).text()  # fmt: skip
    assert re.findall("^data: (.*)$", again.split("event: result")[1], re.M)[0].split(",")[:3] == [*rows[0]][:3]
    seen.page.click("#batch-hits button >> nth=1")
    seen.page.wait_for_selector(CARDS)
    assert seen.page.inner_text("#result-name") == "red4.png"
    assert seen.page.locator(f"{CARDS} .line b").first.inner_text() == "red"
    seen.page.click("#batch-close")
    assert seen.page.locator("#batch").is_hidden()


def test_the_queries_of_this_visit(address: str, go: Visiting, tiny_data: Path) -> None:
    seen = started(go, address)
    asked = "#visited button"
    assert seen.page.locator("#visited").is_hidden()
    seen.page.set_input_files("#file", tiny_data / "images" / "blue3.png")
    seen.page.wait_for_selector(CARDS)
    found = seen.page.locator("#hits .card").all_inner_texts()
    seen.page.locator(f"{CARDS} .like").first.click()
    seen.page.wait_for_function(f"document.querySelectorAll('{asked}').length === 2")
    assert seen.page.locator(asked).last.inner_text() == "blue3.png"
    assert seen.page.locator(f"{asked}[aria-current]").inner_text().startswith("like ")
    seen.page.reload()
    seen.page.wait_for_selector(CARDS)
    seen.page.locator(asked).last.click()
    seen.page.wait_for_function("document.querySelector('#result-name').textContent === 'blue3.png'")
    assert seen.page.locator("#hits .card").all_inner_texts() == found
    assert seen.page.locator("#asked img").count() == 1
    assert seen.page.locator(asked).all_inner_texts()[0] == "blue3.png"
    assert started(go, address).page.locator("#visited").is_hidden()  # another visit
    assert seen.errors == []
