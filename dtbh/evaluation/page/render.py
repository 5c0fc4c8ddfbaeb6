"""The report as one HTML page without any network: figures, charts, classes, queries with their hits.

Without script everything stands one under the other and can be read and heard; the script makes tabs of the directions.
"""

from __future__ import annotations

from html import escape

from dtbh.data.leakage import Leakage
from dtbh.evaluation.page.direction import headline, panel
from dtbh.evaluation.page.html import WAYS, document, percent, table, terms
from dtbh.evaluation.page.script import SCRIPT
from dtbh.evaluation.results.examples import Examples
from dtbh.evaluation.results.values import WITHOUT, RetrievalReport
from dtbh.utils.version import __version__


def render(report: RetrievalReport, examples: Examples) -> str:
    """The whole page as one string of HTML.

    Args:
        report: The figures.
        examples: For each direction, ``"best"`` and ``"worst"`` queries; a direction without any shows none.
    """
    directions = {name: report.directions[name] for name in WAYS if name in report.directions}
    tabs = "".join(f'<a class="{WAYS[name][0]}" href="#{WAYS[name][1]}">{WAYS[name][2]}</a>' for name in directions)
    body = (
        f"<header>{_masthead(report)}</header>"
        f'<div class="cards">{"".join(headline(name, one) for name, one in directions.items())}</div>'
        f'{_leaks(report)}<nav aria-label="directions">{tabs}</nav>'
        f"{''.join(panel(name, one, examples.get(name, {}), report.without) for name, one in directions.items())}"
        f"{_definitions(report)}<footer>dtbh {__version__} · report version {report.version}</footer>"
    )
    return document(f"Retrieval report, {report.bits} bits, {report.protocol}", body, SCRIPT)


def _masthead(report: RetrievalReport) -> str:
    galleries = sorted({direction.gallery for direction in report.directions.values()})
    facts = {
        "protocol": report.protocol,
        "gallery": ", ".join(galleries),
        "checkpoint": report.checkpoint_rule,
        "encoder": report.encoder,
    }
    return f"<h1>Image and sound retrieval <span>with {report.bits}-bit codes</span></h1>{terms(facts, 'facts')}"


def _leaks(report: RetrievalReport) -> str:
    """What stands in training and in test, and the sizes of the splits."""
    kinds = sorted({kind for counts in report.splits.values() for kind in counts})
    rows = [
        [escape(name), *(f"{counts[kind]:,}" if kind in counts else "–" for kind in kinds)]
        for name, counts in report.splits.items()
    ]
    sizes = table(["split", *map(escape, kinds)], rows, kind="sizes") if rows else ""
    if not report.leakage:
        return f'<section class="leaks"><div><h2>Leaks from training</h2><p>Not known.</p></div>{sizes}</section>'
    found = Leakage(**report.leakage)
    n = max(found.test_sounds, 1)
    lines = [
        ("say word for word what a training sound says", found.test_captions_in_train, found.unknown_captions),
        ("are in a voice of training", found.test_speakers_in_train, found.unknown_speakers),
    ]
    items = "".join(
        f'<li><span class="bar" aria-hidden="true"><i style="width:{known / n:.1%}"></i></span>'
        f"<b>{percent(known / n)}</b> {words} <small>{known:,} of {found.test_sounds:,}"
        f"{f', {unknown:,} not known' if unknown else ''}</small></li>"
        for words, known, unknown in lines
    )
    return (
        f'<section class="leaks"><div><h2>Leaks from training</h2><p>Of the test sounds</p><ul>{items}</ul></div>'
        f"{sizes}</section>"
    )


def _definitions(report: RetrievalReport) -> str:
    """What each figure means."""
    entries = {
        "Relevant": f"{report.relevance[0].upper()}{report.relevance[1:]}.",
        "mAP": "Average precision over all relevant items of a query in the whole gallery; the mean over queries. "
        "The interval is a percentile bootstrap that draws images with all their sounds.",
        "Precision, recall, F1 at k": "The share of relevant items among the first k, the share of the relevant items "
        "found there, and their harmonic mean; each the mean over queries.",
        "NDCG at k": "Gain 1 for a relevant item, discounted by the logarithm of its rank, as a share of what "
        "the best order would have.",
        "ANMRR": "The mean rank of a query's relevant items, those behind rank 2 R counted as 2.5 R, scaled so that 0 "
        "is best and 1 worst.",
        "R@k, median rank": "The probability that an item of the query's own pair stands among the first k, and the "
        "median over queries of the expected rank of the first of them.",
        "Ties": f"Codes of {report.bits} bits have {report.bits + 1} distances, so many items tie. Every figure at a "
        f"rank is {report.ties} of tied items, exactly. The hits shown with the queries are in one order.",
        "Nothing relevant": f"Queries with nothing relevant in the gallery are counted, and {WITHOUT[report.without]}.",
        "Chance": "What a random ranking of the same gallery is expected to give, exactly.",
        "Gallery": "The split that is searched. Within a modality a query is no part of its own ranking.",
        "Cost of hashing": "The mAP of the real values, before their signs became bits, less that of the codes; "
        "below 0 the codes rank better. The interval draws images with both rankings.",
        "Best and worst": "The query of each class with the highest, and with the lowest average precision.",
        "Checkpoint": f"{report.checkpoint_rule[:1].upper()}{report.checkpoint_rule[1:]}.",
    }
    if not any(direction.embeddings for direction in report.directions.values()):
        del entries["Cost of hashing"]
    return f'<section class="definitions"><h2>How it is measured</h2>{terms(entries)}</section>'
