"""What is asked of a server, for free, for a price, or without limit; and on which place of which document does it rest?"""

from __future__ import annotations

import importlib.util
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx

from kling_contract.checks import creation_claims
from kling_contract.checks import lifecycle_claims as made
from kling_contract.checks import refusal_claims as refused
from kling_contract.checks.claims import FREE, PAID, Claim, applies
from kling_contract.checks.creation_claims import claim_calls_at_once_do_not_mix
from kling_contract.checks.deadline import BoundedClock, DeadlineExceeded
from kling_contract.checks.refusal_claims import faulty_payloads_are_refused
from kling_contract.checks.restricted import RecordingTarget, SingleCreateTarget, UncreatableTarget
from kling_contract.checks.target import Target
from kling_contract.client.images import data_uri
from kling_contract.contract import Contract
from kling_contract.contract.documents import FIXTURES
from kling_contract.errors import ContractBroken
from kling_contract.schema_values.rules import minimal_value, resolve

__all__ = ["EXAMPLES", "Question", "photo_payload", "questions"]

EXAMPLES = 100
"""How many runs the state machine makes, where nobody waits for the time to pass."""

_FEWER = 10  # as many as that where it passes by itself
_STEPS = 30
_PHOTOGRAPH = FIXTURES / "images" / "cat.jpg"
_OPENAPI, _OBSERVED = "openapi.json", "observed.json"
_CREATE_REQUEST, _GENERATION, _ERROR = "create-request.schema.json", "generation.schema.json", "error.schema.json"
_STATUS = (_GENERATION, "/properties/status")
_ANY_OPERATION, _CREATE, _GET = (_OPENAPI, ""), (_OPENAPI, "create"), (_OPENAPI, "get")
_REASONS = "/refusals/reasons/"

_PLACES: Mapping[Claim, tuple[str, str]] = {
    refused.claim_key_is_needed: (_OBSERVED, f"{_REASONS}unauthorized"),
    refused.claim_other_keys_are_refused: (_OBSERVED, f"{_REASONS}unauthorized"),
    refused.claim_broken_payloads_are_refused: (_CREATE_REQUEST, ""),
    refused.claim_bad_json_is_refused: (_OBSERVED, f"{_REASONS}invalid_body"),
    refused.claim_media_type_is_needed: (_OBSERVED, f"{_REASONS}wrong_media_type"),
    refused.claim_unknown_ids_are_refused: (_OBSERVED, f"{_REASONS}unknown_generation"),
    refused.claim_polls_need_an_id: (_OBSERVED, f"{_REASONS}invalid_query"),
    refused.claim_other_paths_are_unknown: (_OBSERVED, f"{_REASONS}unknown_path"),
    refused.claim_other_methods_are_refused: (_OBSERVED, f"{_REASONS}wrong_method"),
    refused.claim_refusals_are_well_formed: (_ERROR, ""),
    refused.claim_refusals_cost_nothing: (_OBSERVED, "/price"),
    creation_claims.claim_generations_are_created: _CREATE,
    creation_claims.claim_valid_payloads_are_accepted: (_CREATE_REQUEST, "/properties"),
    creation_claims.claim_undeclared_members_are_taken: (_CREATE_REQUEST, ""),
    creation_claims.claim_media_type_may_have_parameters: _CREATE,
    creation_claims.claim_every_path_leads_there: _GET,
    creation_claims.claim_ids_are_their_own: _GET,
    creation_claims.claim_ids_are_taken_whole: (_OBSERVED, f"{_REASONS}unknown_generation"),
    made.claim_statuses_go_forward: _STATUS,
    made.claim_answers_fit: (_OBSERVED, "/answers/get"),
    made.claim_reading_changes_nothing: _STATUS,
    made.claim_refusals_change_nothing: _STATUS,
    made.claim_generations_are_independent: _STATUS,
    made.claim_videos_can_be_had: (_OBSERVED, "/answers"),
    made.claim_success_costs_its_price: (_OBSERVED, "/price"),
    made.claim_failures_are_told: (_OBSERVED, "/failure"),
    claim_calls_at_once_do_not_mix: _GET,
}
"""A document and a pointer into it, or the name that an operation has on `Contract`."""

_FRESH = (creation_claims.claim_ids_are_their_own,)
"""What shows best in the first generations that a server makes."""

