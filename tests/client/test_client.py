"""Claims about the client's contract calls, for both sorts of client at once."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import logging
import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from types import UnionType
from typing import Any, Union, cast, get_args, get_origin, get_type_hints
from urllib.parse import quote

import httpx
import httpx2
import pytest
import requests
import respx
import trio
from hypothesis import example, given
from hypothesis import strategies as st

from fake_server import FakeServer
from kling_contract import display, errors
from kling_contract.client import AsyncClient, Client
from kling_contract.client.calls import run
from kling_contract.client.client import Generation, Video
from kling_contract.client.fields import IMAGE, MODEL, Fields
from kling_contract.client.retry import RETRYABLE, SAFE_TO_REPEAT_POST, Retries
from kling_contract.clock import VirtualClock
from kling_contract.contract import Contract, revisions
from kling_contract.contract.documents import FIXTURES

CONTRACT = Contract.load()
LIFECYCLE = CONTRACT.lifecycle
POLLING = CONTRACT.observed.polling
SUCCESS = next(s for s in LIFECYCLE.statuses if LIFECYCLE.succeeded(s))
FAILURE = next(s for s in LIFECYCLE.statuses if LIFECYCLE.failed(s))
PENDING = LIFECYCLE.initial
KEY = "sk-live-0123456789abcdef"
LINK = "https://example.com/cat.png"
PACKAGES = {"httpx": httpx, "httpx2": httpx2}


@dataclass(frozen=True)
class Step:
    """What a scripted service does with one request: it breaks, as the exception of that name, or it answers."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    breaks: str | None = None

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


def shown(status: str, **members: Any) -> Step:
    return Step(body={"id": "a:b/c", "status": status, **members})


@dataclass
class Service:
    """Answers request after request from a script, and its end for ever. Remembers what came, and when."""

    script: list[Step]
    package: Any = httpx
    clock: VirtualClock = field(default_factory=VirtualClock)
    requests: list[Any] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)

    def __call__(self, request: Any) -> Any:
        step = self.script[min(len(self.requests), len(self.script) - 1)]
        self.requests.append(request)
        self.times.append(self.clock.now())
        self.steps.append(step)
        if step.breaks:
            raise getattr(self.package, step.breaks)("it broke", request=request)
        return self.package.Response(step.status, content=step.content, headers=dict(step.headers))

    @property
    def waited(self) -> list[float]:
        return [time - self.times[0] for time in self.times]


