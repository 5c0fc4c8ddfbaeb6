"""The run folder: what a training leaves, and how it goes on after a kill.

The folder holds ``config.yaml``, ``run.json``, ``model.safetensors`` (the kept epoch's), ``confidence.json`` (how far
its hits can be believed), ``metrics.csv``, ``events`` (TensorBoard) and, while the training is not finished,
``resume.safetensors`` and, of the fine-tuning of an image backbone that comes first, ``backbone.safetensors``.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from safetensors.torch import save

from dtbh.config import Config, differences, read_config, write_config
from dtbh.data.manifest import Manifest, relative
from dtbh.errors import RunError
from dtbh.models.run_files import BACKBONE, CONFIDENCE, CONFIG, METRICS, MODEL, RESUME, RULES, RUN, VERSION, read_run
from dtbh.training.checkpoint import portable
from dtbh.training.module import DualTraining
from dtbh.utils.files import write_file, write_text
from dtbh.utils.progress import echo, track


class RunFolder(pl.Callback):
    """Writes the run folder after each epoch.

    Args:
        path: The run folder.
        classes: How many there are; fewer distinct codes are a collapse.
        keep: Which epoch's weights stay, ``best`` or ``last``.
    """

    def __init__(self, path: Path, classes: int, keep: str) -> None:
        self.path, self.classes, self.keep = path, classes, keep
        self.rows: list[dict[str, float]] = []
        self.best = {"epoch": -1.0, "map": -1.0}
        self._started = time.monotonic()
        self._steps: Iterator[int] = iter(())

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs to know."""
        return {"rows": self.rows, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from there."""
        self.rows, self.best = state_dict["rows"], state_dict["best"]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Time the epoch, and show how far it is."""
        self._started = time.monotonic()
        if trainer.is_global_zero:
            steps = int(trainer.num_training_batches)
            self._steps = track(range(steps), f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}", total=steps)
            next(self._steps, None)

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """One step further."""
        next(self._steps, None)

    def on_exception(self, *_: Any, **__: Any) -> None:
        """Show no more."""
        self._steps = iter(())

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the metrics, the weights to keep so far, and the checkpoint to go on from."""
        assert isinstance(pl_module, DualTraining)
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        seconds = round(time.monotonic() - self._started, 1)
        row = {"epoch": float(trainer.current_epoch), **values, "seconds": seconds}
        self.rows.append(row)
        better = values["val/map"] > self.best["map"]
        if better:
            self.best = {"epoch": row["epoch"], "map": values["val/map"]}
        if trainer.is_global_zero:
            if better or self.keep == "last":
                self._keep(pl_module)
            write_text(self.path / METRICS, _table(self.rows))
            self._say(row, trainer.max_epochs or 0)
        trainer.save_checkpoint(self.path / RESUME)

    def fitted(self, module: DualTraining, values: Mapping[str, float]) -> None:
        """Write the weights and the only row of metrics of a run that takes no steps."""
        self._keep(module)
        write_text(self.path / METRICS, _table([{"epoch": 0.0, **values}]))

    def _keep(self, module: DualTraining) -> None:
        """Write the weights, and how far their hits can be believed."""
        module.confidence().write(self.path)
        weights = save(portable(module.twin))
        write_file(self.path / MODEL, lambda file: file.write(weights))

    def _say(self, row: Mapping[str, float], epochs: int) -> None:
        """One line an epoch, and a warning where codes collapse."""
        ways = {name.removeprefix("val/map_").replace("_to_", "->"): row[name] for name in row if "_to_" in name}
        maps = "  ".join(f"{way} {value:.4f}" for way, value in ways.items())
        echo(
            f"epoch {row['epoch'] + 1:.0f}/{epochs}  loss {row['train/loss']:.4f}  val mAP {maps}  "
            f"{row['seconds']:.0f} s"
        )
        fewest = min(value for name, value in row.items() if name.startswith("val/distinct_"))
        if fewest < self.classes:
            echo(f"  collapse? {fewest:.0f} distinct codes for {self.classes} classes")
        if constant := max(value for name, value in row.items() if name.startswith("val/constant_")):
            echo(f"  {constant:.0f} bits never change")


class Heeding(pl.Callback):
    """Calls a function after each step, of validation too.

    Args:
        heed: The function, such as lets signals through that were held up.
    """

    def __init__(self, heed: Callable[[], None]) -> None:
        self.heed = heed

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """After a step."""
        self.heed()

    def on_validation_batch_end(self, *_: Any, **__: Any) -> None:
        """After a batch of validation."""
        self.heed()


def left_to_do(path: Path, config: Config, data: Manifest) -> bool:
    """Whether a run folder wants training: it is new, or holds an unfinished run of the same config and data.

    Raises:
        RunError: The folder holds a run of another configuration or other data, or something else.
    """
    if not path.exists() or not {*path.iterdir()} - {*_half_written(path)}:
        return True
    if not (path / RUN).is_file():
        raise RunError(f"{path}: is not empty and holds no run; choose another --out")
    if not (path / CONFIG).is_file() and not read_run(path)["finished"]:
        return True  # killed before it had begun
    changed = differences(read_config(path / CONFIG), config)
    if changed:
        raise RunError(
            f"{path}: holds a run of another configuration ({'; '.join(changed)}); "
            "choose another --out, or delete the folder"
        )
    run = read_run(path)
    if run["manifest"] != data.fingerprint:
        raise RunError(f"{path}: holds a run on other data than {data.root}; choose another --out")
    return not run["finished"]


def begin_run(path: Path, config: Config, data: Manifest) -> None:
    """Write what a run starts from, in the place of what a killed one left half-written.

    ``run.json`` comes first: a folder with it is a run, wherever the next kill falls.
    """
    for left in _half_written(path):
        left.unlink()
    _write_run(path, config, data, {"finished": False})
    write_config(config, path / CONFIG)


def _half_written(path: Path) -> list[Path]:
    """The files beside a run's own that were never renamed to them."""
    return [
        left for name in (RUN, CONFIG, METRICS, MODEL, CONFIDENCE, RESUME, BACKBONE) for left in path.glob(f".{name}.*")
    ]


def close_run(path: Path, config: Config, data: Manifest) -> None:
    """Mark a run as finished, with what its metrics say."""
    with (path / METRICS).open(encoding="utf-8") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    kept = rows[-1] if config.training.keep == "last" else max(rows, key=lambda row: row["val/map"])
    done = {"finished": True, "kept_epoch": int(kept["epoch"]) + 1, "kept_val_map": kept["val/map"]}
    _write_run(
        path, config, data, {**done, "epochs": len(rows), "seconds": round(sum(row["seconds"] for row in rows), 1)}
    )
    for done_with in (RESUME, BACKBONE):
        (path / done_with).unlink(missing_ok=True)


def _write_run(path: Path, config: Config, data: Manifest, more: Mapping[str, Any]) -> None:
    from dtbh.utils.version import __version__

    run = {
        "version": VERSION, "dtbh": __version__,
        "data": [relative(part, path) for part in data.parts] or relative(data.root, path), "source": data.source,
        "manifest": data.fingerprint, "checkpoint_rule": RULES[config.training.keep], **more,
    }  # fmt: skip
    write_text(path / RUN, json.dumps(run, indent=2) + "\n")


def _table(rows: list[dict[str, float]]) -> str:
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
