"""A grid of runs: each method at each length with each seed, trained and evaluated in a process of its own.

What is done is not done again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dtbh.config import Config, differences, make_config, read_config
from dtbh.data.manifest import Manifest, read_manifest
from dtbh.errors import ConfigError, DataError, DtbhError, MissingExtraError, RunError
from dtbh.evaluation.plots import draw
from dtbh.evaluation.report import PAGE, read_report, rewrite_page
from dtbh.evaluation.results.tables import Table, write_table
from dtbh.evaluation.results.values import RetrievalReport
from dtbh.models.run_files import CONFIG, read_run
from dtbh.utils.files import file_lock, write_text
from dtbh.utils.interrupts import kept
from dtbh.utils.packages import check_installed
from dtbh.utils.progress import echo, track

NAME, VERSION = "sweep.json", 1
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
PAUSE = 0.1  # seconds between two looks at the processes


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    Attributes:
        method: Its row's name.
        bits: Its column.
        seed: Of training.
        run: Its run folder, ``METHOD/BITS-SEED`` below the sweep's; what its process said stands beside it in a
            ``.log``.
        config: All its settings.
    """

    method: str
    bits: int
    seed: int
    run: Path
    config: Config = field(compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.method}, {self.bits} bits, seed {self.seed}"

    @property
    def log(self) -> Path:
        """What its process said."""
        return self.run.with_name(f"{self.run.name}.log")


@dataclass(frozen=True)
class Sweep:
    """What a sweep found.

    Attributes:
        folder: The sweep's.
        reports: Of each cell that was done, in the grid's order.
        failures: For each other cell, why.
        table: Over all reports; None where every cell failed.
    """

    folder: Path
    reports: Mapping[Cell, RetrievalReport]
    failures: Mapping[Cell, str]
    table: Table | None


def sweep(
    configs: Mapping[str, Path],
    data: str | Path,
    out: str | Path,
    *,
    bits: Sequence[int],
    seeds: Sequence[int],
    overrides: Sequence[str] = (),
    jobs: int = 1,
    threads: int | None = None,
) -> Sweep:
    """Train and evaluate every method at every length with every seed, and write tables, figure and page.

    Outputs of frozen networks are stored once, and a backbone is fine-tuned once a seed, for all lengths: while several
    cells work at a time, those that need what another computes wait for it. A cell that fails is named, and the others
    go on. After a kill, the same call goes on.

    Args:
        configs: By the name of its row, the config file of each method.
        data: A prepared data folder.
        out: The sweep's folder; one of the same cells is gone on with.
        bits: Lengths of codes.
        seeds: Of training; the split has its own in ``data.seed``.
        overrides: ``section.key=value``, for every config.
        jobs: How many cells at a time.
        threads: How many threads each has; None: what ``OMP_NUM_THREADS`` says, or an equal share of the cores.

    Raises:
        ConfigError: A config that can't be read, or an empty or doubled list.
        DataError: No such data.
        DtbhError: Another sweep works in the folder.
        MissingExtraError: The extra ``train`` is not installed.
    """
    check_installed("torch", "lightning", extra="train", purpose="dtbh sweep")
    out, manifest = Path(out), read_manifest(data)
    for name, values in (("bits", bits), ("seeds", seeds), ("configs", [*configs])):
        if not values or len({*values}) < len(values):
            raise ConfigError(f"--{name} {','.join(map(str, values))}: wanted at least one, and none twice")
    if jobs < 1 or (threads is not None and threads < 1):
        raise ConfigError(f"--jobs {jobs}, --threads {threads}: wanted 1 or more")
    cells = [
        Cell(method, length, seed, out / method / f"{length}-{seed}",
             read_config(path, [*overrides, f"encoders.bits={length}", f"seed={seed}"]))
        for method, path in configs.items() for length in bits for seed in seeds
    ]  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    with file_lock(out, "sweeping"), kept(f"{out} is kept, and the same call goes on from there"):
        reports, failures = _work_through(cells, manifest, jobs, threads)
        table = None
        if reports:
            rows = {method: [r for c, r in reports.items() if c.method == method] for method in configs}
            table = Table.of(rows)
        found = Sweep(out, reports, failures, table)
        _write(found, configs, data, bits, seeds)
    return found


def _work_through(
    cells: Sequence[Cell], manifest: Manifest, jobs: int, threads: int | None
) -> tuple[dict[Cell, RetrievalReport], dict[Cell, str]]:
    """The report of each cell that is done, and why each other is not."""
    reports: dict[Cell, RetrievalReport] = {}
    failures: dict[Cell, str] = {}
    for cell in cells:
        if (report := _done(cell, manifest)) is not None:
            reports[cell] = report
    if reports:
        echo(f"{len(reports)} of {len(cells)} done already")
    if len(reports) < len(cells):
        echo(f"training and evaluating {len(cells) - len(reports)} runs, {jobs} at a time", event="start")
    waiting = [cell for cell in cells if cell not in reports]
    stored = {name for cell in reports for name in _shared(cell)}
    with closing(_processes(waiting, manifest.root, jobs, threads, stored)) as ended:
        for cell, seconds in track(ended, "sweeping", total=len(waiting)):
            report = _done(cell, manifest)
            if report is None:
                failures[cell] = _reason(cell)
            else:
                reports[cell] = report
            _tell(cell, seconds, report, len(reports) + len(failures), len(cells))
    return {c: reports[c] for c in cells if c in reports}, {c: failures[c] for c in cells if c in failures}


