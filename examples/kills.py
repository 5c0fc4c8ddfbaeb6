"""kill -9 at random moments: whether index, merge, compact, label and train go on to the same result.

    python examples/kills.py --kills 100

Each command works on small data that are made first. It is killed at a moment drawn over its whole length, every other
time once more while it goes on, and then left to finish; what it leaves must be what a call without kills leaves. One
line a command; the exit code is 1 where anything differs. Where words lie is drawn for `label`: so small a model has no
tower for texts.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = os.environ["NUMBA_NUM_THREADS"] = "1"  # what is forked beside threads may wait for ever

import argparse
import csv
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import dtbh
from dtbh.cli.main import main as call
from dtbh.codes import HashCodes
from dtbh.config import make_config, write_config
from dtbh.data.manifest import Item, write_manifest
from dtbh.data.synthetic.generate import draw
from dtbh.index.archive.archive import create_archive, open_archive
from dtbh.models.encoder import Encoding
from dtbh.models.senses import Senses
from dtbh.stages import resumable

SETTINGS: dict[str, Any] = {
    "data": {"val": 0.2},
    "encoders": {
        "bits": 12, "feature_dim": 16,
        "image": {"backbone": "small_cnn", "weights": "none", "frozen": False, "size": 16},
        "sound": {"width": 8, "features": {"n_mels": 40, "n_mfcc": 20}},
    },
    "training": {"epochs": 3, "classes": 3, "per_class": 2, "workers": 0},
}  # fmt: skip


class Words:
    """Stands in for the model of `label`: each text has a code drawn from its letters."""

    def __init__(self, archive: Path) -> None:
        index = open_archive(archive)
        self.path, self.bits, self.fingerprint = archive, index.bits, index.encoder
        self.senses = Senses(("text",), None, False, "minilm_l6")

    def encode(self, items: Sequence[Item], **_: object) -> Encoding:
        """Codes of texts."""
        seeds = [list(str(item.transcript).encode()) for item in items]
        drawn = np.array([np.random.default_rng(seed).normal(size=self.bits) for seed in seeds], np.float32)
        return Encoding(HashCodes.from_values(drawn, encoder=self.fingerprint, items=items), (), drawn)


@dataclass(frozen=True)
class Case:
    """A command that is killed.

    Attributes:
        words: The command, given where it writes.
        result: What it left, to be compared.
        stands: What stands in its place before; None for nothing.
    """

    words: Callable[[Path], Sequence[str]]
    result: Callable[[Path], Any]
    stands: Path | None = None


def prepare(folder: Path) -> Path:
    """A few drawn images with two hummed captions each; the data folder."""
    manifest = draw(folder, classes=3, per_class=8, size=32, captions=2)
    rng = np.random.default_rng(0)
    (folder / "sounds").mkdir()
    seconds = np.arange(8000) / 16000

    def hummed(number: int, item: Item) -> Item:
        if item.modality == "image":
            return item
        pitch = 200 * (1 + manifest.labels.index(str(item.label))) * rng.uniform(0.9, 1.1)
        soundfile.write(folder / f"sounds/{number}.wav", 0.3 * np.sin(2 * np.pi * pitch * seconds), 16000)
        return replace(item, path=f"sounds/{number}.wav", speaker=f"v{number % 4}")

    write_manifest(replace(manifest, items=tuple(hummed(n, item) for n, item in enumerate(manifest))))
    return folder


def cases(data: Path, folder: Path) -> dict[str, Case]:
    """The commands by name, with what they need made in ``folder``."""
    config = write_config(make_config(SETTINGS), folder / "config.yaml")
    run, whole, gappy = folder / "run", folder / "whole", folder / "gappy"
    done(["train", str(config), "--data", str(data), "--out", str(run)])
    done(["index", str(run), str(data), "--out", str(whole)])
    parts = [str(folder / f"part{number}") for number in (1, 2)]
    for number, part in enumerate(parts, 1):
        done(["index", str(run), str(data), "--out", part, "--shard", f"{number}/2"])
    ids = [item.id for item in open_archive(whole).items(open_archive(whole).rows())]
    create_archive(gappy, open_archive(whole).at(open_archive(whole).rows())).remove(ids[::3])
    words = Words(whole)
    import_module("dtbh.stages.label").__dict__["load"] = lambda _: words
    return {
        "index": Case(lambda out: ["index", str(run), str(data), "--out", str(out)], archive_at),
        "merge": Case(lambda out: ["merge", str(out), *parts], archive_at),
        "compact": Case(lambda out: ["compact", str(out)], archive_at, gappy),
        "label": Case(lambda out: ["label", str(out)], archive_at, whole),
        "train": Case(lambda out: ["train", str(config), "--data", str(data), "--out", str(out)], run_at),
    }


def archive_at(path: Path) -> Any:
    """All that an archive says, its checksums compared."""
    archive = open_archive(path)
    archive.verify()
    rows = archive.rows()
    return archive.at(rows).words.tolist(), archive.items(rows), archive.encoder, archive.bits, len(rows)


def run_at(path: Path) -> Any:
    """A run's weights, in short, and what was measured on the way."""
    with (path / "metrics.csv").open(encoding="utf-8") as file:
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    return dtbh.load(path).fingerprint, rows


