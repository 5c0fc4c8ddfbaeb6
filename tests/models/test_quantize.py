"""Networks of 8-bit integers: smaller, near the run, and another encoder."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import dtbh
from dtbh.codes import unpack
from dtbh.data.manifest import read_manifest
from dtbh.errors import RunError
from dtbh.models import export, quantize
from dtbh.stages.export import _some
from dtbh.stages.export import export as export_run

onnx = pytest.importorskip("onnx", reason="quantizing needs the extra train")


@pytest.fixture(scope="module")
def tiny_int8(tiny_run: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "_onnx", lambda _, modality: (tiny_model / f"{modality}.onnx").read_bytes())
        return export_run(tiny_run, out=tmp_path_factory.mktemp("models") / "int8", int8=True).path


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
