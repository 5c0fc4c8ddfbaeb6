"""Shards by Ray: one real run on a local Ray of two workers, since starting it takes some seconds."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dtbh.cli.main import main
from dtbh.errors import ConfigError, MissingExtraError
from dtbh.index.archive.archive import open_archive
from dtbh.stages.index import index


@pytest.fixture(autouse=True)
def own_ending() -> Iterator[None]:
    """Ray puts its own handler of SIGTERM in place of what other tests find there."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")  # of settings that Ray Data itself sets
def test_two_workers_make_what_one_process_makes(
    tiny_run: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    pytest.importorskip("ray.data", reason="the extra ray is not installed")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "120")  # a busy machine
    images = shutil.copytree(tiny_data / "images", tmp_path / "images")
    (images / "red3.png").write_bytes(b"not a picture")
    index(tiny_run, images, out=tmp_path / "one")
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
        assert {path.name for path in tmp_path.iterdir()} == {"images", "one", "two"}
        (images / "red3.png").unlink()
        assert main(["index", str(tmp_path / "nowhere"), *command[2:]]) == 2
        assert "3 of 3 shards failed" in capsys.readouterr().err
    finally:
        ray.shutdown()


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
