"""The command line as a user meets it: the main job, and one clear line for each mistake."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file, save_file

import dtbh
from dtbh.cli.main import main
from dtbh.config import Config, write_config
from dtbh.data.manifest import read_manifest
from dtbh.media.text import INSTALL, PACKAGE


@pytest.fixture(scope="module")
def archive(tiny_run: Path, tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("archives") / "tiny"
    assert main(["index", str(tiny_run), str(tiny_data), "--out", str(out)]) == 0
    return out


def first(data: Path, modality: str) -> Path:
    manifest = read_manifest(data)
    return next(manifest.file(item) for item in manifest if item.modality == modality)


def fails(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str, code: int = 2) -> None:
    """The command ends with this code, one line that says this, and no traceback; before it stands what it began."""
    assert main(arguments) == code
    *before, line = capsys.readouterr().err.strip().splitlines()
    assert re.search(message, line), line
    assert line.startswith("dtbh: ")
    assert not [other for other in before if other.startswith(("dtbh: ", "Traceback"))]


def test_evaluate_writes_the_report_and_prints_a_table_of_80_columns(
    tiny_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(tiny_run)]) == 0
    table = capsys.readouterr().out
    assert all(len(line) <= 80 for line in table.splitlines() if not line.startswith("report:"))
    report = json.loads((tiny_run / "report" / "report.json").read_text())
    assert report["bits"] == 12
    assert report["protocol"] == "random"
    for direction in ("sound->image", "image->sound"):
        figures = report["directions"][direction]
        assert figures["map"] > figures["chance_map"] + 0.3
        assert figures["n_queries"] > 0
        assert figures["n_gallery"] > 0
    assert (tiny_run / "report" / "index.html").read_text().startswith("<!doctype html>")


def test_evaluate_on_other_data_takes_its_own_splits(tiny_run: Path, tiny_data: Path, tmp_path: Path) -> None:
    rows = ["image,sound,label,split"]
    manifest = read_manifest(tiny_data)
    images = {item.pair: item for item in manifest.images}
    for n, sound in enumerate(manifest.sounds):
        image = manifest.file(images[sound.pair])
        rows.append(f"{image},{manifest.file(sound)},{sound.label},{'test' if n % 12 < 6 else 'train'}")
    (tmp_path / "pairs.csv").write_text("\n".join(rows) + "\n")
    assert main(["prepare", "table", str(tmp_path / "pairs.csv"), "--out", str(tmp_path / "mine")]) == 0
    command = ["evaluate", str(tiny_run), "--data", str(tmp_path / "mine"), "--out", str(tmp_path / "report")]
    assert main([*command, "--split", "test"]) == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["protocol"] == "files"
    assert report["directions"]["sound->image"]["n_queries"] == 36


def test_search_finds_the_other_modality(archive: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound, image = first(tiny_data, "sound"), first(tiny_data, "image")
    assert main(["search", str(archive), "--sound", str(sound), "-k", "5", "--json"]) == 0
    hits = json.loads(capsys.readouterr().out)["queries"][0]["hits"]
    assert [hit["rank"] for hit in hits] == [1, 2, 3, 4, 5]
    assert {hit["modality"] for hit in hits} == {"image"}
    assert main(["search", str(archive), "--image", str(image), "--where", "label=green", "--json"]) == 0
    hits = json.loads(capsys.readouterr().out)["queries"][0]["hits"]
    assert {(hit["modality"], hit["label"]) for hit in hits} == {("sound", "green")}


def test_search_shows_a_page(
    archive: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    assert main(["search", str(archive), "--sound", str(first(tiny_data, "sound")), "-k", "4", "--open"]) == 0
    page = Path(capsys.readouterr().err.split("page: ")[1].strip())
    assert shown == [page.as_uri()]
    assert page.read_text().count("<li") == 4


def test_an_archive_of_another_run_is_refused_with_both_fingerprints(
    archive: Path, tiny_run: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    weights = load_file(run / "model.safetensors")
    save_file({name: tensor + 1 for name, tensor in weights.items()}, run / "model.safetensors")
    prints = f"{dtbh.open_archive(archive).encoder}.*{dtbh.load(run).fingerprint}"
    command = ["search", str(archive), "--sound", str(first(tiny_data, "sound")), "--model", str(run)]
    fails(capsys, command, prints)


def test_the_same_from_python(tiny_run: Path, archive: Path, tiny_data: Path) -> None:
    model, opened = dtbh.load(tiny_run), dtbh.open_archive(archive)
    sounds = [first(tiny_data, "sound")] * 2
    one, two = opened.search(model.encode_sounds(sounds[:1]), k=3), opened.search(model.encode_sounds(sounds), k=3)
    assert type(one) is type(two)
    assert (len(one), len(two)) == (1, 2)
    assert one.distances.tolist() == two.distances[:1].tolist() == two.distances[1:].tolist()


def test_encode_writes_codes_that_read_back(tiny_run: Path, tiny_data: Path, tmp_path: Path) -> None:
    assert main(["encode", str(tiny_run), str(tiny_data / "images"), "--out", str(tmp_path / "codes")]) == 0
    codes = dtbh.read_codes(tmp_path / "codes")
    assert (len(codes), codes.bits, codes.modality) == (36, 12, "image")
    again = dtbh.load(tiny_run).encode_images([str(item.path) for item in codes.items])
    assert np.array_equal(codes.words, again.words)


def test_what_is_up_to_date_is_left_alone_and_what_is_not_is_done_again(
    tiny_run: Path, tiny_data: Path, tmp_path: Path
) -> None:
    images = shutil.copytree(tiny_data / "images", tmp_path / "images")
    for command, name in (("encode", "codes.npy"), ("index", "archive.json")):
        out = tmp_path / command
        again = [command, str(tiny_run), str(images), "--out", str(out)]
        assert main(again) == 0
        first_written = (out / name).stat().st_ino
        assert main(again) == 0
        assert (out / name).stat().st_ino == first_written
        (images / "red3.png").touch()
        assert main(again) == 0
        assert (out / name).stat().st_ino != first_written
        shutil.copy(images / "red3.png", images / f"{command}.png")
        assert main(again) == 0
    assert len(dtbh.open_archive(tmp_path / "index")) == 38


def test_a_code_does_not_depend_on_its_batch(tiny_run: Path, tiny_data: Path) -> None:
    model, manifest = dtbh.load(tiny_run), read_manifest(tiny_data)
    paths = [manifest.file(item) for item in manifest.sounds[:9]]
    together = model.encode_sounds(paths).words
    assert np.array_equal(together, np.concatenate([model.encode_sounds([path]).words for path in paths]))


def test_one_unreadable_file_is_left_out_and_said(
    tiny_run: Path, tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = shutil.copytree(tiny_data / "images", tmp_path / "images")
    (images / "red3.png").write_bytes(b"not a picture")
    out = tmp_path / "codes"
    assert main(["encode", str(tiny_run), str(images), "--out", str(out)]) == 1
    assert re.search(r"left out: .*red3\.png", capsys.readouterr().err)
    assert len(dtbh.read_codes(out)) == 35
    fails(capsys, ["encode", str(tiny_run), str(images), "--out", str(tmp_path / "b"), "--strict"], r"red3\.png")
    assert not (tmp_path / "b").exists()


def test_mistakes_are_one_clear_line(
    tiny_run: Path, tiny_data: Path, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, data, nowhere, out = str(tiny_run), str(tiny_data), str(tmp_path / "nowhere"), str(tmp_path / "out")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 16000)
    (tmp_path / "text.wav").write_text("hello")
    (tmp_path / "typo.yaml").write_text("learning: {margn: 0.2}\n")
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "manifest.jsonl").write_text('{"version": 1}\n')
    good = str(write_config(Config(), tmp_path / "good.yaml"))
    fails(capsys, ["evaluate", nowhere], r"nowhere: no run here")
    fails(capsys, ["index", run, nowhere, "--out", out], r"nowhere: no such file or folder")
    fails(capsys, ["search", nowhere, "--sound", "x.wav"], r"nowhere.*archive")
    fails(capsys, ["search", str(archive), "--sound", nowhere], r"nowhere: no such file")
    fails(capsys, ["search", str(archive), "--sound", str(tmp_path / "empty.wav")], r"empty\.wav.*without samples")
    fails(capsys, ["search", str(archive), "--sound", str(tmp_path / "text.wav")], r"text\.wav")
    fails(capsys, ["search", str(archive), "--image", str(tmp_path / "text.wav")], r"text\.wav")
    fails(capsys, ["search", str(archive), "--sound", str(first(tiny_data, "sound")), "-k", "0"], r"k")
    fails(capsys, ["search", str(archive), "--sound", str(first(tiny_data, "sound")), "--where", "lable=a"], "label")
    fails(capsys, ["train", str(tmp_path / "typo.yaml"), "--data", data, "--out", out], r"did you mean margin\?")
    fails(capsys, ["train", nowhere, "--data", data, "--out", out], r"nowhere: no config")
    fails(capsys, ["train", good, "--data", nowhere, "--out", out], r"nowhere.*no manifest here")
    fails(capsys, ["train", good, "--data", str(tmp_path / "cut"), "--out", out], r"line 1 is not a manifest")
    fails(capsys, ["speak", nowhere], r"nowhere")
    assert not Path(out).exists()


def test_prepare_lists_all_problems_at_once(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, sounds = tmp_path / "i", tmp_path / "s"
    for label in ("red", "green"):
        (images / label).mkdir(parents=True)
        (sounds / label).mkdir(parents=True)
        shutil.copy(first(tiny_data, "image"), images / label / "good.png")
        shutil.copy(first(tiny_data, "sound"), sounds / label / "good.flac")
    (images / "red" / "text.png").write_text("text")
    (sounds / "green" / "none.wav").write_bytes(b"")
    command = ["prepare", "folders", "--images", str(images), "--sounds", str(sounds), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "text.png" in said
    assert "none.wav" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()


def test_weights_of_another_configuration_are_refused(
    tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("bits: 12", "bits: 16"))
    fails(capsys, ["evaluate", str(run)], r"model\.safetensors: not this configuration's weights")
    shutil.copy(tiny_run / "config.yaml", config)
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    fails(capsys, ["evaluate", str(run)], r"model\.safetensors: not this configuration's weights, or damaged")


def test_help_is_instant_and_names_every_command() -> None:
    done = subprocess.run([sys.executable, "-m", "dtbh.cli", "--help"], capture_output=True, text=True, check=True)
    for name in ("prepare", "speak", "train", "evaluate", "encode", "index", "search", "report", "schema", "doctor"):
        assert re.search(rf"^\s+{name} ", done.stdout, re.MULTILINE)


def test_doctor_names_extras_and_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "device: " in said
    assert "extra speech: " in said
    assert re.search(r"^  numpy \d", said, re.MULTILINE)
    assert re.search(r"^extra train: torch \d", said, re.MULTILINE)


def test_doctor_says_how_the_weights_of_words_are_had(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["doctor"]) == 0
    assert re.search(rf"^sentence encoder {PACKAGE}: \d", capsys.readouterr().out, re.MULTILINE)
    monkeypatch.setattr("dtbh.cli.doctor.version", lambda name: None if name == PACKAGE else "1")
    assert main(["doctor"]) == 0
    needed = "only training with texts, and runs that have them, need it"
    assert f"sentence encoder {PACKAGE}: not found ({needed}): {INSTALL}\n" in capsys.readouterr().out


def test_doctor_knows_an_installation_without_torch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dtbh.cli.doctor.version", lambda name: None if name == "torch" else "1")
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "no torch: index, search, serve and evaluate by exported models; to train, or to open a run folder: " in said
    assert "extra train: missing torch: pip install 'dtbh[train]'" in said


def test_interruption_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("dtbh.cli.doctor.examine", interrupt)
    fails(capsys, ["doctor"], "interrupted", code=130)
