"""The models behind the archives, loaded in the background: the page is there before they are.

A model answers only for archives that it made: fingerprints are compared.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Literal

from dtbh.data.manifest import Modality
from dtbh.errors import CodesError, DtbhError, RunError
from dtbh.index.base import Index
from dtbh.models.confidence import Confidence
from dtbh.models.encoder import Encoder

State = Literal["loading", "ready", "failed"]


class Models:
    """Models by the archives that they made; each is loaded once, one at a time.

    Args:
        path: The model of all archives; without it each archive's own.
        load: Opens one.
        language: What is spoken, or ``auto``.
    """

    def __init__(self, path: str | Path | None, load: Callable[[str | Path], Encoder], language: str = "auto") -> None:
        self._path, self._load, self._language = path, load, language
        self._known: dict[tuple[str | Path | None, str], Future[Encoder]] = {}
        self._one, self._lock = threading.Lock(), threading.Lock()

    def start(self, archive: Index) -> Future[Encoder]:
        """Begin to load the archive's model, unless that was begun; an archive made anew has another encoder."""
        key = (self._path or archive.model, archive.encoder)
        with self._lock:
            if key not in self._known:
                self._known[key] = Future()
                threading.Thread(target=self._open, args=(*key, self._known[key], archive), daemon=True).start()
            return self._known[key]

    async def of(self, archive: Index) -> Encoder:
        """The archive's model, when it is loaded.

        Raises:
            DtbhError: It can't be loaded, or did not make this archive.
        """
        return await asyncio.shield(asyncio.wrap_future(self.start(archive)))

    def state(self, archive: Index) -> tuple[State, str | None]:
        """How far the archive's model is, and why it failed."""
        future = self.start(archive)
        if not future.done():
            return "loading", None
        error = future.exception()
        return ("ready", None) if error is None else ("failed", str(error))

    def confidence(self, archive: Index) -> Confidence | None:
        """How far hits of the archive's model can be believed; None while it is not ready.

        Raises:
            RunError: A damaged table.
        """
        future = self.start(archive)
        ready = future.done() and future.exception() is None
        return future.result().confidence if ready else None

    def takes(self, archive: Index) -> tuple[Modality, ...]:
        """What the archive's model has towers for; nothing while it is not ready."""
        future = self.start(archive)
        ready = future.done() and future.exception() is None
        return future.result().senses.modalities if ready else ()

    def takes_texts(self, archive: Index) -> bool:
        """Whether the archive's model is ready and has a text tower."""
        return "text" in self.takes(archive)

    def _open(self, path: str | Path | None, encoder: str, future: Future[Encoder], archive: Index) -> None:
        try:
            if path is None:
                raise RunError(f"{archive.name}: does not say which model made it; serve it with --model PATH")
            with self._one:
                model = self._load(path)
            if model.fingerprint != encoder:
                raise CodesError(
                    f"the codes were made by encoder {encoder}, {path} is {model.fingerprint}; index again, or serve "
                    "with --model PATH of the one that made them"
                )
            model.language = self._language
            future.set_result(model)
        except (DtbhError, OSError) as error:
            future.set_exception(error)
        except Exception as error:
            future.set_exception(RunError(f"{path}: can't be loaded ({type(error).__name__}: {error})"))
