"""Search by asymmetric distance, on every path and by every engine, against plain loops."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import ir

from dtbh.codes import SUREST, HashCodes, bit_weights, pack, unpack
from dtbh.errors import CodesError, ConfigError
from dtbh.index.hamming import adaptive, kernels, plain, planes, scan, search
from dtbh.index.hamming.search import Searcher
from dtbh.index.hamming.weighing import LEVELS
from dtbh.index.memory import MemoryIndex
from tests.index.made import make_codes
from tests.index.test_hamming import random_words
from tests.index.test_rescoring import reference as rescoring
from tests.reference import asymmetric as reference

PATHS = ["numpy", "looked up", "looked up, 3 threads", "counted"]


@pytest.fixture(params=PATHS)
def path(request, monkeypatch):
    """Each way in which it may be done, and a check that it was."""
    if request.param.startswith("looked up") and not planes.usable():
        pytest.skip("this processor has no AVX2")
    monkeypatch.setattr(search, "WORTH", 1 << 62 if request.param == "numpy" else 1)
    monkeypatch.setattr(scan, "PART", 1)
    monkeypatch.setattr(search, "_threads", lambda given: 3 if request.param.endswith("threads") else 1)
    for known in ("usable", "quickest"):
        monkeypatch.setattr(planes, known, lambda: request.param.startswith("looked up"))
    used = set()

    def noted(asked, rows, *rest, call=plain.nearest):
        used.add("numpy")
        return call(asked, rows, *rest)

    def searched(*arguments, call=kernels.search):
        *_, levels, _, tables = arguments
        if len(levels) == LEVELS:
            used.add("looked up" if len(tables) else "counted")
        return call(*arguments)

    monkeypatch.setattr(plain, "nearest", noted)
    monkeypatch.setattr(kernels, "search", searched)
    yield request.param
    assert used == {request.param.partition(",")[0]}


def drawn(rng, q, bits):
    """Queries as words, and their weights: of the first all alike, of the second none."""
    weights = rng.integers(0, SUREST + 1, (q, bits), np.uint8)
    weights[:2] = [[SUREST], [0]][:q]
    return pack(rng.random((q, bits)) < 0.5), weights


@pytest.mark.parametrize("bits", [5, 100, 300])
def test_as_loops_find_it(path, bits):
    rng = np.random.default_rng(bits)
    words = -(-bits // 64)
    gallery = random_words(rng, 333, words, 90)
    gallery = pack(unpack(gallery, 64 * words)[:, :bits])
    queries, weights = drawn(rng, 5, bits)
    codes = unpack(gallery, bits).astype(int).tolist()
    tied = 0
    for which in (None, np.arange(20, 290), np.array([3, 77, 310]), np.flatnonzero(np.arange(333) % 3)):
        searcher = Searcher(gallery, rows=which)
        rows = None if which is None else which.tolist()
        for k in (1, 40, 333):
            distances, found = searcher.asymmetric(queries, weights, k)
            assert (distances.dtype, found.dtype) == (np.int32, np.int64)
            for query, asked in enumerate(unpack(queries, bits).astype(int).tolist()):
                wanted = reference.nearest(asked, weights[query].tolist(), codes, k, rows)
                assert list(zip(distances[query].tolist(), found[query].tolist(), strict=True)) == wanted
                tied += len(wanted) - len({distance for distance, _ in wanted})
    assert tied > 300, "the cases have no ties to get wrong"


@pytest.mark.parametrize("words", [1, 2])
def test_more_codes_than_a_block(path, words):
    """Against all distances at once: codes that end within half a group, and none at all."""
    rng = np.random.default_rng(2)
    gallery = random_words(rng, 5003, words, 4000)
    queries, weights = drawn(rng, 9, 64 * words)
    differ = unpack(queries, 64 * words)[:, None] != unpack(gallery, 64 * words)
    every = (differ * weights[:, None]).sum(axis=2, dtype=np.int64)
    for count in (1, 2, 3, 9):  # one and two are weighed as codes lie
        for k in (1, 70, 5003):
            distances, found = Searcher(gallery).asymmetric(queries[-count:], weights[-count:], k)
            order = np.argsort(every[-count:], axis=1, kind="stable")[:, :k]
            np.testing.assert_array_equal(found, order)
            np.testing.assert_array_equal(distances, np.take_along_axis(every[-count:], order, axis=1))
    assert Searcher(gallery[:0]).asymmetric(queries, weights, 3)[0].shape == (9, 0)
    assert Searcher(gallery).asymmetric(queries[:0], weights[:0], 3)[1].shape == (0, 3)


def test_rows_by_distinct_code(monkeypatch):
    """Where many rows share a code, the distinct codes are looked at, with the same answer."""
    monkeypatch.setattr(search, "WORTH", 1)
    monkeypatch.setattr(adaptive, "GROUPING", 1)
    rng = np.random.default_rng(3)
    gallery = random_words(rng, 4000, 1, 50)
    queries, weights = drawn(rng, 6, 64)
    searcher = Searcher(gallery)
    for _ in range(300):
        found = searcher.asymmetric(queries, weights, 200)
        if searcher.distinct:
            break
    assert searcher.distinct == 50
    wanted = plain.nearest(search.weighing(queries, weights), search.choose(gallery, None), 200)
    for _ in range(2):
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(one, other)
        found = searcher.asymmetric(queries, weights, 200)


@given(st.integers(1, 130), st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
@settings(max_examples=60, deadline=None)
def test_what_holds_of_any_codes(bits, seed, kind):
    """The order is that of products with signs; with one weight it is Hamming's."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(3, bits)).astype(kind) * (rng.random((3, bits)) < 0.9)
    weights = bit_weights(values)
    assert weights.tolist() == [reference.weights(row, SUREST) for row in values.tolist()]
    gallery = pack(rng.random((20, bits)) < 0.5)
    queries = pack(values >= 0)
    distances, rows = Searcher(gallery).asymmetric(queries, weights, 20)
    signs = np.where(unpack(gallery, bits), 1, -1)
    product = (np.where(values >= 0, 1, -1) * weights.astype(int)) @ signs.T
    np.testing.assert_array_equal(
        weights.sum(axis=1, dtype=int)[:, None] - 2 * distances, np.take_along_axis(product, rows, axis=1)
    )
    near, same = Searcher(gallery).nearest(queries, 20)
    weighted, alike = Searcher(gallery).asymmetric(queries, np.full_like(weights, 3), 20)
    np.testing.assert_array_equal(alike, same)
    np.testing.assert_array_equal(weighted, 3 * near)


