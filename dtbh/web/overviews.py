"""What each served archive holds at a glance, looked at once a state of the archive.

Words that nobody gave an archive are computed in the background, once its model is there and has a tower for texts.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass

from dtbh.data.manifest import Modality
from dtbh.errors import DtbhError
from dtbh.index.base import Index
from dtbh.media.word_list import land_use_words
from dtbh.models.encoder import Encoder
from dtbh.search.naming import PlacedWords, place_words
from dtbh.search.overview import Overview, overview
from dtbh.web.archives import ArchiveRegistry, to_hex
from dtbh.web.models import Models
from dtbh.web.query_service import entry
from dtbh.web.schemas import Name, OverviewGroup, OverviewReply

EXAMPLES = 6  # words to begin with


@dataclass(frozen=True)
class _Looked:
    """What was seen of a state of an index, and whether words were at hand."""

    index: Index
    seen: Overview
    final: bool


class Overviews:
    """Overviews by the archive's name.

    Args:
        registry: The archives.
        models: What encodes words.
    """

    def __init__(self, registry: ArchiveRegistry, models: Models) -> None:
        self._registry, self._models = registry, models
        self._looked: dict[str, _Looked] = {}
        self._words: dict[tuple[str, bool], Future[PlacedWords]] = {}
        self._lock = threading.Lock()

    def of(self, name: str) -> OverviewReply:
        """The overview of an archive; while its words are being computed it has none, and says so."""
        index = self._registry.archive(name)
        with self._lock:  # who asks meanwhile waits for the same answer
            looked = self._looked.get(name)
            if looked is None or looked.index is not index:
                seen = overview(index)
                looked = _Looked(index, seen, seen.source != "none")
            waits, words = (False, None) if looked.final else self._placed(index)
            if words is not None:
                looked = _Looked(index, overview(index, words), True)
            self._looked[name] = looked
        return _reply(name, looked.seen, waits=waits, takes=self._models.takes(index))

    def _placed(self, index: Index) -> tuple[bool, PlacedWords | None]:
        """Whether words are still to come, and the words, if they are there."""
        state, _ = self._models.state(index)
        if state != "ready" or not self._models.takes_texts(index):
            return state == "loading", None
        model, key = self._models.start(index).result(), (index.encoder, index.vector_dim is not None)
        if key not in self._words:
            self._words[key] = Future()
            threading.Thread(target=_place, args=(model, key[1], self._words[key]), daemon=True).start()
        found = self._words[key]
        if not found.done():
            return True, None
        return False, None if found.exception() else found.result()


def _place(model: Encoder, vectors: bool, future: Future[PlacedWords]) -> None:
    try:
        future.set_result(place_words(model, land_use_words(), vectors=vectors))
    except Exception as error:  # the page goes without words
        future.set_exception(DtbhError(str(error)))


def _reply(name: str, seen: Overview, *, waits: bool, takes: tuple[Modality, ...]) -> OverviewReply:
    """An overview as the service tells of it."""
    codes = seen.codes
    groups = [
        OverviewGroup(
            share=group.size / len(codes),
            names=[Name(name=word, share=round(share, 3)) for word, share in group.names],
            examples=[entry(name, codes.items[row], to_hex(codes.words[row], codes.bits)) for row in group.examples],
        )
        for group in seen.groups
    ]
    first = dict.fromkeys(group.names[0].name for group in groups if group.names)
    return OverviewReply(
        archive=name, images=seen.total, sampled=len(codes), groups=groups, source="loading" if waits else seen.source,
        queries=[*first][:EXAMPLES], takes=list(takes),
    )  # fmt: skip
