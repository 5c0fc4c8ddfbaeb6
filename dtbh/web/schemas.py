"""What the service is asked and what it replies, as typed models: the OpenAPI page is made of these.

Codes are written as hex digits, two for each byte; bit ``j`` of a code is bit ``j % 8`` (from the lowest) of byte ``j
// 8``, and unused bits are 0.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Modality = Literal["image", "sound", "text"]
Find = Literal["image", "sound", "text", "any"]


def storable(text: str) -> str:
    """Refuse what no UTF-8 text can hold."""
    text.encode("utf-8")  # UnicodeEncodeError is a ValueError
    return text


Text = Annotated[str, Field(max_length=1000), AfterValidator(storable)]
RESCORE = (
    "so many nearest codes, at least k, are ordered by the cosine of their vectors to the query's; of archives that "
    "keep vectors. 0 for none: by the bits alone. Default: what the service was started with, or else, if all archives "
    "keep vectors, 1000, with expand=20, and asymmetric if all can weigh. Where rescore is said, those are off unless "
    "they are said too"
)
EXPAND = (
    "so many first hits of a rescored query are taken as examples of what is meant, and the order is by how alike the "
    "codes are and by the cosine to these hits. 0 for none. Default: as for rescore"
)
ASYMMETRIC = (
    "whether a bit that differs counts as much as the query is sure of it; of archives in files. Default: as for "
    "rescore; of codes that come with weights and without vectors, true"
)
Vector = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]+$", max_length=16384)]
Weights = Annotated[str, Field(pattern=r"^[0-7]+$", max_length=1024)]
Code = Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$", max_length=256, examples=["9f3a00c2d41b7e55"])]


class Schema(BaseModel):
    """Base of all: no unknown key."""

    model_config = ConfigDict(extra="forbid")


class Problem(Schema):
    """Why a request was not answered."""

    detail: str = Field(description="one sentence: what was found, what was wanted")


class Entry(Schema):
    """An item of an archive. What is not known of it is null."""

    archive: str
    id: str
    modality: Modality
    label: str | None = None
    pair: str | None = None
    split: str | None = None
    speaker: str | None = None
    transcript: str | None = Field(None, description="what is said in a sound")
    fields: dict[str, str] = Field(default_factory=dict, description="any further metadata")
    footprint: list[tuple[float, float]] | None = Field(None, description="corners as (longitude, latitude), WGS 84")
    code: str = Field(description="its hash code, in hex; a query for /v1/search/code")
    vector: str | None = Field(
        None, description="goes with the code into a query that is rescored; of one item, where its archive keeps them"
    )


class Named(Schema):
    """An item by its name."""

    id: Text
    archive: Text | None = Field(None, description="the first, if none is named")


class Hit(Entry):
    """An item that was found."""

    rank: int = Field(description="from 1")
    distance: int = Field(description="bits that differ from the query's")
    similarity: float | None = Field(
        None, description="-1 to 1, of a hit that was rescored, or found by weighed bits; null of others"
    )
    probability: float | None = Field(None, description="that it is right, by validation; null where nobody knows")


class Belief(Schema):
    """What a query's hits are believed by; a search with its code takes it again."""

    modality: Modality = Field(description="whose distances it has; of a sound in which words were heard, a text's")
    share: Annotated[float, Field(ge=0, le=1, description="what is left of the probabilities")] = 1


class Answer(Schema):
    """One query and its hits, nearest first: by distance, or, where they have one, by similarity."""

    name: str = Field(description="the query's file name, its text, or its code")
    modality: Modality | None = Field(None, description="null for a code")
    heard: str | None = Field(None, description="the words of a sound whose code is that of its words")
    used: str | None = Field(None, description="what of a long sound was heard, as in: 5.0 to 8.2 s of 60.0 s used")
    strength: Literal["strong", "weak", "nothing close"] | None = Field(
        None, description="by the probability of the likeliest hit: from 0.6 on, from 0.25 on, or less"
    )
    belief: Belief | None = Field(None, description="null for a code that came without")
    code: str = Field(description="the query's hash code, in hex")
    vector: str | None = Field(None, description="the query's vector, where it was rescored")
    weights: str | None = Field(
        None, description="how sure the query is of each bit, a digit from 0 to 7, where bits were weighed"
    )
    preview: str | None = Field(None, description="a thumbnail, or a waveform, as a data URL, where it was asked for")
    hits: list[Hit]


class SearchReply(Schema):
    """The answers, in the order of the queries."""

    bits: int = Field(description="length of a code")
    archives: list[str] = Field(description="those that were searched")
    queries: list[Answer]


