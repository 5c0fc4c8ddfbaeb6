"""An engine of one's own: one file, and every command and the service take it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from dtbh.cli.main import main
from dtbh.codes import HashCodes
from dtbh.data.manifest import read_manifest
from dtbh.errors import CodesError, ConfigError
from dtbh.index.base import Index
from dtbh.index.engines import base
from dtbh.index.memory import MemoryIndex
from tests.index.conftest import ENGINES
from tests.utils.test_registry import package

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
    from fastapi import testclient

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
    assert {*known} <= {*ENGINES}, "every engine goes through the tests of all engines"


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in ("index", "search", "remove", "serve"))])
def test_help_names_the_options_of_engines_without_what_the_engines_need(words: list[str]) -> None:
    code = (
        "import sys; from dtbh.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: print('MODULES', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    said, _, modules = done.stdout.partition("MODULES")
    assert ("--uri" in said) == (len(words) == 2)
    assert "dtbh.cli.search" in modules.split()
    assert not {"numpy", "pydantic", "pymilvus", "numba", "torch", "fastapi"} & {*modules.split()}


Fields = dict[str, tuple[type, object]]


@pytest.fixture
def put(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Fields], None]:
    """Puts an engine with these fields (kind and default) among the others, for one test; it says how it is opened."""
    base.known_engines()
    monkeypatch.setattr(base, "ENGINES", {**base.ENGINES})

    def make(name: str, fields: Fields) -> None:
        def open_it(self: object) -> Index:
            raise CodesError(f"opened {self}")

        made = make_dataclass(
            "Theirs", [(field, kind, default) for field, (kind, default) in fields.items()], frozen=True,
            namespace={"making": (), "open": open_it, "__doc__": "Theirs.\n\nArgs:\n    uri: 100% theirs.\n"},
        )  # fmt: skip
        base.engine(name)(made)

    return make


SEARCH = ["search", "--sound", "x.wav"]


@pytest.mark.parametrize(("words", "value"), [([], None), (["--deep"], True), (["--no-deep"], False)])
def test_a_field_that_is_true_or_false_is_a_flag(
    put: Callable[[str, Fields], None], words: list[str], value: bool | None, capsys: pytest.CaptureFixture[str]
) -> None:
    put("theirs", {"deep": (bool, None)})
    assert main([*SEARCH, "--engine", "theirs", *words]) == 2
    assert f"opened Theirs(deep={value})" in capsys.readouterr().err


def test_engines_share_a_field_of_one_kind(
    put: Callable[[str, Fields], None], capsys: pytest.CaptureFixture[str]
) -> None:
    put("theirs", {"uri": (str, "here"), "path": (str, "there")})
    assert main([*SEARCH, "--engine", "theirs", "--uri", "x"]) == 2
    assert "opened Theirs(uri='x', path='there')" in capsys.readouterr().err
    assert main([*SEARCH, "somewhere", "--path", "x"]) == 2
    assert "--path x: goes with --engine theirs" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["search", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "of milvus: http://host:19530, or a file that ends in .db; of theirs: 100% theirs" in said


@pytest.mark.parametrize(
    ("field", "kind", "message"),
    [
        ("model", str, "engine theirs: the command has --model already; rename the field model"),
        ("archive", str, "engine theirs: the command has --archive already; rename the field archive"),
        ("uri", int, "--uri: differs between the engines milvus and theirs; rename the field in one"),
    ],
)
def test_a_field_that_can_be_no_option_is_one_line(
    put: Callable[[str, Fields], None], capsys: pytest.CaptureFixture[str], field: str, kind: type, message: str
) -> None:
    put("theirs", {field: (kind, None)})
    assert main(["search", "somewhere", "--sound", "x.wav"]) == 2
    assert capsys.readouterr().err == f"dtbh: {message}\n"


@pytest.mark.parametrize("broken", [True, False])
def test_an_engine_of_another_package_is_offered_and_a_broken_one_is_one_line(tmp_path: Path, broken: bool) -> None:
    code = """
        from dataclasses import dataclass
        from dtbh.index.engines.base import engine

        @engine("theirs")
        @dataclass(frozen=True)
        class Theirs:
            making = ()
            cupboard: str
        """
    points = "[dtbh.engines]\ntheirs = dtbh_engine_of_theirs\n"
    package(tmp_path, "dtbh_engine_of_theirs", "import nothing_of_this_name\n" if broken else code, points)

    def search(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "dtbh.cli", "search", *words], capture_output=True, text=True, check=False,
            env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[2]}", "PATH": ""},
        )  # fmt: skip

    nowhere = tmp_path / "nowhere"
    assert str(nowhere) in search(nowhere, "--text=boats", "-k", "3").stderr, "no engine of theirs can be meant"
    done = search("--help")
    other = search(nowhere, "--text", "boats", "--cupboard", "top").stderr
    if broken:
        assert other == done.stderr
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("dtbh: package dtbh_engine_of_theirs: its entry point dtbh.engines theirs can't be")
    else:
        assert "{archive,milvus,theirs}" in done.stdout
        assert "--cupboard CUPBOARD" in done.stdout
        assert other == "dtbh: --cupboard top: goes with --engine theirs\n"
