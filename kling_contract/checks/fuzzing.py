"""schemathesis against a server, knowing the OpenAPI document alone: all its checks, in all its phases."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from kling_contract.checks.guard import excerpt, unanswered, without_key
from kling_contract.checks.target import Target
from kling_contract.errors import ContractBroken
from kling_contract.redaction import redacted
from kling_contract.validation import validate
from kling_contract.violation import has_errors

__all__ = ["PHASES", "FuzzResult", "fuzz"]

PHASES = ("examples", "coverage", "fuzzing", "stateful")

_EXAMPLES = 15
_DROPPED = frozenset({"host", "content-length", "transfer-encoding", "connection", "accept-encoding"})
_INVALID_ACCEPTED = "negative_data_rejection"
_ABOUT_REFUSALS = frozenset({"status_code_conformance", "unsupported_method"})


@dataclass(frozen=True, slots=True)
class FuzzResult:
    """What schemathesis found: how often it made each check, how each phase ended, and what was broken.

    Each kind of violation is there once, with the smallest request that shows it. `errors` are those of schemathesis itself.
    """

    checks: Counter[str] = field(default_factory=Counter)
    phases: dict[str, str] = field(default_factory=dict)
    broken: list[ContractBroken] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def fuzz(target: Target, *, seed: int, phases: Collection[str] = PHASES, examples: int = _EXAMPLES) -> FuzzResult:
    """Run schemathesis on a server through the target's own client, with so many examples for each operation.

    What the service is known to accept, although the documents forbid it, is not a violation. Raise whatever that client
    raises besides httpx.RequestError.
    """
    contract = target.contract
    relay = _Relay(target)
    schema = schemathesis.openapi.from_dict(
        contract.bundled_for_model(), config=_config(target, seed, phases, examples)
    )
    schema.app = relay
    found = FuzzResult()
    broken: dict[tuple[str, str], ContractBroken] = {}
    with _crashes(found.errors):
        stream = from_schema(schema).execute()
        for event in stream:
            match event:
                case events.PhaseFinished():
                    found.phases[event.phase.name.value] = event.status.value
                case events.NonFatalError() | events.FatalError() if not relay.failed:
                    found.errors.append(str(event))
                case events.ScenarioFinished():
                    for case, checks in event.recorder.checks.items():
                        for check in checks:
                            found.checks[check.name] += 1
                            if check.failure_info is not None:
                                exchange = event.recorder.interactions[case]
                                if check.name != _INVALID_ACCEPTED or not _is_tolerated(exchange.request, target):
                                    kind = (exchange.request.method, check.failure_info.failure.title)
                                    shown = _broken(exchange, check, target.key)
                                    broken[kind] = min(broken.get(kind, shown), shown, key=_size)
            if relay.ended is not None:
                stream.stop()
                break
    if relay.ended is not None:
        raise relay.ended
    found.broken.extend([*broken.values(), *relay.silent[:1]])
    return found


@contextmanager
def _crashes(errors: list[str]) -> Iterator[None]:
    """Collect the crashes of schemathesis and its threads over a response; they would print a traceback and lose the rest."""

    def note(kind: type[BaseException], crash: BaseException | None) -> None:
        errors.append(f"schemathesis cannot read a response: {kind.__name__}: {crash}")

    def in_thread(failed: threading.ExceptHookArgs) -> None:
        if failed.thread is not None and failed.thread.name.startswith("schemathesis"):
            note(failed.exc_type, failed.exc_value)
        else:
            others(failed)

    others, threading.excepthook = threading.excepthook, in_thread
    try:
        yield
    except Exception as crash:  # noqa: BLE001  # whatever it is: another program crashed over a response
        note(type(crash), crash)
    finally:
        threading.excepthook = others


class _Relay:
    """An ASGI application that sends each request on through the target's client.

    `silent` are the requests without a response; `failed` says whether there were any, or any that this client cannot send.
    `ended` is what the client raised to end the run.
    """

    def __init__(self, target: Target) -> None:
        self.silent: list[ContractBroken] = []
        self.failed = False
        self.ended: Exception | None = None
        self._target = target

    async def __call__(
        self, scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[dict[str, Any]], Any]
    ) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        url = self._target.origin + (scope["raw_path"] + query).decode("latin-1")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        sent = {name: value for name, value in headers.items() if name not in _DROPPED}
        try:
            response = self._target.http.request(scope["method"], url, headers=sent, content=body or None)
        except httpx.RequestError as silent:
            self.failed = True
            if not isinstance(silent, httpx.LocalProtocolError):
                self.silent.append(unanswered(silent))
            raise
        except Exception as ended:
            self.ended = ended
            raise
        key = self._target.key  # schemathesis cuts what it reports, so that the key must be masked before
        kept = [(name, redacted(value, key)) for name, value in response.headers.items()]
        fields = [
            (n.lower().encode(), v.encode("latin-1", "replace")) for n, v in kept if n.lower() != "content-length"
        ]
        await send({"type": "http.response.start", "status": response.status_code, "headers": fields})
        await send({"type": "http.response.body", "body": without_key(response.content, key)})


def _config(target: Target, seed: int, phases: Collection[str], examples: int) -> SchemathesisConfig:
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "base-url": target.origin,  # findings show requests to this URL
            # in the schema's own spelling, or schemathesis cannot leave it out to see what happens without
            "headers": {name.title(): value for name, value in target.authorization.items()},
            "generation": {
                "mode": "all",
                "max-examples": examples,
                "deterministic": True,
                "database": "none",
                "no-shrink": True,  # it would take minutes, and the coverage phase has small cases already
            },
            "phases": {
                **{phase: {"enabled": phase in phases} for phase in PHASES},
                "examples": {"enabled": "examples" in phases, "fill-missing": True},
                "stateful": {"enabled": "stateful" in phases, "max-steps": 3, "generation": {"max-examples": 5}},
            },
            "cache": {"enabled": False},
            "continue-on-failure": True,
            "warnings": False,
        }
    )


def _size(broken: ContractBroken) -> int:
    return len(broken.request.content)


def _is_tolerated(request: Any, target: Target) -> bool:
    """Whether the service is known to accept the body of this request, although its schema does not."""
    strict, lax = (
        validate(request.body or b"", contract=target.contract, strictness=strictness)
        for strictness in ("strict", "lax")
    )
    return has_errors(strict) and not has_errors(lax)


def _broken(exchange: Any, check: Any, key: str) -> ContractBroken:
    sent, response, failure = exchange.request, exchange.response, check.failure_info.failure
    headers = {name: values[0] for name, values in sent.headers.items()}
    request = httpx.Request(sent.method, sent.uri, headers=headers, content=sent.body or b"")
    problem = " ".join(f"{failure.title}: {failure.message}".split())
    body = bytes(response.content or b"").decode("utf-8", "replace") if response is not None else ""
    actual = "no response" if response is None else excerpt(f"{response.status_code} {body}".rstrip(), key)
    return ContractBroken(
        f"{actual}\n{problem}",
        request=request,
        expected="what the OpenAPI document says",
        actual=actual,
        problem=problem,
        assumed=check.name in _ABOUT_REFUSALS and response is not None and 400 <= response.status_code < 500,
    )
