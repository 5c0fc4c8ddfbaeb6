"""The terms of the objective in plain loops over lists. Imports nothing from dtbh.

A side is a dictionary of "features", "codes", "labels" and "pairs"; a term takes a list of sides.
"""

from __future__ import annotations

import math

from tests.reference.triplets import approximate_l1 as one_approximate_l1
from tests.reference.triplets import relative_triplet, select


def over_directions(sides, loss, intra_modal_weight):
    across, own = [], []
    for i, rows in enumerate(sides):
        for j, columns in enumerate(sides):
            if i != j:
                across.append(loss(rows, columns, False))
        own.append(loss(rows, rows, True))
    if not across:
        return sum(own) / len(own)
    return sum(across) / len(across) + intra_modal_weight * sum(own) / len(own)


def mean_over(sides, one):
    return sum(one(side) for side in sides) / len(sides)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def unit(v):
    length = math.sqrt(dot(v, v))
    return [x / length for x in v]


def half(v):
    return [(x + 1) / 2 for x in v]


def squared(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def triplets(sides, key, measure, margin, selection, intra_modal_weight):
    def loss(rows, columns, same):
        d = [[measure(a, b) for b in columns[key]] for a in rows[key]]
        return relative_triplet(d, select(selection, d, rows["labels"], columns["labels"], margin, same), margin)

    return over_directions(sides, loss, intra_modal_weight)


def feature_triplets(sides, margin, selection, intra_modal_weight):
    return triplets(
        sides, "features", lambda a, b: (1 - dot(unit(a), unit(b))) / 2, margin, selection, intra_modal_weight
    )


def code_triplets(sides, margin, selection, intra_modal_weight):
    return triplets(sides, "codes", lambda a, b: (1 - dot(a, b) / len(a)) / 2, margin, selection, intra_modal_weight)


def embedding_triplets(sides, margin, selection, intra_modal_weight):
    return triplets(
        sides, "features", lambda a, b: math.sqrt(squared(unit(a), unit(b))) / 2, margin, selection, intra_modal_weight
    )


def unit_triplets(sides, margin, selection, intra_modal_weight):
    return triplets(
        sides, "codes", lambda a, b: squared(unit(half(a)), unit(half(b))), margin, selection, intra_modal_weight
    )


def lossless_triplets(sides, margin, selection, intra_modal_weight):
    def loss(rows, columns, same):
        bits = len(rows["codes"][0])
        d = [[squared(half(a), half(b)) for b in columns["codes"]] for a in rows["codes"]]
        scaled = [[x / bits for x in row] for row in d]
        chosen = select(selection, scaled, rows["labels"], columns["labels"], margin, same)
        total = 0.0
        for a, p, n in chosen:
            total -= math.log(-d[a][p] / bits + 1 + 1e-8) + math.log(-(bits - d[a][n]) / bits + 1 + 1e-8)
        return total / len(chosen) if chosen else 0.0

    return over_directions(sides, loss, intra_modal_weight)


def pairwise_likelihood(sides, alpha, intra_modal_weight, weighted):
    def loss(rows, columns, same):
        costs = {0: [], 1: []}
        for i, a in enumerate(rows["codes"]):
            for j, b in enumerate(columns["codes"]):
                if not (same and i == j):
                    s = int(rows["labels"][i] == columns["labels"][j])
                    t = alpha * dot(a, b)
                    costs[s].append(math.log(1 + math.exp(t)) - s * t)
        if weighted:
            return sum(sum(c) / max(1, len(c)) for c in costs.values()) / 2
        return sum(sum(c) for c in costs.values()) / max(1, sum(len(c) for c in costs.values()))

    return over_directions(sides, loss, intra_modal_weight)


def pair_contrast(sides, temperature, intra_modal_weight):
    def loss(rows, columns, same):
        costs = []
        for i, a in enumerate(rows["codes"]):
            similar = [dot(unit(a), unit(b)) / temperature for b in columns["codes"]]
            others = [s for j, s in enumerate(similar) if rows["pairs"][i] != columns["pairs"][j]]
            for j, s in enumerate(similar):
                if rows["pairs"][i] == columns["pairs"][j] and not (same and i == j):
                    costs.append(-math.log(math.exp(s) / (math.exp(s) + sum(math.exp(o) for o in others))))
        return sum(costs) / max(1, len(costs))

    return over_directions(sides, loss, intra_modal_weight)


def softmax(rows, columns, key, right, candidate, temperature):
    means = []
    for i, a in enumerate(rows[key]):
        similar = {j: dot(unit(a), unit(b)) / temperature for j, b in enumerate(columns[key]) if candidate(i, j)}
        total = sum(math.exp(s) for s in similar.values())
        costs = [-math.log(math.exp(s) / total) for j, s in similar.items() if right(i, j)]
        if costs:
            means.append(sum(costs) / len(costs))
    return sum(means) / max(1, len(means))


def contrast(sides, key, temperature, intra_modal_weight):
    def loss(rows, columns, same):
        return softmax(
            rows,
            columns,
            key,
            lambda i, j: rows["labels"][i] == columns["labels"][j],
            lambda i, j: not (same and i == j),
            temperature,
        )

    return over_directions(sides, loss, intra_modal_weight)


def feature_contrast(sides, temperature, intra_modal_weight):
    return contrast(sides, "features", temperature, intra_modal_weight)


def code_contrast(sides, temperature, intra_modal_weight):
    return contrast(sides, "codes", temperature, intra_modal_weight)


def pair_in_class(sides, temperature, intra_modal_weight):
    def loss(rows, columns, same):
        return softmax(
            rows,
            columns,
            "codes",
            lambda i, j: rows["pairs"][i] == columns["pairs"][j],
            lambda i, j: rows["labels"][i] == columns["labels"][j] and not (same and i == j),
            temperature,
        )

    return over_directions(sides, loss, intra_modal_weight)


def learned_centres(sides, scale, centres):
    def one(side):
        costs = []
        for code, label in zip(side["codes"], side["labels"], strict=True):
            costs.append(cross_entropy([scale * dot(unit(code), unit(centre)) for centre in centres], label))
        return sum(costs) / len(costs)

    return mean_over(sides, one)


def variance_in_class(sides, least):
    def one(side):
        costs = []
        for label in side["labels"]:
            own = [code for code, other in zip(side["codes"], side["labels"], strict=True) if other == label]
            spread = 0.0
            for values in zip(*own, strict=True):
                mean = sum(values) / len(values)
                spread += sum((value - mean) ** 2 for value in values) / len(values)
            costs.append(max(0.0, 1 - spread / len(own[0]) / least))
        return sum(costs) / len(costs)

    return mean_over(sides, one)


def decorrelation(sides):
    def one(side):
        codes = side["codes"]
        n, bits = len(codes), len(codes[0])
        means = [sum(code[b] for code in codes) / n for b in range(bits)]
        total = 0.0
        for b in range(bits):
            for c in range(bits):
                if b != c:
                    total += (sum((code[b] - means[b]) * (code[c] - means[c]) for code in codes) / n) ** 2
        return total / bits**2

    return mean_over(sides, one)


def central_similarity(sides, centres):
    def one(side):
        costs = []
        for code, label in zip(side["codes"], side["labels"], strict=True):
            for h, c in zip(half(code), half(centres[label]), strict=True):
                costs.append(-(c * math.log(h) + (1 - c) * math.log(1 - h)))
        return sum(costs) / len(costs)

    return mean_over(sides, one)


def cross_entropy(logits, label):
    return math.log(sum(math.exp(x) for x in logits)) - logits[label]


def orthogonal_centres(sides, centres, scale, margin):
    def one(side):
        costs = []
        for code, label in zip(side["codes"], side["labels"], strict=True):
            logits = [scale * (dot(unit(code), unit(c)) - margin * (k == label)) for k, c in enumerate(centres)]
            costs.append(cross_entropy(logits, label))
        return sum(costs) / len(costs)

    return mean_over(sides, one)


def classification(sides, weight, bias):
    def one(side):
        costs = []
        for code, label in zip(side["codes"], side["labels"], strict=True):
            costs.append(cross_entropy([dot(code, w) + b for w, b in zip(weight, bias, strict=True)], label))
        return sum(costs) / len(costs)

    return mean_over(sides, one)


def spoken_words(sides, weight, bias):
    costs = []
    for side in sides:
        for features, words in zip(side["features"], side["words"], strict=True):
            if words[0] < 0:
                continue
            cost = 0.0
            for w, b, said in zip(weight, bias, words, strict=True):
                probability = 1 / (1 + math.exp(-(dot(features, w) + b)))
                cost -= math.log(probability if said else 1 - probability)
            costs.append(cost)
    return sum(costs) / len(costs)


def text_tower(sides, weight, bias, temperature):
    texts = {"codes": [], "pairs": []}
    for side in sides:
        for pair, words in zip(side["pairs"], side["words"], strict=True):
            if max(words) > 0:
                bag = unit(words)
                texts["codes"].append([math.tanh(dot(bag, w) + b) for w, b in zip(weight, bias, strict=True)])
                texts["pairs"].append(pair)
    return sum(pair_contrast([texts, side], temperature, 0) for side in sides) / len(sides)


def memory_contrast(sides, before, temperature):
    """``before`` is what the memory holds of each modality."""
    means = []
    for own, side in enumerate(sides):
        other = before[len(sides) - 1 - own]
        same = [[label == there for there in other["labels"]] for label in side["labels"]]
        means.append(softmax(side, other, "codes", lambda i, j, s=same: s[i][j], lambda i, j: True, temperature))
    return sum(means) / len(means)


def approximate_l1(sides):
    return mean_over(sides, lambda side: one_approximate_l1(side["codes"]))


def mean_of(sides, of):
    return mean_over(sides, lambda side: sum(of(h) for row in side["codes"] for h in row) / count(side["codes"]))


def count(codes):
    return len(codes) * len(codes[0])


def quantization(sides):
    return mean_of(sides, lambda h: (abs(h) - 1) ** 2)


def push(sides):
    return mean_of(sides, lambda h: -(((h + 1) / 2 - 0.5) ** 2))


def balance(sides):
    def one(side):
        codes = side["codes"]
        means = [sum(row[j] for row in codes) / len(codes) for j in range(len(codes[0]))]
        return sum(m * m for m in means) / len(means)

    return mean_over(sides, one)


def item_balance(sides):
    def one(side):
        means = [sum(row) / len(row) for row in side["codes"]]
        return sum(m * m for m in means) / len(means)

    return mean_over(sides, one)


def graded_contrast(
    rows: list[list[float]], columns: list[list[float]], targets: list[list[float]], temperature: float
) -> float:
    """Cross-entropy of softmax(cosines / T) against targets, and against the targets of the other way round."""

    def cosine(a: list[float], b: list[float]) -> float:
        lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
        return sum(x * y for x, y in zip(a, b, strict=True)) / lengths

    def way(queries: list[list[float]], answers: list[list[float]], right: list[list[float]]) -> float:
        total = 0.0
        for query, wanted in zip(queries, right, strict=True):
            scores = [cosine(query, answer) / temperature for answer in answers]
            log_sum = math.log(sum(math.exp(score) for score in scores))
            total -= sum(w * (score - log_sum) for w, score in zip(wanted, scores, strict=True)) / sum(wanted)
        return total / len(queries)

    turned = [[row[j] for row in targets] for j in range(len(targets))]
    return (way(rows, columns, targets) + way(columns, rows, turned)) / 2
