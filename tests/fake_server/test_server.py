"""Claims about the fake itself, whichever way requests reach it."""

from __future__ import annotations

import asyncio
import inspect
import json
import math
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_type_hints
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_server import Exchange, FakeOptions, FakeServer, Reply, Request, Scenario
from fake_server.journal.text import line
from fake_server.messages import Headers
from fake_server.service import media
from kling_contract import Contract, SystemClock, Timeline, check_response, revisions, validate
from kling_contract.errors import DocumentError
from kling_contract.strategies import valid_requests
from kling_contract.violation import has_errors

KEY = {"authorization": "Bearer k"}
EXAMPLE = {
    "model": "kling-video/v1/pro/image-to-video",
    "image_url": "https://example.com/a.png",
    "prompt": "A cat wakes up.",
}


def create(fake: FakeServer, payload: Any, headers: Mapping[str, str] | None = None) -> Reply:
    operation = fake.contract.create
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    sent = {**KEY, "content-type": operation.media_type or "", **(headers or {})}
    return fake.handle(Request(operation.method, fake.contract.base_url + operation.path, Headers(sent), body))


def get(fake: FakeServer, generation_id: str) -> Reply:
    operation = fake.contract.get
    query = urlencode({operation.query["required"][0]: generation_id})
    return fake.handle(Request(operation.method, f"{fake.contract.base_url}{operation.path}?{query}", Headers(KEY)))


@pytest.mark.parametrize("revision", revisions())
@pytest.mark.parametrize("scenario", ["happy", "fails"])
def test_a_generation_follows_its_timeline(revision: str, scenario: str) -> None:
    """In each revision a generation is in the status that its timeline says, and each answer keeps the contract."""
    fake = FakeServer(revision=revision, scenario=scenario)
    request = Request("POST", fake.contract.base_url + fake.contract.create.path)
    created = create(fake, EXAMPLE)
    assert created.status == fake.contract.create.success
    assert created.json()["status"] == fake.contract.lifecycle.initial
    assert not has_errors(check_response(created, request=request, revision=revision))
    polled = Request("GET", request.url)
    elapsed = 0.0
    for step in fake.scenario.timeline_under(fake.contract).steps:
        fake.advance(step.at - elapsed)
        elapsed = step.at
        reply = get(fake, created.json()["id"])
        assert reply.json()["status"] == step.status
        assert not has_errors(check_response(reply, request=polled, revision=revision))
    assert fake.contract.lifecycle.is_final(reply.json()["status"])


@given(valid_requests(), st.data())
def test_whatever_is_valid_is_made(payload: dict[str, Any], data: st.DataObject) -> None:
    """Every valid payload is accepted, completes, and its video has the length asked for and the size promised."""
    fake = FakeServer(strictness=data.draw(st.sampled_from(["strict", "lax", "off"])))
    created = create(fake, payload)
    assert created.status == fake.contract.create.success
    fake.advance(fake.contract.observed.timeline.final.at)
    done = get(fake, created.json()["id"]).json()
    assert fake.contract.lifecycle.succeeded(done["status"])
    film = fake.handle(Request("GET", done["video"]["url"]))
    assert film.status == 200
    assert len(film.body) == done["video"]["file_size"]
    assert film.headers["content-type"] == done["video"]["content_type"]


@given(
    st.binary(max_size=200).filter(lambda body: not body.lstrip().startswith(b"{"))
    | st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_rubbish_is_refused_in_the_envelope(body: bytes) -> None:
    """A body that is no payload gets a 400 whose body fits the error schema, and creates and bills nothing."""
    fake = FakeServer(strictness="off")
    reply = create(fake, body)
    request = Request("POST", fake.contract.base_url + fake.contract.create.path)
    assert reply.status == fake.contract.observed.refusals.reasons["invalid_body"].status_code
    assert not check_response(reply, request=request)
    assert not fake.generations
    assert not fake.ledger.charges


@given(
    st.text(max_size=40),
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "get", ""]),
    st.text(max_size=30),
    st.binary(max_size=50),
)
def test_no_request_brings_it_down(path: str, method: str, authorization: str, body: bytes) -> None:
    """Whatever the method, path, key and body: the answer is a refusal of the 4xx kind, in the envelope."""
    fake = FakeServer()
    reply = fake.handle(
        Request(method, f"{fake.contract.base_url}/{path}", Headers({"authorization": authorization}), body)
    )
    assert 400 <= reply.status < 500
    assert reply.json()
    assert reply.headers["x-fake-reason"].isascii()


