"""What is compiled, and kept for other processes."""

from __future__ import annotations

import importlib.util

import pytest

HALF = {"empty": lambda size: b"", "cut": lambda size: b"\x80\x04", "zeros": bytes}


@pytest.mark.parametrize("left", HALF.values(), ids=HALF.keys())
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_half_written_cache_is_written_anew(tmp_path, kind, left):
    """As a power cut leaves it: numba's index, or its code."""
    (tmp_path / "made.py").write_text(
        "from dtbh.index.hamming.kernels import compiled\n\n\n"
        "@compiled\ndef inner(a):\n    return a + 1\n\n\n"
        "@compiled\ndef outer(a):\n    return 2 * inner(a)\n"
    )

    def hits():
        spec = importlib.util.spec_from_file_location("made", tmp_path / "made.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        assert module.outer(3) == 8
        return sum(module.outer.stats.cache_hits.values())

    assert [hits(), hits()] == [0, 1]
    files = list((tmp_path / "__pycache__").glob(f"*.{kind}"))
    assert len(files) == 2
    for file in files:
        file.write_bytes(left(file.stat().st_size))
    assert [hits(), hits()] == [0, 1]
