"""Claims about the assertions of a fake: when they hold, when they fail, and what they then tell."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import FakeServer
from fake_server.journal.journal import Journal
from fake_server.journal.text import curl
from kling_contract import Client, Contract, VirtualClock
from kling_contract.errors import KlingError

KEY = "sk-0123456789abcdef"
CONTRACT = Contract.load()
MODEL = CONTRACT.request_schema["properties"]["model"]["enum"][0]
PAYLOAD = {"model": MODEL, "image_url": "https://example.com/a.png", "prompt": "It's a cat."}
CREATE, GET = CONTRACT.create, CONTRACT.get
(PARAMETER,) = GET.query["required"]
FINAL = CONTRACT.observed.timeline.final.at
CLAIMS = ["created_once", "billed", "no_violations", "polled_until_done", "stopped_on_error"]


class Program:
    """Code under test: sends what it is told to a fake."""

    def __init__(self, **options: Any) -> None:
        self.fake = FakeServer(**options)
        self.http = httpx.Client(
            transport=self.fake.transport(),
            base_url=self.fake.contract.base_url,
            headers={"authorization": f"Bearer {KEY}"},
        )

    def create(self, payload: Mapping[str, Any] = PAYLOAD) -> str:
        answer = self.http.post(CREATE.path, json=payload).json()
        return str(answer.get("id"))

    def poll(self, generation_id: str, times: int = 1, *, every: float = 0.0) -> None:
        for _ in range(times):
            self.http.get(GET.path, params={PARAMETER: generation_id})
            self.wait(every)

    def wait(self, seconds: float) -> None:
        assert isinstance(self.fake.clock, VirtualClock)
        self.fake.clock.advance(seconds)

    def fails(self, claim: str, *arguments: Any, **options: Any) -> str:
        """Return what the assertion says when it fails, as it must; check what it says in any case."""
        with pytest.raises(AssertionError) as failure:
            getattr(self.fake, f"assert_{claim}")(*arguments, **options)
        text = str(failure.value)
        assert KEY not in text
        return text


def test_a_good_program_passes() -> None:
    """The client of this package creates once, is billed the price, breaks no rule and polls until it is done."""
    fake = FakeServer()
    http = httpx.Client(transport=fake.transport())
    Client(KEY, http=http, clock=fake.clock).generate(PAYLOAD)
    fake.assert_created_once()
    fake.assert_billed()
    fake.assert_billed(fake.contract.price(next(iter(fake.generations.values())).duration))
    fake.assert_no_violations()
    fake.assert_polled_until_done()


def test_a_good_program_stops_on_error() -> None:
    """The client of this package stops when a generation has failed, and nothing is billed."""
    fake = FakeServer(scenario="fails")
    http = httpx.Client(transport=fake.transport())
    with pytest.raises(KlingError):
        Client(KEY, http=http, clock=fake.clock).generate(PAYLOAD)
    fake.assert_created_once()
    fake.assert_billed(0)
    fake.assert_polled_until_done()
    fake.assert_stopped_on_error()


def test_nothing_is_claimed_of_nothing() -> None:
    """On a fake that nobody called every claim fails but that no rule was broken and that nothing was billed."""
    program = Program()
    for claim in CLAIMS:
        if claim != "no_violations":
            assert "no request reached the fake" in program.fails(claim)
    program.fake.assert_no_violations()
    program.fake.assert_billed(0)


@given(st.integers(0, 4))
def test_created_once_means_once(times: int) -> None:
    """However many generations were created, the claim holds for one alone, and tells how many there were."""
    program = Program()
    for _ in range(times):
        program.create()
    if times == 1:
        program.fake.assert_created_once()
    else:
        number = str(times) if times else "no generation"
        assert program.fails("created_once").startswith(number)


@given(st.integers(0, 4), st.integers(0, 4))
def test_created_means_exactly_so_many(created: int, claimed: int) -> None:
    """The claim holds for the very number of generations that were created; otherwise the text has both numbers."""
    program = Program()
    for number in range(created):
        program.create({**PAYLOAD, "prompt": f"Cat {number}."})
    if created == claimed:
        program.fake.assert_created(times=claimed)
        return
    text = program.fails("created", times=claimed)
    assert text.startswith(f"{created} generations were created, not {claimed}" if created else "no generation")
    if created > claimed:
        assert f"Cat {claimed}." in text  # the first of those that are too many
    if created > claimed > 0:
        assert quote(list(program.fake.generations)[claimed - 1], safe="") in text


def test_a_lost_answer_counts_as_created() -> None:
    """A create whose answer was lost is one of two, and the text says that the first was accepted and how to ask for it."""
    lost = {"name": "lost", "faults": [{"operation": CREATE.id, "times": 1, "drop": "after_processing"}]}
    program = Program(scenario=lost)
    with pytest.raises(httpx.TransportError):
        program.create()
    program.fake.assert_created_once()
    program.create()
    text = program.fails("created_once")
    (first, _) = program.fake.generations
    assert "its response was lost" in text
    assert "no response: the connection broke" in text
    assert f"{PARAMETER}={quote(first, safe='')}" in text


@given(st.lists(st.sampled_from([5, 10]), max_size=4), st.booleans())
def test_billed_is_the_sum_of_what_is_booked(durations: list[int], ended: bool) -> None:
    """The amount must be the sum of all bookings; while anything may still be booked no amount is right."""
    program = Program()
    for duration in durations:
        program.create({**PAYLOAD, "duration": duration})
    total = sum(CONTRACT.price(duration) or 0 for duration in durations)
    if ended:
        program.wait(FINAL)
    if ended or not durations:
        program.fake.assert_billed(total)
        assert f"{total:,}" in program.fails("billed", total + 1)
        if not total:
            program.fails("billed")
    else:
        for amount in (0, total, None):
            assert "neither booked nor void" in program.fails("billed", amount)


def test_a_tolerated_violation_is_one() -> None:
    """A request that was taken in spite of a deviation breaks the claim; the text has the violation, and how to mend it."""
    program = Program()
    program.create()
    program.fake.assert_no_violations()
    tolerated = CONTRACT.observed.tolerated[0]
    program.create({**PAYLOAD, tolerated.pointer.removeprefix("/"): "5"})
    text = program.fails("no_violations")
    (violation,) = program.fake.journal[-1].violations
    assert f"warning  {violation}" in text
    assert text.endswith(str(violation.hint))


@given(st.lists(st.floats(0, FINAL * 1.5), max_size=8))
def test_polled_until_done_means_that_the_end_was_seen(waits: list[float]) -> None:
    """The claim holds just when some poll was answered with a final status, whenever the polls were."""
    program = Program()
    made = program.create()
    seen = False
    for seconds in waits:
        program.wait(seconds)
        program.poll(made)
        seen = seen or program.fake.generations[made].status(program.fake.clock.now()) in CONTRACT.lifecycle.outcomes
    if seen:
        program.fake.assert_polled_until_done()
    else:
        text = program.fails("polled_until_done")
        assert f"{len(waits)} polls" in text
        assert f"{PARAMETER}={quote(made, safe='')}" in text


def test_each_generation_must_be_polled() -> None:
    """Of two generations both have to be polled to their end; the text names the one that was not."""
    program = Program()
    first, second = program.create(), program.create()
    program.wait(FINAL)
    program.poll(second)
    assert program.fails("polled_until_done").startswith(first)
    program.poll(first)
    program.fake.assert_polled_until_done()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"truncate": 5}, "broken off after 5 bytes"),
        ({"latency": 99}, "99 s late: the client had timed out"),
        ({"drop": "before_processing"}, "no response: the connection broke"),
    ],
)
def test_an_answer_that_did_not_arrive_was_not_seen(fault: dict[str, Any], told: str) -> None:
    """The end of a generation counts when the answer that told it arrived, and not before."""
    program = Program(scenario={"name": "x", "faults": [{"operation": GET.id, "times": 1, **fault}]})
    made = program.create()
    program.wait(FINAL)
    with pytest.raises(httpx.TransportError):
        program.poll(made)
    assert told in program.fails("polled_until_done")
    program.poll(made)
    program.fake.assert_polled_until_done()


@pytest.mark.parametrize("shape", ["{path}/{id}", "{path}/status/{id}"])
def test_a_wrong_way_to_poll_is_told_the_right_one(shape: str) -> None:
    """Polling with the id in the path fails with that request as curl and the address that would have been right."""
    program = Program()
    made = program.create()
    program.wait(FINAL)
    program.http.get(shape.format(path=GET.path, id=made))
    text = program.fails("polled_until_done")
    assert curl(program.fake.journal[-1]) in text
    assert text.endswith(f"GET {CONTRACT.base_url}{GET.path}?{PARAMETER}={quote(made, safe='')}")
    assert f"{GET.path}?{PARAMETER}=<id>" in text


def test_the_second_create_is_the_one_concerned() -> None:
    """Of several creates the text has the one that made the second generation as curl, not one that was refused."""
    program = Program()
    program.create({})
    program.create()
    program.create({**PAYLOAD, "prompt": "The second."})
    assert curl(program.fake.journal[-1]) in program.fails("created_once")


def test_success_is_no_error_to_stop_on() -> None:
    """Where a generation has succeeded, stopping on an error is not shown."""
    program = Program()
    made = program.create()
    program.wait(FINAL)
    program.poll(made, 2)
    assert "nothing to stop on" in program.fails("stopped_on_error")


@given(st.integers(0, 3), st.integers(0, 3))
def test_stopped_on_error_means_no_poll_after_it(before: int, after: int) -> None:
    """The claim holds when a failure was told and no poll of that generation came after; polls of another do not count."""
    program = Program(scenario="fails")
    made, other = program.create(), program.create()
    program.poll(made, before)
    assert "nothing to stop on" in program.fails("stopped_on_error")
    program.wait(10_000)
    program.poll(made)
    program.fake.assert_stopped_on_error()
    program.poll(other)
    program.fake.assert_stopped_on_error()
    program.poll(made, after)
    if after:
        assert f"polled {after} times more" in program.fails("stopped_on_error")
    else:
        program.fake.assert_stopped_on_error()


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_failure_tells_what_happened(claim: str) -> None:
    """Whichever claim fails, the text has each exchange with its time and status, each violation, and what is missing."""
    program = Program(scenario="fails")
    program.fake.journal = Journal(CONTRACT, max_exchanges=5)
    program.create({"prompt": "no image"})
    program.create()
    made = program.create()
    program.poll(made, 2, every=45)
    program.create({"prompt": "no image"})
    program.wait(10_000)
    text = program.fails(claim, *[1] if claim == "billed" else [])
    assert "1 older exchanges were dropped" in text
    assert re.search(rf"0\.0 s +POST +{CREATE.path} +{CREATE.success} ", text)
    assert re.search(rf"90\.0 s +POST +{CREATE.path} +400 ", text)
    for violation in program.fake.journal[-1].violations:
        assert str(violation) in text


def test_like_exchanges_share_a_line() -> None:
    """A thousand polls are told in as many lines as there were statuses, and a thousand different requests in a page."""
    program = Program()
    made = program.create()
    program.poll(made, 1000, every=1)
    lines = program.fails("billed", 1).splitlines()
    assert len([line for line in lines if " GET " in line]) == len(CONTRACT.observed.timeline.steps)
    assert sum(int(found[1]) for line in lines if (found := re.search(r"\(x (\d+), until", line))) == 1000
    for number in range(1000):
        program.http.get(f"/{number}")
    assert len(program.fails("no_violations").splitlines()) < 80


def requests_like(shell: str) -> tuple[list[str], str]:
    """Return the words of a curl line as a shell would see them, and the body among them."""
    words = shlex.split(shell)
    return words, words[words.index("--data-binary") + 1]


@given(st.dictionaries(st.text(max_size=5), st.recursive(st.text(max_size=100), st.lists, max_leaves=3), max_size=3))
def test_the_curl_line_survives_a_shell(payload: dict[str, Any]) -> None:
    """The words of the line are what was sent."""
    program = Program()
    program.create(payload)
    words, body = requests_like(curl(program.fake.journal[0]))
    assert words[3:6] == ["-X", CREATE.method, CONTRACT.base_url + CREATE.path]
    assert "Authorization: Bearer $AIMLAPI_KEY" in words
    assert f"content-type: {CREATE.media_type}" in words
    assert json.loads(body) == payload


def test_a_large_body_makes_a_short_line() -> None:
    """An image of a megabyte in the payload, or a megabyte of rubbish, is cut in the curl line."""
    program = Program()
    program.create({**PAYLOAD, "image_url": "data:image/png;base64," + "A" * 2**20})
    program.http.post(CREATE.path, content=b"\x00\xff" * 2**19)
    for exchange in program.fake.journal:
        assert len(curl(exchange)) < 2000


def test_no_key_is_asked_for_a_video() -> None:
    """The curl line of a download has no Authorization: the media host is not to see the key."""
    program = Program()
    made = program.create()
    program.wait(FINAL)
    program.http.get(program.fake.generations[made].video_url)
    assert "Authorization" not in curl(program.fake.journal[-1])


def test_pytest_shows_the_test_and_not_the_assertion() -> None:
    """Every frame of ours is hidden from pytest's traceback, so that it ends in the line of the test."""
    program = Program()
    program.create({})
    for claim in CLAIMS:
        with pytest.raises(AssertionError) as failure:
            getattr(program.fake, f"assert_{claim}")()
        inner = failure.traceback[1:]
        assert inner
        assert all(entry.frame.f_locals.get("__tracebackhide__") for entry in inner)
