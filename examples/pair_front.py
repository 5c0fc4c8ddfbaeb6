"""The front between naming the class and finding the very image: the weight of pairs in codes.

    python examples/pair_front.py runs/any-words-rsicd --work front --json front.json --plot front.png

Fits heads anew to a run's eye for each weight (encoders.concepts.pairs; a minute or two each), and measures each on
the validation split with typed captions: class mAP, the mean of both ways, and mR of the true pair by bits and with the
200 nearest rescored.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from bounds import class_map, met
from own_words import arguments, keep
from pair_retrieval import hits, rankings
from safetensors.torch import save_file

from dtbh.config import read_config, write_config
from dtbh.models.load import load
from dtbh.models.torch_encoder import TorchEncoder
from dtbh.stages.inputs import manifest_for, of_split
from dtbh.stages.train import train

WEIGHTS = (0.1, 0.25, 0.5, 1.0, 1.5, 2.5)


def measured(run: Path, data: Path | None, split: str) -> dict[str, float]:
    """The three figures of a run."""
    model = load(run)
    manifest, _ = manifest_for(model, data)
    images, texts, own, alike = met(manifest, of_split(manifest, split))
    seen, told = (model.encode(part, stored=True, values=True, vectors=True) for part in (images, texts))
    there, back = rankings(told, seen.codes, 200), rankings(seen, told.codes, 200)
    bits, rescored = (name for name in there if "bits" in name or "rescored" in name)
    near = (there[bits](), back[bits]())
    found = {"class": float(np.mean([class_map(near[0], alike), class_map(near[1], alike.T)]))}
    for name, ways in (("bits", near), ("rescored", (there[rescored](), back[rescored]()))):
        found[name] = float(np.mean([hits(ways[0], own), hits(ways[1], own.T)]))
    return found


def main() -> None:
    """Print a line for each weight, and draw them."""
    parser = arguments(str(__doc__))
    parser.add_argument("--work", type=Path, required=True, help="a folder for what is trained; it can be gone on from")
    parser.add_argument("--weights", type=float, nargs="*", default=WEIGHTS)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    model = load(args.run)
    assert isinstance(model, TorchEncoder)
    args.work.mkdir(parents=True, exist_ok=True)
    eye = (args.work / "eye.safetensors").resolve()
    save_file({name: part.contiguous() for name, part in model.twin.image.backbone.state_dict().items()}, eye)
    base = write_config(model.config, args.work / "base.yaml")
    data = args.data or (args.run / json.loads((args.run / "run.json").read_text())["data"])
    found = {}
    for weight in args.weights:
        settings = (f"encoders.concepts.pairs={weight}", f"encoders.image.weights={eye}", "learning.finetuning=null")
        run = train(read_config(base, settings), data, args.work / f"pairs-{weight}")
        found[weight] = measured(run, args.data, args.split)
        print(
            f"pairs {weight:4}  " + "  ".join(f"{name} {value:.3f}" for name, value in found[weight].items()),
            flush=True,
        )
    keep(found, args.json)
    if args.plot:
        draw(found, args.plot)


def draw(found: dict[float, dict[str, float]], path: Path) -> None:
    """Class mAP against mR, a point a weight."""
    figure, axes = plt.subplots(figsize=(5.2, 3.6), dpi=120)
    of_class = [one["class"] for one in found.values()]
    for name, what in (("bits", "by the bits"), ("rescored", "the 200 nearest rescored")):
        axes.plot([one[name] for one in found.values()], of_class, "o-", label=what)
    for weight, one in found.items():
        axes.annotate(f"{weight:g}", (one["bits"], one["class"]), textcoords="offset points", xytext=(4, 5), fontsize=8)
    axes.margins(0.12)
    axes.set_xlabel("mR of the true pair, percent")
    axes.set_ylabel("class mAP of the bits")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower center")
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
