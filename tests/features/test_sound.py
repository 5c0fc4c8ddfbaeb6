"""Sounds: reading, features against loops and librosa, batching."""

from __future__ import annotations

import os
import struct
import sys

import numpy as np
import pytest
import soundfile
import torch

from dtbh import config
from dtbh.data.checks import look_at_sound
from dtbh.errors import ConfigError, MediaError
from dtbh.features.sound import SoundFeatures, pad_batch
from dtbh.media.sound import Passage, header_seconds, load_sound
from tests.reference import audio as reference

DEFAULTS = {**config.SoundFeatures().model_dump(), "shift_ms": 10.0}


def make(**settings):
    """The module with the config's defaults but for these settings."""
    return SoundFeatures(**{**DEFAULTS, **settings})


def tone(seconds=0.5, rate=16000, hz=440.0, peak=0.5):
    return (peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def speech_like(samples, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / 16000
    rhythm = 0.1 + np.clip(np.sin(2 * np.pi * 4 * time), 0, 1)
    voice = sum(np.sin(2 * np.pi * 130 * k * time) / k for k in range(1, 12))
    return (0.05 * rhythm * (voice + rng.standard_normal(samples))).astype(np.float32)


def write(path, samples, rate=16000, **settings):
    soundfile.write(path, samples, rate, **settings)
    return path


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100])
@pytest.mark.parametrize(
    ("name", "subtype"), [("a.wav", "PCM_16"), ("a.wav", "FLOAT"), ("a.wav", "PCM_U8"), ("a.flac", "PCM_24")]
)
def test_any_rate_and_type(tmp_path, rate, name, subtype):
    wave = load_sound(write(tmp_path / name, tone(rate=rate), rate, subtype=subtype))
    assert wave.dtype == np.float32
    assert abs(len(wave) - 8000) <= 1
    middle = slice(1000, 7000)
    np.testing.assert_allclose(wave[middle], tone()[: len(wave)][middle], atol=0.01)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_compressed_sounds(tmp_path, name):
    wave = load_sound(write(tmp_path / name, tone(1.0)))
    assert 15000 < len(wave) < 19000
    assert 0.4 < np.abs(wave).max() < 0.6


def test_channels_are_averaged(tmp_path):
    three = np.stack([tone(), 0 * tone(), 0.5 * tone()], axis=1)
    wave = load_sound(write(tmp_path / "a.wav", three, subtype="FLOAT"))
    np.testing.assert_allclose(wave, 0.5 * tone(), atol=1e-6)


def test_float_files_over_full_scale_are_scaled_down_whole(tmp_path):
    wave = load_sound(write(tmp_path / "a.wav", 8 * tone(), subtype="FLOAT"))
    np.testing.assert_allclose(wave, tone() / np.abs(tone()).max(), atol=1e-6)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_no_more_than_max_seconds_is_read(tmp_path, rate):
    path = write(tmp_path / "a.wav", tone(3.0, rate), rate)
    assert len(load_sound(path, max_seconds=0.25)) == 4000
    assert len(load_sound(path, max_seconds=9.0)) == 48000


