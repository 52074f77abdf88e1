"""Claims about the test kit itself: it notices each small way in which a server is wrong, and nothing where nothing is."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from fake_server import FakeServer
from kling_contract.checks.claims import CLAIMS, Claim, applies
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
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_the_fake_keeps_every_claim(claim: Claim, revision: str) -> None:
    """The true fake keeps each claim, in each revision."""
    target = in_process(FakeServer(api_key=KEY, revision=revision))
    assert applies(claim, target)
    claim(target)


@pytest.mark.parametrize("broken", [each for each in BROKEN if each.noticed_by], ids=lambda each: each.name)
def test_a_claim_notices(broken: Broken) -> None:
    """Each broken fake breaks the claim that is about what is wrong with it."""
    assert broken.noticed_by is not None
    with pytest.raises(ContractBroken) as told:
        broken.noticed_by(broken.make())
    assert KEY not in str(told.value)


@pytest.mark.parametrize("broken", [each for each in BROKEN if not each.noticed_by], ids=lambda each: each.name)
def test_only_the_machine_notices(broken: Broken) -> None:
    """What no claim thought of, the state machine finds."""
    for claim in CLAIMS:
        claim(broken.make())
    with pytest.raises(ContractBroken):
        run_state_machine_as_test(machine_for(broken.make), settings=ENOUGH)


@pytest.mark.parametrize(
    "claim", [each for each in CLAIMS if "cost" in each.__name__], ids=lambda claim: claim.__name__
)
def test_a_claim_counts_its_own_generations(claim: Claim) -> None:
    """What was created before a claim, and is booked meanwhile, is not held against it."""
    target = in_process(FakeServer(api_key=KEY))
    target.create()
    claim(target)


def test_every_claim_is_needed() -> None:
    """Each claim is the one that must notice some broken fake; there are more than enough of them."""
    assert {broken.noticed_by for broken in BROKEN} == {*CLAIMS, None}
    assert len(BROKEN) == len({broken.name for broken in BROKEN}) >= 25
