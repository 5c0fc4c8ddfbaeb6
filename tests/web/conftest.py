"""A tiny archive behind the service: in the test's own process, and on a real socket for the browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from dtbh.config import Service
from dtbh.models.encoder import Encoder
from dtbh.models.load import load
from dtbh.stages.index import index
from dtbh.web.app import create_app
from dtbh.web.serve import server
from dtbh.web.tls import Certificate
from tests.browser import Visiting


@pytest.fixture(scope="session")
def tiny_archive(tiny_run: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of the tiny data, indexed."""
    return index(tiny_run, tiny_data, out=tmp_path_factory.mktemp("archives") / "tiny").path


@pytest.fixture(scope="session")
def tiny_model(tiny_run: Path) -> Encoder:
    return load(tiny_run)


Making = Callable[..., FastAPI]
Serving = Callable[..., AbstractContextManager[str]]


@pytest.fixture(scope="session")
def make(tiny_archive: Path, tiny_model: Encoder) -> Making:
    """An application over the tiny archive, its model loaded already."""

    def made(*archives: Path, **more: Any) -> FastAPI:
        limits = Service(**more.pop("limits", {}))
        return create_app(archives or [tiny_archive], limits=limits, **{"load": lambda path: tiny_model, **more})

    return made


@pytest.fixture
def client(make: Making) -> Iterator[TestClient]:
    with TestClient(make()) as opened:
        yield opened


@pytest.fixture(scope="session")
def serving() -> Serving:
    """Serve an application on a free port of this machine for as long as the block runs; gives its address."""

    @contextmanager
    def served(app: FastAPI, certificate: Certificate | None = None, *, limits: Service | None = None) -> Iterator[str]:
        running = server(app, certificate, limits=limits)
        thread = threading.Thread(target=running.run)
        thread.start()
        try:
            while not running.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield f"http{'s' if certificate else ''}://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}"
        finally:
            running.should_exit = True
            thread.join()

    return served


@pytest.fixture(scope="module")
def address(make: Making, serving: Serving) -> Iterator[str]:
    with serving(make()) as served:
        yield served


@pytest.fixture
def go(visit: Visiting) -> Visiting:
    """Visits in which the tests may evaluate scripts of their own."""
    return partial(visit, bypass_csp=True)
