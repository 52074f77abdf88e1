"""Claims about the shape of the house: who may import whom, and what an import costs."""

from __future__ import annotations

import ast
import graphlib
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

HEAVY = (
    "hypothesis",
    "schemathesis",
    "faker",
    "respx",
    "responses",
    "starlette",
    "uvicorn",
    "httpx",
    "rich",
    "jsonschema",
    "click",
)


MAY_IMPORT: dict[str, str] = {
    # kling_contract, from the ground up: single modules, then packages
    "kling_contract.version": "",
    "kling_contract.clock": "",
    "kling_contract.violation": "",
    "kling_contract.redaction": "",
    "kling_contract.generation": "",
    "kling_contract.errors": "generation violation",
    "kling_contract.jsontext": "errors",
    "kling_contract.display": "errors jsontext redaction",
    "kling_contract.hosts": "errors",
    "kling_contract.contract": "errors jsontext",
    "kling_contract.schema_values": "errors jsontext",
    "kling_contract.validation": "contract display errors jsontext violation",
    "kling_contract.reports": "display version violation",
    "kling_contract.mutations": "contract display jsontext schema_values",
    "kling_contract.payloads": "contract mutations schema_values validation",
    "kling_contract.strategies": "contract mutations schema_values",
    "kling_contract.client": "clock contract display errors generation redaction validation violation",
    "kling_contract.drift": "contract display errors jsontext schema_values",
    "kling_contract.checks": (
        "client clock contract display errors generation hosts jsontext mutations redaction reports schema_values strategies "
        "validation violation"
    ),
    # fake_server: its core knows no adapter
    "fake_server.messages": "kling_contract.violation",
    "fake_server.scenario": "messages kling_contract.contract kling_contract.display kling_contract.errors kling_contract.jsontext",
    "fake_server.journal": (
        "messages kling_contract.clock kling_contract.contract kling_contract.display kling_contract.errors "
        "kling_contract.redaction kling_contract.version"
    ),
    "fake_server.service": (
        "journal messages scenario kling_contract.clock kling_contract.contract kling_contract.display "
        "kling_contract.errors kling_contract.jsontext kling_contract.validation kling_contract.violation"
    ),
    "fake_server.preload": "",
    "fake_server.adapters": (
        "messages preload scenario service kling_contract.clock kling_contract.contract kling_contract.errors "
        "kling_contract.hosts kling_contract.jsontext kling_contract.validation"
    ),
    "fake_server.recording": (
        "adapters journal messages service kling_contract.clock kling_contract.contract "
        "kling_contract.errors kling_contract.generation kling_contract.jsontext kling_contract.redaction "
        "kling_contract.validation kling_contract.violation"
    ),
    "fake_server.assertions": "journal messages service kling_contract.contract",
    "fake_server.server": (
        "adapters assertions messages recording scenario service kling_contract.clock kling_contract.contract "
        "kling_contract.violation"
    ),
    "fake_server.exercises": ("adapters journal messages scenario server kling_contract.clock kling_contract.errors"),
    "fake_server.programs": (
        "adapters exercises journal messages preload recording scenario server kling_contract.clock kling_contract.contract "
        "kling_contract.display kling_contract.errors kling_contract.hosts kling_contract.reports kling_contract.violation"
    ),
    # who brings both together
    "kling_contract.pytest_plugin": (
        "client clock contract display errors fake_server.adapters fake_server.journal fake_server.messages "
        "fake_server.preload fake_server.scenario fake_server.server fake_server.service"
    ),
    "kling_contract.cli": (
        "checks client clock contract display drift errors hosts jsontext payloads redaction reports validation version violation "
        "fake_server.adapters fake_server.exercises fake_server.journal fake_server.messages fake_server.programs "
        "fake_server.recording fake_server.scenario fake_server.server"
    ),
    "kling_contract.__main__": "cli",
}
"""Which packages, and modules at the front, each may import. Names without a dot are of the same package.

The fronts of `kling_contract` and `fake_server` themselves only load what others define; nothing imports them.
"""


def _modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in ("kling_contract", "fake_server")
        for path in sorted((ROOT / package).rglob("*.py"))
    }


MODULES = _modules()
FRONTS = ("kling_contract", "fake_server")