def bad_files(folder):
    whole = write(folder / "whole.wav", tone()).read_bytes()
    flac = write(folder / "whole.flac", speech_like(40000)).read_bytes()
    (folder / "folder.wav").mkdir()
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("no sound at all, only words")
    (folder / "headerless.raw").write_bytes(whole[44:])
    (folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    for kind in ("mp3", "aiff"):
        content = write(folder / f"whole.{kind}", speech_like(40000)).read_bytes()
        (folder / f"cut.{kind}").write_bytes(content[: len(content) // 2])
    (folder / "cut.flac").write_bytes(flac[: len(flac) // 2])
    write(folder / "nothing.wav", np.zeros(0, np.float32))
    write(folder / "short.wav", tone(0.05))
    write(folder / "zeros.wav", np.zeros(8000, np.float32))
    write(folder / "faint.wav", tone(peak=5e-5), subtype="FLOAT")
    write(folder / "nan.wav", np.where(np.arange(8000) == 77, np.nan, tone()), subtype="FLOAT")
    write(folder / "inf.wav", np.where(np.arange(8000) == 77, np.inf, tone()), subtype="FLOAT")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("missing.wav", "no such file"),
        ("folder.wav", "a folder"),
        ("empty.wav", "0 bytes"),
        ("text.wav", "not a sound"),
        ("headerless.raw", "not a sound"),
        ("cut.wav", "cut short"),
        ("cut.aiff", "cut short"),
        ("cut.mp3", "cut short"),
        ("cut.flac", "cut short|not a sound"),
        ("nothing.wav", "without samples"),
        ("short.wav", "0.050 s long, at least 0.1 s"),
        ("zeros.wav", "silent .all samples are zero"),
        ("faint.wav", "silent .peak -86 dBFS"),
        ("nan.wav", "NaN or infinity"),
        ("inf.wav", "NaN or infinity"),
    ],
)
def test_bad_files_are_refused_in_one_line_with_their_name(tmp_path, name, why):
    bad_files(tmp_path)
    with pytest.raises(MediaError, match=why) as caught:
        load_sound(tmp_path / name)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value)  # what to do


def test_sizes_of_a_wav_written_to_a_pipe_are_not_believed(tmp_path):
    path = write(tmp_path / "a.wav", tone())
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    np.testing.assert_allclose(load_sound(path), tone(), atol=1e-4)


@pytest.mark.parametrize(("riff", "data"), [(0, 0), (16036, 0), (36, 0), (0, 0xFFFFFFFF)])
def test_a_wav_that_its_writer_left_without_sizes_is_read_to_its_end(tmp_path, riff, data):
    path = write(tmp_path / "a.wav", tone())
    content = bytearray(path.read_bytes())
    content[4:8], content[40:44] = struct.pack("<I", riff), struct.pack("<I", data)
    path.write_bytes(content)
    np.testing.assert_allclose(load_sound(path), tone(), atol=1e-4)
    assert header_seconds(path) in ((0.5,) if data == 0 else (0.5, 0.0))
    if data == 0:
        np.testing.assert_allclose(load_sound(Passage(path, 0.25, 0.125)), tone()[4000:6000], atol=1e-4)
    assert look_at_sound(path)[1] == ""


def test_a_wav_of_no_samples_with_other_chunks_stays_one(tmp_path):
    path = write(tmp_path / "a.wav", np.zeros(0, np.float32))
    content = path.read_bytes()[:44] + b"LIST" + struct.pack("<I", 4) + b"INFO"
    path.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])
    with pytest.raises(MediaError, match="without samples"):
        load_sound(path)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("value", [0.5, -0.3])
def test_a_constant_level_is_not_told_as_zeros(tmp_path, value, channels):
    path = write(tmp_path / "dc.wav", np.full((8000, channels), value, np.float32), subtype="FLOAT")
    with pytest.raises(MediaError, match=rf"dc\.wav: silent \(nothing but a constant level of {value}\), a peak"):
        load_sound(path)


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 elsewhere")
@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "mp3"])
def test_a_name_that_is_not_utf8_is_read(tmp_path, kind):
    path = write(tmp_path / f"a.{kind}", tone())
    odd = path.rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9." + kind.encode()))
    again = write(tmp_path / f"a.{kind}", tone())
    np.testing.assert_array_equal(load_sound(odd), load_sound(again))


def test_a_web_page_is_told_as_no_sound(tmp_path):
    (tmp_path / "html.mp3").write_text("<!DOCTYPE html><html><body>Not found</body></html>")
    with pytest.raises(MediaError, match=r"html\.mp3: not a sound that can be read; convert it"):
        load_sound(tmp_path / "html.mp3")


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_recordings_one_after_the_other_in_an_ogg_file_are_all_heard(tmp_path, subtype):
    paths = [tmp_path / "a.ogg", tmp_path / "b.ogg"]
    for path, hz in zip(paths, (440, 880), strict=True):
        write(path, tone(hz=hz), subtype=subtype, format="OGG")
    both, (one, two) = tmp_path / "both.ogg", [load_sound(path) for path in paths]
    both.write_bytes(b"".join(path.read_bytes() for path in paths))
    np.testing.assert_array_equal(load_sound(both), np.concatenate([one, two]))
    assert header_seconds(both) == 1.0
    assert len(load_sound(Passage(both, 0.25, 0.5))) == 8000
    np.testing.assert_allclose(load_sound(Passage(both, 0.625, 0.125)), two[2000:4000], atol=0.02)
    write(paths[1], tone(rate=8000), 8000, subtype=subtype, format="OGG")
    both.write_bytes(b"".join(path.read_bytes() for path in paths))
    with pytest.raises(MediaError, match=r"both\.ogg: recordings of several rates or channels in a row; cut it"):
        load_sound(both)


