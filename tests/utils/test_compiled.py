"""What is compiled, and kept for other processes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import ModuleType

import pytest

from dtbh.utils.packages import where_compiled
from tests.index.test_hamming import WITHOUT

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


@pytest.mark.parametrize("trouble", WITHOUT.values(), ids=WITHOUT.keys())
def test_without_compiled_code_evaluation_counts_too(trouble):
    code = f"import sys\n{trouble}\n" + (
        "import numpy as np\nfrom dtbh.evaluation.metrics import counts\n"
        "words, labels = np.arange(100, dtype=np.uint64)[:, None], np.arange(100) % 3\n"
        "def counted():\n"
        "    blocks = counts.each_block(lambda block: block.relevant, words, words, labels, labels, bits=7)\n"
        "    return np.concatenate([*blocks]).tolist()\n"
        "few, counts.MANY = counted(), 1\nassert counted() == few\nprint(np.sum(few))\n"
    )
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == (f"{34**2 + 2 * 33**2}\n", "")


def test_a_module_of_our_own_that_is_missing_is_no_excuse():
    """A broken installation says so; it does not search at a tenth of its speed."""

    def missing():
        import dtbh.index.hamming.nothing

        return dtbh

    with pytest.raises(ModuleNotFoundError, match=r"dtbh\.index\.hamming\.nothing"):
        where_compiled(missing)
