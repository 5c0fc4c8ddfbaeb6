"""What an evaluation found, as frozen values that are checked when made and go to JSON and back.

Comes in: plain numbers from ``protocol.evaluate``, or the JSON of an earlier report. No torch in this room.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from dtbh.data.splits import Leakage
from dtbh.errors import DataError
from dtbh.evaluation.ranking import RadiusCurve

VERSION = 1
DIRECTIONS = ("sound->image", "image->sound")
TIES = "averaged over all orders"
RELEVANCE = "same class; beside it the true pair, where pairs are known"
SIDES = {"queries", "gallery"}


@dataclass(frozen=True)
class ClassFigures:
    """One class of queries: how many, their mAP and its chance; None where the gallery has none of it."""

    n_queries: int
    map: float | None
    chance_map: float | None

    def __post_init__(self) -> None:
        _check_count("n_queries", self.n_queries, low=1)
        _check_shares("a class", {"map": self.map, "chance_map": self.chance_map})


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
        _check_count("n_queries", self.n_queries, low=1)
        _check_count("n_gallery", self.n_gallery, low=1)
        _check_count("queries_without_pair", self.queries_without_pair)
        _check_shares("pairs", {**self.hit_at, **{f"chance {k}": v for k, v in self.chance_hit_at.items()}})
        if not 1 <= self.median_rank <= self.n_gallery:
            raise DataError(f"median_rank must be from 1 to {self.n_gallery}, found {self.median_rank}")


@dataclass(frozen=True)
class QueryFigure:
    """One query's average precision."""

    id: str
    average_precision: float

    def __post_init__(self) -> None:
        _check_shares(f"query {self.id}", {"average_precision": self.average_precision})


@dataclass(frozen=True)
class DirectionReport:
    """The figures of one direction; all shares in [0, 1], all exact over orders of tied items.

    Attributes:
        map: Mean average precision over the queries that have a relevant item; relevant is the same class.
        chance_map: What a random ranking is expected to have.
        interval: 95 % bootstrap interval of ``map`` over queries (percentiles); None with one query.
        n_queries: Labelled queries.
        n_gallery: Labelled gallery items.
        queries_without_relevant: Those of ``n_queries`` with nothing relevant in the gallery: left out.
        unlabelled: How many ``queries`` and ``gallery`` items have no label and were left out.
        precision_at: For each k, the mean share of relevant items among the first k.
        chance_precision_at: The same of a random ranking.
        recall_at: For each k, the mean share of the relevant items found among the first k.
        chance_recall_at: The same of a random ranking.
        pairs: The figures on true pairs; None where no query's pair is known in the gallery.
        pr_curve: Precision and recall within each Hamming radius.
        per_class: By class name.
        distances: For ``relevant`` and ``irrelevant``, how many query-gallery pairs stand at each distance
            0..bits.
        distinct_codes: How many different codes the ``queries`` and the ``gallery`` have, labelled or not.
        bits_constant: Which bits never change, of ``queries`` and of ``gallery``.
        bit_balance: The share of ones of each bit, of ``queries`` and of ``gallery``.
        best: The best query of each class, best first.
        worst: The worst query of each class, worst first.
    """

    map: float
    chance_map: float
    interval: tuple[float, float] | None
    n_queries: int
    n_gallery: int
    queries_without_relevant: int
    unlabelled: Mapping[str, int]
    precision_at: Mapping[int, float]
    chance_precision_at: Mapping[int, float]
    recall_at: Mapping[int, float]
    chance_recall_at: Mapping[int, float]
    pairs: PairFigures | None
    pr_curve: RadiusCurve
    per_class: Mapping[str, ClassFigures]
    distances: Mapping[str, tuple[int, ...]]
    distinct_codes: Mapping[str, int]
    bits_constant: Mapping[str, tuple[int, ...]]
    bit_balance: Mapping[str, tuple[float, ...]]
    best: tuple[QueryFigure, ...]
    worst: tuple[QueryFigure, ...]

    def __post_init__(self) -> None:
        _check_shares("a direction", {"map": self.map, "chance_map": self.chance_map})
        for name in ("precision_at", "recall_at", "chance_precision_at", "chance_recall_at"):
            _check_shares(name, getattr(self, name))
        if self.interval is not None:
            _check_shares("interval", dict(zip(("low", "high"), self.interval, strict=True)))
            if self.interval[0] > self.interval[1]:
                raise DataError(f"interval must be (low, high), found {self.interval}")
        _check_count("n_queries", self.n_queries, low=1)
        _check_count("n_gallery", self.n_gallery, low=1)
        _check_count("queries_without_relevant", self.queries_without_relevant, high=self.n_queries - 1)
        for name in ("unlabelled", "distinct_codes", "bits_constant", "bit_balance"):
            if set(getattr(self, name)) != SIDES:
                raise DataError(f"{name} must name queries and gallery, found {sorted(getattr(self, name))}")
        if set(self.distances) != {"relevant", "irrelevant"}:
            raise DataError(f"distances must name relevant and irrelevant, found {sorted(self.distances)}")

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> DirectionReport:
        """The direction that ``to_dict`` wrote, also after JSON made its whole-number keys strings."""
        values = dict(entry)
        for name in ("precision_at", "recall_at", "chance_precision_at", "chance_recall_at"):
            values[name] = _int_keys(entry[name])
        for name in ("distances", "bits_constant", "bit_balance"):
            values[name] = {key: tuple(numbers) for key, numbers in entry[name].items()}
        if entry["interval"] is not None:
            values["interval"] = tuple(entry["interval"])
        if entry["pairs"] is not None:
            at = {name: _int_keys(entry["pairs"][name]) for name in ("hit_at", "chance_hit_at")}
            values["pairs"] = PairFigures(**{**entry["pairs"], **at})
        values["pr_curve"] = RadiusCurve.from_dict(entry["pr_curve"])
        values["per_class"] = {name: ClassFigures(**figures) for name, figures in entry["per_class"].items()}
        for name in ("best", "worst"):
            values[name] = tuple(QueryFigure(**figure) for figure in entry[name])
        return cls(**values)


