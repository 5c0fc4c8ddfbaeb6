"""The benchmarks of examples/ run, small, and print what they say they do."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.example_files import EXAMPLES, load


def test_the_loop_of_the_field_gives_what_the_report_calls_its_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = load("benchmark_evaluation")
    monkeypatch.setattr("sys.argv", ["benchmark_evaluation.py", "--quick", "--runs", "1"])
    assert benchmark.main() == 0
    assert "the whole report: peak memory" in capsys.readouterr().out


def test_the_training_benchmark_takes_down_the_products_of_a_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    benchmark = load("benchmark_training")
    assert (
        benchmark.main(["--images", "42", "--steps", "1", "--set", "training.classes=4", "training.per_class=2"]) == 0
    )
    said = capsys.readouterr().out
    (count,) = re.findall(r"its (\d+) products alone [\d.]+ ms: 0\.\d\d of it", said)
    assert int(count) > 20  # of two heads and the terms, forwards and backwards
    a = torch.rand(3, 4, requires_grad=True)
    with benchmark.Products() as taken:
        (a @ torch.rand(4, 5)).sum().backward()
    assert [call[0].overloadpacket.__name__ for call in taken.calls] == ["mm", "mm"]


def test_the_search_benchmark_agrees_with_its_peers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dtbh.index.hamming import search

    monkeypatch.setattr(search, "WORTH", search.WORTH)
    benchmark = load("benchmark_search")
    monkeypatch.setattr("sys.argv", ["benchmark_search.py", "--quick"])
    assert benchmark.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.strip().startswith("0.05M") for line in lines) == 7
    wanted = np.array([[1, 2, 2, 3, 4, 4]]), np.array([[7, 5, 6, 9, 1, 2]])
    assert benchmark.same((wanted[0], np.array([[7, 6, 5, 9, 2, 8]])), wanted)
    assert not benchmark.same((wanted[0], np.array([[7, 5, 6, 8, 1, 2]])), wanted)
    assert not benchmark.same((np.array([[1, 2, 2, 3, 4, 5]]), wanted[1]), wanted)


def test_what_a_second_stage_brings_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dtbh.index.hamming import search

    monkeypatch.setattr(search, "WORTH", search.WORTH)
    benchmark = load("benchmark_rescore")
    monkeypatch.setattr("sys.argv", ["benchmark_rescore.py", "--quick", "--no-faiss"])
    assert benchmark.main() == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.startswith(("random", "pca"))]
    assert [row[1:3] for row in rows] == [["64", "264"], ["128", "272"]] * 2
    timed = [line.split()[:2] for line in lines if line[:5].strip().isdigit()]
    assert timed == [[bits, r] for bits in ("64", "128") for r in ("50", "100")]
    assert [line.split(",")[0] for line in lines if line.startswith("of ")] == ["of 1 at once", "of 20 at once"] * 2
    for row in rows:
        plain, *better = map(float, row[3:6])
        assert plain < better[0] < better[1] <= 1, "more candidates find more"


def test_what_weighed_bits_bring_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark_asymmetric.py", "--quick", "--no-faiss"])
    assert load("benchmark_asymmetric").main() == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[:2] for row in rows] == [["random", "64"], ["pca", "64"]]
    for row in rows:
        assert float(row[2]) < float(row[3]) <= 1, "weighed bits find more"


def test_what_a_big_archive_costs_is_printed(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark_archive.py", "--items", "2000"])
    load("benchmark_archive").main()
    said = capfd.readouterr().out
    for what in ("writing", "opening", "filter: a class", "adding 1,000", "removing 1,000", "verifying", "compacting"):
        assert f"\n{what}" in f"\n{said}"
    assert "67 of 2,000 pass" in said


def test_the_shards_benchmark_finds_the_same_archive(
    tiny_data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["benchmark_shards.py", str(tiny_data / "images"), "--shards", "2"])
    load("benchmark_shards").main()
    head, *_, one, two = capfd.readouterr().out.splitlines()
    assert head.startswith("36 tiles, ")
    assert [row.split(" | ")[0] for row in (one, two)] == ["1", "2"]


def test_a_gpu_is_checked_on_whatever_is_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = load("check_gpu")
    tiny = example.Size(classes=2, per_class=8, pixels=32, backbone="small_cnn", batch=4, passes=1, codes=2000)
    monkeypatch.setattr(example, "SMALL", tiny)
    assert example.main(["--small", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "0 of 1024 bits differ" in said
    assert "0 of 2048 bits differ" in said
    for row in ("images a second", "sounds a second", "seconds, epoch of training", "seconds, fine-tuning step",
                "queries a second"):  # fmt: skip
        assert row in said


def test_what_encoding_costs_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = load("benchmark_encoding")
    monkeypatch.setattr(benchmark.os, "sched_setaffinity", lambda *_: None, raising=False)  # other tests want all cores
    Image.new("RGB", (40, 30), "navy").save(tmp_path / "sea.png")
    few = ["--images", str(tmp_path), "--tiles", "3", "--sounds", "2", "--seconds", "0", "--no-peers"]
    assert benchmark.main([*few, "--scenes", "2", "--parts", "tiles", "scenes", "sounds"]) == 0
    said = capsys.readouterr().out
    for row in (
        "tiles   dtbh, files to codes",
        "tiles   decode alone, to 160 pixels",
        "tiles   network alone",
        "tiles   pHash",
        "scenes  dtbh, without overviews",
        "scenes  with overviews",
    ):
        assert row in said
    assert "open_clip: left out by --no-peers" in said
    assert ("sounds  the same without the prompt" in said) == (shutil.which("flite") is not None)
    tiles = [str(path) for path in benchmark.tiles(tmp_path, None, 2)]
    with Image.open(tiles[0]) as tile:
        assert tile.size == (256, 256)
    assert benchmark.by_the_clock(1, tiles, 0.01) > 0
    slow = benchmark.phash(Path(tiles[0]))
    assert slow.shape == (8, 8)
    assert slow.sum() == 32
