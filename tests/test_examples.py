"""The examples run, on the tiny data where the real thing would take long."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
from collections import Counter
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dtbh
from dtbh.config import Config, read_config, write_config
from dtbh.data.manifest import read_manifest, write_manifest
from dtbh.data.sources.base import SOURCES
from dtbh.data.splits import split_for
from dtbh.encoders.image_libraries import IMAGE_BACKBONES
from dtbh.stages.inputs import absolute, manifest_for, of_split
from dtbh.stages.speak import speak
from dtbh.stages.train import train
from dtbh.training.losses.base import LOSSES
from dtbh.training.losses.objective import Objective
from tests.example_files import EXAMPLES, load
from tests.tones import VOICES, tones
from tests.training.test_sentence_space import any_words


def test_an_objective_of_ones_own_trains(
    tiny_config: Config, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(LOSSES, "softmax_match", raising=False)
    own = read_config(write_config(tiny_config, tmp_path / "c.yaml"), [load("custom_loss").SETTING])
    run = train(own, tiny_data, tmp_path / "run")
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert "train/softmax_match" in rows[0]
    assert max(float(row["val/map"]) for row in rows) > 0.8


def test_a_backbone_of_ones_own_learns(
    tiny_config: Config, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(IMAGE_BACKBONES, "colours", raising=False)
    own = read_config(write_config(tiny_config, tmp_path / "c.yaml"), [load("custom_backbone").SETTING])
    run = train(own, tiny_data, tmp_path / "run")
    with (run / "metrics.csv").open() as file:
        assert max(float(row["val/map"]) for row in csv.DictReader(file)) > 0.8
    assert dtbh.load(run).fingerprint == dtbh.load(run).fingerprint


def test_a_source_of_ones_own_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(SOURCES, "notes", raising=False)
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("harbor_1", "harbor_2", "river_1"):
        Image.new("RGB", (16, 16), "navy").save(photos / f"{name}.png")
        (photos / f"{name}.txt").write_text(f"A {name[:-2]}.\n\nOne more {name[:-2]}.\n")
    example = load("custom_source")
    assert example.main(["notes", "--photos", str(photos), "--out", str(tmp_path / "data")]) == 0
    manifest = read_manifest(tmp_path / "data")
    assert [(item.id, item.label) for item in manifest.images][-1] == ("river_1", "river")
    assert [item.transcript for item in manifest.sounds][:2] == ["A harbor.", "One more harbor."]
    assert "3 images, 6 sounds, 2 classes" in capsys.readouterr().out
    (photos / "river_1.txt").unlink()
    assert example.main(["notes", "--photos", str(photos), "--out", str(tmp_path / "data")]) == 2
    assert f"{photos / 'river_1.txt'}: no such file" in capsys.readouterr().err


def test_every_change_of_the_ablation_is_a_config() -> None:
    ablation = load("ablation")
    for config, variants in ((ablation.CONFIG, ablation.CHANGES), (ablation.PLUS_CONFIG, ablation.PLUS)):
        configs = [read_config(config, changes) for changes in variants.values()]
        for known in configs:
            assert Objective(known.learning, {"bits": 64, "classes": 21, "feature_dim": 512, "words": 9}).weights
        assert len(set(map(repr, configs))) == len(configs)
    assert not any("," in name for name in ablation.PLUS)  # --only could not name it


def test_every_neighbour_is_a_config_on_equal_terms() -> None:
    neighbours = load("neighbours")
    for across, methods in ((False, neighbours.ALONE), (True, neighbours.ACROSS)):
        configs = [neighbours.config_of(preset, across, 21) for preset in methods.values()]
        assert len(set(map(repr, configs))) == len(configs)
        assert {(config.data.protocol, config.data.test) for config in configs} == {("random", 0.2)}
        assert {config.encoders.sound is not None for config in configs} == {across}


def test_short_queries_are_searched_beside_whole_captions(
    tiny_run: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    short = shutil.copytree(tiny_data, tmp_path / "short")
    spoken = speak(short, engine=tones, voices=VOICES, workers=1, paraphrases=2)
    example = load("short_queries")
    monkeypatch.setattr("sys.argv", ["short_queries.py", str(tiny_run), str(short)])
    capfd.readouterr()
    example.main()
    rows = [line.split(" | ") for line in capfd.readouterr().out.splitlines()[2:]]
    assert [name for name, *_ in rows] == ["whole captions", "words left out", "a few words"]
    assert all(0.5 < float(value) <= 1 for *_, value in rows)
    split = split_for(spoken, read_config(tiny_run / "config.yaml"))
    found = example.queries(split, "test")
    assert [len(items) for items in found.values()] == [int(count) for _, count, _ in rows]
    trained = {item.transcript for item in split.sounds if item.split == "train"}
    assert not trained & {item.transcript for name in ("words left out", "a few words") for item in found[name]}


def test_what_bounds_the_true_pair_is_told_from_words_alone(
    tiny_data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every sentence of the tiny data is another, so that it tells the image; a class tells one in its size."""
    load("ablation")
    example = load("true_pair")
    changes = ["data.protocol=random", "encoders.image.backbone=small_cnn", "encoders.image.weights=none"]
    monkeypatch.setattr("sys.argv", ["true_pair.py", str(tiny_data), *(f"--set={change}" for change in changes)])
    capfd.readouterr()
    example.main()
    head, _, *rows = capfd.readouterr().out.splitlines()
    n_images = int(head.split()[2])
    found = {name: float(value) for name, value in (row.split(" | ") for row in rows)}
    assert found["the class"] == pytest.approx(3 / n_images, abs=0.05)
    assert found["the sentence"] == 1
    assert 0 < found["words, from image features"] <= 1
    tied, true = np.array([[2.0, 2.0, 1.0], [0.0, 1.0, 3.0]]), np.array([[True, False, False], [False, False, True]])
    assert example.recall_at_1(tied, true) == 0.75


