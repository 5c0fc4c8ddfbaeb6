"""Real values are ranked as a loop ranks them, and signs among them as codes."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from dtbh.codes import Embeddings, HashCodes, unpack
from dtbh.data.manifest import Item
from dtbh.errors import ConfigError, DataError
from dtbh.evaluation.describe import describe
from dtbh.evaluation.direction import embedding_figures
from dtbh.evaluation.evaluate import evaluate
from dtbh.evaluation.metrics import embeddings
from dtbh.evaluation.metrics.embeddings import METRICS
from dtbh.evaluation.results.values import RetrievalReport
from tests.evaluation.conftest import BITS, SETTING, make_codes
from tests.reference import ranking as naive


def euclidean(one, other):
    return math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(one, other, strict=True)))


def cosine(one, other):
    dot = math.fsum(a * b for a, b in zip(one, other, strict=True))
    return 1 - dot / math.sqrt(math.fsum(a * a for a in one) * math.fsum(b * b for b in other))


def named(values, modality, labels, pairs=None):
    pairs = [None] * len(labels) if pairs is None else pairs
    items = (Item(f"{modality} {row}", modality, None, label, pair)
             for row, (label, pair) in enumerate(zip(labels, pairs, strict=True)))  # fmt: skip
    return Embeddings(np.asarray(values), tuple(items))


def together(*parts):
    return Embeddings(np.concatenate([p.values for p in parts]), tuple(i for p in parts for i in p.items))


@pytest.mark.parametrize(("metric", "distance"), [("euclidean", euclidean), ("cosine", cosine)])
@pytest.mark.parametrize("cells", [1, 10**6])
def test_figures_are_those_of_a_loop_over_every_order_of_the_ties(metric, distance, cells, monkeypatch):
    monkeypatch.setattr(embeddings, "CELLS", cells)
    monkeypatch.setattr(embeddings, "COLUMNS", 3)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(8, 3)).astype(np.float32)
    values[[3, 5, 7]] = values[0]  # what repeats ties
    gallery = named(values, "image", list("abbabaab"), ["p", None, "q", "q", "r", "p", "s", "q"])
    queries = named(rng.normal(size=(5, 3)).astype(np.float32), "sound", [*"abab", None], list("pqrxp"))
    found = embedding_figures(together(queries, gallery), queries.items, gallery.items, metric, without="drop", seed=0)
    rows = [[distance(q, g) for g in values.tolist()] for q in queries.values.tolist()]
    rows = [[round(one, 6) for one in row] for row in rows]
    assert max(len(row) - len(set(row)) for row in rows) == 3
    good = [[g.label == q.label for g in gallery.items] for q in queries.items][:4]
    paired = [[g.pair == q.pair for g in gallery.items] for q in queries.items if q.pair != "x"]
    ranks = [naive.over_orders(naive.first, *row) for row in zip(rows[:3] + rows[4:], paired, strict=True)]

    def mean(measure, *arguments):
        return np.mean([naive.over_orders(measure, *row, *arguments) for row in zip(rows[:4], good, strict=True)])

    assert found.map == pytest.approx(mean(naive.average_precision), abs=1e-12)
    assert found.ndcg_at[5] == pytest.approx(mean(naive.ndcg, 5), abs=1e-12)
    assert found.precision_at[1] == pytest.approx(mean(naive.precision, 1), abs=1e-12)
    assert found.anmrr == pytest.approx(mean(naive.nmrr), abs=1e-12)
    assert (found.pairs.n_queries, found.pairs.queries_without_pair) == (4, 1)
    assert found.pairs.median_rank == pytest.approx(np.median(ranks), abs=1e-12)
    assert (found.dimensions, found.cost) == (3, None)


@pytest.mark.parametrize("directions", [("sound->image", "image->sound"), ("sound->sound",)])
def test_signs_as_real_values_give_the_figures_of_their_codes(directions):
    images, sounds = make_codes()
    signs = [unpack(codes.words, BITS) * 2.0 - 1 for codes in (images, sounds)]
    values = Embeddings(np.concatenate(signs), images.items + sounds.items)
    report = evaluate(images, sounds, **SETTING, embeddings=values, directions=directions)
    for direction in report.directions.values():
        assert set(direction.embeddings) == set(METRICS)
        for figures in direction.embeddings.values():
            assert figures.map == pytest.approx(direction.map, abs=1e-12)
            assert figures.chance_map == pytest.approx(direction.chance_map, abs=1e-12)
            assert figures.recall_at == pytest.approx(direction.recall_at)
            assert figures.interval == pytest.approx(direction.interval)
            assert figures.pairs.hit_at == pytest.approx(direction.pairs.hit_at)
            assert figures.cost == pytest.approx(0, abs=1e-12)


def test_what_hashing_cost_is_said():
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 3
    values = rng.normal(size=(3, 8))[labels] + 0.8 * rng.normal(size=(60, 8))
    items = tuple(Item(str(row), "image", None, f"class {label}", None) for row, label in enumerate(labels))
    codes = HashCodes.from_values(values, encoder="abc", items=items)
    report = evaluate(codes, None, **SETTING, embeddings=Embeddings(values, items))
    direction = report.directions["image->image"]
    figures = direction.embeddings["euclidean"]
    assert figures.cost == pytest.approx(figures.map - direction.map)
    assert 0 < figures.cost_interval[0] < figures.cost < figures.cost_interval[1] < 1
    width = figures.cost_interval[1] - figures.cost_interval[0]
    assert width < figures.interval[1] - figures.interval[0], "both rankings of an image are drawn together"
    assert RetrievalReport.from_dict(json.loads(json.dumps(report.to_dict()))) == report
    text = " ".join(describe(report).split())
    assert f"euclidean distances: mAP {figures.map:.3f}" in text
    assert f"hashing cost {figures.cost:.3f} [" in text


def test_what_can_not_be_ranked_is_named():
    images = named(np.eye(3), "image", list("aab"))
    for values, message in [
        (np.ones((3, 2), dtype=int), "must be float"),
        (np.ones(3), "must be float"),
        (np.ones((3, 0)), "d from 1"),
        (np.ones((2, 2)), "2 embeddings but 3 items"),
        (np.array([[1.0, 2], [np.inf, 0], [0, np.nan]]), "2 of 3 embeddings are not finite, the first is of image 1"),
    ]:
        with pytest.raises(DataError, match=message):
            Embeddings(values, images.items)
    sounds = named(np.eye(2), "sound", list("ab"))
    with pytest.raises(DataError, match="2 of 2 items have no embedding, the first is sound 0"):
        images.of(sounds.items)
    rank = {"without": "drop", "seed": 0}
    with pytest.raises(ConfigError, match="metric 'hamming': there are euclidean and cosine"):
        embedding_figures(images, images.items, images.items, "hamming", **rank)
    zero = named([[1.0, 0], [0, 0], [0, 1]], "image", list("aab"))
    with pytest.raises(DataError, match="zeros has no direction"):
        embedding_figures(zero, zero.items, zero.items, "cosine", **rank)
    assert embedding_figures(zero, zero.items, zero.items, "euclidean", **rank).map > 0
