"""Claims about judging whole requests and answers."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import httpx
import httpx2
import pytest
import requests

from fake_server import FakeServer, Reply, Request
from fake_server.messages import Headers
from kling_contract import Contract, check_request, check_response

CONTRACT = Contract.load()
CREATE, GET = CONTRACT.create, CONTRACT.get
URL = CONTRACT.base_url + CREATE.path
EXAMPLE = {
    "model": CONTRACT.request_schema["properties"]["model"]["enum"][0],
    "image_url": "https://x.org/a.png",
    "prompt": "A cat.",
}
KEY = {"Authorization": "Bearer k"}
MAKERS: dict[str, Any] = {
    "httpx": lambda method, url, **options: httpx.Request(method, url, **options),
    "httpx2": lambda method, url, **options: httpx2.Request(method, url, **options),
    "requests": lambda method, url, **options: requests.Request(method, url, **options).prepare(),
}


@pytest.fixture(params=MAKERS)
def request_of(request: pytest.FixtureRequest) -> Any:
    return MAKERS[request.param]


def found(violations: Any) -> list[tuple[str, str, str]]:
    return [(each.part, each.pointer, each.rule) for each in violations]


def test_a_good_request_has_nothing_wrong(request_of: Any) -> None:
    """A request as documented draws nothing, whichever library made it."""
    assert not check_request(request_of("POST", URL, json=EXAMPLE, headers=KEY))
    assert not check_request(request_of("GET", URL, params={GET.query["required"][0]: "a:b/c"}, headers=KEY))


def test_each_part_is_judged(request_of: Any) -> None:
    """Key, media type, body and query each draw their own violation."""
    assert found(check_request(request_of("POST", URL, json=EXAMPLE))) == [("header", "/authorization", "security")]
    bad = request_of("POST", URL, data={"model": "x"}, headers=KEY)
    assert found(check_request(bad)) == [("header", "/content-type", "mediaType"), ("body", "", "json")]
    (name,) = GET.query["required"]
    assert found(check_request(request_of("GET", URL, headers=KEY))) == [("query", f"/{name}", "required")]
    twice = request_of("GET", f"{URL}?{name}=a&{name}=b&{name}=c", headers=KEY)
    assert found(check_request(twice)) == [("query", f"/{name}", "type")]
    extra = request_of("GET", f"{URL}?{name}=a&verbose=1", headers=KEY)
    assert [each.severity for each in check_request(extra)] == ["warning"]


def test_faults_do_not_hide_each_other() -> None:
    """Key, media type and body are all checked, whatever else is wrong, and each violation names its documented refusal."""
    body = json.dumps({"model": CONTRACT.model}).encode()
    wrong = check_request(Request("POST", f"{URL}?verbose=1", Headers(), body))
    reasons = [violation.reason for violation in wrong]
    required = [name for name in CONTRACT.request_schema["required"] if name != "model"]
    assert reasons == ["unauthorized", "invalid_query", "wrong_media_type", *["invalid_body"] * len(required)]
    assert set(reasons) <= set(CONTRACT.observed.refusals.reasons)
    others = [check_request(Request("PUT", URL)), check_request(Request("GET", f"{URL}/x"))]
    assert [violation.reason for (violation,) in others] == ["wrong_method", "unknown_path"]


def test_wrong_ways_are_shown_the_right_one(request_of: Any) -> None:
    """A wrong method or path draws one violation, with a hint at the right one."""
    (method,) = check_request(request_of("PUT", URL, headers=KEY))
    assert (method.part, method.hint) == ("method", "use POST, GET")
    (segment,) = check_request(request_of("GET", f"{URL}/some-id", headers=KEY))
    assert segment.part == "path"
    assert GET.query["required"][0] in (segment.hint or "")
    (typo,) = check_request(request_of("POST", URL.removesuffix("generation") + "generate", json=EXAMPLE))
    assert CREATE.path in (typo.hint or "")


OLD, NEW = "/v2/generate/video/kling/generation", "/v2/video/generations"
POLL = f"poll with {OLD}?generation_id=<id>"


@pytest.mark.parametrize(
    ("revision", "method", "path", "hint"),
    [
        (
            "2025-04-25",
            "POST",
            f"{NEW}/",
            "it is a path since 2025-12-18; to use it, choose that revision: --revision 2025-12-18",
        ),
        (
            "2025-04-25",
            "GET",
            f"{NEW}/abc",
            "it is a path since 2025-12-18; to use it, choose that revision: --revision 2025-12-18",
        ),
        ("2025-04-25", "POST", f"{OLD}/", f"leave out the slash at the end: {OLD}"),
        ("2025-04-25", "POST", f"{OLD}//", f"leave out the slash at the end: {OLD}"),
        ("2025-04-25", "POST", f"/{OLD}", f"did you mean {OLD}?"),
        ("2025-04-25", "GET", f"{OLD}/abc", f"{POLL}, not with the id in the path"),
        ("2025-04-25", "GET", f"{OLD}/status/abc", f"{POLL}, not with the id in the path"),
        ("2025-04-25", "GET", "/kling/status/abc", POLL),
        ("2025-04-25", "GET", "/v1/videos/image2video/abc", POLL),
        ("2025-04-25", "POST", "/v2/generate/video/kling/generations", f"did you mean {OLD}?"),
        ("2025-04-25", "POST", "/v1/videos/image2video", f"did you mean {OLD}?"),
        ("2025-12-18", "POST", f"{NEW}/", f"leave out the slash at the end: {NEW}"),
        ("2025-12-18", "GET", "/kling/status/abc", f"poll with {NEW}?generation_id=<id>"),
    ],
)
def test_a_wrong_path_is_told_its_reason(revision: str, method: str, path: str, hint: str) -> None:
    """A path of another revision, a slash too many, an id in the path and another API's path are each told apart."""
    (wrong,) = check_request(Request(method, f"https://api.aimlapi.com{path}"), revision=revision)
    assert (wrong.part, wrong.rule, wrong.hint) == ("path", "path", hint)


