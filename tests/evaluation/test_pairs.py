"""Links of true pairs against a loop over all."""

from __future__ import annotations

import numpy as np
import pytest

from dtbh.evaluation.metrics import pairs
from dtbh.evaluation.metrics.counts import each_block


@pytest.mark.parametrize("seed", range(5))
def test_links_are_all_pairs_but_the_query_itself(seed):
    rng = np.random.default_rng(seed)
    queries, gallery = rng.integers(-1, 6, 9), rng.integers(-1, 6, 14)
    own = np.where(np.arange(9) < 4, rng.permutation(14)[:9], -1)
    wanted = {
        (q, g) for q in range(9) for g in range(14) if queries[q] == gallery[g] and queries[q] >= 0 and own[q] != g
    }
    found = pairs.links(queries, gallery, own)
    assert set(zip(found.queries.tolist(), found.gallery.tolist(), strict=True)) == wanted
    assert len(found) == len(wanted) > 0
    assert (np.diff(found.queries) >= 0).all()


def test_links_fill_the_same_tables_as_counting_does(monkeypatch):
    monkeypatch.setattr("dtbh.evaluation.metrics.counts.QUERIES", 4)
    rng = np.random.default_rng(7)
    codes = [rng.integers(0, 256, (n, 1), dtype=np.uint64) for n in (9, 14)]
    numbers = rng.integers(-1, 6, 9), rng.integers(-1, 6, 14)
    own = np.arange(9)
    found = pairs.links(*numbers, own)
    blocks = list(each_block(lambda block: block, *codes, *numbers, 8, own=own))
    for block in blocks:
        np.testing.assert_array_equal(found.relevant(block), block.relevant)
    assert sum(block.relevant.sum() for block in blocks) > 3
