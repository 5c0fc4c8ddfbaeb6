"""What the files of a run are called, and what ``run.json`` says; ``learning.folder`` writes them."""

from __future__ import annotations

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
RULES = {
    "best": "the epoch with the best validation mAP, mean of both directions where there are two",
    "last": "the last epoch; validation chose none",
}
"""How the epoch was chosen that a run keeps, by ``training.keep``."""


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