def play(
    service: Service,
    sort: str,
    call: str,
    *args: Any,
    options: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Make one call of one sort of client to a scripted service. Return its result, or the exception it raised."""
    transport = service.package.MockTransport(service)
    options = {"clock": service.clock, **(options or {})}

    async def awaited() -> Any:
        async with service.package.AsyncClient(transport=transport) as http:
            return await getattr(AsyncClient(KEY, http=http, **options), call)(*args, **kwargs)

    try:
        if sort == "async":
            return asyncio.run(awaited())
        if sort == "trio":
            return trio.run(awaited)
        with service.package.Client(transport=transport) as http:
            return getattr(Client(KEY, http=http, **options), call)(*args, **kwargs)
    except errors.KlingError as error:
        return error


@pytest.fixture(params=["sync", "async"])
def sort(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def logged() -> Iterator[list[str]]:
    """Collect what everybody logs, at every level."""
    lines: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    root, collector = logging.getLogger(), Collector(0)
    level = root.level
    root.addHandler(collector)
    root.setLevel(0)
    try:
        yield lines
    finally:
        root.setLevel(level)
        root.removeHandler(collector)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


UNSENT = ("ConnectError", "ConnectTimeout", "PoolTimeout")
BROKEN = (
    "ReadTimeout",
    "WriteTimeout",
    "ReadError",
    "WriteError",
    "CloseError",
    "RemoteProtocolError",
    "DecodingError",
)


def steps() -> st.SearchStrategy[Step]:
    """Anything that a service, or what stands before it, may do; some of it echoes the key."""
    said = st.sampled_from([*LIFECYCLE.statuses, "succeeded", f"key {KEY}", "", None, 5])
    text = st.sampled_from(["no", f"the key {KEY} is bad", ""])
    videos = st.sampled_from(
        [None, [], {}, "https://x/v.mp4", {"url": "https://x/v.mp4"}, [{"url": 1}], [None, "u"], 7]
    )
    bodies: st.SearchStrategy[Any] = st.one_of(
        st.fixed_dictionaries(
            {"id": st.sampled_from(["a:b/c", 12, f"id {KEY}"]), "status": said}, optional={"video": videos}
        ),
        st.fixed_dictionaries({"generation_id": st.just("x"), "status": said, "error": text}),
        st.fixed_dictionaries({"message": text}, optional={"requestId": text, "statusCode": st.just("400")}),
        st.fixed_dictionaries(
            {
                "error": st.fixed_dictionaries(
                    {"message": text, "data": st.lists(st.fixed_dictionaries({"message": text}))}
                )
            }
        ),
        st.sampled_from(
            [b"", b"<html>" + KEY.encode(), b"\xff\xfe", b"[" * 99_999, b"9" * 5000, None, [], {"id": "x"}]
        ),
    )
    headers = st.fixed_dictionaries(
        {},
        optional={
            "retry-after": st.sampled_from(["0", "3", "1e9", "-1", "nan", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"]),
            "x-request-id": st.sampled_from(["r1", KEY]),
            "location": st.just(f"https://evil.example/?{KEY}"),
        },
    )
    statuses = st.sampled_from([200, 201, 204, 302, 307, 400, 401, 403, 404, 418, 429, 500, 502, 503, 504, 524, 599])
    return st.one_of(
        st.builds(Step, status=statuses, body=bodies, headers=headers),
        st.sampled_from([PENDING, PENDING, SUCCESS, FAILURE]).map(shown),
        st.sampled_from([*UNSENT, *BROKEN]).map(lambda name: Step(breaks=name)),
    )


def scripts() -> st.SearchStrategy[list[Step]]:
    return st.lists(steps(), max_size=10).map(lambda drawn: [*drawn, shown(SUCCESS)])


def asked(service: Service) -> list[tuple[Any, ...]]:
    ignored = ("host", "connection", "user-agent", "accept", "accept-encoding")
    return [
        (
            r.method,
            str(r.url),
            {k: v for k, v in r.headers.items() if k not in ignored},
            bytes(r.content),
            time,
        )
        for r, time in zip(service.requests, service.times, strict=True)
    ]


@given(scripts(), st.integers(0, 3), st.sampled_from([0, 1, 17, POLLING.timeout]))
def test_all_sorts_of_client_do_the_same(script: list[Step], retries: int, timeout: float) -> None:
    """Whatever a service does, sync, async and under trio, httpx and httpx2, do the same at the same times."""
    seen = []
    for package in PACKAGES.values():
        for sort in ("sync", "async", "trio"):
            service = Service(script, package)
            options = {"retries": retries}
            result = play(service, sort, "generate", image=LINK, prompt="p", timeout=timeout, options=options)
            seen.append((asked(service), type(result), str(result)))
    assert all(each == seen[0] for each in seen)


@given(scripts(), st.integers(0, 4))
def test_a_create_that_may_have_arrived_is_never_sent_again(script: list[Step], retries: int) -> None:
    """A POST is repeated only after one that certainly did nothing: not sent, or refused for now."""
    service = Service(script)
    result = play(service, "sync", "create", image=LINK, prompt="p", options={"retries": retries})
    *before, last = service.steps
    assert len(before) <= retries
    for step in before:
        assert step.breaks in UNSENT if step.breaks else step.status in SAFE_TO_REPEAT_POST
    unclear = last.breaks in BROKEN or not (last.breaks or 200 <= last.status < 300 or 400 <= last.status < 500)
    if unclear:
        assert isinstance(result, errors.CreationUncertain)
        assert result.status == (None if last.breaks else last.status)
    elif not last.breaks and 200 <= last.status < 300:
        assert isinstance(result, (Generation, errors.CreationUncertain))
    else:
        assert isinstance(result, (errors.TransportError, errors.ApiError))


@given(scripts(), st.integers(0, 4), st.floats(0, 100), st.floats(0.001, 30))
def test_a_wait_ends_in_time(script: list[Step], retries: int, timeout: float, interval: float) -> None:
    """Polls, retries and the pauses that a service asks for fit into the timeout together."""
    service = Service(script)
    begin = service.clock.now()
    options = {"retries": retries}
    result = play(service, "sync", "wait", "x", timeout=timeout, interval=max(interval, timeout / 50), options=options)
    assert isinstance(result, (Generation, errors.KlingError))
    assert service.clock.now() - begin <= timeout + 1e-6
    if isinstance(result, errors.WaitTimeout):
        assert result.generation.status in LIFECYCLE.statuses


@given(scripts(), st.integers(0, 2))
@example([shown(PENDING), Step(body={"id": f"id {KEY}", "status": f"key {KEY}"})], 0)
@example([Step(body={"id": f"id {KEY}", "status": PENDING})], 0)
@example([shown(PENDING), Step(body={"id": f"id {KEY}", "status": FAILURE, "error": KEY})], 0)
def test_the_key_shows_nowhere(script: list[Step], retries: int) -> None:
    """A key, even one that is echoed, is in no exception, cause, note, repr or log line, but in each header."""
    service = Service(script)
    with logged() as lines:
        result = play(service, "sync", "generate", image=LINK, prompt="p", options={"retries": retries})
    assert KEY not in f"{result} {result!r} {getattr(result, 'generation', '')}"
    if isinstance(result, errors.KlingError):
        for error in chain(result):
            assert KEY not in f"{error} {error!r} {getattr(error, '__notes__', '')}"
            assert (
                KEY
                not in f"{getattr(error, 'envelope', '')} {getattr(error, 'body', '')} {getattr(error, 'request_id', '')}"
            )
    assert not [line for line in lines if KEY in line]
    assert {request.headers["authorization"] for request in service.requests} == {f"Bearer {KEY}"}
    assert all(str(request.url).startswith(CONTRACT.base_url) for request in service.requests)


def test_a_client_does_not_show_its_key() -> None:
    """Neither the repr of a client nor that of anything it is made of has the key in it."""
    client = Client(KEY, http=httpx.Client(transport=httpx.MockTransport(Service([shown(SUCCESS)]))))
    assert KEY not in f"{client!r} {vars(client)!r} {client._calls!r}"


def escaped(text: str, form: str) -> str:
    """Return a text with each character as the number that `form` makes of it."""
    return "".join(form % ord(each) for each in text)


SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": json.dumps,
    "slashes": lambda text: json.dumps(text).replace("/", "\\/"),
    "numbers": lambda text: f'"{escaped(text, UNICODE)}"',
    "capital numbers": lambda text: f'"{escaped(text, UNICODE.upper().replace("U", "u"))}"',
    "JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "numbers in JSON": lambda text: json.dumps(escaped(text, UNICODE)),
    "percent": lambda text: json.dumps(quote(text, safe="")),
    "every percent": lambda text: json.dumps(escaped(text, "%%%02x")),
    "UTF-16": json.dumps,
}
UNICODE = "\\u%04x"
"""How JSON may write any character."""


@given(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=5, max_size=40).map("sk-".__add__),
    st.sampled_from(sorted(SPELLINGS)),
    st.sampled_from([PENDING, SUCCESS, FAILURE, "odd"]),
    st.integers(0, 2100),
)
@example("sk-k\\/\"'%5c-key", "JSON in JSON", SUCCESS, 0)
@example("sk-long-enough-key", "plain", FAILURE, 1990)
def test_a_repeated_key_shows_in_no_repr(key: str, spelling: str, status: str, before: int) -> None:
    """However a service writes the key, wherever it does: no repr and no message shows it, and no value is changed."""

    written = SPELLINGS[spelling]
    said = f"{'.' * before} {key}"
    members = {"url": f"https://x/{key}", "content_type": key, "file_name": key}
    video = "{" + ", ".join(f'"{name}": {written(text)}' for name, text in members.items()) + "}"
    text = (
        f'{{"id": {written(key)}, "status": {written(key) if status == "odd" else json.dumps(status)}, '
        f'"video": {video}, "error": {{{written(key)}: [{written(said)}, null]}}, "other": {written(key)}}}'
    )
    body = text.encode("utf-16" if spelling == "UTF-16" else "utf-8")
    decoded = json.loads(body)
    http = httpx.Client(transport=httpx.MockTransport(Service([Step(200, body)])))
    client = Client(key, http=http)
    generation = client.get("x")
    shown = [repr(generation), str(generation), repr(generation.video), repr(generation.error), repr(generation.id)]
    shown += [repr(copy.deepcopy(generation)), repr(pickle.loads(pickle.dumps(generation)))]
    shown += [repr(replace(generation, status=PENDING))]
    assert generation.raw == decoded
    assert (generation.id, generation.error) == (decoded["id"], decoded["error"])
    assert generation.video == Video.from_value(decoded["video"])
    assert json.loads(json.dumps(generation.error)) == decoded["error"]
    if status != PENDING and not LIFECYCLE.succeeded(status):
        with pytest.raises(errors.KlingError) as ended:
            client.wait("x")
        assert ended.value.generation == generation
        shown += [repr(ended.value), str(ended.value), repr(ended.value.generation), str(vars(ended.value))]
    for each in shown:
        for spelt in {key, repr(key)[1:-1], decoded["id"], repr(decoded["id"])[1:-1], key[: len(key) * 2 // 3]}:
            assert spelt not in each.replace("***", "\0")


@pytest.mark.parametrize("key", ["", "  ", "a\nb", "two words", "schlüssel", "Bearer abcdefgh", "a\x7f"])
def test_a_key_that_no_header_can_carry_is_refused_unseen(key: str) -> None:
    """A key that cannot work is refused at once, by a message without it."""
    with pytest.raises(ValueError, match="the API key") as refusal:
        Client(key)
    assert not key.strip() or key not in str(refusal.value)
    with pytest.raises(TypeError, match="must be text, not bytes"):
        Client(b"key")  # type: ignore[arg-type]


def test_a_made_up_key_does_not_garble_messages() -> None:
    """A key of a few letters, as tests use, is not cut out of every word of a message."""
    http = httpx.Client(transport=httpx.MockTransport(Service([Step(400, {"message": "a bad request"})])))
    with pytest.raises(errors.ApiError, match="a bad request"):
        Client("a", http=http).get("x")


def test_a_client_that_only_looks_like_httpx_will_do() -> None:
    """What has the methods of an httpx client need not descend from it."""

    class Double:
        def __init__(self) -> None:
            self._http = httpx.Client(transport=httpx.MockTransport(Service([shown(SUCCESS)])))
            self.timeout = self._http.timeout
            self.build_request = self._http.build_request
            self.send = self._http.send
            self.close = self._http.close

    assert Client(KEY, http=Double()).get("x").status == SUCCESS


def test_space_around_a_key_is_taken_off() -> None:
    """A key read from a file with its line end works."""
    service = Service([shown(PENDING)])
    with httpx.Client(transport=httpx.MockTransport(service)) as http:
        Client(f" {KEY}\n", http=http).get("x")
    assert service.requests[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_create_is_what_the_contract_says(sort: str) -> None:
    """A create is compact JSON for the documented path, with the documented type and the model filled in."""
    service = Service([shown(PENDING)])
    created = play(service, sort, "create", {"prompt": "überall", "duration": 10}, image=LINK, duration=5)
    assert created == Generation("a:b/c", PENDING, raw={"id": "a:b/c", "status": PENDING})
    (request,) = service.requests
    operation = CONTRACT.create
    assert (request.method, str(request.url)) == (operation.method, CONTRACT.base_url + operation.path)
    assert request.headers["content-type"] == operation.media_type
    model = CONTRACT.request_schema["properties"][MODEL]["enum"][0]
    sent = {MODEL: model, "prompt": "überall", "duration": 5, IMAGE: LINK}
    assert bytes(request.content) == json.dumps(sent, ensure_ascii=False, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "path", sorted((FIXTURES / "requests" / "valid" / CONTRACT.revision.id).glob("*.json")), ids=lambda p: p.stem
)
def test_a_payload_is_sent_as_it_is(path: Path) -> None:
    """A whole valid payload, given as one mapping, arrives unchanged."""
    payload = json.loads(path.read_text())
    service = Service([shown(PENDING)])
    play(service, "sync", "create", payload)
    assert json.loads(service.requests[0].content) == payload


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_an_id_is_an_encoded_query_value(name: str) -> None:
    """Any id, whatever it holds, arrives as the one documented query parameter and nothing else."""
    service = Service([shown(PENDING)])
    play(service, "sync", "get", name)
    (url,) = [request.url for request in service.requests]
    operation = CONTRACT.get
    (parameter,) = operation.query["properties"]
    assert list(url.params.multi_items()) == [(parameter, name)]
    assert url.path == operation.path
    assert not set(url.query) & set(b"/:?#")


def test_an_empty_id_is_refused() -> None:
    """Asking for no generation at all is a mistake of the caller's, and nothing is sent."""
    service = Service([shown(PENDING)])
    with pytest.raises(ValueError, match="id of the generation is empty"):
        play(service, "sync", "get", "")
    assert not service.requests


def test_an_id_that_holds_the_key_is_not_sent(sort: str) -> None:
    """Since URLs are logged, no GET is sent with the key in its id; a generation that was paid for is not lost by that."""
    service = Service([Step(body={"id": KEY, "status": PENDING})])
    result = play(service, sort, "generate", image=LINK, prompt="p")
    assert "contains the API key" in str(result)
    assert result.generation.id == KEY
    assert [request.method for request in service.requests] == [CONTRACT.create.method]


def test_what_breaks_the_contract_is_not_sent(sort: str) -> None:
    """A payload that the contract refuses raises its violations, and no request is made."""
    service = Service([shown(PENDING)])
    result = play(service, sort, "create", image="data:image/png;base64,AA==", prompt=5, cfg_scale=math.nan)
    assert isinstance(result, errors.InvalidPayload)
    assert result.violations
    assert not service.requests


def test_what_is_tolerated_is_sent_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Lax takes what the live service takes, as it is, and says so in the log; strict does not send it."""
    (tolerated,) = CONTRACT.observed.tolerated
    name = tolerated.pointer[1:]
    fields: dict[str, Any] = {"image": LINK, "prompt": "p", name: "5"}
    service = Service([shown(PENDING)])
    with caplog.at_level(logging.INFO, logger="kling_contract"):
        play(service, "sync", "create", **fields)
    assert json.loads(service.requests[0].content)[name] == "5"
    assert tolerated.pointer in caplog.text
    refused = play(service, "sync", "create", **fields, options={"strictness": "strict"})
    assert isinstance(refused, errors.InvalidPayload)
    assert len(service.requests) == 1


@pytest.mark.parametrize("given", [{IMAGE: LINK}, {"payload": {IMAGE: LINK}}])
def test_an_image_is_given_once(sort: str, given: dict[str, Any]) -> None:
    """The image and the field it becomes cannot both be given, wherever the field stands, and nothing is sent."""
    service = Service([shown(PENDING)])
    for call in ("create", "generate"):
        with pytest.raises(TypeError, match="not both"):
            play(service, sort, call, image=LINK, prompt="p", **given)
    assert not service.requests


def misspelt(word: str) -> st.SearchStrategy[str]:
    """A word with one letter more, less, or other."""
    places = st.integers(1, len(word) - 1)
    return st.one_of(
        places.map(lambda at: word[:at] + word[at + 1 :]),
        places.map(lambda at: word[:at] + word[at] + word[at:]),
        places.map(lambda at: f"{word[:at]}_{word[at + 1 :]}"),
    ).filter(lambda slip: slip not in EVERY_FIELD and slip not in OPTIONS)


EVERY_MODEL = [contract.for_model(model) for contract in map(Contract.load, revisions()) for model in contract.models]
EVERY_FIELD = {name for each in EVERY_MODEL for name in each.request_schema["properties"]}
OPTIONS = set(inspect.signature(Client.generate).parameters) - {"self", "fields"}


@given(st.data(), st.sampled_from(sorted(EVERY_FIELD | OPTIONS)), st.sampled_from(["sync", "async"]))
def test_a_misspelt_keyword_is_not_paid_for(data: st.DataObject, name: str, sort: str) -> None:
    """A keyword that no revision declares is refused with the name that is meant, and nothing is sent."""
    slip = data.draw(misspelt(name))
    service = Service([shown(SUCCESS)])
    with pytest.raises(TypeError, match=rf"{slip} \(did you mean (\w+)\?\)") as refused:
        play(service, sort, "generate", {"image_url": LINK, "prompt": "p"}, **cast(Any, {slip: 5}))
    meant = str(refused.value).partition("did you mean ")[2].partition("?")[0]
    assert display.likeness(slip, meant) >= display.likeness(slip, name)
    assert not service.requests


@pytest.mark.parametrize("call", ["create", "generate"])
def test_all_misspelt_keywords_are_told(sort: str, call: str) -> None:
    """Several are refused together, what is like no name with the names there are; the payload is the way to send them."""
    service = Service([shown(SUCCESS)])
    with pytest.raises(TypeError) as refused:
        play(service, sort, call, image=LINK, prompt="p", durration=10, promt="p", xyzzy=3)
    assert all(told in str(refused.value) for told in ("mean duration?", "mean prompt?", "xyzzy", "payload={"))
    assert all(name in str(refused.value) for name in EVERY_FIELD)
    assert not service.requests
    play(service, sort, call, {"xyzzy": 3}, image=LINK, prompt="p")
    assert json.loads(service.requests[0].content)["xyzzy"] == 3


@pytest.mark.parametrize("call", ["create", "generate"])
def test_each_option_is_known_to_those_calls_that_have_it(call: str) -> None:
    """A misspelt option of a call is told by its name; an option of another call is not suggested."""
    own = set(inspect.signature(getattr(Client, call)).parameters) - {"self", "fields"}
    for option in OPTIONS:
        with pytest.raises(TypeError) as refused:
            play(Service([shown(SUCCESS)]), "sync", call, **cast(Any, {f"{option}_": 5}))
        assert (f"did you mean {option}?" in str(refused.value)) == (option in own)


@pytest.mark.parametrize("revision", revisions())
def test_a_field_of_any_revision_may_be_named(revision: str) -> None:
    """What some revision declares is no slip: what the own one does not declare is a warning, which can be refused."""
    service = Service([shown(PENDING)])
    own = Contract.load(revision).request_schema["properties"]
    for name in EVERY_FIELD - {MODEL, IMAGE, "prompt"}:
        play(
            service,
            "sync",
            "create",
            image=LINK,
            prompt="p",
            **{name: "x"},
            options={"revision": revision, "strictness": "off"},
        )
        assert json.loads(service.requests[-1].content)[name] == "x"
        refused = play(
            service, "sync", "create", image=LINK, prompt="p", **{name: "x"},
            options={"revision": revision, "strictness": "off", "fail_on": "warning"},
        )  # fmt: skip
        if name not in own:
            assert isinstance(refused, errors.InvalidPayload)
    assert len(service.requests) < 2 * len(EVERY_FIELD)


def test_warnings_can_be_refused(sort: str) -> None:
    """With fail_on="warning" a payload that draws one is not sent, and the exception says why; else it is."""
    service = Service([shown(PENDING)])
    payload = {IMAGE: LINK, "prompt": "p", "negativ_prompt": "blur"}
    refused = play(service, sort, "create", payload, options={"fail_on": "warning"})
    assert isinstance(refused, errors.InvalidPayload)
    assert "warnings are refused" in str(refused)
    assert "warning /negativ_prompt" in str(refused)
    assert "did you mean negative_prompt?" in str(refused)
    assert not service.requests
    del payload["negativ_prompt"]
    play(service, sort, "create", payload, options={"fail_on": "warning"})
    assert len(service.requests) == 1
    with pytest.raises(ValueError, match="fail_on must be one of error, warning, notice, not 'Warning'"):
        Client(KEY, fail_on="Warning")  # type: ignore[arg-type]


def test_the_typed_fields_are_the_documented_ones() -> None:
    """The fields that type checkers know are those that any model declares, each with the types that the schemas allow."""
    types = get_type_hints(Fields)
    assert set(types) == EVERY_FIELD
    samples: dict[str, Any] = {"string": "", "integer": 1, "number": 0.5, "array": [], "object": {}, "boolean": True}
    for name, annotation in types.items():
        declaring = [each.request_schema["properties"].get(name, {}) for each in EVERY_MODEL]
        schemas = [branch for schema in declaring for branch in schema.get("anyOf", [schema])]
        values = [value for schema in schemas for value in schema.get("enum", ())]
        types_ = [schema["type"] for schema in schemas if "type" in schema]
        declared = {kind for type_ in types_ for kind in ([type_] if isinstance(type_, str) else type_)}
        for kind, sample in samples.items():
            allowed = kind in declared or (kind == "integer" and "number" in declared)
            assert takes(annotation, sample) == (allowed or any(type(value) is type(sample) for value in values)), name


def takes(annotation: Any, value: Any) -> bool:
    """Does a type checker take a value for this annotation? An int is taken for a float, text for no Sequence that is meant."""
    origin = get_origin(annotation) or annotation
    if origin in (Union, UnionType):
        return any(takes(each, value) for each in get_args(annotation))
    if origin is float:
        return type(value) in (int, float)
    return type(value) is origin if isinstance(value, str | int | float) else isinstance(value, origin)


def test_type_checkers_find_a_misspelt_keyword() -> None:
    """Each `ignore` is an error of mypy's where it is not needed: a misspelt field, option or type is found before it runs."""
    client = Client(KEY, http=httpx.Client(transport=httpx.MockTransport(Service([shown(SUCCESS)]))))
    client.generate(image=Path(FIXTURES / "images" / "cat.jpg"), prompt="p", duration=10, cfg_scale=1, timeout=5)
    with pytest.raises(TypeError):
        client.generate(image=LINK, prompt="p", durration=10)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        client.create(image=LINK, prompt="p", timeout=5)  # type: ignore[call-arg]
    with pytest.raises(errors.InvalidPayload):
        client.create(image=LINK, prompt="p", duration="ten")  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"timeout": -1}, {"timeout": math.nan}, {"interval": 0}, {"interval": -5}])
