"""Sweeps of real trainings on the tiny data: killed, gone on with, with a failing cell; and runs compared."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dtbh.cli.main import main
from dtbh.config import Config, FineTuning, read_config, write_config
from dtbh.data.manifest import read_manifest
from dtbh.errors import DtbhError
from dtbh.evaluation.report import read_report
from dtbh.stages import sweep as sweeping
from dtbh.stages.sweep import Cell, _done, _processes, _shared, _start
from dtbh.utils.files import file_lock


@pytest.fixture(scope="module")
def config(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A method that learns for an epoch."""
    short = tiny_config.model_copy(update={"training": tiny_config.training.model_copy(update={"epochs": 1})})
    return str(write_config(short, tmp_path_factory.mktemp("configs") / "ours" / "tiny.yaml"))


def free(run: Path) -> bool:
    """Whether no process trains in a run folder."""
    try:
        with file_lock(run, "looking"):
            return True
    except DtbhError:
        return False


def wait(until: object, seconds: float = 120) -> None:
    assert callable(until)
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def swept(config: str, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """A sweep that was killed in its first training, and the command that goes on."""
    out = tmp_path_factory.mktemp("sweeps") / "tiny"
    command = ["sweep", config, "--data", str(tiny_data), "--out", str(out), "--bits", "8,12", "--seeds", "0",
               "--threads", "1"]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "dtbh.cli", *command], stderr=subprocess.DEVNULL)
    run = out / "ours-tiny" / "8-0"
    wait(lambda: run.is_dir() or process.poll() is not None)
    assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait(lambda: free(run), 30)  # its training ended with it
    assert not (out / "sweep.json").exists()
    return command, out


