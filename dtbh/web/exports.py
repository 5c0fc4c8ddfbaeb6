"""What is taken away: hits as a table, and the files of chosen items as a zip of bounded size."""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import IO

from fastapi import FastAPI, HTTPException, Response
from starlette.concurrency import run_in_threadpool

from dtbh.config import Service
from dtbh.data.manifest import Item
from dtbh.errors import MediaError
from dtbh.web import schemas
from dtbh.web.archives import ArchiveRegistry
from dtbh.web.previews import TYPES, whole_tile
from dtbh.web.query_service import entry
from dtbh.web.questions import few, item_of
from dtbh.web.uploads import CleanedStream

KNOWN = ("rank", "distance", "similarity", "probability", "archive", "id", "modality", "label", "pair", "split",
         "speaker", "transcript", "code")  # fmt: skip
IN_MEMORY, CHUNK = 16 << 20, 1 << 16  # bytes


class Zip(CleanedStream):
    """A zip archive."""

    media_type = "application/zip"


def add_exports(app: FastAPI, registry: ArchiveRegistry, limits: Service) -> None:
    """The route that gives files away."""

    @app.post(
        "/v1/export", tags=["items"], response_class=Response,
        responses={200: {"content": {Zip.media_type: {"schema": {"type": "string", "format": "binary"}}}}},
    )  # fmt: skip
    async def export(chosen: schemas.Chosen) -> Response:
        """The files of some items as a zip, with what is known of them in `items.json`."""
        few(len(chosen.items), limits.export_items, "items fit in one export")
        found = [item_of(registry, one.id, one.archive) for one in chosen.items]
        entries = [(item, entry(name, item, code)) for name, item, code, _ in found]
        async with AsyncExitStack() as stack:
            file = stack.enter_context(tempfile.SpooledTemporaryFile(IN_MEMORY))  # noqa: SIM115 (the stack closes it)
            await run_in_threadpool(_zip, file, entries, limits)
            kept = stack.pop_all()
        headers = {"content-disposition": 'attachment; filename="items.zip"', "content-length": str(file.tell())}
        file.seek(0)
        return Zip(_chunks(file), headers=headers, closing=kept.aclose)


def hits_as_csv(reply: schemas.BatchReply) -> str:
    """A row a hit with the name of its query, then a row a failure; footprints as WKT, lines end with a newline."""
    rows = [
        {"query": answer.name, **hit.fields, **hit.model_dump(), "footprint": _wkt(hit.footprint)}
        for answer in reply.queries
        for hit in answer.hits
    ]
    rows += [{"query": failure.name, "problem": failure.problem} for failure in reply.failures]
    fields = [name for answer in reply.queries for hit in answer.hits for name in hit.fields]
    some = [name for name in ("footprint", "problem") if any(row.get(name) for row in rows)]
    out = io.StringIO()
    columns = [*dict.fromkeys(("query", *KNOWN, *fields, *some))]
    writer = csv.DictWriter(out, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def _plain(value: object) -> object:
    """A text in one line, so that a row is one."""
    return " ".join(value.split()) if isinstance(value, str) else value


def _wkt(footprint: Sequence[tuple[float, float]] | None) -> str | None:
    """A ring as WKT, which programs of GIS read."""
    if not footprint:
        return None
    return f"POLYGON (({', '.join(f'{east} {north}' for east, north in (*footprint, footprint[0]))}))"


def _zip(file: IO[bytes], entries: Sequence[tuple[Item, schemas.Entry]], limits: Service) -> None:
    """Write the files as they are, and tiles as cut from their scenes.

    Raises:
        HTTPException: 413, more than may be given away at once.
    """
    left, known = limits.export_mb * 1e6, []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as out:
        for number, (item, what) in enumerate(entries, start=1):
            row = what.model_dump(exclude={"vector"})
            try:
                suffix, content = _content(item, left, limits)
            except (MediaError, OSError):
                known.append({"file": None, **row})
                continue
            left -= len(content)
            if left < 0:
                raise HTTPException(413, f"too large: at most {limits.export_mb:g} MB are given away at once")
            name = f"{number:03d}-{_safe(item.id).removesuffix(suffix)}{suffix}"
            out.writestr(name, content)
            known.append({"file": name, **row})
        out.writestr("items.json", json.dumps(known, ensure_ascii=False, indent=1))


def _content(item: Item, left: float, limits: Service) -> tuple[str, bytes]:
    """An item's file, or what is cut from it, and its suffix; what is too large is cut off behind ``left``."""
    if item.path is None:
        raise MediaError(f"{item.id}: its file is not known")
    if item.window is not None:
        return ".jpg", whole_tile(item, limits)[0]
    path = Path(item.path)
    with path.open("rb") as file:
        return path.suffix.lower() if path.suffix.lower() in TYPES else ".bin", file.read(int(left) + 1)


def _safe(id: str) -> str:
    """An id as the name of a file: no folders, nothing that a system forbids."""
    return re.sub(r"[^\w.-]+", "_", id).strip("._")[-80:]


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK):
        yield chunk
