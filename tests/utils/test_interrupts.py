"""SIGTERM and SIGHUP end what runs as Ctrl-C does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dtbh.utils import interrupts
from dtbh.utils.interrupts import end_workers, heeded, held, kept

ENDING = [(signal.SIGTERM, 143, "ended by SIGTERM"), (signal.SIGHUP, 129, "ended by SIGHUP")]


@pytest.mark.parametrize(("number", "code", "said"), ENDING)
def test_a_signal_interrupts_and_is_named(number: signal.Signals, code: int, said: str) -> None:
    signal.signal(number, signal.SIG_DFL)  # under nohup SIGHUP is ignored
    with heeded() as stop:
        with pytest.raises(KeyboardInterrupt) as caught, kept("the same call goes on"):
            os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)  # while it clears away
    assert (stop.code, str(stop)) == (code, said)
    assert caught.value.__notes__ == ["the same call goes on"]
    assert signal.getsignal(number) == signal.SIG_DFL


def test_a_second_signal_ends_what_clears_away_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "CLEARING", 0.0)
    with heeded():
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_finds_a_destructor_running_comes_again() -> None:
    class Reader:
        def __del__(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(3):  # it is handled here, and what it raised would be lost
                time.sleep(0.001)
            gone.append("whole")

    def let_go(readers: list[Reader]) -> None:
        readers.clear()
        time.sleep(30)

    gone: list[str] = []
    with heeded() as stop, pytest.raises(KeyboardInterrupt):
        let_go([Reader()])
    assert gone == ["whole"]
    assert stop.code == 143


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_held_signals_wait_for_the_end_of_a_step_and_then_end_the_command(number: signal.Signals) -> None:
    before = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    signal.signal(number, before)  # where the tests run behind a shell SIGINT is ignored
    steps: list[str] = []

    def work() -> None:
        with held() as heed:
            heed()
            os.kill(os.getpid(), number)
            time.sleep(0.01)
            steps.append("whole")
            heed()
            steps.append("never")

    with heeded() as stop, pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["whole"]
    assert stop.number in (None, number)  # Python tells of Ctrl-C
    assert signal.getsignal(number) == before


def test_a_signal_that_no_step_heeded_ends_the_command_after_all() -> None:
    went_on = False

    def work() -> None:
        nonlocal went_on
        with held():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
        went_on = True

    with heeded() as stop, pytest.raises(KeyboardInterrupt):
        work()
    assert not went_on
    assert stop.code == 143


def test_a_second_signal_while_the_first_is_let_through_changes_nothing() -> None:
    def work() -> None:
        with held() as heed:
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGTERM)
            heed()

    with heeded() as stop, pytest.raises(KeyboardInterrupt):
        work()
    assert stop.code == 143


def test_a_worker_forked_while_signals_are_held_ends_by_them_but_not_by_ctrl_c() -> None:
    here, there = os.pipe()
    with held():
        child = os.fork()
        if not child:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            os.write(there, b"x")
            time.sleep(60)
            os._exit(0)
        assert os.read(here, 1) == b"x"
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


def test_what_is_ignored_is_not_held() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with held() as heed:
            os.kill(os.getpid(), signal.SIGHUP)
            heed()
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_ctrl_c_is_python_s_own() -> None:
    with heeded() as stop, pytest.raises(KeyboardInterrupt):
        raise KeyboardInterrupt
    assert (stop.code, str(stop)) == (130, "interrupted")


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with heeded():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_forked_worker_ends_by_the_signal_itself() -> None:
    here, there = os.pipe()
    with heeded() as stop:
        child = os.fork()
        if not child:
            os.write(there, b"x")
            time.sleep(60)
            os._exit(0)
        os.read(here, 1)  # what comes before Python is ready is lost
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    assert stop.number is None


def test_workers_go_and_those_that_will_not_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interrupts, "PATIENCE", 0.5)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_deaf if deaf else time.sleep, args=(60,)) for deaf in (False, True)]
    for worker in workers:
        worker.start()
    time.sleep(0.3)
    end_workers()
    assert [worker.exitcode for worker in workers] == [-signal.SIGTERM, -signal.SIGKILL]


def _deaf(seconds: float) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(seconds)


def test_the_command_ends_with_143_in_one_line(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, dtbh.cli.main as m\n"
        "from dtbh.cli.commands import command\n"
        "from dtbh.utils.interrupts import kept\n"
        "@command()\n"
        "def halt(args):\n"
        "    'Halt.'\n"
        "    with kept('all is kept'):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(m.main(['halt']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (143, "dtbh: ended by SIGTERM; all is kept\n", "")
