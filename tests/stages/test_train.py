from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import dtbh
from dtbh.config import Config, LossSpec, make_config, read_config, write_config
from dtbh.data.manifest import Manifest, read_manifest, write_manifest
from dtbh.errors import DataError, DtbhError, RunError
from dtbh.stages.train import train
from dtbh.training.module import DualTraining
from dtbh.utils.files import file_lock


def metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def changed(config: Config, **sections: dict[str, object]) -> Config:
    return config.model_copy(
        update={name: getattr(config, name).model_copy(update=values) for name, values in sections.items()}
    )


def test_a_run_folder_is_whole(tiny_run: Path, tiny_config: Config, tiny_data: Path) -> None:
    assert read_config(tiny_run / "config.yaml") == tiny_config
    run = json.loads((tiny_run / "run.json").read_text())
    assert run["finished"]
    assert run["epochs"] == 8
    assert run["kept_val_map"] == max(float(row["val/map"]) for row in metrics(tiny_run))
    assert (tiny_run / run["data"]).resolve() == tiny_data.resolve()
    assert not (tiny_run / "resume.safetensors").exists()
    assert list((tiny_run / "events").glob("events.out.tfevents.*"))
    assert not [path for path in tiny_run.rglob("*") if path.suffix in {".ckpt", ".pt", ".pth", ".pkl"}]


def test_it_learns(tiny_run: Path) -> None:
    assert json.loads((tiny_run / "run.json").read_text())["kept_val_map"] > 0.8  # chance is about 0.4


def test_a_finished_run_is_left_alone(tiny_run: Path, tiny_config: Config, tiny_data: Path) -> None:
    before = (tiny_run / "model.safetensors").stat().st_mtime_ns
    train(tiny_config, tiny_data, tiny_run)
    assert (tiny_run / "model.safetensors").stat().st_mtime_ns == before


def test_another_configuration_is_refused_with_the_setting(
    tiny_run: Path, tiny_config: Config, tiny_data: Path
) -> None:
    with pytest.raises(RunError, match=r"another configuration \(learning\.margin: 0\.25 -> 0\.3\)"):
        train(changed(tiny_config, learning={"margin": 0.3}), tiny_data, tiny_run)


