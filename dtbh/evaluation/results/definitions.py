"""What each figure of a report means, in the words of the docstrings: for the schema, and for each ``report.json``."""

from __future__ import annotations

import inspect
import re

from dtbh.evaluation.metrics.map_variants import CONVENTIONS
from dtbh.evaluation.metrics.measures import known_measures
from dtbh.evaluation.metrics.radius import RadiusPoint
from dtbh.evaluation.results.figures import ClassFigures, Confusion, CutPoint, EmbeddingFigures, PairFigures
from dtbh.evaluation.results.values import GRADED, DirectionReport

PARTS = {
    "": DirectionReport,
    "pairs.": PairFigures,
    "embeddings.": EmbeddingFigures,
    "precision_curve.": CutPoint,
    "within_radius.": RadiusPoint,
    "per_class.": ClassFigures,
    "confusion.": Confusion,
}


def definitions(*, several: bool = False) -> dict[str, str]:
    """The meaning of each figure of a direction by its name there, as in ``map`` and ``pairs.hit_at``.

    Args:
        several: Whether items have several labels, which is what some figures are there for.
    """
    found = {f"{place}{name}": words for place, kind in PARTS.items() for name, words in documented(kind)[1].items()}
    found |= {f"more_at.{name}": one.meaning for name, one in known_measures().items()}
    del found["query_figures"]  # it stands in queries.csv
    if several:
        found = {name: _of_several(words) for name, words in found.items()}
    else:
        found = {name: words for name, words in found.items() if name not in GRADED}
    return found | {f"conventions.{name}": f"mAP of the {one.meaning}; as in {one.used_by}."
                    for name, one in CONVENTIONS.items()}  # fmt: skip


def _of_several(words: str) -> str:
    """What is said of a figure where items have several labels."""
    graded = words.replace("gain 1 for relevant items", "the number of labels in common as gain")
    return graded.replace("of the same class", "with a label in common")


def documented(kind: type) -> tuple[str, dict[str, str]]:
    """A docstring's first paragraph, and what it says of each attribute."""
    text, _, attributes = inspect.cleandoc(kind.__doc__ or "").partition("\n\nAttributes:\n")
    found = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", attributes, re.MULTILINE)
    return " ".join(text.split()), {name: " ".join(words.split()) for name, words in found}
