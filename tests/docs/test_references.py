"""Claims about the tables of the pages: they name everything that there is of a kind, and nothing else."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import fields
from typing import Any

import pytest

from fake_server import FakeOptions, FakeServer, Fault, Request
from fake_server.adapters.control import ControlApi
from fake_server.adapters.control_pages import Pages
from fake_server.assertions import Assertions
from fake_server.messages import Headers
from kling_contract import errors, mutations, payloads, pytest_plugin, revisions, strategies
from kling_contract.checks.plan import claims_for
from kling_contract.cli.check import command as check_command
from kling_contract.cli.serve import command as serve_command
from tests.docs.pages import page
from tests.support.broken_fakes import BROKEN, FOR_FREE
from tests.support.calls import creating

FAKE = page("fake_server/README.md")
CHECKS = page("kling_contract/checks/README.md")
CLIENT = page("kling_contract/client/README.md")
SCHEMAS = page("schemas/README.md")


def named(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def first_names(rows: list[list[str]]) -> list[str]:
    """Return the names in the first cell of each row."""
    return [name for row in rows for name in named(row[0])]


def test_fixtures_and_ini_options() -> None:
    """Every fixture, every ini option and every option of pytest's command line is in the tables."""
    fixtures = {
        name for name, value in vars(pytest_plugin).items() if type(value).__name__ == "FixtureFunctionDefinition"
    }
    settings = pytest_plugin.settings.SETTINGS
    expected = {
        *(name for name in fixtures if not name.startswith("_")),
        *(f"kling_{name}" for name in settings),
        *(f"--kling-{name}".replace("_", "-") for name in settings),
    }
    assert set(first_names(FAKE.rows("In pytest"))) == expected


def test_options_of_the_fake() -> None:
    """Every option of FakeServer is in the table."""
    assert sorted(first_names(FAKE.rows("Options"))) == sorted(FakeOptions.__annotations__)


def test_fields_of_a_fault() -> None:
    """Every field of a fault is in the table."""
    assert sorted(first_names(FAKE.rows("Scenarios and faults"))) == sorted(field.name for field in fields(Fault))


def test_assertions() -> None:
    """Every assertion of a fake is in the table."""
    documented = {name.partition("(")[0] for name in first_names(FAKE.rows("Assertions"))}
    assert documented == {name for name in vars(Assertions) if name.startswith("assert_")}


@pytest.mark.parametrize(("section", "command"), [("On a port", serve_command), ("Three modes", check_command)])
def test_options_of_commands(section: str, command: Any) -> None:
    """Every option that a table has is one of the command."""
    rows = (FAKE if command is serve_command else CHECKS).rows(section)
    known = {option for parameter in command.params for option in parameter.opts}
    assert {name.split()[0] for name in first_names(rows) if name.startswith("-")} <= known


def test_every_call_of_the_control_api() -> None:
    """The table has each page with each method; each call is answered, and with the members that the table names."""
    fake = FakeServer()
    front = ControlApi(fake)
    generation_id = fake.handle(creating(fake.contract)).json()["id"]
    seen = set()
    for call, body, returns in (row for row in FAKE.rows("The control API") if row[0].startswith("`")):
        method, url = named(call)[0].split()
        seen.add((url.split("/")[2].partition("?")[0], method))
        for sent in [text for text in named(body) if text != "ID"] or [""]:
            request = Request(
                method,
                "http://127.0.0.1:8080" + url.replace("ID", generation_id),
                Headers({"content-type": "application/json"}),
                sent.encode(),
            )
            reply = front.handle(request)
            assert reply.status == 200, (call, reply.body)
            assert set(named(returns)) <= set(reply.json()), call
    assert seen == {(name, method) for name, methods in Pages(fake).by_name.items() for method in methods}


def test_refusals_of_the_control_api() -> None:
    """Every status with which a call can be refused is in the table."""
    documented = {status for row in FAKE.rows("The control API") for status in re.findall(r"^[\d, ]+$", row[0])}
    statuses = {int(status) for cell in documented for status in cell.split(",")}
    source = inspect.getsource(inspect.getmodule(Pages) or Pages) + inspect.getsource(
        inspect.getmodule(ControlApi) or Pages
    )
    assert statuses == {int(status) for status in re.findall(r"Refused\(\s*(\d{3})", source)}


def test_the_exceptions() -> None:
    """The tree has every exception, each below the one that it is a kind of."""
    (tree,) = CLIENT.blocks("text")
    path: list[str] = []
    seen = []
    for prefix, name in re.findall(r"^([│├└─ ]*)([A-Z]\w+)", tree, flags=re.MULTILINE):
        depth = len(prefix) // 4
        path[depth:] = [name]
        kind = getattr(errors, name)
        bases = [base.__name__ for base in kind.__mro__[1:] if base.__name__ in errors.__all__]
        assert bases == path[depth - 1 :: -1] if depth else bases == []
        seen.append(name)
    assert sorted(seen) == sorted(errors.__all__)


def test_revisions() -> None:
    """Every revision is in the table, in its order."""
    assert [name for name in first_names(SCHEMAS.rows("The contract")) if name[0].isdigit()] == list(revisions())


def test_what_is_drawn() -> None:
    """Every strategy is in the table, and what it calls is there."""
    rows = SCHEMAS.rows("Payloads drawn from the documents")
    calls = [name.partition("(")[0] for row in rows for name in named(row[1]) if "." in name]
    assert {name.removeprefix("strategies.") for name in calls if name.startswith("strategies.")} == set(
        strategies.__all__
    )
    modules = {"strategies": strategies, "mutations": mutations, "payloads": payloads}
    for call in calls:
        module, _, function = call.partition(".")
        assert callable(getattr(modules[module], function))


def test_what_a_free_check_finds_is_counted() -> None:
    """The page says how many kinds of broken servers a free check finds, how many as warnings, and how many there are."""
    warned = sum(severity == "warning" for severity in FOR_FREE.values())
    section = " ".join(CHECKS.section("What free mode can see").split())
    assert f"have {len(BROKEN)} kinds of broken servers. Free mode finds {len(FOR_FREE)} of them, " in section
    assert {3: "three"}[warned] + " as warnings" in section


def test_the_claims() -> None:
    """Every claim is in the table, and the table says which ones are not checked in free mode."""
    rows = CHECKS.rows("What free mode can see")
    claims = claims_for(creations=None)
    assert sorted(first_names(rows)) == sorted(claim.name for claim in claims)
    unseen = {name for row in rows if row[2] == "no" for name in named(row[0])}
    assert unseen == {claim.name for claim in claims if not claim.free}


def test_json_examples_are_json() -> None:
    """What is shown as JSON is JSON."""
    for text in [block for shown in (FAKE, CHECKS, CLIENT, SCHEMAS) for block in shown.blocks("json")]:
        json.loads(text)
