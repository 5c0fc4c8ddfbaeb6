"""The stage that evaluates: galleries, folders of codes, folds, and what does not fit."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from dtbh.cli.main import main
from dtbh.codes import read_codes, write_codes
from dtbh.config import Config
from dtbh.data.manifest import read_manifest, write_manifest
from dtbh.data.splits import split_for
from dtbh.errors import ConfigError, DataError, RunError
from dtbh.evaluation.report import read_report
from dtbh.stages.encode import encode
from dtbh.stages.evaluate import evaluate, evaluate_folds, fitted
from dtbh.stages.train import train


@pytest.fixture(scope="module")
def run(tiny_run: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose reports are nobody else's."""
    root = tmp_path_factory.mktemp("evaluating")
    shutil.copytree(tiny_run, root / "run", ignore=shutil.ignore_patterns("report*"))
    text = (root / "run" / "run.json").read_text()
    (root / "run" / "run.json").write_text(re.sub(r'"data": "[^"]*"', f'"data": "{tiny_data}"', text))
    return root / "run"


@pytest.fixture(scope="module")
def data(tiny_data: Path, tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data with its splits written down."""
    root = tmp_path_factory.mktemp("split") / "data"
    shutil.copytree(tiny_data, root)
    manifest = read_manifest(root)
    write_manifest(split_for(manifest, tiny_config))
    return root


@pytest.fixture(scope="module")
def codes(run: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Codes of all of it."""
    return encode(run, data, out=tmp_path_factory.mktemp("codes") / "codes").path


def test_the_gallery_may_be_another_split(run: Path) -> None:
    usual, folder = evaluate(run)
    assert folder == run / "report"
    trained, folder = evaluate(run, gallery="train", within=True)
    assert folder == run / "report-gallery-train"
    assert list(trained.directions) == ["sound->image", "image->sound", "image->image", "sound->sound"]
    for name, direction in trained.directions.items():
        side = "images" if name.endswith("image") else "sounds"
        assert direction.n_gallery == trained.splits["train"][side]
        assert direction.gallery == "train"
    one, two = usual.directions["sound->image"], trained.directions["sound->image"]
    assert (one.n_queries, one.gallery) == (two.n_queries, "test")
    assert two.pairs is None, "the pair of a test sound is in test"
    everything, _ = evaluate(run, gallery="all", within=True)
    assert everything.directions["image->image"].n_gallery == 35
    assert everything.directions["sound->image"].n_gallery == 36
    assert everything.directions["sound->image"].pairs is not None
    assert read_report(run / "report-gallery-all") == everything


def test_real_values_stand_beside_the_codes(run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["evaluate", str(run), "--real-values", "--classes", "--out", str(tmp_path / "report")]) == 0
    table = capsys.readouterr().out
    assert max(len(line) for line in table.splitlines() if not line.startswith("report:")) <= 80
    assert "real values of 12 dimensions, cosine distances" in table
    assert table.count("hashing cost") == 4
    assert re.search(r"^green +\d+ +\d\.\d{3} \[", table, re.MULTILINE)
    figures = read_report(tmp_path / "report").directions["sound->image"].embeddings["euclidean"]
    assert figures.dimensions == 12
    assert figures.map > figures.chance_map + 0.3


def test_codes_that_are_there_have_the_figures_of_their_run(run: Path, data: Path, codes: Path) -> None:
    of_run, _ = evaluate(run, data=data)
    of_codes, folder = evaluate(codes, data=data)
    assert folder == codes / "report-data"
    assert of_codes.directions == of_run.directions
    assert of_codes.leakage == of_run.leakage
    assert of_codes.checkpoint_rule == "not known: codes were given"
    alone, folder = evaluate(codes, gallery="train")
    assert folder == codes / "report-gallery-train"
    assert alone.leaks == "not known"
    assert alone.directions["sound->image"].map == pytest.approx(
        evaluate(run, data=data, gallery="train")[0].directions["sound->image"].map
    )


def test_what_does_not_fit_codes_is_named(run: Path, data: Path, codes: Path, tmp_path: Path) -> None:
    made = read_codes(codes)
    with pytest.raises(ConfigError, match="no other voices, noise or real values"):
        evaluate(codes, noise_db=10)
    fewer = write_codes(made.select([item.id != "green3" for item in made.items]), tmp_path / "fewer")
    with pytest.raises(DataError, match=r"fewer: 1 of the 108 items of split all have no code, the first is green3"):
        evaluate(fewer, data=data, split="all")
    manifest = read_manifest(data)
    items = [replace(item, label="red") if item.id == "green3" else item for item in manifest]
    other = manifest.replaced(item for item in items if item.id != "blue1")
    with pytest.raises(DataError, match="not the data of these codes, 2 things differ") as caught:
        fitted(made, other)
    assert caught.value.problems == (
        "green3: label green of the codes, red of the manifest",
        "blue1: not in the manifest",
    )
    tested = write_codes(made.select([item.split == "test" for item in made.items]), tmp_path / "test")
    with pytest.raises(DataError, match="test: nothing is known to be of split val"):
        evaluate(tested, split="val")


def test_folds_are_evaluated_together(
    tiny_config: Config, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tiny_config.model_copy(update={"training": tiny_config.training.model_copy(update={"epochs": 1})})
    runs = []
    for fold in (1, 2):
        protocol = settings.data.model_copy(update={"folds": 2, "fold": fold})
        runs.append(train(settings.model_copy(update={"data": protocol}), tiny_data, tmp_path / f"fold{fold}"))
    assert main(["evaluate", *map(str, runs)]) == 0
    out = capsys.readouterr().out
    assert "2 folds, mean ± standard deviation over folds" in out
    assert out.count("report: ") == 2
    one, two = (read_report(run / "report") for run in runs)
    assert (one.protocol, two.protocol) == ("random, fold 1 of 2", "random, fold 2 of 2")
    assert one.splits["test"]["images"] + two.splits["test"]["images"] == 36
    with pytest.raises(RunError, match=r"folds \[1, 1\] of 2"):
        evaluate_folds([runs[0], runs[0]])
    assert main(["evaluate", *map(str, runs), "--out", str(tmp_path / "x")]) == 2
    assert "leave --out away" in capsys.readouterr().err
    (runs[1] / "config.yaml").write_text((runs[1] / "config.yaml").read_text().replace("seed: 0", "seed: 1"))
    with pytest.raises(RunError, match=r"fold2: no fold of the cross-validation .* seed: 0 -> 1"):
        evaluate_folds(runs)