def test_a_sweep_goes_on_and_names_what_failed(
    swept: tuple[list[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    command, out = swept
    (out / "ours-tiny" / "16-0").mkdir()
    (out / "ours-tiny" / "16-0" / "notes.txt").write_text("mine")
    assert main([part if part != "8,12" else "8,12,16" for part in command] + ["--jobs", "3"]) == 1
    said = capsys.readouterr()
    assert re.search(r"ours-tiny, 12 bits, seed 0: sound->image 0\.\d{4}  image->sound 0\.\d{4}, \d+ s", said.err)
    (failed,) = [line for line in said.err.splitlines() if line.startswith("failed: ")]
    assert failed.startswith("failed: ours-tiny, 16 bits, seed 0: ")
    assert "is not empty and holds no run" in failed
    assert failed.endswith(f"({out / 'ours-tiny' / '16-0.log'})")
    assert max(map(len, said.out.splitlines()[:-1])) <= 80
    assert re.search(r"^ours-tiny +0\.\d{3} +0\.\d{3}$", said.out, re.MULTILINE)
    entry = json.loads((out / "sweep.json").read_text())
    assert [(cell["method"], cell["bits"], cell["run"]) for cell in entry["cells"]] == [
        ("ours-tiny", 8, "ours-tiny/8-0"),
        ("ours-tiny", 12, "ours-tiny/12-0"),
    ]
    for cell in entry["cells"]:
        report = json.loads((out / cell["run"] / "report" / "report.json").read_text())
        assert cell["map"] == {way: one["map"] for way, one in report["directions"].items()}
        assert report["bits"] == cell["bits"]
    assert [(cell["method"], cell["bits"]) for cell in entry["failed"]] == [("ours-tiny", 16)]
    for name in ("table.txt", "table.md", "table.csv", "table.tex", "map.png", "map.svg", "reports.html"):
        assert (out / name).stat().st_size > 100, name
    assert (out / "reports.html").read_text().count('<a href="ours-tiny/') == 2


def test_what_is_done_is_not_done_again(swept: tuple[list[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    command, out = swept
    weights = sorted(out.rglob("model.safetensors")) + sorted(out.rglob("report.json"))
    assert len(weights) == 4
    before = [path.stat().st_mtime_ns for path in weights]
    assert main(command) == 0
    assert "2 of 2 done already" in capsys.readouterr().err
    assert [path.stat().st_mtime_ns for path in weights] == before


def test_a_run_of_other_settings_or_data_or_without_its_page_is_not_done(
    swept: tuple[list[str], Path], tiny_data: Path
) -> None:
    _, out = swept
    run, manifest = out / "ours-tiny" / "8-0", read_manifest(tiny_data)
    cell = Cell("ours-tiny", 8, 0, run, read_config(run / "config.yaml"))
    report = _done(cell, manifest)
    assert report is not None
    assert report == read_report(run / "report")
    assert _done(replace(cell, config=read_config(run / "config.yaml", ["learning.margin=0.3"])), manifest) is None
    assert _done(cell, manifest.replaced(manifest.images)) is None
    page = run / "report" / "index.html"
    page.rename(page.with_suffix(".gone"))
    assert _done(cell, manifest) is None
    page.with_suffix(".gone").rename(page)


def test_runs_of_a_sweep_are_compared(swept: tuple[list[str], Path], capsys: pytest.CaptureFixture[str]) -> None:
    _, out = swept
    runs = [str(out / "ours-tiny" / name) for name in ("8-0", "12-0")]
    assert main(["compare", *runs]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert re.search(r"^12-0 +12 +0\.\d{3} +[+-]0\.\d{3} \[[+-]0\.\d{3}, [+-]0\.\d{3}\] ", said, re.MULTILINE)
    assert main(["compare", *runs, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["first"] == "8-0"
    assert main(["compare", runs[0], runs[0]]) == 2
    assert "given twice" in capsys.readouterr().err
    assert main(["compare", runs[0], str(out / "ours-tiny" / "16-0")]) == 2
    assert "no report here" in capsys.readouterr().err


def test_a_mistake_is_one_line(
    config: str, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--data", str(tiny_data), "--out", str(tmp_path / "out")]
    for arguments, message in (
        ([config, config, *common], "was given already; use NAME=CONFIG"),
        ([f"../x={config}", *common], "wanted NAME=CONFIG"),
        ([config, *common, "--bits", "8,8"], "none twice"),
        ([config, *common, "--jobs", "0"], "wanted 1 or more"),
        ([config, *common, "--set", "learning.marge=1"], "did you mean margin"),
        (["nowhere.yaml", *common], "no config can be read here"),
    ):
        assert main(["sweep", *arguments]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    with pytest.raises(SystemExit):
        main(["sweep", config, *common, "--bits", "8;9"])
    assert "invalid list of numbers value: '8;9'" in capsys.readouterr().err


class Ends:
    """A process that ends when it is looked at the third time."""

    pid, looks = 0, 0

    def __init__(self, cell: Cell) -> None:
        self.cell, self.returncode = cell, int(cell.method == "fails")

    def poll(self) -> int | None:
        self.looks += 1
        return self.returncode if self.looks == 3 else None

    def communicate(self) -> None:
        pass


def in_turn(cells: list[Cell], monkeypatch: pytest.MonkeyPatch, *stored: Cell) -> list[list[str]]:
    """Which cells begin together, where as many as there are may."""
    begun: list[list[str]] = [[]]
    monkeypatch.setattr(sweeping, "PAUSE", 0)
    monkeypatch.setattr(sweeping, "_start", lambda cell, *_: (begun[-1].append(str(cell)), Ends(cell))[1])
    known = {name for cell in stored for name in _shared(cell)}
    for ended, _ in enumerate(_processes(cells, Path(), len(cells), 1, known), start=1):
        if ended == sum(map(len, begun)):
            begun.append([])
    assert sorted(name for names in begun for name in names) == sorted(map(str, cells))
    return begun[:-1]


def test_what_several_need_is_computed_by_one(tiny_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    def cell(method: str, bits: int, **tower: object) -> Cell:
        image = tiny_config.encoders.image.model_copy(update=tower)
        encoders = tiny_config.encoders.model_copy(update={"image": image, "bits": bits})
        return Cell(method, bits, 0, Path(method), tiny_config.model_copy(update={"encoders": encoders}))

    cells = [cell("a", 8, frozen=True), cell("a", 12, frozen=True), cell("a", 16, frozen=True),
             cell("b", 8, frozen=True, backbone="efficientnet_lite0"), cell("c", 8)]  # fmt: skip
    together = ["a, 8 bits, seed 0", "b, 8 bits, seed 0", "c, 8 bits, seed 0"]
    assert in_turn(cells, monkeypatch) == [together, ["a, 12 bits, seed 0", "a, 16 bits, seed 0"]]
    assert in_turn(cells[1:3], monkeypatch, cells[0]) == [["a, 12 bits, seed 0", "a, 16 bits, seed 0"]]
    cells[0] = replace(cells[0], method="fails")
    wait_again = [["fails, 8 bits, seed 0"], ["a, 12 bits, seed 0"], ["a, 16 bits, seed 0"]]
    assert in_turn(cells[:3], monkeypatch) == wait_again


@pytest.mark.parametrize("preset", ["rsicd", "ready"])
def test_backbones_of_several_seeds_are_tuned_side_by_side(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(__file__).parents[2] / "configs" / "any-words" / f"{preset}.yaml"
    cells = [
        Cell("any", bits, seed, Path("any"), read_config(path, [f"encoders.bits={bits}", f"seed={seed}"]))
        for bits in (64, 128) for seed in (0, 1)
    ]  # fmt: skip
    assert in_turn(cells, monkeypatch) == [[f"any, {bits} bits, seed {seed}" for seed in (0, 1)] for bits in (64, 128)]


def test_a_cell_that_cant_be_trained_ends_alone(tiny_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    learning = tiny_config.learning.model_copy(update={"finetuning": FineTuning()})
    encoders = tiny_config.encoders.model_copy(update={"image": None})
    wrong = tiny_config.model_copy(update={"learning": learning, "encoders": encoders})
    assert in_turn([Cell("fails", 8, 0, Path("a"), wrong)], monkeypatch) == [["fails, 8 bits, seed 0"]]


def test_each_process_has_its_threads(tmp_path: Path, tiny_config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, str]] = []

    def popen(_: object, *, env: dict[str, str], **__: object) -> object:
        given.append(env)
        return subprocess_popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)

    subprocess_popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    cell = Cell("a", 8, 0, tmp_path / "a" / "8-0", tiny_config)
    for threads in (None, 5):
        _start(cell, tmp_path, 2, threads).communicate()
    assert [(env["OMP_NUM_THREADS"], env["MKL_NUM_THREADS"]) for env in given] == [("3", "4"), ("5", "5")]
