"""A state machine that checks a server of any kind and clock: whatever is done, in any order, gets the right response.

Longer than other modules, because the rules of a machine of Hypothesis belong in one class.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, multiple, precondition, rule
from hypothesis.strategies import SearchStrategy

from kling_contract.checks.lifecycle_claims import check_video
from kling_contract.checks.target import Target
from kling_contract.client.http_adapter import SyncHttpAdapter
from kling_contract.contract import Contract
from kling_contract.errors import ContractBroken
from kling_contract.generation import Generation
from kling_contract.mutations import Mutation
from kling_contract.strategies import invalid_requests, scenarios, valid_requests
from kling_contract.validation import validate
from kling_contract.violation import has_errors

__all__ = ["GenerationMachine", "machine_for"]

_WHEN = ("operation", "skip", "times")
_ROUNDS = 4
_HONEST = {*_WHEN, "refusal", "status", "latency", "drop", "truncate"}
_LATEST = 3600.0  # seconds by which a response is late


@dataclass(frozen=True, slots=True)
class _Seen:
    """A generation as it was last seen: the response, what it says, and when the request was sent."""

    response: Any
    generation: Generation
    at: float
    polled: bool


def _of_target(strategy: Callable[..., SearchStrategy[Any]]) -> SearchStrategy[Any]:
    """Return a strategy for the contract of the target that the machine has."""
    drawn: SearchStrategy[Any] = st.runner().flatmap(lambda machine: strategy(contract=machine.target.contract))
    return drawn


def _failing(*, contract: Contract) -> SearchStrategy[dict[str, Any]]:
    """Draw scenarios whose faults a client can tell from correct responses: those that look correct hang up instead."""
    reasons, least = contract.observed.refusals.reasons, _least_excuse(contract)

    def honest(fault: dict[str, Any]) -> dict[str, Any]:
        if "latency" in fault:  # one server serves all runs: its clock must stay within the calendar
            fault = {**fault, "latency": min(fault["latency"], _LATEST)}
        status = reasons[fault["refusal"]].status_code if "refusal" in fault else fault.get("status", least)
        if _HONEST.issuperset(fault) and status >= least:
            return fault
        return {name: fault[name] for name in _WHEN if name in fault} | {"drop": "after_processing"}

    return scenarios(contract=contract).map(
        lambda scenario: {**scenario, "faults": list(map(honest, scenario.get("faults", ())))}
    )


def _least_excuse(contract: Contract) -> int:
    """Return the lowest status that says nothing about the request itself: too many requests, or an error of the server."""
    return int(contract.observed.refusals.reasons["too_many_requests"].status_code)


class GenerationMachine(RuleBasedStateMachine):
    """Creates, polls, waits, sends invalid payloads, polls strange ids, downloads, lets calls fail, and checks each response.

    It knows the graph of statuses and what it did itself, not how the server arrives at its responses. Override `connect`, and
    run `.TestCase`, as with any machine of Hypothesis. The server need not be new for each run.
    """

    ids: Bundle[str] = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        self.target = self.connect()
        self._seen: dict[str, _Seen] = {}
        self._calm: dict[str, Any] = {}
        self._troubled = False
        self._broken = SyncHttpAdapter(self.target.http, self.target.clock).transport_errors
        if self.target.play is not None:
            self.target.play(self._calm)

    def connect(self) -> Target:
        """Return the server to check."""
        raise NotImplementedError("override connect(), or use machine_for(connect)")

    @rule(target=ids, payload=_of_target(valid_requests))
    def create(self, payload: dict[str, Any]) -> MultipleResults[str]:
        """A valid payload makes a generation, with an id of its own, in the first status."""
        return self._created(payload)

    @rule(target=ids, body=st.binary(max_size=50) | st.text().map(lambda text: json.dumps(text).encode()))
    def send_something(self, body: bytes) -> MultipleResults[str]:
        """A body that may be anything is refused, unless it happens to be valid."""
        at = self.target.clock.now()
        response = self._call(self.target.create, body=body)
        if not has_errors(validate(body, contract=self.target.contract)):
            return self._accepted(response, at)
        self._refused(response, "invalid_body")
        return multiple()

    @rule(mutation=_of_target(invalid_requests))
    def send_invalid(self, mutation: Mutation) -> None:
        """A payload with one violation is refused and costs nothing, unless the service is known to accept it."""
        if not has_errors(validate(mutation.payload, contract=self.target.contract)):
            return
        now, spent = self.target.clock.now(), self._spent()
        self._refused(self._call(self.target.create, body=json.dumps(mutation.payload).encode()), "invalid_body")
        if self.target.clock.now() == now and self._spent() != spent:
            problem = f"a refused payload ({mutation.id}) cost {self._spent() - spent}"
            raise ContractBroken(problem, expected="no cost", actual=problem)

    @rule(generation_id=ids)
    def poll(self, generation_id: str) -> None:
        """A poll shows the generation asked for, in a status that may follow the one seen before."""
        self._look(generation_id)

    @rule()
    def poll_all(self) -> None:
        """Two rounds of polls: generations do not affect each other."""
        for generation_id in [*self._seen, *self._seen]:
            self._look(generation_id)

    @rule(share=st.floats(0, 1.5))
    def wait(self, share: float) -> None:
        """Time passes: up to one and a half times as long as the documentation waits for a generation."""
        self.target.clock.sleep(share * self.target.contract.observed.polling.timeout)

    @rule(generation_id=ids, strange=st.text(min_size=1))
    def poll_strange_ids(self, generation_id: str, strange: str) -> None:
        """An id that nobody was given is unknown, however much it looks like one that somebody was."""
        ids = (strange, generation_id + strange, generation_id[:-1], generation_id.swapcase())
        for unknown in [
            each for each in dict.fromkeys(ids) if each not in self._seen
        ]:  # in order: a seed repeats a run
            self._refused(self._call(self.target.poll, unknown), "unknown_generation")

    @rule(generation_id=ids)
    def call_without_key(self, generation_id: str) -> None:
        """Nobody creates or polls without a key."""
        self._refused(self._call(self.target.poll, generation_id, headers={}), "unauthorized")
        media_type = {"content-type": self.target.creation.media_type or ""}
        self._refused(self._call(self.target.create, headers=media_type), "unauthorized")

    @rule(generation_id=ids)
    @precondition(lambda self: not self._troubled)
    def download(self, generation_id: str) -> None:
        """There is a video, of the announced size and type, when a generation has succeeded, and never before."""
        seen = self._seen[generation_id]
        if self.target.contract.lifecycle.succeeded(seen.generation.status):
            check_video(self.target, seen.response, seen.generation)

    @rule(target=ids, scenario=_of_target(_failing), payload=_of_target(valid_requests))
    @precondition(lambda self: self.target.play is not None and not self._troubled)
    def create_in_another_scenario(self, scenario: dict[str, Any], payload: dict[str, Any]) -> MultipleResults[str]:
        """From now on generations follow another scenario, to success or to failure; this one first."""
        assert self.target.play is not None
        self._calm = {**scenario, "faults": []}
        self.target.play(self._calm)
        return self._created(payload)

    @rule()
    def watch(self) -> None:
        """All generations are polled several times, for as long as the documentation waits for one."""
        for _ in range(_ROUNDS):
            self.target.clock.sleep(self.target.contract.observed.polling.timeout / _ROUNDS)
            self.poll_all()

    @rule(scenario=_of_target(_failing))
    @precondition(lambda self: self.target.play is not None)
    def trouble(self, scenario: dict[str, Any]) -> None:
        """From now on calls may fail, and new generations follow another scenario: still each moves forward."""
        assert self.target.play is not None
        self.target.play(scenario)
        self._calm = {**scenario, "faults": []}
        self._troubled = bool(scenario["faults"])
        self.poll_all()

    @rule()
    @precondition(lambda self: self._troubled)
    def calm(self) -> None:
        """Calls no longer fail, and every generation that was seen is still there."""
        assert self.target.play is not None
        self.target.play(self._calm)
        self._troubled = False
        self.poll_all()

    def _call(self, send: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Return a well-formed response; None if there is none because calls fail now."""
        try:
            response = send(*args, **options)
        except self._broken as broken:
            if self._troubled:
                return None
            why = f"no response came: {broken!r}"
            raise ContractBroken(why, expected="a response", actual=why) from broken
        if self._troubled and response.status_code >= _least_excuse(self.target.contract):
            return None
        self.target.must_be_sound(response)
        return response

    def _created(self, payload: dict[str, Any]) -> MultipleResults[str]:
        at = self.target.clock.now()
        return self._accepted(self._call(self.target.create, payload), at)

    def _refused(self, response: Any, reason: str) -> None:
        if response is not None:
            self.target.must_refuse(response, reason)

    def _accepted(self, response: Any, at: float) -> MultipleResults[str]:
        target = self.target
        if response is None:
            return multiple()
        made = target.generation(response, target.creation)
        if made.id in self._seen:
            raise target.broken(response, "an id of its own", problem="another generation has this id")
        if made.status != target.contract.lifecycle.initial:
            expected = f"status {target.contract.lifecycle.initial} at first"
            raise target.broken(response, expected, problem=f"it is {made.status}")
        self._seen[made.id] = _Seen(response, made, at, polled=False)
        return multiple(made.id)

    def _look(self, generation_id: str) -> None:
        target, last = self.target, self._seen[generation_id]
        at = target.clock.now()
        response = self._call(target.poll, generation_id)
        if response is None:
            return
        now = target.generation(response, target.polling)
        if now.id != generation_id:
            raise target.broken(response, f"generation {generation_id}", problem=f"it is generation {now.id}")
        if not target.contract.lifecycle.allows(last.generation.status, now.status):
            expected = f"a status that may follow {last.generation.status}"
            raise target.broken(response, expected, problem=f"it is {now.status}")
        if last.at == target.clock.now():
            if last.generation.status != now.status:
                expected = f"status {last.generation.status}"
                raise target.broken(response, expected, problem="that was its status at the same time")
            if last.polled and last.response.content != response.content:
                problem = f"at the same time it was {target.shown(last.response)}"
                raise target.broken(response, "the same response", problem=problem)
        if bool(now.videos) != target.contract.lifecycle.succeeded(now.status):
            expected = f"{'no ' if now.videos else 'a '}video in status {now.status}"
            raise target.broken(response, expected)
        self._seen[generation_id] = _Seen(response, now, at, polled=True)

    def _spent(self) -> float:
        return 0.0 if self.target.spent is None else self.target.spent()


def machine_for(connect: Callable[[], Target]) -> type[GenerationMachine]:
    """Return a machine for the server that `connect` returns; it is called anew for each run.

    In a test module, `TestServer = machine_for(connect).TestCase` runs it.
    """
    return type("MachineForServer", (GenerationMachine,), {"connect": lambda self: connect()})
