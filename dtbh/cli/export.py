"""Commands that make models for others: without torch, and as a hub expects them."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from dtbh.cli.commands import Arguments, command, show
from dtbh.models.cost import BOUND


def _add_export(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh export`` takes."""
    parser.add_argument("run_folder", metavar="RUN")
    parser.add_argument("--out", type=Path, required=True, help="the model's folder")
    parser.add_argument("--data", type=Path, help="a prepared data folder to test on (default: the run's own)")
    parser.add_argument("--int8", action="store_true", help="8-bit integers: a quarter of the size, other codes")
    parser.add_argument("--bound", type=float, default=BOUND, metavar="MAP",
                        help=f"how much validation mAP 8 bits may cost in a direction (default {BOUND})")  # fmt: skip


@command(_add_export)
def export(args: Arguments) -> int:
    """Make a model that searches and indexes without torch."""
    from dtbh.stages.export import export as run

    model = run(args.run_folder, out=args.out, data=args.data, int8=args.int8, bound=args.bound)
    size = sum(file.stat().st_size for file in args.out.glob("*.onnx"))
    tests = model.self_test()
    cost = model.cost()
    lines = [f"{args.out}: {size / 1e6:.1f} MB, encoder {model.fingerprint}"]
    lines += [] if cost is None else [f"  {cost.describe()}"]
    lines += [f"  {modality}s: {agreement.describe()}" for modality, agreement in tests.items()]
    lines += [f"without torch: what it needs is in {args.out / 'requirements.txt'}"]
    values = {"path": args.out, "bytes": size, "fingerprint": model.fingerprint}
    values |= {} if cost is None else {"cost": asdict(cost)}
    show(args, "\n".join(lines), {**values, "self_test": {name: asdict(one) for name, one in tests.items()}})
    return 0


def _add_publish(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh publish`` takes."""
    parser.add_argument("model", metavar="MODEL", help="an exported model, or a run, which is exported first")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to share")
    parser.add_argument("--license", default="unknown", metavar="NAME", help="as in apache-2.0 (default unknown)")
    parser.add_argument("--data", type=Path, help="of a run, a prepared data folder to test on (default: its own)")


@command(_add_publish)
def publish(args: Arguments) -> int:
    """Write a model as a folder that others can use, with card, licences, figures and checksums."""
    from dtbh.stages.publish import publish as run

    model = run(args.model, args.out, licence=args.license, data=args.data)
    files = {file.name: file.stat().st_size for file in sorted(args.out.iterdir())}
    text = (
        f"{args.out}: {len(files)} files, {sum(files.values()) / 1e6:.1f} MB, encoder {model.fingerprint}; read its "
        "README.md before others do"
    )
    show(args, text, {"path": args.out, "files": files, "fingerprint": model.fingerprint, "license": args.license})
    return 0
