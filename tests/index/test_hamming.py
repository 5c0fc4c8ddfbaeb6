"""Exact search against loops, in its order of ties, and at its edges."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from dtbh.codes import pack
from dtbh.index.hamming import plain, planes, scan, search
from dtbh.index.hamming.plain import nearest as by_numpy
from dtbh.index.hamming.plain import within as within_by_numpy
from dtbh.index.hamming.rows import choose
from tests.reference import hamming as reference


def random_words(rng, n, w, distinct):
    """Codes [n, w] of which at most ``distinct`` differ, so that distances tie."""
    pool = rng.integers(0, 2**64, (distinct, w), np.uint64, endpoint=False)
    return pool[rng.integers(0, distinct, n)]


CASES = [  # queries, gallery, words, distinct codes, k
    (1, 1, 1, 1, 1),
    (1, 1, 1, 1, 5),
    (3, 40, 1, 40, 7),
    (3, 60, 1, 2, 10),
    (5, 64, 2, 5, 64),
    (4, 50, 8, 4, 13),
    (2, 30, 3, 30, 100),
    (6, 200, 1, 3, 33),
]


def check_nearest(nearest):
    """What any exact search must pass: reference answers, order of ties, dtypes, shapes."""
    rng = np.random.default_rng(7)
    tied = 0
    for q, n, w, distinct, k in CASES:
        gallery, queries = random_words(rng, n, w, distinct), random_words(rng, q, w, max(1, q // 2))
        queries[0] = gallery[-1]
        distances, rows = nearest(queries, gallery, k)
        assert distances.dtype == np.int32
        assert rows.dtype == np.int64
        assert distances.shape == rows.shape == (q, min(k, n))
        expected = reference.nearest(
            [reference.code_of_words(query) for query in queries],
            [reference.code_of_words(code) for code in gallery],
            k,
        )
        found = [list(zip(d.tolist(), r.tolist(), strict=True)) for d, r in zip(distances, rows, strict=True)]
        assert found == expected
        tied += sum(pairs[0][0] == pairs[-1][0] and len(pairs) > 1 for pairs in expected)
    assert tied > 3, "the cases have no ties to get wrong"


@pytest.fixture(params=["numpy", "compiled, 1 thread", "compiled, 3 threads"])
def path(request, monkeypatch):
    """Each way in which a search may be done, and a check that it was."""
    monkeypatch.setattr(search, "WORTH", 1 << 62 if request.param == "numpy" else 1)
    monkeypatch.setattr("dtbh.index.hamming.scan.PART", 1)
    threads = 3 if request.param.endswith("threads") else 1
    monkeypatch.setattr(search, "_threads", lambda given: threads if given is None else given)
    used = set()

    def noting(module, call):
        def noted(queries, rows, *rest):
            used.update({module} if len(queries) and rows.count else ())
            return call(queries, rows, *rest)

        return noted

    for module in (plain, scan):
        for name in ("nearest", "within"):
            monkeypatch.setattr(module, name, noting(module, getattr(module, name)))
    yield request.param
    assert used <= {plain if request.param == "numpy" else scan}


@pytest.mark.parametrize("block", [7, 64, 1 << 16])
def test_nearest_conforms_in_blocks(monkeypatch, block):
    monkeypatch.setattr(plain, "GALLERY_BLOCK", block)
    monkeypatch.setattr(plain, "CELLS", 3 * block)
    check_nearest(search.nearest)


def test_nearest_conforms(path):
    check_nearest(search.nearest)


@pytest.mark.parametrize("w", range(1, 10))
def test_more_codes_than_a_block_of_any_length(monkeypatch, w):
    """Against NumPy, which the loops check: 5,000 codes cross the blocks and end in half a group."""
    monkeypatch.setattr(search, "WORTH", 1)
    monkeypatch.setattr(scan, "PART", 1)
    rng = np.random.default_rng(w)
    gallery = random_words(rng, 5003, w, 900)
    queries = np.concatenate([gallery[[4000, 5002]], random_words(rng, 3, w, 3)])
    mask = rng.random(5003) < 0.4
    for which in (None, mask, np.flatnonzero(mask)[::7]):
        rows = choose(gallery, which)
        for k in (1, 70, 1000):
            wanted = by_numpy(queries[:, None], rows, min(k, rows.count))
            for threads in (1, 2, 5):
                found = search.nearest(queries, gallery, k, rows=which, threads=threads)
                assert (found[0] == wanted[0]).all()
                assert (found[1] == wanted[1]).all()
        radius = int(wanted[0][:, 40].max())
        some = within_by_numpy(queries, rows, radius)
        assert 0 < sum(len(one[0]) for one in some) < 5 * rows.count
        for threads in (1, 3):
            found = search.within(queries, gallery, radius, rows=which, threads=threads)
            for one, other in zip(found, some, strict=True):
                assert (one[0] == other[0]).all()
                assert (one[1] == other[1]).all()


@pytest.fixture(params=[True, False], ids=["looked up", "counted"])
def looked_up(request, monkeypatch):
    """Both ways in which compiled code may find what is near, where the processor can; a list that both fill."""
    if request.param and not planes.usable():
        pytest.skip("this processor has no AVX2")
    asked = []

    def noted(patterns, make=planes.tables):
        asked.append(len(patterns))
        return make(patterns)

    monkeypatch.setattr(planes, "tables", noted)
    monkeypatch.setattr(planes, "quickest", lambda: request.param)
    monkeypatch.setattr(search, "WORTH", 1)
    yield asked
    assert any(asked) == request.param


@pytest.mark.parametrize("w", [1, 2, 4, 8])
@pytest.mark.parametrize("q", [4, 7])
def test_distances_beyond_a_byte(looked_up, w, q):
    """Bytes stop at 255: codes that lie about there, where there are as many bits, and at all other distances."""
    rng = np.random.default_rng(w)
    queries, bits = random_words(rng, q, w, q), 64 * w
    some = rng.permutation(np.r_[np.arange(bits + 1), np.clip(rng.integers(245, 266, 900), 0, bits)])
    differ = np.array([[place < count for place in range(bits)] for count in some])
    gallery = queries[0] ^ pack(rng.permuted(differ, axis=1))
    rows = choose(gallery, None)
    assert plain.distances(queries[:1], gallery).max() == bits
    for k in (1, 300, len(gallery)):
        for one, wanted in zip(search.nearest(queries, gallery, k), by_numpy(queries[:, None], rows, k), strict=True):
            assert (one == wanted).all()
    for radius in (0, 253, 254, 255, 256):
        for one, wanted in zip(
            search.within(queries, gallery, radius), within_by_numpy(queries, rows, radius), strict=True
        ):
            assert (one[0] == wanted[0]).all()
            assert (one[1] == wanted[1]).all()


def test_many_queries(path):
    rng = np.random.default_rng(0)
    gallery, queries = random_words(rng, 300, 1, 60), random_words(rng, 700, 1, 650)
    wanted = by_numpy(queries[:, None], choose(gallery, None), 20)
    found = search.nearest(queries, gallery, 20)
    assert (found[0] == wanted[0]).all()
    assert (found[1] == wanted[1]).all()
    assert [len(rows) for _, rows in search.within(queries, gallery, 64)] == [300] * 700


FILTERS = {
    "a run": np.arange(20, 90),
    "few": np.array([3, 77, 121]),
    "many": np.flatnonzero(np.arange(130) % 3),
    "one": np.array([129]),
    "none": np.empty(0, np.int64),
    "all": np.arange(130),
}


@pytest.mark.parametrize("rows", FILTERS.values(), ids=FILTERS.keys())
@pytest.mark.parametrize("w", [1, 3])
def test_filters_against_loops(path, rows, w):
    rng = np.random.default_rng(4)
    gallery, queries = random_words(rng, 130, w, 30), random_words(rng, 4, w, 4)
    codes = [reference.code_of_words(code) for code in gallery]
    mask = np.zeros(130, np.bool_)
    mask[rows] = True
    for query, wanted in zip(queries, queries.tolist(), strict=True):
        code = reference.code_of_words(wanted)
        expected = reference.within(code, codes, None, passing=rows.tolist())
        for which in (rows, mask, rows.astype(np.int32)):
            distances, found = search.nearest(query[None], gallery, 50, rows=which)
            assert list(zip(distances[0].tolist(), found[0].tolist(), strict=True)) == expected[:50]
            ((distances, found),) = search.within(query[None], gallery, 31 * w, rows=which)
            pairs = [pair for pair in expected if pair[0] <= 31 * w]
            assert list(zip(distances.tolist(), found.tolist(), strict=True)) == pairs


def test_a_searcher_is_a_filtered_set(path):
    rng = np.random.default_rng(4)
    gallery, rows = random_words(rng, 130, 1, 30), np.arange(0, 130, 5)
    searcher = search.Searcher(gallery, rows=rows)
    assert len(searcher) == 26
    for _ in range(2):
        found = searcher.nearest(gallery[:3], 10)
        wanted = by_numpy(gallery[:3, None], choose(gallery, rows), 10)
        assert (found[1] == wanted[1]).all()
    assert [len(one[0]) for one in searcher.within(gallery[:2], 64)] == [26, 26]


def test_parts_of_larger_arrays(path):
    rng = np.random.default_rng(4)
    wide = random_words(rng, 200, 4, 200)
    for gallery in (wide[:, 1:3], wide[::2, :2], wide[60:]):
        found = search.nearest(gallery[:4], gallery, 9)
        wanted = by_numpy(gallery[:4, None], choose(gallery.copy(), None), 9)
        assert (found[0] == wanted[0]).all()
        assert (found[1] == wanted[1]).all()


WITHOUT = {
    "numba is missing": "sys.modules['numba'] = None",
    "no folder takes the cache": "import numba.core.caching as c\n"
    "def no(self): raise OSError('read-only')\nc._CacheLocator.ensure_cache_path = no",
    "the disk is full": "import numba.core.caching as c\n"
    "def no(self, *args): raise OSError('no space left')\nc.IndexDataCacheFile.save = no\n"
    "c.IndexDataCacheFile.load = lambda *args: None",
}


@pytest.mark.parametrize("trouble", WITHOUT.values(), ids=WITHOUT.keys())
def test_without_compiled_code_numpy_answers(trouble):
    code = f"import sys\n{trouble}\n" + (
        "import numpy as np\nfrom dtbh.index.hamming import search\nsearch.WORTH = 1\n"
        "codes = np.arange(100, dtype=np.uint64)[:, None]\n"
        "print(search.nearest(codes[7:8], codes, 4)[1].tolist(), len(search.within(codes[:1], codes, 1)[0][1]))\n"
        "assert 'dtbh.index.hamming.scan' not in sys.modules or search._load(1) is None\n"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("[[7, 3, 5, 6]] 8\n", "")


def test_a_small_search_does_not_load_the_compiler():
    code = (
        "import sys, numpy as np\nfrom dtbh.index.hamming import search\n"
        "codes = np.arange(9000, dtype=np.uint64)[:, None]\nsearch.nearest(codes[:5], codes, 4)\n"
        "assert 'numba' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def last_row_first(queries, gallery, k):
    all_distances = search.distances(queries, gallery)
    flipped = np.argsort(all_distances[:, ::-1], axis=1, kind="stable")[:, :k]
    rows = len(gallery) - 1 - flipped
    return np.take_along_axis(all_distances, rows, axis=1), rows


def unsorted_within_k(queries, gallery, k):
    distances, rows = search.nearest(queries, gallery, k)
    return distances[:, ::-1], rows[:, ::-1]


def first_word_only(queries, gallery, k):
    return search.nearest(queries[:, :1].copy(), gallery[:, :1].copy(), k)


def ties_cut_anywhere(queries, gallery, k):
    all_distances = search.distances(queries, gallery)
    chosen = np.argpartition(all_distances, min(k, len(gallery)) - 1, axis=1)[:, :k]
    order = np.argsort(np.take_along_axis(all_distances, chosen, axis=1), axis=1, kind="stable")
    rows = np.take_along_axis(chosen, order, axis=1)
    return np.take_along_axis(all_distances, rows, axis=1), rows


def another_dtype(queries, gallery, k):
    distances, rows = search.nearest(queries, gallery, k)
    return distances.astype(np.int64), rows


@pytest.mark.parametrize(
    "broken", [last_row_first, unsorted_within_k, first_word_only, ties_cut_anywhere, another_dtype]
)
def test_the_check_rejects_broken_searches(broken):
    with pytest.raises(AssertionError):
        check_nearest(broken)


def test_distances_against_loops(monkeypatch):
    monkeypatch.setattr(plain, "GALLERY_BLOCK", 5)
    monkeypatch.setattr(plain, "CELLS", 10)
    rng = np.random.default_rng(1)
    queries, gallery = random_words(rng, 7, 2, 7), random_words(rng, 13, 2, 9)
    found = search.distances(queries, gallery)
    assert found.dtype == np.int32
    assert found.tolist() == [
        [reference.distance(reference.code_of_words(a), reference.code_of_words(b)) for b in gallery] for a in queries
    ]


def test_the_largest_distance_of_long_codes():
    zeros, ones = np.zeros((1, 8), np.uint64), np.full((1, 8), 2**64 - 1, np.uint64)
    assert search.distances(zeros, ones).tolist() == [[512]]
    assert search.nearest(zeros, ones, 1)[0].tolist() == [[512]]


@pytest.mark.parametrize("radius", [0, 3, 30, 64])
@pytest.mark.parametrize("block", [7, 1 << 16])
def test_within_against_loops(path, monkeypatch, radius, block):
    monkeypatch.setattr(plain, "GALLERY_BLOCK", block)
    rng = np.random.default_rng(2)
    gallery = random_words(rng, 90, 1, 12)
    queries = np.concatenate([gallery[:2] ^ np.uint64(5), gallery[5:6]])
    found = search.within(queries, gallery, radius)
    codes = [reference.code_of_words(code) for code in gallery]
    for query, (distances, rows) in zip(queries, found, strict=True):
        assert (distances.dtype, rows.dtype) == (np.int32, np.int64)
        pairs = list(zip(distances.tolist(), rows.tolist(), strict=True))
        assert pairs == reference.within(reference.code_of_words(query), codes, radius)
    assert len(found[2][0]) > 0


def test_nothing_to_search(path):
    none, one = np.empty((0, 1), np.uint64), np.zeros((1, 1), np.uint64)
    assert search.nearest(one, none, 3)[1].shape == (1, 0)
    assert search.nearest(none, one, 3)[0].shape == (0, 1)
    assert search.distances(one, none).shape == (1, 0)
    assert search.within(none, one, 3) == []
    (distances, rows) = search.within(one, none, 3)[0]
    assert (len(distances), len(rows)) == (0, 0)


def test_memory_does_not_grow_with_queries(path):
    rng = np.random.default_rng(3)
    gallery = random_words(rng, 20_000, 1, 20_000)
    peaks = []
    for q in (1000, 2000):
        queries = random_words(rng, q, 1, q)
        tracemalloc.start()
        search.nearest(queries, gallery, 10)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    results = 1000 * 10 * (4 + 8 + 8 + 8)  # of the further queries: distances, rows, and keys on the way
    assert peaks[1] < 1.2 * peaks[0] + results
