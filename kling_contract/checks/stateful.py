"""Does a server keep the contract, whatever is done to it, in whichever order? A state machine over any server and clock."""

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
_LATEST = 3600.0  # seconds by which an answer is late


@dataclass(frozen=True, slots=True)
class _Seen:
    """A generation as it was last seen: the answer, what it says, and when it was asked for."""

    response: Any
    generation: Generation
    at: float
    polled: bool


def _of_target(strategy: Callable[..., SearchStrategy[Any]]) -> SearchStrategy[Any]:
    """Return a strategy for the contract of whichever target the machine has."""
    drawn: SearchStrategy[Any] = st.runner().flatmap(lambda machine: strategy(contract=machine.target.contract))
    return drawn


def _failing(*, contract: Contract) -> SearchStrategy[dict[str, Any]]:
    """Draw scenarios whose faults a caller can tell from honest answers: those that lie hang up instead."""
    reasons, least = contract.observed.refusals.reasons, _least_excuse(contract)

    def honest(fault: dict[str, Any]) -> dict[str, Any]:
        if "latency" in fault:  # a server that is there for all examples must not leave the calendar
            fault = {**fault, "latency": min(fault["latency"], _LATEST)}
        status = reasons[fault["refusal"]].status_code if "refusal" in fault else fault.get("status", least)
        if _HONEST.issuperset(fault) and status >= least:
            return fault
        return {name: fault[name] for name in _WHEN if name in fault} | {"drop": "after_processing"}

    return scenarios(contract=contract).map(lambda each: {**each, "faults": list(map(honest, each.get("faults", ())))})


def _least_excuse(contract: Contract) -> int:
    """Return the least status that says nothing of the request: too many of them, or what is wrong with the server."""
    return int(contract.observed.refusals.reasons["too_many_requests"].status_code)