def test_no_caption_says_the_own_words(shared_data: Path) -> None:
    plain = set(re.findall("[a-z]+", """
        a an the of in on at with and to where me show i for from is are by or some near it its which could would while
        as far all one any that there full see here no not only into up out over people very
    """))  # fmt: skip
    found = json.loads((shared_data / "captions" / "dataset_ucm.json").read_text(encoding="utf-8"))
    said = {w for i in found["images"] for s in i["sentences"] for w in re.findall("[a-z]+", s["raw"].lower())}
    asked = load("own_words").queries()
    own = [query for query in asked if query.kind != "plain"]
    assert len(own) == 168
    assert {query.kind for query in own} == {"thing", "phrase", "wish"}
    assert [q.text for q in own if set(re.findall("[a-z]+", q.text.lower())) & said - plain] == []
    assert len({query.label for query in asked}) == 21
    assert sum(query.split == "val" for query in own) == 84


def test_hardly_a_caption_of_rsicd_says_its_own_words(shared_data: Path) -> None:
    plain = set(re.findall("[a-z]+", """
        a an the of in on at and to for is by with without near it its which could would where who how one does do my we
        me i off into over under their each any no nothing somewhere someone anyone opposite next hardly amid take own
        out up go can someplace across all are that place like make have people from
    """))  # fmt: skip
    found = json.loads((shared_data / "captions" / "dataset_rsicd.json").read_text(encoding="utf-8"))
    captions = [set(re.findall("[a-z]+", s["raw"].lower())) for i in found["images"] for s in i["sentences"]]
    times = Counter(word for words in captions for word in words)
    asked = load("own_words").queries(EXAMPLES / "own_words_rsicd.tsv")
    own = [query for query in asked if query.kind != "plain"]
    assert len(own) == 180
    assert len({query.text for query in asked}) == len(asked) == 240
    assert {w for q in own for w in re.findall("[a-z]+", q.text.lower()) if times[w] > 10} - plain == set()
    assert {query.label for query in asked} == {image["class"] for image in found["images"]}
    assert sum(query.split == "val" for query in own) == 90


