"""Does a server keep the contract, whatever is done to it, in whichever order? A state machine over any server and clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, multiple, precondition, rule
from hypothesis.strategies import SearchStrategy

from kling_contract._http import SyncDoor
from kling_contract.errors import ContractBroken
from kling_contract.generation import Generation
from kling_contract.generation_claims import check_video
from kling_contract.mutations import Mutation
from kling_contract.strategies import invalid_requests, scenarios, valid_requests
from kling_contract.target import Target
from kling_contract.validation import refuses, validate

__all__ = ["GenerationMachine", "machine_for"]

_HONEST = {"operation", "after", "times", "refusal", "status", "latency", "drop", "truncate"}


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


def _failing(scenario: Mapping[str, Any]) -> dict[str, Any]:
    """Return a scenario with those faults only that a caller can tell from an honest answer."""
    faults = [
        each for each in scenario.get("faults", ()) if _HONEST.issuperset(each) and each.get("status", 500) >= 500
    ]
    return {**scenario, "faults": faults}


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
        self._troubled = False
        self._broken = SyncDoor(self.target.http, self.target.clock).broken
        if self.target.play is not None:
            self.target.play({})

    def connect(self) -> Target:
        """Return the server to hold against the contract."""
        raise NotImplementedError("override connect(), or use machine_for(connect)")

    @rule(target=ids, payload=_of_target(valid_requests))
    def create(self, payload: dict[str, Any]) -> MultipleResults[str]:
        """A valid payload makes a generation, with an id of its own, in the first status."""
        return self._accepted(self._ask(self.target.create, payload))

    @rule(target=ids, body=st.binary(max_size=50) | st.text().map(lambda text: json.dumps(text).encode()))
    def send_something(self, body: bytes) -> MultipleResults[str]:
        """A body that may be anything is refused, unless it happens to be valid."""
        response = self._ask(self.target.create, body=body)
        if not refuses(validate(body, contract=self.target.contract)):
            return self._accepted(response)
        self._refused(response, "invalid_body")
        return multiple()

    @rule(mutation=_of_target(invalid_requests))
    def send_rubbish(self, mutation: Mutation) -> None:
        """A payload with one violation is refused, and costs nothing; or is taken, where the service is known to take it."""
        if not refuses(validate(mutation.payload, contract=self.target.contract)):
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
        self.target.clock.sleep(share * self.target.contract.observed["polling"]["timeout"])

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

    @rule(scenario=_of_target(scenarios).map(_failing))
    @precondition(lambda self: self.target.play is not None)
    def trouble(self, scenario: dict[str, Any]) -> None:
        """From now on calls may fail, and new generations go another way: still each goes forward."""
        assert self.target.play is not None
        self.target.play(scenario)
        self._troubled = bool(scenario["faults"])

    @rule()
    @precondition(lambda self: self._troubled)
    def calm(self) -> None:
        """All is well again, and every generation that was seen is still there."""
        assert self.target.play is not None
        self.target.play({})
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
        if self._troubled and response.status_code >= 500:
            return None
        self.target.must_be_sound(response)
        return response

    def _refused(self, response: Any, reason: str) -> None:
        if response is not None and not (self._troubled and response.status_code >= 400):
            self.target.must_refuse(response, reason)

    def _accepted(self, response: Any) -> MultipleResults[str]:
        target = self.target
        if response is None or (self._troubled and response.status_code >= 400):
            return multiple()
        made = target.generation(response, target.creation)
        if made.id in self._seen:
            raise target.broken(response, "another generation has this id")
        if made.status != target.contract.lifecycle.initial:
            raise target.broken(response, f"its status must be {target.contract.lifecycle.initial} at first")
        self._seen[made.id] = _Seen(response, made, target.clock.now(), polled=False)
        return multiple(made.id)

    def _look(self, generation_id: str) -> None:
        target, last = self.target, self._seen[generation_id]
        at = target.clock.now()
        response = self._ask(target.poll, generation_id)
        if response is None or (self._troubled and response.status_code >= 400):
            return
        now = target.generation(response, target.polling)
        if now.id != generation_id:
            raise target.broken(response, "it must show the generation that was asked for")
        if not target.contract.lifecycle.allows(last.generation.status, now.status):
            raise target.broken(
                response, f"its status was {last.generation.status} before, after which this may not come"
            )
        if last.polled and last.at == target.clock.now() and last.response.content != response.content:
            told = last.response.content.decode("utf-8", "replace")
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