class Telling:
    """A clock that tells what it is told to."""

    def __init__(self, time: float) -> None:
        self.time = time

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


NUMBERS = (
    st.floats()
    | st.integers()
    | st.sampled_from(
        ["inf", "-inf", "nan", "1e308", "-5", "0", "1_0", "\u0665", 1e308, 10**400, 5e-324, True, "9" * 4_301]
    )
)
WORDS = st.text(max_size=20) | st.sampled_from(["9" * 4_301, "\ud800", "Bearer \ud800", "[", "a\nb"])
DIGITS = st.sampled_from(["", "0", "5", "999", "9" * 4_301, "0" * 4_301 + "5"])
RANGES = st.builds("bytes={}-{}".format, DIGITS, DIGITS)
FIELDS = st.dictionaries(
    st.sampled_from(["authorization", "content-type", "content-length", "host", "origin", "x-key"]) | WORDS, WORDS
)


@given(
    strictness=st.sampled_from(["strict", "lax", "off"]),
    start=st.floats(),
    later=st.floats(),
    api_key=st.none() | WORDS,
    duration=NUMBERS,
    body=st.none() | st.binary(max_size=20),
    fields=FIELDS,
    ranges=RANGES,
    others=st.lists(st.tuples(st.sampled_from(["GET", "POST", "HEAD", ""]) | WORDS, WORDS, st.booleans()), max_size=4),
)
@settings(max_examples=200)
def test_nothing_makes_it_raise(
    strictness: Any,
    start: float,
    later: float,
    api_key: str | None,
    duration: Any,
    body: bytes | None,
    fields: dict[str, str],
    ranges: str,
    others: list[tuple[str, str, bool]],
) -> None:
    """Whatever a request holds and whatever the clock tells, there is an answer that can be sent, and the bill, the
    archive and the log can be written."""
    clock = Telling(start)
    written: list[str] = []
    fake = FakeServer(
        strictness=strictness,
        clock=clock,
        api_key=api_key,
        progression="immediate",
        on_exchange=lambda exchange: written.append(line(exchange)),
    )
    key = {**KEY, **fields}
    payload = json.dumps({**EXAMPLE, "duration": duration}).encode() if body is None else body
    create, get = fake.contract.create, fake.contract.get
    sent = {**key, "content-type": create.media_type or ""}
    asked = [Request(create.method, fake.contract.base_url + create.path, Headers(sent), payload)]
    asked += [
        Request(method, f"{fake.contract.base_url}/{text}" if absolute else text, Headers(key), payload)
        for method, text, absolute in others
    ]
    asked.append(
        Request(get.method, f"{fake.contract.base_url}{get.path}?generation_id={''.join(fields)}", Headers(key))
    )
    for request in asked:
        reply = fake.handle(request)
        assert 200 <= reply.status <= 599
    clock.time = later
    for generation in fake.generations.values():
        assert generation.price
        polled = Request(get.method, f"{fake.contract.base_url}{get.path}?generation_id={generation.id}", Headers(KEY))
        for request in (polled, Request("GET", generation.video_url, Headers({**fields, "range": ranges}))):
            assert 200 <= fake.handle(request).status <= 599
    assert len(written) == len(fake.journal)
    assert fake.ledger.booked >= 0
    json.dumps(fake.journal.har(), allow_nan=False)


