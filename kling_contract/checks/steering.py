"""A client of the control API of a fake on a port: it moves the clock, reads the ledger and changes the scenario."""

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
    """This project's fake server, by its control API. It is a Clock: `sleep` moves the fake's time, and nobody waits."""

    def __init__(self, send: Callable[[str, str, bytes | None], httpx.Response]) -> None:
        self._send = send
        self._scenario = _object(self._call("GET", "scenario"))
        self._delays = _delays(self._scenario)
        self._stands_at: float | None = None

    @classmethod
    def at(cls, base_url: str, http: httpx.Client) -> FakeControl | None:
        """Return the fake at a URL; None if the server there is not this project's fake, or follows the real time."""

        def send(method: str, path: str, body: bytes | None) -> httpx.Response:
            headers = {"content-type": "application/json"} if body else {}
            return http.request(method, f"{base_url}{_PREFIX}/{path}", headers=headers, content=body)

        try:
            fake = cls(send)
            fake.now()
            fake.sleep(0)
        except (ContractBroken, httpx.HTTPError):
            return None
        return fake

    def now(self) -> float:
        """Return the fake's time. A clock that stands still is read once, and then after each move.

        With delays in the scenario, each call moves it.
        """
        return self._read(self._call("GET", "clock")) if self._stands_at is None else self._stands_at

    def sleep(self, seconds: float) -> None:
        """Move the fake's time on."""
        self._read(self._call("POST", "clock", {"advance": max(0.0, seconds)}))

    async def asleep(self, seconds: float) -> None:
        """Move the fake's time on, as `sleep` does."""
        self.sleep(seconds)

    def spent(self) -> float:
        """Return what has been billed."""
        return self._number(self._call("GET", "ledger"), "booked")

    def play(self, scenario: Mapping[str, Any]) -> None:
        """Make the fake follow another scenario; `{}` is the one that it had at first."""
        played = scenario or self._scenario
        self._call("POST", "scenario", played)
        self._stands_at, self._delays = None, _delays(played)

    def _read(self, response: httpx.Response) -> float:
        now, rate = self._number(response, "now"), self._number(response, "rate")
        self._stands_at = None if rate or self._delays else now
        return now

    def _call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        response = self._send(method, path, None if body is None else json.dumps(body).encode())
        if response.status_code != httpx.codes.OK:
            raise _broken(response, "200")
        return response

    def _number(self, response: httpx.Response, name: str) -> float:
        value = _object(response).get(name)
        try:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
        except OverflowError:
            pass
        raise _broken(response, f"a number as {name!r}")


def _object(response: httpx.Response) -> Mapping[str, Any]:
    """Return the object in a response. Raise ContractBroken for any other response."""
    try:
        value = parse(response.content)
    except InvalidJson as bad:
        raise _broken(response, f"JSON ({bad})") from bad
    if not isinstance(value, dict):
        raise _broken(response, "a JSON object")
    return value


def _broken(response: httpx.Response, expected: str) -> ContractBroken:
    path, text = response.request.url.path, response.content.decode("utf-8", "replace")
    expected = f"{expected} from the control API of the fake, {path}"
    actual = f"{response.status_code} {text}".rstrip()  # whole: whoever knows the key masks it, and then cuts
    return ContractBroken(f"expected {expected}", request=response.request, expected=expected, actual=actual)


def _delays(scenario: Mapping[str, Any]) -> bool:
    faults = scenario.get("faults")
    return isinstance(faults, list) and any(isinstance(fault, dict) and "latency" in fault for fault in faults)
