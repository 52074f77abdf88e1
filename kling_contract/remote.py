"""How is a fake on a port steered from outside? Its clock, its books and its scenario, by its control path."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from kling_contract.errors import ContractBroken, KlingError

__all__ = ["ControlledFake"]

_PREFIX = "/_fake"


class ControlledFake:
    """A fake server of ours, with its control path. It is a Clock: `sleep` moves the fake's time, and nobody waits."""

    def __init__(self, ask: Callable[[str, str, bytes | None], httpx.Response]) -> None:
        self._ask = ask
        self._scenario: Mapping[str, Any] = self._told("GET", "scenario")
        self._delays = _delays(self._scenario)
        self._stands_at: float | None = None

    @classmethod
    def at(cls, base_url: str, http: httpx.Client) -> ControlledFake | None:
        """Return the fake at a URL; None when what answers there is none of ours, or follows the real time."""

        def ask(method: str, path: str, body: bytes | None) -> httpx.Response:
            headers = {"content-type": "application/json"} if body else {}
            return http.request(method, f"{base_url}{_PREFIX}/{path}", headers=headers, content=body)

        try:
            fake = cls(ask)
            fake.now()
            fake.sleep(0)
        except (KlingError, httpx.HTTPError, KeyError, TypeError, ValueError):
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
        return float(self._told("GET", "ledger")["booked"])

    def play(self, scenario: Mapping[str, Any]) -> None:
        """Let the fake go on with another scenario; `{}` is the one that it had at first."""
        played = scenario or self._scenario
        self._told("POST", "scenario", played)
        self._stands_at, self._delays = None, _delays(played)

    def _read(self, clock: Mapping[str, Any]) -> float:
        now = float(clock["now"])
        self._stands_at = None if clock["rate"] or self._delays else now
        return now

    def _told(self, method: str, path: str, body: Any = None) -> Any:
        response = self._ask(method, path, None if body is None else json.dumps(body).encode())
        try:
            if response.status_code != httpx.codes.OK:
                raise ValueError(response.text[:200])
            return response.json()
        except ValueError as refused:
            raise ContractBroken(
                f"{_PREFIX}/{path} of the fake was answered {response.status_code}: {refused}",
                request=response.request,
                came=f"{response.status_code} {response.text[:200]}",
                wrong="the fake's control path must answer",
            ) from refused


def _delays(scenario: Mapping[str, Any]) -> bool:
    return any("latency" in fault for fault in scenario.get("faults", ()))
