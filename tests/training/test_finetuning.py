"""Graded contrast, and an image backbone that learns from captions: alone, in a run, and after a kill."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dtbh.config import Config, FineTuning, ImageTower, make_config
from dtbh.data.manifest import read_manifest, write_manifest
from dtbh.encoders.image_backbones import build_image_backbone
from dtbh.encoders.readers import ImageReader
from dtbh.errors import ConfigError, DataError, MediaError, RunError
from dtbh.models.load import load
from dtbh.models.torch_encoder import TorchEncoder
from dtbh.stages.train import train
from dtbh.training import finetuning
from dtbh.training.checkpoint import write_state
from dtbh.training.finetuning import Captioned, finetune
from dtbh.training.graded import graded_contrast, graded_targets, learned_temperature
from dtbh.training.tuned import keep_tuned, place_of_tuned, take_tuned
from tests.reference.objectives import graded_contrast as in_loops
from tests.training.test_sentence_space import any_words

CPU = torch.device("cpu")
SMALL = ImageTower(backbone="small_cnn", weights="none", size=16)


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 1000))
def test_contrast_is_that_of_plain_loops(n: int, d: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    rows, columns, meanings = (torch.randn(n, d, generator=draw, dtype=torch.float64) for _ in range(3))
    targets = graded_targets(meanings, 0.2)
    found = graded_contrast(rows, columns, targets, 0.5)
    assert float(found) == pytest.approx(in_loops(rows.tolist(), columns.tolist(), targets.tolist(), 0.5), abs=1e-9)
    assert torch.allclose(targets.sum(1), torch.ones(n, dtype=torch.float64))


def test_near_meanings_are_soft_positives() -> None:
    meanings = torch.tensor([[1.0, 0.0], [0.99, 0.14], [0.0, 1.0]])
    targets = graded_targets(meanings, 0.05)
    assert targets[0, 0] > targets[0, 1] > 0.4 > 100 * targets[0, 2]
    same = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert torch.equal(graded_targets(same, 1e-3), torch.tensor([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]]))
    assert float(learned_temperature(torch.tensor(9.0))) == pytest.approx(0.01)


def data(tiny_data: Path) -> Captioned:
    manifest = read_manifest(tiny_data)
    images = [*manifest.images]
    draw = torch.Generator().manual_seed(0)
    labels = torch.tensor([manifest.labels.index(str(item.label)) for item in images])
    vectors = torch.nn.functional.normalize(torch.randn(2 * len(images), 384, generator=draw))
    reader = ImageReader([manifest.file(item) for item in images], SMALL.model_copy(update={"size": 20}))
    return Captioned(reader, [[2 * row, 2 * row + 1][: 1 + row % 2] for row in range(len(images))], vectors, labels)


def tuned(data: Captioned, tmp_path: Path, settings: FineTuning) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    backbone = build_image_backbone(SMALL)
    state = tmp_path / "backbone.safetensors"
    finetune(backbone, data, settings, resume=state, seed=3, device=CPU, workers=0, mixed=False)
    assert not any(p.requires_grad for p in backbone.parameters())
    return backbone.state_dict()


def test_learns_and_goes_on_after_a_kill_with_the_same_numbers(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = FineTuning(epochs=3, size=16, batch=6, learning_rate=3e-3, kept=("0",))
    given = data(tiny_data)
    whole = tuned(given, tmp_path, settings)
    said = capsys.readouterr().err
    classes = [float(line.split("classes ")[1].split()[0]) for line in said.splitlines() if "classes" in line]
    assert len(classes) == 3
    assert classes[2] < classes[0] - 0.1
    torch.manual_seed(1)
    start = build_image_backbone(SMALL).state_dict()
    assert torch.equal(whole["network.0.weight"], start["network.0.weight"])  # was kept
    assert not torch.equal(whole["network.3.weight"], start["network.3.weight"])
    assert torch.equal(whole["network.4.running_mean"], start["network.4.running_mean"])

    write = finetuning.write_state

    def killed(state: dict[str, object], path: Path) -> Path:
        write(state, path)
        raise KeyboardInterrupt

    (tmp_path / "backbone.safetensors").unlink()
    monkeypatch.setattr(finetuning, "write_state", killed)
    with pytest.raises(KeyboardInterrupt):
        tuned(given, tmp_path, settings)
    monkeypatch.undo()
    again = tuned(given, tmp_path, settings)
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_an_image_that_is_gone_and_modules_that_are_not_there(tiny_data: Path, tmp_path: Path) -> None:
    given = data(tiny_data)
    every = tuple(str(number) for number in range(18))
    for kept, said in ((("99",), "no module '99'"), (every, "nothing of the backbone is left")):
        with pytest.raises(ConfigError, match=said):
            tuned(given, tmp_path, FineTuning(epochs=1, kept=kept))
    given.reader.paths = [tmp_path / "gone.png", *given.reader.paths[1:]]
    with pytest.raises(MediaError, match=r"gone\.png"):
        tuned(given, tmp_path, FineTuning(epochs=1, size=16, batch=4))


def with_finetuning(**learning: object) -> Config:
    values = any_words(sound=None).model_dump()
    values["learning"] |= {"finetuning": {"epochs": 1, "size": 16, "batch": 4}, **learning}
    return make_config(values)


def test_a_run_keeps_the_tuned_backbone(tiny_data: Path, tmp_path: Path) -> None:
    path = train(with_finetuning(), tiny_data, tmp_path / "run")
    assert not (path / "backbone.safetensors").exists()
    model = load(path)
    assert isinstance(model, TorchEncoder)
    plain = load(train(any_words(sound=None), tiny_data, tmp_path / "plain"))
    assert isinstance(plain, TorchEncoder)
    assert not torch.equal(
        model.twin.image.backbone.state_dict()["network.0.weight"],
        plain.twin.image.backbone.state_dict()["network.0.weight"],
    )
    assert len(model.encode_images([next(tiny_data.rglob("*.png"))])) == 1
    without = train(with_finetuning(labels=False), tiny_data, tmp_path / "pairs")  # classes are not looked at
    assert (without / "model.safetensors").exists()


def test_other_lengths_take_the_backbone_as_it_was_tuned(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def weights(bits: int, run: str) -> dict[str, torch.Tensor]:
        config = with_finetuning()
        config = config.model_copy(update={"encoders": config.encoders.model_copy(update={"bits": bits}), "seed": 7})
        model = load(train(config, tiny_data, tmp_path / run))
        assert isinstance(model, TorchEncoder)
        return model.twin.state_dict()

    said = "image backbone: as it was fine-tuned before"
    # Not that of other tests: the last bits of a caption's vector hang on what it was encoded with.
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path / "first cache"))
    weights(8, "first")
    assert said not in capsys.readouterr().err
    taken = weights(12, "second")
    assert said in capsys.readouterr().err
    monkeypatch.setenv("DTBH_CACHE", str(tmp_path / "cache"))
    alone = weights(12, "alone")
    assert said not in capsys.readouterr().err
    assert [name for name in alone if not torch.equal(taken[name], alone[name])] == []
    (place,) = (tmp_path / "cache").glob("tuned-*.safetensors")
    place.write_bytes(place.read_bytes()[:500])
    with pytest.raises(RunError, match=r"tuned-.*: damaged checkpoint .*; delete it to train again"):
        weights(16, "cut")


def test_what_a_tuned_backbone_hangs_on(tiny_data: Path, tmp_path: Path) -> None:
    given, settings, backbone = data(tiny_data), FineTuning(epochs=1, size=16), build_image_backbone(SMALL)

    def named(backbone=backbone, data=given, settings=settings, **how: object) -> Path:
        return place_of_tuned(backbone, data, settings, **{"seed": 0, "device": CPU, "mixed": False, **how})

    copied = [Path(shutil.copy(path, tmp_path / path.name)) for path in given.reader.paths]
    moved = replace(given, reader=ImageReader(copied, given.reader.settings))
    assert named() == named(data=moved), "where the files lie means nothing"
    other = [*copied[:-1], tmp_path / "other.png"]
    shutil.copy(copied[0], other[-1])
    labels = given.labels.clone()
    labels[0] += 1
    brighter = given.reader.settings.augmentation.model_copy(update={"brightness": (1.0, 1.3)})
    changed = [
        named(backbone=build_image_backbone(SMALL)), named(settings=FineTuning(epochs=2, size=16)), named(seed=1),
        named(mixed=True), named(device=torch.device("cuda")), named(data=replace(given, labels=labels)),
        named(data=replace(given, vectors=given.vectors.flip(0))),
        named(data=replace(given, captions=given.captions[::-1])),
        named(data=replace(given, reader=ImageReader(other, given.reader.settings))),
        named(data=replace(given, reader=ImageReader(given.reader.paths, SMALL.model_copy(update={"size": 24})))),
        named(data=replace(given, reader=ImageReader(given.reader.paths, given.reader.settings.model_copy(
            update={"augmentation": brighter})))),
    ]  # fmt: skip
    assert len({named(), *changed}) == 1 + len(changed)


def test_depths_that_are_read_are_part_of_what_a_backbone_is_tuned_by(tiny_data: Path) -> None:
    """Their weights are the same, but what is learned from their outputs is not."""
    given, settings, places = data(tiny_data), FineTuning(epochs=1, size=16), set()
    weights = build_image_backbone(SMALL).state_dict()
    for depths in ((), ("5",), ("8",)):
        tower = SMALL.model_copy(update={"depths": depths})
        backbone = build_image_backbone(tower)
        backbone.load_state_dict(weights)
        reading = replace(given, reader=ImageReader(given.reader.paths, tower))
        places.add(place_of_tuned(backbone, reading, settings, seed=0, device=CPU, mixed=False))
    assert len(places) == 3


def test_a_cache_that_takes_nothing_stops_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").write_bytes(b"")
    backbone = build_image_backbone(SMALL)
    keep_tuned(backbone, tmp_path / "a file" / "tuned-0.safetensors")
    assert "image backbone: not kept for other runs; " in capsys.readouterr().err

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    keep_tuned(backbone, tmp_path / "tuned-0.safetensors")
    assert "(No space left on device)" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == [tmp_path / "a file"]


def test_a_kept_file_of_another_backbone_is_named(tmp_path: Path) -> None:
    place = tmp_path / "tuned-0.safetensors"
    for state in ({"weights": {"network.0.weight": torch.zeros(1)}}, {"epochs": 1}, [1]):
        write_state(state, place)  # type: ignore[arg-type]
        with pytest.raises(RunError, match=r"tuned-0\.safetensors: not this backbone, tuned .*; delete it"):
            take_tuned(build_image_backbone(SMALL), place)


def test_it_goes_with_the_sentence_space_alone(tiny_data: Path, tmp_path: Path) -> None:
    config = make_config({"learning": {"finetuning": {}}, "training": {"device": "cpu"}})
    with pytest.raises(ConfigError, match=r"learning\.finetuning: goes with learning\.fit=sentence_space"):
        train(config, tiny_data, tmp_path / "run")


def test_images_without_captions_leave_nothing_behind(tiny_data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    shutil.copytree(tiny_data, copy)
    manifest = read_manifest(copy)
    write_manifest(manifest.replaced(replace(item, pair=None) for item in manifest))
    with pytest.raises(DataError, match="no training image has a caption"):
        train(with_finetuning(), copy, tmp_path / "run")
    assert not (tmp_path / "run").exists()
