"""The page over a model that takes texts: somebody types, and sees the tiles."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dtbh.data.manifest import read_manifest
from dtbh.stages.index import index
from dtbh.stages.train import train
from dtbh.web.app import create_app
from tests.browser import Visiting
from tests.training.test_sentence_space import any_words
from tests.web.conftest import Serving

CARDS = "#hits:not([aria-busy]) .card"


@pytest.fixture(scope="module")
def address(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory, serving: Serving) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("typed")
    run = train(any_words(), tiny_data, folder / "run")
    with serving(create_app([index(run, tiny_data, out=folder / "archive").path])) as served:
        yield served


@pytest.mark.parametrize("width", [1280, 360])
def test_typing_finds_tiles(address: str, visit: Visiting, width: int) -> None:
    seen = visit(address, width=width)
    seen.page.fill("#text", "something crimson")
    seen.page.press("#text", "Enter")
    seen.page.wait_for_selector(CARDS)
    assert seen.page.inner_text("#result-name") == "something crimson"
    assert seen.page.inner_text("#asked-more").startswith("typed · 30 nearest")
    assert seen.page.locator("#hits.sounds").count() == 0
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    seen.page.fill("#text", "!?")
    seen.page.press("#text", "Enter")
    seen.page.wait_for_selector("#error:not([hidden])")
    assert "a text without a word" in seen.page.inner_text("#error")
    assert seen.page.inner_text("#result-name") == "something crimson"
    seen.page.fill("#text", "quarterly earnings of a bank")
    seen.page.press("#text", "Enter")
    seen.page.wait_for_selector("#strength.nothing")
    assert seen.page.inner_text("#strength").startswith("Nothing close")
    likely = seen.page.inner_text(f"{CARDS} .foot span >> nth=0")
    assert "% likely" in likely
    seen.page.reload()
    seen.page.wait_for_selector("#strength.nothing")
    assert seen.page.inner_text(f"{CARDS} .foot span >> nth=0") == likely
    seen.page.check("[name=find][value=sound]", force=True)
    seen.page.wait_for_selector("#hits.sounds:not([aria-busy])")
    assert "% likely" in seen.page.inner_text(f"{CARDS} .foot span >> nth=0")
    assert seen.outside == []


def test_a_sound_without_words_says_so(address: str, visit: Visiting, tiny_data: Path) -> None:
    seen = visit(address)
    manifest = read_manifest(tiny_data)
    seen.page.set_input_files("#file", manifest.file(next(iter(manifest.sounds))))
    seen.page.wait_for_selector(CARDS)
    assert "no words heard" in seen.page.inner_text("#asked-more")
    assert seen.page.input_value("#text") == ""