def test_the_table_of_pairs_is_right_where_it_can_be_counted(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    example = load("pair_retrieval")
    far = np.array([[0.0, 1.0, 1.0, 2.0], [3.0, 3.0, 3.0, 3.0]])
    right = np.array([[False, True, True, False], [True, False, False, False]])
    assert example.hits(far, right) == pytest.approx([100 * (0 + 1 / 4) / 2, 100.0, 100.0])
    right[0] = [False, False, False, True]
    orders = list(permutations(range(4)))  # ties in every order, the place of item 0 of the second query
    second = [sum(order.index(0) < k for order in orders) / len(orders) for k in (1, 5, 10)]
    assert example.hits(far, right) == pytest.approx(
        [100 * (first + s) / 2 for first, s in zip((0, 1, 1), second, strict=True)]
    )
    run = train(any_words(sound=None, concepts={"count": 3, "pairs": 1.0}), tiny_data, tmp_path / "run")
    monkeypatch.setattr("sys.argv", ["pair_retrieval.py", str(run), "--split", "test", "--rescore", "5"])
    capfd.readouterr()
    example.main()
    head, *rows = capfd.readouterr().out.splitlines()
    assert "texts; R@1, 5, 10 and mR" in head
    assert [row[:12].strip() for row in rows] == ["12 bits", "real query", "rescored 5", "vectors"]
    assert all(row.endswith(f"{float(row.split()[-1]):5.1f}") for row in rows)


def test_orders_of_hits_are_counted_in_every_direction(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    run = train(any_words(sound=None, concepts={"count": 3, "pairs": 1.0}), tiny_data, tmp_path / "run")
    kept = tmp_path / "orders.json"
    monkeypatch.setattr("sys.argv", ["orders.py", str(run), "--split", "test", "--json", str(kept)])
    capfd.readouterr()
    load("orders").main()
    head, *rows = capfd.readouterr().out.splitlines()
    assert "class mAP, and mR in percent" in head
    assert [row.split()[0] for row in rows] == ["text->image", "image->text", "image->image"]
    found = json.loads(kept.read_text())
    assert [{*found[way]} for way in found] == [{"bits", "weighed", "vectors", "examples"}] * 3
    model = dtbh.load(run)
    manifest, _ = manifest_for(model, None)
    images = [absolute(manifest, item) for item in of_split(manifest, "test") if item.modality == "image"]
    codes = model.encode(images).codes
    apart = np.bitwise_count(codes.words[:, None] ^ codes.words).sum(axis=2).astype(np.float64)
    alike = np.array([[one.label == other.label for other in images] for one in images])
    own = load("own_words").precisions
    wanted = [
        own(np.delete(apart[row], row)[None], np.delete(alike[row], row)[None])[0]
        for row in range(len(images))
        if np.delete(alike[row], row).any()
    ]
    assert found["image->image"]["bits"]["map"] == pytest.approx(np.mean(wanted))


def test_bounds_count_as_loops_do(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    load("pair_retrieval")
    example = load("bounds")
    far, right = np.array([[0.0, 1.0, 1.0, 2.0]]), np.array([[False, True, False, True]])
    orders = [(1, 2), (2, 1)]  # of the tie, which holds one right item
    expected = np.mean([(1 / (2 if first == 1 else 3) + 2 / 4) / 2 for first, _ in orders])
    assert example.class_map(far, right) == pytest.approx(expected)
    rng = np.random.default_rng(0)
    texts, image = rng.normal(size=(5, 3)), np.array([0, 0, 0, 1, 1])
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    found = example.by_captions(texts, image[:, None] == np.arange(2))
    for row, text in enumerate(texts):
        for column in range(2):
            others = [t for n, t in enumerate(texts) if image[n] == column and n != row]
            mean = np.mean(others, axis=0)
            assert found[row, column] == pytest.approx(-text @ mean / np.linalg.norm(mean), abs=1e-8)
    there, back = example.by_heart(["a", "b", "a", "c", "c"], image[:, None] == np.arange(2))
    assert there.tolist() == [[0, 1], [0, 1], [0, 1], [1, 0], [1, 0]]
    assert back.tolist() == [[-1, -1, -1, 0, 0], [0, 0, 0, -1, -1]]
    alike = example.by_heart(["a", "b", "a"], np.array([[True, False], [True, False], [False, True]]))
    assert [way.tolist() for way in alike] == [[[0, 0], [0, 1], [0, 0]], [[-0.5, -1, -0.5], [-0.5, 0, -0.5]]]
    run = train(any_words(sound=None, concepts={"count": 3, "pairs": 1.0}), tiny_data, tmp_path / "run")
    for name, more in (("bounds", []), ("pair_front", ["--work", str(tmp_path / "front"), "--weights", "0.5"])):
        example = load(name)
        monkeypatch.setattr("sys.argv", [f"{name}.py", str(run), "--split", "test", *more])
        capfd.readouterr()
        example.main()
        said = capfd.readouterr().out
        assert "class" in said
        assert ("probe: 1.000" if name == "bounds" else "rescored") in said


def test_what_nobody_can_answer_and_how_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    example = load("nothing_close")
    halves = [example.unanswerable(split) for split in ("val", "test")]
    assert [len(half) for half in halves] == [63, 63]
    assert not set(halves[0]) & set(halves[1])
    assert not {*halves[0], *halves[1]} & {query.text for query in load("own_words").queries()}
    assert example.auroc(np.array([3.0, 1.0]), np.array([1.0, 0.0])) == 0.875  # three right of four, one tied
    likely, right = np.array([0.95, 0.95, 0.15, 0.15]), np.array([1.0, 0.0, 0.0, 0.0])
    assert example.calibration_error(likely, right, np.ones(4)) == pytest.approx(0.5 * 0.45 + 0.5 * 0.15)


def test_wishes_in_other_languages() -> None:
    with (EXAMPLES / "languages.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    classes = {query.label for query in load("own_words").queries()}
    for language in ("es", "fr", "it", "pt"):
        for split in ("val", "test"):
            own = [row for row in rows if (row["language"], row["split"]) == (language, split)]
            assert sorted(row["label"] for row in own) == sorted(classes)
    assert len({row["text"] for row in rows}) >= len(rows) - 4  # Spanish and Portuguese share some words


def test_a_network_of_utterances_is_made_again(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = load("train_utterances")
    shutil.copytree(tiny_data, tmp_path / "data")
    manifest = read_manifest(tmp_path / "data")
    (tmp_path / "data.noun").write_text("00001 06 n 01 pier 0 000 | a platform\n")
    (tmp_path / "cntlist.rev").write_text("pier%1:06:00:: 1 24\n")
    monkeypatch.setattr(example, "CLIPS", 5)
    said = ["train_utterances", "--data", str(tmp_path / "data"), "--work", str(tmp_path / "work"), "--files", "2",
            "--epochs", "1", "--wordnet", str(tmp_path), "--out", str(tmp_path / "utterance.onnx")]  # fmt: skip
    monkeypatch.setattr(sys, "argv", said)
    with pytest.raises(SystemExit, match="no caption in its train split"):
        example.main()
    write_manifest(manifest.replaced(replace(item, split="train") for item in manifest))
    example.main()
    assert "001.npz: 5 clips" in capsys.readouterr().out
    assert (tmp_path / "utterance.onnx").stat().st_size > 1e6
    assert len([*(tmp_path / "work").glob("*.npz")]) == 2
