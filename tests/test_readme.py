"""What the README shows works as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from dtbh.cli.main import main, make_parser

README = (Path(__file__).parents[1] / "README.md").read_text()
COMMANDS = re.findall(r"^    (dtbh .*?)(?:\s+#.*)?$", README, re.MULTILINE)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_line_is_one_that_dtbh_takes(command: str) -> None:
    make_parser().parse_args(shlex.split(command)[1:])


def test_there_are_command_lines() -> None:
    assert {command.split()[1] for command in COMMANDS} >= {"prepare", "speak", "train", "evaluate", "index", "search"}


def test_the_python_of_the_readme_runs(
    tiny_run: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert main(["index", str(tiny_run), str(tiny_data), "--out", str(tmp_path / "archive")]) == 0
    query = next((tiny_data / "sounds").rglob("*.flac"))
    for name, path in (("runs/ucm", tiny_run), ("archives/ucm", tmp_path / "archive"), ("query.wav", query)):
        block = block.replace(f'"{name}"', repr(str(path)))
    capsys.readouterr()
    exec(compile(block, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("1 ")