def asking(n=7, dim=5):
    """Queries with weights and vectors."""
    rng = np.random.default_rng(5)
    made = make_codes(n, seed=5, prefix="q", dim=dim)
    values = rng.normal(size=(n, 20))
    return replace(HashCodes.from_values(values, encoder="e1", items=made.items), vectors=made.vectors)


def test_every_engine_that_can(make, request):
    codes, queries = make_codes(dim=5), asking()
    index = make(codes)
    if "milvus" in request.node.name.lower():
        with pytest.raises(ConfigError, match="Milvus knows no asymmetric distance; search an archive on disk"):
            index.search(queries, 3, find="any", asymmetric=True)
        return
    beach = [row for row, item in enumerate(codes.items) if item.label == "beach"]
    bits = unpack(codes.words, 20).astype(int).tolist()
    for where, passing in (({}, None), ({"label": "beach"}, beach)):
        for k, rescore in ((9, None), (60, None), (4, 12)):
            result = index.search(queries, k, find="any", where=where, asymmetric=True, rescore=rescore)
            for query, asked in enumerate(unpack(queries.words, 20).astype(int).tolist()):
                weights = queries.weights[query].tolist()
                wanted = reference.nearest(asked, weights, bits, max(k, rescore or 0), passing)
                alike = [1 - 2 * distance / sum(weights) for distance, _ in wanted]
                if rescore:
                    stored = [rescoring.rounded(codes.vectors[row].tolist(), 127) for _, row in wanted]
                    pairs = [
                        (place, row, vector)
                        for place, ((_, row), vector) in enumerate(zip(wanted, stored, strict=True))
                    ]
                    best = rescoring.rescored(queries.vectors[query].tolist(), pairs, k)
                    wanted, alike = [(0, row) for _, _, row in best], [cosine for cosine, _, _ in best]
                rows = [row for _, row in wanted]
                assert result.rows[query].tolist() == rows
                assert result.distances[query].tolist() == [sum(map(int.__ne__, asked, bits[row])) for row in rows]
                np.testing.assert_allclose(result.similarities[query], alike, atol=1e-6)


def test_it_finds_others_than_bits_alone_do():
    index, queries = MemoryIndex(make_codes()), asking()
    plainly, weighed = (index.search(queries, 40, find="any", asymmetric=some) for some in (False, True))
    assert plainly.similarities is None
    assert (plainly.rows != weighed.rows).any()
    assert (np.diff(weighed.distances, axis=1) < 0).any(), "a farther code comes before a nearer one"


def test_codes_without_weights_are_refused():
    index = MemoryIndex(make_codes())
    stored = index.codes(["i7"])
    assert stored.weights is None
    with pytest.raises(CodesError, match=r"don't say how sure they are of their bits; encode the query again"):
        index.search(stored, 3, asymmetric=True)
    for wrong in (np.ones((1, 19), np.uint8), np.ones((1, 20), np.int8), np.full((1, 20), 8, np.uint8)):
        with pytest.raises(CodesError, match=r"weights must be uint8 \[1, 20\], 0 to 7"):
            replace(stored, weights=wrong)
    for wrong in (np.ones((2, 20), np.uint8), np.ones((1, 65), np.uint8), np.ones((1, 20)), np.ones(20, np.uint8)):
        with pytest.raises(CodesError, match=r"weights must be uint8 \[1, bits\], at most 64 bits, found"):
            Searcher(np.zeros((3, 1), np.uint64)).asymmetric(stored.words, wrong, 1)
    with pytest.raises(CodesError, match="weights must be 0 to 7, found 8"):
        Searcher(np.zeros((3, 1), np.uint64)).asymmetric(stored.words, np.full((1, 64), 8, np.uint8), 1)
    with pytest.raises(CodesError, match="are NaN"):
        bit_weights(np.array([[1.0, np.nan]]))


