"""Everything of one direction: its figures beside chance, curves, codes, classes and queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from dtbh.evaluation.metrics.map_variants import CONVENTIONS
from dtbh.evaluation.metrics.measures import known_measures
from dtbh.evaluation.page import charts
from dtbh.evaluation.page.classes import class_table, confusion
from dtbh.evaluation.page.html import WAYS, bar, count, figure, over, share, table
from dtbh.evaluation.page.queries import queries
from dtbh.evaluation.results.examples import Example
from dtbh.evaluation.results.values import WITHOUT, DirectionReport, PairFigures

ENOUGH = "Hollow where fewer than half of the queries find anything."
MEASURES = (("precision", "precision_at"), ("recall", "recall_at"), ("F1", "f1_at"), ("NDCG", "ndcg_at"))


def headline(name: str, direction: DirectionReport) -> str:
    """The card of a direction: its mAP, interval and chance."""
    colour, place, title = WAYS[name]
    interval = "one image, no interval"
    if direction.interval is not None:
        interval = "95 % interval {:.3f} to {:.3f}".format(*direction.interval)
    sizes = f"{count(direction.n_queries, 'query', 'queries')} in a gallery of {direction.n_gallery:,}"
    return (
        f'<a class="card {colour}" href="#{place}"><span class="way">{title}</span>'
        f'<span class="number">{direction.map:.3f}<small>mAP</small></span>'
        f"{bar(direction.map, direction.chance_map, direction.interval)}"
        f'<span class="soft">{interval} · chance {direction.chance_map:.3f}</span>'
        f'<span class="soft">{sizes} ({direction.gallery})</span></a>'
    )


def panel(name: str, direction: DirectionReport, examples: Mapping[str, Sequence[Example]], without: str) -> str:
    """The whole of one direction; ``without`` is what became of queries without relevant items."""
    colour, place, title = WAYS[name]
    return (
        f'<section class="panel {colour}" id="{place}" aria-labelledby="title-{place}">'
        f'<h2 id="title-{place}"><span class="way">{title}</span></h2>'
        f'{_figures(direction, without)}<h3>Curves</h3><div class="pairs">{_curves(direction)}</div>'
        f'<h3>Codes</h3><div class="pairs">{_codes(direction)}</div>'
        f'<h3>Classes</h3><div class="pairs"><div>{class_table(direction)}</div><div>{confusion(direction)}</div></div>'
        f"{queries(examples)}</section>"
    )


def _figures(direction: DirectionReport, without: str) -> str:
    """The tables at k."""
    ks = list(direction.precision_at)
    rows = [
        [name, *(over(share(getattr(direction, at)[k]), share(getattr(direction, f"chance_{at}")[k])) for k in ks)]
        for name, at in MEASURES
    ]
    for key, values in direction.more_at.items():
        known, chance = known_measures().get(key), direction.chance_more_at[key]
        rows.append([known.shown if known else key, *(over(share(values[k]), share(chance[k])) for k in ks)])
    same = "same class" if direction.ndcg is None else "a label in common"
    by_class = table(["k", *map(str, ks)], rows, kind="at",
                     caption=f"{same.capitalize()}: among the first k; chance is below each figure")  # fmt: skip
    head = ["", "mAP", "ANMRR"]
    whole = [same, over(share(direction.map), share(direction.chance_map)),
             over(share(direction.anmrr), share(direction.chance_anmrr))]  # fmt: skip
    caption = "Whole ranking; of ANMRR 0 is best"
    if direction.ndcg is not None:
        head.append("NDCG")
        whole.append(over(share(direction.ndcg), share(direction.chance_ndcg)))
        caption += "; NDCG's gain is the number of labels in common"
    ranking = table(head, [whole], kind="at", caption=caption)
    beside = f"{_pairs(direction.pairs)}{_collisions(direction)}{_embeddings(direction)}{_counts(direction, without)}"
    return f'<div class="pairs"><div>{ranking}{by_class}</div><div>{beside}</div></div>'


def _pairs(pairs: PairFigures | None) -> str:
    if pairs is None:
        return '<p class="soft">True pairs are not known in this gallery.</p>'
    head = ["R@", *map(str, pairs.hit_at), "median rank"]
    cells = [over(share(pairs.hit_at[k]), share(pairs.chance_hit_at[k])) for k in pairs.hit_at]
    rank = over(f"{pairs.median_rank:,.1f}", f"{pairs.chance_median_rank:,.1f}")
    return table(head, [["true pair", *cells, rank]], kind="at", caption=(
        f"Its own pair: {count(pairs.n_queries, 'query', 'queries')} over {pairs.n_gallery:,} items"
    ))  # fmt: skip


def _counts(direction: DirectionReport, without: str) -> str:
    """What was left out, or counted as 0."""
    said = []
    if direction.pairs is not None and direction.pairs.queries_without_pair:
        without_pair = count(direction.pairs.queries_without_pair, "query", "queries")
        said.append(f"{without_pair} without a pair in the gallery left out of the pair's figures.")
    if direction.queries_without_relevant:
        number = count(direction.queries_without_relevant, "query has", "queries have")
        said.append(f"{number} nothing relevant in the gallery: {WITHOUT[without]}.")
    for side, items in direction.unlabelled.items():
        if items:
            said.append(f"{count(items, 'item')} of the {side} without a label left out.")
    return f'<p class="soft">{" ".join(said)}</p>' if said else ""


def _curves(direction: DirectionReport) -> str:
    chance = next(iter(direction.chance_precision_at.values()))
    parts = [
        figure("The first k", charts.top_k(direction.precision_curve, chance),
               "Mean over queries, and over all orders of tied items. The right end is the whole gallery."),
        figure("Precision and recall", charts.precision_recall(direction.within_radius, chance),
               f"One point a Hamming radius r, from r = {direction.within_radius[0].radius}. {ENOUGH}"),
        figure("Within a radius", charts.within_radius(direction.within_radius),
               "Answered: the share of queries that find anything so near. Precision is over those."),
        figure("Distances", charts.distances(direction.distances["relevant"], direction.distances["irrelevant"]),
               "Queries against gallery; each colour sums to 100 %. What overlaps can't be told apart."),
    ]  # fmt: skip
    return "".join(parts)


def _collisions(direction: DirectionReport) -> str:
    """How many items share a code."""
    rows = []
    for side, labelled in (("queries", direction.n_queries), ("gallery", direction.n_gallery)):
        distinct, correlation = direction.distinct_codes[side], direction.bit_correlation[side]
        items = max(labelled + direction.unlabelled[side], distinct)
        rows.append([side, f"{items:,}", f"{distinct:,}", f"{items / distinct:.1f}",
                     str(len(direction.bits_constant[side])), share(correlation)])  # fmt: skip
    head = ["codes", "items", "different", "items a code", "constant bits", "correlation"]
    return table(head, rows, kind="codes", wide=True, caption=(
        "Codes: items of one code tie everywhere; correlation is the mean between two bits, without its sign"
    ))  # fmt: skip


def _embeddings(direction: DirectionReport) -> str:
    """What the real values rank, and so what the signs cost."""
    rows = []
    for metric, one in direction.embeddings.items():
        cost = "–" if one.cost is None else over(f"{one.cost:+z.3f}", _between(one.cost_interval, "+"))
        rows.append([f"{escape(metric)}, {one.dimensions}", over(share(one.map), _between(one.interval)),
                     share(one.anmrr), cost])  # fmt: skip
    if not rows:
        return ""
    head = ["distance, dimensions", "mAP", "ANMRR", "cost of hashing"]
    return table(head, rows, kind="at", caption="Before the signs: the values that the codes were made of")


def _between(interval: tuple[float, float] | None, sign: str = "") -> str:
    return "" if interval is None else " to ".join(f"{end:{sign}z.3f}" for end in interval)


def _codes(direction: DirectionReport) -> str:
    """Use of the bits, and what other definitions of AP say."""
    bits = figure(
        "Use of each bit", charts.bit_use(direction.bit_balance),
        "A bit that is a one in half of the items tells most; one that never changes tells nothing.",
    )  # fmt: skip
    this = "this report: whole ranking, divided by all relevant ones"
    rows = [_convention(this, "", direction.map, direction.chance_map)]
    for name, value in direction.conventions.items():
        known = CONVENTIONS.get(name)
        words = (known.meaning, known.used_by) if known else (name, "")
        rows.append(_convention(*words, value, direction.chance_conventions.get(name)))
    return bits + figure(
        "The same rankings by other definitions", f'<ul class="conventions">{"".join(rows)}</ul>',
        "mAP as other code defines it; the tick is chance. A published figure compares with the line of its own "
        "definition alone.",
    )  # fmt: skip


def _convention(meaning: str, used_by: str, value: float, chance: float | None) -> str:
    words = f"{escape(meaning)} <small>{escape(used_by)}</small>"
    return f"<li><b>{share(value)}</b><span>{words}</span>{bar(value, chance)}</li>"
