"""Progress of long stages: a bar with an estimate at a terminal, silence elsewhere or after ``quiet()``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
_state = {"quiet": False}


def quiet(on: bool = True) -> None:
    """Show no progress and no remarks from here on, or again."""
    _state["quiet"] = on


def shown() -> bool:
    """Whether progress is shown: at a terminal, unless ``quiet()`` was called."""
    return not _state["quiet"] and sys.stderr.isatty()


def echo(message: str) -> None:
    """A remark for whoever watches, on stderr; nothing after ``quiet()``."""
    if not _state["quiet"]:
        print(message, file=sys.stderr, flush=True)


def track(items: Iterable[T], label: str, *, total: int | None = None) -> Iterator[T]:
    """Go through ``items``, showing how far it is and how long it will take; a single step shows nothing."""
    if not shown() or total == 1:
        yield from items
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(items, label, total=total, console=Console(stderr=True), transient=True)


@contextmanager
def quiet_loggers() -> Iterator[None]:
    """No warnings that libraries log, as advice on what is done on purpose."""
    import logging

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
