"""Networks of 8-bit integers: smaller, near the run, and another encoder."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import dtbh
from dtbh.cli.main import main
from dtbh.codes import unpack
from dtbh.data.manifest import read_manifest
from dtbh.errors import RunError
from dtbh.evaluation.evaluate import evaluate
from dtbh.models import export, quantize
from dtbh.models.cost import Cost
from dtbh.models.encoder import Encoder
from dtbh.models.onnx_encoder import open_exported
from dtbh.stages.export import _some
from dtbh.stages.export import export as export_run
from dtbh.stages.inputs import absolute, manifest_for

onnx = pytest.importorskip("onnx", reason="quantizing needs the extra train")


@pytest.fixture(scope="module")
def tiny_int8(tiny_run: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_onnx", lambda _, modality: (tiny_model / f"{modality}.onnx").read_bytes())
        return export_run(tiny_run, out=tmp_path_factory.mktemp("models") / "int8", int8=True, bound=1.0).path


def test_it_is_small_near_the_run_and_another_encoder(
    tiny_run: Path, tiny_model: Path, tiny_int8: Path, tiny_data: Path
) -> None:
    whole, small, manifest = dtbh.load(tiny_run), dtbh.load(tiny_int8), read_manifest(tiny_data)
    assert small.fingerprint != whole.fingerprint
    items = [dtbh.Item(item.id, item.modality, str(manifest.file(item).resolve())) for item in manifest]
    bits = [unpack(model.encode(items).codes.words, model.bits) for model in (whole, small)]
    assert (bits[0] != bits[1]).mean() < 0.05
    assert (tiny_int8 / "image.onnx").stat().st_size < 0.4 * (tiny_model / "image.onnx").stat().st_size
    assert small.encode(items[:1]).codes.encoder == small.fingerprint


def test_it_says_what_it_costs_and_brings(tiny_run: Path, tiny_model: Path, tiny_int8: Path) -> None:
    cost = open_exported(tiny_int8).cost()
    assert cost is not None
    assert set(cost.before) == set(cost.after) == {"sound->image", "image->sound"}
    assert cost.before == pytest.approx(_maps(dtbh.load(tiny_run), _val(tiny_run)))
    assert cost.after == pytest.approx(_maps(dtbh.load(tiny_int8), _val(tiny_run)))
    assert cost.bytes_before == sum(file.stat().st_size for file in tiny_model.glob("*.onnx"))
    assert cost.bytes_after == sum(file.stat().st_size for file in tiny_int8.glob("*.onnx"))
    assert all(0 < ratio < 100 for ratio in cost.speed.values())
    assert set(cost.speed) == {"image", "sound"}
    assert open_exported(tiny_model).cost() is None


def test_where_integers_are_neither_smaller_nor_faster_it_is_said() -> None:
    ways = {"sound->image": 0.9, "image->sound": 0.8}
    better = Cost(ways, {"sound->image": 0.95, "image->sound": 0.795}, 4_000_000, 1_000_000, {"image": 2.0})
    worse = replace(better, bytes_after=4_000_000, speed={"image": 2.0, "sound": 0.94})
    assert better.lost == pytest.approx(0.005)
    maps = "8 bits: validation mAP sound->image 0.9000 to 0.9500, image->sound 0.8000 to 0.7950"
    assert better.describe() == f"{maps}; 1.0 MB of 4.0 MB; images 2.00 times as fast"
    speeds = "images 2.00 times as fast, sounds 0.94 times as fast (no faster)"
    assert worse.describe() == f"{maps}; 4.0 MB of 4.0 MB (no smaller); {speeds}"


def test_what_costs_too_much_is_refused_and_nothing_written(
    tiny_run: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(export, "_onnx", lambda _, modality: (tiny_model / f"{modality}.onnx").read_bytes())
    monkeypatch.setattr(export, "quantized", lambda network, _: network)
    found = iter([{"sound->image": 0.9, "image->sound": 0.8}, {"sound->image": 0.91, "image->sound": 0.7899}] * 2)
    monkeypatch.setattr("dtbh.stages.export._maps", lambda codes: next(found))
    command = ["export", str(tiny_run), "--int8", "--out", str(tmp_path / "int8")]
    assert main(command) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert "cost up to 0.0101 validation mAP (sound->image 0.9000 to 0.9100, image->sound 0.8000 to 0.7899)" in said
    assert "at most 0.01 is wanted" in said
    assert list(tmp_path.iterdir()) == []
    assert main([*command, "--bound", "0.0102"]) == 0
    assert "8 bits: validation mAP sound->image 0.9000 to 0.9100" in capsys.readouterr().out
    assert main([*command, "--bound", "-1"]) == 2
    assert "wanted how much mAP may be lost, from 0 to 1" in capsys.readouterr().err


def _val(run: Path) -> list[dtbh.Item]:
    manifest, _ = manifest_for(dtbh.load(run), None)
    return [absolute(manifest, item) for item in manifest if item.split == "val"]


def _maps(model: Encoder, items: list[dtbh.Item]) -> dict[str, float]:
    codes = model.encode(items).codes
    report = evaluate(codes.of("image"), codes.of("sound"), protocol="", splits={}, leakage={}, checkpoint_rule="")
    return {way: direction.map for way, direction in report.directions.items()}


def test_spectra_are_left_as_they_are(tiny_int8: Path) -> None:
    kinds = {name: onnx.load(tiny_int8 / f"{name}.onnx").graph for name in ("image", "sound")}
    for graph in kinds.values():
        assert any(node.op_type == "QuantizeLinear" for node in graph.node)
    before = quantize._before_logarithms(kinds["sound"])
    assert sum(node.name in before for node in kinds["sound"].node) > 10
    assert not any("uantizeLinear" in node.op_type for node in kinds["sound"].node if node.name in before)


def test_both_kinds_are_told_apart_where_they_are_up_to_date(
    tiny_run: Path, tiny_model: Path, tiny_int8: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "write_model", None)
    assert export_run(tiny_run, out=tiny_int8, int8=True).path == tiny_int8
    with pytest.raises(TypeError, match="not callable"):
        export_run(tiny_run, out=tiny_model, int8=True)


@pytest.mark.parametrize(("have", "count"), [(0, 5), (3, 5), (5, 5), (23, 5)])
def test_calibration_takes_items_evenly(have: int, count: int) -> None:
    items = [dtbh.Item(f"{i}", "image", f"/{i}.png") for i in range(have)] + [dtbh.Item("s", "sound", "/s.wav")]
    chosen = _some(items, count)
    rows = [int(item.id) for item in chosen if item.modality == "image"]
    assert rows == sorted(set(rows))
    assert len(rows) == min(have, count)
    assert chosen[-1].id == "s"
    assert have <= count or max(np.diff(rows)) <= math.ceil(have / count)


def test_a_tower_that_can_t_be_exported_is_named(
    tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("numpy() of a fake tensor\nand more")

    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(RunError, match=r"the image tower can't be exported \(numpy\(\) of a fake tensor\)"):
        export_run(tiny_run, out=tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
