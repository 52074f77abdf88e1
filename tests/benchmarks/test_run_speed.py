"""How long `kling-contract run` takes around a program that does nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

TARGET = 0.5  # seconds, for `run -- true`


@pytest.mark.parametrize("options", [["--isolate", "auto"], ["--isolate", "off"]], ids=" ".join)
@pytest.mark.parametrize("time", ["fast", "rate", "polls"])
def test_start_and_end(benchmark: Any, options: list[str], time: str) -> None:
    """`run -- true` takes less than half a second, in every mode."""
    command = [sys.executable, "-m", "kling_contract", "run", "--quiet", "--time", time, *options, "--", "true"]
    benchmark.pedantic(lambda: subprocess.run(command, check=True), rounds=7, warmup_rounds=1)
    taken = benchmark.stats.stats.median
    print(f"\n  run {' '.join(options)} --time {time} -- true: {taken:.2f} s (target {TARGET} s)")
    assert taken < TARGET
