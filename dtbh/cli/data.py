"""Commands that make data: prepare, speak."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dtbh.cli.commands import Arguments, command, common_options, show
from dtbh.errors import DtbhError
from dtbh.utils import progress

if TYPE_CHECKING:
    from dtbh.data.manifest import Manifest


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    """The sources of ``dtbh prepare``, each with what it takes."""
    from dtbh.cli.signature import add_parameters, summary
    from dtbh.data.sources.base import GIVEN, known_sources

    sources = parser.add_subparsers(dest="source", metavar="SOURCE", required=True)
    for name, function in known_sources().items():
        said = summary(function)
        sub = sources.add_parser(name, help=said, description=said, parents=[common_options()])
        add_parameters(sub, function, leave_out=GIVEN)
        sub.add_argument("--strict", action="store_true", help="warnings stop it too")
        sub.add_argument("--out", type=Path, required=True, help="the data folder")


@command(_add_prepare)
def prepare(args: Arguments) -> int:
    """Check a data set and write its manifest."""
    from dtbh.cli.signature import parameters_given
    from dtbh.data.sources.base import GIVEN, known_sources
    from dtbh.stages.prepare import prepare as run

    given = parameters_given(args, known_sources()[args.source], leave_out=GIVEN)
    done = run(args.source, args.out, strict=args.strict, **given)
    manifest, warnings = done.manifest, done.warnings
    if not done.changed:
        progress.echo(f"{args.out}: prepared already from the same files; nothing to do")
    for warning in warnings:
        progress.echo(f"warning: {warning}")
    sizes = f"{len(manifest.images)} images, {len(manifest.sounds)} sounds, {len(manifest.labels)} classes"
    found = {"path": args.out, "classes": len(manifest.labels), "warnings": [*warnings]}
    _show(args, f"{args.out}: {sizes}", manifest, found)
    return 0


def _add_speak(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh speak`` takes."""
    parser.add_argument("data", type=Path, help="a prepared data folder")
    parser.add_argument("--engine", default="espeak", choices=("espeak", "espeak-ng", "flite"))
    parser.add_argument("--voices", type=int, default=40, help="how many (default 40)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suffix", choices=("flac", "opus"), default="flac")
    parser.add_argument("--paraphrases", type=int, default=0, metavar="N",
                     help="speak N other ways to say each caption too, for training alone")  # fmt: skip
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")


@command(_add_speak)
def speak(args: Arguments) -> int:
    """Speak the captions of a data folder."""
    from dtbh.stages.speak import speak as run

    manifest = run(args.data, engine=args.engine, voices=args.voices, seed=args.seed, suffix=args.suffix,
                   paraphrases=args.paraphrases, workers=args.workers)  # fmt: skip
    speakers = {sound.speaker for sound in manifest.sounds if sound.speaker}
    text = f"{args.data}: {len(manifest.sounds)} sounds, {len(speakers)} speakers"
    _show(args, text, manifest, {"path": args.data, "speakers": len(speakers)})
    return 0


def _show(args: Arguments, text: str, manifest: Manifest, values: dict[str, Any]) -> None:
    """Print what a manifest holds, and for each protocol that it allows sizes, and what of test stands in training."""
    from dtbh.data.leakage import leakage
    from dtbh.data.splits import PROTOCOLS, assign

    lines, protocols = [text], {}
    for protocol in PROTOCOLS:
        try:
            split = assign(manifest, protocol)
        except DtbhError:  # whoever chooses it is told why
            continue
        counts = {
            name: {
                "images": sum(item.split == name for item in split.images),
                "sounds": sum(item.split == name for item in split.sounds),
            }
            for name in ("train", "val", "test")
        }
        sizes = ", ".join(f"{name} {count['images']}/{count['sounds']}" for name, count in counts.items())
        lines.append(f"  {protocol}: {sizes} images/sounds; {leakage(split).describe()}")
        protocols[protocol] = {**counts, "leakage": leakage(split).to_dict()}
    counted = {"images": len(manifest.images), "sounds": len(manifest.sounds)}
    show(args, "\n".join(lines), {**values, **counted, "protocols": protocols})
