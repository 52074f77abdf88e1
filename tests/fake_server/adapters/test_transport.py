"""Claims about the transports of httpx and httpx2: each is of its own library, to type checkers as well."""

from __future__ import annotations

from typing import Any, assert_type

import httpx
import httpx2
import pytest

from fake_server import FakeServer, Fault, Scenario
from tests.support.calls import KEY


def test_a_transport_is_of_the_library_that_was_given() -> None:
    """Without a library it is one of httpx; mypy checks that the type is right, too."""
    fake = FakeServer()
    assert isinstance(assert_type(fake.transport(), httpx.MockTransport), httpx.MockTransport)
    assert isinstance(assert_type(fake.transport(httpx), httpx.MockTransport), httpx.MockTransport)
    assert isinstance(assert_type(fake.transport(httpx2), httpx2.MockTransport), httpx2.MockTransport)
    with pytest.raises(AttributeError, match="MockTransport"):
        fake.transport(pytest)  # type: ignore[arg-type]


@pytest.mark.parametrize("library", [httpx, httpx2], ids=lambda library: str(library.__name__))
def test_a_stream_ends_in_the_exception_of_its_library(library: Any) -> None:
    """The bytes before a break can be read from a stream; then comes the library's own exception."""
    fake = FakeServer(scenario=Scenario(faults=(Fault(operation="getGeneration", truncate=7),)))
    operation = fake.contract.get
    client = library.Client(transport=fake.transport(library), headers={"authorization": f"Bearer {KEY}"})
    with client, client.stream(operation.method, fake.contract.base_url + operation.path) as response:
        read = []
        with pytest.raises(library.RemoteProtocolError, match="scenario has a fault"):
            read.extend(response.iter_raw())
    assert b"".join(read) in (b"", fake.journal[-1].reply.body[:7])
