"""Claims about the provider's own dummy model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import FakeServer
from fake_server.service import dummy
from kling_contract import ApiError, Client, Contract, GenerationFailed, validate

MODEL = "test/dummy-video"


def run(test: Any, **options: Any) -> tuple[FakeServer, Any]:
    """Return a fake, and what the client made of one generation of the dummy on it."""
    fake = FakeServer(**options)
    with Client("any-key", http=httpx.Client(transport=fake.transport()), clock=fake.clock) as client:
        try:
            return fake, client.generate({"model": MODEL, "test": test})
        except (ApiError, GenerationFailed) as ended:
            return fake, ended


def test_running_polls_are_counted() -> None:
    """As many polls as the payload says show that the generation goes on, whatever the time; the next one shows its end."""
    fake, generation = run({"runningPolls": 3})
    assert [poll.reported_status for poll in fake.journal.polls] == ["generating"] * 3 + ["completed"]
    assert generation.video.url
    assert fake.ledger.charges[0].state == "unknown"


def test_a_delay_is_in_seconds() -> None:
    """Without running polls it ends after the delay."""
    fake, _ = run({"delay": 40})
    (generation,) = fake.generations.values()
    assert [generation.status(generation.created_at + after) for after in (0, 39, 40)] == [
        "queued",
        "queued",
        "completed",
    ]


def test_it_fails_as_it_is_told() -> None:
    """With errorStatus the generation ends in failure; with submitErrorStatus the create is refused with that status."""
    fake, failed = run({"runningPolls": 1, "errorStatus": 500})
    assert isinstance(failed, GenerationFailed)
    fake, refused = run({"submitErrorStatus": 403})
    assert isinstance(refused, ApiError)
    assert (refused.status, len(fake.generations)) == (403, 0)


@given(
    st.dictionaries(
        st.sampled_from(["delay", "runningPolls", "errorStatus", "submitErrorStatus"]),
        st.floats(allow_nan=False, allow_infinity=False) | st.integers() | st.booleans() | st.text(),
    )
)
def test_any_numbers_are_answered(test: dict[str, Any]) -> None:
    """Whatever the payload says, the create is answered."""
    fake = FakeServer(strictness="off")
    with httpx.Client(transport=fake.transport()) as http:
        url = fake.contract.base_url + fake.contract.create.path
        answer = http.post(url, headers={"Authorization": "Bearer k"}, json={"model": MODEL, "test": test})
    assert 200 <= answer.status_code < 600


def test_its_members_are_those_of_the_document() -> None:
    """The fake reads each member that the schema of its payload has, and no other."""
    members = Contract.load("2026-08-30", model=MODEL).request_schema["properties"]["test"]["properties"]
    code = Path(dummy.__file__).read_text()
    assert set(members) == set(re.findall(r'_number\(payload, "(\w+)"\)', code))


def test_it_is_no_kling_model() -> None:
    """Only the capture that names it takes it under strict; elsewhere it is a warning, and no list of models has it."""
    (warning,) = validate({"model": MODEL})
    assert (warning.rule, warning.severity, warning.since) == ("revision", "warning", "2026-08-30")
    assert [violation.severity for violation in validate({"model": MODEL}, strictness="strict")] == ["error"]
    assert not validate({"model": MODEL}, revision="2026-08-30", strictness="strict")
    assert MODEL not in Contract.load("2026-08-30").models
    assert Contract.load("2026-08-30", model=MODEL).is_dummy
    with pytest.raises(Exception, match="2026-08-30"):
        Contract.load(model=MODEL)
