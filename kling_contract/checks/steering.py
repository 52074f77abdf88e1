"""How is a fake on a port steered from outside? Its clock, its books and its scenario, by its control path."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from kling_contract.errors import ContractBroken, InvalidJson
from kling_contract.jsontext.parser import parse

__all__ = ["FakeControl"]

_PREFIX = "/_fake"


class FakeControl:
    """A fake server of ours, with its control path. It is a Clock: `sleep` moves the fake's time, and nobody waits."""

    def __init__(self, ask: Callable[[str, str, bytes | None], httpx.Response]) -> None:
        self._ask = ask
        self._scenario = _object(self._told("GET", "scenario"))
        self._delays = _delays(self._scenario)
        self._stands_at: float | None = None

    @classmethod
    def at(cls, base_url: str, http: httpx.Client) -> FakeControl | None:
        """Return the fake at a URL; None when what answers there is none of ours, or follows the real time."""

        def ask(method: str, path: str, body: bytes | None) -> httpx.Response:
            headers = {"content-type": "application/json"} if body else {}
            return http.request(method, f"{base_url}{_PREFIX}/{path}", headers=headers, content=body)

        try:
            fake = cls(ask)
            fake.now()
            fake.sleep(0)
        except (ContractBroken, httpx.HTTPError):
            return None
        return fake

    def now(self) -> float:
        """Return the fake's time. A clock that stands still is asked once, and then after each move.

        Where calls meet delays, each of them moves it.
        """
        return self._read(self._told("GET", "clock")) if self._stands_at is None else self._stands_at

    def sleep(self, seconds: float) -> None:
        """Move the fake's time on."""
        self._read(self._told("POST", "clock", {"advance": max(0.0, seconds)}))

    async def asleep(self, seconds: float) -> None:
        """Move the fake's time on, as `sleep` does."""
        self.sleep(seconds)

    def spent(self) -> float:
        """Return what has been booked."""
        return self._number(self._told("GET", "ledger"), "booked")

    def play(self, scenario: Mapping[str, Any]) -> None:
        """Let the fake go on with another scenario; `{}` is the one that it had at first."""
        played = scenario or self._scenario
        self._told("POST", "scenario", played)
        self._stands_at, self._delays = None, _delays(played)

    def _read(self, told: httpx.Response) -> float:
        now, rate = self._number(told, "now"), self._number(told, "rate")
        self._stands_at = None if rate or self._delays else now
        return now

    def _told(self, method: str, path: str, body: Any = None) -> httpx.Response:
        response = self._ask(method, path, None if body is None else json.dumps(body).encode())
        if response.status_code != httpx.codes.OK:
            raise _broken(response, "must answer with 200")
        return response

    def _number(self, told: httpx.Response, name: str) -> float:
        value = _object(told).get(name)
        try:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
        except OverflowError:
            pass
        raise _broken(told, f"must answer with a number as {name!r}")


def _object(told: httpx.Response) -> Mapping[str, Any]:
    """Return the object that an answer holds. Raise ContractBroken for any other answer."""
    try:
        value = parse(told.content)
    except InvalidJson as bad:
        raise _broken(told, f"must answer with JSON ({bad})") from bad
    if not isinstance(value, dict):
        raise _broken(told, "must answer with a JSON object")
    return value


def _broken(told: httpx.Response, wrong: str) -> ContractBroken:
    path, text = told.request.url.path, told.content.decode("utf-8", "replace")
    came = f"{told.status_code} {text}".rstrip()  # whole: who knows the key hides it, and then cuts
    return ContractBroken(
        f"the fake's control path {path} {wrong}",
        request=told.request,
        came=came,
        wrong=f"the fake's control path {path} {wrong}",
    )


def _delays(scenario: Mapping[str, Any]) -> bool:
    faults = scenario.get("faults")
    return isinstance(faults, list) and any(isinstance(fault, dict) and "latency" in fault for fault in faults)
