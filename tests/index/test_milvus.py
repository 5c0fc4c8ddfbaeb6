"""What Milvus alone could get wrong; what every engine does stands in test_engines."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import numpy as np
import pytest

from dtbh.cli.main import main
from dtbh.codes import HashCodes
from dtbh.errors import CodesError
from dtbh.index.memory import MemoryIndex
from dtbh.index.milvus import collection as milvus_collection
from dtbh.index.milvus.collection import Collection, term
from dtbh.index.milvus.index import create_milvus, is_there, open_milvus
from tests.index.conftest import MILVUS, found
from tests.index.made import make_codes

URI = str(MILVUS)


@pytest.fixture
def name() -> str:
    return f"c{uuid4().hex}"


@pytest.mark.parametrize("k", [1, 7, 30, 200])
def test_ties_beyond_one_answer_are_in_order(monkeypatch, name, k) -> None:
    # 200 items of five codes: far more ties at each distance than the 16 hits an answer may hold here.
    monkeypatch.setattr(milvus_collection, "MOST", 16)
    codes, queries = make_codes(200), make_codes(4, seed=9, prefix="q")
    index, right = create_milvus(URI, codes, collection=name), MemoryIndex(codes)
    for where in ({}, {"label": "beach"}):
        np.testing.assert_array_equal(
            index.search(queries, k, find="any", where=where).rows,
            right.search(queries, k, find="any", where=where).rows,
        )
    for mine, other in zip(index.within(queries, 9, find="any"), right.within(queries, 9, find="any"), strict=True):
        np.testing.assert_array_equal(mine.rows, other.rows)
        np.testing.assert_array_equal(mine.distances, other.distances)


def test_it_is_there_when_opened_again(name) -> None:
    codes = make_codes()
    create_milvus(URI, codes.select(range(40)), collection=name, model="some/run").add(codes.select(range(40, 60)))
    index = open_milvus(URI, collection=name)
    assert index.items(index.rows()) == codes.items
    assert index.model is not None
    assert index.model.is_absolute()
    assert index.model.parts[-2:] == ("some", "run")


def test_vectors_are_there_when_opened_again(name) -> None:
    codes, queries = make_codes(30, dim=7), make_codes(2, seed=9, prefix="q", dim=7)
    create_milvus(URI, codes.select([]), collection=name).add(codes)
    index, right = open_milvus(URI, collection=name), MemoryIndex(codes)
    assert index.vector_dim == 7
    np.testing.assert_array_equal(index.at([4, 3]).vectors, right.at([4, 3]).vectors)
    for mine, other in zip(*(one.search(queries, 5, find="any", rescore=20) for one in (index, right)), strict=True):
        assert mine == other


def test_what_a_killed_addition_left_does_not_count(name) -> None:
    codes = make_codes(70)
    index = create_milvus(URI, codes.select(range(50)), collection=name)
    left = codes.select(range(50, 60))
    Collection(URI, name).write(50, left.words, left.items, left.bits)  # and no commit
    again = open_milvus(URI, collection=name)
    assert (len(again), again.counts()) == (50, {"image": 25, "sound": 25})
    assert found(again.search(left, 60, find="any")) == found(
        MemoryIndex(codes.select(range(50))).search(left, 60, find="any")
    )
    with pytest.raises(CodesError, match="no item has the id 'i55'"):
        again.item("i55")
    again.add(codes.select(range(60, 70)))
    assert index.items(index.rows()) == codes.select([*range(50), *range(60, 70)]).items


def test_what_a_killed_creation_left_is_made_anew(name) -> None:
    place = Collection(URI, name)
    place.create(20, "BIN_FLAT")
    assert not is_there(URI, collection=name)
    with pytest.raises(CodesError, match="no index here; make one"):
        open_milvus(URI, collection=name)
    assert len(create_milvus(URI, make_codes(), collection=name)) == 60


def test_one_that_was_made_anew_by_another_encoder_is_not_searched(name) -> None:
    codes = make_codes()
    index = create_milvus(URI, codes, collection=name)
    Collection(URI, name).drop()
    create_milvus(URI, HashCodes(codes.words, codes.bits, "f" * 16, codes.items), collection=name)
    for ask in (lambda: index.search(codes.select([0])), lambda: index.codes(["i3"]), lambda: index.add(codes)):
        with pytest.raises(
            CodesError, match=f"was opened with codes of encoder {codes.encoder}, and made anew by f{{16}}"
        ):
            ask()
    assert len(open_milvus(URI, collection=name)) == 60


def test_asking_a_file_that_is_not_there_makes_none(tmp_path, tiny_run, capsys) -> None:
    uri = str(tmp_path / "new.db")
    with pytest.raises(CodesError, match=r"new\.db: no such file; make it: dtbh index"):
        open_milvus(uri)
    assert not is_there(uri)
    assert main(["index", str(tiny_run), str(tmp_path / "nowhere"), "--engine", "milvus", "--uri", uri]) == 2
    assert "nowhere: no such file or folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_second_creation_is_refused(name) -> None:
    create_milvus(URI, make_codes(), collection=name)
    with pytest.raises(CodesError, match=f"there is an index in collection {name} already"):
        create_milvus(URI, make_codes(), collection=name)


def test_no_value_is_read_as_an_expression(name) -> None:
    nasty = ['" or row >= 0 or id == "', "a\\", "a\nb", "%", "a=b", "😀", ""]
    codes = make_codes(len(nasty))
    names = [text.replace("=", "") or "x" for text in nasty]
    items = tuple(
        replace(item, label=text, fields={field: text})
        for item, text, field in zip(codes.items, nasty, names, strict=True)
    )
    index = create_milvus(URI, HashCodes(codes.words, 20, "e1", items), collection=name)
    for row, (text, field) in enumerate(zip(nasty, names, strict=True)):
        assert index.rows({"label": text}).tolist() == [row]
        assert index.rows({field: text}).tolist() == [row]
    assert len({term(field, value) for field in ("a", "a=b", "a%3D") for value in ("b=c", "c", "%3D")}) == 9


def test_an_item_too_long_is_named(name) -> None:
    codes = make_codes(1)
    long = HashCodes(codes.words, 20, "e1", (replace(codes.items[0], transcript="x" * 70_000),))
    with pytest.raises(CodesError, match=r"item i0: .* bytes as JSON, Milvus holds 65535"):
        create_milvus(URI, long, collection=name)


def test_an_embedded_engine_that_did_not_come_up_is_started_once_more(monkeypatch, name, tmp_path) -> None:
    pymilvus = pytest.importorskip("pymilvus", reason="the extra milvus is not installed")
    real, tried = pymilvus.MilvusClient, []

    def first_in_vain(uri, **more):
        tried.append(uri)
        if len(tried) == 1:
            raise pymilvus.MilvusException(message="Fail connecting to server on unix:x")
        return real(URI, **more)  # one engine is enough for all tests

    monkeypatch.setattr(pymilvus, "MilvusClient", first_in_vain)
    assert not Collection(str(tmp_path / "new.db"), name).exists()
    assert len(tried) == 2
    tried.clear()
    with pytest.raises(CodesError, match="Fail connecting"):
        Collection("http://localhost:1", name)
    assert len(tried) == 1


def test_nothing_answers(capsys) -> None:
    assert main(["search", "--engine", "milvus", "--uri", "http://127.0.0.1:9", "--sound", "x.wav"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("dtbh: http://127.0.0.1:9: collection dtbh: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engine", "milvus"], "--engine milvus wants --uri"),
        (["--uri", "x.db"], "--uri x.db: goes with --engine milvus"),
        ([], "say which archive"),
        (["there", "--engine", "milvus", "--uri", "x.db"], "there: the engine milvus takes --uri alone"),
    ],
)
def test_one_place_is_named(capsys, arguments, message) -> None:
    assert main(["search", *arguments, "--sound", "x.wav"]) == 2
    assert message in capsys.readouterr().err


def test_an_index_type_is_of_milvus(capsys) -> None:
    assert main(["index", "run", "data", "--out", "x", "--index-type", "BIN_IVF_FLAT"]) == 2
    assert "--index-type BIN_IVF_FLAT: goes with --engine milvus" in capsys.readouterr().err


def test_removing_from_the_shell(capsys, name) -> None:
    create_milvus(URI, make_codes(), collection=name)
    place = ["--engine", "milvus", "--uri", URI, "--collection", name]
    assert main(["remove", *place, "i3", "i4"]) == 0
    assert main(["remove", *place, "--where", "label=beach"]) == 0
    left = [item for item in make_codes().items if item.label != "beach" and item.id not in ("i3", "i4")]
    index = open_milvus(URI, collection=name)
    assert list(index.items(index.rows())) == left
    assert f"{len(left)} left" in capsys.readouterr().out
