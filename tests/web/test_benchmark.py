"""The benchmark of the service runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.example_files import load


def test_it_fills_its_table(tiny_archive: Path, tiny_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load("benchmark_serve").main([str(tiny_archive), "--model", str(tiny_run), "--quick"])
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[:2] for row in rows] == [[kind, n] for kind in ("sound", "image", "code") for n in ("1", "4")]
    assert all(float(row[2]) > 0 for row in rows)
