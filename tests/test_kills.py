"""kill -9 at random moments, a few times; examples/kills.py does it as often as one likes."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_what_was_killed_goes_on_to_the_same_result() -> None:
    """In a process of its own: it forks, which one with threads had better not do."""
    command = [sys.executable, str(EXAMPLES / "kills.py"), "--kills", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *lines, last = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["index", "merge", "compact", "label", "train"]
    assert all(" kills in " in line and line.endswith("0 went wrong") for line in lines)
    assert last == "every call went on to the same result"


def test_another_result_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import kills

    def called(words: list[str], after: float | None = None) -> bool:
        place = Path(words[0])
        if after is not None:
            place.write_text("half")
            return True
        place.write_text("whole" if not place.exists() else f"{place.read_text()} and whole")
        return False

    monkeypatch.setattr(kills, "in_child", called)
    case = kills.Case(lambda out: [str(out)], Path.read_text)
    (wrong, *_) = kills.torture("index", case, tmp_path, 1, random.Random(0))
    assert wrong.startswith("index: another result after kills at [")