@pytest.mark.parametrize(
    "duration", ["inf", "-inf", "nan", "1e308", 1e308, 10**400, 0, -5, 86_401], ids=lambda each: str(each)[:10]
)
def test_what_is_no_length_of_a_video_counts_as_the_default(duration: Any) -> None:
    """Where everything is taken, a duration that no video can have makes a video of the default length, at its price."""
    fake = FakeServer(strictness="off")
    assert create(fake, {**EXAMPLE, "duration": duration}).status == create(fake, EXAMPLE).status
    made, usual = fake.generations.values()
    assert (made.duration, made.price) == (usual.duration, usual.price)


@pytest.mark.parametrize("url", ["http://[", "http://a\u2100/", "[", "//[", ""])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    """A request to what cannot be split as a URL is answered as one to an unknown path."""
    fake = FakeServer()
    reasons = fake.contract.observed.refusals.reasons
    assert fake.handle(Request("GET", url)).status == reasons["unknown_path"].status_code


def test_a_length_of_thousands_of_digits_is_kept_as_it_is() -> None:
    """The journal corrects the length of a body from which it took a key, but not a length that no body can have."""
    fake = FakeServer()
    key = "a-key-that-is-long"
    for length, kept in (("18", "3"), ("9" * 4_301, "9" * 4_301)):
        headers = Headers({"authorization": f"Bearer {key}", "content-length": length})
        fake.handle(Request("POST", fake.contract.base_url, headers, key.encode()))
        assert (fake.journal[-1].request.body, fake.journal[-1].request.headers["content-length"]) == (b"***", kept)


@pytest.mark.parametrize(
    ("digits", "part"),
    [
        (f"bytes={'9' * 4_301}-", None),
        (f"bytes=0-{'9' * 4_301}", (0, None)),
        (f"bytes=-{'9' * 4_301}", (0, None)),
        (f"bytes={'0' * 4_301}5-{'0' * 4_301}9", (5, 10)),
        ("bytes=\u0661-\u0662", ()),
    ],
)
def test_ranges_of_any_length_are_understood(digits: str, part: tuple[int, int | None] | tuple[()] | None) -> None:
    """A position with thousands of digits is a number like any other; digits other than those of ASCII are none."""
    whole = media.video(5)
    reply = media.serve(Request("GET", "", Headers({"range": digits})), whole, "video/mp4")
    if part is None:
        assert (reply.status, reply.headers["content-range"]) == (416, f"bytes */{len(whole)}")
    elif part:
        assert (reply.status, reply.body) == (206, whole[slice(*part)])
    else:
        assert (reply.status, reply.body) == (200, whole)


@pytest.mark.parametrize("wrong", [1e12, math.inf, math.nan, 10**400], ids=["far", "inf", "nan", "long"])
def test_a_scenario_stays_in_the_calendar(wrong: float) -> None:
    """A latency or a step of a timeline that is no number, or further away than a year, is refused at the start."""
    for scenario in (
        {"faults": [{"operation": "getGeneration", "latency": wrong}]},
        {"timeline": [{"status": "queued", "at": 0}, {"status": "completed", "at": wrong}]},
    ):
        with pytest.raises((DocumentError, ValueError), match=r"latency|timeline|JSON"):
            FakeServer(scenario=scenario)


def test_every_issue_is_in_the_refusal() -> None:
    """A refusal has a line for every error of the payload, and the explaining header names each."""
    fake = FakeServer()
    payload = {"model": fake.contract.model, "image_url": 5, "cfg_scale": 2, "duration": "7"}
    reply = create(fake, payload)
    errors = [violation for violation in validate(payload) if violation.severity == "error"]
    assert len(errors) >= 4
    assert len(reply.json()["message"].splitlines()) == 1 + len(errors)
    for violation in errors:
        assert violation.pointer in reply.headers["x-fake-reason"]


def test_what_the_service_takes_is_recorded() -> None:
    """A tolerated deviation is accepted in lax, refused in strict, and stands in the journal of both."""
    tolerated = Contract.load().observed.tolerated[0]
    payload = {**EXAMPLE, tolerated.pointer.removeprefix("/"): "5"}
    lax, strict = FakeServer(), FakeServer(strictness="strict")
    assert create(lax, payload).status == lax.contract.create.success
    assert create(strict, payload).status == 400
    for fake in (lax, strict):
        assert [violation.pointer for violation in fake.journal[-1].violations] == [tolerated.pointer]


