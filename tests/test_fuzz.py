"""Damaged files and requests, two thousand of them; examples/fuzz.py reads as many as one likes."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from dtbh.errors import MediaError
from dtbh.models.load import load
from dtbh.stages.encode import encode
from dtbh.stages.evaluate import evaluate
from dtbh.stages.index import index

EXAMPLES = Path(__file__).parents[1] / "examples"
INPUTS = 2000


def test_every_reader_names_what_is_damaged(
    tiny_run: Path, tiny_data: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    testclient = pytest.importorskip("fastapi.testclient", reason="FastAPI is not installed: pip install 'dtbh[web]'")
    from dtbh.web.app import create_app

    monkeypatch.syspath_prepend(str(EXAMPLES))
    import fuzz

    run = shutil.copytree(tiny_run, tmp_path / "run")
    evaluate(run, data=tiny_data, out=run / "report")
    archive = Path(index(run, tiny_data, out=tmp_path / "archive").path)
    codes = Path(encode(run, tiny_data, out=tmp_path / "codes").path)
    model = load(run)
    with testclient.TestClient(create_app([archive], load=lambda _: model)) as client:
        found = fuzz.readers(run, tiny_data, archive, codes, tiny_model, client)
        assert len(found) >= 14
        (tmp_path / "inputs").mkdir()
        assert fuzz.fuzz(found, 0, INPUTS, tmp_path / "inputs") == {}


def test_what_breaks_a_promise_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import fuzz

    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    monkeypatch.setattr(fuzz, "WAITING", 0.3)
    monkeypatch.setattr(fuzz, "BYTES", 1 << 26)

    def refuses(_: Path) -> None:
        raise MediaError("damaged")

    def raises(path: Path) -> None:
        if path.read_bytes() != b"valid":
            raise KeyError(path)

    def hangs(path: Path) -> None:
        time.sleep(30 * (path.read_bytes() != b"valid"))

    def works(path: Path) -> None:
        while path.read_bytes() != b"valid":
            pass

    def swells(path: Path) -> None:
        np.ones((path.read_bytes() != b"valid") << 31, np.uint8)

    readers = [fuzz.Reader(one.__name__, [b"valid"], one) for one in (raises, hangs, works, swells)]
    failures = fuzz.fuzz(readers, 0, 4, tmp_path)
    assert [line.split(" at ")[0] for line in failures] == [
        "raises: KeyError", "hangs: TooLongError", "works: TooLongError", "swells: MemoryError",
    ]  # fmt: skip
    with pytest.raises(MediaError):
        fuzz.fuzz([fuzz.Reader("refuses", [b"valid"], refuses)], 0, 1, tmp_path)


def test_an_input_is_drawn_from_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import fuzz

    data = b'{"id": "a", "labels": ["red", "blue"]}\n{"id": "b"}\n'
    drawn = [[fuzz.altered(data, random.Random(number)) for number in range(300)] for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) > 150
    assert sum(one == data for one in drawn[0]) < 10
