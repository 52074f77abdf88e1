"""What type checkers say of the public surface: `make check` reads this file with mypy and pyright, and nothing runs it.

`assert_type` holds what a call gives. A `type: ignore` stands where a wrong call must be an error: both checkers report one
that is not needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack, assert_type

import httpx
import httpx2
import respx

from fake_server import Exchange, FakeServer, Fault, Headers, Journal, Ledger, Reply, Request, Scenario, exercise
from kling_contract import (
    AsyncClient,
    Client,
    Contract,
    Generation,
    GenerationFailed,
    Operation,
    Timeline,
    Violation,
    VirtualClock,
    check_request,
    check_response,
    revisions,
    validate,
)
from kling_contract.checks import Finding, check, contract_tests
from kling_contract.client import Fields
from kling_contract.drift import Change, diff
from kling_contract.mutations import Mutation, mutations


def the_contract(contract: Contract) -> None:
    assert_type(Contract.load("latest"), Contract)
    assert_type(revisions(), tuple[str, ...])
    assert_type(contract.create, Operation)
    assert_type(contract.get.path, str)
    assert_type(contract.observed.polling.timeout, float)
    assert_type(contract.observed.refusals.reasons["unauthorized"].status_code, int)
    assert_type(contract.observed.timeline, Timeline)
    assert_type(diff(contract, contract), list[Change])
    _ = contract.observed.polling.patience  # type: ignore[attr-defined]


def the_validator(payload: Mapping[str, Any]) -> None:
    assert_type(validate(payload), list[Violation])
    assert_type(validate(b"{}", revision="latest", strictness="strict"), list[Violation])
    assert_type(check_request(httpx.Request("POST", "http://127.0.0.1")), list[Violation])
    assert_type(check_response(httpx.Response(200)), list[Violation])
    validate(payload, strictness="Strict")  # type: ignore[arg-type]
    validate()  # type: ignore[call-arg]


def a_function_that_passes_fields_on(kling: Client, **fields: Unpack[Fields]) -> Generation:
    return kling.generate(**fields)


def the_client() -> None:
    with Client("any-key", http=httpx.Client(), clock=VirtualClock()) as kling:
        created = kling.create(image=Path("cat.png"), prompt="The cat wakes up.", duration=5)
        assert_type(created, Generation)
        assert_type(kling.wait(created, timeout=600), Generation)
        assert_type(kling.generate({"prompt": "A cat."}, cfg_scale=0.5), Generation)
        assert_type(kling.download(created, "clip.mp4"), Path)
        kling.create(promt="The cat wakes up.")  # type: ignore[call-arg]
        kling.create(duration="five")  # type: ignore[arg-type]
        kling.generate(image="cat.png", timout=5)  # type: ignore[call-arg]
    assert_type(Client.from_env(), Client)
    Client("any-key", model="kling-video/v1/standard/text-to-video")
    Client.from_env(model=1)  # type: ignore[arg-type]
    Client.from_env(retries="5")  # type: ignore[arg-type]
    Client("any-key", strictness="Strict")  # type: ignore[arg-type]
    Client("any-key", http=httpx2.Client())
    Client("any-key", http=httpx.AsyncClient())  # type: ignore[arg-type]
    AsyncClient("any-key", http=httpx.Client())  # type: ignore[arg-type]
    Client(None)  # type: ignore[arg-type]


async def the_asynchronous_client() -> None:
    async with AsyncClient("any-key", http=httpx2.AsyncClient()) as kling:
        assert_type(await kling.generate(image="https://example.com/cat.png", prompt="A cat."), Generation)


def its_errors(failed: GenerationFailed) -> None:
    assert_type(failed.generation, Generation)


def the_fake(router: respx.Router) -> None:
    fake = FakeServer(scenario="fails", strictness="off", progression="polls")
    fake.advance(204)
    assert_type(fake.journal, Journal)
    assert_type(fake.journal[0], Exchange)
    assert_type(fake.journal[0].violations, tuple[Violation, ...])
    assert_type(fake.ledger, Ledger)
    assert_type(fake.transport(), httpx.MockTransport)
    httpx.Client(transport=fake.transport())
    httpx2.Client(transport=fake.transport(httpx2))
    httpx.AsyncClient(transport=httpx.ASGITransport(fake.asgi))
    fake.mount(router)
    fake.assert_created_once()
    fake.assert_created(times=2)
    assert_type(fake.handle(Request("GET", "http://127.0.0.1/")), Reply)
    Reply(200, Headers({"content-type": "text/plain"}), b"")
    with fake.listen() as url:
        httpx.get(url)
    with fake.intercept() as same:
        assert_type(same, FakeServer)
    FakeServer(revision="latest", model="klingai/video-v3-pro-text-to-video")
    FakeServer(model=1)  # type: ignore[arg-type]
    FakeServer(scenaro="fails")  # type: ignore[call-arg]
    FakeServer(strictness="none")  # type: ignore[arg-type]
    Fault(operation="delete")  # type: ignore[arg-type]


def its_scenarios() -> None:
    flaky = Scenario(name="flaky", faults=(Fault(operation="getGeneration", times=3, refusal="unavailable"),))
    FakeServer(scenario=flaky)
    report = exercise(lambda: None, scenarios=["fails"], strictness="strict")
    assert_type(report["fails"].created, int)
    exercise(lambda: None, model="kling-video/v1/standard/text-to-video")
    exercise(lambda: None, model=1)  # type: ignore[arg-type]
    exercise(lambda: None, strictnes="strict")  # type: ignore[call-arg]


def the_checks() -> None:
    assert_type(check("http://127.0.0.1:8080"), list[Finding])
    check("https://gateway.example.com", allow_remote=True)
    contract_tests("http://127.0.0.1:8080", time_limit=60)
    contract_tests("http://127.0.0.1:8080", revision="latest", model="klingai/video-v3-pro-text-to-video")
    check("http://127.0.0.1:8080", model="klingai/video-v3-pro-text-to-video")
    check("http://127.0.0.1:8080", model=1)  # type: ignore[arg-type]
    for mutation in mutations(model="kling-video/v1/standard/text-to-video"):
        assert_type(mutation, Mutation)
