"""Training that goes on from a model: on few tiles, with captions or without."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dtbh
from dtbh.cli.main import main
from dtbh.data.manifest import Item, Manifest, read_manifest, write_manifest
from dtbh.errors import ConfigError, DataError, RunError
from dtbh.models.encoder import FileEncoder
from dtbh.stages.evaluate import evaluate
from dtbh.stages.train import train
from dtbh.stages.tune import train_from
from tests.training.test_sentence_space import any_words

onnx = pytest.importorskip("onnx", reason="going on from a model needs the extra train")
LOOKS = {"redSquare": (200, 40, 30), "zebra_stripes": (20, 20, 20), "violetPond": (120, 40, 200)}


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Named tiles of three classes that no satellite sees: two of each to train on, two to validate on."""
    folder = tmp_path_factory.mktemp("tiles")
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for label, colour in LOOKS.items():
            place = folder / "images" / split / label
            place.mkdir(parents=True)
            for number in range(2):
                pixels = np.clip(np.array(colour) + rng.normal(0, 12, (64, 64, 3)), 0, 255).astype(np.uint8)
                if label == "zebra_stripes":
                    pixels[:, ::4] = 240
                Image.fromarray(pixels).save(place / f"{number}.png")
    assert (
        main(["prepare", "folders", "--images", str(folder / "images"), "--out", str(folder / "data"), "--quiet"]) == 0
    )
    return folder / "data"


