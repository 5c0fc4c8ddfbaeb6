"""An engine of one's own: one file, and every command and the service take it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from dtbh.cli.main import main
from dtbh.codes import HashCodes
from dtbh.data.manifest import read_manifest
from dtbh.errors import ConfigError
from dtbh.index.base import Index
from dtbh.index.engines import base
from dtbh.index.memory import MemoryIndex

HELD: dict[str, MemoryIndex] = {}


@pytest.fixture
def drawer() -> Iterator[None]:
    """An engine that keeps its indexes in a drawer, as long as this process lives."""

    @base.engine("drawer")
    @dataclass(frozen=True)
    class Drawer:
        """Indexes in memory.

        Args:
            shelf: Which one.
            depth: How deep it is when it is made.
        """

        making: ClassVar[Collection[str]] = ("depth",)
        shelf: str
        depth: int = 3

        @property
        def label(self) -> str:
            return self.shelf

        def exists(self) -> bool:
            return self.shelf in HELD

        def open(self) -> Index:
            return HELD[self.shelf]

        def create(self, codes: HashCodes, *, model: str | Path | None = None) -> Index:
            HELD[self.shelf] = MemoryIndex(codes)
            return HELD[self.shelf]

        def state(self) -> None: ...

    yield
    del base.ENGINES["drawer"]
    HELD.clear()


@pytest.mark.usefixtures("drawer")
def test_it_indexes_and_is_searched(tiny_run: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, again = ["--engine", "drawer", "--shelf", "top"], ["--model", str(tiny_run)]
    assert main(["index", str(tiny_run), str(tiny_data), *place, "--depth", "2"]) == 0
    assert len(HELD["top"]) == len(list(read_manifest(tiny_data)))
    image = next(read_manifest(tiny_data).file(item) for item in read_manifest(tiny_data).images)
    capsys.readouterr()
    assert main(["search", *place, *again, "--image", str(image), "--json", "-k", "3"]) == 0
    assert len(json.loads(capsys.readouterr().out)["queries"][0]["hits"]) == 3
    first = next(iter(read_manifest(tiny_data))).id
    assert main(["remove", *place, first]) == 0
    assert len(HELD["top"]) == len(list(read_manifest(tiny_data))) - 1


@pytest.mark.usefixtures("drawer")
def test_it_is_served(tiny_run: Path, tiny_data: Path) -> None:
    testclient = pytest.importorskip("fastapi.testclient", reason="FastAPI is not installed: pip install 'dtbh[web]'")
    from dtbh.web.app import create_app

    assert main(["index", str(tiny_run), str(tiny_data), "--engine", "drawer", "--shelf", "top"]) == 0
    image = next(read_manifest(tiny_data).file(item) for item in read_manifest(tiny_data).images)
    app = create_app([base.ENGINES["drawer"](shelf="top")], model=tiny_run)  # type: ignore[call-arg]
    with testclient.TestClient(app) as client, image.open("rb") as file:
        assert [entry["name"] for entry in client.get("/v1/archives").json()["archives"]] == ["top"]
        hits = client.post("/v1/search/image?k=4", files={"file": file}).json()["queries"][0]["hits"]
    assert len(hits) == 4
    assert {hit["archive"] for hit in hits} == {"top"}


@pytest.mark.usefixtures("drawer")
def test_options_are_of_one_engine(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        (["--engine", "drawer"], "--engine drawer wants --shelf: Which one"),
        (["somewhere", "--shelf", "top"], "--shelf top: goes with --engine drawer"),
        (["--engine", "drawer", "--shelf", "top", "--uri", "x.db"], "--uri x.db: goes with --engine milvus"),
    ):
        assert main(["search", *arguments, "--sound", "x.wav"]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["search", "--help"])
    said = capsys.readouterr().out
    assert "--shelf" in said
    assert "--depth" not in said  # it matters only when an index is made


def test_the_engines_of_the_project_are_known_without_what_they_need() -> None:
    known = base.known_engines()
    assert {"archive", "milvus"} <= {*known}
    with pytest.raises(ConfigError, match="--uri is empty"):
        known["milvus"](uri="")  # type: ignore[call-arg]
    code = "import sys; from dtbh.index.engines.base import known_engines; known_engines(); print(*sys.modules)"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pymilvus", "numba", "torch", "fastapi"} & {*there}
