"""Claims that are explored rather than tried one by one: by schemathesis, and by a Hypothesis state machine."""

from __future__ import annotations

from dataclasses import replace

from kling_contract.checks.claims import claim
from kling_contract.checks.deadline import BoundedClock
from kling_contract.checks.places import ANY_OPERATION, STATUS
from kling_contract.checks.target import Target
from kling_contract.errors import ContractBroken

__all__: list[str] = []

_REAL_TIME_SHARE = 10  # on a server that follows the real time, one run of the state machine for so many
_STEPS = 30


@claim(place=ANY_OPERATION, needs="schemathesis")
def schemathesis(target: Target) -> None:
    """schemathesis, which knows only the OpenAPI document, finds nothing with any of its checks."""
    from kling_contract.checks.fuzzing import fuzz

    found = fuzz(target, seed=target.seed)
    crashes = [
        ContractBroken(error, expected="a response that schemathesis can read", actual=error) for error in found.errors
    ]
    if found.broken or crashes:
        raise ExceptionGroup("schemathesis found something", [*found.broken, *crashes])


@claim(place=STATUS, needs="hypothesis")
def any_order(target: Target) -> None:
    """Whatever is done, in any order, gets the right response."""
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis import seed as seeded
    from hypothesis.errors import Flaky
    from hypothesis.reporting import with_reporter
    from hypothesis.stateful import run_state_machine_as_test

    from kling_contract.checks.stateful import machine_for

    recorded: list[ContractBroken] = []
    target, examples = replace(target, recorded=recorded), target.examples
    if isinstance(target.clock, BoundedClock):
        target = replace(target, clock=target.clock.without_waiting())
        examples = max(1, examples // _REAL_TIME_SHARE)
    chosen = settings(
        max_examples=examples,
        stateful_step_count=_STEPS,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    pause = target.contract.observed.polling.timeout

    def connect() -> Target:
        target.clock.sleep(pause)  # the server is the same for every run, but the time is a new one
        return target

    try:
        with with_reporter(lambda text: None):  # it would print what the finding says
            run_state_machine_as_test(seeded(target.seed)(machine_for(connect)), settings=chosen)
    except Flaky as flaky:
        # A server remembers earlier runs, so that not every run can be repeated. What was found then is a finding all the same.
        found = (
            flaky.subgroup(lambda error: not isinstance(error, Flaky)) if isinstance(flaky, ExceptionGroup) else None
        )
        if found is not None:
            raise found from None
        if recorded:
            raise recorded[0] from None
    finally:
        if target.play is not None:
            target.play({})
