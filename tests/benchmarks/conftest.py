"""How benchmarks compare: two callables in turn, in one run, so that a slow machine slows both."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

Compare = Callable[..., float]


def _once(call: Callable[[], Any], repeat: int) -> float:
    begin = time.process_time()
    for _ in range(repeat):
        call()
    return (time.process_time() - begin) / repeat


@pytest.fixture
def compare(benchmark: Any) -> Compare:
    """Return `compare(ours, theirs, repeat=1, rounds=9)`: how many times as long ours takes as theirs, in CPU time.

    The two run in turn; the median of the ratios of neighbours is told, and kept in the benchmark's extra_info.
    """

    def compare(ours: Callable[[], Any], theirs: Callable[[], Any], *, repeat: int = 1, rounds: int = 9) -> float:
        ours(), theirs()
        ratios = sorted(_once(ours, repeat) / max(_once(theirs, repeat), 1e-9) for _ in range(rounds))
        ratio = ratios[len(ratios) // 2]
        benchmark.extra_info["ratio"] = round(ratio, 3)
        benchmark.pedantic(ours, iterations=repeat, rounds=3)
        print(f"\n  {benchmark.name}: {ratio:.2f}x (from {ratios[0]:.2f} to {ratios[-1]:.2f})")
        return ratio

    return compare