def test_a_tolerated_duration_has_effect() -> None:
    """A duration sent as text makes a video of that length, and is billed as such."""
    fake = FakeServer()
    create(fake, {**EXAMPLE, "duration": "10"})
    create(fake, {**EXAMPLE, "duration": 10})
    assert len({charge.amount for charge in fake.ledger.charges}) == 1
    assert fake.ledger.charges[0].amount == fake.contract.price(10)


@pytest.mark.parametrize("authorization", ["", "k", "Bearer", "Bearer  ", "Basic k", "Bearer other"])
def test_a_wrong_key_is_refused(authorization: str) -> None:
    """Without the right bearer nothing is created; the key is neither in the reply nor in the journal."""
    fake = FakeServer(api_key="s3cret")
    reply = create(fake, EXAMPLE, {"authorization": authorization})
    assert reply.status == fake.contract.observed.refusals.reasons["unauthorized"].status_code
    assert not fake.generations
    assert "s3cret" not in repr(fake) + reply.body.decode() + repr(reply.headers.items()) + repr(list(fake.journal))
    assert create(fake, EXAMPLE, {"authorization": "bearer s3cret"}).status == fake.contract.create.success
    assert "s3cret" not in repr([dict(exchange.request.headers) for exchange in fake.journal])


def test_media_types_and_methods_and_paths() -> None:
    """A wrong media type, method or path, a body too large and an unknown id: each is refused for its own reason."""
    fake = FakeServer(body_limit=1000)
    reasons = fake.contract.observed.refusals.reasons
    operation = fake.contract.create
    url = fake.contract.base_url + operation.path
    assert create(fake, EXAMPLE, {"content-type": "text/plain"}).status == reasons["wrong_media_type"].status_code
    assert create(fake, EXAMPLE, {"content-type": f"{operation.media_type}; charset=utf-8"}).status == operation.success
    assert create(fake, b" " * 1001).status == reasons["too_large"].status_code
    wrong = fake.handle(Request("DELETE", url, Headers(KEY)))
    assert wrong.status == reasons["wrong_method"].status_code
    assert set(wrong.headers["allow"].split(", ")) == {each.method for each in fake.contract.route(operation.path)}
    lost = fake.handle(Request("GET", url + "/some-id", Headers(KEY)))
    assert lost.status == reasons["unknown_path"].status_code
    assert fake.contract.get.query["required"][0] in lost.headers["x-fake-reason"]
    assert get(fake, "no-such-id").status == reasons["unknown_generation"].status_code
    assert fake.handle(Request("GET", url, Headers(KEY))).status == reasons["invalid_query"].status_code


def test_the_bill_follows_the_generation() -> None:
    """A price is pending until the generation succeeds, then booked; a failed one costs nothing."""
    good, bad = FakeServer(), FakeServer(scenario="fails")
    for fake in (good, bad):
        create(fake, EXAMPLE)
        assert (fake.ledger.booked, fake.ledger.pending) == (0, fake.contract.price(5))
        fake.advance(10_000)
        assert fake.ledger.pending == 0
    assert good.ledger.booked == good.contract.price(5)
    assert bad.ledger.booked == 0
    assert [charge.state for charge in bad.ledger.charges] == ["void"]
    assert good.ledger.unit in repr(good.ledger)


def test_the_same_seed_answers_the_same() -> None:
    """Two fakes of one seed answer one sequence with the same bytes; another seed draws other ids; reset begins anew."""

    def run(fake: FakeServer) -> list[bytes]:
        return [create(fake, EXAMPLE).body, create(fake, {}).body, get(fake, "?").body]

    one, other = FakeServer(seed=1), FakeServer(seed=2)
    first = run(one)
    assert first == run(FakeServer(seed=1))
    assert first != run(other)
    one.reset()
    assert not one.generations
    assert not one.journal
    assert run(one) == first


