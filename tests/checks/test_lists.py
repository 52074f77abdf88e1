"""Claims about models that a server has retired: a check asks for that first, without the key, and says it in one line."""

from __future__ import annotations

import functools
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from fake_server import FakeServer
from fake_server.adapters.listen import listen
from fake_server.messages import Headers, Reply, Request
from kling_contract.checks.lists import Retired, ask_for_deprecations
from kling_contract.checks.plan import CLAIMS
from kling_contract.checks.report import CheckReport, lines
from kling_contract.checks.runner import CheckRun, check
from kling_contract.cli import cli
from kling_contract.contract import Contract
from kling_contract.contract.catalogue import catalogue
from kling_contract.reports import FORMATS
from tests.checks.test_any_response import ODD_BODIES
from tests.support.targets import KEY, answering

pytest_plugins = ["pytester"]

CONTRACT = Contract.load()
MODEL = CONTRACT.request_schema["properties"]["model"]["enum"][0]
ASKED = catalogue().deprecations
WAYS = catalogue().retirements
STATUS = {"withdrawn": WAYS.withdrawn.entry["status"], "superseded": WAYS.superseded.entry["status"]}

Respond = Callable[[httpx.Request], httpx.Response]


def entry(**members: Any) -> dict[str, Any]:
    """Return an entry of the list: by default the model is withdrawn."""
    whole = {"id": MODEL, "aliases": [], "status": STATUS["withdrawn"], "deprecated_at": None, "shutdown_at": None}
    return {**whole, "replaced_by": None, "reason": None, **members}


def asked(*entries: Any, respond: Respond | None = None) -> Retired | None:
    """Return what a server says of the model if it lists these entries, or responds so."""

    def listing(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"object": "list", "data": list(entries)})

    transport = httpx.MockTransport(respond or listing)
    retired, sent = ask_for_deprecations(transport, "http://127.0.0.1:1", MODEL, key=KEY, seconds=60)
    assert sent == 1
    return retired


def retiring(fake: FakeServer, *entries: Any) -> Respond:
    """Return a server like a fake, except that it lists these entries."""
    inside = fake.transport()

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == ASKED.path:
            return httpx.Response(200, json={"object": "list", "data": list(entries)})
        return inside.handle_request(request)

    return respond


def test_it_is_asked_for_without_the_key() -> None:
    """One request is sent, that cannot cost anything and has no key."""
    seen: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(404)

    assert asked(respond=respond) is None
    (request,) = seen
    assert (request.method, request.url.path, request.content) == ("GET", ASKED.path, b"")
    assert "authorization" not in request.headers
    assert KEY not in str(request.headers)


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({}, f"{MODEL} as withdrawn: no create of it can succeed"),
        ({"shutdown_at": "2026-09-15"}, "as withdrawn since 2026-09-15"),
        ({"deprecated_at": "2026-08-01", "replaced_by": "b"}, "since 2026-08-01: .*; it is replaced by b"),
        ({"id": "x", "aliases": ["y", MODEL]}, "withdrawn"),
        ({"status": STATUS["superseded"], "replaced_by": "b"}, f"{MODEL} as replaced by b$"),
        ({"status": STATUS["superseded"]}, "folded into another model"),
        ({"shutdown_at": 5, "replaced_by": ["b"]}, "as withdrawn: no create of it can succeed$"),
        ({"shutdown_at": f"a {KEY} b", "replaced_by": "b" * 5000}, r"since a \S+ b: .*b{100,199}…$"),
    ],
)
def test_what_is_said_of_the_model(members: dict[str, Any], said: str) -> None:
    """A model is found by its id and as an alias; whatever else is in the entry, one line says what became of it."""
    retired = asked(5, entry(id="another"), entry(**members))
    assert retired is not None
    assert re.search(said, str(retired))
    assert KEY not in str(retired)
    assert retired.serves == (members.get("status") == STATUS["superseded"])


@pytest.mark.parametrize(
    "members",
    [
        {"status": WAYS.ending.entry["status"], "shutdown_at": "2026-09-15"},
        {"status": "nonsense"},
        {"status": None},
        {"status": [STATUS["withdrawn"]]},
        {"id": None},
        {"id": MODEL.upper()},
        {"id": "x", "aliases": MODEL},
        {"id": "x", "aliases": None},
    ],
)
def test_what_says_nothing_of_the_model(members: dict[str, Any]) -> None:
    """A model that still serves under its own id is none that has ended, and what cannot be read says nothing."""
    assert asked(entry(**members)) is None


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from([MODEL, *STATUS]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from([*entry(), "data"]), inner),
    max_leaves=20,
)


@given(JSON, JSON)
def test_any_json(value: Any, data: Any) -> None:
    """Whatever JSON comes instead of a list, or in it, nothing is raised."""
    for content in (value, data, {"data": data}, {"data": [data, value]}):
        asked(respond=lambda request, content=content: httpx.Response(200, json=content))  # type: ignore[misc]


@pytest.mark.parametrize("body", ODD_BODIES, ids=range(len(ODD_BODIES)))
def test_any_body(body: bytes) -> None:
    """Whatever bytes come instead of a list, with whatever status, nothing is said of the model, and nothing raised."""
    headers = {"location": "http://["}
    for status in (200, 201, 204, 301, 304, 401, 404, 500):
        response = functools.partial(httpx.Response, status, content=body, headers=headers)
        assert asked(respond=lambda request, response=response: response()) is None, status  # type: ignore[misc]


