"""The documentation: it builds, its links hold, its commands are ones that dtbh takes, and it leaves nothing out."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import dtbh
from dtbh.cli.main import make_parser

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [*PAGES, *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md"))]
COMMANDS = {
    command: page.relative_to(ROOT).as_posix()
    for page in PAGES
    for command in re.findall(r"^    (dtbh .*?)(?:\s+#.*)?$", page.read_text(), re.MULTILINE)
    if " ... " not in command
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built so that any warning is an error."""
    if importlib.util.find_spec("mkdocs") is None:
        pytest.skip("building the docs needs the extra docs")
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(out)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return out


def test_every_module_and_public_name_is_in_the_reference(site: Path) -> None:
    text = "".join(page.read_text() for page in (site / "reference").rglob("index.html"))
    for file in (ROOT / "dtbh").rglob("*.py"):
        parts = ("dtbh", *file.relative_to(ROOT / "dtbh").with_suffix("").parts)
        if file.name not in ("__init__.py", "__main__.py"):
            assert f"<code>{'.'.join(parts)}</code>" in text, parts
    for name, home in dtbh._HOMES.items():
        assert f'id="dtbh.{home}.{name}"' in text, name


def test_every_page_is_in_the_navigation() -> None:
    nav = re.findall(r":\s+([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert {page.relative_to(ROOT / "docs").as_posix() for page in PAGES} <= {*nav}
    rooms = {path.stem for path in (ROOT / "dtbh").iterdir() if path.suffix in ("", ".py") and path.name[0] != "_"}
    assert {Path(page).stem for page in nav if page.startswith("reference/")} == {*rooms, "index_room"} - {"index"}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_between_files_hold(page: Path) -> None:
    for link in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text()):
        assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page: Path) -> None:
    folders = "dtbh|configs|examples|tests"
    for name in re.findall(rf"(?<![\w/.])((?:{folders})/[\w/-]+\.(?:py|yaml|tsv|ipynb|png))\b", page.read_text()):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_docs_is_one_that_dtbh_takes(command: str) -> None:
    make_parser().parse_args(shlex.split(command)[1:])


def test_there_are_commands_in_the_docs() -> None:
    assert {command.split()[1] for command in COMMANDS} >= {
        "prepare", "speak", "train", "evaluate", "index", "search", "serve", "export", "merge", "remove", "compact",
        "info", "compare", "sweep", "report", "encode",
    }  # fmt: skip


def test_presets_that_are_shown_are_yaml() -> None:
    blocks = [block for page in PAGES for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)]
    assert len(blocks) > 1
    assert all(isinstance(yaml.safe_load(block), dict) for block in blocks)


def test_the_readme_is_read_in_a_minute() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120