def test_what_grows_is_bounded() -> None:
    """Beyond its limit a fake forgets the oldest generations, with their videos, and keeps the newest."""
    fake = FakeServer(generation_limit=3)
    ids = [create(fake, EXAMPLE).json()["id"] for _ in range(5)]
    assert list(fake.generations) == ids[2:]
    assert get(fake, ids[0]).status == fake.contract.observed.refusals.reasons["unknown_generation"].status_code


def test_videos_are_where_the_answer_says() -> None:
    """On another origin the video's URL is on that origin; ranges are honoured; before the end there is no video."""
    fake = FakeServer()
    operation = fake.contract.create
    origin = "http://127.0.0.1:1234"
    sent = Headers({**KEY, "content-type": operation.media_type or ""})
    created = fake.handle(Request("POST", origin + operation.path, sent, json.dumps(EXAMPLE).encode())).json()
    path = urlsplit(fake.generations[created["id"]].video_url).path
    assert fake.handle(Request("GET", origin + path)).status == 404
    fake.advance(fake.contract.observed.timeline.final.at)
    query = urlencode({fake.contract.get.query["required"][0]: created["id"]})
    url = fake.handle(Request("GET", f"{origin}{operation.path}?{query}", Headers(KEY))).json()["video"]["url"]
    assert url == origin + path
    whole = fake.handle(Request("GET", url)).body
    for asked, part in [
        ("bytes=0-9", whole[:10]),
        ("bytes=10-", whole[10:]),
        ("bytes=-7", whole[-7:]),
        ("bytes=5-99999999", whole[5:]),
    ]:
        reply = fake.handle(Request("GET", url, Headers({"range": asked})))
        assert (reply.status, reply.body) == (206, part)
        assert reply.headers["content-range"].endswith(f"/{len(whole)}")
    assert fake.handle(Request("GET", url, Headers({"range": f"bytes={len(whole)}-"}))).status == 416
    assert fake.handle(Request("GET", url, Headers({"range": "chapters=1-2"}))).body == whole
    head = fake.handle(Request("HEAD", url))
    assert (head.body, head.headers["content-length"]) == (b"", str(len(whole)))


def test_a_scenario_can_be_given_in_any_form(tmp_path: Any) -> None:
    """A scenario is taken as an object, as data, as a file and by name; anything else is refused with the names there are."""
    data = {"name": "odd", "timeline": [{"status": "queued", "at": 0}, {"status": "vanished", "at": 5}]}
    (tmp_path / "odd.json").write_text(json.dumps(data))
    made = Scenario(name="odd", timeline=Timeline.from_steps(data["timeline"]))  # type: ignore[arg-type]
    for scenario in (data, tmp_path / "odd.json", made):
        fake = FakeServer(scenario=scenario)
        assert fake.scenario == made
        created = create(fake, EXAMPLE).json()
        fake.advance(5)
        assert get(fake, created["id"]).json()["status"] == "vanished"
    with pytest.raises(DocumentError, match=r"choose one of .*fails, .*happy"):
        FakeServer(scenario="nonsense")
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(DocumentError, match="cannot be used"):
        FakeServer(scenario=tmp_path / "bad.json")


@pytest.mark.parametrize("revision", revisions())
@pytest.mark.parametrize("scenario", ["happy", "fails", "never-finishes"])
def test_immediate_is_over_at_the_first_poll(revision: str, scenario: str) -> None:
    """With "immediate" a create answers as ever, and the first poll shows the end, without any time passing; so does the bill."""
    fake = FakeServer(revision=revision, scenario=scenario, progression="immediate")
    steps = fake.scenario.timeline_under(fake.contract).steps
    created = create(fake, EXAMPLE).json()
    assert created["status"] == steps[0].status
    (charge,) = fake.ledger.charges
    assert get(fake, created["id"]).json()["status"] == steps[-1].status
    lifecycle = fake.contract.lifecycle
    states = {True: "booked", False: "void" if lifecycle.failed(steps[-1].status) else "pending"}
    assert charge.state == states[lifecycle.succeeded(steps[-1].status)]