def test_a_pace_that_cannot_be_is_refused_before_paying(sort: str, options: dict[str, Any]) -> None:
    """A mistaken timeout or interval is found before the create, not after it was billed."""
    service = Service([shown(PENDING)])
    with pytest.raises(ValueError, match="must be"):
        play(service, sort, "generate", image=LINK, prompt="p", **options)
    assert not service.requests


def test_a_wait_looks_at_once_at_each_interval_and_at_the_end(sort: str) -> None:
    """By default polls keep the observed interval and timeout, and progress is told after each."""
    service = Service([shown(PENDING)])
    told: list[tuple[str, float]] = []
    result = play(service, sort, "wait", "x", on_progress=lambda g, t: told.append((g.status, t)))
    timeout, interval = POLLING.timeout, POLLING.interval
    assert service.waited == [interval * n for n in range(int(timeout // interval) + 1)]
    assert told == [(PENDING, time) for time in service.waited]
    assert isinstance(result, errors.WaitTimeout)
    assert result.generation.status == PENDING
    service = Service([shown(PENDING)])
    play(service, sort, "wait", "x", timeout=25, interval=10)
    assert service.waited == [0, 10, 20, 25]


@pytest.mark.parametrize("status", LIFECYCLE.statuses)
def test_a_status_means_what_the_contract_says(sort: str, status: str) -> None:
    """A success is returned, a failure raised with its reason, and anything else waited for."""
    reason = {"detail": [{"msg": "no face"}]}
    service = Service([shown(status, error=reason), shown(SUCCESS)])
    result = play(service, sort, "wait", "x")
    if LIFECYCLE.failed(status):
        assert isinstance(result, errors.GenerationFailed)
        assert result.generation.error == reason
        assert "no face" in str(result)
    else:
        assert result.status == SUCCESS
        assert len(service.requests) == (1 if LIFECYCLE.is_final(status) else 2)


def test_an_unknown_status_is_named(sort: str) -> None:
    """A status outside the contract ends the wait at once, by its name."""
    result = play(Service([shown("succeeded")]), sort, "wait", "x")
    assert isinstance(result, errors.UnknownStatus)
    assert "'succeeded'" in str(result)
    assert result.generation.status == "succeeded"


@pytest.mark.parametrize("step", [Step(401), Step(200, b"?"), Step(breaks="ReadTimeout")])
def test_what_was_paid_for_is_not_lost(sort: str, step: Step) -> None:
    """Whatever ends a generate after the create, the exception has the generation, and its id can be read."""
    service = Service([shown(PENDING), step])
    told: list[str] = []
    result = play(service, sort, "generate", image=LINK, prompt="p", on_progress=lambda g, t: told.append(g.id))
    assert isinstance(result, errors.KlingError)
    assert result.generation is not None
    assert result.generation.id == "a:b/c"
    assert "a:b/c" in "".join(result.__notes__)
    assert told == ["a:b/c"]


@pytest.mark.parametrize("status", sorted(RETRYABLE))
def test_a_get_outlives_passing_trouble(sort: str, status: int) -> None:
    """A GET is repeated after 1, 2, 4 … seconds, and only so often."""
    service = Service([Step(status), Step(breaks="ReadError"), Step(breaks="ConnectError"), shown(SUCCESS)])
    assert play(service, sort, "get", "x").status == SUCCESS
    assert service.waited == [0, 1, 3, 7]
    service = Service([Step(status, {"message": "later"})])
    assert isinstance(play(service, sort, "get", "x", options={"retries": 2}), errors.ApiError)
    assert service.waited == [0, 1, 3]


def test_no_answer_at_all_says_why(sort: str) -> None:
    """When no try is answered, the exception names the last reason and has it as its cause."""
    result = play(Service([Step(breaks="ReadTimeout")]), sort, "get", "x", options={"retries": 0})
    assert isinstance(result, errors.TransportError)
    assert "ReadTimeout: it broke" in str(result)
    assert isinstance(result.__cause__, httpx.ReadTimeout)


def test_a_service_is_not_asked_sooner_than_it_wants(sort: str) -> None:
    """Retry-After is honoured in seconds and as a date, by our clock; one that cannot be read is left aside."""
    clock = VirtualClock()
    date = format_datetime(datetime.fromtimestamp(clock.now() + 60, UTC), usegmt=True)
    headers = [{"retry-after": value} for value in ("7", date, "soon")]
    service = Service([*[Step(429, headers=each) for each in headers], shown(SUCCESS)], clock=clock)
    play(service, sort, "create", image=LINK, prompt="p")
    assert service.waited == [0, 7, 60, 64]


def test_a_date_in_the_past_asks_for_no_wait() -> None:
    """A Retry-After date that is over means now, with or without a time zone."""
    for zone in ("GMT", "-0000"):
        headers = {"retry-after": f"Wed, 21 Oct 2015 07:28:00 {zone}"}
        refused = play(Service([Step(429, headers=headers)]), "sync", "get", "x", options={"retries": 0})
        assert refused.retry_after == 0


def test_a_long_wait_is_left_to_the_caller(sort: str) -> None:
    """A service that asks for a very long pause is not waited for; the exception says how long."""
    asks = Retries(1).max_retry_after + 1
    result = play(Service([Step(429, headers={"retry-after": str(asks)})]), sort, "get", "x")
    assert isinstance(result, errors.RateLimited)
    assert result.retry_after == asks


def test_a_wait_without_any_answer_raises_the_reason(sort: str) -> None:
    """When the time is over before anything was seen, the trouble itself is raised."""
    result = play(Service([Step(503)]), sort, "wait", "x", timeout=2)
    assert isinstance(result, errors.ServerError)
    result = play(Service([shown(PENDING), Step(503)]), sort, "wait", "x", timeout=2, interval=1)
    assert isinstance(result, errors.WaitTimeout)
    assert isinstance(result.__cause__, errors.ServerError)


ENVELOPES = [
    ({"message": "bad", "requestId": "r", "statusCode": "400"}, "bad", "r"),
    ({"message": "bad\nline", "statusCode": 400}, "bad\nline", None),
    ({"title": "Nope", "error": {"name": "N", "message": "inner", "request_id": "q"}}, "inner", "q"),
    (
        {"error": {"name": "N", "message": "m", "data": [{"path": ["a", 0], "message": "Required"}, 5]}},
        "m\na.0: Required",
        None,
    ),
    ({"error": {"name": "N", "message": None, "data": {"kind": "k"}}}, "N", None),
    ({"error": "plain"}, "plain", None),
    ("text", "text", None),
    ({"title": "Nope", "error": None}, "Nope", None),
    ({}, "without a readable message", None),
    (b"<html>", "without a readable message", None),
]


@pytest.mark.parametrize(("body", "message", "request_id"), ENVELOPES)
def test_a_refusal_is_read_in_every_known_shape(body: Any, message: str, request_id: str | None) -> None:
    """Message, issues and request id are found wherever an envelope has them, the id also in the header."""
    result = play(Service([Step(400, body)]), "sync", "create", image=LINK, prompt="p")
    assert type(result) is errors.ApiError
    assert message in str(result)
    assert result.request_id == request_id
    assert result.status == 400
    result = play(Service([Step(418, body, {"x-request-id": "h"})]), "sync", "get", "x")
    assert result.request_id == (request_id or "h")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "NotFound"),
        (429, "RateLimited"),
        (500, "ServerError"),
        (599, "ServerError"),
    ],
)
def test_refusals_have_kinds(sort: str, status: int, kind: str) -> None:
    """Each kind of refusal is an exception of its own."""
    assert type(play(Service([Step(status)]), sort, "get", "x", options={"retries": 0})) is getattr(errors, kind)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_key_does_not_follow_redirects(sort: str, status: int) -> None:
    """A redirected call stops there, even over a client that follows, and says where it was sent."""
    service = Service([Step(status, headers={"location": "https://elsewhere.example/"})])
    http = httpx.Client(transport=httpx.MockTransport(service), follow_redirects=True)
    with pytest.raises(errors.UnexpectedResponse, match=r"https://elsewhere\.example/.*base_url"):
        Client(KEY, http=http).get("x")
    with pytest.raises(errors.CreationUncertain):
        Client(KEY, http=http).create(image=LINK, prompt="p")
    assert len(service.requests) == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nope",
        b"[]",
        b"null",
        b"true",
        b"5",
        b'"x"',
        {"id": "x"},
        {"status": "x"},
        {"id": True, "status": "x"},
    ],
)
def test_an_unreadable_answer_says_so(sort: str, body: Any) -> None:
    """A 2xx that shows no generation is an error with what came; a create may have been billed."""
    result = play(Service([Step(200, body)]), sort, "get", "x")
    assert isinstance(result, errors.UnexpectedResponse)
    assert result.body == Step(body=body).content.decode()
    assert isinstance(
        play(Service([Step(201, body)]), sort, "create", image=LINK, prompt="p"), errors.CreationUncertain
    )


