"""Where nothing ties, the peers agree: trec_eval, ranx and torchmetrics."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from dtbh.evaluation.metrics import map_variants, ranking

QUERIES, GALLERY, KS = 25, 40, (1, 5, 20)
# ranx compiles for the better part of a minute; without its compiler it is plain Python, and gives the same.
RANX = """
import json, sys
from ranx import Qrels, Run, evaluate
problem = json.load(sys.stdin)
scores = evaluate(Qrels(problem["qrels"]), Run(problem["run"]), problem["names"], return_mean=False)
json.dump({name: list(map(float, values)) for name, values in scores.items()}, sys.stdout)
"""


@pytest.fixture(scope="module")
def problem():
    """Whether each rank's item is relevant, bool [q, n]; every query has some."""
    good = np.random.default_rng(0).random((QUERIES, GALLERY)) < 0.2
    good[:, 7] |= ~good.any(axis=1)
    return good


@pytest.fixture(scope="module")
def tables(problem):
    return problem.astype(np.int64), np.ones(problem.shape, dtype=np.int64)


@pytest.fixture(scope="module")
def judged(problem):
    """The same in the words of TREC: what is relevant, and each item's score."""
    ids = [[f"{query:03}-{rank:03}" for rank in range(GALLERY)] for query in range(QUERIES)]
    qrels = {f"q{query:03}": {ids[query][rank]: 1 for rank in np.flatnonzero(row)} for query, row in enumerate(problem)}
    run = {
        f"q{query:03}": {id_: float(GALLERY - rank) for rank, id_ in enumerate(row)} for query, row in enumerate(ids)
    }
    return qrels, run


def check(found, wanted):
    assert np.ptp(found) > 0, "every query alike: nothing is tested"
    np.testing.assert_allclose(found, wanted, atol=1e-7)


def test_trec_eval_agrees(tables, judged):
    trec = pytest.importorskip("pytrec_eval", reason="the extra peers is not installed")
    names = {f"{name}.{','.join(map(str, KS))}" for name in ("P", "recall", "ndcg_cut", "map_cut", "success")}
    scores = trec.RelevanceEvaluator(judged[0], {"map", "recip_rank", *names}).evaluate(judged[1])

    def theirs(name):
        return [scores[query][name] for query in sorted(scores)]

    check(ranking.average_precision(*tables), theirs("map"))
    check(1 / ranking.first_rank(*tables), theirs("recip_rank"))
    for column, k in enumerate(KS):
        check(ranking.precision_at(*tables, KS)[:, column], theirs(f"P_{k}"))
        check(ranking.recall_at(*tables, KS)[:, column], theirs(f"recall_{k}"))
        check(ranking.ndcg_at(*tables, KS)[:, column], theirs(f"ndcg_cut_{k}"))
        check(map_variants.all_relevant(*tables, k), theirs(f"map_cut_{k}"))
    check(ranking.hit_at(*tables, [5])[:, 0], theirs("success_5"))


def test_ranx_agrees(tables, judged):
    pytest.importorskip("ranx", reason="the extra peers is not installed")
    names = ["map", *(f"{name}@{k}" for name in ("precision", "recall", "f1", "ndcg", "map") for k in KS), "hit_rate@5"]
    done = subprocess.run(
        [sys.executable, "-c", RANX],
        input=json.dumps({"qrels": judged[0], "run": judged[1], "names": names}),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout)
    check(ranking.average_precision(*tables), theirs["map"])
    check(ranking.hit_at(*tables, [5])[:, 0], theirs["hit_rate@5"])
    measures = {"precision": "precision_at", "recall": "recall_at", "f1": "f1_at", "ndcg": "ndcg_at"}
    for column, k in enumerate(KS):
        for name, ours in measures.items():
            check(getattr(ranking, ours)(*tables, KS)[:, column], theirs[f"{name}@{k}"])
        check(map_variants.all_relevant(*tables, k), theirs[f"map@{k}"])


def test_torchmetrics_agrees(problem, tables):
    torch = pytest.importorskip("torch")
    from torchmetrics.functional.retrieval import retrieval_average_precision

    scores = torch.arange(GALLERY, 0, -1, dtype=torch.float32)
    for k in (5, 20, GALLERY):
        theirs = [float(retrieval_average_precision(scores, torch.tensor(row), top_k=k)) for row in problem]
        check(map_variants.hits_in_top_k(*tables, k), theirs)
