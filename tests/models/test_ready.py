"""The model that comes with the package: it is whole, light, and searches unnamed tiles in anybody's words."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dtbh
from dtbh.cli.main import main
from dtbh.config import read_config
from dtbh.errors import ConfigError
from dtbh.media.transcriber import Transcriber
from dtbh.media.utterance import FILE as UTTERANCES
from dtbh.models.run_files import place_of
from dtbh.models.shared_files import digest, towers_of

ROOT = Path(__file__).resolve().parents[2]
READY = ROOT / "dtbh" / "models" / "ready"
MOST = 40_000_000  # bytes in the wheel, of which compression takes a quarter off


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A green tile and a blue one, of other sizes than the model was trained on, one of them grey."""
    folder = tmp_path_factory.mktemp("tiles")
    rng = np.random.default_rng(0)
    green = np.clip(np.array([40, 90, 35]) + rng.normal(0, 18, (300, 260, 3)), 0, 255).astype(np.uint8)
    blue = np.clip(np.array([20, 60, 110]) + rng.normal(0, 3, (64, 64, 3)), 0, 255).astype(np.uint8)
    Image.fromarray(green).save(folder / "green.png")
    Image.fromarray(blue).save(folder / "blue.jpg")
    Image.fromarray(green[..., 0]).save(folder / "grey.tif")
    return folder


def test_its_files_are_whole_and_go_into_the_package():
    towers = towers_of(READY / "model.json", "ready")
    assert sorted(towers) == ["image.onnx", "sound.onnx", "text.onnx", "tokenizer.json"]
    assert {name: digest(READY / name) for name in towers} == towers
    assert sum(path.stat().st_size for path in READY.iterdir()) < MOST
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["dtbh"]
    for path in (*READY.iterdir(), UTTERANCES):
        assert any(fnmatch(path.relative_to(ROOT / "dtbh").as_posix(), pattern) for pattern in wanted), path


def test_it_is_made_by_its_preset():
    kept = read_config(READY / "config.yaml")
    preset = read_config(ROOT / "configs" / "any-words" / "ready.yaml", ["training.workers=0"])
    assert kept == preset
    assert json.loads((READY / "run.json").read_text())["source"] == "ucm+rsicd"


def test_every_part_has_its_licence():
    card = (READY / "README.md").read_text()
    for part in (
        "image.onnx",
        "text.onnx",
        "sound.onnx",
        UTTERANCES.name,
        "tokenizer.json",
        "Apache-2.0",
        "MIT",
        "UC Merced",
        "RSICD",
    ):
        assert part in card


def test_it_is_taken_where_no_other_is_given(tiles, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert place_of("ready") == READY
    assert dtbh.load().fingerprint == dtbh.load("ready").fingerprint
    assert main(["index", str(tiles), "--out", "mine", "--vectors"]) == 0
    assert dtbh.open_archive("mine").model == READY
    capsys.readouterr()
    for more in ([], ["--rescore", "3"]):
        assert main(["search", "mine", "--text", "dense woods", "-k", "1", *more, "--json"]) == 0
        (answer,) = json.loads(capsys.readouterr().out)["queries"]
        assert answer["hits"][0]["id"] == "grey.tif"  # by 20 bits, so whatever the processor


def test_archives_find_it_where_its_package_moved(tmp_path):
    assert place_of(tmp_path / "site-packages" / "dtbh" / "models" / "ready") == READY
    assert place_of(tmp_path / "runs" / "ready") == tmp_path / "runs" / "ready"


def test_a_typed_query_from_the_shell_reads_no_settings_and_no_pictures(tiles, tmp_path):
    assert main(["index", str(tiles), "--out", str(tmp_path / "a")]) == 0
    code = (
        "import sys\nfrom dtbh.cli.main import main\n"
        "code = main(sys.argv[1:])\n"
        "no = {'pydantic', 'PIL', 'soundfile', 'ctranslate2', 'numba', 'importlib.metadata', 'asyncio'}\n"
        "sys.exit(code or ', '.join(no & {*sys.modules}) or None)"
    )
    query = ["search", str(tmp_path / "a"), "--text", "boats", "--find", "image"]
    done = subprocess.run([sys.executable, "-c", code, *query], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_tokens_of_its_prompt_are_those_that_whisper_reads():
    sound = json.loads((READY / "model.json").read_text())["towers"]["sound"]
    assert Transcriber(prompt=sound["prompt"]).prompt_tokens == sound["prompt_tokens"]


def test_a_folder_of_its_name_is_meant_where_there_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ready").mkdir()
    assert place_of("ready") == Path("ready")


def test_it_is_not_evaluated_in_its_place(tiles):
    from dtbh.stages.evaluate import evaluate

    with pytest.raises(ConfigError, match="ready: came without data, and is kept as it is; give --data DATA and --out"):
        evaluate("ready")


def test_it_is_published_like_any_other(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["publish", "ready", "shared", "--license", "apache-2.0"]) == 0
    copied = dtbh.load("shared")
    assert copied.fingerprint == dtbh.load().fingerprint
    assert (copied.encode_texts(["boats"]).words == dtbh.load().encode_texts(["boats"]).words).all()
    card = (tmp_path / "shared" / "README.md").read_text()
    assert "- ucm\n- rsicd\n" in card
    assert "| speech to text | Whisper tiny.en | MIT |" in card
    assert "sound backbone" not in card, "there is none"
    assert json.loads((tmp_path / "shared" / "run.json").read_text())["data"] == ["ucm", "rsicd"]
