"""Fixtures that several rooms of the test suite use."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real UC Merced images and the caption files."""
    if not (SHARED / "ucm" / "Images").is_dir():
        pytest.skip(f"{SHARED} is not here: the real images and captions are not part of the project")
    return SHARED
