"""The clients: `Client` and `AsyncClient`, with the same five calls.

The module is long because type checkers and editors need every signature in both classes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, Unpack
from urllib.parse import urlsplit

import httpx

from kling_contract.client.calls import Calls, Pace, Progress, run
from kling_contract.client.fields import Fields
from kling_contract.client.http_adapter import AsyncHttp, AsyncHttpAdapter, Http, HttpAdapter, SyncHttpAdapter
from kling_contract.client.images import Image
from kling_contract.client.retry import Retries
from kling_contract.clock import Clock, SystemClock
from kling_contract.contract import Contract, chosen
from kling_contract.generation import Generation, Video
from kling_contract.redaction import KEY_VARIABLE, Key
from kling_contract.violation import SEVERITIES, Severity, Strictness, check_strictness

__all__ = ["AsyncClient", "Client", "Generation", "Image", "Progress", "Video"]

TIMEOUT = httpx.Timeout(60.0, connect=10.0)
"""Timeouts of a client of our own: a create uploads megabytes, but a connection is made soon or never."""

_MISSING: Any = None
"""No key was given. Type checkers see text, so that they refuse `os.environ.get(…)`, which may be None."""

H = TypeVar("H", Http, AsyncHttp)


class _Base(Generic[H]):
    """What both clients have in common."""

    _adapter_type: Callable[[Any, Clock], HttpAdapter]
    _http_type: Callable[..., Any]

    def __init__(
        self,
        api_key: str = _MISSING,
        *,
        http: H | None = None,
        base_url: str | None = None,
        clock: Clock | None = None,
        contract: Contract | None = None,
        revision: str | None = None,
        model: str | None = None,
        strictness: Strictness = "lax",
        fail_on: Severity = "error",
        retries: int = 5,
    ) -> None:
        clock = clock or SystemClock()
        adapter = None if http is None else self._adapter_type(http, clock)
        if api_key is None:
            raise TypeError(
                f"an API key is needed: {type(self).__name__}(api_key); "
                f"the provider shows it in your account, {type(self).__name__}.from_env() reads it from {KEY_VARIABLE}, "
                "and a fake server accepts any text"
            )
        if fail_on not in SEVERITIES:
            raise ValueError(f"fail_on must be one of {', '.join(SEVERITIES)}, not {fail_on!r}")
        check_strictness(strictness)
        if retries < 0:
            raise ValueError(f"retries must be 0 or more, not {retries}")
        key = Key(api_key)
        contract = chosen(contract, revision, model)
        base_url = _checked_url(contract.base_url if base_url is None else base_url)
        self._own_http: Any = None
        if adapter is None:  # only now, so that no error above leaves it open
            self._own_http = self._http_type(timeout=TIMEOUT)
            adapter = self._adapter_type(self._own_http, clock)
        self._calls = Calls(adapter, key, contract, base_url, strictness, fail_on, Retries(retries))

    @property
    def contract(self) -> Contract:
        """The contract that payloads are validated against."""
        return self._calls.contract

    @property
    def base_url(self) -> str:
        """The address of the service, without a slash at its end."""
        return self._calls.base_url

    @classmethod
    def from_env(
        cls,
        *,
        http: H | None = None,
        base_url: str | None = None,
        clock: Clock | None = None,
        contract: Contract | None = None,
        revision: str | None = None,
        model: str | None = None,
        strictness: Strictness = "lax",
        fail_on: Severity = "error",
        retries: int = 5,
    ) -> Self:
        """Make a client with the API key in the environment variable AIMLAPI_KEY, and with the options of the class.

        Raise ValueError when the variable is not set or holds no usable key, and whatever the class raises.
        """
        key = os.environ.get(KEY_VARIABLE, "").strip()
        if not key:
            raise ValueError(
                f"the environment variable {KEY_VARIABLE} is not set or empty; "
                "set it to the API key that the provider shows in your account"
            )
        try:
            Key(key)
        except ValueError as unusable:
            raise ValueError(f"the environment variable {KEY_VARIABLE}: {unusable}") from None
        return cls(
            key,
            http=http,
            base_url=base_url,
            clock=clock,
            contract=contract,
            revision=revision,
            model=model,
            strictness=strictness,
            fail_on=fail_on,
            retries=retries,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={self.base_url!r}, revision={self.contract.revision.id!r})"


class Client(_Base[Http]):
    """The synchronous client.

    `api_key` is sent with contract calls only, never to the host of a video; `Client.from_env()` reads it from
    AIMLAPI_KEY. `http` is a client of httpx or httpx2 to send through; it stays open, and its settings are not
    changed (None: one of our own, closed with this one). `base_url` is the address of the service (None: that
    of the contract). `clock` is what waits use (None: the system's). `contract`, or else `revision`, says what the
    service understands (None: the default revision). `model` is that of payloads that name none (None: that of the
    contract). `strictness` is how a payload is validated before it is
    sent: see `validate`. `fail_on` is the least severity that keeps it from being sent: "warning" also refuses
    what is undeclared, deprecated or only tolerated. `retries` is how often one request is repeated at most,
    after 1, 2, 4 … seconds or when the service says; a create is repeated only if it certainly did nothing.

    Raise ValueError for an unusable key or URL, and TypeError for a missing key and an HTTP client of the wrong
    kind.
    """

    _adapter_type = SyncHttpAdapter
    _http_type = httpx.Client

    def create(
        self, payload: Mapping[str, Any] | None = None, *, image: Image | None = None, **fields: Unpack[Fields]
    ) -> Generation:
        """Create a generation, which is billed, and return it as the service accepted it.

        The payload is `payload` with `fields` over it; the model is the contract's own unless it is given, and
        decides what the payload may have, and where it is sent. `fields` are those that any model of any revision
        declares; others can only be given in `payload`. `image`
        is the first frame: a link, a data URI, the path of a local file, its bytes, or the file opened for
        reading bytes. Any other image may be a path object, bytes or an open file, too; all of them are sent
        as data URIs. What the contract tolerates or advises against is refused if `fail_on` says so, and else
        logged at INFO, under "kling_contract".

        Raise TypeError for a field that no model of any revision declares and for a first frame that is given twice,
        InvalidPayload or ImageError before anything is sent, ApiError when the service refused,
        TransportError when it could not be reached at all, and CreationUncertain when it is unknown whether it
        accepted the create.
        """
        return run(self._calls.create(payload, image, fields))

    def get(self, generation: str | Generation) -> Generation:
        """Return the generation with an id as it stands.

        Raise ApiError or TransportError, each after the retries, UnexpectedResponse when the response cannot be read,
        and KlingError for an id that contains the API key: it would show in logs of URLs.
        """
        return run(self._calls.get(generation))

    def wait(
        self,
        generation: str | Generation,
        *,
        timeout: float | None = None,
        interval: float | None = None,
        on_progress: Progress | None = None,
    ) -> Generation:
        """Poll a generation at once and then every `interval` seconds; return it when it has succeeded.

        `timeout` is the limit in seconds, including retries and pauses; the last poll is at its very end. None
        for either means the value in observed.json. `on_progress` is called after each poll, the last one too,
        with the generation and the seconds since the wait began.

        Raise GenerationFailed, UnknownStatus, WaitTimeout, or what `get` raises. The `generation` of each is the
        generation as last seen, or None.
        """
        return run(self._calls.wait(generation, Pace(timeout, interval), on_progress))

    def generate(
        self,
        payload: Mapping[str, Any] | None = None,
        *,
        image: Image | None = None,
        timeout: float | None = None,
        interval: float | None = None,
        on_progress: Progress | None = None,
        **fields: Unpack[Fields],
    ) -> Generation:
        """Create a generation as `create` does, then `wait` for it.

        `on_progress` is first called with the created one, at 0 seconds.
        """
        pace = Pace(timeout, interval)
        return run(self._calls.generate(payload, image, fields, pace, on_progress))

    def download(self, generation: Generation | str, path: str | os.PathLike[str]) -> Path:
        """Save the video of a generation, or that at a URL, as the file `path`, and return the path.

        A broken transfer is resumed, and redirects are followed. The file appears, or replaces an older one,
        only when it is whole. Raise DownloadError on failure, which leaves no file. The key is not sent.
        """
        return run(self._calls.download(generation, path))

    def close(self) -> None:
        """Close the HTTP client, unless it was given."""
        if self._own_http is not None:
            self._own_http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class AsyncClient(_Base[AsyncHttp]):
    """The asynchronous client, made as `Client` is. Files are read and written without yielding."""

    _adapter_type = AsyncHttpAdapter
    _http_type = httpx.AsyncClient

    async def create(
        self, payload: Mapping[str, Any] | None = None, *, image: Image | None = None, **fields: Unpack[Fields]
    ) -> Generation:
        """Create a generation, as `Client.create` does."""
        return await self._calls.create(payload, image, fields)

    async def get(self, generation: str | Generation) -> Generation:
        """Return a generation as it stands, as `Client.get` does."""
        return await self._calls.get(generation)

    async def wait(
        self,
        generation: str | Generation,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - on our clock, not the loop's
        interval: float | None = None,
        on_progress: Progress | None = None,
    ) -> Generation:
        """Wait until a generation has succeeded, as `Client.wait` does. `on_progress` is a plain function."""
        return await self._calls.wait(generation, Pace(timeout, interval), on_progress)

    async def generate(
        self,
        payload: Mapping[str, Any] | None = None,
        *,
        image: Image | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - on our clock, not the loop's
        interval: float | None = None,
        on_progress: Progress | None = None,
        **fields: Unpack[Fields],
    ) -> Generation:
        """Create a generation and wait for it, as `Client.generate` does."""
        pace = Pace(timeout, interval)
        return await self._calls.generate(payload, image, fields, pace, on_progress)

    async def download(self, generation: Generation | str, path: str | os.PathLike[str]) -> Path:
        """Save a video as a file, as `Client.download` does."""
        return await self._calls.download(generation, path)

    async def aclose(self) -> None:
        """Close the HTTP client, unless it was given."""
        if self._own_http is not None:
            await self._own_http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"base_url must be an http or https URL such as http://127.0.0.1:8000, not {url!r}")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("base_url must be without user name, password, query and fragment")
    return url.rstrip("/")
