"""A model as others find it: whole, without a path of this machine, and loaded from where it is published."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import dtbh
from dtbh.cli.main import main
from dtbh.config import make_config
from dtbh.errors import DtbhError
from dtbh.evaluation.report import read_report
from dtbh.models.licences import parts
from dtbh.stages import publish as stage
from dtbh.stages.publish import publish
from tests.models.file_server import serving

OLD = Path(__file__).parents[1] / "compat" / "old"


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    """An exported model that was evaluated, in a folder of its own."""
    pytest.importorskip("onnxruntime")
    model = Path(shutil.copytree(OLD / "exported", tmp_path / "exported"))
    shutil.copytree(OLD / "run" / "report", model / "report")
    shutil.copyfile(OLD / "run" / "card.md", model / "card.md")
    run = json.loads((model / "run.json").read_text())
    (model / "run.json").write_text(json.dumps({**run, "data": "../../home/somebody/tiny"}))
    return model


def card(folder: Path) -> tuple[dict[str, Any], str]:
    _, head, text = (folder / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head), text


def test_a_model_is_published_with_card_figures_and_checksums(
    exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "tiles-12"
    assert main(["publish", str(exported), str(out), "--license", "cc-by-4.0", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["files"]) == {path.name for path in out.iterdir()}
    assert {path.name for path in out.iterdir()} == {
        "README.md", "SHA256SUMS", "config.yaml", "model.json", "report.json", "requirements.txt", "run.json",
        "sound.onnx",
    }  # fmt: skip
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=out, check=True)
    head, text = card(out)
    assert (head["license"], head["library_name"], head["datasets"]) == ("cc-by-4.0", "dtbh", ["tiny"])
    (result,) = head["model-index"][0]["results"]
    assert result["task"]["name"] == "sound->sound retrieval"
    assert result["dataset"]["args"] == {"protocol": "random"}
    assert result["metrics"] == [
        {"type": "mAP", "value": 0.3723,
         "name": "mAP, tie-aware (95% interval 0.3279 to 0.4184, chance 0.4196)"}
    ]  # fmt: skip
    assert "| sound backbone | cnn | that of this model: trained from nothing |" in text
    assert "| training images and captions | tiny | unknown |" in text
    assert "| report | random | sound->sound |" in text
    assert "7 of tones" in text
    assert text.count("## Training") == text.count("## Figures") == 1
    everything = b"".join(path.read_bytes() for path in out.iterdir())
    assert b"somebody" not in everything
    assert str(tmp_path).encode() not in everything
    assert read_report(out / "report.json").encoder == dtbh.load(out).fingerprint
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path / "cache"))
    with serving(tmp_path) as files:
        model = dtbh.load(f"{files.url}/tiles-12")
        assert {path.name for path in model.path.iterdir()} == {path.name for path in out.iterdir()}
        searched(f"{files.url}/tiles-12", tmp_path, capsys)


def searched(address: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command that takes a run takes an address."""
    data, archive = Path(shutil.copytree(OLD / "data", folder / "data")), folder / "archive"
    sound = str(next((data / "sounds").rglob("*.opus")))
    assert main(["index", address, str(data / "sounds"), "--out", str(archive), "--quiet"]) == 0
    for more in ([], ["--model", address]):
        capsys.readouterr()
        assert main(["search", str(archive), "--sound", sound, "--find", "sound", "-k", "1", "--json", *more]) == 0
        assert json.loads(capsys.readouterr().out)["queries"][0]["hits"][0]["distance"] == 0
    assert main(["encode", address, sound, "--out", str(folder / "codes")]) == 0
    capsys.readouterr()
    assert main(["evaluate", address]) == 2
    assert "give --data DATA and --out REPORT" in capsys.readouterr().err
    assert main(["evaluate", address, "--data", str(data), "--split", "all", "--out", str(folder / "again")]) == 0
    assert read_report(folder / "again").directions["sound->sound"].map > 0.3
    assert main(["publish", address, str(folder / "mine")]) == 2
    assert "was published already" in capsys.readouterr().err


def test_a_run_is_exported_first(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def export(run: Path, *, out: Path, data: Path | None) -> dtbh.Encoder:
        shutil.copytree(OLD / "exported", out)
        return dtbh.load(out)

    monkeypatch.setattr(stage, "export", export)
    publish(OLD / "run", tmp_path / "out")
    head, text = card(tmp_path / "out")
    assert head["license"] == "unknown"
    assert "| report | random | sound->sound |" in text
    assert (tmp_path / "out" / "report.json").is_file()


def test_figures_of_another_encoder_are_not_its_own(exported: Path, tmp_path: Path) -> None:
    report = exported / "report" / "report.json"
    report.write_text(json.dumps({**json.loads(report.read_text()), "encoder": "0" * 16}))
    (exported / "card.md").unlink()
    publish(exported, tmp_path / "out")
    head, text = card(tmp_path / "out")
    assert "model-index" not in head
    assert "Not evaluated yet" in text
    assert not (tmp_path / "out" / "report.json").exists()


def test_something_else_is_not_overwritten(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    publish(exported, out)
    publish(exported, out, licence="mit")
    assert card(out)[0]["license"] == "mit"
    (out / ".git").mkdir()
    with pytest.raises(DtbhError, match=r"out: holds \.git beside a published model; choose another place"):
        publish(exported, out)
    (out / ".git").rmdir()
    with pytest.raises(DtbhError, match="the folder is in use and holds no published model"):
        publish(exported, exported)
    before = {path: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(stage, "write_sums", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(DtbhError, match=r"can't be written .No space left on device.; nothing was changed"):
        publish(exported, out, licence="apache-2.0")
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_damaged_model_is_not_published(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(DtbhError, match="--license a b: wanted its name on a hub"):
        publish(exported, tmp_path / "out", licence="a b")
    (exported / "sound.onnx").write_bytes(b"half")
    with pytest.raises(DtbhError, match=r"sound\.onnx: not there, cut or altered; export the run again"):
        publish(exported, tmp_path / "out")
    with pytest.raises(DtbhError, match="no run here"):
        publish(tmp_path / "nothing", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_licences_say_what_is_not_known() -> None:
    def said(**encoders: object) -> dict[str, str]:
        return {part.role: f"{part.name}: {part.licence}" for part in parts(make_config({"encoders": encoders}), "x")}

    words = said(
        image={"backbone": "efficientnet_lite0"}, sound={"backbone": "whisper_tiny_en", "words": True},
        text={"backbone": "minilm_l6"}, concepts={},
    )  # fmt: skip
    assert words["speech to text"] == "Whisper tiny.en: MIT"
    assert words["sentence encoder"] == "minilm_l6: Apache-2.0"
    assert words["sound backbone"] == "whisper_tiny_en: MIT"
    assert "unknown" in words["image backbone"]
    assert words["training images and captions"] == "x: unknown"
    file = said(image={"backbone": "open_clip/ViT-B-32", "weights": "/home/me/Remote.pt"}, sound=None)
    assert file["image backbone"] == "open_clip/ViT-B-32, weights of Remote.pt: unknown"
    assert said(image={"backbone": "resnet18"})["image backbone"].startswith("resnet18: unknown")
    assert said(image={"backbone": "resnet18", "weights": "none"})["image backbone"].endswith("trained from nothing")