@dataclass(frozen=True)
class RetrievalReport:
    """Both directions, with everything a reader needs to know what the figures mean.

    Attributes:
        bits: Length of a code.
        encoder: Fingerprint of the encoder that made the codes.
        protocol: Its name, for instance ``"field"``.
        splits: For each split, how many items it has, for instance ``{"test": {"images": 420}}``.
        leakage: ``Leakage.to_dict()`` of ``dtbh.data.splits``: what of the test sounds training has met;
            empty where training is not known.
        checkpoint_rule: How the checkpoint was chosen.
        seed: Of the bootstrap.
        directions: By ``"sound->image"`` and ``"image->sound"``.
        relevance: What counts as relevant.
        ties: How tied items are treated.
        version: Of this form.
    """

    bits: int
    encoder: str
    protocol: str
    splits: Mapping[str, Mapping[str, int]]
    leakage: Mapping[str, Any]
    checkpoint_rule: str
    seed: int
    directions: Mapping[str, DirectionReport]
    relevance: str = RELEVANCE
    ties: str = TIES
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise DataError(f"report version {self.version}, this dtbh reads {VERSION}; evaluate again")
        _check_count("bits", self.bits, low=1)
        try:
            self.leaks  # noqa: B018
        except TypeError as error:
            raise DataError(f"leakage must be what Leakage.to_dict() gives ({error})") from None
        if set(self.directions) != set(DIRECTIONS):
            raise DataError(f"a report has the directions {DIRECTIONS}, found {sorted(self.directions)}")
        for name, direction in self.directions.items():
            for key, counts in direction.distances.items():
                if len(counts) != self.bits + 1:
                    raise DataError(f"{name}: {key} distances must be 0..{self.bits}, found {len(counts)} counts")

    @property
    def leaks(self) -> str:
        """What stands in training and in test, in words."""
        return Leakage(**self.leakage).describe() if self.leakage else "not known"

    @property
    def sizes(self) -> str:
        """The splits and their sizes, in words."""
        parts = []
        for name, counts in self.splits.items():
            parts.append(f"{name} " + ", ".join(f"{count:,} {what}" for what, count in counts.items()))
        return "; ".join(parts) or "not known"

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers, ready for JSON."""
        return {"version": self.version, **asdict(self)}

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> RetrievalReport:
        """The report that ``to_dict`` wrote.

        Raises:
            DataError: Of another version, or a field is missing, unknown or out of range.
        """
        version = entry.get("version")
        if version != VERSION:
            raise DataError(f"report version {version}, this dtbh reads {VERSION}; run dtbh evaluate again")
        try:
            unknown = sorted(set(entry) - {field.name for field in fields(cls)})
            if unknown:
                raise DataError(f"a report has no field {unknown[0]}; run dtbh evaluate again")
            directions = {name: DirectionReport.from_dict(one) for name, one in entry["directions"].items()}
            return cls(**{**entry, "directions": directions})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"not a report ({type(error).__name__}: {error}); run dtbh evaluate again") from None


def _int_keys(entry: Mapping[Any, float]) -> dict[int, float]:
    return {int(key): value for key, value in entry.items()}


def _check_shares(of: str, shares: Mapping[Any, float | None]) -> None:
    """Raise unless every share lies in [0, 1]; NaN does not, None is let through."""
    for name, share in shares.items():
        if share is not None and not 0 <= share <= 1:
            raise DataError(f"{of}: {name} must be from 0 to 1, found {share}")


def _check_count(name: str, count: int, *, low: int = 0, high: int | None = None) -> None:
    if count < low or (high is not None and count > high):
        raise DataError(f"{name} must be at least {low}{'' if high is None else f', at most {high}'}, found {count}")
