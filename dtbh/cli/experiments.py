"""The commands of whoever compares methods: sweep, compare.

Comes in: arguments, from ``dtbh.cli.main``. Heavy imports stand inside the commands.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from dtbh.errors import ConfigError

Arguments = argparse.Namespace
Command = Callable[[str, Callable[[Arguments], int]], argparse.ArgumentParser]
FAILED = 1


def sweep(args: Arguments) -> int:
    """Train and evaluate methods at several lengths with several seeds."""
    from dtbh.stages.sweep import sweep as run

    found = run(_configs(args.config), args.data, args.out, bits=args.bits, seeds=args.seeds, overrides=args.set,
                jobs=args.jobs, threads=args.threads)  # fmt: skip
    if found.table is not None:
        print(found.table.text())
        print(f"{args.out}: sweep.json, table.txt|md|csv|tex, map.png|svg, reports.html")
    for cell, why in found.failures.items():
        print(f"failed: {cell}: {why}", file=sys.stderr)
    return FAILED if found.failures else 0


def compare(args: Arguments) -> int:
    """Put runs side by side, and say whether their difference means anything."""
    from dtbh.evaluation.comparison import compare as run
    from dtbh.evaluation.comparison_text import describe
    from dtbh.evaluation.report import read_series

    paths = [path.absolute() for path in args.runs]
    if len({*paths}) < len(paths):
        raise ConfigError("compare: a run was given twice")
    base = Path(os.path.commonpath([path.parent for path in paths]))
    found = run({path.relative_to(base).as_posix(): read_series(path) for path in paths})
    print(json.dumps(found.to_dict(), indent=1, ensure_ascii=False) if args.json else describe(found))
    return 0


def _configs(texts: list[str]) -> dict[str, Path]:
    """The config files by the names of their rows, each as ``CONFIG`` or ``NAME=CONFIG``."""
    configs: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        file = Path(path if equals else text)
        name = name if equals else "-".join(part for part in (file.parent.name, file.stem) if part)
        if not name or "/" in name or name.startswith("."):
            raise ConfigError(f"{text}: a method's name makes a folder; wanted NAME=CONFIG, as in DTBH=dtbh.yaml")
        if name in configs:
            raise ConfigError(f"{text}: a method of the name {name} was given already; use NAME=CONFIG")
        configs[name] = file
    return configs


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


_numbers.__name__ = "list of numbers"  # argparse says it of a wrong one


def add_commands(command: Command) -> None:
    """The parsers of these commands."""
    sub = command("sweep", sweep)
    sub.add_argument("config", nargs="+", metavar="CONFIG", help="or NAME=CONFIG; the name of its row and folder")
    sub.add_argument("--data", type=Path, required=True, help="a prepared data folder")
    sub.add_argument("--out", type=Path, required=True, help="the sweep's folder")
    sub.add_argument("--bits", type=_numbers, default=[16, 24, 32, 48, 64], help="default 16,24,32,48,64")
    sub.add_argument("--seeds", type=_numbers, default=[0, 1, 2], help="default 0,1,2")
    sub.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in training.epochs=5")
    sub.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (default 1)")
    sub.add_argument("--threads", type=int, metavar="N", help="of each run (default: $OMP_NUM_THREADS, or a share "
                     "of the cores)")  # fmt: skip

    sub = command("compare", compare)
    sub.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="evaluated runs, or folders of several seeds; "
                     "the first is what the others are compared with")  # fmt: skip
    sub.add_argument("--json", action="store_true")
