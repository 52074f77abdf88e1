"""How fast is judging? Ratios to the bare engine in one run, and the targets that they must keep."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import pytest

from kling_contract import Contract, validate
from kling_contract.payloads import example

from .conftest import Compare

CONTRACT = Contract.load()
SMALL = {
    "model": CONTRACT.request_schema["properties"]["model"]["enum"][0],
    "image_url": "https://example.com/cat.png",
    "prompt": "The cat wakes up and looks out of the window.",
    "duration": 5,
    "cfg_scale": 0.5,
}
WRONG = {**SMALL, "duration": "7", "cfg_scale": 2, "image": "cat.png"}
BARE = jsonschema_rs.Draft202012Validator(dict(CONTRACT.request_schema), validate_formats=True)
REFEREE = jsonschema.Draft202012Validator(
    CONTRACT.request_schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)


def test_a_small_payload(compare: Compare) -> None:
    """Judging a small valid payload under a given contract takes at most 3 times as long as the bare engine."""
    assert compare(lambda: validate(SMALL, contract=CONTRACT), lambda: list(BARE.iter_errors(SMALL)), repeat=2000) <= 3


def test_a_small_payload_against_pure_python(compare: Compare) -> None:
    """It is at least 20 times as fast as jsonschema."""
    assert (
        compare(lambda: validate(SMALL, contract=CONTRACT), lambda: list(REFEREE.iter_errors(SMALL)), repeat=200)
        <= 1 / 20
    )


def test_a_large_data_uri(compare: Compare) -> None:
    """A data URI of 10 MB is judged from bytes in at most 1.5 times what json.loads and the bare engine take."""
    text = json.dumps({**SMALL, "image_url": "data:image/png;base64," + "A" * 10_000_000}).encode()
    assert compare(lambda: validate(text), lambda: list(BARE.iter_errors(json.loads(text)))) <= 1.5


def _run(path: Path) -> tuple[float, int]:
    """Return the CPU seconds and the peak memory in kilobytes that validating a file takes."""
    command = [sys.executable, "-m", "kling_contract", "validate", str(path)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    assert running.returncode in (0, 1)
    return used.ru_utime + used.ru_stime, used.ru_maxrss


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lines") / "payloads.jsonl"
    payloads = [json.dumps(example(seed)) for seed in range(100)]
    path.write_text("\n".join(payloads * 1000) + "\n")
    return path


def test_many_payloads(benchmark: Any, lines: Path, tmp_path: Path) -> None:
    """A file of 100,000 payloads is judged at 50,000 a second or more on one core, in constant memory."""
    few = tmp_path / "few.jsonl"
    few.write_text("".join(lines.read_text().splitlines(keepends=True)[:1000]))
    start, small = _run(few)
    seconds, large = benchmark.pedantic(lambda: _run(lines), rounds=3)
    rate = 99_000 / (seconds - start)
    benchmark.extra_info["payloads_per_second"] = round(rate)
    print(f"\n  {rate:,.0f} payloads/s; {small / 1024:.0f} MB for 1,000 payloads, {large / 1024:.0f} MB for 100,000")
    assert rate >= 50_000
    assert large <= small * 1.1


def test_the_command_on_one_file(benchmark: Any, tmp_path: Path) -> None:
    """The command on one small file takes less than a quarter of a second of CPU."""
    path = tmp_path / "payload.json"
    path.write_text(json.dumps(WRONG))
    seconds = min(_run(path)[0] for _ in range(5))
    benchmark.pedantic(lambda: _run(path), rounds=3)
    print(f"\n  {seconds:.3f} s of CPU")
    assert seconds < 0.25
