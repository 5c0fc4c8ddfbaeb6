"""SIGTERM and SIGHUP end a command as Ctrl-C does: what it began is cleared away, or kept and said to be."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

CLEARING = 10.0  # seconds in which a second signal does not break off what clears away after the first
SOON = 0.05  # seconds after which a signal comes again that found a destructor running
PATIENCE = 5.0  # seconds that workers have to end


@dataclass
class Stop:
    """Which signal ended the command.

    Attributes:
        number: None where none came; of Ctrl-C Python itself tells.
        when: On the monotonic clock.
    """

    number: int | None = None
    when: float = -CLEARING

    def __str__(self) -> str:
        return "interrupted" if self.number is None else f"ended by {signal.Signals(self.number).name}"

    @property
    def code(self) -> int:
        """The exit code that shells give it."""
        return 128 + (self.number or signal.SIGINT)


@contextmanager
def heeded() -> Iterator[Stop]:
    """Have SIGTERM and SIGHUP raise KeyboardInterrupt while the block runs; ignored ones stay so (``nohup``)."""
    stop, process = Stop(), os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != process:  # a forked worker, which has nothing to clear away
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif _clears_away(frame):  # what is raised there is printed, and lost
            again = threading.Timer(SOON, os.kill, (process, number))
            again.daemon = True
            again.start()
        elif time.monotonic() - stop.when > CLEARING:
            stop.number, stop.when = number, time.monotonic()
            raise KeyboardInterrupt

    main = threading.current_thread() is threading.main_thread()
    ours = [n for n in (signal.SIGTERM, signal.SIGHUP) if main and signal.getsignal(n) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, end)
    try:
        yield stop
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def held() -> Iterator[Callable[[], None]]:
    """Have signals that end a command wait in the block until the function that it gives is called, or it is left.

    What a signal raises may come between any two steps, also while a queue between processes is locked, which then
    stays so: whoever clears away waits for it for ever, as PyTorch's readers of data do. So where they work a signal
    waits for the end of a step. Only the main thread hears signals, and only handlers that Python knows are held up.
    """
    came: list[int] = []
    main, process = threading.current_thread() is threading.main_thread(), os.getpid()
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if main}
    before = {n: handler for n, handler in before.items() if handler not in (None, signal.SIG_IGN)}

    def wait(number: int, frame: FrameType | None) -> None:
        if os.getpid() == process:
            came.append(number)
        elif number != signal.SIGINT:  # a forked worker, which the process that waits will end
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)

    def let_through() -> None:
        if came:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.raise_signal(came.pop())

    for number in before:
        signal.signal(number, wait)
    try:
        yield let_through
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        let_through()


def _clears_away(frame: FrameType | None) -> bool:
    """Whether an object's destructor runs, as that of PyTorch's readers, which waits for its workers."""
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False


@contextmanager
def kept(note: str) -> Iterator[None]:
    """Where the block is interrupted, have it said what is kept, as in ``the same call goes on``."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(note)
        raise


def end_workers() -> None:
    """End the processes that this one started and that still work."""
    import multiprocessing  # which a cold search has no time to import

    workers = multiprocessing.active_children()
    for worker in workers:
        worker.terminate()
    deadline = time.monotonic() + PATIENCE
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
        if worker.is_alive():
            worker.kill()
            worker.join()
