"""Progress of long stages, on stderr: a bar at a terminal, elsewhere a line now and then, or JSON, one object a line.

Nothing is said of what takes less than ten seconds, and after ``quiet()`` nothing but complaints.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Form = Literal["text", "json"]
Event = Literal["start", "progress", "end", "remark", "error"]
FIRST, GROWTH, LONGEST = 10.0, 1.5, 60.0
"""Seconds until a first line, by how much each distance is longer than the last, and the longest."""


@dataclass
class _Log:
    """How things are said in this process."""

    quiet: bool = False
    form: Form = "text"
    command: str = ""


_log = _Log()


def quiet(on: bool = True) -> None:
    """Show no progress and no remarks from here on, or again."""
    _log.quiet = on


def log_as(form: Form, command: str = "") -> None:
    """Say things as ``text``, or as ``json``: objects with ``time``, ``event``, ``command`` and what they tell."""
    _log.form, _log.command = form, command


def echo(message: str, *, event: Event = "remark") -> None:
    """A remark for whoever watches, on stderr; nothing after ``quiet()``.

    Args:
        message: One line.
        event: ``start`` where it says what a long command is about to do.
    """
    if not _log.quiet:
        _say(message, event, {"message": message})


def complain(message: str) -> None:
    """Say what went wrong, on stderr, after ``quiet()`` too."""
    _say(message, "error", {"message": message})


def _say(text: str, event: Event, values: dict[str, Any]) -> None:
    if _log.form == "json":
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        text = json.dumps({"time": now, "event": event, "command": _log.command, **values}, ensure_ascii=False)
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@dataclass
class _Task:
    """What is gone through, and how far it is; of tasks within tasks only the outermost is shown."""

    label: str
    total: int
    each: int
    show: Callable[[float], object] | None
    """What moves its bar; None where lines are written."""
    began: float = field(default_factory=lambda: time.monotonic())
    done: float = 0.0
    inside: float = 0.0
    """How much of the step under way is done, as the tasks within it say."""
    due: float = FIRST
    gap: float = FIRST

    def tell(self) -> None:
        """Show how far it is, if it is time to."""
        done = min(self.done + self.inside, self.total)
        if self.show is not None:
            self.show(done)
            return
        seconds = time.monotonic() - self.began
        if _log.quiet or seconds < self.due or not 0 < done < self.total:
            return
        self.gap = min(self.gap * GROWTH, LONGEST)
        self.due = seconds + self.gap
        rate = done / seconds
        left = (self.total - done) / rate
        text = f"{self.label}: {done / self.total:.0%}, {int(done)} of {self.total}, {_pace(rate)}, {_span(left)} left"
        values = {"done": int(done), "total": self.total, "rate": round(rate, 3), "seconds_left": round(left, 1)}
        _say(text, "progress", {"stage": self.label, **values})

    def end(self) -> None:
        """Say that it is done, if anything was said of it."""
        if self.due > FIRST and not _log.quiet:
            seconds = time.monotonic() - self.began
            values = {"done": self.total, "total": self.total, "rate": round(self.total / seconds, 3)}
            _say(f"{self.label}: all {self.total} in {_span(seconds)}", "end",
                 {"stage": self.label, **values, "seconds_left": 0.0})  # fmt: skip


class _UnderWay(threading.local):
    """The tasks of a thread, the outermost first."""

    def __init__(self) -> None:
        self.tasks: list[_Task] = []


_under_way = _UnderWay()


def track(items: Iterable[T], label: str, *, total: int, each: int = 1) -> Iterator[T]:
    """Go through ``items``, showing how far it is and how long it will take; a single step shows nothing.

    Args:
        items: One a step.
        label: What is being done.
        total: How many things all steps together go through.
        each: How many of them a step goes through; the last may go through fewer.
    """
    if total <= each:
        yield from items
        return
    tasks = _under_way.tasks
    bar: AbstractContextManager[Callable[[float], object] | None] = nullcontext()
    if not tasks and _at_terminal():
        bar = _bar(label, total)
    with bar as show:
        task = _Task(label, total, each, show)
        tasks.append(task)
        try:
            for item in items:
                yield item
                task.done, task.inside = min(task.done + each, total), 0.0
                _tell(tasks)
            if tasks[0] is task:
                task.end()
        finally:
            tasks.remove(task)


def _tell(tasks: list[_Task]) -> None:
    """Have the outermost task show how far it is, with the share that those within it have done of its step."""
    for outer, inner in zip(reversed(tasks[:-1]), reversed(tasks[1:]), strict=True):
        share = (inner.done + inner.inside) / inner.total
        outer.inside = max(outer.inside, share * outer.each)
    tasks[0].tell()


def _at_terminal() -> bool:
    return not _log.quiet and _log.form == "text" and sys.stderr.isatty()


@contextmanager
def _bar(label: str, total: int) -> Iterator[Callable[[float], object]]:
    """A bar, and what moves it."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(label, total=total)
        yield lambda done: bars.update(task, completed=done)


def _pace(rate: float) -> str:
    if rate < 1:
        return f"{60 * rate:.1f} a minute"
    return f"{rate:.1f} a second" if rate < 10 else f"{rate:.0f} a second"


def _span(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def quiet_loggers() -> Iterator[None]:
    """No warnings that libraries log, as advice on what is done on purpose."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
