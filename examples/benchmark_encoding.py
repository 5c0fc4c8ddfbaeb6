"""How many tiles and sounds a second become codes by the ready model, beside their parts and beside others?

    python examples/benchmark_encoding.py --images UCMerced_LandUse/Images
    python examples/benchmark_encoding.py --seconds 2 --tiles 16 --sounds 4 --no-peers      a small run

Tiles are JPEG files of 256 x 256 pixels made of the images that are given, or of noise where there are none; sounds are
some three seconds each, said by flite. All take the same files, and take turns until so many seconds of processor time
are used; what counts is the middle run. "A second" is one of processor time of one core, so that other work on the
machine counts little; two cores are set against one by the clock, where it counts in full.

"decode" is reading a tile and bringing it to the network's size, "network" the bare network on pixels in memory, and
"dtbh" everything, from files to codes. Beside them stand the smallest image tower of open_clip on ONNX Runtime, with
random weights, at its own size, decoding and all, and pHash as the package imagehash computes it, the least that a code
of a tile can cost. "Scenes" are GeoTIFF files of tiles of 1,024 pixels, without overviews and with them. Whisper is
CTranslate2's here, so there is nothing to set beside it; MFCC and log-mel stand beside librosa's in
``benchmark_features.py``.
"""

from __future__ import annotations

import argparse
import copy
import os
import shutil
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image

from dtbh.data.manifest import Item, Modality
from dtbh.data.passages import heard_part
from dtbh.media.image import load_pixels
from dtbh.media.sound import load_sound
from dtbh.media.transcriber import log_mel
from dtbh.models.onnx_encoder import BATCH, OnnxEncoder, open_exported
from dtbh.models.run_files import place_of
from dtbh.utils.progress import quiet_loggers

SIDE = 256
TOWER = "ViT-S-32"  # of open_clip's own networks the one with the fewest operations
FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni")
PLACES = ("harbor", "forest", "river", "airport", "beach", "road", "town", "field", "factory", "garden")
VOICES = ("slt", "rms", "awb", "kal")
PARTS = ("cores", "tiles", "scenes", "sounds")
LARGE = 1024  # pixels a side of a scene's tile
Work = Callable[[int], object]
"""Of so many items, the first ones."""