@pytest.mark.parametrize(
    "value",
    [
        "undefined",
        "null",
        "None",
        "NaN",
        "[object Object]",
        "{id}",
        "{generation_id}",
        "${id}",
        "{{id}}",
        "<id>",
        ":id",
    ],
)
def test_an_id_that_was_never_filled_in_is_recognised(value: str) -> None:
    """What programs and templates write where they have no id is refused like an unknown id, and told apart from one."""
    asked = f"{URL}?{urlencode({'generation_id': value})}"
    (wrong,) = check_request(Request("GET", asked, Headers(KEY.items())))
    assert (wrong.pointer, wrong.rule, wrong.reason) == ("/generation_id", "unknown", "unknown_generation")
    assert wrong.hint == "send the id that the response to the create has"
    assert FakeServer().handle(Request("GET", asked, Headers(KEY.items()))).status == 404
    longer = f"{URL}?{urlencode({'generation_id': f'a{value}z'})}"
    assert not check_request(Request("GET", longer, Headers(KEY.items())))


def test_the_key_is_never_shown() -> None:
    """No violation repeats what was sent as a key."""
    for sent in ({"Authorization": "s3cret"}, {"Authorization": "Basic s3cret"}, {"X-Key": "s3cret"}):
        assert "s3cret" not in repr(check_request(httpx.Request("POST", URL, json=EXAMPLE, headers=sent)))


def test_answers_are_judged_by_their_status() -> None:
    """A documented answer draws nothing; an undocumented status, a body that does not fit and no JSON each draw their own."""
    asked = httpx.Request("GET", URL)
    good = {"id": "a", "status": CONTRACT.lifecycle.initial}
    assert not check_response(httpx.Response(GET.success, json=good, request=asked))
    assert found(check_response(httpx.Response(GET.success, json={"id": 1, "status": "lost"}, request=asked))) == [
        ("response", "/id", "type"),
        ("response", "/status", "enum"),
    ]
    assert found(check_response(httpx.Response(418, request=asked))) == [("status", "", "status")]
    assert found(check_response(httpx.Response(GET.success, text="<html>", request=asked))) == [
        ("response", "", "json")
    ]
    (notice,) = check_response(httpx.Response(GET.success, json={**good, "eta": 5}, request=asked))
    assert notice.severity == "notice"


def test_answers_of_other_libraries_and_of_the_fake() -> None:
    """Answers of requests, of httpx2 and of the fake are judged as well; the fake's are told their request."""
    good = json.dumps({"id": "a", "status": CONTRACT.lifecycle.initial}).encode()
    assert not check_response(httpx2.Response(GET.success, content=good, request=httpx2.Request("GET", URL)))
    answer = requests.Response()
    answer.status_code, answer._content = GET.success, good
    answer.request = requests.Request("GET", URL).prepare()
    assert not check_response(answer)
    assert not check_response(Reply(GET.success, Headers(), good), request=Request("GET", URL))


def test_refusals_of_wrong_ways_are_no_violation() -> None:
    """That a server refuses a path or method that there is not, is what is expected of it; that it accepts one, is not."""
    assert not check_response(Reply(404), request=Request("GET", URL + "/x"))
    assert found(check_response(Reply(200), request=Request("GET", URL + "/x"))) == [("path", "", "path")]


def test_our_own_request_may_have_a_text_body() -> None:
    """A body of text is read as UTF-8."""

    class Bare:
        method, url, headers, body = (
            "POST",
            URL,
            {**KEY, "Content-Type": CREATE.media_type},
            json.dumps(EXAMPLE),
        )

    assert not check_request(Bare())


def test_a_path_of_another_revision_is_a_warning(request_of: Any) -> None:
    """A create on a path that takes its model only since a later revision is judged by that one, with a warning that says so."""
    sent = request_of("POST", f"https://api.aimlapi.com{NEW}", json=EXAMPLE, headers=KEY)
    (warning,) = check_request(sent)
    assert (warning.part, warning.rule, warning.severity, warning.since) == (
        "path",
        "revision",
        "warning",
        "2025-12-18",
    )
    assert warning.message == f"{NEW} takes {EXAMPLE['model']} since 2025-12-18, not yet in 2025-04-25"
    assert warning.hint == "choose --revision 2025-12-18 or latest"
    (refused,) = check_request(sent, strictness="strict")
    assert (refused.message, refused.severity, refused.reason) == (warning.message, "error", "unknown_path")
