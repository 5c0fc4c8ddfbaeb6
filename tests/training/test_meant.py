"""Sounds by what they mean as a whole beside their words: from training to the answer, in torch and exported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dtbh
from dtbh.config import make_config, read_config, write_config
from dtbh.data.manifest import Item, read_manifest
from dtbh.errors import RunError
from dtbh.media.transcriber import Heard, Transcriber
from dtbh.media.utterance import VERSION, WIDTH
from dtbh.models.encoder import text_item
from dtbh.models.hearing import as_meant
from dtbh.stages.export import export
from dtbh.stages.train import train
from dtbh.stages.tune import train_from
from tests.reference.utterances import as_meant_by_loops
from tests.training.test_sentence_space import any_words

pytest.importorskip("onnx", reason="exporting needs the extra train")


@pytest.fixture(scope="module")
def plain(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(any_words(sound={"backbone": "words"}), tiny_data, tmp_path_factory.mktemp("runs") / "words")


@pytest.fixture(scope="module")
def run(plain: Path) -> Path:
    other = shutil.copytree(plain, plain.parent / "meant")
    write_config(read_config(other / "config.yaml", ["encoders.sound.utterance=true"]), other / "config.yaml")
    return other


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    return export(run, out=run.parent / "onnx").path


def meaning(model, text: str) -> np.ndarray:
    """What the sentence encoder gives of a text."""
    from dtbh.encoders.readers import TextReader

    reader = TextReader([text], model.twin.settings.text)
    (vectors,) = model.twin.text.outputs(*reader.collate([reader(0)]))
    return vectors.detach().numpy()[0]


def heard(model, *said: tuple[str, float, str]) -> list[Heard]:
    return [Heard(text, True, (), likelihood, meaning(model, meant)) for text, likelihood, meant in said]


def test_what_is_meant_makes_up_for_words_that_are_misheard(run, exported, tiny_data):
    manifest = read_manifest(tiny_data)
    paths = [str(manifest.file(item).resolve()) for item in manifest.sounds[:3]]
    items = [Item(path, "sound", path) for path in paths]
    torch_, onnx = dtbh.load(run), dtbh.load(exported)
    caption = str(manifest.sounds[0].transcript)
    said = heard(
        torch_, ("a tin car", -1.5, caption), ("an old shoe", -0.05, "an old shoe"), ("mud", -1.5, "an old shoe")
    )
    for model in (torch_, onnx):
        model.__dict__["_transcriber"] = lambda waves, language: said
    torch_._words = lambda *_: said
    ours, theirs = (model.encode(items, values=True, vectors=True) for model in (torch_, onnx))
    assert ours.values == pytest.approx(theirs.values, abs=1e-3)
    assert (ours.codes.words == theirs.codes.words).all()
    typed = torch_.encode([text_item(text) for text in ("a tin car", caption, "an old shoe")], values=True)
    apart = [np.abs(ours.values[0] - row).mean() for row in typed.values]
    assert apart[1] < apart[0], "misheard, and as a whole it is a caption"
    assert ours.values[1] == pytest.approx(typed.values[2], abs=1e-3), "both say the same"
    assert list(ours.heard.values()) == ["a tin car", "an old shoe", "mud"]
    near = [*ours.familiarity.values()]
    assert near == pytest.approx([*theirs.familiarity.values()], abs=1e-4)
    assert near[0] > typed.familiarity["a tin car"]


def test_it_makes_another_encoder_and_goes_along(plain, run, exported, tmp_path):
    model = dtbh.load(run)
    assert model.fingerprint != dtbh.load(plain).fingerprint
    assert model._transcriber.utterances is not None
    assert dtbh.load(exported)._transcriber.utterances is not None
    assert dtbh.load(plain)._transcriber.utterances is None
    assert sorted(path.name for path in exported.glob("*.onnx")) == ["image.onnx", "sound.onnx", "text.onnx"]
    content = json.loads((exported / "model.json").read_text())
    content["towers"]["sound"]["utterance"] = VERSION + 1
    (shutil.copytree(exported, tmp_path / "onnx") / "model.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=f"hears by network {VERSION + 1} of utterances, this dtbh has {VERSION}"):
        dtbh.load(tmp_path / "onnx")


def test_a_text_tower_that_gives_no_sentences_is_named(plain, exported, tiny_data, tmp_path):
    content = json.loads((exported / "model.json").read_text())
    other = json.loads((export(plain, out=tmp_path / "plain").path / "model.json").read_text())
    content["towers"]["text"]["sha256"] = other["towers"]["text"]["sha256"]
    altered = shutil.copytree(exported, tmp_path / "onnx")
    shutil.copyfile(tmp_path / "plain" / "text.onnx", altered / "text.onnx")
    (altered / "model.json").write_text(json.dumps(content))
    model = dtbh.load(altered)
    model.__dict__["_transcriber"] = lambda waves, language: [Heard("sea", True, (), -0.1, np.ones(WIDTH, np.float32))]
    manifest = read_manifest(tiny_data)
    path = str(manifest.file(manifest.sounds[0]).resolve())
    with pytest.raises(RunError, match="gives no sentences, by which utterances are heard; export"):
        model.encode([Item(path, "sound", path)])


def test_hummed_sounds_say_nothing_still(exported, tiny_data):
    manifest = read_manifest(tiny_data)
    path = str(manifest.file(manifest.sounds[0]).resolve())
    assert dtbh.load(exported).encode([Item(path, "sound", path)], skip=True).failures


@pytest.mark.parametrize("start", ["run", "exported"])
def test_a_model_that_goes_on_from_it_hears_so_too(start, request, tiny_data, tmp_path):
    out = train_from(request.getfixturevalue(start), tiny_data, tmp_path / "on")
    model = dtbh.load(out)
    said = [Heard("an old shoe", True, (), -0.05, np.full(WIDTH, WIDTH**-0.5, np.float32))]
    model.__dict__["_transcriber"] = lambda waves, language: said
    model._words = lambda *_: said
    manifest = read_manifest(tiny_data)
    path = str(manifest.file(manifest.sounds[0]).resolve())
    typed = model.encode([text_item("an old shoe")], values=True)
    found = model.encode([Item(path, "sound", path)], values=True)
    assert found.values == pytest.approx(typed.values, abs=0.05), "by the head of its own, unfamiliar as the whole is"


SIZES = st.lists(st.tuples(st.floats(-3, 0), st.floats(-1, 1)), min_size=1, max_size=5)


@given(SIZES, st.integers(0, 2**32 - 1))
def test_as_meant_as_loops_have_it(sounds, seed):
    rng = np.random.default_rng(seed)
    vectors, meant = rng.normal(size=(2, len(sounds), 6)).astype(np.float32)
    meant /= np.linalg.norm(meant, axis=1, keepdims=True)
    said = [Heard("a", True, (), sounds[row][0], meant[row]) for row in range(len(sounds))]
    near = np.array([familiar for _, familiar in sounds], np.float32)
    wanted = as_meant_by_loops([one.likelihood for one in said], meant.tolist(), vectors.tolist(), near.tolist())
    assert as_meant(said, vectors, near) == pytest.approx(np.array(wanted), abs=1e-4)


def test_what_it_goes_with():
    for settings, wrong in (
        ({"sound": {"utterance": True, "words": True}, "text": {}, "concepts": {}}, "goes with sound.backbone=words"),
        (
            {
                "sound": {"utterance": True, "backbone": "words"},
                "text": {"backbone": "multilingual_e5_small"},
                "concepts": {},
            },
            "knows English alone",
        ),
    ):
        with pytest.raises(dtbh.DtbhError, match=wrong):
            make_config({"encoders": settings})


def test_the_transcriber_can_do_without_it():
    assert Transcriber().utterances is None
