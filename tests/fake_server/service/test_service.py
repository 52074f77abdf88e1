"""Claims about how the fake checks requests: it finds what `check_request` finds, and refuses for the first error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import FakeServer, Headers, Request
from kling_contract import Contract, check_request
from kling_contract.mutations import mutations
from kling_contract.violation import Strictness, Violation
from tests.support.calls import creating, payload, polling

CONTRACT = Contract.load()
CREATE, GET = CONTRACT.create, CONTRACT.get
(ID,) = GET.query["required"]
STRICTNESS: st.SearchStrategy[Strictness] = st.sampled_from(["strict", "lax", "off"])

_KEYS = [None, "", "Bearer", "Bearer ", "Basic c2VjcmV0", "Bearer a-key-of-the-tests", "bearer a-key-of-the-tests"]
_TYPES = [None, "", "text/plain", CREATE.media_type, f"{CREATE.media_type}; charset=utf-8"]
_PATHS = [CREATE.path, CREATE.path, CREATE.path, *CREATE.paths, *GET.paths, f"{CREATE.path}/an-id", "/v2/else", "/"]
_QUERIES = ["", f"{ID}=a", f"{ID}=a&{ID}=b", f"{ID}=", f"{ID}=a&verbose=1", "verbose=1", "%ff=%"]
_PAYLOADS = st.sampled_from([payload(CONTRACT), *(mutation.payload for mutation in mutations()), {"duration": "5"}])
_BODIES = (
    st.binary(max_size=20) | _PAYLOADS.map(lambda value: json.dumps(value).encode()) | st.just(b'{"a": 1, "a": 2}')
)


@st.composite
def requests(draw: st.DrawFn, base: str = CONTRACT.base_url, ids: tuple[str, ...] = ()) -> Request:
    """Draw a request of which any part may be wrong. `ids` are those of generations that may be polled."""
    fields = {"authorization": draw(st.sampled_from(_KEYS)), "content-type": draw(st.sampled_from(_TYPES))}
    method = draw(st.sampled_from([CREATE.method, CREATE.method, GET.method, GET.method, "PUT", "DELETE"]))
    query = draw(st.sampled_from([*_QUERIES, *(f"{ID}={known}" for known in ids)]))
    return Request(
        method,
        f"{base}{draw(st.sampled_from(_PATHS))}{'?' if query else ''}{query}",
        Headers({name: value for name, value in fields.items() if value is not None}),
        draw(_BODIES),
    )


def noted(fake: FakeServer) -> list[Violation]:
    """Return the violations in the journal, without that of an id that only the fake knows to be unknown."""
    (exchange,) = fake.journal
    return [violation for violation in exchange.violations if violation.rule != "unknown"]


@given(requests(), STRICTNESS)
def test_the_journal_has_what_check_request_finds(request: Request, strictness: Strictness) -> None:
    """In process the journal has all violations of a request, in the words of `check_request`."""
    fake = FakeServer(strictness=strictness)
    fake.handle(request)
    assert noted(fake) == check_request(request, strictness=strictness)


@pytest.fixture(scope="module")
def recording() -> tuple[Mapping[str, Any], str]:
    """A recorded create and poll, and the id of the generation."""
    fake = FakeServer()
    generation_id = fake.handle(creating(CONTRACT)).json()["id"]
    fake.handle(polling(CONTRACT, generation_id))
    return fake.journal.har(), generation_id


@given(st.data(), STRICTNESS)
def test_so_has_the_journal_of_a_replay(
    recording: tuple[Mapping[str, Any], str], data: st.DataObject, strictness: Strictness
) -> None:
    """A replay notes the same violations as the fake that makes its own responses, also for a recorded generation."""
    archive, generation_id = recording
    fake = FakeServer(replay=archive, strictness=strictness)
    fake.handle(creating(CONTRACT))
    fake.journal.clear()
    request = data.draw(requests(ids=(generation_id,)))
    fake.handle(request)
    assert noted(fake) == check_request(request, strictness=strictness)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[FakeServer, httpx.Client]]:
    """A fake on a port, and a client for it."""
    fake = FakeServer()
    with fake.listen() as url, httpx.Client(base_url=url, trust_env=False) as http:
        yield fake, http


@given(st.data())
def test_so_has_the_journal_of_a_fake_on_a_port(served: tuple[FakeServer, httpx.Client], data: st.DataObject) -> None:
    """Over HTTP nothing is lost or added: the violations are those of the request that the client sent."""
    fake, http = served
    fake.reset()
    drawn = data.draw(requests(base=str(http.base_url).rstrip("/")))
    sent = {name: value.strip() for name, value in drawn.headers.items()}  # HTTP has no blank at the end of a field
    request = http.build_request(drawn.method, drawn.url, headers=sent, content=drawn.body)
    http.send(request)
    assert noted(fake) == check_request(request)


@given(requests(), STRICTNESS)
def test_the_first_error_decides(request: Request, strictness: Strictness) -> None:
    """A request is refused if it has an error, with the documented status of the first one."""
    fake = FakeServer(strictness=strictness)
    reply = fake.handle(request)
    reasons = CONTRACT.observed.refusals.reasons
    errors = [violation for violation in fake.journal[0].violations if violation.severity == "error"]
    assert (reply.status >= 400) == bool(errors)
    if errors:
        assert reply.status == reasons[errors[0].reason or ""].status_code
        begin = errors[0].message.split()[0].encode("ascii", "backslashreplace").decode()
        assert begin in reply.headers["x-fake-reason"]


@given(requests())
def test_a_key_and_a_size_are_checked_besides(request: Request) -> None:
    """With an `api_key` and a `body_limit` the fake finds more than `check_request`, and nothing less but in large bodies."""
    fake = FakeServer(api_key="another-key", body_limit=10)
    fake.handle(request)
    more = [violation for violation in noted(fake) if violation not in check_request(request)]
    less = [violation for violation in check_request(request) if violation not in noted(fake)]
    assert {violation.reason for violation in more} <= {"unauthorized", "too_large"}
    large = len(request.body) > 10
    assert large or not less
    assert {violation.part for violation in less} <= {"body"}
    operation = fake.journal[0].operation
    assert ("too_large" in {violation.reason for violation in more}) == (operation == CREATE.id and large)
