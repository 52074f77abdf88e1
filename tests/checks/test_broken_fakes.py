"""Claims about the claims themselves: each notices the server that breaks it, and none blames a server that keeps it."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from fake_server import FakeServer
from kling_contract.checks.claims import Claim
from kling_contract.checks.plan import CLAIMS
from kling_contract.checks.stateful import machine_for
from kling_contract.contract import revisions
from kling_contract.errors import ContractBroken
from tests.support.broken_fakes import BROKEN, Broken
from tests.support.targets import KEY, in_process

ENOUGH = settings(
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    report_multiple_bugs=False,
)


@pytest.mark.parametrize("revision", revisions())
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_the_fake_keeps_every_claim(claim: Claim, revision: str) -> None:
    """The true fake keeps each claim, in each revision."""
    target = in_process(FakeServer(api_key=KEY, revision=revision))
    assert claim.why_skipped(target) is None
    claim(target)


@pytest.mark.parametrize("broken", [each for each in BROKEN if each.noticed_by], ids=lambda broken: broken.name)
def test_a_claim_notices(broken: Broken) -> None:
    """Each broken fake breaks the claim that is about what is wrong with it, and the exception does not show the key."""
    assert broken.noticed_by is not None
    with pytest.raises((ContractBroken, ExceptionGroup)) as raised:
        broken.noticed_by(broken.target())
    for violation in raised.value.exceptions if isinstance(raised.value, ExceptionGroup) else [raised.value]:
        assert isinstance(violation, ContractBroken)
        assert KEY not in str(violation)


@pytest.mark.parametrize("broken", [each for each in BROKEN if not each.noticed_by], ids=lambda broken: broken.name)
def test_only_the_machine_notices(broken: Broken) -> None:
    """What no claim thought of, the state machine finds."""
    for claim in CLAIMS:
        claim(broken.target())
    with pytest.raises(ContractBroken):
        run_state_machine_as_test(machine_for(broken.target), settings=ENOUGH)


@pytest.mark.parametrize("claim", [each for each in CLAIMS if "cost" in each.name], ids=lambda claim: claim.name)
def test_a_claim_counts_its_own_generations(claim: Claim) -> None:
    """What was created before a claim, and is billed meanwhile, does not count for it."""
    target = in_process(FakeServer(api_key=KEY))
    target.create()
    claim(target)


def test_every_claim_is_needed() -> None:
    """Each claim is the one that must notice some broken fake; there are more than enough of them."""
    assert {broken.noticed_by for broken in BROKEN} == {*CLAIMS, None}
    assert len(BROKEN) == len({broken.name for broken in BROKEN}) >= 25