def test_another_status_than_200_is_no_list() -> None:
    """What comes with an error is not read."""
    body = {"data": [entry()]}
    assert asked(respond=lambda request: httpx.Response(200, json=body)) is not None
    assert asked(respond=lambda request: httpx.Response(404, json=body)) is None


def test_no_answer() -> None:
    """A server that breaks the connection says nothing of the model."""

    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("the connection broke", request=request)

    assert asked(respond=broken) is None


def test_a_list_without_end() -> None:
    """No more is read than a list may have, though nothing says that it ends."""
    pieces = itertools.count()

    def endless() -> Iterator[bytes]:
        for _ in pieces:
            yield b" " * 2**16

    assert asked(respond=lambda request: httpx.Response(200, content=endless())) is None
    assert next(pieces) * 2**16 < 12_000_000


def test_a_list_that_never_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that drips is given up after a while, and the check goes on."""
    monkeypatch.setattr("kling_contract.checks.lists._SECONDS", 0.1)
    fake = FakeServer(api_key=KEY)
    inside = fake.transport()

    def dripping() -> Iterator[bytes]:
        while True:
            time.sleep(0.01)
            yield b" "

    def respond(request: httpx.Request) -> httpx.Response:
        if request.url.path == ASKED.path:
            return httpx.Response(200, content=dripping())
        return inside.handle_request(request)

    assert check(answering(respond), seed=0) == []


@pytest.mark.parametrize("creations", [0, 1, None], ids=["free", "paid", "allow-create"])
def test_a_withdrawn_model(creations: int | None) -> None:
    """The first result says it; what needs a create that succeeds is skipped for that, nothing is created, and the rest is kept."""
    fake = FakeServer(api_key=KEY)
    with CheckRun(answering(retiring(fake, entry())), creations=creations, seed=0) as run:
        first, *others = run.results()
        assert run.sent == len(fake.journal) + 1
    (finding,) = first.findings
    assert finding.severity == "notice"
    assert f"{MODEL} as withdrawn" in str(finding)
    assert ASKED.path in finding.reproduce
    free = {claim.name for claim in CLAIMS if claim.free}
    reasons = {each.claim: each.skipped for each in others}
    assert free <= set(reasons)
    for claim, reason in reasons.items():
        assert (reason is not None and "withdrawn" in reason) == (claim not in free)
    assert [found for each in others for found in each.findings] == []
    assert not fake.generations
    report = CheckReport("", CONTRACT.revision.id, CONTRACT.model, 0, 0, [first, *others])
    assert report.kept
    assert sum(report.summary.values()) == len(others)
    assert not CheckReport("", CONTRACT.revision.id, CONTRACT.model, 0, 0, [first, *others], fail_on="notice").kept


def test_a_replaced_model() -> None:
    """A model that lives on as an alias is said to be replaced, and checked like any other."""
    fake = FakeServer(api_key=KEY)
    server = answering(retiring(fake, entry(status=STATUS["superseded"], replaced_by="b")))
    found = check(server, seed=0, allow_create=False)
    assert [(each.severity, each.actual) for each in found] == [("notice", "replaced")]
    with CheckRun(server, creations=1, seed=0, time_limit=1) as run:
        assert any(claim.name.startswith("paid") for claim in run.claims)
        results = list(run.results())
    assert not any("replaced" in (each.skipped or "") for each in results)


def test_every_report_has_the_notice() -> None:
    """The notice is in each format, and first in the text."""
    server = answering(retiring(FakeServer(api_key=KEY), entry()))
    with CheckRun(server, seed=0) as run:
        report = CheckReport("http://x", CONTRACT.revision.id, CONTRACT.model, 0, run.sent, list(run.results()))
    for format_ in FORMATS:
        assert f"{MODEL} as withdrawn" in "\n".join(lines(report, format_))
    assert next(lines(report, "text")).startswith("notice")
    text = "\n".join(lines(report, "sarif"))
    assert '"uri": "schemas/catalogue.json"' in text


def test_the_command_says_it() -> None:
    """The command line prints it first, and is content: no promise is broken."""

    class Retiring(FakeServer):
        def handle(self, request: Request) -> Reply:
            if request.target.path == ASKED.path:
                return Reply(200, Headers(), json.dumps({"data": [entry()]}).encode())
            return super().handle(request)

    with listen(Retiring(api_key=KEY).asgi) as url:
        done = CliRunner().invoke(cli, ["check", str(url), "--seed", "1"], env={"AIMLAPI_KEY": KEY})
    assert done.exit_code == 0
    assert done.output.startswith("notice")
    assert "not as assumed" not in done.output


def test_tests_for_pytest_are_skipped(pytester: pytest.Pytester) -> None:
    """As tests, what needs a create that succeeds is skipped, and says why."""
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(
        """
from fake_server import FakeServer
from kling_contract.checks import contract_tests
from tests.checks.test_lists import entry, retiring
from tests.support.targets import KEY, answering

TestGateway = contract_tests(lambda server=answering(retiring(FakeServer(api_key=KEY), entry())): server, spend=1)
"""
    )
    done = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-rs", "-k", "paid")
    done.assert_outcomes(skipped=1, deselected=len([claim for claim in CLAIMS if claim.free]))
    assert "as withdrawn" in "".join(done.outlines)


def test_servers_without_lists_are_checked_as_ever() -> None:
    """Of a server that has no such list nothing is said."""
    fake = FakeServer(api_key=KEY)
    inside = fake.transport()

    def respond(request: httpx.Request) -> httpx.Response:
        return httpx.Response(404) if request.url.path == ASKED.path else inside.handle_request(request)

    assert check(answering(respond), seed=0) == []