def tiles(folder: Path, images: Path | None, count: int) -> list[Path]:
    """So many JPEG tiles, spread over the images of a folder with its subfolders; of soft noise without one."""
    known = {".jpg", ".jpeg", ".png", ".tif", ".tiff"}
    there = sorted(path for path in images.rglob("*") if path.suffix.lower() in known) if images else []
    made = []
    for number in range(count):
        if there:
            picture = Image.open(there[number * len(there) // count]).convert("RGB")
        else:
            picture = Image.fromarray(np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8))
        made.append(folder / f"{number}.jpg")
        picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(made[-1], quality=90)
    return made


def spoken(folder: Path, count: int) -> list[Path]:
    """So many sounds of some three seconds, by four voices of flite."""
    made = []
    for number in range(count):
        made.append(folder / f"{number}.wav")
        what, place = ("houses", "boats", "cars")[number % 3], PLACES[number % len(PLACES)]
        text = f"show me {number + 2} {what} that lie next to a {place}"
        voice = VOICES[number % len(VOICES)]
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", str(made[-1])], check=True)
    return made


def rates(works: Mapping[str, Work], items: int, seconds: float) -> dict[str, float]:
    """Items a second of processor time, each work having begun with two of them, so that networks are open."""
    for work in works.values():
        work(2)
    times: dict[str, list[float]] = {name: [] for name in works}
    began = time.process_time()
    while not times[next(iter(works))] or time.process_time() - began < seconds:
        for name, work in works.items():
            started = time.process_time()
            work(items)
            times[name].append(time.process_time() - started)
    return {name: items / statistics.median(taken) for name, taken in times.items()}


def show(what: str, found: Mapping[str, float], base: str) -> None:
    """A line for each, with its ratio to one of them."""
    for name, rate in found.items():
        print(f"{what:<8}{name:<44}{rate:>10.1f}{rate / found[base]:>9.2f}")


def encoded(model: OnnxEncoder, files: list[Path], modality: Modality) -> object:
    """Files to codes, those in which no word is heard left out."""
    return model.encode([Item(file.name, modality, str(file)) for file in files], skip=True)


def one_core() -> None:
    """Leave this process one core, before any thread of it begins."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def session(network: Path | bytes) -> Any:
    """A network on one thread of ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    data = network if isinstance(network, bytes) else str(network)
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def batches(run: Any, pixels: np.ndarray) -> None:
    """Pixels through a network, a batch at a time."""
    name = run.get_inputs()[0].name
    for start in range(0, len(pixels), BATCH):
        run.run(None, {name: pixels[start : start + BATCH]})


def open_clip_tower(folder: Path) -> tuple[Any, int]:
    """The tower on ONNX Runtime, and its size in pixels."""
    import open_clip
    import torch

    torch.backends.mha.set_fastpath_enabled(False)  # which can't be exported
    with quiet_loggers():  # that there are no weights
        tower = open_clip.create_model(TOWER).visual.eval()
    size = tower.image_size[0] if isinstance(tower.image_size, tuple) else tower.image_size
    example = torch.zeros(2, 3, size, size)
    torch.onnx.export(
        tower, (example,), folder / "tower.onnx", input_names=["pixels"], dynamic_axes={"pixels": {0: "n"}},
        dynamo=False,
    )  # fmt: skip
    return session(folder / "tower.onnx"), int(size)


def as_open_clip(files: list[Path], size: int) -> np.ndarray:
    """Tiles as its tower takes them, float32 [n, 3, size, size]."""
    pixels = np.stack([load_pixels(file, size) for file in files]).astype(np.float32)
    return (pixels / 255 - 0.45) / 0.27


def phash(file: Path) -> np.ndarray:
    """The 64 bits of imagehash's pHash."""
    picture = Image.open(file).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    low = WAVES @ np.asarray(picture, np.float64) @ WAVES.T
    return low > np.median(low)


WAVES = np.cos(np.pi * np.arange(8)[:, None] * (np.arange(32) + 0.5) / 32)
"""The eight slowest of a cosine transform of 32 values."""


def by_the_clock(count: int, files: list[str], seconds: float) -> float:
    """Tiles a second by the clock on so many cores; a process of its own, whose threads know no others."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])
    model = open_exported(place_of("ready"))
    paths = [Path(file) for file in files]
    encoded(model, paths, "image")
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        encoded(model, paths, "image")
        done += len(files)
    return done / (time.perf_counter() - began)


def of_cores(files: list[Path], seconds: float) -> None:
    """The rows of two cores against one, by the clock."""
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as apart:
        names, counts = [str(file) for file in files], (1, 2, 1, 2)  # in turns
        found = [apart.submit(by_the_clock, count, names, seconds / 4).result() for count in counts]
    one, two = (statistics.mean(found[place::2]) for place in (0, 1))
    show("tiles", {"dtbh, one core by the clock": one, "dtbh, two": two}, "dtbh, one core by the clock")


def of_tiles(files: list[Path], seconds: float, peers: bool, scratch: Path) -> None:
    """The rows of tiles, on one core."""
    model = open_exported(place_of("ready"))
    size = int(model.meta["towers"]["image"]["size"])
    pixels = np.stack([load_pixels(file, size) for file in files])
    network = session((model.path / "image.onnx").read_bytes())
    works: dict[str, Work] = {
        "dtbh, files to codes": lambda n: encoded(model, files[:n], "image"),
        f"decode alone, to {size} pixels": lambda n: [load_pixels(file, size) for file in files[:n]],
        "network alone": lambda n: batches(network, pixels[:n]),
        "pHash, as imagehash has it": lambda n: [phash(file) for file in files[:n]],
    }
    left_out = "open_clip: left out by --no-peers"
    if peers:
        try:
            tower, wide = open_clip_tower(scratch)
        except ImportError as error:
            left_out = f"open_clip: left out, {error.name} is not installed (pip install 'dtbh[openclip,train]')"
        else:
            works[f"open_clip {TOWER}, {wide} pixels, float"] = lambda n: batches(tower, as_open_clip(files[:n], wide))
            left_out = ""
    show("tiles", rates(works, len(files), seconds), "dtbh, files to codes")
    if left_out:
        print(left_out)


def of_scenes(files: list[Path], seconds: float, scratch: Path) -> None:
    """The rows of a GeoTIFF scene's large tiles, without overviews and with them, on one core."""
    try:
        import rasterio
        from rasterio.enums import Resampling
    except ImportError:
        print("scenes: left out, rasterio is not installed (pip install 'dtbh[geo]')")
        return
    warnings.simplefilter("ignore")  # the scene lies nowhere
    model, works, codes = open_exported(place_of("ready")), dict[str, Work](), []
    for name, levels in (("dtbh, without overviews", []), ("with overviews", [2, 4, 8])):
        path = scratch / f"{len(levels)}.tif"
        shape = {"width": LARGE * len(files), "height": LARGE, "count": 3, "dtype": "uint8"}
        with rasterio.open(path, "w", driver="GTiff", tiled=True, compress="deflate", **shape) as scene:
            for column, file in enumerate(files):
                with Image.open(file) as tile:
                    pixels = np.asarray(tile.convert("RGB").resize((LARGE, LARGE))).transpose(2, 0, 1)
                scene.write(pixels, window=rasterio.windows.Window(column * LARGE, 0, LARGE, LARGE))
        if levels:
            with rasterio.open(path, "r+") as scene:
                scene.build_overviews(levels, Resampling.average)
        items = [
            Item(str(column), "image", str(path), window=(column * LARGE, 0, LARGE, LARGE))
            for column in range(len(files))
        ]
        works[name] = lambda n, items=items: model.encode(items[:n])
        codes.append(model.encode(items).codes.words)
    show("scenes", rates(works, len(files), seconds), "dtbh, without overviews")
    print(f"their codes are {np.bitwise_count(codes[0] ^ codes[1]).sum(axis=1).mean():.2f} of {model.bits} bits apart")


def of_sounds(files: list[Path], seconds: float) -> None:
    """The rows of sounds, on one core."""
    model = open_exported(place_of("ready"))
    meta = copy.deepcopy(model.meta)
    meta["towers"]["sound"].pop("prompt", None)
    untold = OnnxEncoder(model.path, meta)
    waves = [load_sound(file, max_seconds=15) for file in files]
    works: dict[str, Work] = {
        "dtbh, files to codes by words": lambda n: encoded(model, files[:n], "sound"),
        "the same without the prompt": lambda n: encoded(untold, files[:n], "sound"),
        "reading alone": lambda n: [load_sound(file, max_seconds=15) for file in files[:n]],
        "finding where somebody speaks, of queries": lambda n: [heard_part(_sound(file), 15) for file in files[:n]],
        "log-mel of 8 s alone": lambda n: [log_mel(wave, 8) for wave in waves[:n]],
    }
    print(f"{np.mean([len(wave) for wave in waves]) / 16000:.1f} s a sound")
    show("sounds", rates(works, len(files), seconds), "dtbh, files to codes by words")


def _sound(file: Path) -> Item:
    return Item(file.name, "sound", str(file))


def processor() -> str:
    """What is known of it, and what it has that 8-bit networks use."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "processor not known"
    said: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        said.setdefault(name.strip(), value.strip())
    flags = said.get("flags", "").split()
    has = ", ".join(f"{'' if flag in flags else 'no '}{flag}" for flag in FLAGS)
    return f"{said.get('model name', 'processor')}; {has}"


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="a folder of images to make the tiles of")
    parser.add_argument("--tiles", type=int, default=96)
    parser.add_argument("--scenes", type=int, default=32, help="tiles of 1,024 pixels a scene")
    parser.add_argument("--sounds", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60, help="for each part")
    parser.add_argument("--no-peers", action="store_true", help="without open_clip, whose export takes half a minute")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    args = parser.parse_args(arguments)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else 0
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{processor()}; {os.cpu_count()} cores{load} at the start")
    print(f"{'what':<8}{'':<44}{'a second':>10}{'ratio':>9}")
    with TemporaryDirectory(prefix="dtbh-") as scratch:
        files = tiles(Path(scratch), args.images, args.tiles)
        if "cores" in args.parts and cores > 1:
            of_cores(files, args.seconds)
        elif "cores" in args.parts:
            print("two cores against one: left out, there is one core, or no way to choose among them")
        one_core()
        if "tiles" in args.parts:
            of_tiles(files, args.seconds, not args.no_peers, Path(scratch))
        if "scenes" in args.parts:
            of_scenes(files[: args.scenes], args.seconds, Path(scratch))
        if "sounds" in args.parts and shutil.which("flite") is None:
            print("sounds: left out, flite is not installed (apt-get install flite)")
        elif "sounds" in args.parts:
            of_sounds(spoken(Path(scratch), args.sounds), args.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
