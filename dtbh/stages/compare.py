"""Evaluated runs side by side."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dtbh.errors import ConfigError
from dtbh.evaluation.comparison import Comparison
from dtbh.evaluation.comparison import compare as compare_series
from dtbh.evaluation.report import read_series


def compare(runs: Sequence[str | Path]) -> Comparison:
    """Compare evaluated runs, or folders of several seeds, with the first of them.

    Args:
        runs: Two or more; they are named by their paths below the folder that holds them all.

    Raises:
        ConfigError: A run that was given twice.
        DataError: No reports, or reports of different things.
    """
    paths = [Path(run).absolute() for run in runs]
    if len({*paths}) < len(paths):
        raise ConfigError("compare: a run was given twice")
    base = Path(os.path.commonpath([path.parent for path in paths]))
    return compare_series({path.relative_to(base).as_posix(): read_series(path) for path in paths})
