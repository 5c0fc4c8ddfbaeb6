"""Damaged files and requests: whether every reader gives what it read, or one line that says what is wrong.

    python examples/fuzz.py --inputs 50000

Files that can be read (sounds, images, scenes, tables, manifests, configs, runs, codes, archives, reports, exported
models) and requests to the service are altered at random and read in this process. It is a failure to raise anything
but a DtbhError, to answer with 500 or more but 503, to work for over ten seconds or wait for over a minute, or to take
over a gigabyte of memory.
Input 1234 is drawn from its number alone: --first 1234 --inputs 1 gives it again. The exit code is 1 where any failed.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from dtbh.config import read_config
from dtbh.data.checks import look_at_image, look_at_sound
from dtbh.data.manifest import read_manifest
from dtbh.data.sources.readers import read_captions
from dtbh.data.sources.table import table
from dtbh.data.tiling import Tiling, cut, media_of
from dtbh.errors import ConfigError, DataError, DtbhError, MediaError, MissingExtraError
from dtbh.evaluation.report import read_report
from dtbh.index.archive.archive import open_archive
from dtbh.media.image import load_pixels
from dtbh.media.sound import load_sound
from dtbh.models.confidence import read_confidence
from dtbh.models.load import load
from dtbh.models.run_files import read_run

SECONDS, WAITING, BYTES = 10.0, 60.0, 1 << 30
FORM = "multipart/form-data; boundary=xx"
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1e308, float("nan"), float("inf"), 10**30, "", "\ud800", "\0", "../..", "a;b", "x" * 5000, [],
    {}, [[]], {"": None}, [None] * 50,
)  # fmt: skip
DEEP = "[" * 100_000


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


class TooLongError(Exception):
    """A reader took too long."""


def altered(data: bytes, draw: random.Random) -> bytes:
    """Valid bytes, altered here and there; JSON, or lines of it, also in their values."""
    if data[:1] in b"{[" and draw.random() < 0.6:
        with suppress(ValueError):
            return _altered_json(data, draw)
    new = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        at, how = draw.randrange(len(new) + 1), draw.randrange(7)
        size = draw.choice((1, 2, 4, 8, 64, 1024))
        if how == 0:
            del new[at:]
        elif how == 1:
            del new[at : at + size]
        elif how == 2:
            new[at:at] = draw.randbytes(size)
        elif how == 3:
            new[at : at + size] = draw.randbytes(len(new[at : at + size]))
        elif how == 4:
            number = draw.choice(NUMBERS).to_bytes(8, "little")[: draw.choice((1, 2, 4))]
            new[at : at + len(number)] = number if draw.random() < 0.5 else number[::-1]
        elif how == 5:
            there = draw.randrange(len(new) + 1)
            new[at:at] = new[there : there + size]
        elif at < len(new):
            new[at] ^= 1 << draw.randrange(8)
    return bytes(new)


def _altered_json(data: bytes, draw: random.Random) -> bytes:
    """One value of a line of JSON, or of a whole file, replaced, left out or added."""
    lines = data.decode().splitlines()
    try:
        values, whole = [json.loads(line) for line in lines if line.strip()], False
    except ValueError:
        values, whole = [json.loads(data)], True
    row = draw.randrange(len(values))
    path: list[tuple[Any, Any]] = []
    node = values[row]
    while isinstance(node, (dict, list)) and node and (not path or draw.random() < 0.7):
        key = draw.choice(list(node)) if isinstance(node, dict) else draw.randrange(len(node))
        path.append((node, key))
        node = node[key]
    parent, key = path[-1] if path else ({}, "x")
    if draw.random() < 0.2:
        del parent[key]
    elif isinstance(parent, dict) and draw.random() < 0.2:
        parent[draw.choice(("id", "x", "version", "label", "\ud800"))] = draw.choice(VALUES)
    else:
        parent[key] = draw.choice(VALUES)
    texts = [json.dumps(value, indent=1 if whole else None) for value in values]
    if draw.random() < 0.02:
        texts[row] = DEEP
    return ("\n".join(texts) + "\n").encode()


@contextmanager
def bounded() -> Iterator[None]:
    """Break off what works too long or waits for ever, and notice what takes far more memory than an input may.

    Raises:
        TooLongError: It worked for over ten seconds, or waited for over a minute.
        MemoryError: It took over a gigabyte.
    """

    def too_long(number: int, _frame: FrameType | None) -> None:
        raise TooLongError(f"worked over {SECONDS:g} s" if number == signal.SIGPROF else f"waited over {WAITING:g} s")

    before = [signal.signal(number, too_long) for number in (signal.SIGPROF, signal.SIGALRM)]
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    worked = time.process_time()  # not the wall's clock: the machine may have other work
    timer = signal.setitimer(signal.ITIMER_REAL, WAITING)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, *timer)
        for number, handler in zip((signal.SIGPROF, signal.SIGALRM), before, strict=True):
            signal.signal(number, handler)
    if (seconds := time.process_time() - worked) > SECONDS:
        raise TooLongError(f"worked {seconds:.0f} s")
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most)
    if grown > BYTES:
        raise MemoryError(f"{grown / 1e9:.1f} GB more than before")


@cache
def sounds() -> tuple[bytes, ...]:
    """A second of a tone in every format that can be written here."""
    wave = 0.3 * np.sin(np.arange(8000) / 5)
    found = []
    for kind, subtype, rate in (
        ("WAV", "PCM_16", 16000), ("WAV", "FLOAT", 8000), ("FLAC", None, 16000), ("OGG", "VORBIS", 16000),
        ("OGG", "OPUS", 16000), ("MP3", None, 16000), ("AIFF", None, 16000), ("AU", None, 16000), ("CAF", None, 16000),
    ):  # fmt: skip
        with suppress(soundfile.LibsndfileError, ValueError):
            file = io.BytesIO()
            soundfile.write(file, wave, rate, format=kind, subtype=subtype)
            found.append(file.getvalue())
    return (*found, *_containers(wave))


def _containers(wave: np.ndarray[Any, Any]) -> Iterator[bytes]:
    """The same as phones and browsers record it, where PyAV is installed."""
    try:
        import av
    except ModuleNotFoundError:
        return
    for kind, codec, rate in (("mp4", "aac", 16000), ("webm", "libopus", 48000), ("adts", "aac", 16000)):
        file = io.BytesIO()
        with av.open(file, "w", format=kind) as out:
            stream = out.add_stream(codec, rate=rate, layout="mono")
            frame = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
            frame.sample_rate = rate
            for part in (frame, None):
                for packet in stream.encode(part):
                    out.mux(packet)
        yield file.getvalue()


def images() -> list[bytes]:
    """A small picture in several formats and modes."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    found = []
    for kind, mode, how in (
        ("PNG", "RGB", {}), ("PNG", "P", {}), ("PNG", "RGBA", {}), ("JPEG", "RGB", {}), ("JPEG", "CMYK", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}), ("TIFF", "F", {}), ("TIFF", "I;16", {}), ("BMP", "RGB", {}),
        ("GIF", "P", {}), ("WEBP", "RGB", {}), ("PPM", "L", {}), ("ICO", "RGBA", {}), ("TGA", "RGB", {}),
    ):  # fmt: skip
        file = io.BytesIO()
        (picture.convert("I").convert(mode) if mode == "I;16" else picture.convert(mode)).save(file, kind, **how)
        found.append(file.getvalue())
    return found


