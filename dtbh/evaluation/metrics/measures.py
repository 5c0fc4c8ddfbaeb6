"""Further measures of the first k: one function each, and every report has it, beside its chance level.

Precision, recall, F1 and NDCG stand in a report under names of their own; what is registered here stands beside them,
under ``more_at``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dtbh.evaluation.metrics.counts import Floats, Ints
from dtbh.utils.registry import load_modules, load_plugins, register

AtK = Callable[[Ints, Ints, Sequence[int]], Floats]


@dataclass(frozen=True)
class Measure:
    """A measure of the first k.

    Attributes:
        at_k: Takes relevant and all items at each distance, int64 [q, d], and values of k; gives float64 [q, k] in
            [0, 1], the mean over all orders of tied items, NaN for queries without relevant items.
        shown: What tables call it.
        meaning: What it is, in a sentence.
    """

    at_k: AtK
    shown: str
    meaning: str


MEASURES: dict[str, Measure] = {}
"""Further measures by name, as far as they were imported; `known_measures` imports all."""


def measure(name: str, shown: str) -> Callable[[AtK], AtK]:
    """A decorator that adds a function to every report, under ``more_at[name]``, with its docstring's first line."""

    def put(function: AtK) -> AtK:
        register(MEASURES, name)(Measure(function, shown, (function.__doc__ or shown).strip().partition("\n")[0]))
        return function

    return put


def known_measures() -> dict[str, Measure]:
    """`MEASURES` with those of this folder and those of other packages (entry points ``dtbh.metrics``).

    Raises:
        ConfigError: A package's entry point can't be loaded.
    """
    load_modules("dtbh.evaluation.metrics")
    load_plugins("dtbh.metrics")
    return MEASURES
