"""From a query file to a table."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dtbh.cli.main import main
from dtbh.codes import HashCodes
from dtbh.data.manifest import Item
from dtbh.errors import CodesError, ConfigError, DataError, MediaError, RunError
from dtbh.index.archive.archive import create_archive, open_archive
from dtbh.index.memory import MemoryIndex
from dtbh.index.result import Hit, SearchResult
from dtbh.models.confidence import Confidence
from dtbh.models.encoder import Encoding
from dtbh.models.load import load
from dtbh.models.senses import Senses
from dtbh.search.contact_sheet import write_sheet
from dtbh.search.query import ask, why_nothing
from dtbh.search.ranking import BY_BITS, Ranking
from dtbh.search.table import WIDTH, _width, render_table


class FakeModel:
    """Encodes a file as the bits of its first byte."""

    def __init__(self, fingerprint="e1"):
        self.fingerprint = fingerprint

    senses = Senses(("image", "sound"), None, False, None)  # its sounds are no sounds, and are not listened to
    confidence = Confidence({"sound->image": np.linspace(1, 0, 9)})

    def encode(self, items, vectors=False):
        octets = np.array([[Path(item.path).read_bytes()[0]] for item in items], np.uint8)
        bits = np.unpackbits(octets, axis=1, bitorder="little")
        return Encoding(HashCodes.from_values(bits * 2.0 - 1, encoder=self.fingerprint, items=items), ())


@pytest.fixture
def folder(tmp_path):
    for byte in (0, 1, 3, 7, 255):
        (tmp_path / f"{byte}.tif").write_bytes(bytes([byte]))
        (tmp_path / f"{byte}.wav").write_bytes(bytes([byte]))
    return tmp_path


@pytest.fixture
def archive(folder):
    model = FakeModel()
    kinds = {"tif": "image", "wav": "sound"}
    names = [f"{byte}.{end}" for end in kinds for byte in (255, 7, 3, 1, 0)]
    items = [Item(name, kinds[name[-3:]], str(folder / name)) for name in names]
    return create_archive(folder / "archive", model.encode(items).codes, model=folder / "run")


def ids(result):
    return [(hit.rank, hit.distance, hit.item.id) for hit in result.hits()]


def test_a_sound_finds_images_and_an_image_sounds(archive, folder):
    by_sound = ask(archive, FakeModel(), sound=folder / "1.wav", k=3)
    assert ids(by_sound) == [(1, 0, "1.tif"), (2, 1, "3.tif"), (3, 1, "0.tif")]
    assert [hit.probability for hit in by_sound.hits()] == [1, 0.875, 0.875]
    assert by_sound.strength() == by_sound.to_dict()["queries"][0]["strength"] == "strong"
    assert replace(by_sound, probabilities=((0.1, None, 0.9),)).strength() == "strong", "the nearest came last"
    by_image = ask(archive, FakeModel(), image=folder / "1.tif", k=2)
    assert by_image.strength() is None
    assert "probability" not in by_image.hits()[0].to_dict()
    assert ids(by_image) == [(1, 0, "1.wav"), (2, 1, "3.wav")]
    same = ask(archive, FakeModel(), image=folder / "1.tif", k=1, find="image", where={})
    assert ids(same) == [(1, 0, "1.tif")]


def test_one_query_only(archive, folder):
    for files in ({}, {"sound": folder / "1.wav", "image": folder / "1.tif"}):
        with pytest.raises(ConfigError, match="needs one query: give a sound, an image or a text, and only one"):
            ask(archive, FakeModel(), **files)


def test_a_query_that_is_not_there(archive, folder):
    with pytest.raises(DataError, match=r"none\.wav: no such file"):
        ask(archive, FakeModel(), sound=folder / "none.wav")


def test_a_query_that_is_a_device_is_not_told_as_missing(archive):
    with pytest.raises(MediaError, match=r"/dev/null: a device, not a regular file, a sound file wanted; save it"):
        ask(archive, FakeModel(), sound="/dev/null")


def test_another_model_is_refused_before_it_works(archive, folder):
    model = FakeModel("e2")
    model.encode = None
    with pytest.raises(CodesError, match=r"encoder e1, the model is e2; search with .*/run"):
        ask(archive, model, sound=folder / "1.wav")


def result_of(*queries):
    return SearchResult(
        np.array([[3 * row for row in range(len(items))] for items in queries], np.int32),
        np.array([range(len(items)) for items in queries], np.int64),
        tuple(tuple(items) for items in queries),
    )


def test_a_result_gives_hits_and_json():
    items = [Item("a", "image", "/a.tif", "beach"), Item("b", "sound", transcript="é")]
    result = result_of(items, items[::-1])
    assert len(result) == 2
    assert result.hits(1) == (Hit(1, 0, items[1]), Hit(2, 3, items[0]))
    assert list(result) == [result.hits(0), result.hits(1)]
    assert json.loads(json.dumps(result.to_dict()))["queries"][0]["hits"] == [
        {"rank": 1, "distance": 0, "id": "a", "modality": "image", "path": "/a.tif", "label": "beach"},
        {"rank": 2, "distance": 3, "id": "b", "modality": "sound", "transcript": "é"},
    ]


@pytest.mark.parametrize(
    ("distances", "rows", "items", "message"),
    [
        (np.zeros((1, 1)), np.zeros((1, 1), np.int64), ((1,),), "found float64 and int64"),
        (np.zeros((1, 2), np.int32), np.zeros((1, 1), np.int64), ((1,),), r"\[q, k\], found"),
        (np.zeros(1, np.int32), np.zeros(1, np.int64), (1,), r"\[q, k\], found"),
        (np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int64), ((1, 2),), "1 queries with 1 hits each"),
        (np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int64), (), "1 queries with 1 hits each"),
    ],
)
def test_a_result_checks_itself(distances, rows, items, message):
    with pytest.raises(CodesError, match=message):
        SearchResult(distances, rows, items)


def test_the_table():
    items = [Item("i1", "image", label="beach"), Item("s1", "sound", transcript="two planes")]
    assert render_table(result_of(items)).splitlines() == [
        "rank  distance  id  label  caption",
        "----  --------  --  -----  ----------",
        "   1         0  i1  beach",
        "   2         3  s1         two planes",
    ]


def test_columns_nobody_fills_are_left_out():
    assert render_table(result_of([Item("i1", "image")])).splitlines()[0] == "rank  distance  id"
    assert render_table(result_of([])) == "nothing passes"
    both = render_table(result_of([Item("i1", "image")], [Item("i2", "image")]))
    assert re.findall("^query .*$", both, re.MULTILINE) == ["query 1", "query 2"]


def test_what_was_rescored_says_how_alike_it_is(tmp_path):
    result = result_of([Item("i1", "image", "/a.tif"), Item("i2", "image", "/b.tif")])
    result = replace(result, similarities=np.array([[0.98764, -0.5]], np.float32))
    assert render_table(result).splitlines()[:3] == [
        "rank  distance  similarity  id",
        "----  --------  ----------  --",
        "   1         0       0.988  i1",
    ]
    assert [hit["similarity"] for hit in result.to_dict()["queries"][0]["hits"]] == [0.9876, -0.5]
    assert result.hits()[1].similarity == -0.5
    asked = HashCodes(np.zeros((1, 1), np.uint64), 8, "e1", (Item("q", "image"),))
    assert "distance 0, similarity 0.988</span>" in write_sheet(result, asked, tmp_path / "sheet.html").read_text()
    with pytest.raises(CodesError, match=r"needs similarities \[1, 2\], found \[1, 1\]"):
        replace(result, similarities=np.zeros((1, 1), np.float32))


def _gives_none(model):
    raise RunError(f"{model.path}: gives codes and no vectors")


def test_two_stages_from_the_shell(tiny_run, tiny_data, tmp_path, capsys, monkeypatch):
    images, (sound, *_) = tiny_data / "images", sorted((tiny_data / "sounds").rglob("*red3*"))
    place, bare = str(tmp_path / "archive"), str(tmp_path / "bare")
    assert main(["index", str(tiny_run), str(images), "--out", place, "--vectors"]) == 0
    assert main(["index", str(tiny_run), str(images), "--out", bare]) == 0
    capsys.readouterr()
    assert main(["search", place, "--sound", str(sound), "-k", "4", "--rescore", "20", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["queries"]
    found = ask(open_archive(place), load(tiny_run), sound=sound, k=4, ranking=Ranking(20))
    assert [hit["id"] for hit in answer["hits"]] == [hit.item.id for hit in found.hits()]
    alike = [hit["similarity"] for hit in answer["hits"]]
    assert alike == sorted(alike, reverse=True)
    assert alike[0] > alike[-1]
    for where, said, ranking in (
        (place, [], None),
        (place, [], Ranking(1000, 20, asymmetric=True)),
        (place, ["--rescore", "0"], BY_BITS),
        (place, ["--expand", "0", "--no-asymmetric"], Ranking(1000)),
        (place, ["--rescore", "20"], Ranking(20)),
        (bare, [], None),
        (bare, [], BY_BITS),
    ):
        assert main(["search", where, "--sound", str(sound), "-k", "4", *said, "--json"]) == 0
        (answer,) = json.loads(capsys.readouterr().out)["queries"]
        found = ask(open_archive(where), load(tiny_run), sound=sound, k=4, ranking=ranking)
        assert [hit["id"] for hit in answer["hits"]] == [hit.item.id for hit in found.hits()]
        assert ("similarity" in answer["hits"][0]) == (found.similarities is not None)
        assert (found.similarities is None) == (where == bare or said == ["--rescore", "0"])
    old = load(tiny_run)
    monkeypatch.setattr(type(old), "vector_dim", property(_gives_none))
    found = ask(open_archive(place), old, sound=sound, k=4)
    assert found.similarities is None, "an older export gives codes alone"
    monkeypatch.undo()
    told = ["--rescore", "20", "--expand", "5", "--asymmetric"]
    assert main(["search", place, "--sound", str(sound), "-k", "4", *told, "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["queries"]
    found = ask(open_archive(place), load(tiny_run), sound=sound, k=4, ranking=Ranking(20, 5, asymmetric=True))
    assert [hit["id"] for hit in answer["hits"]] == [hit.item.id for hit in found.hits()]
    assert [hit["similarity"] for hit in answer["hits"]] == [round(hit.similarity, 4) for hit in found.hits()] != alike
    assert main(["search", bare, "--sound", str(sound), "-k", "4", "--asymmetric", "--json"]) == 0
    (weighed,) = json.loads(capsys.readouterr().out)["queries"]
    found = ask(open_archive(bare), load(tiny_run), sound=sound, k=4, ranking=Ranking(asymmetric=True))
    assert [hit["id"] for hit in weighed["hits"]] == [hit.item.id for hit in found.hits()]
    assert [hit["similarity"] for hit in weighed["hits"]] == [round(hit.similarity, 4) for hit in found.hits()]
    for arguments, message in (
        ([bare, "--rescore", "20"], "keeps no vectors, so nothing can be rescored; index again with --vectors"),
        ([place, "--rescore", "-1"], "rescore, the number of candidates, must be a whole number from 1, found -1"),
        ([bare, "--expand", "5"], "keeps no vectors, so nothing can be rescored; index again with --vectors"),
        ([place, "--rescore", "0", "--expand", "5"], "expand goes with rescore, the number of candidates, as in resc"),
    ):
        assert main(["search", *arguments, "--sound", str(sound)]) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1


@pytest.mark.parametrize("text", ["long words " * 30, "飛行機" * 40, "e\u0301" * 200])
def test_the_table_fits_a_terminal(text):
    table = render_table(result_of([Item("i" * 70, "sound", label="l" * 40, transcript=text)] * 3))
    assert all(_width(line) <= WIDTH for line in table.splitlines())
    assert max(_width(line) for line in table.splitlines()) >= WIDTH - 1
    assert "…" in table


def test_widths_in_a_terminal():
    assert _width("a飛e\u0301") == 4


def test_no_text_steers_the_terminal():
    table = render_table(result_of([Item("a\x1b[2Jb\nc", "image", label="\x07\u202e")]))
    assert "a [2Jb c" in table
    assert not set("\x1b\x07\u202e") & set(table)


def test_what_lets_nothing_pass_is_named_with_what_is_near():
    labels = ("harbor", "river", "runway", "beach")
    items = tuple(Item(f"i{n}", "image", label=label, fields={"sensor": f"S{n % 2}"}) for n, label in enumerate(labels))
    index = MemoryIndex(HashCodes(np.zeros((4, 1), np.uint64), 8, "abc", items))
    assert why_nothing(index, {"label": "habour"}).startswith(
        "no item has label=habour; of 4 labels the nearest are harbor, "
    )
    words = tuple(replace(item, fields={"words": item.label}) for item in items)
    named = MemoryIndex(HashCodes(np.zeros((4, 1), np.uint64), 8, "abc", words))
    assert "no item has words=habour; of 4 words the nearest are harbor, " in why_nothing(named, {"words": "habour"})
    assert why_nothing(index, {"label": "river", "sensor": "S7"}) == ("no item has sensor=S7; sensor is one of S1, S0")
    assert why_nothing(index, {"speaker": "eva"}) == "no item has speaker=eva, nor any speaker"
    assert why_nothing(index, {"id": "i9"}) == "no item has id=i9"
    assert why_nothing(index, {"label": "river", "sensor": "S0"}) == "no item has all of label=river, sensor=S0"
    assert "no item has label=nix; of 4 labels the nearest are ri" in why_nothing(
        index, {"label": "nix", "sensor": "S0"}
    )


def test_a_removal_that_finds_nothing_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = (Item("i0", "image", label="harbor"),)
    create_archive(tmp_path / "a", HashCodes(np.zeros((1, 1), np.uint64), 8, "abc", items))
    assert main(["remove", str(tmp_path / "a"), "--where", "label=habour"]) == 0
    said = capsys.readouterr()
    assert said.out.endswith("0 items removed, 1 left\n")
    assert "no item has label=habour; label is one of harbor\n" in said.err
