"""Readers of `fuzz.py`: all that reads a file, a folder or a request, with what it can read."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz_inputs import files_of, images, scenes, sounds
from PIL import Image

from dtbh.config import read_config
from dtbh.data.checks import look_at_image, look_at_sound
from dtbh.data.manifest import read_manifest
from dtbh.data.sources.readers import read_captions
from dtbh.data.sources.table import table
from dtbh.data.tiling import Tiling, cut, media_of
from dtbh.errors import ConfigError, DataError, MediaError
from dtbh.evaluation.report import read_report
from dtbh.index.archive.archive import open_archive
from dtbh.media.image import load_pixels
from dtbh.media.sound import load_sound
from dtbh.models.confidence import read_confidence
from dtbh.models.load import load
from dtbh.models.run_files import read_run

FORM = "multipart/form-data; boundary=xx"


@dataclass(frozen=True)
class Reader:
    """What reads a kind of input.

    Attributes:
        name: Of the kind.
        seeds: Valid inputs: the bytes of a file, or of each file of a folder by name.
        read: Reads a file of that name, or a folder, whose bytes were altered.
        suffix: Of the file.
    """

    name: str
    seeds: Sequence[bytes | dict[str, bytes]]
    read: Callable[[Path], object]
    suffix: str = ""


def of_sound(path: Path) -> None:
    """A sound, as it is encoded and as it is checked."""
    with suppress(MediaError):
        look_at_sound(path)
    load_sound(path, max_seconds=10)


def of_image(path: Path) -> None:
    """An image, as it is encoded and as it is checked."""
    with suppress(MediaError):
        look_at_image(path)
    load_pixels(path, 16)


def of_scene(path: Path) -> None:
    """A scene, cut into tiles of which some are read."""
    for item in cut(path, "scene", Tiling(8))[:3]:
        load_pixels(media_of(item), 8)


def of_captions(path: Path) -> None:
    """The captions of a data set, as the field has them."""
    problems: list[str] = []
    read_captions(path, problems)
    if problems:
        raise DataError("captions", problems)


def of_run(folder: Path) -> None:
    """A run, all but its weights."""
    read_run(folder)
    read_confidence(folder)
    read_config(folder / "config.yaml")


def of_codes(folder: Path) -> None:
    """A folder of codes."""
    from dtbh.codes import read_codes

    read_codes(folder)


def of_archive(folder: Path) -> None:
    """All that an archive says, and a search in it."""
    archive = open_archive(folder)
    archive.verify()
    rows = archive.rows()
    archive.info()
    archive.search(archive.at(rows[:1]), k=3)
    [item for label in archive.labels()[:2] for item in archive.items(archive.rows({"label": label}))]


def of_model(folder: Path) -> None:
    """An exported model, and what it makes of a sound and an image."""
    model = load(folder)
    model.confidence  # noqa: B018
    with tempfile.TemporaryDirectory() as temporary:
        image, sound = (Path(temporary) / name for name in ("image.png", "sound.wav"))
        Image.new("RGB", (8, 8), "navy").save(image)
        sound.write_bytes(sounds()[0])
        with suppress(ConfigError):  # without a tower of images
            model.encode_images([image])
        model.encode_sounds([sound])


def answers(client: Any, hits: Sequence[dict[str, Any]]) -> list[Reader]:
    """Requests to a service, whose bodies and addresses are altered."""

    def ask(what: str, address: str, body: bytes, kind: str) -> int:
        reply = client.request(what, address, content=body, headers={"content-type": kind})
        if reply.status_code >= 500 and reply.status_code != 503:
            raise AssertionError(f"{reply.status_code} {reply.text[:200]}")
        return int(reply.status_code)

    def of_json(path: Path) -> None:
        ask("POST", "/v1/search/code", path.read_bytes(), "application/json")

    def of_form(path: Path) -> None:
        for modality in ("sound", "image"):
            ask("POST", f"/v1/search/{modality}?k=2", path.read_bytes(), FORM)

    def of_address(path: Path) -> None:
        said = "".join(chr(byte) for byte in path.read_bytes() if 32 < byte < 127 and byte not in b"#\\")
        with suppress(UnicodeError, httpx.InvalidURL):
            ask("GET", "/v1/" + said, b"", "text/plain")

    import httpx

    code = {"codes": [hit["code"] for hit in hits], "k": 3, "where": ["label=red"]}
    head = b'--xx\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
    forms = [head + data + b"\r\n--xx--\r\n" for data in (sounds()[0], images()[0])]
    places = [b"items?modality=image&limit=3&offset=1", f"items/{hits[0]['id']}".encode(), b"items/a/media?size=40"]
    asked = json.dumps(code).encode()
    assert ask("POST", "/v1/search/code", asked, "application/json") == 200, "it is valid before it is altered"
    assert ask("POST", "/v1/search/sound", forms[0], FORM) == 200
    return [
        Reader("request as JSON", [asked], of_json),
        Reader("request with a file", forms, of_form),
        Reader("address", places, of_address),
    ]


def readers(run: Path, data: Path, archive: Path, codes: Path, exported: Path | None, client: Any) -> list[Reader]:
    """Every reader, with what it can read."""
    rows = b"image,sound,label,transcript\na.png,a.wav,red,a red tile\nb.png,b.wav,blue,a blue tile\n"
    lines = b'{"image": "a.png", "label": "red", "transcript": "one"}\n{"sound": "b.wav", "label": "a;b"}\n'
    entry = {
        "filename": "a.tif",
        "imgid": 0,
        "sentids": [0],
        "split": "train",
        "sentences": [{"raw": "a", "sentid": 0}],
    }
    captions = json.dumps({"images": [entry, entry | {"filename": "b.tif"}], "dataset": "ucm"}).encode()
    found = [
        Reader("sound", sounds(), of_sound, ".wav"),
        Reader("image", images(), of_image, ".png"),
        Reader("scene", scenes(), of_scene, ".tif"),
        Reader("table", [rows, rows.replace(b",", b"\t"), rows.decode().encode("utf-16")], table, ".csv"),
        Reader("table of JSON", [lines], table, ".jsonl"),
        Reader("captions", [captions], of_captions, ".json"),
        Reader("manifest", [(data / "manifest.jsonl").read_bytes()], read_manifest, ".jsonl"),
        Reader("run", [files_of(run, "run.json", "config.yaml", "confidence.json")], of_run),
        Reader("codes", [files_of(codes)], of_codes),
        Reader("archive", [files_of(archive)], of_archive),
        Reader("report", [files_of(run / "report", "report.json", "queries.csv")], read_report),
        Reader("exported model", [] if exported is None else [files_of(exported)], of_model),
    ]
    if client is not None:
        kinds = [client.get(f"/v1/items?modality={kind}").json()["items"] for kind in ("image", "sound")]
        there = [one for items in kinds for one in items[:2]]
        found += answers(client, [client.get(f"/v1/items/{one['id']}").json() for one in there])
    return [reader for reader in found if reader.seeds]
