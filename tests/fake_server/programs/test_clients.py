"""Does any program end in a fake, unchanged, whatever HTTP client it uses? Each is run, and ends as `clients.json` says."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator

import pytest

from fake_server.programs.child import Isolate
from tests.fake_server.programs import client_programs
from tests.fake_server.programs.client_programs import CLIENTS, Client, NotHere, Workshop, kept, run, table


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Workshop]:
    """Return what all processes of this session make together. The last one removes it: it is large."""
    base = tmp_path_factory.getbasetemp()
    home = (base if worker_id == "master" else base.parent) / "clients"
    home.mkdir(exist_ok=True)
    with (home.parent / "clients.lock").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        yield Workshop(home)
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        shutil.rmtree(home)


@pytest.mark.other_programs
@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("isolate", ["require", "off"])
@pytest.mark.parametrize("client", CLIENTS, ids=str)
def test_a_client_ends_in_the_fake(client: Client, isolate: Isolate, workshop: Workshop) -> None:
    """A program that knows the API's address alone makes a video in the fake, in the modes in which the README says so."""
    expected = kept()[str(client)]
    try:
        ended = run(client, workshop, isolate, follows=expected.follows)
    except NotHere as why:
        pytest.skip(str(why))
    assert ended.made == (expected.isolated if isolate == "require" else expected.not_isolated), ended.output


def test_the_table_says_what_was_measured() -> None:
    """The table in the README is that of the results, and there is a result for each client."""
    assert [*kept()] == [str(client) for client in CLIENTS]
    assert table(kept()) in client_programs.README.read_text()


def test_every_client_ends_in_the_fake_in_some_mode() -> None:
    """No client is known that passes the fake by in every mode."""
    assert not [name for name, result in kept().items() if not (result.isolated or result.not_isolated)]
