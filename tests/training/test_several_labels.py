"""Items with several labels, from training to the answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dtbh.config import Config, read_config
from dtbh.data.manifest import Item, Manifest, read_manifest, write_manifest
from dtbh.data.splits import split_for
from dtbh.errors import ConfigError
from dtbh.evaluation.metrics.labels import shared_labels
from dtbh.index.archive.archive import open_archive
from dtbh.stages.evaluate import evaluate
from dtbh.stages.index import index
from dtbh.stages.train import _by_pairs, train
from dtbh.training.module import DualTraining
from tests.reference import labels as sets

WARM = {"red": "red;warm", "green": "cold;green", "blue": "blue;cold"}


@pytest.fixture(scope="module")
def data(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data, with a second label for each class and a third for some tiles."""
    old, root = read_manifest(tiny_data), tmp_path_factory.mktemp("several")
    items = []
    for item in old:
        more = ";spotted" if str(item.pair)[-1] in "123" else ""
        path = None if item.path is None else str(old.file(item))
        items.append(replace(item, label=f"{WARM[str(item.label)]}{more}", path=path))
    write_manifest(Manifest(tuple(items), root, "several"))
    return root


@pytest.fixture(scope="module")
def run(data: Path, tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    training = tiny_config.training.model_copy(update={"epochs": 2})
    config = tiny_config.model_copy(update={"training": training})
    return train(config, data, tmp_path_factory.mktemp("runs") / "several")


def test_validation_and_evaluation_count_what_shares_a_label_as_relevant(run: Path, data: Path) -> None:
    best = json.loads((run / "run.json").read_text())["kept_val_map"]
    report, _ = evaluate(run, split="val", out=run / "val")
    assert (report.directions["sound->image"].map + report.directions["image->sound"].map) / 2 == pytest.approx(best)
    manifest = split_for(read_manifest(data), read_config(run / "config.yaml"))
    images, sounds = ([one for one in side if one.split == "val"] for side in (manifest.images, manifest.sounds))
    common = sum(sets.shared(sound.label, image.label) > 0 for sound in sounds for image in images)
    alike = sum(sound.label == image.label for sound in sounds for image in images)
    assert sum(report.directions["sound->image"].distances["relevant"]) == common > alike > 0
    written = json.loads((run / "val" / "report.json").read_text())["directions"]["sound->image"]
    assert written["ndcg"] > written["chance_ndcg"] > 0
    assert set(written["per_class"]) <= {"red", "green", "blue", "warm", "cold", "spotted"}


def test_an_archive_finds_items_by_one_of_their_labels(run: Path, data: Path) -> None:
    archive = open_archive(index(run, data, out=run.parent / "archive").path)
    assert archive.labels() == ("blue", "cold", "green", "red", "spotted", "warm")
    items = archive.items(archive.rows({"label": "cold", "modality": "image"}))
    assert sorted(item.id for item in items) == sorted(f"{c}{i}" for c in ("blue", "green") for i in range(12))


@pytest.mark.parametrize(("name", "more"), [("class_codes", ""), ("sentence_space", "; with learning.labels=false")])
def test_methods_of_classes_refuse_several_labels(name: str, more: str, tiny_config: Config) -> None:
    module = SimpleNamespace(config=tiny_config, _shared=shared_labels(["red;warm"]))
    with pytest.raises(ConfigError, match=f"learning.fit: {name} needs one class an item, and some have .*{more}"):
        DualTraining.fit_heads(module, name)  # type: ignore[arg-type]


def test_names_of_pairs_are_no_lists_of_labels() -> None:
    manifest = Manifest(tuple(Item(i, "image", "x", "sea", i) for i in ("a;1", "b;1")), Path("here"), "made")
    assert [len(item.labels) for item in _by_pairs(manifest)] == [1, 1]
    assert len(_by_pairs(manifest).labels) == 2
