"""The page for everybody: axe-core finds nothing in any state, nothing is too wide, and the keyboard does it all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import Visit, Visiting

axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-core is not installed: pip install 'dtbh[dev]'"
)

CARDS = "#hits:not([aria-busy]) .card"


def accessible(seen: Visit, state: str) -> None:
    found = axe.Axe().run(seen.page).response["violations"]
    assert [(state, rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= seen.page.viewport_size["width"]


def press(seen: Visit, *keys: str) -> None:
    for key in keys:
        seen.page.keyboard.press(key)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (360, True)], ids=["wide", "phone, dark"])
def test_every_state(address: str, go: Visiting, tiny_data: Path, tmp_path: Path, width: int, dark: bool) -> None:
    image = tiny_data / "images" / "blue3.png"
    (tmp_path / "none.png").write_text("no image")
    seen = go(address, width=width, dark=dark)
    seen.page.wait_for_selector("#samples img")
    accessible(seen, "empty")
    seen.page.set_input_files("#file", tmp_path / "none.png")
    seen.page.wait_for_selector("#error:not([hidden])")
    accessible(seen, "error")
    seen.page.set_input_files("#file", image)
    seen.page.wait_for_selector(CARDS)
    seen.page.click("#tools label:has([value=any])")
    seen.page.wait_for_selector("#hits:not(.sounds):not([aria-busy]) .sound")
    accessible(seen, "results")
    for box in seen.page.locator(".choose").all()[:4]:
        box.check()
    accessible(seen, "chosen")
    seen.page.click("#compare-chosen")
    accessible(seen, "compare")
    press(seen, "Escape")
    seen.page.locator(f"{CARDS} .picture").first.click()
    accessible(seen, "dialog")
    press(seen, "Escape")
    seen.page.set_input_files("#file", [image, tmp_path / "none.png"])
    seen.page.wait_for_selector("#batch-more:not([hidden])")
    accessible(seen, "batch")
    seen.page.goto(f"{address}/docs")
    accessible(seen, "API")


def test_an_image_without_a_name_would_be_found(address: str, go: Visiting) -> None:
    seen = go(address)
    seen.page.wait_for_selector("#samples img")
    seen.page.evaluate("document.querySelector('.brand img').removeAttribute('alt')")
    with pytest.raises(AssertionError, match="image-alt"):
        accessible(seen, "broken")


def test_by_keyboard_alone(address: str, go: Visiting) -> None:
    """From an item of the archive to two of its likes side by side, and back to where one was."""
    seen = go(address)
    seen.page.wait_for_selector("#samples img")
    focused = "document.activeElement.id || document.activeElement.className"

    def tab(to: str) -> None:
        for _ in range(40):
            press(seen, "Tab")
            if seen.page.evaluate(f"document.activeElement.matches({to!r})"):
                return
        raise AssertionError(f"{to} is not reached")

    tab("#samples button")
    press(seen, "Enter")
    seen.page.wait_for_selector(CARDS)
    assert seen.page.evaluate(focused) == "result-name"
    tab(".choose")
    press(seen, "Space")
    assert seen.page.is_disabled("#compare-chosen")
    tab(".choose")
    press(seen, "Space")
    seen.page.locator("#compare-chosen").focus()
    press(seen, "Enter")
    assert seen.page.locator("#compare-hits > li").count() == 2
    assert seen.page.evaluate("document.querySelector('#compare').contains(document.activeElement)")
    press(seen, "Escape")
    assert seen.page.evaluate(focused) == "compare-chosen"
    tab("#clear-chosen")
    press(seen, "Enter")
    assert seen.page.locator("#chosen").is_hidden()
    assert seen.page.evaluate(focused) == "result-name"
    assert seen.errors == []
