"""What we need of respx, beyond what it documents. If a new respx fails here, `respx_internals.py` must change."""

from __future__ import annotations

import httpcore
import httpcore2
import httpx
import pytest
import respx
from respx import mocks

from fake_server import FakeServer
from fake_server.adapters import respx_internals

URL = FakeServer().contract.base_url


def test_this_is_what_we_need_of_respx() -> None:
    """There is a registry of mockers by name; each has its routers in a list, asks them in that order, and patches its targets."""
    default = mocks.Mocker.registry[mocks.DEFAULT_MOCKER]
    assert default.routers == []
    assert default is mocks.HTTPCoreMocker
    assert all(target.startswith("httpcore.") for target in default.targets)
    ours = respx_internals._httpx2_mocker()
    assert ours in mocks.Mocker.registry.values()
    assert ours is not default
    assert ours is respx_internals._httpx2_mocker()
    assert ours.routers == []


def test_the_first_router_answers() -> None:
    """Of two routers that know a URL the one that stands first in the list answers."""
    first, second = respx.Router(assert_all_called=False), respx.Router(assert_all_called=False)
    for router, status in ((first, 201), (second, 202)):
        router.get(URL).respond(status)
    mocker = mocks.Mocker.registry[mocks.DEFAULT_MOCKER]
    mocker.register(second)
    mocker.routers.insert(0, first)
    mocker.start()
    try:
        assert httpx.get(URL, verify=False).status_code == 201
    finally:
        for router in (first, second):
            mocker.unregister(router)
        mocker.stop()
    assert mocker.routers == []


@pytest.mark.parametrize("core", [httpcore, httpcore2], ids=lambda core: str(core.__name__))
def test_the_targets_of_httpx2_are_those_of_httpx(core: object) -> None:
    """Whatever respx patches in httpcore there is in httpcore2, under the same name."""
    for target in mocks.HTTPCoreMocker.targets:
        found = core
        for name in target.split(".")[1:]:
            found = getattr(found, name)
        assert isinstance(found, type)


def test_nothing_is_kept_of_a_call() -> None:
    """Routers of ours keep no calls, neither caught ones nor passed ones: the journal does, and that is limited."""
    fake = FakeServer()
    with fake.listen() as url, fake.intercept(others="pass"):
        for called in (URL, url):
            httpx.get(called, verify=False)
        kept = [router.calls for router in mocks.Mocker.registry[mocks.DEFAULT_MOCKER].routers]
    assert len(kept) == 2
    assert not any(kept)
    assert len(fake.journal) == 2
