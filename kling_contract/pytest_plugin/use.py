"""The use of fakes: which ones each test used, and what happened to them while it ran."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pytest

from kling_contract.pytest_plugin.settings import was_read

if TYPE_CHECKING:
    from fake_server.messages import Exchange
    from fake_server.server import FakeServer
    from fake_server.service.ledger import Charge

__all__ = [
    "MARKED_FIXTURES",
    "Use",
    "configure",
    "note_property",
    "pytest_runtest_setup",
    "pytest_runtest_teardown",
    "share",
    "uses",
    "uses_ours",
]

MARKED_FIXTURES = ("kling", "kling_server", "kling_clock", "kling_client", "kling_async_client")
"""The fixtures that the marker `kling` affects."""

_ALL_FIXTURES = frozenset([*MARKED_FIXTURES, "kling_server_factory", "kling_session_server", "kling_virtual_time"])
_PROPERTY = "kling_"


class Use(NamedTuple):
    """A fake that a test used: the fixture that made it, and how far it had come when the test began."""

    fixture: str
    fake: FakeServer
    shared: bool
    exchanges_before: int
    generations_before: frozenset[str]

    @property
    def exchanges(self) -> Sequence[Exchange]:
        """The exchanges since the test began."""
        journal = self.fake.journal
        had = len(journal) + journal.dropped
        new = had - self.exchanges_before if had >= self.exchanges_before else had  # fewer: the fake was reset
        return journal[-new:] if new else []

    @property
    def charges(self) -> Iterator[Charge]:
        """The charges of the generations that were created since the test began."""
        return (charge for charge in self.fake.ledger.charges if charge.generation_id not in self.generations_before)


_SHARED = pytest.StashKey[list[Use]]()
_USED = pytest.StashKey[list[Use]]()


def configure(config: pytest.Config) -> None:
    """Prepare for the fakes of this run."""
    config.stash[_SHARED] = []


def share(config: pytest.Config, fixture: str, fake: FakeServer) -> None:
    """Note a fake that all tests of the session may use from now on."""
    config.stash[_SHARED].append(Use(fixture, fake, True, 0, frozenset(fake.generations)))


def use(request: pytest.FixtureRequest, fake: FakeServer) -> None:
    """Note that a test uses this fake, which a fixture has made for it."""
    own = Use(str(request.fixturename), fake, False, 0, frozenset(fake.generations))
    request.node.stash.setdefault(_USED, []).append(own)


def uses(item: pytest.Item) -> list[Use]:
    """Return the fakes that were made for a test, and those of the session that it sent requests to."""
    here = item.stash.get(_USED, [])
    known = {id(each.fake) for each in here}
    here = [*here, *(each for each in item.config.stash[_SHARED] if id(each.fake) not in known)]
    return [each for each in here if not each.shared or each.exchanges]


def uses_ours(item: pytest.Item) -> bool:
    """Return whether a test has one of our fixtures, directly or through another fixture, or the marker."""
    return (
        not _ALL_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())) or item.get_closest_marker("kling") is not None
    )


def note_property(item: pytest.Item, name: str, value: object) -> None:
    """Add a property to the report of a test's teardown, which also arrives from a worker of xdist."""
    item.user_properties.append((_PROPERTY + name, value))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin anew: a test may run several times, and what an earlier attempt noted is in that attempt's report."""
    item.user_properties[:] = [each for each in item.user_properties if not each[0].startswith(_PROPERTY)]
    item.stash[_USED] = [
        Use(fixture, fake, True, len(fake.journal) + fake.journal.dropped, frozenset(fake.generations))
        for fixture, fake, *_ in item.config.stash[_SHARED]
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Warn of a marker that did nothing. Only now it is known: a test may have asked for a fixture while it ran."""
    yield
    marked = any(marker.name == "kling" for marker in item.own_markers)
    if marked and not was_read(item) and set(MARKED_FIXTURES).isdisjoint(getattr(item, "fixturenames", ())):
        item.warn(
            pytest.PytestWarning(
                f"{item.nodeid} has the marker kling, and none of the fixtures that it affects: "
                f"give the test {', '.join(MARKED_FIXTURES[:-1])} or {MARKED_FIXTURES[-1]}, or remove the marker"
            )
        )