class Search(Schema):
    """How to search, whatever the queries are."""

    archive: list[Text] = Field(default_factory=list, description="those to search; all, if none is named")
    k: Annotated[int, Field(ge=1, description="number of hits")] = 10
    where: list[Text] = Field(default_factory=list, description="filters as field=value", examples=[["label=harbor"]])
    distance: Annotated[int, Field(ge=0)] | None = Field(None, description="only hits at most so far away")
    rescore: Annotated[int, Field(ge=0)] | None = Field(None, description=RESCORE)
    expand: Annotated[int, Field(ge=0)] | None = Field(None, description=EXPAND)
    asymmetric: bool | None = Field(None, description=ASYMMETRIC)


class Asked(Search):
    """How to search with files."""

    find: Find | None = Field(None, description="default: the other modality")
    preview: bool = Field(False, description="whether to send pictures of the queries back")


class BatchAsked(Asked):
    """How to search with many files."""

    format: Literal["json", "csv"] = Field("json", description="of the result at the end")


class Progress(Schema):
    """How far a batch is."""

    done: int
    count: int
    name: str = Field(description="of the file that is done")
    problem: str | None = Field(None, description="why it has no answer")


class Failure(Schema):
    """A file that is no query."""

    name: str
    problem: str


class BatchReply(SearchReply):
    """The answers of a batch, in the order of the files, without those that failed."""

    failures: list[Failure]


class Chosen(Schema):
    """Items whose files are wanted."""

    items: Annotated[list[Named], Field(min_length=1)]


class TextQuery(Search):
    """A search with texts: what to look for, in anybody's words."""

    texts: Annotated[list[Text], Field(min_length=1, examples=[["dinghies at a quay"]])]
    find: Find | None = Field(None, description="default: images, where there are any")


class CodeQuery(Search):
    """A search with codes that are known already."""

    codes: Annotated[list[Code], Field(min_length=1)]
    vectors: list[Vector] | None = Field(
        None, description="of each code, as an answer or an item gives it; without them nothing is rescored"
    )
    weights: list[Weights] | None = Field(
        None, description="of each code, as an answer gives them; without them no bits are weighed"
    )
    belief: Belief | None = Field(None, description="as an answer gave it; without it hits have no probability")
    find: Find = "any"


class ArchiveEntry(Schema):
    """An archive that is served."""

    name: str
    bits: int
    encoder: str = Field(description="fingerprint; archives of one encoder can be searched together")
    images: int
    sounds: int
    labels: list[str]
    model: Literal["loading", "ready", "failed"] = Field(description="whether sounds and images can be encoded yet")
    problem: str | None = Field(None, description="why the model failed")
    texts: bool = Field(description="whether the model, once ready, takes texts")
    vectors: bool = Field(False, description="whether vectors are kept, so that hits can be rescored")


class Limits(Schema):
    """What the service allows."""

    upload_mb: float
    sound_seconds: float
    image_megapixels: float
    hits: int
    queries: int
    batch_queries: int = Field(description="most files in one batch")
    batch_mb: float
    export_items: int = Field(description="most items whose files are given away at once")
    rescore: int | None = Field(None, description="nearest codes that are rescored where a query does not say; 0 for "
                                "none, null for what the archives can do")  # fmt: skip
    expand: int | None = Field(None, description="first hits that are examples where a query does not say; as rescore")
    asymmetric: bool | None = Field(None, description="whether bits are weighed where a query does not say; as rescore")


class ArchivesReply(Schema):
    """Everything that is served."""

    version: str
    archives: list[ArchiveEntry]
    limits: Limits
    tiles: str = Field(description="map tiles, as a template of an address; empty for none")


class ItemsReply(Schema):
    """Some items of an archive."""

    items: list[Entry]


class Name(Schema):
    """What some images of a group are."""

    name: str
    share: float = Field(description="of the group's images, 0 to 1")


class OverviewGroup(Schema):
    """Images whose codes lie near each other."""

    share: float = Field(description="of the images that were looked at, 0 to 1")
    names: list[Name] = Field(description="the most frequent first; empty where nobody knows")
    examples: list[Entry] = Field(description="a few of its images, those in its middle first")


class OverviewReply(Schema):
    """What an archive holds at a glance: groups of its images, the largest first."""

    archive: str
    images: int
    sampled: int = Field(description="images that were looked at, evenly from all over")
    groups: list[OverviewGroup]
    source: Literal["labels", "words", "model", "none", "loading"] = Field(
        description="where names come from: the items' labels, what dtbh label gave them, or the model just now; "
        "loading while the model is being asked, so ask again"
    )
    queries: list[str] = Field(description="words to begin with")
    takes: list[Modality] = Field(description="what a query may be; empty until the model is ready")


class Health(Schema):
    """Whether the service is up."""

    status: Literal["ok"]
    models: Literal["loading", "ready", "failed"]