VIDEOS = [
    (None, ()),
    ([], ()),
    ({}, (Video(),)),
    ("https://x/v", (Video("https://x/v"),)),
    (["https://x/v", None], (Video("https://x/v"),)),
    ([{"url": "https://x/v"}, {"url": "https://x/w"}], (Video("https://x/v"), Video("https://x/w"))),
    ({"url": 5, "file_size": -1, "file_name": None}, (Video(),)),
    ({"url": "u", "content_type": "c", "file_name": "n", "file_size": 7.0}, (Video("u", "c", "n", 7),)),
    ({"file_size": math.inf}, (Video(),)),
]


@pytest.mark.parametrize(("video", "expected"), VIDEOS)
def test_a_video_is_read_in_every_known_shape(video: Any, expected: tuple[Video, ...]) -> None:
    """A video may be absent, null, an object, text, or a list of these; what is not as it should be is None."""
    read = Generation.from_body({"generation_id": 12, "status": SUCCESS, "video": video, "error": None})
    assert (read.id, read.videos, read.video) == ("12", expected, expected[0] if expected else None)
    assert hash(read) == hash(Generation("12", SUCCESS, expected))


@pytest.mark.parametrize("revision", revisions())
def test_the_classes_share_their_fields_with_the_documents(revision: str) -> None:
    """Each field that the client reads or fills in by name is one that the documents declare."""
    contract = Contract.load(revision)
    assert {MODEL, IMAGE} <= set(contract.request_schema["properties"])
    own = {each.name for each in fields(Generation)} - {"videos", "raw"} | {"video"}
    everywhere = [Contract.load(name).generation_schema["properties"] for name in revisions()]
    assert own <= {name for properties in everywhere for name in properties}


