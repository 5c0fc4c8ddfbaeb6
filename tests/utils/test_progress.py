"""What is said of long work: lines away from a terminal, JSON, nothing of what is quick."""

from __future__ import annotations

import json
import os
import pty
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime

import pytest

from dtbh.utils import progress
from dtbh.utils.progress import FIRST, GROWTH, LONGEST, complain, echo, log_as, quiet, track


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    yield clock
    quiet(False)
    log_as("text")


def work(clock: Clock, steps: int, seconds: float, **how: int) -> None:
    for _ in track(range(steps), "drawing", **{"total": steps, **how}):
        clock.now += seconds


def test_the_first_line_comes_after_ten_seconds_and_the_others_further_and_further_apart(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[float] = []
    monkeypatch.setattr(progress, "_say", lambda *_: said.append(clock.now))
    work(clock, 1000, 0.5)
    *lines, last = said
    gaps = [b - a for a, b in zip([0.0, *lines], lines, strict=False)]
    wanted = [FIRST]
    while len(wanted) < len(gaps):
        wanted.append(min(wanted[-1] * GROWTH, LONGEST))
    assert len(gaps) > 8
    assert all(want <= gap < want + 0.51 for gap, want in zip(gaps, wanted, strict=True))
    assert gaps[-1] >= LONGEST
    assert last == 500, "and one at the end"


def test_a_line_says_share_rate_and_time_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    work(clock, 25, 2, total=100, each=4)
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == "drawing: 20%, 20 of 100, 2.0 a second, 40 s left"
    assert last == "drawing: all 100 in 50 s"


def test_a_last_step_that_is_shorter_goes_no_further_than_all(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    log_as("json", "index")
    work(clock, 3, 30, total=9, each=4)
    done = [json.loads(line)["done"] for line in capsys.readouterr().err.splitlines()]
    assert done == [4, 8, 9]


@pytest.mark.parametrize(("steps", "seconds"), [(100, 0.09), (1, 100.0), (0, 1.0)])
def test_quick_work_and_a_single_step_are_silent(
    clock: Clock, steps: int, seconds: float, capsys: pytest.CaptureFixture[str]
) -> None:
    work(clock, steps, seconds)
    assert capsys.readouterr().err == ""


def test_what_goes_on_inside_a_step_moves_the_whole(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    log_as("json", "index")
    for _ in track(range(2), "encoding", total=8, each=4):
        work(clock, 4, 11)
        work(clock, 2, 1)  # the sounds after the images: never backwards
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {line["stage"] for line in lines} == {"encoding"}
    done = [line["done"] for line in lines]
    assert done == sorted(done)
    assert done[0] == 1, "before the first step was done"
    assert lines[0]["seconds_left"] == 77
    assert done[-1] == 8


def test_json_is_an_object_a_line(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    log_as("json", "train")
    echo("training on 8 images", event="start")
    work(clock, 4, 10)
    echo("höre\nzu")
    complain("dtbh: no such file")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["event"] for line in lines] == ["start", "progress", "progress", "end", "remark", "error"]
    assert {line["command"] for line in lines} == {"train"}
    assert lines[4]["message"] == "höre\nzu"
    assert all(datetime.fromisoformat(line["time"]).tzinfo for line in lines)
    wanted = {"done": 1, "total": 4, "rate": 0.1, "seconds_left": 30.0, "stage": "drawing"}
    assert wanted.items() <= lines[1].items()


def test_quiet_leaves_complaints_alone(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    quiet()
    echo("training")
    work(clock, 100, 10)
    complain("dtbh: no such file")
    assert capsys.readouterr().err == "dtbh: no such file\n"


def test_work_that_breaks_off_is_no_longer_under_way(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    broken = track((1 // number for number in (1, 0, 2)), "broken", total=3)
    with pytest.raises(ZeroDivisionError):
        list(broken)
    work(clock, 4, 10)
    assert "broken" not in capsys.readouterr().err
    assert not progress._under_way.tasks


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (3599, "59 min 59 s"), (9000, "2 h 30 min")],
)
def test_times_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert progress._span(seconds) == text


def test_a_terminal_gets_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = pty.openpty()
    said = bytearray()

    def listen() -> None:
        with suppress(OSError):  # the terminal is gone
            while part := os.read(here, 4096):
                said.extend(part)

    monkeypatch.setenv("TERM", "xterm")
    with ThreadPoolExecutor() as pool:
        listening = pool.submit(listen)
        with os.fdopen(there, "w") as terminal:
            monkeypatch.setattr("sys.stderr", terminal)
            for _ in track(range(3), "drawing", total=3):
                list(track(range(2), "inside", total=2))
        listening.result(timeout=20)
    assert b"drawing" in said
    assert b"100%" in said
    assert b"inside" not in said
