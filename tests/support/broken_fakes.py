"""Fakes that are wrong on purpose, each in one small way, and what must notice it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fake_server import FakeServer, Reply, Request
from fake_server.messages import Headers
from kling_contract.checks import creation_claims
from kling_contract.checks import lifecycle_claims as made
from kling_contract.checks import refusal_claims as refused
from kling_contract.checks.claims import Claim
from kling_contract.checks.target import Target
from kling_contract.contract import Contract
from kling_contract.validation.messages import operation_of
from kling_contract.violation import Severity
from tests.support.targets import KEY, in_process, over_a_port

Serve = Callable[[Request], Reply]
Twist = Callable[["Twisted", Request, Serve], Reply]

CONTRACT = Contract.load()
LIFECYCLE = CONTRACT.lifecycle
FIRST = LIFECYCLE.initial
(SUCCESS,) = [status for status in LIFECYCLE.statuses if LIFECYCLE.succeeded(status)]
(FAILURE,) = [status for status in LIFECYCLE.statuses if LIFECYCLE.failed(status)]
STEPS = [{"status": step.status, "at": step.at} for step in CONTRACT.observed.timeline.steps]
(ID_PARAMETER,) = CONTRACT.get.query["required"]


@dataclass(frozen=True, slots=True)
class Broken:
    """One broken fake. `noticed_by` is the claim that must notice it; None for what only the state machine can."""

    name: str
    wrong: str
    noticed_by: Claim | None
    make: Callable[[], Target] = field(repr=False)


BROKEN: list[Broken] = []


@contextmanager
def over_the_wire(broken: Broken) -> Iterator[Target]:
    """Give a broken fake behind a real port, with the books and the time that its list has for it."""
    target = broken.make()
    fake: Any = getattr(target.play, "__self__", None)
    with over_a_port(fake) as wired:
        yield replace(target, http=wired.http, base_url=wired.base_url)


FOR_FREE: Mapping[str, Severity] = {
    **dict.fromkeys(
        """
        knows_everybody polls_the_latest other_refusal crashes_on_bytes crashes_on_depth open_polls bare_key longer_key any_key
        path_by_prefix no_allow half_allow echoes_key silent_refusal other_status_inside html_refusal untyped_refusal
        bills_refusals untyped_answer
        """.split(),
        "error",
    ),
    **dict.fromkeys("unknown_is_bad method_as_path one_path_of_two".split(), "warning"),
}
"""What is found without creating anything, by name, and how grave it is held to be. The README counts them."""


class Twisted(FakeServer):
    """A fake between whose requests and replies something twists. `memory` is what the twist remembers."""

    def __init__(self, twist: Twist, **options: Any) -> None:
        super().__init__(api_key=KEY, **options)
        self.memory: dict[str, Any] = {}
        self._twist = twist

    def handle(self, request: Request) -> Reply:
        return self._twist(self, request, super().handle)

    def calls(self, request: Request) -> str:
        """Return the id of the operation that is called; of no operation the empty text."""
        operation = operation_of(self.contract, request.method, request.url)[1]
        return operation.id if operation else ""


def broken(wrong: str, noticed_by: Claim | None = None, **options: Any) -> Callable[[Twist], Twist]:
    """Enter a twist into the list, by the name of its function."""

    def enter(twist: Twist) -> Twist:
        BROKEN.append(Broken(twist.__name__, wrong, noticed_by, lambda: in_process(Twisted(twist, **options))))
        return twist

    return enter


def by_options(name: str, wrong: str, noticed_by: Claim, **options: Any) -> None:
    """Enter a fake that is wrong by how it is set up."""
    BROKEN.append(Broken(name, wrong, noticed_by, lambda: in_process(FakeServer(**({"api_key": KEY} | options)))))


def by_document(name: str, wrong: str, noticed_by: Claim, change: Callable[[dict[str, Any]], object]) -> None:
    """Enter a fake that follows a document with an error in it: `change` is given the schema of the payload."""

    def make() -> Target:
        documents = {each: CONTRACT.document(each) for each in ("openapi.json", "observed.json", *CONTRACT.schemas)}
        change(documents["create-request.schema.json"])
        return replace(in_process(FakeServer(api_key=KEY, contract=Contract(documents))), contract=CONTRACT)

    BROKEN.append(Broken(name, wrong, noticed_by, make))


def by_bill(name: str, wrong: str, noticed_by: Claim, spent: Callable[[FakeServer], float]) -> None:
    """Enter a fake whose books are wrong."""

    def make() -> Target:
        fake = FakeServer(api_key=KEY)
        return replace(in_process(fake), spent=lambda: spent(fake))

    BROKEN.append(Broken(name, wrong, noticed_by, make))


def _body(reply: Reply) -> dict[str, Any]:
    body: dict[str, Any] = reply.json()
    return body


def _with(reply: Reply, body: Mapping[str, Any]) -> Reply:
    content = json.dumps(body).encode()
    return replace(reply, body=content, headers=Headers({**reply.headers, "content-length": str(len(content))}))


def _without_header(reply: Reply, name: str) -> Reply:
    return replace(reply, headers=Headers({each: value for each, value in reply.headers.items() if each != name}))


def _asking(request: Request, generation_id: str) -> Request:
    return replace(request, url=f"{request.url.partition('?')[0]}?{urlencode({ID_PARAMETER: generation_id})}")


def _asked(request: Request) -> str:
    return dict(parse_qsl(request.target.query, keep_blank_values=True)).get(ID_PARAMETER, "")


def _is_video(reply: Reply) -> bool:
    return reply.headers.get("content-type", "").startswith("video/")


def _first_with(schema: dict[str, Any], keyword: str) -> dict[str, Any]:
    member: dict[str, Any] = next(each for each in schema["properties"].values() if keyword in each)
    return member


# --- what is refused -------------------------------------------------------------------------------------------------


@broken("a poll for an unknown id is answered as if it had just begun", refused.claim_unknown_ids_are_refused)
def knows_everybody(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if fake.calls(request) == "getGeneration" and reply.status == 404:
        return Reply(200, reply.headers, json.dumps({"id": _asked(request), "status": FIRST}).encode())
    return reply


@broken("an unknown id is called a bad request", refused.claim_unknown_ids_are_refused)
def unknown_is_bad(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    return served(replace(request, url=request.url.partition("?")[0])) if reply.status == 404 else reply


@broken("a poll without an id shows the latest generation", refused.claim_polls_need_an_id)
def polls_the_latest(fake: Twisted, request: Request, served: Serve) -> Reply:
    if fake.calls(request) == "getGeneration" and not request.target.query:
        served(
            Request(
                "POST", request.url, Headers({**request.headers, "content-type": "application/json"}), fake_payload()
            )
        )
        return served(_asking(request, list(fake.generations)[-1]))
    return served(request)


def fake_payload() -> bytes:
    return json.dumps(in_process(FakeServer()).minimal_payload()).encode()


by_document(
    "member_not_required",
    "one required member may be missing",
    refused.claim_broken_payloads_are_refused,
    lambda schema: schema["required"].pop(),
)
by_document(
    "bound_off_by_one",
    "the smallest step past a bound is taken",
    refused.claim_broken_payloads_are_refused,
    lambda schema: _first_with(schema, "maximum").update(
        maximum=math.nextafter(_first_with(schema, "maximum")["maximum"], 2)
    ),
)
by_document(
    "no_lower_bound",
    "there is no lower bound",
    refused.claim_broken_payloads_are_refused,
    lambda schema: _first_with(schema, "minimum").pop("minimum"),
)
by_document(
    "format_not_checked",
    "a text in no format is taken for one in it",
    refused.claim_broken_payloads_are_refused,
    lambda schema: _first_with(schema, "format").pop("format"),
)
by_document(
    "nested_type_not_checked",
    "the members of an array's items are not looked at",
    refused.claim_broken_payloads_are_refused,
    lambda schema: _first_with(schema, "items")["items"].pop("properties"),
)
by_document(
    "one_more_option",
    "an enum has an option too many, between two true ones",
    refused.claim_broken_payloads_are_refused,
    lambda schema: _first_with({"properties": {"": _numbers_of(schema)}}, "enum")["enum"].append(7),
)


def _numbers_of(schema: dict[str, Any]) -> dict[str, Any]:
    member: dict[str, Any] = next(
        each
        for each in schema["properties"].values()
        if all(isinstance(option, int) for option in each.get("enum", [""]))
    )
    return member


@broken("of the items of an array only the first is looked at", refused.claim_broken_payloads_are_refused)
def first_item_only(fake: Twisted, request: Request, served: Serve) -> Reply:
    try:
        sent = json.loads(request.body)
    except (ValueError, RecursionError):
        return served(request)
    if not isinstance(sent, dict):
        return served(request)
    lists = {name: value[:1] for name, value in sent.items() if isinstance(value, list) and len(value) > 1}
    return served(replace(request, body=json.dumps({**sent, **lists}).encode()) if lists else request)


@broken(
    "a payload that is refused is told so with a status that is not documented",
    refused.claim_broken_payloads_are_refused,
)
def other_refusal(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    return replace(reply, status=422) if reply.status == 400 and fake.calls(request) == "createGeneration" else reply


@broken("NaN is read as 0", refused.claim_bad_json_is_refused)
def takes_nan(fake: Twisted, request: Request, served: Serve) -> Reply:
    return served(replace(request, body=request.body.replace(b"NaN", b"0")))


@broken("of a name that is given twice the last wins", refused.claim_bad_json_is_refused)
def takes_names_twice(fake: Twisted, request: Request, served: Serve) -> Reply:
    try:
        return served(replace(request, body=json.dumps(json.loads(request.body), allow_nan=False).encode()))
    except (ValueError, RecursionError):
        return served(request)


@broken("what follows the JSON is not read", refused.claim_bad_json_is_refused)
def takes_garbage(fake: Twisted, request: Request, served: Serve) -> Reply:
    return served(replace(request, body=request.body.removesuffix(b"]") if request.body[:1] == b"{" else request.body))


@broken("bytes that are no UTF-8 crash it", refused.claim_bad_json_is_refused)
def crashes_on_bytes(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    return replace(reply, status=500) if b"\xff" in request.body else reply


@broken("deep nesting crashes it", refused.claim_bad_json_is_refused)
def crashes_on_depth(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    return replace(reply, status=500) if request.body.startswith(b"[" * 1000) else reply


def _with_key(request: Request) -> Request:
    return replace(request, headers=Headers({**request.headers, "authorization": f"Bearer {KEY}"}))


@broken("anybody may poll", refused.claim_key_is_needed)
def open_polls(fake: Twisted, request: Request, served: Serve) -> Reply:
    return served(_with_key(request) if fake.calls(request) == "getGeneration" else request)


@broken("anybody may create", refused.claim_key_is_needed)
def open_creates(fake: Twisted, request: Request, served: Serve) -> Reply:
    return served(_with_key(request) if fake.calls(request) == "createGeneration" else request)


@broken("the key is taken without its scheme", refused.claim_key_is_needed)
def bare_key(fake: Twisted, request: Request, served: Serve) -> Reply:
    return served(_with_key(request) if request.headers.get("authorization") == KEY else request)


@broken("the key is compared up to its length only", refused.claim_other_keys_are_refused)
def longer_key(fake: Twisted, request: Request, served: Serve) -> Reply:
    return served(
        _with_key(request) if request.headers.get("authorization", "").startswith(f"Bearer {KEY}") else request
    )


by_options("any_key", "any key will do", refused.claim_other_keys_are_refused, api_key=None)


@broken("any media type will do", refused.claim_media_type_is_needed)
def any_media_type(fake: Twisted, request: Request, served: Serve) -> Reply:
    return served(replace(request, headers=Headers({**request.headers, "content-type": "application/json"})))


@broken("a path that begins like a documented one leads there too", refused.claim_other_paths_are_unknown)
def path_by_prefix(fake: Twisted, request: Request, served: Serve) -> Reply:
    path = CONTRACT.get.path
    before, found, _ = request.url.partition(f"{path}/")
    return served(replace(request, url=before + path) if found else request)


@broken("a method that is not allowed is told nothing about those that are", refused.claim_other_methods_are_refused)
def no_allow(fake: Twisted, request: Request, served: Serve) -> Reply:
    return _without_header(served(request), "allow")


@broken("Allow names one method of two", refused.claim_other_methods_are_refused)
def half_allow(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    allow = reply.headers.get("allow", "").partition(",")[0]
    return replace(reply, headers=Headers({**reply.headers, "allow": allow})) if allow else reply


@broken("a method that is not allowed is called an unknown path", refused.claim_other_methods_are_refused)
def method_as_path(fake: Twisted, request: Request, served: Serve) -> Reply:
    return served(replace(request, url=f"{request.url}x")) if request.method == "DELETE" else served(request)


@broken("a refusal repeats the key", refused.claim_refusals_are_well_formed)
def echoes_key(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    told = {**_body(reply), "message": request.headers.get("authorization", "")} if reply.status == 404 else None
    return _with(reply, told) if told else reply


@broken("the envelope of a refusal has no message", refused.claim_refusals_are_well_formed)
def silent_refusal(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if reply.status != 401:
        return reply
    return _with(reply, {name: value for name, value in _body(reply).items() if name != "message"})


@broken("the envelope of a refusal speaks of another status", refused.claim_refusals_are_well_formed)
def other_status_inside(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    return replace(reply, body=reply.body.replace(b"405", b"400")) if reply.status == 405 else reply


@broken("an unknown path is answered with a page for people", refused.claim_refusals_are_well_formed)
def html_refusal(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if reply.status != 404 or fake.calls(request):
        return reply
    return Reply(404, Headers({"content-type": "text/html"}), b"<h1>Not Found</h1>")


@broken("a refusal has no media type", refused.claim_refusals_are_well_formed)
def untyped_refusal(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    return _without_header(reply, "content-type") if reply.status == 415 else reply


by_bill(
    "bills_refusals",
    "what is refused is billed",
    refused.claim_refusals_cost_nothing,
    lambda fake: fake.ledger.booked + sum(exchange.reply.status == 400 for exchange in fake.journal),
)

# --- what is made ----------------------------------------------------------------------------------------------------


@broken("a create is answered with another 2xx than the documented one", creation_claims.claim_generations_are_created)
def other_success(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    return replace(reply, status=202) if fake.calls(request) == "createGeneration" and reply.status < 300 else reply


@broken("a create is answered with a later status", creation_claims.claim_generations_are_created)
def begins_late(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if fake.calls(request) == "createGeneration" and reply.status < 300:
        return _with(reply, {**_body(reply), "status": STEPS[1]["status"]})
    return reply


@broken("the answer to a create repeats the key in a header", creation_claims.claim_generations_are_created)
def echoes_key_on_success(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    return replace(reply, headers=Headers({**reply.headers, "x-caller": KEY})) if reply.status < 300 else reply


by_document(
    "bound_excluded",
    "the bound itself is refused",
    creation_claims.claim_valid_payloads_are_accepted,
    lambda schema: _first_with(schema, "maximum").update(
        exclusiveMaximum=_first_with(schema, "maximum").pop("maximum")
    ),
)
by_document(
    "one_option_less",
    "an option of an enum is refused",
    creation_claims.claim_valid_payloads_are_accepted,
    lambda schema: _numbers_of(schema)["enum"].pop(),
)
by_document(
    "one_member_more",
    "an optional member is required",
    creation_claims.claim_generations_are_created,
    lambda schema: schema["required"].append(
        next(name for name in schema["properties"] if name not in schema["required"])
    ),
)


@broken("what is deprecated is refused", creation_claims.claim_valid_payloads_are_accepted)
def refuses_deprecated(fake: Twisted, request: Request, served: Serve) -> Reply:
    fields = CONTRACT.request_schema["properties"]
    old = [name for name, member in fields.items() if member.get("deprecated")]
    return served(
        replace(request, body=b"{}") if any(f'"{name}"'.encode() in request.body for name in old) else request
    )


@broken("a member that is not declared is refused", creation_claims.claim_undeclared_members_are_taken)
def refuses_undeclared(fake: Twisted, request: Request, served: Serve) -> Reply:
    try:
        sent = json.loads(request.body)
    except (ValueError, RecursionError):
        return served(request)
    strange = isinstance(sent, dict) and sent.keys() - CONTRACT.request_schema["properties"].keys()
    return served(replace(request, body=b"{}") if strange else request)


@broken("a media type with parameters is taken for another one", creation_claims.claim_media_type_may_have_parameters)
def bare_media_type(fake: Twisted, request: Request, served: Serve) -> Reply:
    sent = request.headers.get("content-type", "").replace(";", "-")
    return served(replace(request, headers=Headers({**request.headers, "content-type": sent})))


@broken("only the newer of two paths is served", creation_claims.claim_every_path_leads_there, revision="2025-12-18")
def one_path_of_two(fake: Twisted, request: Request, served: Serve) -> Reply:
    older = fake.contract.get.paths[1]
    return served(replace(request, url=request.url.replace(older, "/gone")))


@broken("the third generation has the id of the first", creation_claims.claim_ids_are_their_own)
def reuses_ids(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if fake.calls(request) == "createGeneration" and reply.status < 300 and len(fake.generations) == 3:
        return _with(reply, {**_body(reply), "id": next(iter(fake.generations))})
    return reply


@broken("each poll shows another id", creation_claims.claim_ids_are_their_own)
def changes_ids(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if fake.calls(request) == "getGeneration" and reply.status < 300:
        return _with(reply, {**_body(reply), "id": f"{_asked(request)}:{len(fake.journal)}"})
    return reply


@broken("the beginning of an id will do", creation_claims.claim_ids_are_taken_whole)
def ids_by_prefix(fake: Twisted, request: Request, served: Serve) -> Reply:
    meant = [each for each in fake.generations if _asked(request) and each.startswith(_asked(request))]
    return served(_asking(request, meant[0])) if meant else served(request)


@broken("ids are the same in any case", creation_claims.claim_ids_are_taken_whole)
def ids_in_any_case(fake: Twisted, request: Request, served: Serve) -> Reply:
    meant = [each for each in fake.generations if each.casefold() == _asked(request).casefold()]
    return served(_asking(request, meant[0])) if meant else served(request)


by_options(
    "forgets_the_oldest",
    "after three more generations the first is lost",
    made.claim_generations_are_independent,
    generation_limit=3,
)

# --- how it goes its way ---------------------------------------------------------------------------------------------


@broken("the fifth poll of a generation shows its first status again", made.claim_statuses_go_forward)
def skips_back(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if fake.calls(request) == "getGeneration" and reply.status < 300:
        count = fake.memory[_asked(request)] = fake.memory.get(_asked(request), 0) + 1
        if count == 5:
            return _with(reply, {"id": _asked(request), "status": FIRST})
    return reply


by_options("never_ends", "a generation never ends", made.claim_statuses_go_forward, scenario={"timeline": STEPS[:-1]})
by_options(
    "unknown_status",
    "a status is on no list",
    made.claim_statuses_go_forward,
    scenario={"timeline": [STEPS[0], {"status": f"nearly {SUCCESS}", "at": 15}, STEPS[-1]]},
)
by_options(
    "success_turns_to_failure",
    "a generation that has succeeded fails later on",
    made.claim_statuses_go_forward,
    scenario={"timeline": [*STEPS, {"status": FAILURE, "at": CONTRACT.observed.timeline.final.at + 300}]},
)


@broken("a generation is gone a minute after it has ended", made.claim_statuses_go_forward)
def lost_at_the_end(fake: Twisted, request: Request, served: Serve) -> Reply:
    found = fake.generations.get(_asked(request))
    gone = found and fake.clock.now() > found.created_at + found.timeline.final.at + 60
    return served(_asking(request, "nobody") if gone else request)


by_options("moves_by_polls", "each poll moves a generation on", made.claim_reading_changes_nothing, progression="polls")


@broken("every poll finds the video somewhere else", made.claim_reading_changes_nothing)
def video_moves(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if fake.calls(request) == "getGeneration" and reply.status < 300 and (video := _body(reply).get("video")):
        return _with(reply, {**_body(reply), "video": {**video, "url": f"{video['url']}?{len(fake.journal)}"}})
    return reply


@broken("all generations are as far as the oldest", made.claim_generations_are_independent)
def one_state_for_all(fake: Twisted, request: Request, served: Serve) -> Reply:
    asked = _asked(request)
    if asked not in fake.generations:
        return served(request)
    return _with(reply := served(_asking(request, next(iter(fake.generations)))), {**_body(reply), "id": asked})


@broken("while one generation is under way the next ones have to wait for ever", made.claim_generations_are_independent)
def one_at_a_time(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    asked = _asked(request)
    if asked in fake.generations and asked != next(iter(fake.generations)):
        return _with(reply, {"id": asked, "status": FIRST})
    return reply


@broken(
    "of all polls at one time the first decides what is shown",
    made.claim_generations_are_independent,
)
def caches_by_time(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if fake.calls(request) != "getGeneration" or reply.status >= 300:
        return reply
    now = fake.clock.now()
    if fake.memory.get("at") != now:
        fake.memory.update({"at": now, "shown": _body(reply)})
    return _with(reply, {**fake.memory["shown"], "id": _asked(request)})


@broken("a payload that is refused makes all generations begin again", made.claim_refusals_change_nothing)
def refusal_restarts(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if reply.status == 400:
        fake.memory["restarted"] = fake.clock.now()
    if (
        fake.calls(request) == "getGeneration"
        and reply.status < 300
        and fake.memory.get("restarted") == fake.clock.now()
    ):
        return _with(reply, {"id": _asked(request), "status": FIRST})
    return reply


@broken("a generation under way already shows a video", made.claim_answers_fit)
def early_video(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if fake.calls(request) == "getGeneration" and reply.status < 300 and "video" not in _body(reply):
        return _with(reply, {**_body(reply), "video": {"url": fake.generations[_asked(request)].video_url}})
    return reply


@broken("a generation that has succeeded shows no video", made.claim_answers_fit)
def no_video(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if fake.calls(request) == "getGeneration" and reply.status < 300:
        return _with(reply, {**_body(reply), "video": None})
    return reply


@broken("the answer to a poll has no media type", made.claim_answers_fit)
def untyped_answer(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    return _without_header(reply, "content-type") if fake.calls(request) == "getGeneration" else reply


@broken("a member of the answer has another type", made.claim_answers_fit)
def size_as_text(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if fake.calls(request) == "getGeneration" and reply.status < 300 and (video := _body(reply).get("video")):
        return _with(reply, {**_body(reply), "video": {**video, "file_size": str(video["file_size"])}})
    return reply


# --- how it ends -----------------------------------------------------------------------------------------------------


@broken("the announced size of the video is wrong by one", made.claim_videos_can_be_had)
def wrong_size(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if fake.calls(request) == "getGeneration" and reply.status < 300 and (video := _body(reply).get("video")):
        return _with(reply, {**_body(reply), "video": {**video, "file_size": video["file_size"] + 1}})
    return reply


@broken("the video is not where it is said to be", made.claim_videos_can_be_had)
def lost_video(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    return served(replace(request, url=f"{request.url}x")) if _is_video(reply) else reply


@broken("the video is served as nothing in particular", made.claim_videos_can_be_had)
def untyped_video(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if not _is_video(reply):
        return reply
    return replace(reply, headers=Headers({**reply.headers, "content-type": "application/octet-stream"}))


@broken("the video can be had with the key only", made.claim_videos_can_be_had)
def video_needs_key(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    return replace(reply, status=401) if _is_video(reply) and "authorization" not in request.headers else reply


@broken("the second half of the video is missing", made.claim_videos_can_be_had)
def half_a_video(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    half = reply.body[: len(reply.body) // 2]
    return (
        Reply(reply.status, Headers({"content-type": reply.headers["content-type"]}), half)
        if _is_video(reply)
        else reply
    )


@broken("a failure does not say why", made.claim_failures_are_told)
def silent_failure(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if fake.calls(request) == "getGeneration" and reply.status < 300 and _body(reply)["status"] == FAILURE:
        return _with(reply, {"id": _asked(request), "status": FAILURE})
    return reply


@broken("a failure is told as a success", made.claim_failures_are_told)
def failure_as_success(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if fake.calls(request) == "getGeneration" and reply.status < 300 and _body(reply)["status"] == FAILURE:
        return _with(
            reply, {"id": _asked(request), "status": SUCCESS, "video": {"url": "https://images.example/1.mp4"}}
        )
    return reply


by_bill(
    "bills_at_once",
    "a generation is billed before it has succeeded",
    made.claim_success_costs_its_price,
    lambda fake: fake.ledger.booked + fake.ledger.pending,
)
by_bill(
    "one_price_for_all",
    "a long video costs what a short one does",
    made.claim_success_costs_its_price,
    lambda fake: (
        min((charge.amount for charge in fake.ledger.charges), default=0)
        * sum(charge.state == "booked" for charge in fake.ledger.charges)
    ),
)
by_bill("never_bills", "nothing is ever billed", made.claim_success_costs_its_price, lambda fake: 0.0)

# --- what takes more than one kind of call, or a payload that nobody thought of ---------------------------------------


@broken("a text outside the Basic Multilingual Plane crashes it")
def crashes_on_emoji(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    return (
        replace(reply, status=500) if reply.status == CONTRACT.create.success and rb"\ud8" in (request.body) else reply
    )


@broken("a generation whose poll was lost on the way is forgotten")
def forgets_after_a_drop(fake: Twisted, request: Request, served: Serve) -> Reply:
    lost = fake.memory.setdefault("lost", set())
    reply = served(_asking(request, "nobody") if _asked(request) in lost else request)
    if reply.cut is not None and _asked(request) in fake.generations:
        lost.add(_asked(request))
    return reply


@broken("a create that follows a refused one at once is answered with the id before last")
def mixes_up_after_rubbish(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if fake.calls(request) == "createGeneration":
        known = list(fake.generations)
        if fake.memory.get("refused") and reply.status < 300 and len(known) > 1:
            reply = _with(reply, {**_body(reply), "id": known[-2]})
        fake.memory["refused"] = reply.status == 400
    return reply


@broken("after a create whose answer was lost, the next ones are answered with its id")
def repeats_the_lost_one(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    if fake.calls(request) != "createGeneration":
        return reply
    if reply.cut == 0 and fake.generations:
        fake.memory["lost"] = list(fake.generations)[-1]
    elif reply.status < 300 and "lost" in fake.memory:
        return _with(reply, {**_body(reply), "id": fake.memory["lost"]})
    return reply


@broken("a generation whose video was downloaded begins again")
def download_restarts(fake: Twisted, request: Request, served: Serve) -> Reply:
    reply = served(request)
    again = fake.memory.setdefault("again", set())
    if _is_video(reply):
        again.update(each.id for each in fake.generations.values() if each.video_path == request.target.path)
    return (
        _with(reply, {"id": _asked(request), "status": FIRST})
        if _asked(request) in again and reply.status < 300
        else reply
    )
