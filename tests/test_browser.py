"""The browser of the other tests: what it lets through, and that it sees errors and hears sounds."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

from tests.browser import leaves


@pytest.mark.parametrize(
    ("address", "out"),
    [
        ("https://example.org/a.js", True),
        ("wss://example.org", True),
        ("http://localhost.example.org/", True),
        ("http://127.0.0.1:8000/api", False),
        ("http://localhost:8000/", False),
        ("file:///tmp/index.html", False),
        ("data:audio/ogg;base64,AA", False),
    ],
)
def test_what_leaves_the_machine(address, out):
    assert leaves(address) is out


def test_a_request_outside_is_seen_and_refused_and_errors_are_kept(visit, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><img src='https://example.org/a.png'><script>throw new Error('oh')</script>")
    seen = visit(page)
    seen.page.wait_for_load_state("networkidle")
    assert seen.outside == ["https://example.org/a.png"]
    assert any("oh" in error for error in seen.errors)


def test_a_sound_advances_and_silence_does_not(visit, tmp_path):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.sin(np.arange(16000) / 5), 16000)
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><audio src='a.wav'></audio><button onclick='play()'>play</button>"
                    "<script>const play = () => document.querySelector('audio').play()</script>")  # fmt: skip
    seen = visit(page, width=390, dark=True)
    with pytest.raises(Exception, match="Timeout"):
        seen.advances(within=0.3)
    seen.page.click("button")
    assert seen.advances() > 0.15
    assert seen.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches && innerWidth === 390")
    assert seen.outside == seen.errors == []
