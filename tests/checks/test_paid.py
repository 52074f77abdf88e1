"""Claims about generations that are paid for: as many as agreed, each followed to its end, none created twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from fake_server import FakeServer
from kling_contract.checks.runner import check
from kling_contract.checks.target import Target
from kling_contract.contract import Contract, revisions
from kling_contract.validation import validate
from kling_contract.violation import has_errors
from tests.support.broken_fakes import broken_named, over_the_wire
from tests.support.targets import KEY, in_process, served

CREATE, GET = Contract.load().create, Contract.load().get
CONTRACTS = [Contract.load(revision) for revision in revisions()]


def could_create(request: httpx.Request) -> bool:
    """Return whether any revision takes this for a create."""
    return request.method == CREATE.method and not all(
        has_errors(validate(request.content, contract=contract)) for contract in CONTRACTS
    )


def through(respond: Callable[[httpx.Request], httpx.Response], fake: FakeServer) -> Target:
    """Return a fake whose responses come through `respond`."""
    return replace(in_process(fake), http=httpx.Client(transport=httpx.MockTransport(respond)), play=None)


@pytest.mark.parametrize("count", [1, 2])
def test_so_many_are_paid_for(count: int) -> None:
    """As many generations are created as were paid for, with a real picture, and each is followed to its end."""
    with served() as (url, fake):
        assert check(url, spend=count, key=KEY, seed=0) == []
        assert len(fake.generations) == count
        assert fake.ledger.pending == 0
        bodies = [exchange.request.json() for exchange in fake.journal if exchange.reply.status == CREATE.success]
    assert all(body["image_url"].startswith("data:image/jpeg;base64,") for body in bodies)


@pytest.mark.parametrize("name", ["wrong_size", "begins_late", "skips_back", "no_video", "lost_video", "early_video"])
def test_what_is_paid_for_is_checked(name: str) -> None:
    """A generation that goes wrong is found, and only one was created for it."""
    broken = broken_named(name)
    fake = broken.fake()
    with over_the_wire(broken, fake) as target:
        findings = check(target, spend=1, seed=0)
    assert {finding.claim for finding in findings} == {"paid-generation-1"}
    assert len(fake.generations) == 1


def test_a_create_without_response_is_not_repeated() -> None:
    """When the response to a paid create is lost, that is a finding, and nothing is created a second time."""
    fake = FakeServer(api_key=KEY)
    creates: list[bytes] = []

    def lossy(request: httpx.Request) -> httpx.Response:
        if could_create(request):
            creates.append(request.content)
            raise httpx.ReadError("the connection broke", request=request)
        return httpx.Client(transport=fake.transport()).send(request)

    (finding,) = [each for each in check(through(lossy, fake), spend=1, seed=0) if each.claim == "paid-generation-1"]
    assert "the connection broke" in finding.actual
    assert len(creates) == 1


def test_a_create_that_is_refused_is_not_repeated() -> None:
    """When a paid create is refused, that is one finding, and nothing is created a second time."""
    refusal = {"faults": [{"operation": CREATE.id, "refusal": "out_of_credits"}]}
    fake = FakeServer(api_key=KEY)
    sent: list[bytes] = []

    def poor(request: httpx.Request) -> httpx.Response:
        if could_create(request):
            sent.append(request.content)
            fake.play(refusal)
        return httpx.Client(transport=fake.transport()).send(request)

    (finding,) = [each for each in check(through(poor, fake), spend=1, seed=0) if each.claim == "paid-generation-1"]
    assert finding.expected == str(CREATE.success)
    assert len(sent) == 1


def test_a_paid_generation_that_is_left_unwatched_is_named() -> None:
    """When polls of a paid generation get no response any more, the finding has its id."""
    fake = FakeServer(api_key=KEY)
    made: list[str] = []

    def falls_silent(request: httpx.Request) -> httpx.Response:
        if made and request.method == GET.method:
            raise httpx.ReadTimeout("", request=request)
        response = httpx.Client(transport=fake.transport()).send(request)
        made.extend(fake.generations)
        return response

    (finding,) = check(through(falls_silent, fake), spend=1, seed=0)
    assert made[0] in finding.actual
    assert "goes on unwatched" in finding.problem