def test_pad_batch():
    waveforms, lengths = pad_batch([tone(0.1), tone(0.3)])
    assert waveforms.shape == (2, 4800)
    assert lengths.tolist() == [1600, 4800]
    assert lengths.dtype == torch.int64
    np.testing.assert_array_equal(waveforms[0, :1600], tone(0.1))
    assert not waveforms[0, 1600:].any()
    assert pad_batch([])[0].shape == (0, 0)


SETTINGS = [
    {"sample_rate": 16000, "window": 400, "hop": 160, "n_fft": 512, "n_mels": 64, "f_min": 50.0, "f_max": 7600.0},
    {"sample_rate": 8000, "window": 256, "hop": 100, "n_fft": 256, "n_mels": 30, "f_min": 0.0, "f_max": 4000.0},
    {"sample_rate": 22050, "window": 551, "hop": 220, "n_fft": 1024, "n_mels": 40, "f_min": 20.0, "f_max": 9000.0},
]  # fmt: skip


def features_of(kind, settings, *, normalize=False, n_mfcc=20):
    rate = settings["sample_rate"]
    return SoundFeatures(
        kind=kind, sample_rate=rate, window_ms=1000 * settings["window"] / rate,
        shift_ms=1000 * settings["hop"] / rate, n_mels=settings["n_mels"], n_mfcc=n_mfcc,
        f_min=settings["f_min"], f_max=settings["f_max"], normalize=normalize,
    )  # fmt: skip


@pytest.mark.parametrize("settings", SETTINGS)
def test_features_equal_the_loops(settings):
    wave = speech_like(2500)
    waveforms, lengths = pad_batch([wave])
    decibels = reference.log_mel(wave, **settings)
    cepstra = reference.mfcc(decibels, 20)
    for kind, wanted in (("logmel", decibels), ("mfcc", cepstra)):
        found, frames = features_of(kind, settings)(waveforms, lengths)
        assert frames.tolist() == [wanted.shape[1]]
        np.testing.assert_allclose(found[0], wanted, atol=2e-3)
        found, _ = features_of(kind, settings, normalize=True)(waveforms, lengths)
        np.testing.assert_allclose(found[0], reference.normalized(wanted), atol=1e-3)


@pytest.mark.parametrize("settings", SETTINGS)
def test_features_equal_librosa(settings):
    import librosa

    wave = speech_like(9000)
    power = librosa.feature.melspectrogram(
        y=wave, sr=settings["sample_rate"], n_fft=settings["n_fft"], win_length=settings["window"],
        hop_length=settings["hop"], pad_mode="constant", n_mels=settings["n_mels"], fmin=settings["f_min"],
        fmax=settings["f_max"],
    )  # fmt: skip
    decibels = librosa.power_to_db(power, top_db=None)
    cepstra = librosa.feature.mfcc(S=decibels, n_mfcc=20)
    for kind, wanted in (("logmel", decibels), ("mfcc", cepstra)):
        found, _ = features_of(kind, settings)(*pad_batch([wave]))
        np.testing.assert_allclose(found[0], wanted, atol=2e-3)


KINDS = [(kind, normalize) for kind in ("mfcc", "logmel") for normalize in (True, False)]


