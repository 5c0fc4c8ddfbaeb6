"""A query, a file or a text, to results.

JSON is `SearchResult.to_dict`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dtbh.data.manifest import Item, Modality
from dtbh.errors import CodesError, ConfigError, DataError
from dtbh.index.base import Find, Index
from dtbh.index.bounds import BOX
from dtbh.index.result import SearchResult
from dtbh.media.files import check_media
from dtbh.models.encoder import Encoder, Encoding, as_query, gives_vectors, text_item
from dtbh.search.confidence import belief, hit_probabilities
from dtbh.search.ranking import BY_BITS, Ranking, best
from dtbh.utils.progress import echo


def encode_query(
    model: Encoder, *, sound: str | Path | None = None, image: str | Path | None = None, text: str | None = None,
    vectors: bool = False,
) -> Encoding:  # fmt: skip
    """The code of one query: a sound file, an image file or a text; with its vector, where that is wanted.

    Of a long sound, or one that begins with silence, the part is heard that says most, and a remark says which.

    Raises:
        ConfigError: None of them, or several.
        DataError: No such file.
        MediaError: It is no regular file or can't be read, or the text has no word.
        DtbhError: There is no tower for it.
    """
    if sum(query is not None for query in (sound, image, text)) != 1:
        raise ConfigError("a search needs one query: give a sound, an image or a text, and only one of them")
    if text is not None:
        return model.encode([text_item(text)], vectors=vectors)
    path = sound if image is None else image
    assert path is not None
    modality: Modality = "image" if image is not None else "sound"
    check_media(Path(path), "an image" if modality == "image" else "a sound")
    if not Path(path).is_file():
        raise DataError(f"{path}: no such file; give a query that exists")
    item, said = as_query(model, Item(str(path), modality, str(Path(path).resolve())))
    if said:
        echo(f"{path}: {said}")
    return model.encode([item], vectors=vectors)


def check_encoder(index: Index, model: Encoder) -> None:
    """Raise `CodesError` unless the model is the one that the index was made with."""
    if model.fingerprint != index.encoder:
        raise CodesError(
            f"{index.name}: made by encoder {index.encoder}, the model is {model.fingerprint}; search "
            f"with {index.model or 'the run that made it'}, or index again"
        )


def ask(
    index: Index,
    model: Encoder,
    *,
    sound: str | Path | None = None,
    image: str | Path | None = None,
    text: str | None = None,
    k: int = 10,
    find: Find | None = None,
    where: Mapping[str, str] | None = None,
    ranking: Ranking | None = None,
) -> SearchResult:
    """Search an index with one sound file, one image file or one text, and say how far each hit can be believed.

    Args:
        index: Where to search.
        model: What encodes the query; the one that the index was made with.
        sound: The query, if it is a sound.
        image: The query, if it is an image.
        text: The query, if it is typed.
        k: Number of hits, from 1.
        find: What to find, as in `Index.search`.
        where: Filters, as in `Index.search`.
        ranking: The order of the hits; that of `ranking_for` unless given.

    Raises:
        ConfigError: Several queries or none, a ranking that the index can't do, or what `Index.search` refuses.
        DataError: No such file.
        CodesError: The model is not the one the index was made with.
    """
    check_encoder(index, model)
    ranking = ranking_for(index, model) if ranking is None else ranking
    query = encode_query(model, sound=sound, image=image, text=text, vectors=ranking.rescore is not None)
    return search(index, model, query, k, find=find, where=where, ranking=ranking)


def ranking_for(index: Index, model: Encoder) -> Ranking:
    """The best that the index can do (`dtbh.search.ranking.best`); by the bits where the model gives no vectors."""
    ranking = best(index)
    return BY_BITS if ranking.rescore is not None and not gives_vectors(model) else ranking


def search(
    index: Index, model: Encoder, asked: Encoding, k: int = 10, *, find: Find | None = None,
    where: Mapping[str, str] | None = None, ranking: Ranking,
) -> SearchResult:  # fmt: skip
    """Search an index with one query that is encoded, and say how far each hit can be believed."""
    ranking.check(index)
    result = index.search(asked.codes, k, find=find, where=where, **ranking.arguments())
    (items,), (distances,) = result.items, result.distances.tolist()
    pairs = [(item.modality, distance) for item, distance in zip(items, distances, strict=True)]
    return replace(result, probabilities=(tuple(hit_probabilities(model.confidence, belief(model, asked), pairs)),))


def why_nothing(index: Index, where: Mapping[str, str]) -> str:
    """Which filters let nothing pass, in a line, with how many values the field has and which are nearest.

    Args:
        index: Where a search with these filters found nothing.
        where: Filters, as in `Index.search`.
    """
    culprits = [(field, value) for field, value in where.items() if not len(index.rows({field: value}))]
    if not culprits:
        return f"no item has all of {', '.join(f'{field}={value}' for field, value in where.items())}"
    return "; ".join(_without(index, field, value) for field, value in culprits)


MOST = 20_000  # values among which the nearest are looked for


def _without(index: Index, field: str, value: str) -> str:
    """That no item has this value, and which there are."""
    line = f"no item has {field}={value}"
    if field in (BOX, "id", "path", "transcript"):
        return line
    known = index.labels() if field == "label" else index.values(field)
    if not known:
        return f"{line}, nor any {field}"
    if len(known) > MOST:
        return f"{line}; there are {len(known)} values"
    near = difflib.get_close_matches(value, known, n=3, cutoff=0)
    several = field if field.endswith("s") else f"{field}s"  # words are several already
    many = f"of {len(known)} {several} the nearest are" if len(known) > len(near) else f"{field} is one of"
    return f"{line}; {many} {', '.join(near)}"