def in_child(words: Sequence[str], after: float | None = None) -> bool:
    """Call a command in a process of its own, killed after some seconds; whether it was, before it had ended.

    Raises:
        RuntimeError: It ended by itself, but not well.
    """
    child = os.fork()
    if not child:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            code = call([*words, "--quiet"])
        finally:
            os._exit(code)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"{' '.join(words)}: exit code {code}")
    return code != 0


def done(words: Sequence[str]) -> float:
    """Call a command in a process of its own; its seconds."""
    began = time.monotonic()
    assert not in_child(words)
    return time.monotonic() - began


def torture(name: str, case: Case, folder: Path, kills: int, draw: random.Random) -> list[str]:
    """Kill a command so many times; what went wrong, one line each."""
    place = folder / "place" / name

    def fresh() -> None:
        shutil.rmtree(place.parent, ignore_errors=True)
        place.parent.mkdir()
        if case.stands is not None:
            shutil.copytree(case.stands, place)

    fresh()
    seconds = done(case.words(place))
    wanted = case.result(place)
    wrong, killed, trials = list[str](), 0, 0
    while killed < kills:
        trials += 1
        fresh()
        moments = list[float]()
        try:
            while not moments or draw.random() < 0.5:
                moments.append(draw.uniform(0, 1.1 * seconds))
                killed += in_child(case.words(place), moments[-1])
            done(case.words(place))
            if case.result(place) != wanted:
                wrong.append(f"{name}: another result after kills at {moments} s")
        except (RuntimeError, dtbh.DtbhError) as error:
            wrong.append(f"{name}: after kills at {moments} s: {error}")
    print(f"{name}: {killed} kills in {trials} trials over {seconds:.2f} s, {len(wrong)} went wrong", flush=True)
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill each command; returns the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="of each command (default 100)")
    parser.add_argument("--only", nargs="+", metavar="COMMAND", help="of index, merge, compact, label, train")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    resumable.BATCH = 8  # so that what is kept on the way is met too
    for stage in ("train", "index", "merge"):
        import_module(f"dtbh.stages.{stage}")  # here, so that kills meet work and not imports
    with tempfile.TemporaryDirectory(prefix="dtbh-kills-") as temporary:
        folder = Path(temporary)
        os.environ["DTBH_CACHE"] = str(folder / "cache")
        found = cases(prepare(folder / "data"), folder)
        wrong = [
            line
            for name, case in found.items()
            if not args.only or name in args.only
            for line in torture(name, case, folder, args.kills, random.Random(args.seed))
        ]
    print("\n".join(wrong) or "every call went on to the same result")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
