"""The command that makes a model that needs no torch."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from dtbh.cli.commands import Arguments, command, show
from dtbh.models.cost import BOUND


def _add_export(parser: argparse.ArgumentParser) -> None:
    """What ``dtbh export`` takes."""
    parser.add_argument("run_folder", type=Path, metavar="RUN")
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
    lines += [f"without torch: pip install -r {args.out / 'requirements.txt'} && pip install --no-deps dtbh"]
    values = {"path": args.out, "bytes": size, "fingerprint": model.fingerprint}
    values |= {} if cost is None else {"cost": asdict(cost)}
    show(args, "\n".join(lines), {**values, "self_test": {name: asdict(one) for name, one in tests.items()}})
    return 0
