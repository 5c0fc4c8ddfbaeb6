"""What an evaluation found, as frozen values that are checked when made and go to JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from dtbh.data.leakage import Leakage
from dtbh.errors import DataError
from dtbh.evaluation.metrics.pairs import AT
from dtbh.evaluation.metrics.radius import RadiusPoint
from dtbh.evaluation.results.figures import (
    MEASURES,
    ClassFigures,
    Confusion,
    CutPoint,
    EmbeddingFigures,
    PairFigures,
    QueryFigure,
    check_count,
    check_interval,
    check_shares,
    int_keys,
    pair_of,
)

__all__ = [
    "CROSS", "DIRECTIONS", "GALLERIES", "VERSION", "WITHIN", "ClassFigures", "Confusion", "CutPoint", "DirectionReport",
    "EmbeddingFigures", "PairFigures", "QueryFigure", "RetrievalReport",
]  # fmt: skip

VERSION = 2
CROSS = ("sound->image", "image->sound")
TYPED = ("text->image", "image->text")
WITHIN = ("image->image", "sound->sound")
DIRECTIONS = CROSS + TYPED + WITHIN
GALLERIES = ("test", "val", "train", "all")
WITHOUT = {"drop": "left out", "zero": "counted as 0", "error": "refused"}
"""What becomes of queries without relevant items, in words."""
TIES = "averaged over all orders"
RELEVANCE = "same class; beside it the true pair, where pairs are known"
SEVERAL = "one label in common or more; beside it the true pair, where pairs are known"
SIDES = {"queries", "gallery"}
MORE_AT = ("more_at", "chance_more_at")
GRADED = ("ndcg", "chance_ndcg", "ndcg_interval")
"""The figures that a direction has only where items have several labels."""
AT_K = (*MEASURES, *(f"chance_{name}" for name in MEASURES))


@dataclass(frozen=True)
class DirectionReport:
    """The figures of one direction; all shares in [0, 1], all exact over orders of tied items.

    Attributes:
        gallery: Which split was searched: ``"test"``, ``"val"``, ``"train"`` or ``"all"``. Within a modality a query
            is no part of its own ranking.
        map: Mean average precision: the precision at each relevant item (of the same class) in the whole gallery, over
            all R relevant items of the query; the mean over queries.
        chance_map: What a random ranking is expected to have.
        interval: 95 % bootstrap interval of ``map`` (percentiles), drawing images with all their sounds; None
            with one image.
        n_queries: Labelled queries.
        n_gallery: Labelled gallery items.
        queries_without_relevant: Those of ``n_queries`` with nothing relevant in the gallery; what became of
            them is ``RetrievalReport.without``.
        unlabelled: How many ``queries`` and ``gallery`` items have no label and were left out.
        precision_at: For each k, the mean share of relevant items among the first k.
        chance_precision_at: The same of a random ranking.
        recall_at: For each k, the mean share of the relevant items found among the first k.
        chance_recall_at: The same of a random ranking.
        f1_at: For each k, the mean harmonic mean of both.
        chance_f1_at: The same of a random ranking.
        ndcg_at: For each k, the mean NDCG with gain 1 for relevant items and discount 1/log2(1 + rank).
        chance_ndcg_at: The same of a random ranking.
        more_at: For each further measure of ``metrics.measures.MEASURES``, by its name, its mean for each k.
        chance_more_at: The same of a random ranking.
        precision_curve: Precision and recall of the first k, for k over the whole gallery.
        within_radius: Precision and recall within each Hamming radius at which something changes.
        conventions: mAP as other definitions give it, by their name in ``conventions.CONVENTIONS``.
        chance_conventions: The same of a random ranking.
        anmrr: Average normalised modified retrieval rank, with K = 2 R; 0 is best.
        chance_anmrr: The same of a random ranking.
        pairs: The figures on true pairs; None where no query's pair is known in the gallery.
        per_class: The figures of each class of queries, by its name.
        confusion: Which classes stand in front; None with more than 100 classes.
        distances: For ``relevant`` and ``irrelevant``, how many query-gallery pairs stand at each distance
            0..bits.
        distinct_codes: How many different codes the ``queries`` and the ``gallery`` have, labelled or not.
        bits_constant: Which bits never change, of ``queries`` and of ``gallery``.
        bit_balance: The share of ones of each bit, of ``queries`` and of ``gallery``.
        bit_correlation: The mean absolute correlation between two bits, of ``queries`` and of ``gallery``; None
            where fewer than two bits change.
        best: The best query of each class, best first.
        worst: The worst query of each class, worst first.
        embeddings: What the real values rank that the codes were made of, by the metric of their distances; empty
            where they were not given.
        ndcg: NDCG of the whole ranking, its gain the number of labels that an item shares with the query, as it is in
            ``ndcg_at`` then; relevant is what shares one at least. Only where items have several labels.
        chance_ndcg: The same of a random ranking.
        ndcg_interval: 95 % bootstrap interval of ``ndcg``, as ``interval`` is of ``map``.
        query_figures: Every labelled query, in order; kept in ``queries.csv``, not in the JSON, and not compared.
    """

    gallery: str
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
    f1_at: Mapping[int, float]
    chance_f1_at: Mapping[int, float]
    ndcg_at: Mapping[int, float]
    chance_ndcg_at: Mapping[int, float]
    precision_curve: tuple[CutPoint, ...]
    within_radius: tuple[RadiusPoint, ...]
    conventions: Mapping[str, float]
    chance_conventions: Mapping[str, float]
    anmrr: float
    chance_anmrr: float
    pairs: PairFigures | None
    per_class: Mapping[str, ClassFigures]
    confusion: Confusion | None
    distances: Mapping[str, tuple[int, ...]]
    distinct_codes: Mapping[str, int]
    bits_constant: Mapping[str, tuple[int, ...]]
    bit_balance: Mapping[str, tuple[float, ...]]
    bit_correlation: Mapping[str, float | None]
    best: tuple[QueryFigure, ...]
    worst: tuple[QueryFigure, ...]
    embeddings: Mapping[str, EmbeddingFigures]
    more_at: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    chance_more_at: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    ndcg: float | None = None
    chance_ndcg: float | None = None
    ndcg_interval: tuple[float, float] | None = None
    query_figures: tuple[QueryFigure, ...] = field(default=(), compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.gallery not in GALLERIES:
            raise DataError(f"gallery must be one of {', '.join(GALLERIES)}, found {self.gallery!r}")
        shares = ("map", "chance_map", "anmrr", "chance_anmrr", *GRADED[:2])
        check_shares("a direction", {name: getattr(self, name) for name in shares})
        for name in (*AT_K, "conventions", "chance_conventions"):
            check_shares(name, getattr(self, name))
        for name in MORE_AT:
            for further, values in getattr(self, name).items():
                check_shares(further, values)
        check_interval(self.interval)
        check_interval(self.ndcg_interval)
        check_count("n_queries", self.n_queries, low=1)
        check_count("n_gallery", self.n_gallery, low=1)
        check_count("queries_without_relevant", self.queries_without_relevant, high=self.n_queries - 1)
        for name in ("unlabelled", "distinct_codes", "bits_constant", "bit_balance", "bit_correlation"):
            if set(getattr(self, name)) != SIDES:
                raise DataError(f"{name} must name queries and gallery, found {sorted(getattr(self, name))}")
        if set(self.distances) != {"relevant", "irrelevant"}:
            raise DataError(f"distances must name relevant and irrelevant, found {sorted(self.distances)}")

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> DirectionReport:
        """The direction that ``to_dict`` wrote, also after JSON made its whole-number keys strings."""
        values = {"chance_conventions": {}, **entry}  # earlier reports have none
        for name in AT_K:
            values[name] = int_keys(entry[name])
        for name in MORE_AT:
            values[name] = {further: int_keys(each) for further, each in entry.get(name, {}).items()}
        for name in ("distances", "bits_constant", "bit_balance"):
            values[name] = {key: tuple(numbers) for key, numbers in entry[name].items()}
        values["interval"] = pair_of(entry["interval"])
        values["ndcg_interval"] = pair_of(entry.get("ndcg_interval"))
        values["pairs"] = PairFigures.from_dict(entry["pairs"])
        values["precision_curve"] = tuple(CutPoint(**point) for point in entry["precision_curve"])
        values["within_radius"] = tuple(RadiusPoint(**point) for point in entry["within_radius"])
        values["per_class"] = {
            name: ClassFigures(**{**figures, "interval": pair_of(figures["interval"])})
            for name, figures in entry["per_class"].items()
        }
        if entry["confusion"] is not None:
            labels, rows = entry["confusion"]["labels"], entry["confusion"]["rows"]
            values["confusion"] = Confusion(tuple(labels), tuple(map(tuple, rows)))
        values["embeddings"] = {name: EmbeddingFigures.from_dict(one) for name, one in entry["embeddings"].items()}
        for name in ("best", "worst"):
            values[name] = tuple(QueryFigure(**figure) for figure in entry[name])
        return cls(**values)


@dataclass(frozen=True)
class RetrievalReport:
    """One direction or more, with everything a reader needs to know what the figures mean.

    Attributes:
        bits: Length of a code.
        encoder: Fingerprint of the encoder that made the codes.
        protocol: Its name, for instance ``"field"``.
        splits: For each split, how many items it has, for instance ``{"test": {"images": 420}}``.
        leakage: ``Leakage.to_dict()`` of ``dtbh.data.splits``: what of the test sounds training has met;
            empty where training is not known.
        checkpoint_rule: How the checkpoint was chosen.
        seed: Of the bootstrap.
        directions: By name, of `DIRECTIONS`; one at least.
        without: What became of queries without relevant items: ``"drop"`` left them out, ``"zero"`` counted
            them as 0; with ``"error"`` there were none.
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
    without: str = "drop"
    relevance: str = RELEVANCE
    ties: str = TIES
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise DataError(f"report version {self.version}, this dtbh reads {VERSION}; evaluate again")
        if self.without not in WITHOUT:
            raise DataError(f"without must be one of {', '.join(WITHOUT)}, found {self.without!r}")
        check_count("bits", self.bits, low=1)
        try:
            self.leaks  # noqa: B018
        except TypeError as error:
            raise DataError(f"leakage must be what Leakage.to_dict() gives ({error})") from None
        if not self.directions or not set(self.directions) <= set(DIRECTIONS):
            raise DataError(f"a report has directions of {DIRECTIONS}, found {sorted(self.directions)}")
        for name, direction in self.directions.items():
            for key, counts in direction.distances.items():
                if len(counts) != self.bits + 1:
                    raise DataError(f"{name}: {key} distances must be 0..{self.bits}, found {len(counts)} counts")

    @property
    def graded(self) -> bool:
        """Whether items have several labels, so that one may share more of them than another."""
        return any(one.ndcg is not None for one in self.directions.values())

    @property
    def mean_recall(self) -> dict[str, tuple[float, float]]:
        """Of ``sound`` and ``text``: the mean of R@1, 5 and 10 of the true pair, to images and back, and its chance.

        The mR of the field's image-text tables (an image's own captions are each its pair: the first of them counts).
        Only where both directions know pairs, and rankings are ten long at least.
        """
        found = {}
        for kind in ("sound", "text"):
            ways = [self.directions.get(name) for name in (f"{kind}->image", f"image->{kind}")]
            pairs = [way.pairs for way in ways if way is not None and way.pairs is not None]
            if len(pairs) == 2 and all(len(pair.hit_at) == len(AT) for pair in pairs):
                ours, chance = ([*a.values(), *b.values()] for a, b in (
                    [pair.hit_at for pair in pairs], [pair.chance_hit_at for pair in pairs]
                ))  # fmt: skip
                found[kind] = (sum(ours) / len(ours), sum(chance) / len(chance))
        return found

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

    def _repr_html_(self) -> str:
        """The main figures, as notebooks show them."""
        from html import escape

        head = "".join(f"<th>{name}</th>" for name in ("direction", "mAP", "chance", "queries", "gallery"))
        rows = "".join(
            f"<tr><td>{escape(name)}</td><td>{one.map:.4f}</td><td>{one.chance_map:.4f}</td>"
            f"<td>{one.n_queries:,}</td><td>{one.n_gallery:,}</td></tr>"
            for name, one in self.directions.items()
        )
        said = f"{self.bits} bits, protocol {escape(self.protocol)}; {escape(self.sizes)}"
        return f"<table><caption>{said}</caption><tr>{head}</tr>{rows}</table>"

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionaries, lists and numbers, ready for JSON."""
        directions = {name: replace(one, query_figures=()) for name, one in self.directions.items()}
        entry = {"version": self.version, **asdict(replace(self, directions=directions))}
        for direction in entry["directions"].values():
            del direction["query_figures"]
            for name in GRADED if direction["ndcg"] is None else ():
                del direction[name]
        return entry

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
            unknown = sorted(set(entry) - {one.name for one in fields(cls)})
            if unknown:
                raise DataError(f"a report has no field {unknown[0]}; run dtbh evaluate again")
            directions = {name: DirectionReport.from_dict(one) for name, one in entry["directions"].items()}
            return cls(**{**entry, "directions": directions})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DataError(f"not a report ({type(error).__name__}: {error}); run dtbh evaluate again") from None
