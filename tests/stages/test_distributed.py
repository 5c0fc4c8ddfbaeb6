"""Shards by Ray: one real run on a local Ray of two workers, since starting it takes some seconds."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import soundfile

from dtbh.cli.main import main
from dtbh.errors import ConfigError, DtbhError, MissingExtraError
from dtbh.index.archive.archive import open_archive
from dtbh.models.encoder import EXPORTED
from dtbh.models.run_files import READY
from dtbh.stages import distributed
from dtbh.stages.index import index
from tests.tones import RATE, recording, tones


@pytest.fixture(autouse=True)
def own_ending() -> Iterator[None]:
    """Ray puts its own handler of SIGTERM in place of what other tests find there."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def told_apart(archive: Path) -> list[tuple[object, list[int]]]:
    """The items of an archive with their codes."""
    index = open_archive(archive)
    index.verify()
    return list(zip(index.items(index.rows()), index.at(index.rows()).words.tolist(), strict=True))


@pytest.fixture
def day(tmp_path: Path) -> Path:
    """A recording that is cut into two passages, a short one, and one that is damaged."""
    (tmp_path / "day").mkdir()
    recording(tmp_path / "day" / "long.wav")
    soundfile.write(tmp_path / "day" / "short.wav", tones("a red tile", "v1", 170, 50)[0], RATE)
    (tmp_path / "day" / "torn.wav").write_bytes(b"no sound")
    return tmp_path / "day"


def test_two_workers_make_what_one_process_makes(
    tiny_run: Path, tiny_data: Path, day: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "120")  # a busy machine
    images = shutil.copytree(tiny_data / "images", tmp_path / "images")
    (images / "red3.png").write_bytes(b"not a picture")
    index(tiny_run, images, out=tmp_path / "one")
    index(tiny_run, day, out=tmp_path / "heard", passages=True)
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, logging_level="ERROR")
    try:
        command = ["index", str(tiny_run), str(images), "--out", str(tmp_path / "two"), "--ray", "3"]
        assert main(command) == 1
        assert "red3.png" in capsys.readouterr().err
        one, two = open_archive(tmp_path / "one"), open_archive(tmp_path / "two")
        assert two.items(two.rows()) == one.items(one.rows())
        assert (two.words == one.words).all()
        assert two.model == one.model
        two.verify()
        passages = ["index", str(tiny_run), str(day), "--out", str(tmp_path / "passages"), "--passages", "--ray", "3"]
        assert main(passages) == 1
        assert "torn.wav" in capsys.readouterr().err
        assert told_apart(tmp_path / "passages") == told_apart(tmp_path / "heard")
        assert {path.name for path in tmp_path.iterdir()} == {"images", "day", "one", "two", "heard", "passages"}
        (images / "red3.png").unlink()
        assert main(["index", str(tmp_path / "nowhere"), *command[2:]]) == 2
        assert "3 of 3 shards failed" in capsys.readouterr().err
    finally:
        ray.shutdown()


class Here:
    """Stands in for Ray: tasks run in this process, in which no working folder is another."""

    def __init__(self) -> None:
        self.rows = list[dict[str, Any]]()

    def remote(self, num_cpus: int) -> Callable[[Callable[[dict[str, Any]], object]], SimpleNamespace]:
        def started(task: Callable[[dict[str, Any]], object], row: dict[str, Any]) -> object:
            self.rows.append(row)
            return task(row)

        return lambda task: SimpleNamespace(remote=lambda row: started(task, row))

    def wait(self, running: list[object], num_returns: int) -> tuple[list[object], list[object]]:
        return running[:num_returns], running[num_returns:]

    def get(self, answer: object) -> object:
        return answer


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    made = Here()
    monkeypatch.setattr(distributed, "_ray", lambda: nullcontext(made))
    return made


def test_passages_in_shards_are_those_of_the_whole(
    tiny_run: Path, day: Path, tmp_path: Path, here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of seven shards for four items one has a damaged one, three have none."""
    index(tiny_run, day, out=tmp_path / "one", passages=True)
    command = ["index", str(tiny_run), str(day), "--out", str(tmp_path / "two"), "--passages"]
    assert main([*command, "--ray", "7"]) == 1
    assert "torn.wav" in capsys.readouterr().err
    found = told_apart(tmp_path / "two")
    assert [item.id.partition("@")[0] for item, _ in found] == ["long.wav", "long.wav", "short.wav"]
    assert found == told_apart(tmp_path / "one")


def test_nothing_that_can_be_read_is_a_mistake(
    tiny_run: Path, tmp_path: Path, here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "day").mkdir()
    for name in ("a.wav", "b.wav"):
        (tmp_path / "day" / name).write_bytes(b"no sound")
    assert main(["index", str(tiny_run), str(tmp_path / "day"), "--out", str(tmp_path / "out"), "--ray", "2"]) == 2
    assert "none of 2 files could be read" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"day"}


def test_the_ready_model_is_named_by_where_it_lies(tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker has another working folder, in which no model is called ready."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DtbhError, match="2 of 2 shards failed"):
        distributed.over_cluster("index", READY, tmp_path, out="out", shards=2)  # nothing lies there
    assert {(Path(str(row["run"])) / EXPORTED).is_file() for row in here.rows} == {True}


def test_what_can_be_said_without_ray(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dtbh.stages.distributed import over_cluster

    with pytest.raises(ConfigError, match="--ray 1: wanted two shards or more"):
        over_cluster("index", "x", "y", out=tmp_path / "out", shards=1)
    assert main(["index", "x", "y", "--out", str(tmp_path / "out"), "--ray", "0"]) == 2
    assert "--ray 0: wanted two shards or more" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"--ray needs ray, which is not installed: pip install 'dtbh\[ray\]'"):
        over_cluster("index", "x", "y", out=tmp_path / "out", shards=2)
    assert not list(tmp_path.iterdir())
