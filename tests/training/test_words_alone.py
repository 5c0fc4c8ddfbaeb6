"""A sound tower that is the words alone: from training to the answer, in torch and exported."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dtbh
from dtbh.codes import unpack
from dtbh.config import make_config, read_config, write_config
from dtbh.data.manifest import Item, read_manifest, write_manifest
from dtbh.errors import MediaError, RunError
from dtbh.media import text
from dtbh.media.transcriber import Heard, Way
from dtbh.models.encoder import text_item
from dtbh.models.export import _reads
from dtbh.models.hearing import FAMILIAR, understood
from dtbh.models.quantize import HEAD
from dtbh.stages.evaluate import evaluate
from dtbh.stages.export import export
from dtbh.stages.train import train
from tests.training.test_sentence_space import any_words

onnx = pytest.importorskip("onnx", reason="exporting needs the extra train")

SAID = [Heard("something crimson", True), None, Heard("sea", False)]


@pytest.fixture(scope="module")
def run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(any_words(sound={"backbone": "words"}), tiny_data, tmp_path_factory.mktemp("runs") / "words")


@pytest.fixture(scope="module")
def exported(run: Path) -> Path:
    return export(run, out=run.parent / "onnx").path


def sounds(data: Path, tmp_path: Path) -> list[Item]:
    manifest = read_manifest(data)
    paths = [str(manifest.file(item).resolve()) for item in manifest.sounds[:3]]
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    return [Item(path, "sound", path) for path in [paths[0], str(tmp_path / "broken.wav"), *paths[1:]]]


def test_a_sound_is_what_is_said_in_it(run, exported, tiny_data, tmp_path):
    items = sounds(tiny_data, tmp_path)
    torch_, onnx = dtbh.load(run), dtbh.load(exported)
    torch_._words = lambda *_: [SAID[0], None, *SAID[1:]]
    onnx.__dict__["_transcriber"] = lambda waves, language: [SAID[0], None, *SAID[1:]]
    ours, theirs = (model.encode(items, skip=True, values=True, vectors=True) for model in (torch_, onnx))
    for found in (ours, theirs):
        assert [item.id for item in found.codes.items] == [items[0].id, items[3].id]
        assert len(found.failures) == 2
        assert "broken.wav" in found.failures[0]
        assert f"{items[2].path}: no words are heard in it" in found.failures[1]
        typed = torch_.encode([text_item("something crimson"), text_item("sea")], values=True)
        assert found.values == pytest.approx(typed.values, abs=1e-3), "also where the words are unsure"
        assert list(found.heard.values()) == ["something crimson", "sea"]
        assert [*found.familiarity.values()] == pytest.approx([*typed.familiarity.values()], abs=1e-4)
    assert (ours.codes.words == theirs.codes.words).all()


def test_no_words_in_any(run, exported, tiny_data, tmp_path):
    (item,) = sounds(tiny_data, tmp_path)[:1]
    for model in (dtbh.load(run), dtbh.load(exported)):
        assert model.encode([item], skip=True).failures  # hummed
        with pytest.raises(MediaError, match="no words are heard"):
            model.encode_sounds([str(item.path)])
        told = model.encode([item, text_item("sea")], values=True, vectors=True, wordless=True)
        assert unpack(told.codes.words, 12)[0].all(), "a code that says nothing, where figures need one"
        assert not told.values[0].any()
        assert told.codes.vectors[0].any()
        assert told.heard == {}


def test_unheard_sounds_are_a_part_of_figures(run):
    report, _ = evaluate(run)  # hummed, so nothing is heard
    assert report.directions["sound->image"].n_queries == 30
    assert report.directions["sound->image"].map < report.directions["text->image"].map


def test_no_network_of_sounds_is_kept(run, exported):
    model = dtbh.load(run)
    assert model.twin.modalities == ("image", "text")
    assert not any(name.startswith("sound") for name in model.twin.state_dict())
    assert sorted(path.name for path in exported.glob("*.onnx")) == ["image.onnx", "text.onnx"]
    assert "file" not in json.loads((exported / "model.json").read_text())["towers"]["sound"]


def test_captions_that_were_not_spoken_are_met_as_texts(run, tiny_data, tmp_path, capsys):
    shutil.copytree(tiny_data, tmp_path / "data")
    manifest = read_manifest(tmp_path / "data")
    unspoken = [Item(i.id, i.modality, None if i.modality == "sound" else i.path, i.label, i.pair, "test",
                     transcript=i.transcript) for i in manifest]  # fmt: skip
    write_manifest(manifest.replaced(unspoken))
    report, _ = evaluate(run, data=tmp_path / "data", out=tmp_path / "report")
    assert list(report.directions) == ["text->image", "image->text"]
    assert "not spoken" in capsys.readouterr().err


def test_an_exported_model_has_its_own_tokenizer(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(text, "module_folder", lambda _: None)  # the wheel is not there
    text._opened.cache_clear()
    model = dtbh.load(exported)
    assert len(model.encode_texts(["something crimson"])) == 1
    shutil.copytree(exported, tmp_path / "model")
    (tmp_path / "model" / "tokenizer.json").write_text('{"cut": ')
    with pytest.raises(RunError, match=r"tokenizer\.json: no tokenizer"):
        dtbh.load(tmp_path / "model").encode_texts(["sea"])
    (tmp_path / "model" / "tokenizer.json").unlink()
    with pytest.raises(RunError, match="the tokenizer can't be read"):
        dtbh.load(tmp_path / "model").encode_texts(["sea"])


def test_eight_bits_keep_most_signs(run, exported, tiny_data):
    small = export(run, out=run.parent / "int8", int8=True)
    texts = [text_item(name) for name in ("a red tile", "the colour of grass", "sea", "azure")]
    bits = [np.unpackbits(one.encode(texts).codes.words.view(np.uint8)) for one in (dtbh.load(exported), small)]
    assert (bits[0] != bits[1]).mean() < 0.1
    longer = [*texts, text_item("one of all the long texts that may be asked for beside them, of other numbers")]
    few, many = (dtbh.load(small.path).encode(some, values=True).values for some in (texts[:1], longer))
    assert (few[0] == many[0]).all(), "a text's code hangs on no other"
    for tower in ("image", "text"):
        graph = onnx.load(small.path / f"{tower}.onnx").graph
        heads = {weights.name: weights.data_type for weights in graph.initializer if weights.name.startswith(HEAD)}
        assert heads
        assert set(heads.values()) == {onnx.TensorProto.FLOAT}, heads
    assert (small.path / "text.onnx").stat().st_size < 0.3 * (exported / "text.onnx").stat().st_size


@pytest.mark.parametrize(("setting", "plain", "told"), [("prompt", "", "a pier"), ("hypotheses", 1, 3)])
def test_how_sounds_are_heard_makes_another_encoder_and_goes_along(run, exported, tmp_path, setting, plain, told):
    other = shutil.copytree(run, tmp_path / "run")
    write_config(read_config(other / "config.yaml", [f"encoders.sound.{setting}={told}"]), other / "config.yaml")
    model = dtbh.load(other)
    assert model.fingerprint != dtbh.load(run).fingerprint
    assert getattr(model._transcriber, setting) == told
    for before in (run, exported):
        assert getattr(dtbh.load(before)._transcriber, setting) == plain
    assert _reads(model.twin, "sound")[setting] == told
    content = json.loads((exported / "model.json").read_text())
    content["towers"]["sound"][setting] = told
    (shutil.copytree(exported, tmp_path / "onnx") / "model.json").write_text(json.dumps(content))
    assert getattr(dtbh.load(tmp_path / "onnx")._transcriber, setting) == told


def test_of_ways_to_understand_a_sound_the_familiar_one_is_taken(run, exported, tiny_data, tmp_path):
    items = sounds(tiny_data, tmp_path)[:1]
    ways = (Way("azure sea", True, -0.3), Way("a red tile", False, -0.5), Way("a red aisle", True, -9.0))
    torch_, onnx = dtbh.load(run), dtbh.load(exported)
    torch_.__dict__["_transcriber"] = onnx.__dict__["_transcriber"] = Hearing([Heard(*ways[0][:2], ways)])
    said = [list(model.encode(items).heard.values()) for model in (torch_, onnx)]
    assert said == [["a red tile"]] * 2, "a caption of training, less likely by 0.2"


class Hearing:
    """Hears the same in every sound."""

    any_language, prompt, hypotheses, utterances = False, "", 5, None

    def __init__(self, said):
        self.said = said

    def __call__(self, waves, language):
        return self.said * len(waves)


WAYS = st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans(), st.floats(-3, 0)), min_size=2, max_size=5)


@given(st.lists(st.none() | WAYS, max_size=4), st.lists(st.none() | st.floats(-1, 1), min_size=6, max_size=6))
def test_understood_as_loops(sounds, nearness):
    near = dict(zip("abcdef", nearness, strict=True))
    heard = [ways and Heard(*ways[0][:2], tuple(Way(*way) for way in ways)) for ways in sounds]
    wanted = []
    for ways in sounds:
        best = None
        for said, sure, likelihood in ways or ():
            score = likelihood + FAMILIAR * (near[said] or 0)
            if best is None or score > best[0]:
                best = (score, Heard(said, sure, (), likelihood))
        wanted.append(best and best[1])
    assert understood(heard, lambda texts: [near[text] for text in texts]) == wanted
    single = [None, Heard("a", True)]
    assert understood(single, lambda texts: pytest.fail("nothing to choose")) == single


def test_words_alone_need_a_text_tower():
    with pytest.raises(dtbh.DtbhError, match=r"sound\.backbone=words needs a text tower"):
        make_config({"encoders": {"sound": {"backbone": "words"}}})


def test_a_model_that_was_copied_away_from_its_data_is_evaluated_on_other(exported, tiny_data, tmp_path):
    copied = shutil.copytree(exported, tmp_path / "far" / "away" / "model")
    shutil.copytree(tiny_data, tmp_path / "data")
    manifest = read_manifest(tmp_path / "data")
    write_manifest(manifest.replaced(replace(item, split="test") for item in manifest))
    report, folder = evaluate(copied, data=tmp_path / "data")
    assert report.directions["image->text"].n_queries == 36
    assert (folder / "report.json").is_file()
