"""Grouping by distinct code: the same answers as looking at every row, whatever rows count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dtbh.index.hamming import grouping, plain, scan
from dtbh.index.hamming.rows import choose, let_go

MASK = np.random.default_rng(9).random(6000) < 0.7
WHICH = {"all": None, "marked": MASK, "listed": np.flatnonzero(MASK)[::13], "a run": np.arange(500, 4500)}


def codes(rng, n, w, distinct):
    pool = rng.integers(0, 2**64, (distinct, w), np.uint64) & rng.integers(0, 2**64, (1, w), np.uint64)
    return pool[rng.integers(0, distinct, n)]


@pytest.mark.parametrize("which", WHICH.values(), ids=WHICH.keys())
@pytest.mark.parametrize(("w", "distinct"), [(1, 1), (1, 30), (3, 40), (8, 9)])
def test_groups_hold_the_same_rows(which, w, distinct):
    rng = np.random.default_rng(distinct)
    rows = choose(codes(rng, 6000, w, distinct), which)
    groups = grouping.group(rows)
    assert groups is not None
    assert groups.rows.count == len(np.unique(groups.rows.words, axis=0)) <= distinct
    assert (np.diff(groups.members[groups.starts[:-1]].astype(np.int64)) > 0).all()
    queries = np.concatenate([rows.words[:2], codes(rng, 3, w, 3)])
    for k in (1, 7, 300, rows.count):
        found = groups.nearest(scan.nearest(queries[:, None], groups.rows, min(k, groups.rows.count), 1), k)
        wanted = plain.nearest(queries[:, None], rows, k)
        assert [part.dtype for part in found] == [np.int32, np.int64]
        assert (found[0] == wanted[0]).all()
        assert (found[1] == wanted[1]).all()
    radius = int(np.median(plain.nearest(queries[:, None], rows, rows.count)[0]))
    wanted = plain.within(queries, rows, radius)
    for one, other in zip(scan.within(queries, groups.rows, radius, 1), wanted, strict=True):
        distances, numbers = groups.within(one)
        assert (distances == other[0]).all()
        assert (numbers == other[1]).all()


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="asks Linux what is in memory")
def test_codes_in_a_file_leave_memory_and_can_be_read_again(monkeypatch, tmp_path):
    monkeypatch.setattr(grouping, "PIECE", 1 << 15)
    wanted = codes(np.random.default_rng(0), 1 << 18, 1, 40)
    wanted.tofile(tmp_path / "codes.bin")
    mapped = np.memmap(tmp_path / "codes.bin", "<u8", mode="r", shape=wanted.shape).view(np.ndarray)
    assert (mapped == wanted).all()
    before = in_memory(tmp_path / "codes.bin")
    assert before >= wanted.nbytes
    groups = grouping.group(choose(mapped, None))
    assert in_memory(tmp_path / "codes.bin") < before / 2
    assert (mapped == wanted).all()
    assert sorted(groups.members.tolist()) == list(range(len(wanted)))


def in_memory(path):
    """Bytes of a mapped file that lie in this process's memory."""
    after = Path("/proc/self/smaps").read_text().split(str(path))[1]
    return 1024 * int(after.split("Rss:")[1].split()[0])


def test_what_was_changed_in_memory_stays(tmp_path):
    np.zeros(9000, np.uint64).tofile(tmp_path / "codes.bin")
    own = np.memmap(tmp_path / "codes.bin", "<u8", mode="c", shape=(9000, 1))
    own[7] = 3
    let_go(own.view(np.ndarray))
    assert own[7] == 3
    let_go(np.zeros((3, 1), np.uint64))


def test_a_table_that_grows():
    rng = np.random.default_rng(1)
    words = codes(rng, 80_000, 1, 9000)
    groups = grouping.group(choose(words, None))
    unique, first, counts = np.unique(words[:, 0], return_index=True, return_counts=True)
    order = np.argsort(first)
    assert len(unique) > 4096
    assert (groups.rows.words[:, 0] == unique[order]).all()
    assert (np.diff(groups.starts) == counts[order]).all()


def test_rows_beyond_32_bits_are_kept_whole(monkeypatch):
    monkeypatch.setattr(grouping, "SMALL", np.iinfo(np.uint8))
    words = codes(np.random.default_rng(1), 600, 1, 20)
    groups = grouping.group(choose(words, None))
    assert groups.members.dtype == np.int64
    assert sorted(groups.members.tolist()) == list(range(600))
    found = groups.nearest(scan.nearest(words[:2, None], groups.rows, 5, 1), 5)
    assert (found[1] == plain.nearest(words[:2, None], choose(words, None), 5)[1]).all()


@pytest.mark.parametrize("which", WHICH.values(), ids=WHICH.keys())
def test_too_many_distinct_codes(which):
    words = np.random.default_rng(2).integers(0, 2**64, (6000, 1), np.uint64)
    assert grouping.group(choose(words, which)) is None


@pytest.mark.parametrize("distinct", [1, 50, 3000, 30_000])
def test_the_guess_is_of_the_right_size(distinct):
    rng = np.random.default_rng(3)
    least, most = grouping.guess(choose(codes(rng, 400_000, 1, distinct), None))
    assert 0.8 * distinct <= least <= 1.2 * distinct
    assert 0.8 * distinct <= most <= 30 * distinct


def test_the_guess_where_few_codes_hold_most_rows():
    rng = np.random.default_rng(3)
    words = codes(rng, 400_000, 1, 10)
    words[rng.random(400_000) < 0.4] ^= rng.integers(0, 2**64, 1, np.uint64)
    rare = rng.random(400_000) < 0.3
    words[rare] = rng.integers(0, 2**20, (rare.sum(), 1), np.uint64)
    least, most = grouping.guess(choose(words, None))
    distinct = len(np.unique(words))
    assert 0.5 * distinct < least < 1.2 * distinct
    assert 0.8 * distinct < most < 3 * distinct


def test_the_guess_where_all_codes_are_distinct():
    words = np.random.default_rng(3).integers(0, 2**64, (100_000, 1), np.uint64)
    for which in (None, np.arange(100_000) % 3 > 0, np.arange(0, 100_000, 30)):
        rows = choose(words, which)
        least, most = grouping.guess(rows)
        assert least > 0.5 * rows.count
        assert most == pytest.approx(rows.count, rel=0.01)
