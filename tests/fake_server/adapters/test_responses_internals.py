"""What we need of responses, beyond what it documents. If a new one fails here, `responses_internals.py` must change."""

from __future__ import annotations

import re
from typing import Any

import pytest
import requests
import responses
from requests.adapters import HTTPAdapter

from fake_server import FakeServer

URL = FakeServer().contract.base_url


def test_this_is_what_we_need_of_responses() -> None:
    """A route of our own class decides what it matches, and sees the timeout; an active mock shows in HTTPAdapter.send."""
    seen: list[Any] = []

    class Route(responses.CallbackResponse):
        def matches(self, request: requests.PreparedRequest) -> tuple[bool, str]:
            return request.url == f"{URL}/", "another"

    def respond(request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        seen.append(request.req_kwargs["timeout"])  # type: ignore[attr-defined]
        mock.calls.reset()
        route.calls.reset()
        return 201, {"content-length": "9"}, b"short"

    mock = responses.RequestsMock(assert_all_requests_are_fired=False, real_adapter_send=HTTPAdapter.send)
    route = mock.add(Route("ANY", re.compile(""), respond, content_type=None))
    assert HTTPAdapter.send.__module__ != responses.__name__
    with mock:
        assert HTTPAdapter.send.__module__ == responses.__name__
        assert requests.get(URL, timeout=(3, 5), stream=True).status_code == 201
    assert seen == [(3, 5)]


def test_few_calls_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many calls are made, responses keeps the last one at most: the journal keeps the others, and is limited."""
    kept: list[int] = []
    fake = FakeServer()
    add = responses.CallList.add_call

    def counted(calls: Any, call: Any) -> None:
        add(calls, call)
        kept.append(len(calls))

    monkeypatch.setattr(responses.CallList, "add_call", counted)
    with fake.intercept():
        for _ in range(5):
            requests.get(URL, timeout=5)
    assert max(kept) == 1
    assert len(fake.journal) == 5