def scenes() -> list[bytes]:
    """A small scene with coordinates, where rasterio is installed."""
    try:
        import rasterio
        from rasterio.transform import from_origin
    except ModuleNotFoundError:
        return []
    values = np.random.default_rng(0).integers(0, 3000, (3, 20, 24)).astype(np.uint16)
    with warnings.catch_warnings(), rasterio.MemoryFile() as memory:
        warnings.simplefilter("ignore")  # of the packages that rasterio stands on
        with memory.open(driver="GTiff", width=24, height=20, count=3, dtype="uint16", crs="EPSG:32632", nodata=0,
                         transform=from_origin(5e5, 5e6, 10, 10)) as scene:  # fmt: skip
            scene.write(values)
        return [bytes(memory.read())]


def files_of(folder: Path, *names: str) -> dict[str, bytes]:
    """The files of a folder, those of these names where any are given."""
    there = [path for path in sorted(folder.iterdir()) if path.is_file() and (not names or path.name in names)]
    return {path.name: path.read_bytes() for path in there}


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


def _put(reader: Reader, content: bytes | dict[str, bytes], folder: Path) -> Path:
    """Where an input was written."""
    place = folder / f"input{reader.suffix}"
    if isinstance(content, bytes):
        place.write_bytes(content)
        return place
    place.mkdir()
    for name, data in content.items():
        (place / name).write_bytes(data)
    return place