@given(st.lists(st.integers(0, 2), max_size=12), st.floats(0, 1000))
def test_polls_move_their_own_generation(polled: list[int], seconds: float) -> None:
    """With "polls" the n-th poll of a generation shows the n-th step, whatever the time and whichever others are polled."""
    fake = FakeServer(progression="polls")
    steps = fake.contract.observed.timeline.steps
    ids = [create(fake, EXAMPLE).json()["id"] for _ in range(3)]
    seen = [0, 0, 0]
    for which in polled:
        fake.advance(seconds)
        answer = get(fake, ids[which]).json()
        assert answer["status"] == steps[min(seen[which], len(steps) - 1)].status
        assert ("video" in answer) == fake.contract.lifecycle.succeeded(answer["status"])
        seen[which] += 1
    ended = [count >= len(steps) - 1 for count in seen]
    assert [charge.state == "booked" for charge in fake.ledger.charges] == ended
    assert [generation.polls for generation in fake.generations.values()] == seen


def test_a_poll_that_is_not_answered_moves_nothing() -> None:
    """With "polls" a refused poll, and one that meets a refusing fault, leave the generation where it is."""
    fake = FakeServer(
        progression="polls", scenario={"faults": [{"operation": "getGeneration", "times": 3, "status": 503}]}
    )
    generation_id = create(fake, EXAMPLE).json()["id"]
    for _ in range(3):
        get(fake, generation_id)
    get(fake, "no-such-id")
    assert get(fake, generation_id).json()["status"] == fake.contract.observed.timeline.steps[0].status


def test_a_progression_must_be_one() -> None:
    """An unknown progression is refused with those that there are."""
    with pytest.raises(ValueError, match="time, immediate, polls"):
        FakeServer(progression="fast")  # type: ignore[arg-type]


def test_another_scenario_leaves_what_is_under_way() -> None:
    """After play() a generation under way keeps its timeline, a new one has the new scenario's, and all answers look like that."""
    fake = FakeServer()
    before = create(fake, EXAMPLE).json()["id"]
    fake.play("fails")
    after = create(fake, EXAMPLE).json()["id"]
    fake.advance(10_000)
    lifecycle = fake.contract.lifecycle
    assert lifecycle.succeeded(get(fake, before).json()["status"])
    assert lifecycle.failed(get(fake, after).json()["status"])
    fake.play("completed-without-video")
    assert "video" not in get(fake, before).json()


def test_its_doors_pass_on_what_they_are_told() -> None:
    """intercept blocks other hosts or lets them pass, and live serves https when asked."""
    fake = FakeServer()
    with FakeServer().listen(tls=True) as url:
        trusted = ssl.create_default_context(cadata=url.ca_pem)
        with httpx.Client(verify=trusted) as client:
            with fake.intercept(others="pass"):
                assert client.get(url).status_code == 404
            with fake.intercept(), pytest.raises(AssertionError, match="others="):
                client.get("https://example.com")
    assert url.startswith("https://")
    with pytest.raises(TypeError):
        FakeServer().intercept("pass")  # type: ignore[call-arg]  # whether calls leave this machine is said by name


def test_what_is_not_said_is_told_by_the_defaults() -> None:
    """Without arguments ids are those of seed 0, 32 MiB are taken and no byte more, and each port is another."""
    one, other = FakeServer(), FakeServer(seed=0)
    assert create(one, EXAMPLE).body == create(other, EXAMPLE).body
    largest = json.dumps({**EXAMPLE, "prompt": ""}).encode()
    largest = largest[:-2] + b"a" * (2**25 - len(largest)) + largest[-2:]
    assert create(one, largest).status == one.contract.create.success
    too_large = one.contract.observed.refusals.reasons["too_large"].status_code
    assert create(one, largest + b" ").status == too_large
    with one.listen() as here, other.listen() as there:
        assert here != there


