"""What benchmarks count: other programs on the machine don't."""

from __future__ import annotations

import time
from collections.abc import Callable


def spent(work: Callable[[], object]) -> float:
    """Seconds of processor time that ``work`` takes."""
    start = time.process_time()
    work()
    return time.process_time() - start
