"""The page in a real Chromium: somebody speaks, and sees the tiles."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from dtbh.codes import HashCodes
from dtbh.data.manifest import Item
from dtbh.index.archive.archive import create_archive, open_archive
from dtbh.models.encoder import Encoder
from tests.browser import Visit, Visiting, launched
from tests.tones import tones
from tests.web.conftest import Making, Serving

if TYPE_CHECKING:
    from playwright.sync_api import Route

CARDS = "#hits:not([aria-busy]) .card"


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the fake microphone hears, again and again."""
    path = tmp_path_factory.mktemp("microphone") / "red.wav"
    soundfile.write(path, *tones("red", "v0", 0, 0), subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def chromium(spoken: Path) -> Iterator[object]:
    with launched(f"--use-file-for-fake-audio-capture={spoken}") as browser:
        yield browser


def labels(seen: Visit) -> list[str]:
    return seen.page.locator(f"{CARDS} .line b").all_inner_texts()


def ask(seen: Visit, path: Path) -> None:
    seen.page.set_input_files("#file", path)
    seen.page.wait_for_selector(CARDS)


def test_it_loads_and_asks_nobody_else(address: str, visit: Visiting) -> None:
    seen = visit(address)
    seen.page.wait_for_selector("#samples img")
    assert seen.page.locator("#samples li").count() == 14
    assert seen.page.inner_text("#about") == "36 images, 72 sounds"
    for image in seen.page.locator("#samples img").all()[:7]:
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 16
    assert seen.outside == []
    assert seen.errors == []


def test_a_sound_file_finds_tiles(address: str, visit: Visiting, spoken: Path, client) -> None:
    seen = visit(address)
    ask(seen, spoken)
    (answer,) = client.post("/v1/search/sound?k=30", files={"file": spoken.read_bytes()}).json()["queries"]
    assert labels(seen) == [hit["label"] for hit in answer["hits"]]
    assert labels(seen)[0] == "red"
    assert seen.page.inner_text("#result-name") == "red.wav"
    assert seen.page.evaluate("document.activeElement.id") == "result-name"
    hit = answer["hits"][0]
    card = seen.page.locator(CARDS).first
    assert f"distance {hit['distance']}" in card.inner_text()
    assert (
        card.locator(".bits").get_attribute("aria-label").startswith(("The 12 bits", f"{hit['distance']} of 12 bits"))
    )
    differing = card.locator(".bits path[class$=differs]").evaluate_all(
        "paths => paths.reduce((sum, path) => sum + (path.getAttribute('d').match(/M/g) || []).length, 0)"
    )
    assert differing == hit["distance"]
    assert seen.outside == seen.errors == []


def test_speaking_into_the_microphone(address: str, go: Visiting) -> None:
    seen = go(address, permissions=["microphone"])
    seen.page.wait_for_selector("#samples img")
    seen.page.click("#mic")
    # of one second alone, a busy machine's fake microphone may miss half
    seen.page.wait_for_function("document.querySelector('#spoken').textContent.startsWith('Listening, 3 s')")
    assert seen.page.inner_text("#mic-name") == "Stop and search"
    seen.page.click("#mic")
    seen.page.wait_for_selector(CARDS)
    assert seen.page.inner_text("#result-name") == "spoken query"
    assert labels(seen)[0] == "red"
    seen.page.click("#asked button")
    assert seen.advances() > 0
    seen.page.click("#mic")
    seen.page.wait_for_function("document.querySelector('#spoken').textContent.startsWith('Listening')")
    seen.page.keyboard.press("Escape")  # drops it
    seen.page.wait_for_selector("#mic:not(.on)")
    assert seen.errors == []


@pytest.mark.parametrize("slow", ["**/v1/archives", "**/v1/items?*"], ids=["what is served", "the samples"])
def test_a_file_chosen_while_the_page_still_loads(address: str, go: Visiting, spoken: Path, slow: str) -> None:
    held: list[Route] = []
    seen = go("about:blank")
    seen.page.route(slow, lambda route: held.append(route))
    seen.page.goto(address)
    seen.page.wait_for_function("performance.getEntriesByType('resource').some(one => one.name.endsWith('.js'))")
    seen.page.set_input_files("#file", spoken)
    seen.page.wait_for_timeout(300)
    while held:
        held.pop().continue_()
    seen.page.wait_for_selector(CARDS)
    assert seen.page.locator("#begin").is_hidden()
    assert labels(seen)[0] == "red"
    assert seen.errors == []


def test_a_clip_plays(address: str, go: Visiting, tiny_data: Path) -> None:
    seen = go(address)
    ask(seen, next((tiny_data / "images").glob("green*.png")))
    assert seen.page.locator("#hits.sounds").count() == 1
    button = seen.page.locator(f"{CARDS} .sound button").first
    button.click()
    assert seen.advances() > 0.1
    assert seen.errors == []


def test_more_like_this_and_back(address: str, go: Visiting, spoken: Path) -> None:
    seen = go(address)
    ask(seen, spoken)
    before = labels(seen)
    seen.page.locator(f"{CARDS} .like").last.click()
    seen.page.wait_for_function("document.querySelector('#result-name').textContent.startsWith('More like')")
    wanted = f"More like {before[-1]}"
    assert seen.page.inner_text("#result-name") == wanted
    seen.page.wait_for_selector(CARDS)
    assert seen.page.locator(f"{CARDS} .bits").first.get_attribute("aria-label") == "The 12 bits of the code"
    seen.page.click("#tools label:has([value=sound])")
    seen.page.wait_for_selector("#hits.sounds:not([aria-busy]) .card")
    assert seen.page.inner_text("#result-name") == wanted
    seen.page.go_back()
    seen.page.wait_for_selector("#hits:not(.sounds):not([aria-busy]) .card")
    seen.page.go_back()
    seen.page.wait_for_function("document.querySelector('#result-name').textContent === 'red.wav'")
    assert labels(seen) == before
    assert seen.errors == []


def test_a_text_file_named_wav_is_an_error_in_one_sentence(
    address: str, go: Visiting, spoken: Path, tmp_path: Path
) -> None:
    (tmp_path / "notes.wav").write_text("no sound at all")
    seen = go(address)
    seen.page.wait_for_selector("#samples img")
    seen.page.set_input_files("#file", tmp_path / "notes.wav")
    seen.page.wait_for_selector("#error:not([hidden])")
    said = seen.page.inner_text("#error")
    assert said.startswith("notes.wav: not a sound that can be read")
    assert "/tmp" not in said
    ask(seen, spoken)
    assert seen.page.locator("#error").is_hidden()


def test_a_query_that_fails_leaves_what_was_found(address: str, go: Visiting, spoken: Path, tmp_path: Path) -> None:
    (tmp_path / "none.png").write_text("no image at all")
    seen = go(address)
    ask(seen, spoken)
    before = labels(seen)
    seen.page.set_input_files("#file", tmp_path / "none.png")
    seen.page.wait_for_selector("#error:not([hidden])")
    assert seen.page.locator("[name=find][value=image]").is_checked()
    seen.page.select_option("#label", before[0])
    seen.page.wait_for_function("location.search.includes('where')")
    assert seen.page.locator("#error").is_hidden()
    assert seen.page.inner_text("#result-name") == "red.wav"
    assert set(labels(seen)) == {before[0]}


def test_a_link_gives_the_same_hits(address: str, go: Visiting, spoken: Path) -> None:
    seen = go(address)
    ask(seen, spoken)
    seen.page.select_option("#label", "green")
    seen.page.wait_for_function("[...document.querySelectorAll('#hits .line b')].every(b => b.textContent === 'green')")
    seen.page.fill("#distance", "10")
    seen.page.wait_for_function("location.search.includes('distance=10')")
    seen.page.wait_for_selector("#hits:not([aria-busy])")
    cards = seen.page.locator("#hits .card").all_inner_texts()
    again = go(seen.page.url)
    again.page.wait_for_selector("#hits .card")
    assert again.page.locator("#hits .card").all_inner_texts() == cards
    assert again.page.input_value("#distance") == "10"
    assert again.page.inner_text("#result-name") == "red.wav"


def test_downloads(address: str, go: Visiting, spoken: Path) -> None:
    seen = go(address)
    ask(seen, spoken)
    saved = {}
    for kind in ("csv", "json"):
        with seen.page.expect_download() as download:
            seen.page.click(f"#{kind}")
        saved[kind] = Path(download.value.path()).read_text()
    hits = json.loads(saved["json"])["queries"][0]["hits"]
    rows = list(csv.DictReader(io.StringIO(saved["csv"])))
    assert [(row["id"], int(row["distance"])) for row in rows] == [(hit["id"], hit["distance"]) for hit in hits]


DROP = """([name, type, bytes, kind]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], name, { type }));
  const event = kind === "paste" ? new ClipboardEvent("paste", { clipboardData: data, bubbles: true })
    : new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
  document.body.dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_an_image_is_dropped_or_pasted(address: str, go: Visiting, tiny_data: Path, kind: str) -> None:
    image = tiny_data / "images" / "blue3.png"
    seen = go(address)
    seen.page.wait_for_selector("#samples img")
    seen.page.evaluate(DROP, ["blue3.png", "image/png", list(image.read_bytes()), kind])
    seen.page.wait_for_selector(CARDS)
    assert seen.page.locator("#asked img").count() == 1
    assert labels(seen)[0] == "blue"


def test_the_bits_of_narrow_cards_are_in_short_rows(address: str, go: Visiting, tiny_data: Path) -> None:
    seen = go(address)
    ask(seen, next((tiny_data / "images").glob("green*.png")))
    rows = "[...document.querySelectorAll('#hits .bits')].map(bits => bits.viewBox.baseVal.width)"
    assert set(seen.page.evaluate(rows)) == {32}  # sounds alone
    seen.page.click("#tools label:has([value=any])")
    seen.page.wait_for_selector("#hits:not(.sounds):not([aria-busy]) .sound")
    assert set(seen.page.evaluate(rows)) == {16}


@pytest.mark.parametrize("dark", [False, True])
def test_a_phones_width(address: str, go: Visiting, spoken: Path, dark: bool) -> None:
    seen = go(address, width=390, height=844, dark=dark)
    ask(seen, spoken)
    assert seen.page.evaluate("document.documentElement.scrollWidth") == 390
    seen.page.locator(f"{CARDS} .picture").first.click()
    assert seen.page.locator("#detail").is_visible()
    assert "distance" in seen.page.inner_text("#detail-fields")
    seen.page.set_viewport_size({"width": 390, "height": 480})  # less than the dialog's
    close = seen.page.locator("#detail form button")
    assert close.evaluate("button => button.getBoundingClientRect().bottom") < 480
    close.click()
    assert seen.page.locator("#detail").is_hidden()


def test_everything_has_a_name_and_the_keyboard_reaches_it(address: str, go: Visiting, spoken: Path) -> None:
    seen = go(address)
    ask(seen, spoken)
    nameless = seen.page.evaluate(
        "[...document.querySelectorAll('button, input, select, a')].filter(e => e.checkVisibility() && "
        "!(e.getAttribute('aria-label') || e.textContent.trim() || e.labels?.length)).map(e => e.outerHTML)"
    )
    assert nameless == []
    seen.page.locator(".brand").focus()
    reached, outlined = set(), "getComputedStyle(document.querySelector('label[for=file]')).outlineStyle"
    for _ in range(22):
        seen.page.keyboard.press("Tab")
        name = seen.page.evaluate("document.activeElement.id || document.activeElement.className")
        reached.add(name)
        assert (name == "file") == (seen.page.evaluate(outlined) == "solid")
    assert {
        "mic",
        "file",
        "folder",
        "review",
        "label",
        "distance",
        "link",
        "csv",
        "json",
        "picture",
        "choose",
    } <= reached
    assert "like" in reached


def test_before_the_model_is_there_the_archive_can_be_searched(
    make: Making, serving: Serving, go: Visiting, tiny_model: Encoder, spoken: Path
) -> None:
    free = threading.Event()

    def load(path: Path) -> Encoder:
        free.wait(30)
        return tiny_model

    with serving(make(load=load)) as address:
        seen = go(address)
        seen.page.wait_for_selector("#samples img")
        assert "still loading" in seen.page.inner_text("#status")
        seen.page.locator("#samples button").first.click()
        seen.page.wait_for_selector(CARDS)
        seen.page.set_input_files("#file", spoken)
        seen.page.wait_for_function("document.querySelector('#status').textContent.includes('as soon as')")
        free.set()
        seen.page.wait_for_function("document.querySelector('#result-name').textContent === 'red.wav'")
        assert labels(seen)[0] == "red"


def test_footprints_stand_on_a_map(
    make: Making, serving: Serving, go: Visiting, tiny_archive: Path, tmp_path: Path, spoken: Path
) -> None:
    tiny = open_archive(tiny_archive)
    items = [item for item in tiny.items(range(len(tiny))) if item.modality == "image"]
    corners = ((0, 0), (0.01, 0), (0.01, 0.01), (0, 0.01))
    placed = []
    for n, item in enumerate(items):
        west, south = 11.5 + 0.02 * (n % 6), 48.1 + 0.02 * (n // 6)
        footprint = tuple((west + dx, south + dy) for dx, dy in corners)
        fields = {"sensor": "S2"}
        placed.append(Item(item.id, "image", item.path, item.label, footprint=footprint, fields=fields))
    codes = tiny.codes([item.id for item in items])
    path = tmp_path / "placed"
    create_archive(path, HashCodes(codes.words, codes.bits, codes.encoder, tuple(placed)), model=tiny.model)
    with serving(make(path, limits={"tiles": "https://tiles.example/{z}/{x}/{y}.png"})) as address:
        seen = go(address)
        ask(seen, spoken)
        assert seen.page.locator("#map a").count() == 30
        boxes = seen.page.locator("#map a circle").evaluate_all(
            "cs => cs.map(c => [c.cx.baseVal.value, c.cy.baseVal.value])"
        )
        assert np.all((np.array(boxes) > 0) & (np.array(boxes) < [1150, 320]))
        assert any(text.startswith("48.") for text in seen.page.locator("#map text").all_text_contents())
        assert {address.split("/")[2] for address in seen.outside} == {"tiles.example"}
        seen.page.click("[aria-label='Zoom in']")
        seen.page.locator("#map a").last.focus()
        seen.page.keyboard.press("ArrowLeft")
        rank = seen.page.evaluate("document.activeElement.dataset.rank")
        assert rank == seen.page.locator("#map a").last.get_attribute("data-rank")
        link = seen.page.url
        seen.page.keyboard.press("Enter")
        assert seen.page.evaluate("document.activeElement.closest('.card').id") == f"hit-{rank}"
        assert seen.page.url == link
        assert seen.page.locator("#asked button").count() == 1  # no new search: the query still plays
        with seen.page.expect_download() as download:
            seen.page.click("#csv")
        row = next(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
        assert row["sensor"] == "S2"
        assert row["footprint"].startswith("POLYGON ((11.")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("side", [0.001, 0.1, 7.0])
def test_the_names_on_the_map_do_not_overlap(
    make: Making, serving: Serving, go: Visiting, tiny_archive: Path, tmp_path: Path, width: int, side: float
) -> None:
    tiny = open_archive(tiny_archive)
    corners = ((178, 40), (178 + side, 40), (178 + side, 40 + side), (178, 40 + side))
    footprint = tuple((east if east <= 180 else east - 360, north) for east, north in corners)
    codes = tiny.codes(["red0"])
    item = Item("red0", "image", codes.items[0].path, footprint=footprint)
    create_archive(tmp_path / "a", HashCodes(codes.words, codes.bits, codes.encoder, (item,)), model=tiny.model)
    with serving(make(tmp_path / "a")) as address:
        seen = go(address, width=width)
        seen.page.click("#samples button")
        seen.page.wait_for_selector("#map text")
        boxes = seen.page.locator("#map text").evaluate_all(
            "all => all.map(text => text.getBBox()).map(({ x, y, width, height }) => [x, y, x + width, y + height])"
        )
        low, high = np.array(boxes)[:, None], np.array(boxes)[None]
        apart = (low[..., 2:] <= high[..., :2]).any(-1) | (high[..., 2:] <= low[..., :2]).any(-1)
        assert (apart | np.eye(len(boxes), dtype=bool)).all()
        assert (np.array(boxes)[:, 2] <= seen.page.locator("#map svg").evaluate("map => map.clientWidth")).all()
        across = seen.page.locator("#map a path").evaluate("path => path.getBBox().width")
        assert across > 0.3 * min(width, 220)
        assert seen.page.locator("#label").is_hidden()
