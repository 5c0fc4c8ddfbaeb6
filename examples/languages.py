"""Plain wishes in Spanish, French, Italian and Portuguese, typed and spoken, on a run's images: class mAP.

    python examples/languages.py runs/any-language                 validation; spoken by espeak-ng, the language given
    python examples/languages.py runs/any-language --language auto

``languages.tsv`` has two wishes for each class of UCM in each language, one for validation, one for test.
"""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from own_words import arguments, figure, gallery_of, keep, precision

from dtbh.codes import HashCodes
from dtbh.models.encoder import Encoder
from dtbh.models.load import load

LIST = Path(__file__).with_name("languages.tsv")
VOICES = ("", "+f2", "+m3", "+f4")


def spoken(model: Encoder, asked: list[dict[str, str]], folder: Path, *, given: bool) -> HashCodes:
    """Codes of the wishes as espeak-ng says them, its voices in turn."""
    if shutil.which("espeak-ng") is None:
        sys.exit("espeak-ng is not installed: apt-get install espeak-ng")
    parts = []
    for language in dict.fromkeys(row["language"] for row in asked):
        files = []
        for number, row in enumerate(row for row in asked if row["language"] == language):
            files.append(folder / f"{language}-{number}.wav")
            voice = language + VOICES[number % len(VOICES)]
            subprocess.run(["espeak-ng", "-v", voice, "-s", "150", "-w", files[-1], row["text"]], check=True)
        model.language = language if given else "auto"
        parts.append(model.encode_sounds(files))
    return HashCodes.concatenate(parts)


def main() -> None:
    """Print a line for each language and way."""
    parser = arguments(str(__doc__))
    parser.add_argument("--language", choices=("given", "auto"), default="given")
    args = parser.parse_args()
    model = load(args.run)
    gallery, said = gallery_of(model, args.split, args.data)
    with LIST.open(encoding="utf-8", newline="") as file:
        asked = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == args.split]
    ways = {"typed": model.encode_texts([row["text"] for row in asked])}
    if "sound" in model.config.encoders.modalities:
        with TemporaryDirectory() as folder:
            ways["spoken"] = spoken(model, asked, Path(folder), given=args.language == "given")
    found = {}
    for way, codes in ways.items():
        values = precision(codes, [row["label"] for row in asked], gallery)
        for name in (*dict.fromkeys(row["language"] for row in asked), "all"):
            own = values[[name in (row["language"], "all") for row in asked]]
            found[f"{way}, {name}"] = figure(f"{way}, {name}", own)
    print(said)
    keep(found, args.json)


if __name__ == "__main__":
    main()