@pytest.mark.parametrize(("kind", "normalize"), KINDS)
def test_a_batch_equals_its_clips_whatever_the_padding(kind, normalize):
    module = make(kind=kind, normalize=normalize)
    waves = [speech_like(n, seed=n) for n in (16000, 5000, 161, 47999)]
    waveforms, lengths = pad_batch(waves)
    for row, length in zip(waveforms, lengths, strict=True):
        row[length:] = float("nan")  # nothing of it may be read
    found, frames = module(waveforms, lengths)
    assert found.shape == (4, module.channels, 1 + 47999 // 160)
    assert frames.tolist() == [101, 32, 2, 300]
    for row, wave, count in zip(found, waves, frames.tolist(), strict=True):
        alone, _ = module(*pad_batch([wave]))
        torch.testing.assert_close(row[:, :count], alone[0], atol=2e-4, rtol=1e-5)
        assert not row[:, count:].any()


@pytest.mark.parametrize(("kind", "normalize"), KINDS)
def test_both_ways_of_going_through_a_batch_agree(monkeypatch, kind, normalize):
    monkeypatch.setattr("dtbh.features.sound._AT_ONCE", 100)  # the last clip takes four steps
    module = make(kind=kind, normalize=normalize)
    waveforms, lengths = pad_batch([speech_like(n, seed=n) for n in (16000, 5000, 161, 60000)])
    together = module._together(waveforms, lengths)
    torch.testing.assert_close(module(waveforms, lengths)[0], together, atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize("kind", ["mfcc", "logmel"])
def test_normalised_features_do_not_depend_on_gain(kind):
    wave = speech_like(12000)
    wave[4000:6000] = 0  # digital silence, on the floor
    loud, _ = make(kind=kind)(*pad_batch([wave]))
    for gain in (1e-3, 0.1, 10):
        other, _ = make(kind=kind)(*pad_batch([np.float32(gain) * wave]))
        torch.testing.assert_close(other, loud, atol=1e-4, rtol=1e-4)
    assert abs(float(loud.square().mean()) - 1) < 1e-4
    assert float(loud.mean(2).abs().max()) < 1e-4


def test_silence_gives_zeros_and_no_nan():
    found, _ = make(kind="logmel")(torch.zeros(1, 4000), torch.tensor([4000]))
    assert not found.any()


def test_float32_under_autocast_and_from_half():
    module = make(kind="logmel")
    waveforms, lengths = pad_batch([speech_like(8000)])
    plain, _ = module(waveforms, lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found, _ = module(waveforms, lengths)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, plain, atol=0, rtol=0)
    assert module(waveforms.bfloat16(), lengths)[0].dtype == torch.float32


def test_gradients_reach_the_waveforms():
    waveforms, lengths = pad_batch([speech_like(4000), speech_like(2000)])
    waveforms.requires_grad_()
    make(kind="mfcc")(waveforms, lengths)[0].square().mean().backward()
    assert waveforms.grad.isfinite().all()
    assert waveforms.grad[0].abs().max() > 0
    assert not waveforms.grad[1, 2000:].any()


def test_export_with_free_sizes():
    module = make(kind="mfcc")
    waveforms, lengths = pad_batch([speech_like(8000), speech_like(6000)])
    clips, samples = torch.export.Dim("clips", min=1), torch.export.Dim("samples", min=800, max=10**6)
    program = torch.export.export(module, (waveforms, lengths), dynamic_shapes=({0: clips, 1: samples}, {0: clips}))
    waveforms, lengths = pad_batch([speech_like(n) for n in (9000, 16000, 3000)])
    found, frames = program.module()(waveforms, lengths)
    wanted, wanted_frames = module(waveforms, lengths)
    torch.testing.assert_close(found, wanted, atol=2e-4, rtol=1e-5)
    assert frames.tolist() == wanted_frames.tolist()


def test_no_state_to_save():
    assert not make(kind="mfcc").state_dict()


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"kind": "plp"}, "mfcc or logmel, found 'plp'"),
        ({"f_max": 9000.0}, "half the sample rate"),
        ({"f_min": 8000.0}, "f_min < f_max"),
        ({"n_mfcc": 65}, "n_mfcc=65 and n_mels=64"),
        ({"shift_ms": 0.0}, "found 400 and 0"),
        ({"window_ms": 0.01}, "found 0 and 160"),
        ({"n_mels": 200}, "filters that meet no FFT bin"),
    ],
)
def test_settings_that_give_nothing_are_refused(settings, why):
    with pytest.raises(ConfigError, match=why):
        make(**{"kind": "mfcc", **settings})


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"waveforms \[clips, samples\]"):
        make(kind="mfcc")(torch.zeros(2, 1, 800), torch.tensor([800, 800]))
    with pytest.raises(ValueError, match=r"lengths \[clips\]"):
        make(kind="mfcc")(torch.zeros(2, 800), torch.tensor([800]))
