"""Claims about the graph of states and about timelines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kling_contract import Contract, Timeline, revisions
from kling_contract.contract import Lifecycle, Step

times = st.lists(st.floats(min_value=0.001, max_value=1e6), unique=True, max_size=6).map(sorted)
timelines = times.flatmap(
    lambda ends: st.lists(st.text(max_size=5), min_size=len(ends) + 1, max_size=len(ends) + 1).map(
        lambda names: Timeline(tuple(Step(name, at) for name, at in zip(names, [0.0, *ends], strict=True)))
    )
)


@given(timelines, st.floats(min_value=-10, max_value=2e6))
def test_the_status_is_that_of_the_last_step_begun(timeline: Timeline, elapsed: float) -> None:
    """At any time the status is that of the latest step that has begun; before 0 it is the first."""
    begun = [step.status for step in timeline.steps if step.at <= elapsed]
    assert timeline.status_at(elapsed) == (begun[-1] if begun else timeline.steps[0].status)


@given(timelines, st.floats(min_value=0, max_value=1e6), st.floats(min_value=0, max_value=1e6))
def test_steps_never_go_back(timeline: Timeline, one: float, other: float) -> None:
    """Whoever looks later sees the same step or a later one."""
    starts = [step.at for step in timeline.steps]
    seen = [max(i for i, at in enumerate(starts) if at <= when) for when in sorted([one, other])]
    assert seen == sorted(seen)


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (Step("a", 1),),
        (Step("a", -1),),
        (Step("a", -1), Step("b", 0)),
        (Step("a", 0), Step("b", 0)),
        (Step("a", 0), Step("b", 2), Step("c", 1)),
    ],
)
def test_a_timeline_out_of_order_cannot_be_made(steps: tuple[Step, ...]) -> None:
    """A timeline begins at 0 and goes forward, or it is refused."""
    with pytest.raises(ValueError, match="timeline"):
        Timeline(steps)


@pytest.mark.parametrize("revision", revisions())
def test_each_revision_has_a_lifecycle_without_surprises(revision: str) -> None:
    """In every revision each status leads to a final one, final ones have an outcome, and only those do."""
    graph = Contract.load(revision).lifecycle
    finals = {status for status in graph.statuses if graph.is_final(status)}
    assert finals == set(graph.outcomes)
    assert {graph.succeeded(status) for status in finals} == {True, False}
    assert all(graph.failed(status) != graph.succeeded(status) for status in finals)
    reached = {graph.initial}
    while True:
        more = reached.union(*(graph.transitions[status] for status in reached))
        if more == reached:
            break
        reached = more
    assert reached == set(graph.statuses)


def test_staying_and_declared_edges_are_allowed() -> None:
    """A reader may see the same status again or a successor, nothing else; an unknown status is never final."""
    graph = Lifecycle("a", {"a": frozenset("b"), "b": frozenset()}, {"b": "success"})
    assert graph.allows("a", "a")
    assert graph.allows("a", "b")
    assert not graph.allows("b", "a")
    assert not graph.allows("z", "a")
    assert not graph.is_final("z")
    assert not graph.knows("z")
    assert not graph.knows(None)
    assert graph.knows("a")


@given(st.text(max_size=3), st.text(max_size=3))
def test_only_staying_and_edges_are_allowed(earlier: str, later: str) -> None:
    """Where no edge is declared, one status may follow another only if it is the same, letter by letter."""
    graph = Lifecycle("a", {}, {})
    assert graph.allows(earlier, later) == (earlier == later)
    assert graph.allows(earlier, "".join(list(earlier)))


def test_a_timeline_is_its_steps() -> None:
    """Timelines of the same steps are equal, and show nothing but them."""
    one, other = (Timeline.from_steps([{"status": "a", "at": 0}]) for _ in range(2))
    assert one == other
    assert repr(one) == "Timeline(steps=(Step(status='a', at=0.0),))"
