"""The main job on data that the project makes itself; `make demo` runs it. Then look at runs/demo.

    python examples/demo.py

Draws aerial scenes with captions, has them spoken, trains, evaluates both directions on images and voices
that training never met, builds an archive, searches it by voice and by picture, and draws what it found.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from pipeline import CONFIG

import dtbh
from dtbh.config import read_config
from dtbh.data.manifest import Item, Manifest, read_manifest
from dtbh.data.splits import split_for
from dtbh.data.synthetic.generate import draw
from dtbh.evaluation.describe import describe
from dtbh.index.result import SearchResult
from dtbh.search.contact_sheet import write_sheet
from dtbh.search.table import render_table
from dtbh.stages.evaluate import evaluate
from dtbh.stages.index import index
from dtbh.stages.speak import speak
from dtbh.stages.train import train

DATA, RUN, ARCHIVE = Path("data/demo"), Path("runs/demo"), Path("archives/demo")
ASKED = ("harbor", "airport", "tennis court", "storage tanks")
SHOWN = ("river", "forest")
TILE, GAP, TEXT = 132, 8, 34
INK, SOFT, GOOD, BAD = (32, 36, 42), (110, 118, 128), (46, 140, 87), (200, 60, 50)


def main() -> None:
    """Run everything and say where it lies."""
    start = time.monotonic()
    draw(DATA, per_class=60)
    speak(DATA)
    train(read_config(CONFIG), DATA, RUN)
    report, page = evaluate(RUN)
    print(describe(report))
    index(RUN, DATA, out=ARCHIVE)

    test = split_for(read_manifest(DATA), read_config(CONFIG))
    model, archive = dtbh.load(RUN), dtbh.open_archive(ARCHIVE)
    sounds = [query(test, "sound", label) for label in ASKED]
    images = [query(test, "image", label) for label in SHOWN]
    by_sound, by_image = model.encode(sounds).codes, model.encode(images).codes
    where = {"split": "test"}
    tiles = archive.search(by_sound, k=7, find="image", where=where)
    clips = archive.search(by_image, k=7, find="sound", where=where)

    print(f"\nsaid: {sounds[0].transcript}")
    print(render_table(archive.search(by_sound.select([0]), k=5, where=where)))
    print(f"\nshown: a picture of a {images[0].label}")
    print(render_table(archive.search(by_image.select([0]), k=5, where=where)))

    picture = draw_results(sounds, tiles, images, clips, RUN / "demo.png")
    sheet = write_sheet(tiles, by_sound, RUN / "results.html", hit_words=archive.words[tiles.rows])
    print(f"\n{time.monotonic() - start:.0f} s. What there is to see:")
    for what, path in (
        ("report", page / "index.html"),
        ("figures", page / "report.json"),
        ("results", sheet),
        ("picture", picture),
        ("data", DATA),
        ("archive", ARCHIVE),
    ):
        print(f"  {what:8} {path}")


def query(manifest: Manifest, modality: str, label: str) -> Item:
    """The first test item of a class, with the absolute path that encoding wants."""
    item = next(i for i in manifest if (i.modality, i.label, i.split) == (modality, label, "test"))
    return Item(**{**item.to_dict(), "path": str(manifest.file(item).resolve())})


def draw_results(
    sounds: Sequence[Item], tiles: SearchResult, images: Sequence[Item], clips: SearchResult, path: Path
) -> Path:
    """One picture: spoken queries with the tiles they found, and tiles with the captions they found."""
    rows = [*zip(sounds, tiles, strict=True), *zip(images, clips, strict=True)]
    width = GAP + 7 * (TILE + GAP)
    sheet = Image.new("RGB", (width, GAP + len(rows) * (TEXT + TILE + GAP)), "white")
    pen = ImageDraw.Draw(sheet)
    title, small = ImageFont.load_default(17), ImageFont.load_default(13)
    for row, (asked, hits) in enumerate(rows):
        top = GAP + row * (TEXT + TILE + GAP)
        if asked.modality == "sound":
            pen.text((GAP, top + 5), f"“{asked.transcript}”", INK, title)
            for place, hit in enumerate(hits):
                tile(sheet, pen, hit.item, (GAP + place * (TILE + GAP), top + TEXT), hit.item.label == asked.label)
            continue
        pen.text((GAP, top + 5), "This tile, and what people said of tiles like it:", INK, title)
        tile(sheet, pen, asked, (GAP, top + TEXT), None)
        for line, hit in enumerate(hits[:5]):
            colour = GOOD if hit.item.label == asked.label else BAD
            place = (2 * GAP + TILE, top + TEXT + 6 + line * 25)
            pen.text(place, f"“{hit.item.transcript}”", colour, small)
            voice = f"{hit.item.speaker}, distance {hit.distance}"
            pen.text((width - GAP, place[1]), voice, SOFT, small, anchor="ra")
    sheet.quantize(256).save(path, optimize=True)
    return path


def tile(sheet: Image.Image, pen: ImageDraw.ImageDraw, item: Item, at: tuple[int, int], right: bool | None) -> None:
    """A tile, framed by whether it is of the class that was asked for."""
    with Image.open(str(item.path)) as image:
        sheet.paste(image.convert("RGB").resize((TILE, TILE), Image.Resampling.LANCZOS), at)
    if right is not None:
        box = (at[0] - 2, at[1] - 2, at[0] + TILE + 1, at[1] + TILE + 1)
        pen.rectangle(box, outline=GOOD if right else BAD, width=3)


if __name__ == "__main__":
    main()
