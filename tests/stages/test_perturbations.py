"""Evaluations in other voices and in noise, and the card that tells of them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from dtbh.cli.main import main
from dtbh.config import read_config
from dtbh.data.manifest import Item, Manifest, read_manifest, write_manifest
from dtbh.data.splits import split_for
from dtbh.errors import DataError
from dtbh.stages.model_card import CARD, write_card
from dtbh.stages.perturbations import in_noise, in_other_voices
from dtbh.stages.speak import speak
from tests.tones import tones


@pytest.fixture(scope="module")
def other_voices(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data's captions spoken by others."""
    root = tmp_path_factory.mktemp("others")
    shutil.copytree(tiny_data / "images", root / "images")
    manifest = read_manifest(tiny_data)
    items = (replace(item, path=None, speaker=None) if item.modality == "sound" else item for item in manifest)
    write_manifest(Manifest(tuple(items), root, "tiny"))
    speak(root, engine=tones, voices=["w1", "w2"], workers=1)
    return root


@pytest.fixture
def run(tiny_run: Path, tiny_data: Path, tmp_path: Path) -> Path:
    """A copy of the tiny run, as it was before anybody evaluated it, that a test may write into."""
    copy = shutil.copytree(tiny_run, tmp_path / "run", ignore=shutil.ignore_patterns("report*"))
    said = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps({**said, "data": str(tiny_data)}))
    write_card(copy, split_for(read_manifest(tiny_data), read_config(copy / "config.yaml")))
    return copy


def test_only_the_sounds_of_the_split_change_their_voices(run: Path, tiny_data: Path, other_voices: Path) -> None:
    split = split_for(read_manifest(tiny_data), read_config(run / "config.yaml"))
    changed = in_other_voices(split, read_manifest(other_voices), "test")
    for before, after in zip(split, changed, strict=True):
        assert (before.id, before.split, before.transcript) == (after.id, after.split, after.transcript)
        if before.modality == "sound" and before.split == "test":
            assert after.speaker in {"tones/w1", "tones/w2"}
            assert changed.file(after).is_relative_to(other_voices)
        else:
            assert before == after


def test_other_words_are_refused_by_name(tiny_data: Path, other_voices: Path) -> None:
    manifest, other = read_manifest(tiny_data), read_manifest(other_voices)
    first = other.sounds[0]
    wrong = other.replaced(replace(i, transcript="something else") if i.id == first.id else i for i in other)
    with pytest.raises(DataError, match=r"1 sounds of .* are not here in other voices"):
        in_other_voices(manifest, wrong, "all")


def test_noise_comes_at_its_ratio_and_the_same_again(tiny_data: Path, tmp_path: Path) -> None:
    manifest = read_manifest(tiny_data)
    items = [replace(i, path=str(manifest.file(i))) for i in (*manifest.images[:1], *manifest.sounds[:6])]
    found = {}
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found[name] = in_noise(items, tmp_path / name, 10)
    assert found["one"][0] == items[0]
    for item, noisy, again in zip(items[1:], found["one"][1:], found["two"][1:], strict=True):
        clean, heard = soundfile.read(str(item.path))[0], soundfile.read(str(noisy.path))[0]
        assert np.array_equal(heard, soundfile.read(str(again.path))[0])
        scale = np.dot(clean, heard) / np.dot(clean, clean)
        noise = heard / scale - clean
        assert 10 * np.log10(np.mean(clean**2) / np.mean(noise**2)) == pytest.approx(10, abs=1)
    assert len({Path(str(i.path)).name for i in found["one"]}) == len(items)


def test_the_card_tells_of_data_voices_and_every_report(
    run: Path, other_voices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = (run / CARD).read_text()
    assert "Not evaluated yet" in card
    assert "8 of tones" in card
    assert main(["evaluate", str(run)]) == 0
    assert main(["evaluate", str(run), "--voices", str(other_voices), "--noise-db", "10"]) == 0
    assert "noise at 10 dB" in capsys.readouterr().out
    folder = f"report-{other_voices.name}-noise10"
    report = json.loads((run / folder / "report.json").read_text())
    assert report["protocol"] == f"random, voices of {other_voices.name}, noise at 10 dB"
    assert report["leakage"]["test_speakers_in_train"] == 0
    card = (run / CARD).read_text()
    for words in ("## Data", "## Voices", "## Training", "## Figures", "## Limits", f"| {folder} |", "| report |"):
        assert words in card
    assert "Noise was not measured" not in card


def test_a_card_without_known_speakers_says_so(run: Path, tiny_data: Path) -> None:
    manifest = split_for(read_manifest(tiny_data), read_config(run / "config.yaml"))
    unknown = manifest.replaced(Item(**{**i.to_dict(), "speaker": None}) for i in manifest)
    assert "Speakers are not known." in write_card(run, unknown).read_text()
