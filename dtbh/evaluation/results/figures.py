"""The parts of a report: frozen values that are checked when made and go to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dtbh.errors import DataError

MEASURES = ("precision_at", "recall_at", "f1_at", "ndcg_at")


@dataclass(frozen=True)
class ClassFigures:
    """One class of queries.

    Attributes:
        n_queries: How many are of the class.
        map: Their mAP; None where the gallery has none of the class.
        chance_map: That of a random ranking; None likewise.
        interval: 95 % bootstrap interval of ``map``, as in ``DirectionReport``.
    """

    n_queries: int
    map: float | None
    chance_map: float | None
    interval: tuple[float, float] | None

    def __post_init__(self) -> None:
        check_count("n_queries", self.n_queries, low=1)
        check_shares("a class", {"map": self.map, "chance_map": self.chance_map})
        check_interval(self.interval)


@dataclass(frozen=True)
class PairFigures:
    """Retrieval of the true pair, tie-aware, beside what a random ranking would give.

    Attributes:
        n_queries: Queries whose pair stands in the gallery; the figures are over these.
        n_gallery: Gallery items, with or without a pair.
        queries_without_pair: Queries left out.
        hit_at: For each k, the probability that an item of the pair is among the first k (R@k), mean over
            queries.
        chance_hit_at: The same of a random ranking.
        median_rank: Median over queries of the expected rank of the first item of the pair, from 1.
        chance_median_rank: The same of a random ranking.
    """

    n_queries: int
    n_gallery: int
    queries_without_pair: int
    hit_at: Mapping[int, float]
    chance_hit_at: Mapping[int, float]
    median_rank: float
    chance_median_rank: float

    def __post_init__(self) -> None:
        check_count("n_queries", self.n_queries, low=1)
        check_count("n_gallery", self.n_gallery, low=1)
        check_count("queries_without_pair", self.queries_without_pair)
        check_shares("pairs", {**self.hit_at, **{f"chance {k}": v for k, v in self.chance_hit_at.items()}})
        if not 1 <= self.median_rank <= self.n_gallery:
            raise DataError(f"median_rank must be from 1 to {self.n_gallery}, found {self.median_rank}")

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any] | None) -> PairFigures | None:
        """The figures that JSON made of them; None where there were none."""
        if entry is None:
            return None
        return cls(**{**entry, **{name: int_keys(entry[name]) for name in ("hit_at", "chance_hit_at")}})


@dataclass(frozen=True)
class CutPoint:
    """One point of a curve, exact over orders of tied items.

    Attributes:
        k: How many from the top.
        precision: Of the first k, mean over queries.
        recall: Of the first k, mean over queries.
    """

    k: int
    precision: float
    recall: float


@dataclass(frozen=True)
class Confusion:
    """Which classes stand in front.

    Attributes:
        labels: The classes of queries and gallery, sorted.
        rows: For queries of class i, the mean share of class j among the first R items, R being the number of
            relevant ones; exact over orders of tied items. A row of zeros where there is no such query, or
            nothing relevant to it.
    """

    labels: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if {len(self.labels)} != {len(self.rows), *map(len, self.rows)}:
            raise DataError(f"confusion of {len(self.labels)} classes must be square, found {len(self.rows)} rows")


@dataclass(frozen=True)
class QueryFigure:
    """One query: its class, its average precision, the expected rank of its pair, and the pair's name.

    What is not known, or has no value, is None. Queries of one pair are no independent draws.
    """

    id: str
    label: str
    average_precision: float | None
    pair_rank: float | None
    pair: str | None = None

    def __post_init__(self) -> None:
        value = self.average_precision
        if value is not None and not 0 <= value <= 1:  # there are a great many: words are made for the wrong one alone
            check_shares(f"query {self.id}", {"average_precision": value})


@dataclass(frozen=True)
class EmbeddingFigures:
    """What real values rank by their exact distances, with the measures that codes have.

    Attributes:
        dimensions: Of a vector.
        map: Mean average precision, as of codes.
        chance_map: That of a random ranking.
        interval: 95 % bootstrap interval of ``map``, likewise.
        anmrr: Average normalised modified retrieval rank, as of codes.
        precision_at: For each k, as of codes; chance is that of codes too.
        recall_at: Likewise.
        f1_at: Likewise.
        ndcg_at: Likewise.
        pairs: The figures on true pairs, as of codes.
        cost: What hashing cost: ``map`` less that of the codes, below 0 where the codes rank better; None without
            codes.
        cost_interval: 95 % bootstrap interval of ``cost``, over the same images with both rankings.
    """

    dimensions: int
    map: float
    chance_map: float
    interval: tuple[float, float] | None
    anmrr: float
    precision_at: Mapping[int, float]
    recall_at: Mapping[int, float]
    f1_at: Mapping[int, float]
    ndcg_at: Mapping[int, float]
    pairs: PairFigures | None
    cost: float | None
    cost_interval: tuple[float, float] | None

    def __post_init__(self) -> None:
        check_count("dimensions", self.dimensions, low=1)
        check_shares("embeddings", {name: getattr(self, name) for name in ("map", "chance_map", "anmrr")})
        for name in MEASURES:
            check_shares(name, getattr(self, name))
        check_interval(self.interval)

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> EmbeddingFigures:
        """The figures that JSON made of them."""
        values = {**entry, **{name: int_keys(entry[name]) for name in MEASURES}}
        for name in ("interval", "cost_interval"):
            values[name] = pair_of(entry[name])
        return cls(**{**values, "pairs": PairFigures.from_dict(entry["pairs"])})


def pair_of(entry: Any) -> tuple[float, float] | None:
    """A pair that JSON made a list; None stays."""
    return None if entry is None else (entry[0], entry[1])


def int_keys(entry: Mapping[Any, float]) -> dict[int, float]:
    """Whole-number keys again, which JSON made strings."""
    return {int(key): value for key, value in entry.items()}


def check_shares(of: str, shares: Mapping[Any, float | None]) -> None:
    """Raise unless every share lies in [0, 1]; NaN does not, None is let through."""
    for name, share in shares.items():
        if share is not None and not 0 <= share <= 1:
            raise DataError(f"{of}: {name} must be from 0 to 1, found {share}")


def check_interval(interval: tuple[float, float] | None) -> None:
    """Raise unless it is (low, high) in [0, 1], or None."""
    if interval is not None:
        check_shares("interval", dict(zip(("low", "high"), interval, strict=True)))
        if interval[0] > interval[1]:
            raise DataError(f"interval must be (low, high), found {interval}")


def check_count(name: str, count: int, *, low: int = 0, high: int | None = None) -> None:
    """Raise unless the count lies in low..high."""
    if count < low or (high is not None and count > high):
        raise DataError(f"{name} must be at least {low}{'' if high is None else f', at most {high}'}, found {count}")
