"""Rescoring, by every engine, against plain loops; and vectors in an archive: kept, merged, cut and altered."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dtbh.cli.main import main
from dtbh.codes import HashCodes, whole_numbers
from dtbh.errors import CodesError, ConfigError
from dtbh.index import rescoring
from dtbh.index.archive.archive import Archive, create_archive, open_archive
from dtbh.index.archive.merging import merge_archives
from dtbh.index.memory import MemoryIndex
from dtbh.search.ranking import Ranking, best
from tests.index.conftest import found
from tests.index.made import make_codes
from tests.reference import hamming
from tests.reference import rescoring as reference

DIM = 5
with_vectors = partial(make_codes, dim=DIM)
CODES, QUERIES = with_vectors(), with_vectors(7, seed=5, prefix="q")


def expected(codes: HashCodes, query: int, k: int, rescore: int, passing=None, expand=None):
    """The (similarity, distance, row) of one query, by loops."""
    packed = [hamming.code_of_words(words) for words in codes.words]
    near = hamming.within(hamming.code_of_words(QUERIES.words[query]), packed, None, passing)[: max(k, rescore)]
    stored = [reference.rounded(vector.tolist(), 127) for vector in codes.vectors]
    asked, candidates = QUERIES.vectors[query].tolist(), [(d, row, stored[row]) for d, row in near]
    if expand is not None:
        return reference.expanded(asked, candidates, k, expand, codes.bits)
    return reference.rescored(asked, candidates, k)


def check(result, codes: HashCodes, k: int, rescore: int, passing=None, expand=None) -> None:
    for query in range(len(QUERIES)):
        wanted = expected(codes, query, k, rescore, passing, expand)
        assert result.rows[query].tolist() == [row for _, _, row in wanted]
        assert result.distances[query].tolist() == [distance for _, distance, _ in wanted]
        np.testing.assert_allclose(result.similarities[query], [alike for alike, _, _ in wanted], atol=1e-6)


def test_the_order_is_that_of_loops(make) -> None:
    index = make(CODES)
    assert index.vector_dim == DIM
    beach = [row for row, item in enumerate(CODES.items) if item.label == "beach"]
    for k, rescore in ((5, 20), (5, 5), (9, 2), (60, 60), (3, 1000), (1, 1)):
        result = index.search(QUERIES, k, find="any", rescore=rescore)
        check(result, CODES, k, rescore)
        assert result.items == tuple(tuple(CODES.items[row] for row in rows) for rows in result.rows)
        check(index.search(QUERIES, k, find="any", where={"label": "beach"}, rescore=rescore), CODES, k, rescore, beach)
    assert index.search(QUERIES, k, find="any", where={"label": "nowhere"}, rescore=rescore).rows.shape == (7, 0)
    assert index.search(QUERIES.select([]), 3, rescore=9).rows.shape == (0, 3)


def test_examples_are_those_of_loops(make) -> None:
    index = make(CODES)
    beach = [row for row, item in enumerate(CODES.items) if item.label == "beach"]
    for k, rescore, expand in ((5, 20, 3), (60, 60, 10), (9, 30, 1), (4, 8, 500)):
        result = index.search(QUERIES, k, find="any", rescore=rescore, expand=expand)
        check(result, CODES, k, rescore, expand=expand)
        some = index.search(QUERIES, k, find="any", where={"label": "beach"}, rescore=rescore, expand=expand)
        check(some, CODES, k, rescore, beach, expand)
    assert index.search(QUERIES, 3, find="any", where={"label": "nowhere"}, rescore=9, expand=2).rows.shape == (7, 0)
    for wrong in (0, -3, 1.5, True):
        with pytest.raises(ConfigError, match="expand, the number of first hits, must be a whole number from 1"):
            index.search(QUERIES, 3, find="any", rescore=9, expand=wrong)
    with pytest.raises(ConfigError, match="expand goes with rescore, the number of candidates, as in rescore=1000"):
        index.search(QUERIES, 3, find="any", expand=2)


def test_examples_tell_what_words_do_not() -> None:
    """Two kinds whose codes are all alike to the query, of which the first hit is one: its kind comes first."""
    items = [replace(CODES.items[0], id=f"k{row}") for row in range(8)]
    kinds = np.array([[100, 3], [3, 100]] * 4, np.int16) + np.arange(16, dtype=np.int16).reshape(8, 2) % 5
    words = np.zeros((8, 1), np.uint64)
    words[1:] = 1
    codes = HashCodes(words, 20, "e1", items, kinds)
    query = HashCodes(np.zeros((1, 1), np.uint64), 20, "e1", items[:1], np.array([[1, 1]], np.int16))
    index = MemoryIndex(codes)
    assert sorted(index.search(query, 4, find="any", rescore=8, expand=1).rows[0].tolist()) == [0, 2, 4, 6]
    assert sorted(index.search(query, 4, find="any", rescore=8).rows[0].tolist()) != [0, 2, 4, 6]


def test_bits_that_are_weighed_choose_examples(monkeypatch) -> None:
    given = {}

    def rescored(*args, **named):
        given.update(named)
        return rescoring.rescored(*args, **named)

    monkeypatch.setattr("dtbh.index.exact.rescored", rescored)
    queries = replace(QUERIES, weights=np.random.default_rng(0).integers(0, 8, (7, 20)).astype(np.uint8))
    index = MemoryIndex(CODES)
    result = index.search(queries, 9, find="any", rescore=30, expand=4, asymmetric=True)
    weighed = index.search(queries, 30, find="any", asymmetric=True)
    np.testing.assert_array_equal(given["likeness"], weighed.similarities)
    assert (np.diff(result.similarities, axis=1) <= 0).all()
    assert all(set(mine) <= set(near) for mine, near in zip(result.rows.tolist(), weighed.rows.tolist(), strict=True))


def test_the_case_is_not_vacuous() -> None:
    index = MemoryIndex(CODES)
    plain, better = index.search(QUERIES, 5, find="any"), index.search(QUERIES, 5, find="any", rescore=20)
    assert (plain.rows != better.rows).any(axis=1).sum() > 4
    assert (np.diff(better.distances, axis=1) < 0).any(), "a farther code comes before a nearer one"
    assert plain.similarities is None
    every = index.search(QUERIES, 60, find="any", rescore=60).similarities
    assert (np.diff(every, axis=1) == 0).any(), "some are alike"
    assert (every == 0).any(), "some have no length"


def test_it_grows_and_shrinks(make) -> None:
    index = make(CODES.select(range(40)))
    index.add(CODES.select(range(40, 60)))
    np.testing.assert_array_equal(index.at([3, 50]).vectors, stored(CODES).vectors[[3, 50]])
    index.remove(["i1", "i41", "i7"])
    check(index.search(QUERIES, 9, find="any", rescore=30), CODES, 9, 30, {*range(60)} - {1, 41, 7})


def stored(codes: HashCodes) -> HashCodes:
    """As they come out of an index."""
    return replace(codes, vectors=whole_numbers(whole_numbers(codes.vectors, np.int8), np.int16))


def test_an_item_is_a_query(make) -> None:
    index = make(CODES)
    asked = index.codes(["i7"])
    result = index.search(asked, 3, find="any", rescore=60)
    assert result.rows[0, :2].tolist() == [7, 37], "its own row, and the one that is alike"
    np.testing.assert_allclose(result.similarities[0, :2], 1, atol=1e-6)
    assert index.codes([]).vectors.shape == (0, DIM)


def test_the_best_order_is_what_an_engine_can_do(make) -> None:
    index = make(CODES)
    milvus = not isinstance(index, (MemoryIndex, Archive))
    assert best(index) == Ranking(1000, 20, asymmetric=not milvus)


def test_what_has_no_vectors_is_one_clear_line(make) -> None:
    index, plain = make(CODES), replace(QUERIES, vectors=None)
    with pytest.raises(CodesError, match=r"the queries have no vectors, .*; encode them with vectors=True"):
        index.search(plain, 3, find="any", rescore=9)
    with pytest.raises(CodesError, match=f"vectors have 6 numbers, those of .* {DIM}"):
        index.search(make_codes(3, dim=6, prefix="q"), 3, find="any", rescore=9)
    with pytest.raises(CodesError, match=f"the codes have no vectors, .* has one of {DIM} numbers for each"):
        index.add(plain)
    for wrong in (0, -3, 1.5, True):
        with pytest.raises(ConfigError, match="rescore, the number of candidates, must be a whole number from 1"):
            index.search(QUERIES, 3, find="any", rescore=wrong)
    assert found(index.search(plain, 3, find="any")) == found(index.search(QUERIES, 3, find="any"))
    bare = make(replace(CODES, vectors=None)) if not isinstance(index, MemoryIndex) else MemoryIndex(make_codes())
    assert bare.vector_dim is None
    with pytest.raises(CodesError, match=r"keeps no vectors, .*; index again with --vectors"):
        bare.search(QUERIES, 3, find="any", rescore=9)
    with pytest.raises(CodesError, match=r"the codes have vectors, .* keeps none"):
        bare.add(QUERIES)


@given(
    n=st.integers(1, 30), d=st.integers(1, 9), q=st.integers(0, 3), k=st.integers(1, 9), rescore=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_what_holds_of_any_vectors(n, d, q, k, rescore, seed) -> None:
    codes, queries = make_codes(n, seed=seed, dim=d), make_codes(q, seed=seed + 1, dim=d, prefix="q")
    index = MemoryIndex(codes)
    every = index.search(queries, n, find="any", rescore=n)
    for row, vector in enumerate(queries.vectors.tolist()):
        exact = [reference.cosine(vector, other) for other in whole_numbers(codes.vectors, np.int8).tolist()]
        np.testing.assert_allclose(every.similarities[row], sorted(exact, reverse=True), atol=1e-6)
    result = index.search(queries, k, find="any", rescore=rescore)
    near = index.search(queries, max(k, rescore), find="any")
    for mine, first in zip(result.rows.tolist(), near.rows.tolist(), strict=True):
        assert set(mine) <= set(first)
        assert len(mine) == min(k, n)
    again = MemoryIndex(codes.select(np.random.default_rng(seed).permutation(n)))
    np.testing.assert_array_equal(again.search(queries, n, find="any", rescore=n).similarities, every.similarities)
    for expand in (None, 3):
        result = index.search(queries, k, find="any", rescore=rescore, expand=expand)
        alone = [index.search(queries.select([row]), k, find="any", rescore=rescore, expand=expand) for row in range(q)]
        assert [one.rows[0].tolist() for one in alone] == result.rows.tolist()
        assert [one.similarities[0].tolist() for one in alone] == result.similarities.tolist()
        assert (np.abs(result.similarities) <= 1 + 1e-6).all()


def test_blocks_of_queries_change_nothing(monkeypatch) -> None:
    whole = MemoryIndex(CODES).search(QUERIES, 9, find="any", rescore=30)
    monkeypatch.setattr(rescoring, "CELLS", 1)
    blocks = MemoryIndex(CODES).search(QUERIES, 9, find="any", rescore=30)
    np.testing.assert_array_equal(whole.rows, blocks.rows)
    np.testing.assert_array_equal(whole.similarities, blocks.similarities)


@given(n=st.integers(1, 20), d=st.integers(1, 1100), q=st.integers(0, 4), c=st.integers(0, 9), seed=st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_compiled_or_not_it_is_the_same_to_the_last_bit(n, d, q, c, seed) -> None:
    pytest.importorskip("numba")
    from dtbh.index import rescoring_kernel

    rng = np.random.default_rng(seed)
    queries = rng.choice(np.array([-32767, 32767, 5, 0]), (q, d)).astype(np.int16)
    vectors = rng.choice(np.array([-127, 127, 3]), (n, d)).astype(np.int8) * (np.arange(n) % 4 != 3)[:, None]
    vectors = vectors.astype(np.int8)
    places, found = rng.integers(0, n, (q, c)), np.empty((q, c))
    rescoring_kernel.fill(queries, vectors, places, found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rescoring, "compiled_already", lambda: False)
        np.testing.assert_array_equal(rescoring.cosines(queries, vectors, places), found)
    for row, at in enumerate(places.tolist()):
        exact = [reference.cosine(queries[row].tolist(), vectors[place].tolist()) for place in at]
        np.testing.assert_allclose(found[row], exact, atol=1e-12)


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3), max_size=5))
def test_whole_numbers_are_those_of_loops(vectors) -> None:
    drawn = np.array(vectors, np.float64).reshape(-1, 3)
    for kind, most in ((np.int8, 127), (np.int16, 32767)):
        made = whole_numbers(drawn, kind)
        wanted = np.array([reference.rounded(vector, most) for vector in drawn.tolist()]).reshape(-1, 3)
        assert np.abs(made - wanted).max(initial=0) <= 1, "halves may fall either way in floating point"
        np.testing.assert_array_equal(whole_numbers(made, kind), made)
    np.testing.assert_array_equal(whole_numbers(whole_numbers(made, np.int8), np.int8), whole_numbers(made, np.int8))


def test_an_angle_is_kept() -> None:
    drawn = np.random.default_rng(0).normal(size=(200, 384)).astype(np.float32)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    made = whole_numbers(drawn, np.int8)
    every = np.broadcast_to(np.arange(200), (50, 200))
    found = rescoring.cosines(whole_numbers(drawn[:50], np.int16), made, every)
    assert np.abs(found - drawn[:50] @ drawn.T).max() < 2e-3


def test_wrong_vectors_are_refused() -> None:
    for wrong in (np.zeros((60, 3), np.float32), np.zeros((59, 3), np.int16), np.zeros((60, 0), np.int16)):
        with pytest.raises(CodesError, match=r"vectors must be int16 \[60, d\] with d from 1"):
            replace(CODES, vectors=wrong)
    with pytest.raises(CodesError, match="not finite"):
        whole_numbers(np.array([[0, np.nan]]), np.int8)
    with pytest.raises(CodesError, match="the codes have no vectors, the first part has one of 5"):
        HashCodes.concatenate([CODES, make_codes(3)])


# ---- an archive


@pytest.fixture
def archive(tmp_path):
    return create_archive(tmp_path / "archive", CODES)


def test_what_lies_on_disk(archive) -> None:
    assert sorted(file.name for file in archive.path.iterdir()) == [
        "archive.json", "codes.bin", "items.sqlite", "vectors.bin"
    ]  # fmt: skip
    data = whole_numbers(CODES.vectors, np.int8).tobytes()
    assert (archive.path / "vectors.bin").read_bytes() == data
    meta = json.loads((archive.path / "archive.json").read_text())
    assert (meta["version"], meta["vectors"]) == (3, DIM)
    archive.verify()
    with (archive.path / "vectors.bin").open("ab") as file:
        file.write(b"half")
    again = open_archive(archive.path)
    again.verify()
    again.add(with_vectors(5, prefix="n"))
    assert (archive.path / "vectors.bin").stat().st_size == 65 * DIM
    again.verify()


def test_an_archive_of_codes_alone_is_written_as_before(tmp_path) -> None:
    path = create_archive(tmp_path / "archive", make_codes()).path
    meta = json.loads((path / "archive.json").read_text())
    assert (meta["version"], "vectors" in meta) == (2, False)
    assert sorted(file.name for file in path.iterdir()) == ["archive.json", "codes.bin", "items.sqlite"]


def test_compacting_and_merging_carry_vectors(archive, tmp_path, monkeypatch) -> None:
    for room in ("dtbh.index.archive.writing", "dtbh.index.archive.snapshot"):
        monkeypatch.setattr(f"{room}.SEGMENT", 7)
    archive.add(with_vectors(20, seed=3, prefix="n"))
    archive.remove(["i0", "i33", "n4"])
    left = archive.at(archive.rows())
    archive.compact()
    archive.verify()
    assert sorted(file.name for file in archive.path.iterdir()) == [
        "archive.json", "codes-1.bin", "items-1.sqlite", "vectors-1.bin"
    ]  # fmt: skip
    np.testing.assert_array_equal(archive.at(archive.rows()).vectors, left.vectors)
    other = create_archive(tmp_path / "other", with_vectors(9, seed=4, prefix="o"))
    whole = merge_archives(tmp_path / "whole", [archive.path, other.path])
    whole.verify()
    np.testing.assert_array_equal(
        whole.at(whole.rows()).vectors, np.concatenate([left.vectors, other.at(range(9)).vectors])
    )
    bare = create_archive(tmp_path / "bare", make_codes(4, prefix="b"))
    for parts in ([archive.path, bare.path], [bare.path, archive.path]):
        with pytest.raises(
            CodesError, match=r"bare: keeps no vectors, .*archive keeps 5 numbers .* again with --vectors"
        ):
            merge_archives(tmp_path / "mixed", parts)
    assert not (tmp_path / "mixed").exists()


def test_one_without_replaces_one_with(archive) -> None:
    opened = open_archive(archive.path)
    create_archive(archive.path, make_codes(7))
    assert open_archive(archive.path).vector_dim is None
    assert sorted(file.name for file in archive.path.iterdir()) == ["archive.json", "codes-1.bin", "items-1.sqlite"]
    assert opened.at([3]).vectors.shape == (1, DIM), "who has opened it keeps what they opened"


def test_info_says_so(archive, capsys) -> None:
    assert main(["info", str(archive.path), "--verify"]) == 0
    assert "\nvectors   5 bytes an item, 300 bytes, by which search orders what is near\n" in capsys.readouterr().out
    assert main(["info", str(archive.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["vectors"] == {"bytes_an_item": 5, "bytes": 300}
    archive.remove(["i3"])
    assert main(["compact", str(archive.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes_given_back"] >= 0