def test_a_folder_of_something_else_is_refused(tiny_config: Config, tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="holds no run"):
        train(tiny_config, tiny_data, tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("left", [(".run.json.k2x",), ("run.json",), ("run.json", ".config.yaml.9_a")])
def test_what_a_kill_at_the_very_beginning_leaves_is_no_hindrance(
    left: tuple[str, ...], tiny_run: Path, tiny_config: Config, tiny_data: Path, tmp_path: Path
) -> None:
    said = (tiny_run / "run.json").read_text().replace('"finished": true', '"finished": false')
    assert '"finished": false' in said
    for name in left:
        (tmp_path / name).write_text("" if name.startswith(".") else said)
    train(changed(tiny_config, training={"epochs": 1}), tiny_data, tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    assert not list(tmp_path.glob(".*"))


def test_data_without_the_split_is_refused_before_anything_is_written(
    tiny_config: Config, tiny_data: Path, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="split"):
        train(changed(tiny_config, data={"protocol": "files"}), tiny_data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


WITH_STATE = {
    "memory_contrast": LossSpec.model_validate({"temperature": 0.2, "memory": 50}),
    "text_tower": LossSpec.model_validate({"weight": 0.5, "temperature": 0.2}),
    "code_triplets": LossSpec(),
}


def from_weights(config: Config, run: Path) -> Config:
    """Both towers trained, the image backbone from what it is in a run, at a tenth of the rate."""
    assert config.encoders.image is not None
    image = config.encoders.image.model_copy(update={"weights": str(run)})
    return changed(config, encoders={"image": image}, training={"backbone_rate": 0.1})


@pytest.mark.parametrize("rate", [1.0, 0.1])
def test_given_weights_go_by_a_rate_of_their_own(
    rate: float, tiny_run: Path, tiny_config: Config, tiny_data: Path, tmp_path: Path
) -> None:
    """Adam's first steps are as long as the rate, whatever the gradient is."""
    config = from_weights(tiny_config, tiny_run)
    config = changed(config, training={"backbone_rate": rate, "epochs": 1, "schedule": "constant", "warmup": 0.0})
    before = load_file(tiny_run / "model.safetensors")
    after = load_file(train(config, tiny_data, tmp_path / "run") / "model.safetensors")
    name = next(name for name in before if name.startswith("image.backbone.network") and name.endswith("weight"))
    moved = (after[name] - before[name]).abs().max().item()
    steps = 1 + len(read_manifest(tiny_data).sounds) // (3 * 4)
    assert 0.5 * rate * 1e-2 < moved < 1.1 * rate * 1e-2 * steps


def training_process(config: Path, data: Path, run: Path) -> list[str]:
    """Says where it stands if it dies."""
    started = [sys.executable, "-X", "faulthandler", "-m", "dtbh.cli", "train", str(config)]
    return [*started, "--data", str(data), "--out", str(run)]


@pytest.mark.parametrize("case", ["both from nothing", "a memory and a text tower", "images from given weights"])
def test_killed_and_resumed_gives_the_same_numbers(
    case: str, tiny_run: Path, tiny_config: Config, tiny_data: Path, tmp_path: Path
) -> None:
    """End to end: a real process, a real kill -9 in the middle of an epoch, and the same command again."""
    if case == "a memory and a text tower":
        tiny_config = changed(tiny_config, learning={"losses": WITH_STATE})
    elif case == "images from given weights":
        tiny_config = from_weights(tiny_config, tiny_run)
    if case != "both from nothing":
        tiny_run = train(tiny_config, tiny_data, tmp_path / "whole")
    config, run = write_config(tiny_config, tmp_path / "c.yaml"), tmp_path / "run"
    command = training_process(config, tiny_data, run)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while not (run / "resume.safetensors").exists():
        if process.poll() is not None:
            pytest.fail(f"ended with {process.returncode} before its first epoch: {process.communicate()[1]}")
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not json.loads((run / "run.json").read_text())["finished"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert json.loads((run / "run.json").read_text())["finished"]
    for mine, whole in zip(metrics(run), metrics(tiny_run), strict=True):
        del mine["seconds"], whole["seconds"]
        assert mine == whole
    assert dtbh.load(run).fingerprint == dtbh.load(tiny_run).fingerprint


def heed_interrupts() -> None:
    """What a shell starts in the background ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_says_so_and_goes_on_later(
    how: signal.Signals, code: int, tiny_config: Config, tiny_data: Path, tmp_path: Path
) -> None:
    """A real Ctrl-C, and a real kill: one line, their exit codes, no worker left, and the same command goes on."""
    workers = int(how == signal.SIGTERM)  # which have to end too
    long = changed(tiny_config, training={"epochs": 40, "patience": 40, "workers": workers})
    config, run = write_config(long, tmp_path / "c.yaml"), tmp_path / "run"
    command = training_process(config, tiny_data, run)
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    )
    while not (run / "resume.safetensors").exists():
        if process.poll() is not None:
            pytest.fail(f"ended with {process.returncode} before its first epoch: {process.communicate()[1]}")
        time.sleep(0.01)
    process.send_signal(how)
    said = process.communicate()[1]  # a worker that is left would hold stderr open
    assert process.returncode == code
    assert "Traceback" not in said
    first, *_, last = said.splitlines()
    counted = r"\d+ images and \d+ sounds"
    assert re.fullmatch(rf"training {run} on {counted}, validating on {counted}, on \w+", first)
    assert last.startswith("dtbh: ended by SIGTERM; " if how == signal.SIGTERM else "dtbh: interrupted; ")
    assert last.endswith(f"{run} is kept, and the same call goes on from there")
    if how == signal.SIGTERM:
        return  # what a run goes on from is the same, however it was ended
    train(long, tiny_data, run)
    assert json.loads((run / "run.json").read_text())["finished"]


def test_two_trainings_in_one_folder_are_kept_apart(tiny_config: Config, tiny_data: Path, tmp_path: Path) -> None:
    with file_lock(tmp_path, "training"), pytest.raises(DtbhError, match="another process is training here"):
        train(tiny_config, tiny_data, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_config_that_cannot_be_built_leaves_no_folder(tiny_config: Config, tiny_data: Path, tmp_path: Path) -> None:
    image = tiny_config.encoders.image.model_copy(update={"backbone": "nonet"})
    with pytest.raises(DtbhError, match="no backbone 'nonet'"):
        train(changed(tiny_config, encoders={"image": image}), tiny_data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_without_labels_the_classes_are_never_looked_at(tiny_config: Config, tiny_data: Path, tmp_path: Path) -> None:
    manifest = read_manifest(tiny_data)
    blind = Manifest(tuple(replace(i, label=None, path=str(manifest.file(i))) for i in manifest), tmp_path, "tiny")
    write_manifest(blind)
    config = make_config(
        tiny_config.model_dump(mode="json")
        | {
            "learning": {
                "labels": False,
                "intra_modal_weight": 0,
                "losses": {"pair_contrast": {"weight": 1, "temperature": 0.2}},
            },
            "training": tiny_config.training.model_dump() | {"classes": 12, "per_class": 1, "epochs": 3},
        }
    )
    run = train(config, tmp_path, tmp_path / "run")
    losses = [float(row["train/loss"]) for row in metrics(run)]
    assert losses[-1] < losses[0]


def spoken(config: Config) -> Config:
    return config.model_copy(
        update={
            "learning": config.learning.model_copy(
                update={"losses": {**config.learning.losses, "spoken_words": LossSpec()}}
            ),
            "training": config.training.model_copy(update={"epochs": 2}),
        }
    )


def test_words_are_learned_where_they_are_known(
    tiny_config: Config, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(spoken(tiny_config), tiny_data, tmp_path / "run")
    first, last = (float(row["train/spoken_words"]) for row in metrics(run))
    assert last < first
    assert not [name for name in load_file(run / "model.safetensors") if "words" in name or "objective" in name]
    assert "spoken_words" not in capsys.readouterr().err


def test_without_transcripts_the_term_of_words_stays_out(
    tiny_config: Config, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = read_manifest(tiny_data)
    mute = tmp_path / "mute"
    items = [replace(i, transcript=None, path=str(manifest.file(i).resolve())) for i in manifest]
    write_manifest(replace(manifest, items=tuple(items), root=mute))
    run = train(spoken(tiny_config), mute, tmp_path / "run")
    assert "train/spoken_words" not in metrics(run)[0]
    assert "no word is known of the training sounds" in capsys.readouterr().err


def test_mixed_precision_learns_too(tiny_config: Config, tiny_data: Path, tmp_path: Path) -> None:
    run = train(changed(tiny_config, training={"precision": "bf16"}), tiny_data, tmp_path / "run")
    assert max(float(row["val/map"]) for row in metrics(run)) > 0.8


def test_the_last_epoch_is_kept_where_it_is_asked_for(
    tiny_config: Config, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    for keep in ("best", "last"):
        worse = iter(range(100, 0, -1))
        monkeypatch.setattr(DualTraining, "_map", lambda *_, worse=worse: next(worse) / 100)
        settings = {"keep": keep, "patience": 1, "epochs": 3}
        runs.append(train(changed(tiny_config, training=settings), tiny_data, tmp_path / keep))
    best, last = (json.loads((run / "run.json").read_text()) for run in runs)
    assert (best["kept_epoch"], best["epochs"], last["kept_epoch"], last["epochs"]) == (1, 2, 3, 3)
    assert best["kept_val_map"] > last["kept_val_map"] == float(metrics(runs[1])[-1]["val/map"])
    assert last["checkpoint_rule"] == "the last epoch; validation chose none"
    first, third = (load_file(run / "model.safetensors") for run in runs)
    assert any(not torch.equal(first[name], third[name]) for name in first)


def test_two_devices_share_each_batch(tiny_config: Config, tiny_data: Path, tmp_path: Path) -> None:
    two = changed(tiny_config, training={"devices": 2, "device": "cpu", "epochs": 4})
    run = train(two, tiny_data, tmp_path / "run")
    assert len(metrics(run)) == 4
    best = max(metrics(run), key=lambda row: float(row["val/map"]))
    said = json.loads((run / "run.json").read_text())
    assert said["kept_val_map"] == float(best["val/map"]) > 0.5
    assert said["kept_epoch"] == int(float(best["epoch"])) + 1


def test_stored_features_train_the_heads_alone(
    tiny_config: Config, tiny_data: Path, tiny_run: Path, tmp_path: Path
) -> None:
    """Both backbones of a run, frozen in another: their weights stay, and the heads learn."""
    encoders = tiny_config.encoders
    frozen = {"frozen": True, "weights": str(tiny_run)}
    config = changed(
        tiny_config,
        encoders={
            "image": encoders.image.model_copy(update=frozen),
            "sound": encoders.sound.model_copy(update=frozen),
        },
    )
    run = train(config, tiny_data, tmp_path / "run")
    before, after = load_file(tiny_run / "model.safetensors"), load_file(run / "model.safetensors")
    same = {name for name in before if before[name].equal(after[name])}
    assert {name for name in before if ".backbone." in name} <= same
    assert not {name for name in before if name.endswith("hash.0.weight")} & same
    assert float(metrics(run)[-1]["val/map"]) > 0.8


def test_an_unreadable_file_in_training_is_one_clear_line(tiny_config: Config, tiny_data: Path, tmp_path: Path) -> None:
    import shutil

    data = shutil.copytree(tiny_data, tmp_path / "data")
    for image in sorted((data / "images").glob("red*.png")):
        image.write_bytes(image.read_bytes()[:60])
    with pytest.raises(dtbh.DtbhError, match=r"red\d+\.png") as caught:
        train(changed(tiny_config, training={"workers": 1}), data, tmp_path / "run")
    assert "\n" not in str(caught.value)
