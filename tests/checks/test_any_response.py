"""Claims about servers that return anything at all: whatever they send, a check ends in a report or in one clear line."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_server import FakeServer, Reply, Request
from fake_server.adapters.listen import listen
from fake_server.messages import Headers
from kling_contract.checks.deadline import LONGEST, BoundedClock, Deadline, DeadlineExceeded
from kling_contract.checks.report import CheckReport, lines
from kling_contract.checks.runner import CheckRun, check
from kling_contract.checks.steering import FakeControl
from kling_contract.cli import cli
from kling_contract.contract import Contract
from kling_contract.errors import ContractBroken, ServerUnreachable
from kling_contract.reports import FORMATS
from tests.support.targets import KEY, in_process

CONTRACT = Contract.load()
DEEP = 5000

ODD_BODIES = (
    *(b"", b"[]", b"null", b'"ok"', b"5", b"{}", b"true", b"NaN", b"{", b"\xff\xfe", b"\xff", b"\xef\xbb\xbf{}"),
    *(b"[" * DEEP + b"]" * DEEP, b'{"a":' * DEEP + b"1" + b"}" * DEEP, b"9" * DEEP, b'{"id":' + b"9" * DEEP + b"}"),
    *(b'{"now": NaN}', b'{"now": 1e400, "rate": 0}', b'{"now": []}', b'{"now": true, "rate": 0}'),
    b'{"now": 1' + b"0" * 400 + b', "rate": 0}',
    *(b'{"now": 5, "rate": 0, "booked": 7}', b'{"now": 5, "rate": 0, "booked": "x", "faults": [5, {"latency": 1}]}'),
    *(b'{"now": 5, "rate": 1, "faults": 5}', b'{"statusCode": []}', b'{"statusCode": ' + b"9" * DEEP + b"}"),
    b'{"message": "\\ud800", "statusCode": 404, "error": {}}',
)
ODD_IDS: tuple[Any, ...] = ("x", "a b", "\ud800", "\0", "://", "x" * 70_000, 5, None, [], 10**400)
ODD_LINKS: tuple[Any, ...] = (
    *("http://a\nb/", "http://[", "//x", "x", "http://", "http://a..b/", f"http://{'a' * 70}/", "http://x:99999999/"),
    *("file:///etc/passwd", "http://127.0.0.1:9/", "http://\ud800/", "a" * 70_000, 5, None, []),
)
ODD_HEADERS: tuple[dict[str, Any], ...] = (
    {"content-type": "application/json"},
    {"content-type": b"\xff", "allow": b"\xe9", "location": b"http://["},
    {"content-encoding": "gzip"},
    {"content-length": "x", "location": "x" * 70_000},
    {"set-cookie": b"\xff;;=; expires=x"},
)
STATUSES = {
    "accepts": [200, 201],
    "has_errors": [400, 401, 403, 404, 405, 415, 422, 429],
    "anything": [200, 201, 204, 299, 302, 304, 400, 401, 404, 418, 500, 599, 999],
}


def responding(seed: int, kind: str) -> Callable[[httpx.Request], httpx.Response]:
    """Return a server that returns something odd on every path: always the same, or each time something else."""
    chance = random.Random(seed)

    def body() -> bytes:
        link = chance.choice(ODD_LINKS)
        size = chance.choice([5, -1, 1e308, "x", 10**400])
        shown = {
            "id": chance.choice([*ODD_IDS, str(chance.random())]),
            "status": chance.choice([*CONTRACT.lifecycle.statuses, "strange", 5, None]),
            "video": chance.choice([None, 5, [], link, [{"url": link}], {"url": link, "file_size": size}]),
            "error": chance.choice([None, 5, {"a": [1]}]),
        }
        return chance.choice([*ODD_BODIES, *[json.dumps(shown).encode()] * 10])

    always = body() if chance.random() < 0.5 else None

    def respond(request: httpx.Request) -> httpx.Response:
        if chance.random() < 0.01:
            raise httpx.ReadError("the connection broke", request=request)
        content = body() if always is None else always
        stream = httpx.ByteStream(content)
        return httpx.Response(chance.choice(STATUSES[kind]), headers=chance.choice(ODD_HEADERS), stream=stream)

    return respond


def reported(server: Callable[[httpx.Request], httpx.Response] | str, creations: int | None, seed: int) -> list[str]:
    """Check a server and return the report in each format; or else why it is unreachable."""
    url = server if isinstance(server, str) else "http://127.0.0.1:1"
    try:
        with CheckRun(url, creations=creations, key=KEY, seed=seed, examples=2) as run:
            results = list(run.results())
    except ServerUnreachable as unreachable:
        return [str(unreachable)]
    report = CheckReport(url, CONTRACT.revision.id, CONTRACT.model, seed, run.sent, results)
    return ["\n".join(lines(report, format_)) for format_ in FORMATS]


@pytest.fixture
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no server that has no clock to move."""
    monkeypatch.setattr(BoundedClock, "sleep", lambda self, seconds: None)


