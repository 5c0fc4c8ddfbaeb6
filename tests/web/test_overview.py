"""What an archive holds at a glance: over HTTP, and on the page of an archive of images that nobody named."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from dtbh.codes import HashCodes
from dtbh.data.item_words import word_fields
from dtbh.data.manifest import Item
from dtbh.index.archive.archive import Archive, create_archive
from dtbh.models.encoder import Encoding
from dtbh.models.senses import Senses
from dtbh.web.app import create_app
from tests.browser import Visiting
from tests.web.conftest import Serving

KINDS = {"water": (40, 70, 160), "trees": (30, 120, 50), "roofs": (170, 90, 60)}


class Words:
    """A model whose texts have the codes of the images by the first letter; ``modalities`` are what it takes."""

    bits, fingerprint, language, confidence, path = 32, "e1", "auto", None, Path("/runs/x")

    def __init__(self, *modalities: str) -> None:
        self.senses = Senses(modalities, None, False, "minilm_l6" if "text" in modalities else None)
        self.asked = 0

    def encode(self, items, *, skip=False, values=False, vectors=False):
        self.asked += 1
        drawn = np.stack([kind((item.transcript or "?")[0]) for item in items])
        return Encoding(HashCodes.from_values(drawn, encoder="e1", items=items), (), drawn)


def kind(letter: str) -> np.ndarray:
    return np.random.default_rng(ord(letter)).normal(size=32).astype(np.float32)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Unnamed tiles of three colours, whose codes lie around those of three words."""
    rng, items, values = np.random.default_rng(0), [], []
    for number in range(60):
        name = [*KINDS][(number * number) % 7 % 3]
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (16, 16), KINDS[name]).save(path)
        items.append(Item(f"{name}{number}", "image", str(path)))
        values.append(kind(name[0]) * rng.choice([1, -1], 32, p=[0.95, 0.05]))
    codes = HashCodes.from_values(np.stack(values), encoder="e1", items=items)
    return create_archive(tmp_path / "archive", codes, model="/runs/x")


@pytest.fixture(autouse=True)
def few_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dtbh.web.overviews.land_use_words", lambda: ("water", "trees", "roofs", "ice"))
    monkeypatch.setattr("dtbh.search.naming.PROMPTS", ("{}",))
    monkeypatch.setattr("dtbh.search.naming.place_words.__kwdefaults__", {"prompts": ("{}",)})


def served(archive: Archive, model: object) -> TestClient:
    return TestClient(create_app([archive.path], load=lambda path: model))


def settled(client: TestClient) -> dict:
    """The overview once nothing is being computed any more."""
    for _ in range(200):
        reply = client.get("/v1/overview").json()
        if reply["source"] != "loading" and reply["takes"]:
            return reply
        time.sleep(0.02)
    raise AssertionError("still loading")


def test_the_model_is_asked_for_words_once(archive: Archive) -> None:
    model = Words("image", "text")
    with served(archive, model) as client:
        reply = settled(client)
        assert settled(client) == reply
    assert model.asked == 1
    assert (reply["images"], reply["sampled"], reply["source"]) == (60, 60, "model")
    assert sum(group["share"] for group in reply["groups"]) == pytest.approx(1)
    assert {group["names"][0]["name"] for group in reply["groups"]} == {*KINDS} == {*reply["queries"]}
    for group in reply["groups"]:
        name = group["names"][0]
        assert name["share"] > 0.5
        assert 1 <= len(group["examples"]) <= 4
        assert all(item["id"].startswith(name["name"]) for item in group["examples"])


def test_without_a_tower_for_texts_groups_have_no_names(archive: Archive) -> None:
    model = Words("image", "sound")
    with served(archive, model) as client:
        reply = settled(client)
        assert client.get("/v1/overview?archive=none").status_code == 404
    assert (reply["source"], reply["queries"], model.asked) == ("none", [], 0)
    assert reply["takes"] == ["image", "sound"]
    assert not any(group["names"] for group in reply["groups"])


def test_given_words_and_labels_come_first_and_changes_are_seen(archive: Archive, monkeypatch) -> None:
    monkeypatch.setattr("dtbh.web.archives.RECHECK", 0)
    with served(archive, Words("image", "text")) as client:
        settled(client)
        archive.describe(lambda codes: [word_fields(["pond"], [0.9], "1 word x") for _ in codes.items])
        reply = settled(client)
        assert reply["source"] == "words"
        assert all(group["names"] == [{"name": "pond", "share": 1}] for group in reply["groups"])
        codes = archive.at(archive.rows())
        labelled = replace(codes, items=tuple(replace(item, label="lake") for item in codes.items))
        create_archive(archive.path, labelled, model="/runs/x")
        assert settled(client)["source"] == "labels"


def test_an_archive_of_sounds_has_no_groups(tmp_path: Path) -> None:
    codes = HashCodes.from_values(kind("s")[None], encoder="e1", items=[Item("s", "sound")])
    with served(create_archive(tmp_path / "a", codes, model="/runs/x"), Words("sound", "text")) as client:
        reply = settled(client)
    assert (reply["images"], reply["groups"]) == (0, [])


@pytest.fixture
def address(archive: Archive, serving: Serving) -> Iterator[str]:
    with serving(create_app([archive.path], load=lambda path: Words("image", "text"))) as where:
        yield where


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)])
def test_the_page_shows_what_there_is(address: str, visit: Visiting, width: int, dark: bool) -> None:
    seen = visit(address, width=width, dark=dark)
    seen.page.wait_for_selector("#overview .queries button")
    assert seen.page.locator("#overview li").count() >= 3
    assert {*seen.page.locator("#overview .queries button").all_inner_texts()} == {*KINDS}
    assert "type" in seen.page.inner_text("#overview .hint")
    assert seen.page.locator("#begin").is_visible()
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    names = seen.page.locator("#overview a").evaluate_all("links => links.map((link) => link.ariaLabel)")
    assert all(name.endswith(": more like this") for name in names)
    seen.page.locator("#overview a").first.click()
    seen.page.wait_for_selector("#hits:not([aria-busy]) .card")
    assert seen.page.inner_text("#result-name").startswith("More like")
    assert not seen.page.locator("#overview").is_visible()
    seen.page.go_back()
    seen.page.wait_for_selector("#overview", state="visible")
    seen.page.click("#overview .queries button >> nth=0")
    seen.page.wait_for_selector("#hits:not([aria-busy]) .card")
    assert seen.page.input_value("#text") == seen.page.inner_text("#result-name")
    assert seen.errors == []
    assert seen.outside == []
