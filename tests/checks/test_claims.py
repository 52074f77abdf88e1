"""Claims about the register of claims and the plan of a check: nothing is entered twice, and the order is known."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys

import pytest

from fake_server import FakeServer
from kling_contract.checks import creation_claims, exploration_claims, lifecycle_claims, refusal_claims
from kling_contract.checks.claims import Claim, claim, claims_of
from kling_contract.checks.plan import CLAIMS, EXPLORATIONS, claims_for
from kling_contract.checks.target import Target
from tests.support.targets import KEY, in_process, over_asgi

MODULES = (refusal_claims, creation_claims, lifecycle_claims, exploration_claims)


def test_the_order_is_that_of_definition() -> None:
    """Claims are checked in the order in which they are written: refusals, creates, lifecycles, then what others explore."""
    written = [
        node.name
        for module in MODULES
        for node in ast.parse(inspect.getsource(module)).body
        if isinstance(node, ast.FunctionDef) and node.decorator_list
    ]
    assert [each.verify.__name__ for each in (*CLAIMS, *EXPLORATIONS)] == written
    assert claims_for(creations=None) == [*CLAIMS, *EXPLORATIONS]


@pytest.mark.parametrize("first", [module.__name__ for module in MODULES])
def test_the_order_does_not_depend_on_imports(first: str) -> None:
    """Whichever module is imported first, the order is the same."""
    code = f"import {first}; from kling_contract.checks.plan import CLAIMS; print(*(each.name for each in CLAIMS))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [each.name for each in CLAIMS]


def test_names_are_their_own() -> None:
    """No two claims have the same name, and each says in one sentence what it claims."""
    claims = [*claims_for(creations=None), *claims_for(creations=2)[-2:]]
    assert len({each.name for each in claims}) == len(claims)
    for each in claims:
        assert each.description.endswith(".")
        assert "\n" not in each.description


def test_what_is_free_comes_first() -> None:
    """Without permission to create, only free claims are checked, in the same order; each paid generation is one more."""
    free = [each for each in CLAIMS if each.free]
    assert claims_for() == free == list(CLAIMS[: len(free)])
    assert [each.name for each in claims_for(creations=2)[len(free) :]] == ["paid-generation-1", "paid-generation-2"]


def test_a_claim_is_entered_by_its_decorator_alone() -> None:
    """A function with the decorator is a claim of its module, by its name and docstring, and of no module that imports it."""

    @claim(place="observed.json#", needs="play")
    def ids_are_short(target: Target) -> None:
        """Ids are short."""
        raise AssertionError

    module = type(sys)(__name__)
    vars(module).update(ids_are_short=ids_are_short, borrowed=CLAIMS[0])
    assert claims_of(module) == (ids_are_short,)
    assert isinstance(ids_are_short, Claim)
    assert (ids_are_short.name, ids_are_short.description) == ("ids-are-short", "Ids are short.")
    with pytest.raises(AssertionError):
        ids_are_short(in_process(FakeServer(api_key=KEY)))


def test_a_claim_says_why_it_is_skipped() -> None:
    """A claim that needs what a target has not says so, and any other has no reason."""
    whole, without = in_process(FakeServer(api_key=KEY)), over_asgi(FakeServer(api_key=KEY))
    for each in CLAIMS:
        assert each.why_skipped(whole) is None
        assert bool(each.why_skipped(without)) == (each.needs == "play")


def test_a_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that needs a package which is not installed says how to install it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for each in EXPLORATIONS:
        assert "pip install" in (each.why_skipped(in_process(FakeServer())) or "")