def test_both_clients_have_the_same_calls() -> None:
    """Each public call of one client is one of the other, with the same signature."""
    for name, call in inspect.getmembers(Client, inspect.isfunction):
        if not name.startswith("_") and name != "close":
            twin = getattr(AsyncClient, name)
            assert inspect.signature(call) == inspect.signature(twin)
            assert inspect.iscoroutinefunction(twin)


def test_a_given_http_client_is_left_as_it_is() -> None:
    """A given HTTP client is neither closed nor changed; its headers go along, its auth stays out of the way."""
    service = Service([shown(PENDING)])
    http = httpx.Client(
        transport=httpx.MockTransport(service),
        headers={"x-own": "1"},
        params={"own": "2"},
        auth=("user", "password"),
    )
    before = (dict(http.headers), http.auth, http.timeout)
    with Client(KEY, http=http) as client:
        client.get("x")
    assert not http.is_closed
    assert (dict(http.headers), http.auth, http.timeout) == before
    (request,) = service.requests
    assert request.headers["x-own"] == "1"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert dict(request.url.params)["own"] == "2"


def test_an_http_client_of_our_own_is_closed() -> None:
    """Without one given, each client makes one and closes it at the end; a given one stays open."""
    with Client(KEY) as client:
        assert not client._own_http.is_closed
    assert client._own_http.is_closed

    async def closed() -> bool:
        async with httpx.AsyncClient() as http:
            async with AsyncClient(KEY, http=http):
                pass
            assert not http.is_closed
        async with AsyncClient(KEY) as client:
            pass
        return bool(client._own_http.is_closed)

    assert asyncio.run(closed())


