"""The connection to a server under test: through guards, with no cookies, within a time limit."""

from __future__ import annotations

from dataclasses import replace
from http.cookiejar import CookieJar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from kling_contract.checks.deadline import BoundedClock, Deadline, DeadlineExceeded
from kling_contract.checks.guard import ClientTransport, CreationGuard, NoCookies, excerpt, why_silent
from kling_contract.checks.lists import Retired, ask_for_deprecations
from kling_contract.checks.steering import FakeControl
from kling_contract.checks.target import Target
from kling_contract.contract import Contract
from kling_contract.errors import ServerUnreachable
from kling_contract.hosts import is_loopback, root_of

__all__ = ["Connection"]

_NO_KEY = "a-key-for-a-server-of-your-own"
_NOBODY = "kling-contract-check"
_IDLE = 1.0  # seconds


class Connection:
    """A server under test. `target` is the server as claims see it; `sent` counts requests, `guard` what they may do.

    `retired` is what the server says of the end of the model that is checked (None: nothing).

    `server` is a base URL, or a Target. `creations` is how many generations may be created (None: any number), `deadline` the
    end of it all, `key` one that the server takes (None: a made-up one); `allow_remote` allows another machine than this one.
    """

    def __init__(
        self,
        server: str | Target,
        *,
        contract: Contract,
        creations: int | None,
        deadline: Deadline,
        key: str | None,
        allow_remote: bool,
    ) -> None:
        if isinstance(server, Target):
            key = server.key
            inner: httpx.BaseTransport = ClientTransport(server.http)
        else:
            key, root = key or _NO_KEY, root_of(server, allow_remote=allow_remote)  # before anything is opened
            # Idle connections are closed before any server does so: else a request could meet one that is just being closed.
            inner = httpx.HTTPTransport(limits=httpx.Limits(keepalive_expiry=_IDLE), proxy=_proxy(root))
        self.retired: Retired | None = None
        self._inner = inner
        self._deadline = deadline
        self._asked = 0
        self.guard = CreationGuard(inner, deadline=deadline, key=key, creations=creations)
        identity = {"accept-encoding": "identity"}
        self._http = httpx.Client(transport=self.guard, headers=identity, cookies=CookieJar(NoCookies()))
        steered = CreationGuard(inner, deadline=deadline, key=key, creations=None)
        self._control = httpx.Client(transport=steered, cookies=CookieJar(NoCookies()))
        if isinstance(server, Target):
            self.target = replace(server, http=self._http)
        else:
            clock = BoundedClock(deadline, longest=contract.observed.polling.interval)
            self.target = Target(http=self._http, key=key, base_url=root, clock=clock, contract=contract)
        self._creations = creations
        self._met = False

    @property
    def sent(self) -> int:
        """How many requests were sent."""
        return self.guard.sent + self._asked

    def meet(self, time_limit: float) -> None:
        """Send a first request, ask what becomes of the model, and look whether the server's clock can be moved.

        Do nothing the second time.

        Raise ServerUnreachable if nobody answers, if the server redirects elsewhere, or does not take the key; `time_limit`, in
        seconds, is named in the message.
        """
        if self._met:
            return
        root = self.target.origin
        try:
            response = self.target.poll(_NOBODY)
        except DeadlineExceeded:
            raise ServerUnreachable(f"{root} did not answer within {time_limit:g} seconds") from None
        except httpx.RequestError as silent:
            raise ServerUnreachable(
                f"{root} does not answer: {excerpt(why_silent(silent), self.target.key)}"
            ) from silent
        unauthorized = self.target.contract.observed.refusals.reasons["unauthorized"].status_code
        if response.status_code == unauthorized:
            raise ServerUnreachable(f"{root} answers {unauthorized}: it does not take the key; give one that it takes")
        if response.has_redirect_location:
            there = excerpt(response.headers["location"], self.target.key)
            raise ServerUnreachable(
                f"{root} redirects to {there}, where the key was not sent: give the URL that answers by itself"
            )
        self._ask_for_the_model()
        if self._creations != 0 and isinstance(self.target.clock, BoundedClock):
            try:
                fake = FakeControl.at(root, self._control)
            except DeadlineExceeded:
                raise ServerUnreachable(
                    f"{root}/_fake did not answer to its end within {time_limit:g} seconds"
                ) from None
            if fake is not None:
                self.target = replace(self.target, clock=fake, spent=fake.spent, play=fake.play)
        self._met = True

    def _ask_for_the_model(self) -> None:
        """Ask what the server says of the end of the model, unless the time is over."""
        try:
            left = self._deadline.remaining()
        except DeadlineExceeded:
            return
        self.retired, self._asked = ask_for_deprecations(
            self._inner, self.target.origin, self.target.contract.model, key=self.target.key, seconds=left
        )

    def close(self) -> None:
        """Close every connection."""
        self._http.close()
        self._control.close()


def _proxy(root: str) -> str | None:
    """Return the proxy that the environment names for a URL; None if it names none, and for this machine."""
    url = urlsplit(root)
    if is_loopback(url.hostname or "") or proxy_bypass(url.netloc):
        return None
    proxies = getproxies()
    return proxies.get(url.scheme) or proxies.get("all")
