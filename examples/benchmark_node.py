"""What is a search node without torch worth? Its size, and a search from the shell, beside the run it came from.

    dtbh export runs/ucm --out models/ucm
    python examples/benchmark_node.py runs/ucm models/ucm --sound query.wav

A fresh virtual environment gets the model's requirements.txt, and dtbh without its dependencies. Both
environments then search one archive of random codes, in turns, each time in a new process. Exits with 1 where
their answers differ.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

import numpy as np

import dtbh
from dtbh.codes import word_count

ROOT = Path(__file__).parents[1]
SOURCES = ("dtbh", "pyproject.toml", "README.md", "LICENSE")


def install(folder: Path, model: Path) -> Path:
    """A fresh environment with what a search node needs; returns its Python."""
    venv.create(folder / "node", with_pip=True)
    python = folder / "node" / "bin" / "python"
    sources = folder / "sources"
    sources.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, sources / name)
    for what in (["-r", str(model / "requirements.txt")], ["--no-deps", str(sources)]):
        subprocess.run([python, "-m", "pip", "install", "--quiet", *what], check=True)
    return python


def installed_bytes(python: Path | str) -> int:
    """What an environment's packages take on disk."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    folder = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    return sum(file.lstat().st_size for file in Path(folder).rglob("*") if file.is_file())


def random_archive(path: Path, rows: int, model: dtbh.Encoder) -> Path:
    """An archive of random codes that passes for one of the model's."""
    words = np.random.default_rng(0).integers(0, 1 << 63, (rows, word_count(model.bits)), dtype=np.uint64)
    if model.bits % 64:
        words[:, -1] &= np.uint64((1 << model.bits % 64) - 1)
    items = tuple(dtbh.Item(f"tile{row}", "image", f"/tiles/{row}.png") for row in range(rows))
    return dtbh.create_archive(path, dtbh.HashCodes(words, model.bits, model.fingerprint, items)).path


def searched(python: Path | str, archive: Path, model: Path, sound: Path) -> tuple[float, str]:
    """Seconds that a search in a new process takes, and its answer."""
    command = ["-m", "dtbh.cli", "search", archive, "--model", model.resolve(), "--sound", sound.resolve()]
    begin = time.perf_counter()
    done = subprocess.run([python, *map(str, command)], check=True, capture_output=True, text=True, cwd=archive)
    return time.perf_counter() - begin, done.stdout


def main() -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("model", type=Path, help="what dtbh export made of the run")
    parser.add_argument("--sound", type=Path, required=True, help="the query")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=7)
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dtbh-node-") as name:
        folder = Path(name)
        pythons = {"with torch": Path(sys.executable), "search node": install(folder, settings.model)}
        models = {"with torch": settings.run, "search node": settings.model}
        archive = random_archive(folder / "archive", settings.rows, dtbh.load(settings.model))
        seconds: dict[str, list[float]] = {who: [] for who in pythons}
        answers = set()
        for _ in range(settings.times):
            for who, python in pythons.items():
                took, answer = searched(python, archive, models[who], settings.sound)
                seconds[who].append(took)
                answers.add(answer)
        print(f"one sound among {settings.rows:,} codes, each time in a new process; medians of {settings.times}")
        print(f"{'':<14}{'packages':>10}{'search':>10}{'ratio':>8}")
        for who, python in pythons.items():
            took = statistics.median(seconds[who])
            ratio = statistics.median(seconds["with torch"]) / took
            print(f"{who:<14}{installed_bytes(python) / 1e6:>7.0f} MB{took:>8.2f} s{ratio:>8.1f}")
    if len(answers) > 1:
        print("the answers differ")
    return int(len(answers) > 1)


if __name__ == "__main__":
    sys.exit(main())
