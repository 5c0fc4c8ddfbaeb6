"""Methods that take one modality: no column, no tower and no figure of the other."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import dtbh
from dtbh.config import Config, make_config, read_config, write_config
from dtbh.data.manifest import Item, read_manifest, write_manifest
from dtbh.errors import DtbhError
from dtbh.stages.encode import encode
from dtbh.stages.evaluate import evaluate
from dtbh.stages.index import index
from dtbh.stages.train import train


@pytest.fixture(scope="module")
def images_alone(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny images in a manifest that knows of no sound."""
    root = tmp_path_factory.mktemp("images")
    shutil.copytree(tiny_data / "images", root / "images")
    manifest = read_manifest(tiny_data)
    write_manifest(type(manifest)(manifest.images, root, "tiny"))
    return root


def without(config: Config, modality: str) -> Config:
    content = config.model_dump(mode="json")
    content["encoders"][modality] = None
    return make_config(content)


@pytest.fixture(scope="module")
def image_run(images_alone: Path, tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(without(tiny_config, "sound"), images_alone, tmp_path_factory.mktemp("runs") / "images")


def columns(run: Path) -> list[str]:
    with (run / "metrics.csv").open() as file:
        return next(csv.reader(file))


def test_images_alone_train_and_evaluate(image_run: Path) -> None:
    assert json.loads((image_run / "run.json").read_text())["kept_val_map"] > 0.8
    assert [name for name in columns(image_run) if "sound" in name] == []
    assert "val/map_image_to_image" in columns(image_run)
    report, _ = evaluate(image_run)
    assert list(report.directions) == ["image->image"]
    direction = report.directions["image->image"]
    assert direction.map > 0.8
    assert direction.n_gallery == direction.n_queries - 1
    assert report.leaks == "no test sounds"


def test_validation_is_the_mean_of_the_report(image_run: Path) -> None:
    """The query is no part of its own gallery in training's validation either."""
    best = json.loads((image_run / "run.json").read_text())["kept_val_map"]
    report, _ = evaluate(image_run, split="val", out=image_run / "val")
    assert report.directions["image->image"].map == pytest.approx(best, abs=1e-6)


def test_a_model_of_images_refuses_sounds_and_leaves_them_aside_in_a_data_folder(
    image_run: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = dtbh.load(image_run)
    sound = read_manifest(tiny_data).sounds[0]
    with pytest.raises(DtbhError, match=r"no sound tower here \(encoders\.sound is null\)"):
        model.encode_sounds([tiny_data / str(sound.path)])
    assert index(image_run, tiny_data, out=tmp_path / "archive").count == 36
    assert "72 items left aside" in capsys.readouterr().err
    with pytest.raises(DtbhError, match=r"has no images, and .* can encode nothing else"):
        encode(image_run, tiny_data / str(sound.path), out=tmp_path / "codes")


def test_sounds_alone_train_and_evaluate(tiny_data: Path, tiny_config: Config, tmp_path: Path) -> None:
    config = without(tiny_config, "image")
    run = train(config, tiny_data, tmp_path / "run")
    assert read_config(write_config(config, tmp_path / "c.yaml")) == config
    report, _ = evaluate(run)
    assert list(report.directions) == ["sound->sound"]
    assert report.directions["sound->sound"].map > 0.8


def test_both_towers_want_both_modalities(images_alone: Path, tiny_config: Config, tmp_path: Path) -> None:
    with pytest.raises(DtbhError, match=r"no labelled sound in the train split; .*encoders\.sound=null"):
        train(tiny_config, images_alone, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_real_values_are_validated_and_evaluated_by_their_distances(
    images_alone: Path, tiny_config: Config, tmp_path: Path
) -> None:
    content = without(tiny_config, "sound").model_dump(mode="json")
    content["encoders"] |= {"activation": "linear"}
    content["learning"] |= {"ranked_by": "features", "selection": "hard", "losses": {"embedding_triplets": {}}}
    run = train(make_config(content), images_alone, tmp_path / "run")
    best = json.loads((run / "run.json").read_text())["kept_val_map"]
    report, _ = evaluate(run, split="val", out=tmp_path / "val")
    figures = report.directions["image->image"].embeddings["euclidean"]
    assert figures.map == pytest.approx(best, abs=1e-6)
    assert figures.map > 0.8
    assert figures.dimensions == 32
    items = absolute_images(images_alone)[:5]
    found = dtbh.load(run).embed(items)
    assert found.items == tuple(items)
    assert (found.values**2).sum(axis=1) == pytest.approx([1] * 5, rel=1e-5)
    with pytest.raises(DtbhError, match="no such file"):
        dtbh.load(run).embed([replace(items[0], path="/nothing.png")])


def absolute_images(folder: Path) -> list[Item]:
    return [replace(item, path=str(folder / str(item.path))) for item in read_manifest(folder).images]
