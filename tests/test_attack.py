"""Claims about the fake under an attack that knows the OpenAPI document alone: schemathesis, with all its checks and phases."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import pytest
import schemathesis
from broken_fakes import Twisted, other_success
from hypothesis import given, settings
from referee import referee
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from targets import KEY

from fake_server import FakeServer
from fake_server.asgi import app
from fake_server.live import live
from kling_contract.contract import Contract, revisions
from kling_contract.jsontext import BadJson, parse

PHASES = ("examples", "coverage", "fuzzing", "stateful")


@dataclass
class Attack:
    """What became of an attack: how often each check was made, how each phase ended, and everything that went wrong."""

    fake: FakeServer
    checks: Counter[str] = field(default_factory=Counter)
    phases: dict[str, str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def attack(fake: FakeServer, *, url: str | None = None, phases: tuple[str, ...] = PHASES) -> Attack:
    """Let schemathesis attack a fake in process, or at a URL."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "base-url": url or fake.contract.base_url,
            "headers": {"Authorization": f"Bearer {KEY}"},
            "generation": {"mode": "all", "max-examples": 15, "deterministic": True, "database": "none"},
            "phases": {
                **{phase: {"enabled": phase in phases} for phase in PHASES},
                "examples": {"enabled": "examples" in phases, "fill-missing": True},
                "stateful": {"enabled": "stateful" in phases, "max-steps": 3, "generation": {"max-examples": 5}},
            },
            "cache": {"enabled": False},
            "continue-on-failure": True,
            "warnings": False,
        }
    )
    schema = schemathesis.openapi.from_dict(fake.contract.bundled(), config=config)
    if url is None:
        schema.app = app(fake)
    found = Attack(fake)
    for event in from_schema(schema).execute():
        match event:
            case events.PhaseFinished():
                found.phases[event.phase.name.value] = event.status.value
            case events.NonFatalError() | events.FatalError():
                found.failures.append(str(event))
            case events.ScenarioFinished():
                for check in (each for checks in event.recorder.checks.values() for each in checks):
                    found.checks[check.name] += 1
                    if check.failure_info is not None:
                        found.failures.append(str(check.failure_info.failure))
    return found


@pytest.fixture(scope="module", params=["in process", "over the wire"])
def attacked(request: pytest.FixtureRequest) -> Attack:
    fake = FakeServer(api_key=KEY, strictness="strict")
    with live(fake) if request.param == "over the wire" else nullcontext() as url:
        return attack(fake, url=None if url is None else "".join(url))


def test_nothing_is_found(attacked: Attack) -> None:
    """No check of any phase fails, and none is left out."""
    assert attacked.failures == []
    assert {phase: attacked.phases[phase] for phase in PHASES} == dict.fromkeys(PHASES, "success")
    load_all_checks()
    assert set(attacked.checks) >= {check.__name__ for check in CHECKS.get_all()}


def test_links_are_followed(attacked: Attack) -> None:
    """Generations that the attack created are polled by it, by the link in the document."""
    polled = [each.generation_id for each in attacked.fake.journal if each.operation == "getGeneration"]
    assert len({each for each in polled if each is not None}) > 1


def test_verdicts_agree_with_another_validator(attacked: Attack) -> None:
    """Of the bodies that were sent as they must be, valid and invalid, those are accepted that another validator accepts."""
    contract = attacked.fake.contract
    operation = contract.operations["createGeneration"]
    faults = referee(contract.request_schema)
    verdicts: Counter[bool] = Counter()
    for exchange in attacked.fake.journal:
        if exchange.operation != operation.id or exchange.reply.status not in (operation.success, 400):
            continue
        try:
            valid = not faults(parse(exchange.request.body))
        except BadJson:
            valid = False
        assert (exchange.reply.status == operation.success) == valid, exchange.request.body
        verdicts[valid] += 1
    assert min(verdicts[True], verdicts[False]) > 20


@pytest.mark.parametrize("revision", revisions())
def test_positive_cases_have_whole_bodies(revision: str) -> None:
    """What schemathesis draws as valid is valid, and every property of the schema appears: references are not lost on it."""
    contract = Contract.load(revision)
    schema = schemathesis.openapi.from_dict(contract.bundled())
    operation = contract.operations["createGeneration"]
    faults = referee(contract.request_schema)
    seen: set[str] = set()

    @settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @given(schema[operation.path][operation.method].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def draw(case: Any) -> None:
        assert faults(case.body) == []
        seen.update(case.body)

    draw()
    assert seen >= set(contract.request_schema["properties"])


def test_the_attack_finds_what_there_is() -> None:
    """A fake that answers with a status that is not documented is found out: the attack is not blind."""
    found = attack(Twisted(other_success), phases=("coverage",))
    assert found.checks["status_code_conformance"]
    assert any("ndocumented" in failure for failure in found.failures), found
