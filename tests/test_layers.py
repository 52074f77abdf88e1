"""Claims about the shape of the house: who may import whom, and what an import costs."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

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


def _imports(path: Path) -> set[str]:
    """Return the modules of ours that a module imports when it is itself imported: not those inside functions or TYPE_CHECKING."""
    found: set[str] = set()
    pending: list[ast.stmt] = list(ast.parse(path.read_text()).body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
            found.add(node.module)
        elif isinstance(node, ast.ClassDef):
            pending.extend(node.body)
        elif isinstance(node, (ast.If, ast.Try)) and "TYPE_CHECKING" not in ast.dump(getattr(node, "test", node)):
            pending.extend([*node.body, *node.orelse])
    return {name for name in found if name.split(".")[0] in ("kling_contract", "fake_server")}


def _modules() -> dict[str, Path]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for package in ("kling_contract", "fake_server")
        for path in sorted((ROOT / package).rglob("*.py"))
    }


MODULES = _modules()


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("kling_contract") and ".commands" not in m])
def test_the_contract_does_not_know_the_fake(module: str) -> None:
    """Nothing in kling_contract needs fake_server in order to be imported, the commands alone excepted."""
    assert not {name for name in _imports(MODULES[module]) if name.startswith("fake_server")}


def test_imports_point_one_way() -> None:
    """No module is imported, however indirectly, by one that it imports itself."""
    graph = {
        module: {name for name in _imports(path) if name in MODULES and name != module}
        for module, path in MODULES.items()
    }
    state: dict[str, int] = {}

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert state.get(module) != 1, f"import cycle: {' -> '.join([*trail, module])}"
        if state.get(module) is None:
            state[module] = 1
            for name in sorted(graph[module] - {"kling_contract", "fake_server"}):
                visit(name, (*trail, module))
            state[module] = 2

    for module in graph:
        visit(module, ())


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
