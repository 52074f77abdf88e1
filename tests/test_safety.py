"""Claims about what a request can not reach: the network, and the file system."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fake_server import FakeServer
from fake_server.adapters.control import ControlApi
from fake_server.scenario.scenario import scenarios
from kling_contract import Contract
from kling_contract.contract.documents import FIXTURES, SCHEMAS
from tests.support.calls import asking, creating, payload, polling

CONTRACT = Contract.load()
SENSITIVE = ("open", "os.", "shutil.", "pathlib.", "glob.", "socket.", "subprocess.", "urllib.", "http.", "sqlite3.")


class _Watch:
    """Python tells of each file and socket that is asked for. A hook for that cannot be taken back, only be ignored."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] | None = None
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.heard is not None and event.startswith(SENSITIVE):
            self.heard.append((event, *arguments))


WATCH = _Watch()


@contextlib.contextmanager
def listening() -> Iterator[list[tuple[Any, ...]]]:
    """Give a list that fills with what is asked of the system meanwhile."""
    heard: list[tuple[Any, ...]] = []
    WATCH.heard = heard
    try:
        yield heard
    finally:
        WATCH.heard = None


@pytest.fixture(scope="module")
def fake() -> ControlApi:
    """A fake that has done everything once, so that whatever is loaded when it is first needed has been."""
    server = FakeServer(progression="immediate", strictness="off")
    front = ControlApi(server)
    made = front.handle(creating(CONTRACT)).json()["id"]
    video = front.handle(polling(CONTRACT, made)).json()["video"]["url"]
    assert front.handle(replace(asking(""), url=video)).status == 200
    for path in ("har", "journal", "ledger", "scenario", "documents", "documents/bundled", "clock"):
        assert front.handle(asking(path)).status == 200
    front.handle(asking("scenario", "nonsense"))
    front.handle(creating(CONTRACT, {}))  # since when a rule holds, the other revisions tell
    return front


def test_the_watch_hears() -> None:
    """What is watched for is noticed: a file that is opened, and a name that is looked up."""
    import socket

    with listening() as heard:
        (FIXTURES / "images" / "cat.jpg").read_bytes()
        socket.getaddrinfo("127.0.0.1", 1)
    assert {event for event, *_ in heard} >= {"open", "socket.getaddrinfo"}


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/cat.png",
        "https://images.example/cat.png",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "/etc/passwd",
        "data:image/png;base64,iVBORw0KGgo=",
    ],
)
def test_images_are_never_fetched(fake: ControlApi, url: str) -> None:
    """Created, polled and downloaded, a generation from an image link opens no socket and no file."""
    with listening() as heard:
        made = fake.handle(creating(CONTRACT, payload(CONTRACT, image_url=url)))
        assert made.status == CONTRACT.create.success
        done = fake.handle(polling(CONTRACT, made.json()["id"])).json()
        assert fake.handle(replace(asking(""), url=done["video"]["url"])).status == 200
    assert heard == []


PARTS = [
    "..",
    ".",
    "",
    "etc",
    "passwd",
    "schemas",
    "fixtures",
    "media",
    "kling-5s-16x9.mp4",
    "_fake",
    "documents",
    "openapi.json",
    "\0",
]
PARTS += ["~", "C:", "\\..\\..", "%2e%2e", "..;", "eagle", "files", "penguin"]
PATHS = st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=8).map("/".join)
SPELLINGS = st.sampled_from([quote, lambda path: path, lambda path: quote(quote(path, safe=""), safe="")])


@given(
    PATHS,
    SPELLINGS,
    st.sampled_from(["", "_fake/", "_fake/documents/", "eagle/files/", "v2/"]),
    st.sampled_from(["GET", "POST", "HEAD"]),
)
@example("../../../../../../etc/passwd", quote, "_fake/documents/", "GET")
def test_no_path_reaches_the_file_system(fake: ControlApi, path: str, spelled: Any, start: str, method: str) -> None:
    """Whatever path is asked for, in whatever spelling, no file is opened and no folder listed.

    The documents of the contract are: they are read when they are first needed.
    """
    request = replace(asking(""), url=f"http://127.0.0.1:8080/{start}{spelled(path)}", method=method)
    with listening() as heard:
        fake.handle(request)
        fake.handle(asking(f"generation?id={quote(path)}"))
        fake.handle(polling(CONTRACT, path))
    assert not [event for event in heard if not str(event[1]).startswith(f"{SCHEMAS}{os.sep}")]


@given(PATHS)
@example("../../README")
@example("../scenarios/happy")
def test_no_scenario_is_read_but_the_shipped_ones(fake: ControlApi, path: str) -> None:
    """Asked to play a scenario by a path, the control path looks into the folder of the shipped ones, and opens no file."""
    with listening() as heard:
        for asked in (path, {"name": path}):
            if path not in scenarios():
                assert fake.handle(asking("scenario", asked)).status == 400
    assert {str(arguments[0]) for event, *arguments in heard} <= {str(FIXTURES / "scenarios")}
    assert not {event for event, *_ in heard} & {"open"}
