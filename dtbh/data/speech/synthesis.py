"""Shards of clips, each spoken whole by a fresh process and put in place in one step.

An engine may carry something on from one clip to the next (espeak does), so what makes a clip the same again is the
shard: the same utterances, in the same order, in a process that has not spoken before.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import re
import signal
import sys
import traceback
from collections.abc import Generator, Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import NoReturn

from dtbh.data.speech.clips import finish, pack
from dtbh.data.speech.engines import ENGINES, Engine, Voice
from dtbh.errors import ConfigError, DataError, DtbhError, MediaError
from dtbh.utils.files import atomic_folder

VERSION = 1
SHARD_SIZE = 250
Message = str | tuple[str, str, str] | None
"""A worker's word: a clip's id, an error's class, text and traceback, or None at its end."""
_RAISED_HERE = {kind.__name__: kind for kind in (ConfigError, DataError, DtbhError, MediaError)}


@dataclass(frozen=True, slots=True)
class Utterance:
    """One clip to speak.

    Attributes:
        id: The item's id.
        text: What is said.
        voice: Who says it.
        rate: In words per minute.
        pitch: 0 to 99; 50 is the voice's own.
    """

    id: str
    text: str
    voice: Voice
    rate: int
    pitch: int


@dataclass(frozen=True)
class Shard:
    """Clips that are spoken together and lie in one folder.

    Attributes:
        number: Its place among the shards.
        utterances: In the order in which they are spoken.
        suffix: ``"flac"`` or ``"opus"``.
    """

    number: int
    utterances: tuple[Utterance, ...]
    suffix: str

    @cached_property
    def name(self) -> str:
        """The folder's name: its number, and a digest over all that decides how the clips sound."""
        content = [VERSION, self.suffix, [astuple(utterance) for utterance in self.utterances]]
        digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()
        return f"{self.number:04d}-{digest[:12]}"

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The clips' file names, in order: a number, and the item's id as far as a file name may hold it."""
        safe = (re.sub(r"[^A-Za-z0-9._-]+", "_", utterance.id)[:80] for utterance in self.utterances)
        return tuple(f"{place:03d}-{name}.{self.suffix}" for place, name in enumerate(safe))

    def complete(self, sounds: Path) -> bool:
        """Whether all its clips lie in its folder under ``sounds``."""
        return all((sounds / self.name / file).is_file() for file in self.files)


def cut(utterances: Sequence[Utterance], suffix: str) -> tuple[Shard, ...]:
    """Utterances as shards of 250, in order."""
    starts = range(0, len(utterances), SHARD_SIZE)
    return tuple(
        Shard(number, tuple(utterances[start : start + SHARD_SIZE]), suffix) for number, start in enumerate(starts)
    )


def speak_shards(
    shards: Sequence[Shard], sounds: Path, *, engine: Engine | str, workers: int
) -> Generator[str, None, None]:
    """Speak shards into their folders under ``sounds``, ``workers`` at a time; gives each clip's id.

    Close the iterator, or let it raise, and all its processes have ended.

    Raises:
        MediaError: The engine can't speak a clip, or its clip is empty; names the item and the voice.
        DtbhError: The disk is full, or a process ended without a word.
    """
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(shards))
    running: dict[Connection, tuple[BaseProcess, Shard]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                shard = waiting.pop()
                here, there = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(there, shard, sounds, engine), daemon=True)
                process.start()
                there.close()
                running[here] = (process, shard)
            for ready in wait(list(running)):
                assert isinstance(ready, Connection)
                yield from _heard(ready, running)
    finally:
        for worker, _ in running.values():
            worker.terminate()
        for worker, _ in running.values():
            worker.join(timeout=10)
            if worker.is_alive():
                worker.kill()
                worker.join()


def _heard(ready: Connection, running: dict[Connection, tuple[BaseProcess, Shard]]) -> Iterator[str]:
    """One message of a worker: a clip's id, an error, or None at its end."""
    process, shard = running[ready]
    try:
        message: Message = ready.recv()
    except EOFError:
        process.join()
        raise DtbhError(
            f"the process speaking shard {shard.number} ended with code {process.exitcode} and no word; a "
            "script that speaks must do so under: if __name__ == '__main__':"
        ) from None
    if isinstance(message, str):
        yield message
    elif message is None:
        process.join()
        ready.close()
        del running[ready]
    else:
        kind, text, trace = message
        error = _RAISED_HERE.get(kind, DtbhError)(text)
        error.add_note(trace)
        raise error


def _work(heard: Connection, shard: Shard, sounds: Path, engine: Engine | str) -> None:
    """What a fresh process does: one shard, then its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, who ends us with SIGTERM
    signal.signal(signal.SIGTERM, _leave)
    try:
        _speak_shard(heard, shard, sounds, ENGINES[engine] if isinstance(engine, str) else engine)
        _tell(heard, None)
    except Exception as error:
        text = str(error) if isinstance(error, DtbhError) else f"speaking failed: {error!r}"
        _tell(heard, (type(error).__name__, text, traceback.format_exc()))


def _tell(heard: Connection, message: Message) -> None:
    """Send to the parent, or end where there is none any more."""
    try:
        heard.send(message)
    except BrokenPipeError:
        sys.exit(1)


def _leave(_signal: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(1)


def _speak_shard(heard: Connection, shard: Shard, sounds: Path, engine: Engine) -> None:
    parent = multiprocessing.parent_process()
    with atomic_folder(sounds / shard.name) as folder:
        for utterance, file in zip(shard.utterances, shard.files, strict=True):
            if parent is not None and not parent.is_alive():
                sys.exit(1)
            (folder / file).write_bytes(_clip(utterance, engine, shard.suffix))
            _tell(heard, utterance.id)


def _clip(utterance: Utterance, engine: Engine, suffix: str) -> bytes:
    """One clip's bytes; whatever the engine does wrong names the item and the voice."""
    who = f"sound {utterance.id}, voice {utterance.voice.speaker}"
    try:
        samples, sample_rate = engine(utterance.text, utterance.voice.name, utterance.rate, utterance.pitch)
        samples = finish(samples, sample_rate)
    except DtbhError as error:
        raise MediaError(f"{who}: {error}") from error
    except Exception as error:
        raise MediaError(f"{who}: the engine failed with {error!r}") from error
    if not len(samples):
        raise MediaError(f"{who}: the engine gave silence for {utterance.text!r}; try another voice")
    return pack(samples, suffix)