@pytest.mark.parametrize("package", PACKAGES)
def test_the_wrong_sort_of_http_client_is_refused(package: str) -> None:
    """An HTTP client that cannot send for us is refused at once; the message says what it is, and both ways out."""
    with pytest.raises(
        TypeError, match=rf"^{package}\.AsyncClient is asynchronous.* httpx\.Client, .*_contract\.Async"
    ):
        Client(KEY, http=PACKAGES[package].AsyncClient())
    with pytest.raises(TypeError, match=rf"^{package}\.Client is synchronous.* httpx\.Async.* kling_contract\.Client$"):
        AsyncClient(KEY, http=PACKAGES[package].Client())
    with pytest.raises(TypeError, match="is asynchronous"):  # with or without a key
        Client(http=PACKAGES[package].AsyncClient())


def test_type_checkers_find_the_wrong_sort_of_http_client() -> None:
    """Both sorts are accepted where they belong; each `ignore` is an error of mypy's where it is not needed."""
    Client(KEY, http=httpx.Client()), Client(KEY, http=httpx2.Client())
    AsyncClient(KEY, http=httpx.AsyncClient()), AsyncClient(KEY, http=httpx2.AsyncClient())
    with pytest.raises(TypeError):
        Client(KEY, http=httpx.AsyncClient())  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        AsyncClient(KEY, http=httpx.Client())  # type: ignore[arg-type]