@pytest.mark.parametrize("path", ["create", "video"])
def test_a_call_that_was_dropped_is_in_the_journal(path: str) -> None:
    """What never reached the service is in the journal as the operation that it was; a download is none."""
    operation = {"create": "createGeneration", "video": "download"}[path]
    fake = FakeServer(
        scenario={"faults": [{"operation": operation, "drop": "before_processing", "skip": int(path == "create")}]}
    )
    create(fake, EXAMPLE)
    (generation,) = fake.generations.values()
    if path == "create":
        create(fake, EXAMPLE)
    else:
        fake.handle(Request("GET", generation.video_url))
    assert fake.journal[-1].reply.cut == 0
    assert fake.journal[-1].operation == (operation if path == "create" else None)


@given(st.floats(0, 1e6))
def test_a_fake_moves_its_own_time(seconds: float) -> None:
    """advance moves the clock of the fake, and what is on it, by so many seconds."""
    fake = FakeServer()
    before = fake.now()
    fake.advance(seconds)
    assert fake.now() == fake.clock.now() == before + seconds


def test_time_that_cannot_be_moved_is_not_moved() -> None:
    """advance says what to do where the time is the real one, and refuses to go back."""
    with pytest.raises(TypeError, match=r"SystemClock\(\) cannot be moved: .*clock=VirtualClock\(\)"):
        FakeServer(clock=SystemClock()).advance(1)
    fake = FakeServer()
    with pytest.raises(ValueError, match="not -1"):
        fake.advance(-1)


@given(st.lists(st.sampled_from(["create", "refused create", "poll", "unknown poll", "elsewhere"]), max_size=8))
def test_calls_are_found_by_operation(calls: list[str]) -> None:
    """The journal has the creates and the polls apart, refused ones among them, in order, and other requests in neither."""
    fake = FakeServer()
    made = create(fake, EXAMPLE).json()["id"]
    for call in calls:
        match call:
            case "create":
                create(fake, EXAMPLE)
            case "refused create":
                create(fake, {})
            case "poll":
                get(fake, made)
            case "unknown poll":
                get(fake, "unknown")
            case _:
                fake.handle(Request("GET", f"{fake.contract.base_url}/elsewhere"))
    assert len(fake.journal.creates) == 1 + sum("create" in call for call in calls)
    assert len(fake.journal.polls) == sum("poll" in call for call in calls)
    for found, operation in ((fake.journal.creates, fake.contract.create), (fake.journal.polls, fake.contract.get)):
        assert list(found) == [exchange for exchange in fake.journal if exchange.operation == operation.id]
    assert fake.journal.creates[0].request.json() == EXAMPLE


def test_every_exchange_is_handed_over_once_and_without_keys() -> None:
    """on_exchange is called with each exchange as the journal has it, in its order, however many threads send."""
    key = "sk-a-key-that-nobody-may-see"
    seen: list[Exchange] = []
    fake = FakeServer(on_exchange=seen.append)
    with ThreadPoolExecutor(4) as pool:
        for number in range(40):
            pool.submit(create, fake, {**EXAMPLE, "prompt": f"{number} {key}"}, {"authorization": f"Bearer {key}"})
    assert len(seen) == 40
    assert seen == list(fake.journal)
    assert not any(key.encode() in exchange.request.body for exchange in seen)


def test_the_options_are_those_of_the_signature() -> None:
    """FakeOptions has each keyword argument of FakeServer, with its type, and no other."""
    parameters = inspect.signature(FakeServer.__init__).parameters
    names = [name for name in parameters if name != "self"]
    types = get_type_hints(FakeServer.__init__)
    assert get_type_hints(FakeOptions) == {name: types[name] for name in names}
    assert list(FakeOptions.__annotations__) == names
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in names)
    assert not FakeOptions.__required_keys__


def test_a_fake_is_an_asgi_application() -> None:
    """`asgi` answers over ASGI as the fake does, without the control API."""
    fake = FakeServer()

    async def send(path: str) -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(fake.asgi), base_url="http://a") as http:
            return (await http.get(path)).status_code

    unknown = fake.contract.observed.refusals.reasons["unknown_path"].status_code
    assert [asyncio.run(send(path)) for path in ("/", "/_fake/health")] == [unknown, unknown]
    assert len(fake.journal) == 2
