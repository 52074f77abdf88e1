"""Claims about drawn scenarios: they can be played, and cover every fault that a scenario can have."""

from __future__ import annotations

import contextlib
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_server import FakeServer, Fault, Scenario
from kling_contract.contract import Contract, revisions
from kling_contract.contract.documents import SCHEMAS, read_json
from kling_contract.strategies import scenarios
from tests.support.targets import KEY, in_process

SCHEMA = read_json(SCHEMAS / "scenario.schema.json")
MEMBERS = SCHEMA["$defs"]["fault"]["properties"]
OPTIONS = {name: rules["enum"] for name, rules in MEMBERS.items() if "enum" in rules}


@settings(max_examples=50)
@given(data=st.data(), revision=st.sampled_from(revisions()))
def test_every_scenario_can_be_played(data: st.DataObject, revision: str) -> None:
    """Each drawn scenario is valid, and a fake plays it: a call gets a reply or breaks, and nothing else happens."""
    drawn = data.draw(scenarios(revision=revision))
    assert Scenario.from_data(drawn).faults == tuple(Fault.from_data(each) for each in drawn.get("faults", ()))
    fake = FakeServer(revision=revision, api_key=KEY, scenario=drawn)
    target = in_process(fake)
    for _ in range(2):
        with contextlib.suppress(httpx.TransportError):
            target.create()
        with contextlib.suppress(httpx.TransportError):
            target.poll("nobody")
    assert len(fake.journal) == 4


def test_every_fault_is_drawn() -> None:
    """Each member of a fault is drawn, and each option of it; timelines are drawn by name and step by step, to each end."""
    seen: set[Any] = set()

    @settings(max_examples=300, deadline=None, derandomize=True, database=None)
    @given(scenarios())
    def draw(scenario: dict[str, Any]) -> None:
        timeline = scenario.get("timeline", "absent")
        seen.add(timeline if isinstance(timeline, str) else ("ends", timeline[-1]["status"]))
        for fault in scenario.get("faults", ()):
            seen.update(fault)
            seen.update((name, fault[name]) for name in OPTIONS if name in fault)

    draw()
    assert seen >= {*MEMBERS, *((name, option) for name, options in OPTIONS.items() for option in options)}
    assert seen >= {"absent", *SCHEMA["properties"]["timeline"]["then"]["enum"]}
    assert seen >= {("ends", status) for status in Contract.load().lifecycle.outcomes}