@pytest.fixture(scope="module")
def start(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without sounds."""
    return train(any_words(sound=None), tiny_data, tmp_path_factory.mktemp("runs") / "start")


def distances(model: FileEncoder, images: list[str], texts: list[str]) -> np.ndarray:
    """Between the codes of images and texts, int [n, m]."""
    seen, said = model.encode_images(images), model.encode_texts(texts)
    return np.array([[int((a ^ b).item()).bit_count() for b in said.words] for a in seen.words])


@pytest.mark.parametrize("keep", [False, True])
def test_ready_learns_named_tiles(tiles, tmp_path, capsys, keep):
    out = tmp_path / "mine"
    words = ["train", "--from", "ready", "--data", str(tiles), "--out", str(out), *["--keep"] * keep]
    assert main(words) == 0
    said = capsys.readouterr()
    assert 'no captions, so classes go by their names: "red square", "violet pond", "zebra stripes"' in said.err
    assert "heads fitted at once to 6 images of 3 classes, validation mAP 1.0000" in said.out
    model, ready = dtbh.load(out), dtbh.load()
    assert model.fingerprint != ready.fingerprint
    assert model.config.encoders.concepts.count == 3 + keep * ready.config.encoders.concepts.count
    assert model.bits == ready.bits
    held = [str(tiles / item.path) for item in read_manifest(tiles) if item.split == "val"]
    labels = [item.label for item in read_manifest(tiles) if item.split == "val"]
    names, texts = (
        ["redSquare", "violetPond", "zebra_stripes"],
        ["a red square", "a pond, violet", "stripes as of a zebra"],
    )
    found = distances(model, held, texts).argmin(axis=1)
    assert [names[place] for place in found] == labels
    before = distances(ready, held, texts).argmin(axis=1)
    assert [names[place] for place in before] != labels, "nothing was to be learned"
    harbor = [Item("1", "text", transcript="a harbour full of boats")]
    distant, familiar = (one.encode(harbor).familiarity["1"] for one in (model, ready))
    assert (distant > 0.9 * familiar) == keep, (distant, familiar)
    stamp = (out / "model.json").stat().st_mtime_ns
    assert main(words) == 0
    assert (out / "model.json").stat().st_mtime_ns == stamp
    other = words[:-1] if keep else [*words, "--keep"]
    for changed in ([*words, "--set", "seed=1"], other):
        assert main(changed) == 2
        assert "holds another model, or one of other data or settings; choose another --out" in capsys.readouterr().err
    assert main(["index", str(out), str(tiles), "--out", str(tmp_path / "archive")]) == 0


def test_a_run_goes_on_with_captions(start, tiny_data, tmp_path):
    out = train_from(start, tiny_data, tmp_path / "run")
    model = dtbh.load(out)
    run = json.loads((out / "run.json").read_text())
    assert run["from"]["model"] == dtbh.load(start).fingerprint != model.fingerprint
    assert run["kept_val_map"] > 0.9
    assert model.config.encoders.concepts.count == 3
    assert model.config.data.protocol == "random", "the data name no splits"
    report, _ = evaluate(out)
    assert min(report.directions["text->image"].map, report.directions["image->text"].map) > 0.9


def test_pairs_alone(start, tiny_data, tmp_path):
    manifest = read_manifest(tiny_data)
    bare = tmp_path / "bare"
    shutil.copytree(tiny_data, bare)
    write_manifest(replace(manifest, root=bare).replaced(replace(item, label=None) for item in manifest))
    out = train_from(start, bare, tmp_path / "run")
    assert "images of" in json.loads((out / "run.json").read_text())["checkpoint_rule"]
    assert dtbh.load(out).encode_texts(["red"]).bits == 12


def test_what_can_t_be_gone_on_from(start, tiny_run, tiny_data, tiles, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="has no text tower, by which --from brings images to what is said"):
        train_from(tiny_run, tiny_data, out)
    with pytest.raises(ConfigError, match=r"--set encoders.bits: 12 -> 16: with --from only seed and settings of data"):
        train_from(start, tiny_data, out, overrides=["encoders.bits=16"])
    one = tmp_path / "one"
    items = [item for item in read_manifest(tiles) if item.split == "train"]
    write_manifest(Manifest((replace(items[0], path=str(tiles / str(items[0].path))),), one, "folders"))
    with pytest.raises(DataError, match="1 images with a label or a caption in the train split, wanted 2 at least"):
        train_from(start, one, out)
    alike = [replace(item, path=str(tiles / str(item.path))) for item in items if item.label == items[0].label]
    write_manifest(Manifest(tuple(alike), one, "folders"))
    with pytest.raises(
        DataError, match=r"all of one class, which leaves codes nothing to tell apart; give .* \(--keep\)"
    ):
        train_from(start, one, out)
    bare = [Item(item.id, "image", str(tiles / str(item.path)), split="train") for item in items]
    write_manifest(Manifest(tuple(bare), one, "folders"))
    with pytest.raises(DataError, match="neither captions nor labels, so there is nothing to learn; lay them out"):
        train_from(start, one, out)
    broken = [replace(item, label="x", path="nothing.png") for item in bare]
    write_manifest(Manifest(tuple(broken), one, "folders"))
    with pytest.raises(DataError, match=r"nothing\.png: no such file, though the manifest of"):
        train_from(start, one, out)
    (out).mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises((RunError, dtbh.DtbhError), match="holds no model"):
        train_from(start, tiny_data, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "out"]


def test_a_network_of_sounds_knows_the_old_codes_alone(start, tiny_data, tmp_path):
    run = train(any_words(), tiny_data, tmp_path / "sounds")
    with pytest.raises(ConfigError, match="network of sounds that was trained to meet the codes as they were"):
        train_from(run, tiny_data, tmp_path / "out")


def test_the_command_takes_a_config_or_a_start(tiny_data, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--data", str(tiny_data), "--out", str(tmp_path / "x")])
    assert "one of the arguments CONFIG --from is required" in capsys.readouterr().err
    where = ["--data", str(tiny_data), "--out", str(tmp_path / "x")]
    assert main(["train", "--from", "ready", "--devices", "2", *where]) == 2
    assert "--devices: --from fits heads at once" in capsys.readouterr().err
    assert main(["train", "configs/dtbh/demo.yaml", "--keep", *where]) == 2
    assert "--keep: only with --from is there a model" in capsys.readouterr().err