_FOLLOWED = (
    creation_claims.claim_generations_are_created,
    made.claim_answers_fit,
    made.claim_statuses_go_forward,
    made.claim_reading_changes_nothing,
    made.claim_videos_can_be_had,
)
"""What can be seen in one generation. The second follows it to its end; the others look at it there again."""


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to ask. `place` is as in `place_of`; `left_out` says why not to ask.

    `ask` raises ContractBroken, or a group of them, when the answer is wrong.
    """

    name: str
    sentence: str
    place: tuple[str, str]
    ask: Callable[[Target, int], None]
    left_out: Callable[[Target], str | None] = lambda target: None


def questions(*, creations: int | None = 0) -> list[Question]:
    """Return what to ask when so many generations may be created (None: any number). `ask` takes the target and a seed."""
    if creations is None:
        sentence = "Whatever is done, in whichever order, is answered right."
        machine = Question("any-order", sentence, _STATUS, _machine, _without("hypothesis"))
        sentence = "schemathesis, which knows the OpenAPI document alone, finds nothing by any of its checks."
        attacked = Question("schemathesis", sentence, _ANY_OPERATION, _attack, _without("schemathesis"))
        claims = (*FREE, *_FRESH, *(each for each in PAID if each not in _FRESH), claim_calls_at_once_do_not_mix)
        return [*(_of(claim, _as_it_is(claim)) for claim in claims), attacked, machine]
    asked = [_of(claim, _for_free(claim)) for claim in FREE]
    for number in range(1, creations + 1):
        sentence = "A generation that is paid for is made, goes its way, ends, and its video can be had."
        asked.append(Question(f"paid-generation-{number}", sentence, _STATUS, _follow))
    return asked


def photo_payload(contract: Contract) -> dict[str, Any]:
    """Return a payload with a real photograph, for the shortest video that there is."""
    least = minimal_value(resolve(contract.request_schema))
    durations = contract.request_schema["properties"].get("duration", {}).get("enum")
    picture = {"image_url": data_uri(_PHOTOGRAPH), "prompt": "The cat blinks slowly and turns its head to the window."}
    return {**least, **picture, **({"duration": min(durations)} if durations else {})}


def _of(claim: Claim, ask: Callable[[Target, int], None]) -> Question:
    name = claim.__name__.removeprefix("claim_").replace("_", "-")
    return Question(name, claim.__doc__ or "", _PLACES[claim], ask, _reason_without(claim))


def _reason_without(claim: Claim) -> Callable[[Target], str | None]:
    return lambda target: (
        None if applies(claim, target) else "it is not known what the server books, or cannot be steered"
    )


def _as_it_is(claim: Claim) -> Callable[[Target, int], None]:
    if claim is refused.claim_broken_payloads_are_refused:
        return lambda target, seed: faulty_payloads_are_refused(target, chance=None)
    return lambda target, seed: claim(target)


def _for_free(claim: Claim) -> Callable[[Target, int], None]:
    if claim is refused.claim_broken_payloads_are_refused:
        return lambda target, seed: faulty_payloads_are_refused(
            UncreatableTarget.of(target), chance=random.Random(seed)
        )
    return lambda target, seed: claim(UncreatableTarget.of(target))


def _follow(target: Target, seed: int) -> None:
    once = SingleCreateTarget.of_payload(target, photo_payload(target.contract))
    found: dict[str, ContractBroken] = {}
    for claim in _FOLLOWED:
        try:
            claim(once)
        except ContractBroken as broken:
            found.setdefault(f"{broken.came} {broken.wrong}", broken)
            if not once.made:
                break
        except (DeadlineExceeded, httpx.RequestError) as silent:
            if not once.made:
                raise
            why = "the time limit is over" if isinstance(silent, DeadlineExceeded) else f"no answer came ({silent!r})"
            left = once.broken(once.create(), f"{why}: this generation goes on unwatched, and may be billed")
            raise ExceptionGroup("a generation that was paid for", [*found.values(), left]) from None
    if found:
        raise ExceptionGroup("a generation that was paid for", list(found.values()))


def _without(package: str) -> Callable[[Target], str | None]:
    missing = f'{package} is not installed: pip install "kling-contract[testing]"'
    return lambda target: missing if importlib.util.find_spec(package) is None else None


def _attack(target: Target, seed: int) -> None:
    from kling_contract.checks.fuzzing import attack

    found = attack(target, seed=seed)
    broken = [
        *found.broken,
        *(ContractBroken(each, wrong="schemathesis must be able to go on") for each in found.errors),
    ]
    if broken:
        raise ExceptionGroup("schemathesis found something", broken)


def _machine(target: Target, seed: int) -> None:
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis import seed as seeded
    from hypothesis.errors import Flaky, FlakyFailure
    from hypothesis.reporting import with_reporter
    from hypothesis.stateful import run_state_machine_as_test

    from kling_contract.checks.stateful import machine_for

    examples = EXAMPLES
    if isinstance(target.clock, BoundedClock):
        target, examples = replace(target, clock=target.clock.without_waiting()), max(1, EXAMPLES // _FEWER)
    chosen = settings(
        max_examples=examples,
        stateful_step_count=_STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    witnessed = RecordingTarget.of(target)
    pace = target.contract.observed.polling.timeout

    def connect() -> Target:
        target.clock.sleep(pace)  # the server is the same for every example, but the time is a new one
        return witnessed

    try:
        with with_reporter(lambda text: None):  # it would print what the finding tells
            run_state_machine_as_test(seeded(seed)(machine_for(connect)), settings=chosen)
    except FlakyFailure:
        raise  # a group, of what was found at first
    except Flaky:
        # A server remembers the examples before, so that not all can be repeated. What was seen was seen.
        if witnessed.seen:
            raise witnessed.seen[0] from None
    finally:
        if target.play is not None:
            target.play({})
