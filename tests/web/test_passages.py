"""A long recording: its passages are items and play alone, and of a long query one part is heard."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi", reason="FastAPI is not installed: pip install 'dtbh[web]'")

from fastapi.testclient import TestClient

from dtbh.index.archive.archive import open_archive
from dtbh.index.result import SearchResult
from dtbh.models.encoder import Encoder
from dtbh.search.contact_sheet import write_sheet
from dtbh.search.query import encode_query
from dtbh.stages.index import grow, index
from tests.tones import RATE, recording, tones
from tests.web.conftest import Making


def test_passages_are_items_that_play_alone(
    tiny_run: Path, tiny_model: Encoder, make: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "media").mkdir()
    path = recording(tmp_path / "media" / "day.wav")
    soundfile.write(tmp_path / "media" / "short.wav", tones("a red tile", "v1", 170, 50)[0], RATE)
    done = index(tiny_run, tmp_path / "media", out=tmp_path / "day", passages=True)
    archive = open_archive(done.path)
    items = archive.items(range(len(archive)))
    assert [item.id.split("@")[0] for item in items] == ["day.wav", "day.wav", "short.wav"]
    assert [item.window and round(item.window[0], 1) for item in items] == [8.8, 20.8, None]
    assert [item.fields for item in items] == [{"recording": "day.wav"}, {"recording": "day.wav"}, {}]
    assert index(tiny_run, tmp_path / "media", out=tmp_path / "day", passages=True).new == 0
    capsys.readouterr()
    whole = index(tiny_run, tmp_path / "media", out=tmp_path / "whole")
    assert whole.failures[0].startswith(f"{path}: silent from 0 s on")
    assert (
        f"1 of 2 sounds are longer than the 8 s that are heard of each, the first is {path}" in capsys.readouterr().err
    )
    assert grow(tiny_run, tmp_path / "media", out=tmp_path / "day", passages=True).new == 0
    alone = tmp_path / "red.wav"  # the same samples in a file of their own
    start, seconds = items[0].window
    wave, _ = soundfile.read(path, dtype="float32")
    soundfile.write(alone, wave[round(start * RATE) : round((start + seconds) * RATE)], RATE)
    queries = tiny_model.encode_sounds([alone, path])
    assert queries.items[0].window is None
    assert queries.items[1].window is not None
    assert (queries.words[0] == archive.words[0]).all()
    with TestClient(make(tmp_path / "day")) as client:
        reply = client.get(f"/v1/items/{items[1].id}/media")
        assert reply.headers["content-type"] == "audio/wav"
        played, rate = soundfile.read(io.BytesIO(reply.content), dtype="float32")
        begin = round(items[1].window[0] * RATE)
        np.testing.assert_allclose(played, wave[begin : begin + len(played)], atol=1e-4)
        assert len(played) == round(items[1].window[1] * rate)
        drawn = client.get(f"/v1/items/{items[1].id}/media?size=240")
        assert drawn.headers["content-type"].startswith("image/svg")
        assert client.get("/v1/items/short.wav/media").content == (tmp_path / "media" / "short.wav").read_bytes()
    result: SearchResult = archive.search(queries.select([0]), k=3, find="sound")
    assert result.items[0][0].id == items[0].id
    page = write_sheet(result, queries.select([0]), tmp_path / "page.html").read_text()
    assert page.count("<audio") == 4


def test_of_a_long_query_the_part_that_says_most_is_heard(
    tiny_model: Encoder, make: Making, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recording(tmp_path / "long.wav")
    asked = encode_query(tiny_model, sound=path)
    said = capsys.readouterr().err
    assert said.startswith(f"{path}: ")
    assert said.endswith(" s of 30.0 s used\n")
    with TestClient(make()) as client:
        (answer,) = client.post("/v1/search/sound", files={"file": path.read_bytes()}).json()["queries"]
        assert answer["used"] == said.removeprefix(f"{path}: ").strip()
        assert bytes.fromhex(answer["code"])[0] == int(asked.codes.words[0, 0]) & 255
        short = tmp_path / "short.wav"
        soundfile.write(short, tones("a red tile", "v1", 170, 50)[0], RATE)
        (answer,) = client.post("/v1/search/sound", files={"file": short.read_bytes()}).json()["queries"]
        assert answer["used"] is None