@pytest.mark.parametrize("http", ["http://127.0.0.1:8000", httpx.Client, requests.Session()])
@pytest.mark.parametrize("sort", [Client, AsyncClient])
def test_what_is_no_http_client_is_refused(sort: Any, http: Any) -> None:
    """Whatever else is given as the HTTP client is refused at once, with what is expected and what came."""
    with pytest.raises(
        TypeError, match=r"http must be a client of httpx or httpx2.*not (str|the class httpx|requests)"
    ):
        sort(KEY, http=http)


@pytest.mark.parametrize("sort", [Client, AsyncClient])
def test_a_missing_key_is_told(sort: Any) -> None:
    """A client made without a key says that it needs one, and from where."""
    with pytest.raises(
        TypeError, match=rf"an API key is needed: {sort.__name__}\(api_key\).*in your account.*AIMLAPI_KEY"
    ):
        sort()


@pytest.mark.parametrize("sort", [Client, AsyncClient])
def test_a_client_takes_its_key_from_the_environment(sort: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """from_env makes the client that the class makes of the key in AIMLAPI_KEY, with the same options."""
    http = httpx.Client() if sort is Client else httpx.AsyncClient()
    options: dict[str, Any] = {
        "http": http,
        "base_url": "http://127.0.0.1:1",
        "clock": VirtualClock(),
        "contract": Contract.load("latest"),
        "revision": None,
        "model": None,
        "strictness": "off",
        "fail_on": "warning",
        "retries": 2,
    }
    assert set(options) == set(inspect.signature(sort).parameters) - {"api_key"}
    assert set(options) == set(inspect.signature(sort.from_env).parameters)
    for name, option in inspect.signature(sort.from_env).parameters.items():
        assert option == inspect.signature(sort).parameters[name]
    monkeypatch.setenv("AIMLAPI_KEY", f" {KEY}\n")
    made, own = sort.from_env(**options), sort(KEY, **options)
    assert type(made) is sort
    assert made._calls.key.bearer == own._calls.key.bearer == f"Bearer {KEY}"
    for name in ("contract", "base_url", "strictness", "fail_on", "retries"):
        assert getattr(made._calls, name) == getattr(own._calls, name)
    assert (made._calls.adapter._http, made._calls.adapter.clock, made._own_http) == (http, options["clock"], None)
    assert sort.from_env(http=http, revision=revisions()[1]).contract.revision.id == revisions()[1]


@pytest.mark.parametrize("sort", [Client, AsyncClient])
@pytest.mark.parametrize("key", [None, "", " \n", "two words", "schlüssel"])
def test_a_key_that_the_environment_lacks_is_told(sort: Any, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    """Without a usable key in the environment the error names the variable, and does not show what it holds."""
    if key is None:
        monkeypatch.delenv("AIMLAPI_KEY", raising=False)
    else:
        monkeypatch.setenv("AIMLAPI_KEY", key)
    with pytest.raises(ValueError, match="the environment variable AIMLAPI_KEY") as refused:
        sort.from_env()
    assert not (key and key.strip()) or key not in str(refused.value)


@pytest.mark.parametrize("payload", [LINK, b"bytes", [LINK], 5])
def test_a_payload_that_is_no_mapping_is_refused(sort: str, payload: Any) -> None:
    """What is no mapping of fields is refused before anything is sent; the message says where an image goes."""
    service = Service([shown(PENDING)])
    for call in ("create", "generate"):
        kind = type(payload).__name__
        with pytest.raises(TypeError, match=rf"payload must be a mapping of fields to values, not {kind};.*image="):
            play(service, sort, call, payload)
    assert not service.requests


@pytest.mark.parametrize("image", [5, 0.5, [LINK], {"url": LINK}])
def test_an_image_that_cannot_be_one_is_refused(sort: str, image: Any) -> None:
    """A value that cannot hold an image is refused before anything is sent, by a message that says what can."""
    service = Service([shown(PENDING)])
    with pytest.raises(TypeError, match=rf"image must be a link.* not {type(image).__name__}$"):
        play(service, sort, "create", image=image, prompt="p")
    assert not service.requests


@pytest.mark.parametrize(
    "url", ["", "api.example", "ftp://x", "https://", "https://user:p@x", "https://x?a=1", "https://x#a"]
)
def test_a_base_url_that_cannot_be_is_refused(url: str) -> None:
    """A base URL that no call could go to is refused at once, and so is a negative number of retries."""
    with pytest.raises(ValueError, match="base_url must be"):
        Client(KEY, base_url=url)
    with pytest.raises(ValueError, match="retries must be"):
        Client(KEY, retries=-1)


def test_a_request_is_given_no_more_time_than_is_left() -> None:
    """The timeouts of a poll are cut to what is left of the wait, but never to nothing."""
    service = Service([shown(PENDING)])
    http = httpx.Client(transport=httpx.MockTransport(service), timeout=httpx.Timeout(60, read=None))
    client = Client(KEY, http=http, clock=service.clock)
    with pytest.raises(errors.WaitTimeout):
        client.wait("x", timeout=20, interval=15)
    client.get("x")
    reads = [request.extensions["timeout"]["read"] for request in service.requests]
    connects = [request.extensions["timeout"]["connect"] for request in service.requests]
    assert (reads, connects) == ([20, 5, 1, None], [20, 5, 1, 60])


def test_a_call_over_a_synchronous_adapter_may_not_suspend() -> None:
    """Running a coroutine that waits for somebody else is a mistake that is told, not a hang."""
    with pytest.raises(RuntimeError, match="suspended"):
        run(asyncio.sleep(0))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_photograph_becomes_a_generation(sort: str, package: str) -> None:
    """The fake accepts a local photograph, and its generation runs to its end on the shared clock."""
    clock = VirtualClock()
    fake = FakeServer(clock=clock, api_key=KEY)
    begin = clock.now()

    def answer(request: Any) -> Any:
        with httpx.Client(transport=fake.transport()) as inner:
            reply = inner.request(
                request.method, str(request.url), content=request.content, headers=dict(request.headers)
            )
        return PACKAGES[package].Response(reply.status_code, content=reply.content, headers=dict(reply.headers))

    transport = PACKAGES[package].MockTransport(answer)
    photo = FIXTURES / "images" / "cat.jpg"
    call: Callable[..., Any]
    if sort == "sync":
        call = Client(KEY, http=PACKAGES[package].Client(transport=transport), clock=clock).generate
        done = call(image=photo, prompt="the cat turns its head")
    else:
        call = AsyncClient(KEY, http=PACKAGES[package].AsyncClient(transport=transport), clock=clock).generate
        done = asyncio.run(call(image=photo, prompt="the cat turns its head"))
    assert done.status == SUCCESS
    assert done.video is not None
    assert done.video.url is not None
    interval = POLLING.interval
    assert clock.now() - begin == math.ceil(CONTRACT.observed.timeline.final.at / interval) * interval
    assert len(fake.generations) == 1


def test_the_client_works_under_respx() -> None:
    """A plain respx route, with nothing of ours in it, answers our client."""
    operation = CONTRACT.get
    with respx.mock(base_url=CONTRACT.base_url) as router, Client(KEY) as client:
        (parameter,) = operation.query["required"]
        route = router.get(operation.path, params={parameter: "a b"}).respond(json={"id": "a b", "status": SUCCESS})
        assert client.wait("a b").status == SUCCESS
        assert route.call_count == 1
