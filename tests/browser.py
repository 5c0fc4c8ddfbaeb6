"""A real headless Chromium for the tests of pages: a click is a click, a sound plays, and no request gets out.

Comes in: the system's Chromium (or Chrome) and the ``playwright`` package, which downloads no browser here. Where
one of them is missing the test is skipped, and says which. ``DTBH_CHROMIUM`` names another program.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
HERE = {"127.0.0.1", "localhost", "[::1]", "::1"}
WITHIN = {"file", "data", "blob", "about"}
ARGUMENTS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",  # a microphone that beeps
    "--use-fake-ui-for-media-stream",  # and that nobody has to allow
)


@dataclass
class Visit:
    """One page opened in a fresh profile.

    Attributes:
        page: Playwright's page.
        requests: Every address that the page asked for.
        errors: Uncaught exceptions and what the console got as errors.
    """

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def outside(self) -> list[str]:
        """The requests that would have left this machine; each was refused."""
        return [address for address in self.requests if leaves(address)]

    def advances(self, element: str = "audio", *, seconds: float = 0.15, within: float = 8.0) -> float:
        """Wait until a media element has played on by ``seconds``; returns its time in seconds."""
        script = "([name, past]) => { const e = document.querySelector(name); return e && e.currentTime > past; }"
        start = float(self.page.evaluate("name => document.querySelector(name).currentTime", element))
        self.page.wait_for_function(script, arg=[element, start + seconds], timeout=within * 1000)
        return float(self.page.evaluate("name => document.querySelector(name).currentTime", element))


Visiting = Callable[..., Visit]


def leaves(address: str) -> bool:
    """Whether a request for this address would leave the machine."""
    parts = urlsplit(address)
    return parts.scheme not in WITHIN and parts.hostname not in HERE


def program() -> str | None:
    """The Chromium to drive; None where there is none."""
    named = os.environ.get("DTBH_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def launched(*more: str) -> Iterator[Browser]:
    """A headless Chromium, with further arguments; skips the test where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'dtbh[dev]'")
    path = program()
    if path is None:
        pytest.skip(f"no Chromium on this machine (looked for {', '.join(NAMES)}; DTBH_CHROMIUM names another)")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*ARGUMENTS, *more])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A headless Chromium, for one module: as long as it lives, no other test of this thread can run asyncio."""
    with launched() as browser:
        yield browser


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Visiting]:
    """Open pages: ``visit(path or address, width=1280, height=900, dark=False, **context)`` gives a ``Visit``.

    Further arguments go to Playwright's ``new_context``, for instance ``java_script_enabled=False``,
    ``has_touch=True`` or ``permissions=["microphone"]``. Requests that would leave the machine are refused.
    """
    with ExitStack() as closing:

        def go(address: str | Path, *, width: int = 1280, height: int = 900, dark: bool = False, **more: Any) -> Visit:
            colours = "dark" if dark else "light"
            size = {"width": width, "height": height}
            context = chromium.new_context(viewport=size, color_scheme=colours, **more)  # type: ignore[arg-type]
            closing.callback(context.close)
            context.route(leaves, lambda route: route.abort())
            opened = Visit(context.new_page())
            opened.page.on("request", lambda request: opened.requests.append(request.url))
            opened.page.on("websocket", lambda socket: opened.requests.append(socket.url))
            opened.page.on("pageerror", lambda error: opened.errors.append(str(error)))
            opened.page.on("console", lambda said: opened.errors.append(said.text) if said.type == "error" else None)
            opened.page.goto(address.resolve().as_uri() if isinstance(address, Path) else address)
            return opened

        yield go