def _tell(cell: Cell, seconds: float, report: RetrievalReport | None, number: int, of: int) -> None:
    said = "FAILED" if report is None else "  ".join(f"{way} {one.map:.4f}" for way, one in report.directions.items())
    echo(f"{number}/{of}  {cell}: {said}, {seconds:.0f} s")


def _shared(cell: Cell) -> set[str]:
    """What a cell computes once for others: outputs of its frozen networks, or the tuning of one for its seed."""
    image, sound, tuning = cell.config.encoders.image, cell.config.encoders.sound, cell.config.learning.finetuning
    found = set()
    if image is not None and image.frozen:
        how = "" if tuning is None else f"{tuning.model_dump_json()} {cell.seed}"
        found.add(f"image {image.backbone} {how}")
    if sound is not None and sound.frozen and not sound.words_alone:
        found.add(f"sound {sound.backbone}")
    return found


def _done(cell: Cell, manifest: Manifest) -> RetrievalReport | None:
    """The cell's report, where its run is finished, of these settings and this data; else None."""
    try:
        run = read_run(cell.run)
        if not run["finished"] or run["manifest"] != manifest.fingerprint:
            return None
        if differences(read_config(cell.run / CONFIG), cell.config) or not (cell.run / "report" / PAGE).is_file():
            return None
        return read_report(cell.run / "report", queries=False)
    except (RunError, ConfigError, DataError, KeyError):
        return None


def _processes(
    cells: Sequence[Cell], data: Path, jobs: int, threads: int | None, stored: set[str]
) -> Generator[tuple[Cell, float], None, None]:
    """Each cell when its process has ended, with its seconds; what still works is killed when this is closed.

    A cell begins once no other computes what both need, unless that is stored.
    """
    waiting = [*cells]
    running: dict[Cell, tuple[subprocess.Popen[bytes], float]] = {}
    try:
        while waiting or running:
            for cell in [*waiting]:
                computed = {name for other in running for name in _shared(other)} - stored
                if len(running) < jobs and not _shared(cell) & computed:
                    waiting.remove(cell)
                    running[cell] = _start(cell, data, jobs, threads), time.monotonic()
            time.sleep(PAUSE)
            for cell, (process, began) in [*running.items()]:
                if process.poll() is not None:
                    process.communicate()
                    del running[cell]
                    if process.returncode == 0:
                        stored |= _shared(cell)
                    yield cell, time.monotonic() - began
    finally:
        for process, _ in running.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with the workers that read files for it
            process.communicate()


def _start(cell: Cell, data: Path, jobs: int, threads: int | None) -> subprocess.Popen[bytes]:
    """A process that trains and evaluates one cell, and ends when this one does."""
    share = dict.fromkeys(THREADS, str(threads or max(1, (os.cpu_count() or 1) // jobs)))
    environment = {**share, **os.environ} if threads is None else {**os.environ, **share}
    order = {"config": cell.config.model_dump(mode="json"), "data": str(data), "run": str(cell.run)}
    cell.log.parent.mkdir(parents=True, exist_ok=True)
    with cell.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dtbh.stages.sweep"], env=environment, stdin=subprocess.PIPE, stdout=log,
            stderr=log, start_new_session=True,
        )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(json.dumps(order).encode() + b"\n")
    process.stdin.flush()
    return process


def _work(order: Mapping[str, Any]) -> int:
    """One cell, in its own process; returns the exit code."""
    from dtbh.stages.evaluate import evaluate
    from dtbh.stages.train import train

    try:
        evaluate(train(make_config(order["config"]), order["data"], order["run"]))
    except (DtbhError, OSError, MemoryError) as error:
        print(str(error).replace("\n  -", ";") or type(error).__name__, file=sys.stderr)
        return 2
    return 0


def _end_with_parent() -> None:
    """The pipe closes when the sweep ends, however it ends; a cell without a sweep would be in the next one's way."""
    os.read(0, 1)
    os._exit(1)


def _reason(cell: Cell) -> str:
    lines = [line for line in cell.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"{lines[-1].strip() if lines else 'its process was killed'} ({cell.log})"


def _write(
    found: Sweep, configs: Mapping[str, Path], data: str | Path, bits: Sequence[int], seeds: Sequence[int]
) -> None:
    """``sweep.json`` and, where there is anything to show, tables, figure and page."""
    from dtbh.utils.version import __version__

    cells = [
        {"method": c.method, "bits": c.bits, "seed": c.seed, "run": c.run.relative_to(found.folder).as_posix(),
         "map": {way: one.map for way, one in report.directions.items()}}
        for c, report in found.reports.items()
    ]  # fmt: skip
    failed = [{"method": c.method, "bits": c.bits, "seed": c.seed, "why": why} for c, why in found.failures.items()]
    entry = {
        "version": VERSION, "dtbh": __version__, "data": str(data), "bits": [*bits], "seeds": [*seeds],
        "methods": {method: str(path) for method, path in configs.items()}, "cells": cells, "failed": failed,
    }  # fmt: skip
    write_text(found.folder / NAME, json.dumps(entry, indent=1, ensure_ascii=False) + "\n")
    if found.table is None:
        return
    write_table(found.table, found.folder)
    rewrite_page(found.folder)
    try:
        draw(found.table, [found.folder / "map.png", found.folder / "map.svg"])
    except MissingExtraError as error:
        echo(f"no figure: {error}")


if __name__ == "__main__":
    wanted = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.exit(_work(wanted))