def test_weights_go_with_their_codes():
    codes = asking()
    np.testing.assert_array_equal(codes.select([4, 1]).weights, codes.weights[[4, 1]])
    both = HashCodes.concatenate([codes, codes.select([2])])
    np.testing.assert_array_equal(both.weights, codes.weights[[*range(7), 2]])
    assert HashCodes.concatenate([codes, replace(codes, weights=None)]).weights is None
    infinite = HashCodes.from_values([[np.inf, -1.0, -np.inf]], encoder="e1", items=codes.items[:1])
    assert infinite.weights.tolist() == [[SUREST, 0, SUREST]]


def test_no_weight_says_nothing():
    """Of weights that are all 0 no code is nearer than another, nor more alike."""
    index, queries = MemoryIndex(make_codes()), asking()
    result = index.search(replace(queries, weights=np.zeros_like(queries.weights)), 3, find="any", asymmetric=True)
    assert result.rows.tolist() == [[0, 1, 2]] * len(queries)
    assert result.similarities.tolist() == [[0.0] * 3] * len(queries)


def test_where_the_cache_has_no_room_for_more_numpy_weighs(monkeypatch):
    """What a search by bits compiles was kept already."""
    monkeypatch.setattr(search, "WORTH", 1)
    rng = np.random.default_rng(6)
    gallery, (queries, weights) = random_words(rng, 200, 1, 90), drawn(rng, 3, 64)
    searcher = Searcher(gallery)
    wanted = searcher.asymmetric(queries, weights, 9)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    search._runs.cache_clear()
    monkeypatch.setattr(scan, "nearest", full)
    for one, other in zip(searcher.asymmetric(queries, weights, 9), wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    search._runs.cache_clear()


def test_memory_does_not_grow_with_the_queries():
    """Nor with the codes that weights are made of, beyond the weights."""
    rng = np.random.default_rng(7)
    weights, rows = rng.integers(0, SUREST + 1, (1500, 640), np.uint8), search.choose(random_words(rng, 9, 10, 9), None)
    asked = search.weighing(random_words(rng, 1500, 10, 90), weights)
    values = rng.normal(size=(30_000, 64)).astype(np.float32)
    for call, most in ((lambda: plain.nearest(asked, rows, 3), 10e6), (lambda: bit_weights(values), 16e6)):
        tracemalloc.start()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < most, f"{peak / 1e6:.0f} MB"


@pytest.mark.parametrize("there", [True, False])
def test_no_instruction_that_the_processor_lacks(monkeypatch, there):
    """LLVM ends the process where it meets one, even in code that never runs."""
    monkeypatch.setattr(planes, "usable", lambda: there)
    function = ir.Function(ir.Module(), ir.FunctionType(planes.BYTES, [planes.BYTES] * 2), "f")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(planes.looked_up_in(builder, *function.args))
    assert ("llvm.x86" in str(function.module)) == there


@pytest.mark.parametrize("name", ["generic", "haswell"])
def test_numba_may_compile_for_another_processor(tmp_path, name):
    """As caches are made that several machines share: NUMBA_CPU_NAME says for which."""
    features = {"generic": "", "haswell": "+avx2,+bmi,+bmi2,+fma,+lzcnt,+popcnt,+sse4.2"}[name]
    if name == "haswell" and not planes.usable():
        pytest.skip("this processor has no AVX2")
    code = (
        "import numpy as np\nfrom dtbh.index.hamming import plain, planes, scan\n"
        "from dtbh.index.hamming.rows import Rows\nfrom dtbh.index.hamming.weighing import weighing\n"
        "rng = np.random.default_rng(0)\n"
        "words, weights = rng.integers(0, 2**64, (300, 2), np.uint64), rng.integers(0, 8, (5, 128), np.uint8)\n"
        "for asked in (words[:5, None], weighing(words[:5], weights)):\n"
        "    found, wanted = scan.nearest(asked, Rows(words, 300), 9, 1), plain.nearest(asked, Rows(words, 300), 9)\n"
        "    assert all((one == other).all() for one, other in zip(found, wanted))\n"
        "print(planes.usable(), planes.quickest())\n"
    )
    told = {"NUMBA_CPU_NAME": name, "NUMBA_CPU_FEATURES": features, "NUMBA_CACHE_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **told}
    )
    wanted = "True True\n" if name == "haswell" else "False False\n"
    assert (run.returncode, run.stdout, run.stderr) == (0, wanted, "")


def test_only_one_place_names_such_instructions():
    from pathlib import Path

    import dtbh

    root = Path(dtbh.__file__).parent
    assert [p.name for p in root.rglob("*.py") if "llvm.x86" in p.read_text()] == ["planes.py"]
    assert (root / "index/hamming/planes.py").read_text().count("llvm.x86") == 1
