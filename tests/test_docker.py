"""The Dockerfile and the compose file, as far as they can be checked without Docker and in a moment.

``examples/clean_root.py`` runs the steps in a clean root of Debian, which takes minutes.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from dtbh.cli.main import make_parser

ROOT = Path(__file__).parents[1]
COMPOSE = ROOT / "examples" / "compose.yaml"


@pytest.fixture(scope="module")
def steps() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, each with what stands behind it."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def of(steps: list[tuple[str, str]], word: str) -> list[str]:
    return [rest for name, rest in steps if name == word]


def extras() -> set[str]:
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


def test_what_is_copied_is_there_and_let_in(steps: list[tuple[str, str]]) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in lines if line.startswith("!")}
    for copied in of(steps, "COPY"):
        *sources, _ = copied.split()
        assert all((ROOT / source).exists() for source in sources)
        assert set(sources) <= let_in, ".dockerignore leaves out all else"


def test_it_serves_as_nobody_special(steps: list[tuple[str, str]]) -> None:
    assert steps[0][0] == "FROM"
    names = [word for word, _ in steps]
    assert names.index("USER") > max(place for place, name in enumerate(names) if name in ("RUN", "COPY"))
    assert of(steps, "USER") == ["dtbh"]
    assert any("useradd" in run and "dtbh" in run for run in of(steps, "RUN"))


def test_its_command_is_one_of_dtbh(steps: list[tuple[str, str]]) -> None:
    (entry,), (command,) = of(steps, "ENTRYPOINT"), of(steps, "CMD")
    words = json.loads(command)
    assert json.loads(entry) == ["dtbh"]
    args = make_parser(words).parse_args(words)
    assert args.command == "serve"
    assert str(args.port) in of(steps, "EXPOSE")


def test_its_health_is_asked_where_the_service_says_it(steps: list[tuple[str, str]]) -> None:
    (check,) = of(steps, "HEALTHCHECK")
    code = json.loads(check[check.index("[") :])[2]
    compile(code, "HEALTHCHECK", "exec")
    port, path = re.findall(r"127\.0\.0\.1:(\d+)(/\w+)", code)[0]
    assert port in of(steps, "EXPOSE")
    assert f'@app.get("{path}"' in (ROOT / "dtbh/web/app.py").read_text()


def test_the_extras_are_there(steps: list[tuple[str, str]]) -> None:
    (default,) = of(steps, "ARG")
    wanted = yaml.safe_load(COMPOSE.read_text())["services"]["dtbh"]["build"]["args"]["EXTRAS"]
    assert {*default.removeprefix("EXTRAS=").split(","), *wanted.split(",")} <= extras()


def test_the_compose_file_fits_together() -> None:
    compose = yaml.safe_load(COMPOSE.read_text())
    services = compose["services"]
    assert set(services) == {"etcd", "minio", "milvus", "dtbh"}
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        assert "build" in service or re.fullmatch(r"[\w./-]+:[\w.-]+", service["image"]), "a version is named"
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in compose["volumes"] or source.startswith("../")
    words = shlex.split(services["dtbh"]["command"])
    args = make_parser(words).parse_args(words)
    assert (args.engine, args.uri) == ("milvus", "http://milvus:19530")
    assert (COMPOSE.parent / services["dtbh"]["build"]["context"] / "Dockerfile").is_file()


def test_a_clean_root_gets_the_same_steps(steps: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from clean_root import read_steps

    found = read_steps((ROOT / "Dockerfile").read_text())
    assert [(word, rest) for word, rest, *_ in found.done] == [one for one in steps if one[0] in ("RUN", "COPY")]
    assert {(user, place) for _, _, user, place, _ in found.done[1:]} == {("root", "/opt/dtbh")}
    assert [given for *_, given in found.done] == [{"EXTRAS": "search"}] * len(found.done)
    assert (found.user, found.place) == ("dtbh", "/data")
    (entry,), (command,) = of(steps, "ENTRYPOINT"), of(steps, "CMD")
    assert found.words == json.loads(entry) + json.loads(command)
    assert found.health[:2] == ["python", "-c"]
    with pytest.raises(ValueError, match="VOLUME is not known here"):
        read_steps("FROM x\nVOLUME /data\n")
