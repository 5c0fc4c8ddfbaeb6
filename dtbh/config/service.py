"""What the service allows."""

from __future__ import annotations

from pydantic import Field

from dtbh.config.towers import Settings


class Service(Settings):
    """What ``dtbh serve`` allows; no part of a run."""

    upload_mb: float = Field(20.0, gt=0, description="largest request, in megabytes")
    upload_seconds: float = Field(30.0, gt=0, description="longest time a request's body may take to arrive")
    head_seconds: float = Field(20.0, gt=0, description="longest time until a request's head has arrived; then the "
                                "connection is closed")  # fmt: skip
    stall_seconds: float = Field(60.0, gt=0, description="longest time in which a client takes nothing of its answer; "
                                 "then the connection is closed")  # fmt: skip
    sound_seconds: float = Field(60.0, gt=0, description="longest sound that is taken as a query")
    image_megapixels: float = Field(50.0, gt=0, description="largest image that is taken as a query or drawn")
    hits: int = Field(1000, ge=1, description="most hits a query may ask for")
    rescore: int | None = Field(None, ge=0, description="nearest codes that a query which does not say has ordered by "
                                "their vectors, 0 for none; default: as dtbh search does")  # fmt: skip
    expand: int | None = Field(None, ge=0, description="first hits that a rescored query which does not say takes as "
                               "examples of what is meant, 0 for none; default: as dtbh search does")  # fmt: skip
    asymmetric: bool | None = Field(None, description="whether each bit counts as much as the query is sure of it, of "
                                    "queries that do not say; default: as dtbh search does")  # fmt: skip
    queries: int = Field(32, ge=1, description="most queries in one request")
    batch_queries: int = Field(200, ge=1, description="most files in one batch, which is answered as it goes")
    batch_mb: float = Field(100.0, gt=0, description="largest batch, in megabytes; the time that it may take to arrive "
                            "grows likewise")  # fmt: skip
    export_items: int = Field(200, ge=1, description="most items whose files are given away in one zip")
    export_mb: float = Field(200.0, gt=0, description="largest zip, in megabytes")
    batch: int = Field(16, ge=1, description="most queries that are encoded, or searched, together")
    waiting: int = Field(256, ge=1, description="most queries under way; others are sent away with 503")
    wait_seconds: float = Field(20.0, gt=0, description="longest wait for an answer, then 503")
    language: str = Field("auto", description="what is spoken, as in es, for models that hear any language")
    tiles: str = Field("", description="map tiles under footprints, as https://host/{z}/{x}/{y}.png; none by default")
