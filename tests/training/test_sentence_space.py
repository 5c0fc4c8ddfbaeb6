"""Any words: heads in the space of a frozen sentence encoder, from training to the answer."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

import dtbh
from dtbh.cli.main import main
from dtbh.codes import pack, signs, whole_numbers
from dtbh.config import Concepts, Config, make_config
from dtbh.data.manifest import Item, read_manifest, write_manifest
from dtbh.data.splits import split_for
from dtbh.data.transcripts import as_texts
from dtbh.encoders.concept_head import ConceptHead
from dtbh.errors import ConfigError, DataError, DtbhError, MediaError
from dtbh.index import rescoring
from dtbh.media.transcriber import SHARE, Heard
from dtbh.models import torch_encoder
from dtbh.models.encoder import text_item
from dtbh.models.hearing import CLEAR, SHARED, word_shares
from dtbh.stages.evaluate import evaluate
from dtbh.stages.export import export
from dtbh.stages.index import index
from dtbh.stages.train import train
from dtbh.training.sentence_space import _concepts, _shares, classifier, fit_sentence_space
from dtbh.training.shallow import Sample
from dtbh.web.app import create_app


def any_words(**encoders: object) -> Config:
    return make_config(
        {
            "data": {"test": 0.34, "val": 0.3},
            "encoders": {
                "bits": 12, "feature_dim": 384, "text": {}, "concepts": {"count": 3},
                "image": {"backbone": "small_cnn", "weights": "none", "size": 16, "views": 2},
                "sound": {"width": 8, "features": {"n_mels": 16, "n_mfcc": 12}, "words": True},
                **encoders,
            },
            "learning": {"fit": "sentence_space"},
            "training": {"epochs": 1, "classes": 3, "per_class": 2, "workers": 0, "device": "cpu"},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(any_words(), tiny_data, tmp_path_factory.mktemp("runs") / "words")


@pytest.fixture(scope="module")
def archive(run: Path, tiny_data: Path) -> Path:
    return index(run, tiny_data, out=run.parent / "archive").path


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_step_as_loops(share):
    torch.manual_seed(0)
    head = ConceptHead(5, Concepts(count=4, share=share), bits=6, temperature=0.2).double()
    head.concepts.data = torch.nn.functional.normalize(torch.randn(4, 384), dim=1).double()
    x = torch.randn(3, 5).double()
    encoded = head(x)
    for row in range(3):
        place = [sum(w * v for w, v in zip(ws, x[row].tolist(), strict=True)) + b for ws, b in zip(
            head.sentence.weight.tolist(), head.sentence.bias.tolist(), strict=True)]  # fmt: skip
        length = math.sqrt(sum(v * v for v in place))
        place = [v / length for v in place]
        likes = [math.exp(sum(a * b for a, b in zip(place, c, strict=True)) / 0.2) for c in head.concepts.tolist()]
        for j, (ws, b) in enumerate(zip(head.evidence.weight.tolist(), head.evidence.bias.tolist(), strict=True)):
            likes[j] *= math.exp(sum(w * v for w, v in zip(ws, x[row].tolist(), strict=True)) + b)
        for j in range(384):
            near = sum(like * c[j] for like, c in zip(likes, head.concepts.tolist(), strict=True)) / sum(likes)
            assert encoded.features[row, j].item() == pytest.approx((1 - share) * place[j] + share * near)
    assert encoded.codes.shape == (3, 6)
    assert encoded.codes.abs().max() < 1


def test_words_that_no_caption_said(run):
    model = dtbh.load(run)
    captions = model.encode_texts(["a red tile number 3", "a green tile number 4", "a blue tile number 5"])
    own = model.encode_texts(["something crimson", "azure, like the sky"])
    distances = [[(int(a) ^ int(b)).bit_count() for b in captions.words[:, 0]] for a in own.words[:, 0]]
    assert distances[0][0] < min(distances[0][1:])
    assert distances[1][2] < distances[1][0]
    familiar = model.encode([text_item("a red tile number 3"), text_item("quarterly earnings of a bank")]).familiarity
    assert familiar["a red tile number 3"] > 0.8
    assert familiar["quarterly earnings of a bank"] < 0.4
    assert own.items[0].modality == "text"
    assert own.items[0].transcript == own.items[0].id == "something crimson"


def test_the_same_data_gives_the_same_run(run, tiny_data, tmp_path):
    again = train(any_words(), tiny_data, tmp_path / "again")
    assert dtbh.load(run).fingerprint == dtbh.load(again).fingerprint


def test_images_and_texts_learn_without_sounds(tiny_data, tmp_path):
    out = train(any_words(sound=None), tiny_data, tmp_path / "run")
    model = dtbh.load(out)
    assert len(model.encode_texts(["red"])) == 1
    assert list(evaluate(out)[0].directions) == ["text->image", "image->text"]
    with pytest.raises(DtbhError, match="no sound tower"):
        model.encode_sounds([next((tiny_data / "images").glob("*.png"))])


def test_a_sound_without_words_has_the_code_of_its_sound(run, tiny_data):
    manifest = read_manifest(tiny_data)
    paths = [manifest.file(item) for item in list(manifest.sounds)[:3]]
    listening = dtbh.load(run).encode_sounds(paths)
    deaf = dtbh.load(run)
    deaf._words = lambda *_: ()  # type: ignore[attr-defined]
    assert [item.transcript for item in listening.items] == [None] * 3
    assert (listening.words == deaf.encode_sounds(paths).words).all()


def test_a_sound_with_words_has_the_code_of_its_words(run, tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_encoder, "BATCH", 2)
    model = dtbh.load(run)
    manifest = read_manifest(tiny_data)
    files = [str(manifest.file(item)) for item in list(manifest.sounds)[:6]]
    own = model.encode([Item(path, "sound", path) for path in files], values=True)
    words = ["something crimson", None, "grass", "sea", None, "scarlet"]
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    paths, said = [*files[:3], str(broken), *files[3:]], [*words[:3], "lost", *words[3:]]
    model._words = lambda *_: [text and Heard(text, text != "sea") for text in said]  # type: ignore[attr-defined]
    encoding = model.encode([Item(path, "sound", path) for path in paths], skip=True, values=True)
    assert len(encoding.failures) == 1
    assert [encoding.heard.get(path) for path in files] == words
    assert [item.transcript for item in encoding.transcribed().items] == words
    assert [path in encoding.familiarity for path in files] == [word is not None for word in words]
    assert encoding.familiarity[files[0]] == model.encode([text_item(words[0])]).familiarity[words[0]]
    for row, word in enumerate(words):
        share = 0 if word is None else SHARE if word == "sea" else 1
        share = min(share, SHARED) if np.abs(own.values[row]).mean() > CLEAR else share
        of_word = model.encode([text_item(word or "none")], values=True)
        wanted = (1 - share) * own.values[row] + share * of_word.values[0]
        assert encoding.values[row] == pytest.approx(wanted, abs=1e-5)
        assert (encoding.codes.words[row] == pack(signs(encoding.values[row : row + 1]))[0]).all()


def test_it_is_evaluated_and_indexed(run, archive, tiny_data):
    report, folder = evaluate(run)
    assert list(report.directions) == ["sound->image", "image->sound", "text->image", "image->text"]
    told = len(as_texts(item for item in split_for(read_manifest(tiny_data), any_words()) if item.split == "test"))
    assert report.directions["text->image"].n_queries == told
    assert report.directions["text->image"].map > report.directions["text->image"].chance_map
    assert 'href="#text-to-image"' in (folder / "index.html").read_text()
    noisy, _ = evaluate(run, noise_db=10)
    assert noisy.directions["text->image"].map == report.directions["text->image"].map
    assert list(evaluate(run, within=True)[0].directions)[-2:] == ["image->image", "sound->sound"]
    assert len(dtbh.open_archive(archive)) == 108


def test_the_exported_model_says_the_same(run, tmp_path):
    exported = export(run, out=tmp_path / "onnx")
    texts = ["something crimson", "the hue of grass", "sea", "a blue tile number 5"]
    ours, theirs = (model.encode([*map(text_item, texts)]) for model in (dtbh.load(run), exported))
    assert (ours.codes.words == theirs.codes.words).all()
    assert theirs.familiarity == pytest.approx(ours.familiarity, abs=1e-5)
    assert exported.confidence.right.keys() == dtbh.load(run).confidence.right.keys()
    assert exported.self_test()["text"].beyond_rounding == 0
    wanted = (tmp_path / "onnx" / "requirements.txt").read_text()
    assert "tokenizers" in wanted
    with pytest.raises(MediaError, match="without a word"):
        exported.encode_texts([""])


def test_the_exported_model_listens_alike(run, tiny_data, tmp_path):
    exported, model = export(run, out=tmp_path / "onnx"), dtbh.load(run)
    manifest = read_manifest(tiny_data)
    files = [str(manifest.file(item)) for item in list(manifest.sounds)[:4]]
    said = [Heard("something crimson", True), None, Heard("sea", False), Heard("grass", True)]
    exported.__dict__["_transcriber"] = lambda waves, language: said
    model._words = lambda *_: said  # type: ignore[attr-defined]
    items = [Item(path, "sound", path) for path in files]
    ours, theirs = (one.encode(items, values=True, vectors=True) for one in (model, exported))
    assert theirs.values == pytest.approx(ours.values, abs=1e-3)
    assert np.abs(theirs.codes.vectors - ours.codes.vectors.astype(int)).max() < 32
    among = whole_numbers(ours.codes.vectors, np.int8), np.arange(4)[None]
    clear = rescoring.cosines(model.encode_texts(["something crimson"], vectors=True).vectors, *among)
    assert clear[0, 0] > 0.999, "words that lead alone give their vector too"
    unsure = rescoring.cosines(model.encode_texts(["sea"], vectors=True).vectors, *among)
    assert SHARE - 0.1 < unsure[0, 2] < 0.999, "others leave a share to the sound, whose features are as long"
    assert theirs.heard == ours.heard
    assert theirs.familiarity == pytest.approx(ours.familiarity, abs=1e-5)


def test_typed_on_the_command_line(run, archive, capsys):
    assert main(["search", str(archive), "--text", "something crimson", "-k", "3", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["queries"]
    assert [hit["modality"] for hit in answer["hits"]] == ["image"] * 3
    assert main(["search", str(archive), "--text", "a red tile number 3"]) == 0
    assert "nothing close" not in capsys.readouterr().err
    assert main(["search", str(archive), "--text", "quarterly earnings of a bank"]) == 0
    assert "nothing close: the nearest are shown" in capsys.readouterr().err
    assert main(["search", str(archive), "--text", ""]) == 2
    assert "a text without a word" in capsys.readouterr().err


def test_typed_to_the_service(run, archive):
    with TestClient(create_app([archive])) as client:
        reply = client.post("/v1/search/text", json={"texts": ["something crimson", "grass"], "k": 2})
        assert reply.status_code == 200, reply.text
        first, second = reply.json()["queries"]
        assert (first["name"], first["modality"], len(first["hits"])) == ("something crimson", "text", 2)
        assert second["code"] != first["code"]
        likely = [hit["probability"] for hit in first["hits"]]
        assert likely == sorted(likely, reverse=True)
        assert first["belief"]["modality"] == "text"
        again = {"codes": [first["code"]], "belief": first["belief"], "k": 2, "find": "image"}
        (answer,) = client.post("/v1/search/code", json=again).json()["queries"]
        assert [hit["probability"] for hit in answer["hits"]] == likely
        assert answer["strength"] == first["strength"]
        (answer,) = client.post("/v1/search/code", json={**again, "belief": None}).json()["queries"]
        assert answer["strength"] is None
        assert client.get("/v1/archives").json()["archives"][0]["texts"] is True
        wrong = client.post("/v1/search/text", json={"texts": ["\U0001f6a2"]})
        assert wrong.status_code == 422
        assert "without a word" in wrong.json()["detail"]
        assert client.post("/v1/search/text", json={"texts": ["a" * 100_000]}).status_code == 422


def test_what_it_needs_is_said(tiny_data, tmp_path):
    with pytest.raises(ConfigError, match="text and concepts belong together"):
        make_config({"encoders": {"text": {}}})
    with pytest.raises(ConfigError, match=r"sound\.words needs a text tower"):
        make_config({"encoders": {"sound": {"words": True}}})
    with pytest.raises(ConfigError, match=r"concepts of .* images with different captions"):
        train(any_words(concepts={"count": 500}), tiny_data, tmp_path / "many")
    mute = [replace(item, transcript=None) for item in read_manifest(tiny_data)]
    assert as_texts(mute) == []


def test_sounds_without_transcripts_are_heard_once(tiny_data, tmp_path, monkeypatch, capsys):
    asked = []

    class Ears:
        any_language, prompt, hypotheses, utterances = False, "", 1, None

        def __init__(self, **_):
            pass

        def __call__(self, waves, language):
            asked.extend(waves)
            return [Heard("a tile", True) for _ in waves]

    monkeypatch.setattr("dtbh.stages.train.Transcriber", Ears)
    data = tmp_path / "data"
    shutil.copytree(tiny_data, data)
    manifest = read_manifest(data)
    write_manifest(manifest.replaced(replace(item, transcript=None) for item in manifest))
    settings = any_words(sound=None, concepts={"count": 1}, bits=4)
    with pytest.raises(ConfigError):  # all say the same: nothing to tell apart
        train(settings, data, tmp_path / "run")
    assert "hearing what is said in" in capsys.readouterr().err
    first = len(asked)
    with pytest.raises(ConfigError):
        train(settings, data, tmp_path / "run")
    assert len(asked) == first > 0


def test_texts_are_items_of_an_archive(run, archive, tmp_path):
    model = dtbh.load(run)
    place = tmp_path / "archive"
    shutil.copytree(archive, place)
    opened = dtbh.open_archive(place)
    opened.add(model.encode_texts(["a red tile number 3", "a green tile number 4"], vectors=True))
    found = dtbh.open_archive(place).search(model.encode_texts(["something crimson"]), 1, find="text")
    assert [hit.item.id for hit in found.hits()] == ["a red tile number 3"]


def test_images_without_captions_are_refused():
    heads = [ConceptHead(n, Concepts(count=2), bits=4, temperature=0.1) for n in (5, 384)]
    seen = Sample(np.ones((6, 5)), np.zeros(6, dtype=np.int64), np.arange(6))
    with pytest.raises(DataError, match="needs captions of the images"):
        fit_sentence_space(*heads, seen, np.ones((3, 384)), np.arange(10, 13), seed=0)


@given(st.dictionaries(st.integers(0, 50), st.integers(1, 20), min_size=1), st.data())
def test_shares_are_as_even_as_they_can_be(most, data):
    count = data.draw(st.integers(len(most), sum(most.values())))
    shares = _shares(most, count)
    assert sum(shares.values()) == count
    assert all(1 <= shares[c] <= most[c] for c in most)
    assert all(shares[c] >= max(shares.values()) - 1 for c in most if shares[c] < most[c])


def test_each_class_has_concepts_of_its_own():
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], 20)
    wanted = rng.normal(size=(60, 4)) + 10 * np.eye(3, 4)[classes]
    centres, nearest, class_of = _concepts(wanted, classes, 7, rng)
    assert np.bincount(class_of).tolist() == [3, 2, 2]
    assert (class_of[nearest] == classes).all()
    for number, centre in enumerate(centres):
        assert centre == pytest.approx(wanted[nearest == number].mean(axis=0))
    with pytest.raises(ConfigError, match="in 3 classes; set it to 15"):
        _concepts(wanted, classes, 2, rng)


def test_the_classifier_tells_classes_apart_and_nothing_of_one_class():
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2], 30)
    x = 5 + 0.1 * rng.normal(size=(90, 4)) + np.eye(3, 4)[classes]
    weight, bias = classifier(x, classes, 1e-3)
    assert ((x @ weight.T + bias).argmax(axis=1) == classes).all()
    assert not classifier(x, np.zeros(90, dtype=np.int64), 1e-3)[0].any()
    assert not classifier(np.ones((90, 4)), classes, 1e-3)[0].any()


def test_words_lead_but_where_the_sound_is_clear():
    heard = [Heard("sea", True), Heard("sea", False), Heard("sea", True), Heard("sea", False)]
    own = np.array([[0.5, -0.5], [0.5, -0.5], [1, -0.95], [1, -0.95]], dtype=np.float32)
    shares, familiarity = word_shares(heard, own, [0.1, 0.2, 0.3, 0.4])
    assert shares[:, 0] == pytest.approx([1, SHARE, SHARED, SHARED])
    assert familiarity == [0.1, 0.2, 1, 1]