def _imports(module: str) -> set[str]:
    """Return the modules of ours that a module imports: on top, inside functions, and for type checkers alone."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found.update(named & MODULES.keys() or {node.module})
    return {name for name in found if name in MODULES and name != module}


def _unit(module: str) -> str:
    """Return the package at the front that a module is in, or the module itself if it stands at the front."""
    return ".".join(module.split(".")[:2])


IMPORTS = {module: _imports(module) for module in MODULES if module not in FRONTS}


@pytest.mark.parametrize("module", IMPORTS)
def test_imports_are_those_of_the_table(module: str) -> None:
    """No module imports from a package that the table does not allow to its own, in whatever way."""
    unit = _unit(module)
    package = unit.partition(".")[0]
    allowed = {name if "." in name else f"{package}.{name}" for name in MAY_IMPORT[unit].split()}
    assert {_unit(name) for name in IMPORTS[module]} - {unit} <= allowed


@pytest.mark.parametrize("unit", MAY_IMPORT)
def test_the_table_allows_no_more_than_is_used(unit: str) -> None:
    """Whatever the table allows, some module imports: what is not needed any more is not allowed any more."""
    package = unit.partition(".")[0]
    allowed = {name if "." in name else f"{package}.{name}" for name in MAY_IMPORT[unit].split()}
    assert allowed <= {_unit(name) for module in IMPORTS if _unit(module) == unit for name in IMPORTS[module]}


def test_the_table_has_no_circle_and_nothing_else() -> None:
    """Each package stands above all that it may import; the table names nothing that there is not."""
    below = {
        unit: {name if "." in name else f"{unit.partition('.')[0]}.{name}" for name in names.split()}
        for unit, names in MAY_IMPORT.items()
    }
    assert set(below) == {_unit(module) for module in IMPORTS}
    graphlib.TopologicalSorter(below).prepare()
    assert set().union(*below.values()) <= set(below)


def test_no_module_imports_itself_in_a_circle() -> None:
    """No module is imported, however indirectly, by one that it imports. The front of a package may name its own modules."""
    graph = {module: {name for name in names if not module.startswith(f"{name}.")} for module, names in IMPORTS.items()}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize(("package", "most"), [("kling_contract", 16), ("fake_server", 8)])
def test_few_modules_stand_at_the_front(package: str, most: int) -> None:
    """The list of files at the front of a package can be taken in at a glance."""
    assert len([path for path in MODULES.values() if path.parent == ROOT / package]) <= most


@pytest.mark.parametrize("package", ["kling_contract", "fake_server", "fake_server.server"])
def test_importing_costs_nothing(package: str) -> None:
    """Importing the packages loads no library that only some of their users need."""
    code = f"import sys, {package}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & set(HEAVY)


def test_every_promised_name_is_there() -> None:
    """Each name that the packages promise can be had from them, and no other."""
    import fake_server
    import kling_contract

    for package in (kling_contract, fake_server):
        for name in package.__all__:
            assert getattr(package, name) is not None
        assert set(package.__all__) <= set(dir(package))
        with pytest.raises(AttributeError, match="nonsense"):
            _ = package.nonsense


@pytest.mark.parametrize(
    "module",
    [
        *(f"kling_contract.{name}" for name in "checks drift errors mutations payloads strategies".split()),
        "fake_server.scenario",
    ],
)
def test_submodules_need_no_import_of_their_own(module: str) -> None:
    """After an import of a package alone, a submodule is an attribute of it."""
    package = module.partition(".")[0]
    code = f"import sys, {package}; found = {module}; assert found is sys.modules[{module!r}]"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_exception_is_at_the_front() -> None:
    """Whatever the project raises on purpose can be had from the package itself."""
    import kling_contract
    from kling_contract import errors

    for name in errors.__all__:
        assert getattr(kling_contract, name) is getattr(errors, name)
    assert set(errors.__all__) <= set(kling_contract.__all__)


@pytest.mark.parametrize("package", ["kling_contract", "fake_server"])
def test_what_is_loaded_late_has_its_type(package: str) -> None:
    """A type checker is told of each name that a package loads when it is first used, and of no other name of its modules."""
    tree = ast.parse(MODULES[package].read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module != package
        for alias in node.names
    }
    homes = importlib.import_module(package)._HOMES
    assert told == {name: f"{package}.{home}" for name, home in homes.items()}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_each_module_says_which_question_it_answers(module: str) -> None:
    """Each module opens with a docstring."""
    assert ast.get_docstring(ast.parse(MODULES[module].read_text()))