def read(reader: Reader, place: Path) -> None:
    """Read an input, and remove it; raises what the reader does, and what is out of bounds."""
    try:
        with bounded():
            reader.read(place)
    finally:
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink()


def once(reader: Reader, number: int, folder: Path) -> Exception | None:
    """Read one altered input; what is wrong, None where nothing is."""
    draw = random.Random(number)
    seed = reader.seeds[draw.randrange(len(reader.seeds))]
    if isinstance(seed, bytes):
        content: bytes | dict[str, bytes] = altered(seed, draw)
    else:
        chosen = draw.choice(sorted(seed))
        content = seed | {chosen: altered(seed[chosen], draw)}
    try:
        read(reader, _put(reader, content, folder))
    except MissingExtraError as error:
        return error
    except DtbhError:
        return None
    except Exception as error:
        return error
    return None


def fuzz(found: Sequence[Reader], first: int, inputs: int, folder: Path) -> dict[str, str]:
    """Read so many inputs; a line on each kind of failure, by reader, error and place, with its first number."""
    limit = resource.getrlimit(resource.RLIMIT_AS)
    now = Path("/proc/self/statm")  # of Linux alone
    failures: dict[str, str] = {}
    counts: Counter[str] = Counter()
    try:
        if now.is_file():
            size = int(now.read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (size + 4 * BYTES, limit[1]))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for reader in found:
                for seed in reader.seeds:
                    read(reader, _put(reader, seed, folder))
            for number in range(first, first + inputs):
                reader = found[number % len(found)]
                error = once(reader, number, folder)
                if error is not None:
                    *_, last = traceback.extract_tb(error.__traceback__) or [None]
                    place = "" if last is None else f"{Path(last.filename).name}:{last.lineno}"
                    kind = f"{reader.name}: {type(error).__name__} at {place}"
                    counts[kind] += 1
                    failures.setdefault(kind, f"input {number}: {str(error)[:200]}")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
    return {f"{kind} ({counts[kind]} times)": said for kind, said in failures.items()}


@contextmanager
def made(folder: Path) -> Iterator[list[Reader]]:
    """All readers over small data, a small run and what is made of it."""
    from kills import SETTINGS, prepare

    from dtbh.config import Service, make_config
    from dtbh.stages.encode import encode
    from dtbh.stages.evaluate import evaluate
    from dtbh.stages.export import export
    from dtbh.stages.index import index
    from dtbh.stages.train import train
    from dtbh.utils.progress import quiet

    quiet()
    os.environ["DTBH_CACHE"] = str(folder / "cache")
    data = prepare(folder / "data")
    run = train(make_config(SETTINGS | {"training": {**SETTINGS["training"], "epochs": 1}}), data, folder / "run")
    evaluate(run)
    archive = Path(index(run, data, out=folder / "archive").path)
    codes = Path(encode(run, data, out=folder / "codes", split="test").path)
    exported, client = None, None
    with ExitStack() as stack:
        with suppress(MissingExtraError):
            exported = export(run, out=folder / "model").path
        try:
            from fastapi.testclient import TestClient

            from dtbh.web.app import create_app

            app = create_app([archive], limits=Service(), hosts=None)
            client = stack.enter_context(TestClient(app, raise_server_exceptions=True))
        except ModuleNotFoundError:
            print("without fastapi and httpx no requests are tried")
        yield readers(run, data, archive, codes, exported, client)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read altered inputs; returns the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=50_000, help="of all readers together (default 50000)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first input")
    parser.add_argument("--only", metavar="READER", help="one reader, by its name")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="dtbh-fuzz-") as temporary:
        folder = Path(temporary)
        with made(folder) as found:
            chosen = [reader for reader in found if args.only in (None, reader.name)]
            began = time.monotonic()
            (folder / "inputs").mkdir()
            failures = fuzz(chosen, args.first, args.inputs, folder / "inputs")
    for kind, said in failures.items():
        print(f"{kind}, {said}")
    names = ", ".join(reader.name for reader in chosen)
    print(f"{args.inputs} inputs in {time.monotonic() - began:.0f} s of {names}: {len(failures)} kinds of failure")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
