"""What is sent, as files of our own naming; and streamed replies that clean up behind themselves."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path, PurePosixPath

from fastapi import UploadFile
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import ContentStream
from starlette.types import Receive, Scope, Send

from dtbh.data.manifest import Item, Modality
from dtbh.media.files import image_types
from dtbh.web.query_service import Upload


def modality_of(file: UploadFile) -> Modality:
    """Whether a file was sent as an image; by its media type, or else by its name. All others are sounds."""
    kind = (file.content_type or "").partition("/")[0]
    if kind in ("image", "audio", "video"):
        return "image" if kind == "image" else "sound"
    return "image" if PurePosixPath(file.filename or "").suffix.lower() in image_types() else "sound"


@asynccontextmanager
async def stored(files: Sequence[UploadFile], modality: Modality | None = None) -> AsyncIterator[list[Upload]]:
    """Uploads as files, for as long as they are needed; without a modality each has its own."""
    uploads: list[Upload] = []

    def store() -> None:
        for file in files:
            handle, path = tempfile.mkstemp(prefix="dtbh-query-")
            kind = modality or modality_of(file)
            name = "".join(char for char in file.filename or "" if char.isprintable())[:80] or kind
            uploads.append(Upload(name, Item(name, kind, path)))
            with os.fdopen(handle, "wb") as out:
                shutil.copyfileobj(file.file, out)

    try:
        if sum(file.size or 0 for file in files) < 1 << 20:
            store()  # takes less than another thread's turn
        else:
            await run_in_threadpool(store)
        yield uploads
    finally:
        for upload in uploads:
            Path(str(upload.item.path)).unlink(missing_ok=True)


class CleanedStream(StreamingResponse):
    """A stream that closes what it needed, whether or not anybody read it to its end."""

    def __init__(
        self, content: ContentStream, status_code: int = 200, headers: Mapping[str, str] | None = None, *,
        closing: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        super().__init__(content, status_code, headers)
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send, and clean up."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._closing()
