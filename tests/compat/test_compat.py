"""What was made before the modules moved is read today: ``make.py`` says how it was made."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dtbh
from dtbh.cli.main import main, make_parser
from dtbh.config import make_config, read_config

OLD = Path(__file__).parent / "old"
EXPECTED = json.loads((OLD / "expected.json").read_text())
ROUNDING = 1e-3  # a hash-like code this near to zero may have another sign on another machine


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A copy in another place, to write in."""
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def differing(codes: dtbh.HashCodes, values: np.ndarray | None) -> int:
    """Bits that are not those of ``expected.json``, but for those that may round to either side."""
    count = 0
    for row, item in enumerate(codes.items):
        wrong = int(codes.words[row, 0]) ^ int(EXPECTED["codes"][item.id], 16)
        for bit in range(codes.bits):
            if wrong >> bit & 1 and (values is None or abs(values[row, bit]) > ROUNDING):
                count += 1
    return count


def test_codes(old: Path) -> None:
    codes = dtbh.read_codes(old / "codes")
    assert codes.encoder == EXPECTED["fingerprint"]
    assert {item.id for item in codes.items} == {*EXPECTED["codes"]}
    assert differing(codes, None) == 0


@pytest.mark.parametrize("name", ["run", "exported"])
def test_a_run_and_an_exported_model_encode_as_they_did(old: Path, name: str) -> None:
    if name == "exported":
        pytest.importorskip("onnxruntime")
    model = dtbh.load(old / name)
    assert model.fingerprint == EXPECTED["fingerprint"]
    items = dtbh.read_codes(old / "codes").items
    encoding = model.encode(items, values=True)
    assert len(encoding.codes) == len(EXPECTED["codes"])
    assert differing(encoding.codes, encoding.values) == 0


@pytest.mark.parametrize("name", EXPECTED["towers"])
def test_towers_keep_their_tensors_and_fingerprints(name: str) -> None:
    """So that weights fit, and codes of old archives stay comparable."""
    import torch

    from dtbh.encoders.dual_encoder import DualEncoder
    from dtbh.models.torch_encoder import TorchEncoder

    expected = EXPECTED["towers"][name]
    twin = DualEncoder(make_config({"encoders": expected["settings"]}).encoders, pretrained=False)
    state = twin.state_dict()
    names = "\n".join(f"{name} {list(tensor.shape)}" for name, tensor in state.items())
    assert hashlib.sha256(names.encode()).hexdigest()[:16] == expected["names"]
    for number, tensor in enumerate(state.values()):
        tensor.copy_(torch.full_like(tensor, number % 7))
    assert TorchEncoder(twin, path=Path()).fingerprint == expected["fingerprint"]


def test_an_archive_is_searched_and_grows(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = dtbh.open_archive(old / "archive")
    archive.verify()
    hits = archive.search(dtbh.load(old / "run").encode_sounds([old / "data" / EXPECTED["query"]]), k=5, find="sound")
    assert [[hit.item.id, hit.distance] for hit in hits.hits(0)] == EXPECTED["hits"]
    query = ["--sound", str(old / "data" / EXPECTED["query"]), "--find", "sound", "-k", "5", "--json"]
    assert main(["search", str(old / "archive"), *query]) == 0
    assert [hit["id"] for hit in json.loads(capsys.readouterr().out)["queries"][0]["hits"]] == [
        id for id, _ in EXPECTED["hits"]
    ]
    assert main(["remove", str(old / "archive"), "red0S1"]) == 0
    assert main(["index", str(old / "run"), str(old / "data"), "--out", str(old / "archive"), "--add"]) == 0
    assert "1 items added, 48 in all" in capsys.readouterr().out
    assert main(["info", str(old / "archive"), "--verify"]) == 0


def test_a_run_is_evaluated_and_a_report_drawn_again(old: Path) -> None:
    assert main(["report", str(old / "run" / "report")]) == 0
    assert (old / "run" / "report" / "index.html").is_file()
    assert main(["evaluate", str(old / "run"), "--out", str(old / "again")]) == 0
    report = json.loads((old / "again" / "report.json").read_text())
    found = {way: one["map"] for way, one in report["directions"].items()}
    assert found == pytest.approx(EXPECTED["map"], abs=0.02)


def test_a_training_that_was_killed_goes_on(old: Path) -> None:
    before = len((old / "unfinished" / "metrics.csv").read_text().splitlines())
    command = ["train", str(old / "config.yaml"), "--data", str(old / "data"), "--out", str(old / "unfinished")]
    assert main([*command, "--set", "training.epochs=40"]) == 0
    assert json.loads((old / "unfinished" / "run.json").read_text())["finished"]
    assert len((old / "unfinished" / "metrics.csv").read_text().splitlines()) > before > 1


def test_configs_of_every_age_are_read() -> None:
    terms = read_config(OLD / "before-terms.yaml").learning.losses
    assert {name: term.weight for name, term in terms.items()} == {
        "feature_triplets": 1.0, "code_triplets": 0.5, "approximate_l1": 0.02, "balance": 0.1,
    }  # fmt: skip
    assert read_config(OLD / "config.yaml") == read_config(OLD / "run" / "config.yaml")


def commands() -> dict[str, set[str]]:
    """Every command of today with its options."""
    found: dict[str, set[str]] = {}

    def walk(name: str, parser: argparse.ArgumentParser) -> None:
        found[name] = {option for action in parser._actions for option in action.option_strings}
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for sub, one in action.choices.items():
                    walk(f"{name} {sub}".strip(), one)

    walk("", make_parser())
    return found


def test_names_commands_and_options_are_all_there() -> None:
    assert {*EXPECTED["public"]} <= {*dtbh.__all__}
    today: dict[str, Any] = commands()
    for name, options in EXPECTED["commands"].items():
        assert {*options} <= today[name], name
