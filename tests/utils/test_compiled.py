"""What is compiled, and kept for other processes."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest

HALF = {"empty": lambda size: b"", "cut": lambda size: b"\x80\x04", "zeros": bytes}


def module(folder, text: str) -> ModuleType:
    """As another process loads it: nothing is compiled or loaded yet."""
    file = folder / "made.py"
    if not file.exists():
        file.write_text(text)
    spec = importlib.util.spec_from_file_location("made", file)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize("left", HALF.values(), ids=HALF.keys())
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_half_written_cache_is_written_anew(tmp_path, kind, left):
    """As a power cut leaves it: numba's index, or its code."""
    text = (
        "from dtbh.utils.compiled import compiled\n\n\n"
        "@compiled\ndef inner(a):\n    return a + 1\n\n\n"
        "@compiled\ndef outer(a):\n    return 2 * inner(a)\n"
    )

    def hits():
        outer = module(tmp_path, text).outer
        assert outer(3) == 8
        return sum(outer.stats.cache_hits.values())

    assert [hits(), hits()] == [0, 1]
    files = list((tmp_path / "__pycache__").glob(f"*.{kind}"))
    assert len(files) == 2
    for file in files:
        file.write_bytes(left(file.stat().st_size))
    assert [hits(), hits()] == [0, 1]


def test_code_for_other_types_is_never_called(tmp_path):
    """As two processes leave it that compile for two types at once: each writes over the file that the other named."""
    text = "from dtbh.utils.compiled import compiled\n\n\n@compiled\ndef last(a):\n    return a[-1]\n"

    def called(given):
        last = module(tmp_path, text).last
        assert last(given) == given[-1]
        return sum(last.stats.cache_hits.values())

    one, two = (1, 2), (1, 2, 3)
    assert [called(one), called(two), called(one), called(two)] == [0, 0, 1, 1]
    mine, other = sorted((tmp_path / "__pycache__").glob("*.nbc"))
    mine.write_bytes(other.read_bytes())
    assert [called(one), called(two), called(one), called(two)] == [0, 0, 1, 1]
