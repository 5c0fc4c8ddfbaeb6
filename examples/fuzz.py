"""Damaged files and requests: whether every reader gives what it read, or one line that says what is wrong.

    python examples/fuzz.py --inputs 50000

Files that can be read (sounds, images, scenes, tables, manifests, configs, runs, codes, archives, reports, exported
models) and requests to the service are altered at random and read in this process. It is a failure to raise anything
but a DtbhError, to answer with 500 or more but 503, to work for over ten seconds or wait for over a minute, or to take
over a gigabyte of memory.
Input 1234 is drawn from its number alone: --first 1234 --inputs 1 gives it again. The exit code is 1 where any failed.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType

from fuzz_inputs import altered
from fuzz_readers import Reader, readers

from dtbh.errors import DtbhError, MissingExtraError

SECONDS, WAITING, BYTES = 10.0, 60.0, 1 << 30


class TooLongError(Exception):
    """A reader took too long."""


@contextmanager
def bounded() -> Iterator[None]:
    """Break off what works too long or waits for ever, and notice what takes far more memory than an input may.

    Raises:
        TooLongError: It worked for over ten seconds, or waited for over a minute.
        MemoryError: It took over a gigabyte.
    """

    def too_long(number: int, _frame: FrameType | None) -> None:
        raise TooLongError(f"worked over {SECONDS:g} s" if number == signal.SIGPROF else f"waited over {WAITING:g} s")

    before = [signal.signal(number, too_long) for number in (signal.SIGPROF, signal.SIGALRM)]
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    worked = time.process_time()  # not the wall's clock: the machine may have other work
    timer = signal.setitimer(signal.ITIMER_REAL, WAITING)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, *timer)
        for number, handler in zip((signal.SIGPROF, signal.SIGALRM), before, strict=True):
            signal.signal(number, handler)
    if (seconds := time.process_time() - worked) > SECONDS:
        raise TooLongError(f"worked {seconds:.0f} s")
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most)
    if grown > BYTES:
        raise MemoryError(f"{grown / 1e9:.1f} GB more than before")


def _put(reader: Reader, content: bytes | dict[str, bytes], folder: Path) -> Path:
    """Where an input was written."""
    place = folder / f"input{reader.suffix}"
    if isinstance(content, bytes):
        place.write_bytes(content)
        return place
    place.mkdir()
    for name, data in content.items():
        (place / name).write_bytes(data)
    return place


def read(reader: Reader, place: Path) -> None:
    """Read an input, and remove it; raises what the reader does, and what is out of bounds."""
    try:
        with bounded():
            reader.read(place)
    finally:
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()


def once(reader: Reader, number: int, folder: Path) -> Exception | None:
    """Read one altered input; what is wrong, None where nothing is."""
    draw = random.Random(number)
    seed = reader.seeds[draw.randrange(len(reader.seeds))]
    if isinstance(seed, bytes):
        content: bytes | dict[str, bytes] = altered(seed, draw)
    else:
        chosen = draw.choice(sorted(seed))
        content = seed | {chosen: altered(seed[chosen], draw)}
    try:
        read(reader, _put(reader, content, folder))
    except MissingExtraError as error:
        return error
    except DtbhError:
        return None
    except Exception as error:
        return error
    return None


def fuzz(found: Sequence[Reader], first: int, inputs: int, folder: Path) -> dict[str, str]:
    """Read so many inputs; a line on each kind of failure, by reader, error and place, with its first number."""
    limit = resource.getrlimit(resource.RLIMIT_AS)
    now = Path("/proc/self/statm")  # of Linux alone
    failures: dict[str, str] = {}
    counts: Counter[str] = Counter()
    try:
        if now.is_file():
            size = int(now.read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + 4 * BYTES, limit[1]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for reader in found:
                for seed in reader.seeds:
                    read(reader, _put(reader, seed, folder))
            for number in range(first, first + inputs):
                reader = found[number % len(found)]
                error = once(reader, number, folder)
                if error is not None:
                    *_, last = traceback.extract_tb(error.__traceback__) or [None]
                    place = "" if last is None else f"{Path(last.filename).name}:{last.lineno}"
                    kind = f"{reader.name}: {type(error).__name__} at {place}"
                    counts[kind] += 1
                    failures.setdefault(kind, f"input {number}: {str(error)[:200]}")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
    return {f"{kind} ({counts[kind]} times)": said for kind, said in failures.items()}


@contextmanager
def made(folder: Path) -> Iterator[list[Reader]]:
    """All readers over small data, a small run and what is made of it."""
    from kills import SETTINGS, prepare

    from dtbh.config import Service, make_config
    from dtbh.stages.encode import encode
    from dtbh.stages.evaluate import evaluate
    from dtbh.stages.export import export
    from dtbh.stages.index import index
    from dtbh.stages.train import train
    from dtbh.utils.progress import quiet

    quiet()
    os.environ["DTBH_CACHE"] = str(folder / "cache")
    data = prepare(folder / "data")
    run = train(make_config(SETTINGS | {"training": {**SETTINGS["training"], "epochs": 1}}), data, folder / "run")
    evaluate(run)
    archive = Path(index(run, data, out=folder / "archive").path)
    codes = Path(encode(run, data, out=folder / "codes", split="test").path)
    exported, client = None, None
    with ExitStack() as stack:
        with suppress(MissingExtraError):
            exported = export(run, out=folder / "model").path
        try:
            from fastapi.testclient import TestClient

            from dtbh.web.app import create_app

            app = create_app([archive], limits=Service(), hosts=None)
            client = stack.enter_context(TestClient(app, raise_server_exceptions=True))
        except ModuleNotFoundError:
            print("without fastapi and httpx no requests are tried")
        yield readers(run, data, archive, codes, exported, client)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read altered inputs; returns the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=50_000, help="of all readers together (default 50000)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first input")
    parser.add_argument("--only", metavar="READER", help="one reader, by its name")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="dtbh-fuzz-") as temporary:
        folder = Path(temporary)
        with made(folder) as found:
            chosen = [reader for reader in found if args.only in (None, reader.name)]
            began = time.monotonic()
            (folder / "inputs").mkdir()
            failures = fuzz(chosen, args.first, args.inputs, folder / "inputs")
    for kind, said in failures.items():
        print(f"{kind}, {said}")
    names = ", ".join(reader.name for reader in chosen)
    print(f"{args.inputs} inputs in {time.monotonic() - began:.0f} s of {names}: {len(failures)} kinds of failure")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