@pytest.mark.usefixtures("without_waiting")
@pytest.mark.parametrize("kind", STATUSES)
@pytest.mark.parametrize(("creations", "seeds"), [(0, 12), (1, 12), (None, 2)], ids=["free", "paid", "allow-create"])
def test_any_response_is_a_response(
    kind: str, creations: int | None, seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a server returns, on every path, with any status: each check ends in a report in every format, or one line."""
    for seed in range(seeds):
        respond = responding(seed, kind)
        monkeypatch.setattr(httpx, "HTTPTransport", lambda *, _respond=respond, **_: httpx.MockTransport(_respond))
        for report in reported(respond, creations, seed):
            assert report.strip()
            assert "Traceback" not in report


@pytest.mark.usefixtures("without_waiting")
@pytest.mark.parametrize("body", [b"[]", b"[" * DEEP], ids=["list", "deep"])
@pytest.mark.parametrize("options", [[], ["--spend", "1", "--yes"]], ids=["free", "paid"])
def test_one_response_on_every_path_of_a_port(body: bytes, options: list[str]) -> None:
    """A server on a port that returns 200 and the same odd body on every path is broken, and the command says so."""

    class Same(FakeServer):
        def handle(self, request: Request) -> Reply:
            return Reply(200, Headers({"content-type": "application/json"}), body)

    with listen(Same().asgi) as url:
        done = CliRunner().invoke(cli, ["check", str(url), *options, "--seed", "1"], env={"AIMLAPI_KEY": KEY})
    assert isinstance(done.exception, SystemExit | None), done.exception
    assert done.exit_code == 1
    assert done.output.strip()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(ODD_BODIES) | st.binary(max_size=9), min_size=1), st.sampled_from([200, 201, 403]))
def test_any_response_of_a_control_api(bodies: list[bytes], status: int) -> None:
    """Whatever a control API returns, at first or later, it is read, or called broken in a way that can be reported."""
    good = [b'{"faults": []}', b'{"now": 5, "rate": 1}', b'{"now": 5, "rate": 1}']
    later = itertools.cycle(bodies)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=good.pop(0)) if good else httpx.Response(status, content=next(later))

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        fake = FakeControl.at("http://127.0.0.1", http)
        assert fake is not None
        for ask in (fake.now, fake.spent, lambda: fake.sleep(1), lambda: fake.play({})):
            with suppress(ContractBroken):
                ask()
        assert FakeControl.at("http://127.0.0.1", http) is None or status == 200


@pytest.mark.parametrize(
    "link", [link for link in ODD_LINKS if isinstance(link, str)], ids=lambda link: repr(link[:20])
)
def test_an_odd_link_is_found(link: str) -> None:
    """A paid generation whose video has a link that nobody can follow is reported, whatever the link looks like."""
    fake = FakeServer(api_key=KEY)
    inside = fake.transport()

    def odd(request: httpx.Request) -> httpx.Response:
        response = inside.handle_request(request)
        response.read()
        if b'"video"' not in response.content:
            return response
        shown = json.loads(response.content)
        shown["video"]["url"] = link
        return httpx.Response(response.status_code, headers={"content-type": "application/json"}, json=shown)

    def resolving(request: httpx.Request) -> httpx.Response:
        if request.url.host != httpx.URL(CONTRACT.base_url).host:
            request.url.host.encode("idna")  # as the resolver does, which refuses empty and long labels
            raise httpx.ConnectError("nobody is there", request=request)
        return odd(request)

    target = replace(in_process(fake), http=httpx.Client(transport=httpx.MockTransport(resolving)))
    findings = check(target, spend=1, seed=0)
    assert {finding.claim for finding in findings} == {"paid-generation-1"}
    assert len(fake.generations) == 1


def test_a_control_api_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control API that is still responding when the time is over makes a server unreachable, and is named."""

    def endless(request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/_fake"):
            monkeypatch.setattr(Deadline, "remaining", over)
        return httpx.Response(404, stream=httpx.ByteStream(b" "))

    def over(self: Deadline) -> float:
        raise DeadlineExceeded

    monkeypatch.setattr(httpx, "HTTPTransport", lambda **_: httpx.MockTransport(endless))
    with pytest.raises(ServerUnreachable, match="_fake did not answer"):
        check("http://127.0.0.1:1", allow_create=True, key=KEY)


@pytest.mark.parametrize("limit", ["inf", "nan", "-1", "0", str(2 * LONGEST)])
def test_no_odd_time_limit(limit: str) -> None:
    """A time limit that no run can have is wrong usage."""
    refused = CliRunner().invoke(cli, ["check", "http://127.0.0.1:1", "--time-limit", limit])
    assert refused.exit_code == 2
    with pytest.raises(ValueError, match="time limit"):
        check("http://127.0.0.1:1", time_limit=float(limit))
