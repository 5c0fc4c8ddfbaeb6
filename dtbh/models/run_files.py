"""What the files of a run are called, and what ``run.json`` says; ``learning.folder`` writes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dtbh.errors import RunError
from dtbh.utils.files import parse_json

CONFIG, RUN, MODEL, CONFIDENCE, METRICS, RESUME, BACKBONE = (
    "config.yaml",
    "run.json",
    "model.safetensors",
    "confidence.json",
    "metrics.csv",
    "resume.safetensors",
    "backbone.safetensors",
)
VERSION = 1
READY = "ready"
"""What the model is called that comes with the package, where no folder of this name is meant."""
RULES = {
    "best": "the epoch with the best validation mAP, mean of both directions where there are two",
    "last": "the last epoch; validation chose none",
}
"""How the epoch was chosen that a run keeps, by ``training.keep``."""


def is_address(place: str | Path) -> bool:
    """Whether a model is not in a folder here, but to be fetched: ``https://``, ``http://`` or ``hf://``."""
    return re.match(r"(https?|hf)://", str(place)) is not None


def place_of(path: str | Path) -> Path:
    """The folder of a model: that of the ready one for its name, or for where it was before its package moved."""
    path, own = Path(path), Path(__file__).with_name(READY)
    meant = str(path) == READY or path.parts[-3:] == own.parts[-3:]
    return own if meant and not path.exists() else path


def read_run(path: Path) -> dict[str, Any]:
    """What ``run.json`` says.

    Raises:
        RunError: No run here, or one of another version.
    """
    try:
        run: dict[str, Any] = parse_json((path / RUN).read_text(encoding="utf-8"))
        version = run["version"]
    except OSError:
        raise RunError(
            f"{path}: no run here (no {RUN}); make one with: dtbh train CONFIG --data DATA --out {path}"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{path / RUN}: damaged; train again into another folder") from None
    if version != VERSION:
        raise RunError(f"{path / RUN}: version {version}, this dtbh reads {VERSION}; train again")
    return run


def data_folders(path: Path) -> list[Path]:
    """The prepared data folders that the run was trained on.

    Raises:
        RunError: As `read_run`.
    """
    data = read_run(path)["data"]
    return [path / folder for folder in ([data] if isinstance(data, str) else data)]