class GenerationMachine(RuleBasedStateMachine):
    """Creates, polls, waits, sends rubbish, asks for strange ids, downloads, lets calls fail; and looks on.

    It knows the graph of states and what it did itself, nothing of how the server comes to its answers. Override `connect`,
    and run `.TestCase`, as with any machine of Hypothesis. A server need not be new for each example.
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
        """Return the server to hold against the contract."""
        raise NotImplementedError("override connect(), or use machine_for(connect)")

    @rule(target=ids, payload=_of_target(valid_requests))
    def create(self, payload: dict[str, Any]) -> MultipleResults[str]:
        """A valid payload makes a generation, with an id of its own, in the first status."""
        return self._created(payload)

    @rule(target=ids, body=st.binary(max_size=50) | st.text().map(lambda text: json.dumps(text).encode()))
    def send_something(self, body: bytes) -> MultipleResults[str]:
        """A body that may be anything is refused, unless it happens to be valid."""
        at = self.target.clock.now()
        response = self._ask(self.target.create, body=body)
        if not has_errors(validate(body, contract=self.target.contract)):
            return self._accepted(response, at)
        self._refused(response, "invalid_body")
        return multiple()

    @rule(mutation=_of_target(invalid_requests))
    def send_rubbish(self, mutation: Mutation) -> None:
        """A payload with one violation is refused, and costs nothing; or is taken, where the service is known to take it."""
        if not has_errors(validate(mutation.payload, contract=self.target.contract)):
            return
        now, spent = self.target.clock.now(), self._spent()
        self._refused(self._ask(self.target.create, body=json.dumps(mutation.payload).encode()), "invalid_body")
        if self.target.clock.now() == now and self._spent() != spent:
            raise ContractBroken(f"a refused payload ({mutation.id}) cost {self._spent() - spent}")

    @rule(generation_id=ids)
    def poll(self, generation_id: str) -> None:
        """A poll shows the generation asked for, in a status that may follow the one seen before."""
        self._look(generation_id)

    @rule()
    def poll_all(self) -> None:
        """Two rounds of polls: generations do not get in each other's way."""
        for generation_id in [*self._seen, *self._seen]:
            self._look(generation_id)

    @rule(share=st.floats(0, 1.5))
    def wait(self, share: float) -> None:
        """Time passes: up to one and a half times as long as the documentation waits for a generation."""
        self.target.clock.sleep(share * self.target.contract.observed.polling.timeout)

    @rule(generation_id=ids, strange=st.text(min_size=1))
    def poll_strange_ids(self, generation_id: str, strange: str) -> None:
        """An id that nobody was given is unknown, however much it looks like one that somebody was."""
        for each in {
            strange,
            generation_id + strange,
            generation_id[:-1],
            generation_id.swapcase(),
        } - self._seen.keys():
            self._refused(self._ask(self.target.poll, each), "unknown_generation")

    @rule(generation_id=ids)
    def come_without_key(self, generation_id: str) -> None:
        """Nobody creates or polls without a key."""
        self._refused(self._ask(self.target.poll, generation_id, headers={}), "unauthorized")
        media_type = {"content-type": self.target.creation.media_type or ""}
        self._refused(self._ask(self.target.create, headers=media_type), "unauthorized")

    @rule(generation_id=ids)
    @precondition(lambda self: not self._troubled)
    def download(self, generation_id: str) -> None:
        """There is a video, of the announced size and type, when a generation has succeeded, and never before."""
        seen = self._seen[generation_id]
        if self.target.contract.lifecycle.succeeded(seen.generation.status):
            check_video(self.target, seen.response, seen.generation)

    @rule(target=ids, scenario=_of_target(_failing), payload=_of_target(valid_requests))
    @precondition(lambda self: self.target.play is not None and not self._troubled)
    def go_another_way(self, scenario: dict[str, Any], payload: dict[str, Any]) -> MultipleResults[str]:
        """From now on new generations go another way, to success or to failure: this one at once."""
        assert self.target.play is not None
        self._calm = {**scenario, "faults": []}
        self.target.play(self._calm)
        return self._created(payload)

    @rule()
    def watch(self) -> None:
        """As long as the documentation waits for a generation, all of them are polled now and then."""
        for _ in range(_ROUNDS):
            self.target.clock.sleep(self.target.contract.observed.polling.timeout / _ROUNDS)
            self.poll_all()

    @rule(scenario=_of_target(_failing))
    @precondition(lambda self: self.target.play is not None)
    def trouble(self, scenario: dict[str, Any]) -> None:
        """From now on calls may fail, and new generations go another way: still each goes forward."""
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

    def _ask(self, send: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Return a sound response. In times of trouble there may be none, and None is returned."""
        try:
            response = send(*args, **options)
        except self._broken as broken:
            if self._troubled:
                return None
            raise ContractBroken(f"no answer came: {broken!r}") from broken
        if self._troubled and response.status_code >= _least_excuse(self.target.contract):
            return None
        self.target.must_be_sound(response)
        return response

    def _created(self, payload: dict[str, Any]) -> MultipleResults[str]:
        at = self.target.clock.now()
        return self._accepted(self._ask(self.target.create, payload), at)

    def _refused(self, response: Any, reason: str) -> None:
        if response is not None:
            self.target.must_refuse(response, reason)

    def _accepted(self, response: Any, at: float) -> MultipleResults[str]:
        target = self.target
        if response is None:
            return multiple()
        made = target.generation(response, target.creation)
        if made.id in self._seen:
            raise target.broken(response, "another generation has this id")
        if made.status != target.contract.lifecycle.initial:
            raise target.broken(response, f"its status must be {target.contract.lifecycle.initial} at first")
        self._seen[made.id] = _Seen(response, made, at, polled=False)
        return multiple(made.id)

    def _look(self, generation_id: str) -> None:
        target, last = self.target, self._seen[generation_id]
        at = target.clock.now()
        response = self._ask(target.poll, generation_id)
        if response is None:
            return
        now = target.generation(response, target.polling)
        if now.id != generation_id:
            raise target.broken(response, "it must show the generation that was asked for")
        if not target.contract.lifecycle.allows(last.generation.status, now.status):
            raise target.broken(
                response, f"its status was {last.generation.status} before, after which this may not come"
            )
        if last.at == target.clock.now():
            if last.generation.status != now.status:
                raise target.broken(response, f"at the same time its status was {last.generation.status}")
            if last.polled and last.response.content != response.content:
                told = target.shown(last.response)
                raise target.broken(response, f"at the same time it was answered {told}")
        if bool(now.videos) != target.contract.lifecycle.succeeded(now.status):
            raise target.broken(response, "a generation has a video when it has succeeded, and not before")
        self._seen[generation_id] = _Seen(response, now, at, polled=True)

    def _spent(self) -> float:
        return 0.0 if self.target.spent is None else self.target.spent()


def machine_for(connect: Callable[[], Target]) -> type[GenerationMachine]:
    """Return a machine for the server that `connect` returns, asked anew for each example.

    In a test module, `TestServer = machine_for(connect).TestCase` runs it.
    """
    return type("MachineForServer", (GenerationMachine,), {"connect": lambda self: connect()})
