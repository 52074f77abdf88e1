"""Fakes that are wrong on purpose, each in one small way, and which claim must notice it.

One list in one file, although it is long: it is read as a list.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import parse_qsl, urlencode

from fake_server import FakeServer, Reply, Request
from fake_server.messages import Headers
from kling_contract.checks import creation_claims as creation
from kling_contract.checks import lifecycle_claims as lifecycle
from kling_contract.checks import refusal_claims as refusal
from kling_contract.checks.claims import Claim
from kling_contract.checks.target import Target
from kling_contract.contract import Contract
from kling_contract.validation.messages import operation_of
from kling_contract.violation import Severity
from tests.support.targets import KEY, in_process, over_a_port

Serve = Callable[[Request], Reply]
Twist = Callable[["Twisted", Request, Serve], Reply]
RequestTwist = Callable[["Twisted", Request], Request]
ReplyTwist = Callable[["Twisted", Request, Reply], Reply]

CONTRACT = Contract.load()
LIFECYCLE = CONTRACT.lifecycle
FIRST = LIFECYCLE.initial
(SUCCESS,) = [status for status in LIFECYCLE.statuses if LIFECYCLE.succeeded(status)]
(FAILURE,) = [status for status in LIFECYCLE.statuses if LIFECYCLE.failed(status)]
STEPS = [{"status": step.status, "at": step.at} for step in CONTRACT.observed.timeline.steps]
(ID_PARAMETER,) = CONTRACT.get.query["required"]


@dataclass(frozen=True, slots=True)
class Broken:
    """One broken fake. `noticed_by` is the claim that must notice it; None for what only the state machine can.

    `fake` makes one, and `adapt` returns the fake's target as it is to be checked.
    """

    name: str
    wrong: str
    noticed_by: Claim | None
    fake: Callable[[], FakeServer] = field(repr=False)
    adapt: Callable[[FakeServer, Target], Target] = field(repr=False, default=lambda fake, target: target)

    def target(self, fake: FakeServer | None = None) -> Target:
        """Return a fake (None: a new one), to be checked in process."""
        fake = self.fake() if fake is None else fake
        return self.adapt(fake, in_process(fake))


BROKEN: list[Broken] = []


def broken_named(name: str) -> Broken:
    """Return a broken fake by its name."""
    (found,) = [broken for broken in BROKEN if broken.name == name]
    return found


@contextmanager
def over_the_wire(broken: Broken, fake: FakeServer) -> Iterator[Target]:
    """Give a broken fake behind a real port, with its ledger and its clock."""
    with over_a_port(fake) as target:
        yield broken.adapt(fake, target)


FOR_FREE: Mapping[str, Severity] = {
    **dict.fromkeys(
        """
        knows_everybody polls_the_latest other_refusal crashes_on_bytes crashes_on_depth open_polls bare_key longer_key any_key
        path_by_prefix no_allow half_allow echoes_key silent_refusal other_status_inside html_refusal untyped_refusal
        bills_refusals untyped_response
        """.split(),
        "error",
    ),
    **dict.fromkeys("unknown_is_bad method_as_path one_path_of_two".split(), "warning"),
}
"""What is found without creating anything, by name, and how severe it is. The README counts them."""


class Twisted(FakeServer):
    """A fake with a twist between requests and replies. `memory` is what the twist remembers."""

    def __init__(self, twist: Twist, **options: Any) -> None:
        super().__init__(api_key=KEY, **options)
        self.memory: dict[str, Any] = {}
        self._twist = twist

    def handle(self, request: Request) -> Reply:
        return self._twist(self, request, super().handle)


def operation(request: Request) -> Literal["create", "get"] | None:
    """Return which operation of the contract is called."""
    called = operation_of(CONTRACT, request.method, request.url)[1]
    return None if called is None else "create" if called == CONTRACT.create else "get"


def broken(wrong: str, noticed_by: Claim | None = None, **options: Any) -> Callable[[Twist], Twist]:
    """Enter a twist into the list, by the name of its function. It is given the fake, a request, and what serves one."""

    def enter(twist: Twist) -> Twist:
        BROKEN.append(Broken(twist.__name__, wrong, noticed_by, lambda: Twisted(twist, **options)))
        return twist

    return enter


def broken_request(
    wrong: str, noticed_by: Claim, *, on: Literal["create", "get"] | None = None, **options: Any
) -> Callable[[RequestTwist], Twist]:
    """Enter a twist that changes requests before they are served: all, or those of one operation."""

    def enter(change: RequestTwist) -> Twist:
        def twist(fake: Twisted, request: Request, served: Serve) -> Reply:
            return served(change(fake, request) if on in (None, operation(request)) else request)

        twist.__name__ = change.__name__
        return broken(wrong, noticed_by, **options)(twist)

    return enter


def broken_reply(
    wrong: str,
    noticed_by: Claim | None = None,
    *,
    on: Literal["create", "get"] | None = None,
    when: int | Literal["ok", "video"] | None = None,
    **options: Any,
) -> Callable[[ReplyTwist], Twist]:
    """Enter a twist that changes replies: all, those of one operation, with one status, that succeed, or with a video."""

    def concerns(request: Request, reply: Reply) -> bool:
        kinds = {"ok": reply.status < 300, "video": reply.headers.get("content-type", "").startswith("video/")}
        fits = when is None or (reply.status == when if isinstance(when, int) else kinds[when])
        return fits and on in (None, operation(request))

    def enter(change: ReplyTwist) -> Twist:
        def twist(fake: Twisted, request: Request, served: Serve) -> Reply:
            reply = served(request)
            return change(fake, request, reply) if concerns(request, reply) else reply

        twist.__name__ = change.__name__
        return broken(wrong, noticed_by, **options)(twist)

    return enter


def by_options(name: str, wrong: str, noticed_by: Claim, **options: Any) -> None:
    """Enter a fake that is wrong by how it is set up."""
    BROKEN.append(Broken(name, wrong, noticed_by, lambda: FakeServer(**({"api_key": KEY} | options))))


def by_document(name: str, wrong: str, noticed_by: Claim, change: Callable[[dict[str, Any]], object]) -> None:
    """Enter a fake that follows a document with an error in it: `change` is given the schema of the payload."""

    def fake() -> FakeServer:
        documents = {name: CONTRACT.document(name) for name in ("openapi.json", "observed.json", *CONTRACT.schemas)}
        change(documents[CONTRACT.request_document])
        return FakeServer(api_key=KEY, contract=Contract(documents))

    BROKEN.append(Broken(name, wrong, noticed_by, fake, lambda fake, target: replace(target, contract=CONTRACT)))


def by_bill(name: str, wrong: str, noticed_by: Claim, spent: Callable[[FakeServer], float]) -> None:
    """Enter a fake whose bill is wrong."""

    def adapt(fake: FakeServer, target: Target) -> Target:
        return replace(target, spent=lambda: spent(fake))

    BROKEN.append(Broken(name, wrong, noticed_by, lambda: FakeServer(api_key=KEY), adapt))


def _body(reply: Reply) -> dict[str, Any]:
    body: dict[str, Any] = reply.json()
    return body


def _with_body(reply: Reply, body: Mapping[str, Any]) -> Reply:
    content = json.dumps(body).encode()
    return _with_headers(replace(reply, body=content), {"content-length": str(len(content))})


def _with_members(reply: Reply, **members: Any) -> Reply:
    return _with_body(reply, {**_body(reply), **members})


def _with_video(reply: Reply, **members: Any) -> Reply:
    """Return a reply whose video, if there is one, has other members."""
    video = _body(reply).get("video")
    return _with_members(reply, video={**video, **members}) if video else reply


def _with_headers(reply: Reply, headers: Mapping[str, str]) -> Reply:
    return replace(reply, headers=Headers({**reply.headers, **headers}))


def _without_header(reply: Reply, name: str) -> Reply:
    return replace(reply, headers=Headers({each: value for each, value in reply.headers.items() if each != name}))


def _request_with(request: Request, headers: Mapping[str, str]) -> Request:
    return replace(request, headers=Headers({**request.headers, **headers}))


def _asking(request: Request, generation_id: str) -> Request:
    return replace(request, url=f"{request.url.partition('?')[0]}?{urlencode({ID_PARAMETER: generation_id})}")


def _asked(request: Request) -> str:
    return dict(parse_qsl(request.target.query, keep_blank_values=True)).get(ID_PARAMETER, "")


def _sent(request: Request) -> dict[str, Any] | None:
    """Return the object that a request has as its body; None if it has none."""
    try:
        value = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _first_with(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    member: dict[str, Any] = next(each for each in schema["properties"].values() if keyword in each)
    return member


def _numbers_of(schema: dict[str, Any]) -> dict[str, Any]:
    member: dict[str, Any] = next(
        each
        for each in schema["properties"].values()
        if all(isinstance(option, int) for option in each.get("enum", [""]))
    )
    return member


# What is refused: ids, payloads, JSON


@broken_reply("a poll for an unknown id returns a new generation", refusal.unknown_ids_are_refused, on="get", when=404)
def knows_everybody(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return Reply(200, reply.headers, json.dumps({"id": _asked(request), "status": FIRST}).encode())


@broken("an unknown id is called a bad request", refusal.unknown_ids_are_refused)
def unknown_is_bad(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    return served(replace(request, url=request.url.partition("?")[0])) if reply.status == 404 else reply


@broken("a poll without an id shows the latest generation", refusal.polls_need_an_id)
def polls_the_latest(fake: Twisted, request: Request, served: Serve) -> Reply:
    if operation(request) == "get" and not request.target.query:
        headers = Headers({**request.headers, "content-type": "application/json"})
        payload = json.dumps(in_process(FakeServer()).minimal_payload()).encode()
        served(Request("POST", request.url, headers, payload))
        return served(_asking(request, list(fake.generations)[-1]))
    return served(request)


by_document(
    "member_not_required",
    "one required member may be missing",
    refusal.invalid_payloads_are_refused,
    lambda schema: schema["required"].pop(),
)
by_document(
    "bound_off_by_one",
    "the smallest step past a bound is accepted",
    refusal.invalid_payloads_are_refused,
    lambda schema: _first_with(schema, "maximum").update(
        maximum=math.nextafter(_first_with(schema, "maximum")["maximum"], 2)
    ),
)
by_document(
    "no_lower_bound",
    "there is no lower bound",
    refusal.invalid_payloads_are_refused,
    lambda schema: _first_with(schema, "minimum").pop("minimum"),
)
by_document(
    "format_not_checked",
    "a text that is not in the format is accepted",
    refusal.invalid_payloads_are_refused,
    lambda schema: _first_with(schema, "format").pop("format"),
)
by_document(
    "nested_type_not_checked",
    "the members of an array's items are not checked",
    refusal.invalid_payloads_are_refused,
    lambda schema: _first_with(schema, "items")["items"].pop("properties"),
)
by_document(
    "one_more_option",
    "an enum has an option too many, between two true ones",
    refusal.invalid_payloads_are_refused,
    lambda schema: _numbers_of(schema)["enum"].append(7),
)


@broken_request("only the first item of an array is checked", refusal.invalid_payloads_are_refused)
def first_item_only(fake: Twisted, request: Request) -> Request:
    sent = _sent(request) or {}
    lists = {name: value[:1] for name, value in sent.items() if isinstance(value, list) and len(value) > 1}
    return replace(request, body=json.dumps({**sent, **lists}).encode()) if lists else request


@broken_reply(
    "an invalid payload is refused with a status that is not documented",
    refusal.invalid_payloads_are_refused,
    on="create",
    when=400,
)
def other_refusal(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return replace(reply, status=422)


@broken_request("NaN is read as 0", refusal.invalid_json_is_refused)
def takes_nan(fake: Twisted, request: Request) -> Request:
    return replace(request, body=request.body.replace(b"NaN", b"0"))


@broken_request("of a name that is given twice the last one counts", refusal.invalid_json_is_refused)
def takes_names_twice(fake: Twisted, request: Request) -> Request:
    try:
        return replace(request, body=json.dumps(json.loads(request.body), allow_nan=False).encode())
    except (ValueError, RecursionError):
        return request


@broken_request("what follows the JSON is not read", refusal.invalid_json_is_refused)
def takes_garbage(fake: Twisted, request: Request) -> Request:
    return replace(request, body=request.body.removesuffix(b"]")) if request.body[:1] == b"{" else request


@broken_reply("bytes that are not UTF-8 crash it", refusal.invalid_json_is_refused)
def crashes_on_bytes(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return replace(reply, status=500) if b"\xff" in request.body else reply


@broken_reply("deep nesting crashes it", refusal.invalid_json_is_refused)
def crashes_on_depth(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return replace(reply, status=500) if request.body.startswith(b"[" * 1000) else reply


# What is refused: keys, media types, paths, methods


def _with_key(request: Request) -> Request:
    return _request_with(request, {"authorization": f"Bearer {KEY}"})


@broken_request("anybody may poll", refusal.key_is_needed, on="get")
def open_polls(fake: Twisted, request: Request) -> Request:
    return _with_key(request)


@broken_request("anybody may create", refusal.key_is_needed, on="create")
def open_creates(fake: Twisted, request: Request) -> Request:
    return _with_key(request)


@broken_request("the key is accepted without its scheme", refusal.key_is_needed)
def bare_key(fake: Twisted, request: Request) -> Request:
    return _with_key(request) if request.headers.get("authorization") == KEY else request


@broken_request("the key is compared up to its length only", refusal.other_keys_are_refused)
def longer_key(fake: Twisted, request: Request) -> Request:
    return _with_key(request) if request.headers.get("authorization", "").startswith(f"Bearer {KEY}") else request


by_options("any_key", "any key will do", refusal.other_keys_are_refused, api_key=None)


@broken_request("any media type will do", refusal.media_type_is_needed)
def any_media_type(fake: Twisted, request: Request) -> Request:
    return _request_with(request, {"content-type": "application/json"})


@broken_request("a path that begins like a documented one leads there too", refusal.other_paths_are_unknown)
def path_by_prefix(fake: Twisted, request: Request) -> Request:
    path = CONTRACT.get.path
    before, found, _ = request.url.partition(f"{path}/")
    return replace(request, url=before + path) if found else request


@broken_reply("a method that is not allowed gets no Allow", refusal.other_methods_are_refused)
def no_allow(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return _without_header(reply, "allow")


@broken_reply("Allow names one method of two", refusal.other_methods_are_refused)
def half_allow(fake: Twisted, request: Request, reply: Reply) -> Reply:
    allow = reply.headers.get("allow", "").partition(",")[0]
    return _with_headers(reply, {"allow": allow}) if allow else reply


@broken_request("a method that is not allowed is called an unknown path", refusal.other_methods_are_refused)
def method_as_path(fake: Twisted, request: Request) -> Request:
    return replace(request, url=f"{request.url}x") if request.method == "DELETE" else request


# What is refused: the form of a refusal


@broken_reply("a refusal repeats the key", refusal.refusals_are_well_formed, when=404)
def echoes_key(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return _with_members(reply, message=request.headers.get("authorization", ""))


@broken_reply("the envelope of a refusal has no message", refusal.refusals_are_well_formed, when=401)
def silent_refusal(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return _with_body(reply, {name: value for name, value in _body(reply).items() if name != "message"})


@broken_reply("the envelope of a refusal names another status", refusal.refusals_are_well_formed, when=405)
def other_status_inside(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return replace(reply, body=reply.body.replace(b"405", b"400"))


@broken_reply("an unknown path returns a page for people", refusal.refusals_are_well_formed, when=404)
def html_refusal(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return reply if operation(request) else Reply(404, Headers({"content-type": "text/html"}), b"<h1>Not Found</h1>")


@broken_reply("a refusal has no media type", refusal.refusals_are_well_formed, when=415)
def untyped_refusal(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return _without_header(reply, "content-type")


by_bill(
    "bills_refusals",
    "what is refused is billed",
    refusal.refusals_cost_nothing,
    lambda fake: fake.ledger.booked + sum(exchange.reply.status == 400 for exchange in fake.journal),
)


# What is created


@broken_reply(
    "a create returns another 2xx than the documented one", creation.generations_are_created, on="create", when="ok"
)
def other_success(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return replace(reply, status=202)


@broken_reply("a create returns a later status", creation.generations_are_created, on="create", when="ok")
def begins_late(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return _with_members(reply, status=STEPS[1]["status"])


@broken_reply("the response to a create repeats the key in a header", creation.generations_are_created, when="ok")
def echoes_key_on_success(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return _with_headers(reply, {"x-caller": KEY})


by_document(
    "bound_excluded",
    "the bound itself is refused",
    creation.valid_payloads_are_accepted,
    lambda schema: _first_with(schema, "maximum").update(
        exclusiveMaximum=_first_with(schema, "maximum").pop("maximum")
    ),
)
by_document(
    "one_option_less",
    "an option of an enum is refused",
    creation.valid_payloads_are_accepted,
    lambda schema: _numbers_of(schema)["enum"].pop(),
)
by_document(
    "one_member_more",
    "an optional member is required",
    creation.generations_are_created,
    lambda schema: schema["required"].append(
        next(name for name in schema["properties"] if name not in schema["required"])
    ),
)


@broken_request("a deprecated member is refused", creation.valid_payloads_are_accepted)
def refuses_deprecated(fake: Twisted, request: Request) -> Request:
    fields = CONTRACT.request_schema["properties"]
    old = [name for name, member in fields.items() if member.get("deprecated")]
    return replace(request, body=b"{}") if any(f'"{name}"'.encode() in request.body for name in old) else request


@broken_request("an undeclared member is refused", creation.undeclared_members_are_taken)
def refuses_undeclared(fake: Twisted, request: Request) -> Request:
    undeclared = (_sent(request) or {}).keys() - CONTRACT.request_schema["properties"].keys()
    return replace(request, body=b"{}") if undeclared else request


@broken_request("a media type with parameters is taken for another one", creation.media_type_may_have_parameters)
def bare_media_type(fake: Twisted, request: Request) -> Request:
    return _request_with(request, {"content-type": request.headers.get("content-type", "").replace(";", "-")})


@broken_request("only the newer of two paths is served", creation.every_path_leads_there, revision="2025-12-18")
def one_path_of_two(fake: Twisted, request: Request) -> Request:
    return replace(request, url=request.url.replace(fake.contract.get.paths[1], "/gone"))


@broken_reply("the third generation has the id of the first", creation.ids_are_their_own, on="create", when="ok")
def reuses_ids(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return _with_members(reply, id=next(iter(fake.generations))) if len(fake.generations) == 3 else reply


@broken_reply("each poll shows another id", creation.ids_are_their_own, on="get", when="ok")
def changes_ids(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return _with_members(reply, id=f"{_asked(request)}:{len(fake.journal)}")


@broken_request("the beginning of an id will do", creation.ids_are_taken_whole)
def ids_by_prefix(fake: Twisted, request: Request) -> Request:
    meant = [known for known in fake.generations if _asked(request) and known.startswith(_asked(request))]
    return _asking(request, meant[0]) if meant else request


@broken_request("ids are the same in any case", creation.ids_are_taken_whole)
def ids_in_any_case(fake: Twisted, request: Request) -> Request:
    meant = [known for known in fake.generations if known.casefold() == _asked(request).casefold()]
    return _asking(request, meant[0]) if meant else request


@broken_reply("creates at the same time are one", creation.calls_at_once_do_not_mix, on="create", when="ok")
def joins_creates_at_once(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return _with_members(reply, id=fake.memory.setdefault(str(fake.clock.now()), _body(reply)["id"]))


by_options(
    "forgets_the_oldest",
    "after three more generations the first is lost",
    lifecycle.generations_are_independent,
    generation_limit=3,
)


# How a generation moves


@broken_reply(
    "the fifth poll of a generation shows its first status again", lifecycle.statuses_go_forward, on="get", when="ok"
)
def skips_back(fake: Twisted, request: Request, reply: Reply) -> Reply:
    count = fake.memory[_asked(request)] = fake.memory.get(_asked(request), 0) + 1
    return _with_body(reply, {"id": _asked(request), "status": FIRST}) if count == 5 else reply


by_options("never_ends", "a generation never ends", lifecycle.statuses_go_forward, scenario={"timeline": STEPS[:-1]})
by_options(
    "unknown_status",
    "a status is on no list",
    lifecycle.statuses_go_forward,
    scenario={"timeline": [STEPS[0], {"status": f"nearly {SUCCESS}", "at": 15}, STEPS[-1]]},
)
by_options(
    "success_turns_to_failure",
    "a generation that has succeeded fails later on",
    lifecycle.statuses_go_forward,
    scenario={"timeline": [*STEPS, {"status": FAILURE, "at": CONTRACT.observed.timeline.final.at + 300}]},
)


@broken_request("a generation is gone a minute after it has ended", lifecycle.statuses_go_forward)
def lost_at_the_end(fake: Twisted, request: Request) -> Request:
    found = fake.generations.get(_asked(request))
    gone = found and fake.clock.now() > found.created_at + found.timeline.final.at + 60
    return _asking(request, "nobody") if gone else request


by_options("moves_by_polls", "each poll moves a generation on", lifecycle.reading_changes_nothing, progression="polls")


@broken_reply("every poll finds the video somewhere else", lifecycle.reading_changes_nothing, on="get", when="ok")
def video_moves(fake: Twisted, request: Request, reply: Reply) -> Reply:
    url = (_body(reply).get("video") or {}).get("url")
    return _with_video(reply, url=f"{url}?{len(fake.journal)}")


@broken("all generations are as far as the oldest", lifecycle.generations_are_independent)
def one_state_for_all(fake: Twisted, request: Request, served: Serve) -> Reply:
    asked = _asked(request)
    if asked not in fake.generations:
        return served(request)
    return _with_members(served(_asking(request, next(iter(fake.generations)))), id=asked)


@broken_reply("while one generation is on its way the next ones wait for ever", lifecycle.generations_are_independent)
def one_at_a_time(fake: Twisted, request: Request, reply: Reply) -> Reply:
    asked = _asked(request)
    waits = asked in fake.generations and asked != next(iter(fake.generations))
    return _with_body(reply, {"id": asked, "status": FIRST}) if waits else reply


@broken_reply(
    "the first of all polls at one time decides what they show",
    lifecycle.generations_are_independent,
    on="get",
    when="ok",
)
def caches_by_time(fake: Twisted, request: Request, reply: Reply) -> Reply:
    now = fake.clock.now()
    if fake.memory.get("at") != now:
        fake.memory.update({"at": now, "shown": _body(reply)})
    return _with_body(reply, {**fake.memory["shown"], "id": _asked(request)})


@broken_reply("a payload that is refused makes all generations begin again", lifecycle.refusals_change_nothing)
def refusal_restarts(fake: Twisted, request: Request, reply: Reply) -> Reply:
    if reply.status == 400:
        fake.memory["restarted"] = fake.clock.now()
    restarted = fake.memory.get("restarted") == fake.clock.now()
    if restarted and operation(request) == "get" and reply.status < 300:
        return _with_body(reply, {"id": _asked(request), "status": FIRST})
    return reply


@broken_reply("a generation on its way already shows a video", lifecycle.responses_fit, on="get", when="ok")
def early_video(fake: Twisted, request: Request, reply: Reply) -> Reply:
    video = _body(reply).get("video", {"url": fake.generations[_asked(request)].video_url})
    return _with_members(reply, video=video)


@broken_reply("a generation that has succeeded shows no video", lifecycle.responses_fit, on="get", when="ok")
def no_video(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return _with_members(reply, video=None)


@broken_reply("the response to a poll has no media type", lifecycle.responses_fit, on="get")
def untyped_response(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return _without_header(reply, "content-type")


@broken_reply("a member of the response has another type", lifecycle.responses_fit, on="get", when="ok")
def size_as_text(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return _with_video(reply, file_size=str((_body(reply).get("video") or {}).get("file_size")))


# How a generation ends


@broken_reply("the announced size of the video is wrong by one", lifecycle.videos_can_be_had, on="get", when="ok")
def wrong_size(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return _with_video(reply, file_size=(_body(reply).get("video") or {}).get("file_size", 0) + 1)


@broken("the video is not where it is said to be", lifecycle.videos_can_be_had)
def lost_video(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    is_video = reply.headers.get("content-type", "").startswith("video/")
    return served(replace(request, url=f"{request.url}x")) if is_video else reply


@broken_reply("the video has no media type of its own", lifecycle.videos_can_be_had, when="video")
def untyped_video(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return _with_headers(reply, {"content-type": "application/octet-stream"})


@broken_reply("the video downloads with the key only", lifecycle.videos_can_be_had, when="video")
def video_needs_key(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return reply if "authorization" in request.headers else replace(reply, status=401)


@broken_reply("the second half of the video is missing", lifecycle.videos_can_be_had, when="video")
def half_a_video(fake: Twisted, request: Request, reply: Reply) -> Reply:
    headers = Headers({"content-type": reply.headers["content-type"]})
    return Reply(reply.status, headers, reply.body[: len(reply.body) // 2])


@broken_reply("a failure does not say why", lifecycle.failures_say_why, on="get", when="ok")
def silent_failure(fake: Twisted, request: Request, reply: Reply) -> Reply:
    failed = _body(reply)["status"] == FAILURE
    return _with_body(reply, {"id": _asked(request), "status": FAILURE}) if failed else reply


@broken_reply("a failure is shown as a success", lifecycle.failures_say_why, on="get", when="ok")
def failure_as_success(fake: Twisted, request: Request, reply: Reply) -> Reply:
    if _body(reply)["status"] != FAILURE:
        return reply
    video = {"url": "https://images.example/1.mp4"}
    return _with_body(reply, {"id": _asked(request), "status": SUCCESS, "video": video})


by_bill(
    "bills_at_once",
    "a generation is billed before it has succeeded",
    lifecycle.success_costs_its_price,
    lambda fake: fake.ledger.booked + fake.ledger.pending,
)
by_bill(
    "one_price_for_all",
    "a long video costs what a short one does",
    lifecycle.success_costs_its_price,
    lambda fake: (
        min((charge.amount or 0 for charge in fake.ledger.charges), default=0)
        * sum(charge.state == "booked" for charge in fake.ledger.charges)
    ),
)
by_bill("never_bills", "nothing is ever billed", lifecycle.success_costs_its_price, lambda fake: 0.0)


# What takes more than one kind of call, or a payload that nobody thought of: only the state machine notices


@broken_reply("a text outside the Basic Multilingual Plane crashes it", when=CONTRACT.create.success)
def crashes_on_emoji(fake: Twisted, request: Request, reply: Reply) -> Reply:
    return replace(reply, status=500) if rb"\ud8" in request.body else reply


@broken("a generation whose poll was lost on the way is forgotten")
def forgets_after_a_drop(fake: Twisted, request: Request, served: Serve) -> Reply:
    lost = fake.memory.setdefault("lost", set())
    reply = served(_asking(request, "nobody") if _asked(request) in lost else request)
    if reply.cut is not None and _asked(request) in fake.generations:
        lost.add(_asked(request))
    return reply


@broken_reply("a create that follows a refused one at once returns the id before last", on="create")
def mixes_up_after_refusals(fake: Twisted, request: Request, reply: Reply) -> Reply:
    known = list(fake.generations)
    if fake.memory.get("refused") and reply.status < 300 and len(known) > 1:
        reply = _with_members(reply, id=known[-2])
    fake.memory["refused"] = reply.status == 400
    return reply


@broken_reply("after a create whose response was lost, the next ones return its id", on="create")
def repeats_the_lost_one(fake: Twisted, request: Request, reply: Reply) -> Reply:
    if reply.cut == 0 and fake.generations:
        fake.memory["lost"] = list(fake.generations)[-1]
    elif reply.status < 300 and "lost" in fake.memory:
        return _with_members(reply, id=fake.memory["lost"])
    return reply


@broken_reply("a generation whose video was downloaded begins again", when="ok")
def download_restarts(fake: Twisted, request: Request, reply: Reply) -> Reply:
    again = fake.memory.setdefault("again", set())
    again.update(made.id for made in fake.generations.values() if made.video_path == request.target.path)
    return _with_body(reply, {"id": _asked(request), "status": FIRST}) if _asked(request) in again else reply
