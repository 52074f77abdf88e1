"""Claims about the control API: how it steers a fake, what it returns, and whom it refuses."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fake_server import FakeServer
from fake_server.adapters import control
from fake_server.adapters.control import ControlApi
from fake_server.adapters.control_pages import Pages
from fake_server.adapters.delivery import deliver
from fake_server.messages import Headers
from fake_server.scenario.scenario import scenarios
from kling_contract import Contract, SystemClock, VirtualClock, revisions
from kling_contract.contract import Step, Timeline
from tests.support.calls import KEY, asking, creating, payload, polling

CONTRACT = Contract.load()
FAILURE = CONTRACT.observed.failure
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3)


def controlled(**options: Any) -> ControlApi:
    return ControlApi(FakeServer(**options))


def told(fake: ControlApi, path: str, body: Any = None) -> Any:
    """Ask, and return the JSON that comes back. It must be a success."""
    reply = fake.handle(asking(path, body))
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "application/json"
    return reply.json()


def refused(fake: ControlApi, path: str, body: Any = None, **headers: str) -> tuple[int, str]:
    reply = fake.handle(asking(path, body, **headers))
    error = reply.json()
    assert list(error) == ["error"]
    return reply.status, error["error"]


def created(fake: ControlApi) -> str:
    return str(fake.handle(creating(CONTRACT)).json()["id"])


def status(fake: ControlApi, generation_id: str) -> str:
    return str(fake.handle(polling(CONTRACT, generation_id)).json()["status"])


def test_everything_else_goes_through() -> None:
    """Other requests are answered as without a control API, and those to it leave no trace in the fake."""
    fake, bare = FakeServer(), FakeServer()
    front = ControlApi(fake)
    requests = [creating(CONTRACT), creating(CONTRACT, {}), replace(creating(CONTRACT), url="http://a/_fake")]
    for request in requests:
        told(front, "journal")
        assert deliver(front.handle, request) == deliver(bare.handle, request)
    assert len(fake.journal) == len(requests)


@given(JSON)
@example(True)
@example(1e300)
@example(10**400)
@example(1e15)
@example(1e11)
def test_time_goes_on_or_stays(seconds: Any) -> None:
    """Whatever is sent, the clock goes on by the seconds asked for, or the request is refused and the clock stays."""
    fake = controlled()
    before = told(fake, "clock")["now"]
    reply = fake.handle(asking("clock", {"advance": seconds}))
    if reply.status == 200:
        assert not isinstance(seconds, bool)
        assert reply.json() == told(fake, "clock")
        assert reply.json()["now"] == before + seconds >= before
        assert (
            fake.handle(creating(CONTRACT, {})).status == CONTRACT.observed.refusals.reasons["invalid_body"].status_code
        )
    else:
        assert reply.status == 400
        assert reply.json()["error"]
        assert told(fake, "clock")["now"] == before


@given(st.integers(0, 10**9) | st.floats(0, 1e9))
def test_time_can_be_moved(seconds: float) -> None:
    """The clock goes on by any number of seconds up to thirty years, and says what day it is."""
    clock = VirtualClock()
    before = clock.now()
    now = told(controlled(clock=clock), "clock", {"advance": seconds})
    assert now["now"] == clock.now() == before + seconds
    assert now["time"].startswith("20")
    assert now["rate"] == 0


def test_real_time_cannot_be_moved() -> None:
    """A fake on the real time refuses to move it, and says why."""
    code, message = refused(controlled(clock=SystemClock()), "clock", {"advance": 1})
    assert code == 409
    assert "real time" in message


@pytest.mark.parametrize("name", scenarios())
def test_each_scenario_can_be_played(name: str) -> None:
    """A scenario is played by its name, in either form, and by the data that the control API itself gives of it."""
    fake = controlled()
    assert told(fake, "scenario")["name"] == "happy"
    data = told(fake, "scenario", name)
    assert data["name"] == name
    told(fake, "scenario", "happy")
    assert told(fake, "scenario", {"name": name}) == data
    told(fake, "scenario", "happy")
    assert told(fake, "scenario", data) == told(fake, "scenario") == data


def test_no_file_is_read_for_a_caller(tmp_path: Path) -> None:
    """The control API takes the names of shipped scenarios and no paths, so that nobody can read a file through it."""
    path = tmp_path / "mine.json"
    path.write_text('{"name": "mine"}')
    for sent in (str(path), {"name": str(path)}):
        assert refused(controlled(), "scenario", sent)[0] == 400


def test_scenarios_of_their_own_are_played() -> None:
    """A scenario sent as data is what new generations follow, and its faults count from then on."""
    fake = controlled()
    steps = [{"status": step.status, "at": step.at} for step in FAILURE.steps]
    fault = {"operation": "createGeneration", "skip": 1, "refusal": "unavailable"}
    told(fake, "scenario", {"name": "mine", "timeline": steps, "faults": [fault]})
    generation = created(fake)
    told(fake, "clock", {"advance": FAILURE.final.at})
    assert status(fake, generation) == FAILURE.final.status
    unavailable = CONTRACT.observed.refusals.reasons["unavailable"].status_code
    assert fake.handle(creating(CONTRACT)).status == unavailable
    assert fake.handle(creating(CONTRACT)).status == unavailable


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("nonsense", "happy"),
        ("../scenarios/happy", "happy"),
        ({"timelime": "failure"}, "timeline"),
        ({"name": "mine", "faults": [{"operation": "createGeneration", "refusal": "nonsense"}]}, "unavailable"),
        ({"name": "mine", "answers": {"create": {"id": "{nonsense}"}}}, "nonsense"),
        ([], "name of a scenario"),
        (5, "name of a scenario"),
        (b"{", "not JSON"),
    ],
)
def test_what_cannot_be_played_changes_nothing(sent: Any, said: str) -> None:
    """What is no scenario is refused in words that help, and the one before goes on."""
    fake = controlled(scenario="fails")
    code, message = refused(fake, "scenario", sent)
    assert code == 400
    assert said in message
    assert told(fake, "scenario")["name"] == "fails"


TIMELINES = st.lists(st.integers(1, 6), max_size=4).map(
    lambda gaps: Timeline(
        (Step("first", 0.0), *(Step(f"after {gaps[:i]}", sum(gaps[:i])) for i in range(1, len(gaps) + 1)))
    )
)
_FAKE = FakeServer()
_FAKE.handle(creating(CONTRACT))
(MADE,) = _FAKE.generations.values()


MOMENTS = st.integers(0, 40).map(lambda quarters: quarters / 4)


@given(TIMELINES, TIMELINES, MOMENTS, MOMENTS)
def test_another_end_leaves_the_past_alone(old: Timeline, new: Timeline, turn: float, elapsed: float) -> None:
    """Redirected, a generation has been what it was, and is from then on what it would be had it always been so."""
    before = replace(MADE, timeline=old, created_at=0.0)
    after = before.rescheduled(turn, new)
    assert after.status(elapsed) == (before.status(elapsed) if elapsed < turn else new.status_at(elapsed))
    assert replace(after, timeline=old) == before


@given(TIMELINES, TIMELINES, st.integers(0, 8), st.integers(0, 8))
def test_another_end_by_polls(old: Timeline, new: Timeline, turn: int, polls: int) -> None:
    """The same holds for a generation that goes a step with each poll, counted in polls."""
    after = replace(MADE, timeline=old, polls=turn).rescheduled(0.0, new)
    chosen = old if polls < turn else new
    expected = replace(MADE, timeline=chosen, polls=polls).status(0.0)
    assert replace(after, polls=polls).status(0.0) == expected


@pytest.mark.parametrize("progression", ["time", "polls"])
def test_one_generation_can_be_made_to_fail(progression: Any) -> None:
    """Of two generations the one that was given another end fails, at its time, and is never billed; the other completes."""
    fake = controlled(progression=progression)
    fails, completes = created(fake), created(fake)
    sent = fake.handle(asking(f"generation?id={fails}", {"timeline": "failure"}))
    assert sent.status == 200
    assert sent.json() == told(fake, f"generation?id={fails}")
    for _ in range(len(FAILURE.steps)):
        told(fake, "clock", {"advance": CONTRACT.observed.timeline.final.at})
        seen = status(fake, fails), status(fake, completes)
    assert seen == (FAILURE.final.status, CONTRACT.observed.timeline.final.status)
    ledger = told(fake, "ledger")
    assert {charge["generation_id"]: charge["state"] for charge in ledger["charges"]} == {
        fails: "void",
        completes: "booked",
    }
    assert ledger["booked"] == CONTRACT.price(CONTRACT.video_seconds(payload(CONTRACT)))
    code, message = refused(fake, f"generation?id={completes}", {"timeline": "failure"})
    assert code == 409
    assert CONTRACT.observed.timeline.final.status in message


@pytest.mark.parametrize(
    "sent", [{"timeline": "nonsense"}, {"timeline": []}, {"status": "error"}, {}, [], "failure", b""]
)
def test_an_end_that_is_none_is_refused(sent: Any) -> None:
    """A status cannot be set, nor anything but a timeline be given: the refusal says what can, and nothing changes."""
    fake = controlled()
    generation = created(fake)
    before = told(fake, f"generation?id={generation}")
    code, message = refused(fake, f"generation?id={generation}", sent)
    assert code == 400
    assert "timeline" in message
    assert told(fake, f"generation?id={generation}") == before


def test_generations_are_told() -> None:
    """The list has each generation, oldest first, with its status by now, and can be had short; each can be asked for alone."""
    fake = controlled()
    ids = [created(fake)]
    told(fake, "clock", {"advance": CONTRACT.observed.timeline.final.at})
    ids += [created(fake), created(fake)]
    listed = told(fake, "generations")
    assert listed["total"] == 3
    assert [each["id"] for each in listed["generations"]] == ids
    assert [each["status"] for each in listed["generations"]] == [status(fake, each) for each in ids]
    assert [told(fake, f"generation?id={each}") for each in ids] == listed["generations"]
    short = told(fake, "generations?limit=1")
    assert short == {"total": 3, "generations": listed["generations"][-1:]}
    assert told(fake, "generations?limit=0")["generations"] == []


@pytest.mark.parametrize("query", ["", "?id=", "?id=nonsense", "?id=a&id=b", "?other=1"])
def test_an_unknown_generation_is_said_to_be(query: str) -> None:
    """A generation that there is not, or that was not named, is a 404 that says where they are listed."""
    for body in (None, {"timeline": "failure"}):
        code, message = refused(controlled(), f"generation{query}", body)
        assert code == 404
        assert "/_fake/generation" in message


def test_the_journal_is_told_without_keys() -> None:
    """The journal and its HAR have each exchange, with what was wrong with it and whose it is, and no key."""
    fake = controlled()
    generation = created(fake)
    fake.handle(creating(CONTRACT, {"model": CONTRACT.model}))
    journal = told(fake, "journal")
    assert (journal["total"], journal["dropped"]) == (2, 0)
    good, bad = journal["exchanges"]
    assert (good["generation_id"], good["violations"]) == (generation, [])
    missing = {violation["pointer"].removeprefix("/") for violation in bad["violations"]}
    assert missing == set(CONTRACT.request_schema["required"]) - {"model"}
    assert bad["reason"]
    assert told(fake, "journal?limit=1")["exchanges"] == [bad]
    archive = told(fake, "har")
    assert len(archive["log"]["entries"]) == 2
    assert KEY not in json.dumps([journal, archive])


def test_reset_forgets_all_but_the_time() -> None:
    """After a reset the fake is as it began: no generations, no journal, its first scenario. The time goes on."""
    fake = controlled()
    told(fake, "scenario", "fails")
    first = created(fake)
    now = told(fake, "clock", {"advance": 5})["now"]
    assert told(fake, "reset", {}) == told(fake, "health")
    assert told(fake, "health")["generations"] == told(fake, "journal")["total"] == told(fake, "ledger")["total"] == 0
    assert told(fake, "scenario")["name"] == "happy"
    assert told(fake, "clock")["now"] == now
    assert created(fake) == first
    assert told(fake, "reset", b"") == told(fake, "health")


def test_health_says_what_this_is() -> None:
    """Health names the revision, the scenario and the settings."""
    fake = controlled(revision=revisions()[-1], scenario="fails", strictness="off", progression="polls")
    health = told(fake, "health")
    assert health.pop("status") == "ok"
    assert set(health.values()) == {revisions()[-1], "fails", "off", "polls", 0}


@pytest.mark.parametrize("revision", revisions())
def test_the_documents_are_served(revision: str) -> None:
    """Each document that the list names is served as the contract has it, the bundled one included."""
    fake = controlled(revision=revision)
    contract = Contract.load(revision)
    listed = told(fake, "documents")
    assert listed["revision"] == revision
    served = {
        path.removeprefix("/_fake/documents/"): told(fake, path.removeprefix("/_fake/")) for path in listed["documents"]
    }
    assert served.pop("bundled") == contract.bundled()
    assert served == {name: contract.document(name) for name in served}
    assert len(served) == len(contract.schemas) + 2
    assert refused(fake, "documents/nonsense")[0] == 404


@pytest.mark.parametrize("path", ["", "nonsense", "clock/x", "health/x", "reset/../health"])
def test_what_is_not_there_is_listed(path: str) -> None:
    """An unknown path is a 404 that lists those there are."""
    code, message = refused(controlled(), path)
    assert code == 404
    assert all(name in message for name in ("health", "clock", "documents"))


@pytest.mark.parametrize(
    ("path", "method", "allowed"), [("health", "POST", "GET"), ("reset", "GET", "POST"), ("clock", "PUT", "GET, POST")]
)
def test_a_wrong_method_is_told_the_right_one(path: str, method: str, allowed: str) -> None:
    """A method that a path does not take is a 405 with those that it does."""
    reply = controlled().handle(replace(asking(path), method=method))
    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    assert allowed in reply.json()["error"]


def test_head_is_a_get_without_a_body() -> None:
    """HEAD is answered as GET is, but for the body."""
    reply = deliver(controlled().handle, replace(asking("health"), method="HEAD"))
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("path", "limit"), [("clock", "-1"), ("journal", "-1"), ("ledger", "ten"), ("generations", "٣")]
)
def test_a_limit_is_a_number(path: str, limit: str) -> None:
    """A limit that is no number is refused, where there are limits."""
    reply = controlled().handle(asking(f"{path}?limit={limit}"))
    assert reply.status == (200 if path == "clock" else 400)


def test_only_json_is_taken() -> None:
    """A body of another type, too long, or that is no JSON is refused, and each refusal says what to send."""
    fake = controlled(body_limit=50)
    for headers in ({"content-type": "text/plain"}, {"content-type": ""}):
        code, message = refused(fake, "clock", {"advance": 1}, **headers)
        assert code == 415
        assert "application/json" in message
        code, message = refused(fake, "reset", b"", **headers)
        assert code == 415
        assert "application/json" in message
    assert refused(fake, "clock", b" " * 51)[0] == 413
    for nonsense in (
        b"",
        b"{",
        b"\xff",
        b'{"advance": NaN}',
        b'{"advance": 1, "advance": 2}',
        b'{"advance": 1, "a": 2}',
    ):
        code, message = refused(fake, "clock", nonsense)
        assert code == 400
        assert '{"advance": 30}' in message


HERE = ["127.0.0.1", "127.0.0.1:8080", "127.9.9.9", "localhost:1", "LOCALHOST", "kling.localhost", "[::1]:8080"]
FOREIGN = [
    "evil.example",
    "evil.example:8080",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "localhost@evil.example",
]
FOREIGN += ["0.0.0.0", "192.0.2.1", "[::2]", "", "[", "a b", "evillocalhost"]


@pytest.mark.parametrize("host", FOREIGN)
def test_a_foreign_name_is_refused(host: str) -> None:
    """Whoever was led here by another name gets nothing and changes nothing, on any path; the API itself still answers."""
    fake = controlled()
    generation = created(fake)
    for path, body in (
        ("health", None),
        ("journal", None),
        ("reset", {}),
        ("clock", {"advance": 9}),
        ("nonsense", None),
    ):
        code, message = refused(fake, path, body, host=host)
        assert code == 403
        assert repr(host) in message
    assert told(fake, "generations")["total"] == 1
    poll = polling(CONTRACT, generation)
    assert fake.handle(replace(poll, headers=Headers({**poll.headers, "host": host}))).status == 200


@pytest.mark.parametrize("host", HERE)
def test_this_machine_may_ask(host: str) -> None:
    """All names of this machine alone are taken, as Host and as Origin."""
    fake = controlled()
    assert fake.handle(asking("health", host=host)).status == 200
    assert fake.handle(asking("health", host=host, origin=f"http://{host}")).status == 200


@pytest.mark.parametrize("origin", ["null", "", *(f"https://{host}" for host in FOREIGN)])
def test_a_foreign_page_is_refused(origin: str) -> None:
    """A page of another origin can steer nothing, though its browser knows the right address."""
    fake = controlled()
    created(fake)
    assert refused(fake, "reset", {}, origin=origin)[0] == 403
    assert told(fake, "generations")["total"] == 1


@pytest.mark.parametrize(
    ("bound", "host", "code"),
    [
        ("fake.example", "fake.example:8080", 200),
        ("Fake.Example", "fake.example", 200),
        ("fake.example", "other.example", 403),
        ("192.0.2.1", "192.0.2.1:80", 200),
        ("192.0.2.1", "192.0.2.2", 403),
        ("0.0.0.0", "192.0.2.2:80", 200),
        ("::", "[2001:db8::1]:80", 200),
        ("0.0.0.0", "evil.example", 403),
    ],
)
def test_the_address_listened_on_may_be_named(bound: str, host: str, code: int) -> None:
    """A fake that listens elsewhere is asked by that address; on all addresses, by any number, but by no name."""
    assert ControlApi(FakeServer(), host=bound).handle(asking("health", host=host)).status == code


@pytest.mark.parametrize(
    ("bound", "origin", "code"),
    [
        ("0.0.0.0", "http://192.0.2.2", 403),
        ("::", "http://[2001:db8::1]", 403),
        ("0.0.0.0", "http://0.0.0.0", 403),
        ("::", "null", 403),
        ("", "null", 403),
        ("0.0.0.0", "http://localhost:3000", 200),
        ("192.0.2.1", "http://192.0.2.1:8080", 200),
        ("fake.example", "http://fake.example", 200),
    ],
)
def test_a_page_of_a_bare_address_is_foreign(bound: str, origin: str, code: int) -> None:
    """On all addresses any number may be asked, but only pages of this machine may ask; on one, its own pages too."""
    fake = ControlApi(FakeServer(), host=bound)
    assert fake.handle(asking("reset", {}, host="127.0.0.1:8080", origin=origin)).status == code


def test_the_port_has_a_control_path() -> None:
    """Over a real port the clock of the fake is moved, a foreign Host header refused, and a body too long as well."""
    fake = FakeServer(body_limit=1000, clock=VirtualClock(rate=0))
    with fake.listen() as url, httpx.Client(base_url=url, verify=False) as client:
        before = client.get("/_fake/clock").json()["now"]
        assert client.post("/_fake/clock", json={"advance": 30}).json()["now"] == before + 30 == fake.clock.now()
        assert client.get("/_fake/health", headers={"host": "evil.example"}).status_code == 403
        assert client.post("/_fake/scenario", json="a" * 1000).status_code == 413
        made = client.post(
            creating(CONTRACT).target.path, headers={"authorization": "Bearer k"}, json=payload(CONTRACT)
        )
        assert client.get("/_fake/generation", params={"id": made.json()["id"]}).json()["id"] == made.json()["id"]
    assert len(fake.journal) == 1


def test_the_docstring_lists_every_page() -> None:
    """The documentation of the module has each page with its methods, and each member that a page returns."""
    documented = control.__doc__ or ""
    fake = FakeServer()
    pages = Pages(fake).by_name
    called = {(name, method) for method, name in re.findall(r"`(GET|POST) (\w+)", documented)}
    assert called == {(name, method) for name, page in pages.items() for method in page}
    fake.handle(creating(CONTRACT))
    front = ControlApi(fake)
    generation_id = next(iter(fake.generations))
    paragraphs = documented.split("\n- ")
    for name in pages.keys() - {"scenario", "har", "reset"}:
        (paragraph,) = [part for part in paragraphs if re.match(rf"`GET {name}\b", part)]
        path = f"generation?id={quote(generation_id, safe='')}" if name == "generation" else name
        returned = told(front, path)
        members = {*returned}
        for entries in (returned.get("exchanges"), returned.get("charges")):
            members |= {*entries[0]} if entries else set()
        assert members <= set(re.findall(r"`(\w+)`", paragraph)), name
