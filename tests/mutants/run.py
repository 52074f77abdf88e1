"""Do the tests notice when the code is wrong? Breaks five modules in one place at a time, and runs their tests each time.

`make mutants` runs it, or `python tests/mutants/run.py MODULE…` for some of them. The breaks are those of cosmic-ray, but for
operators that nobody takes for one another, what is no Python any more, what changes nothing but annotations, and what was
tried before by another name. A survivor must be explained in `survivors.toml`, and nothing else may be. Exit code 0: enough of
each module's mutants die, and each survivor is explained.
"""

from __future__ import annotations

import ast
import difflib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from rich.console import Console
from rich.progress import Progress

from tests.support import ROOT

SURVIVORS = Path(__file__).with_name("survivors.toml")
ENOUGH = 0.9
SECONDS = 120.0  # after which a run that does not end has noticed
FAR_FETCHED = {"BitAnd", "BitOr", "BitXor", "LShift", "RShift", "Mod", "Pow", "Is", "IsNot"}
"""What takes no other operator's place: what dies of + for - dies of these, and whether texts are one object is chance."""

TESTS = {
    "kling_contract/contract/revision.py": (
        "contract/test_revision",
        "contract/test_documents",
        "cli/test_main",
        "test_surface",
    ),
    "kling_contract/contract/bundle.py": ("contract/test_revision", "contract/test_documents", "cli/test_main"),
    "kling_contract/validation/validator.py": (
        *("validation/test_validator", "validation/test_messages", "jsontext/test_location", "cli/test_main"),
        "test_surface",
    ),
    "kling_contract/contract/lifecycle.py": ("contract/test_lifecycle", "fake_server/test_server", "test_surface"),
    "kling_contract/mutations.py": ("test_mutations", "test_surface"),
    "fake_server/service/fake.py": (
        *(
            "fake_server/test_server",
            "fake_server/adapters/test_intercept",
            "fake_server/adapters/test_listen",
            "test_safety",
        ),
        *("fake_server/service/test_store", "fake_server/scenario/test_faults", "fake_server/recording/test_replay"),
        "test_surface",
    ),
}
"""Which tests look at a module, by their names in `tests/`: those that find most come first."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One break of one module: the lines that it replaces, those that it puts in their place, and the whole source."""

    module: str
    was: str
    now: str
    source: str

    @property
    def name(self) -> tuple[str, str, str]:
        """What it is known by when lines move."""
        return self.module, self.was, self.now


def mutants(module: str) -> list[Mutant]:
    """Return every different break of a module."""
    code = (ROOT / module).read_text(encoding="utf-8")
    seen = {meaning(code)}
    found = []
    for name in operator_names():
        kind = get_operator(name)
        if kind.arguments() or name.rpartition("_")[2] in FAR_FETCHED:
            continue
        for occurrence in range(sys.maxsize):
            broken = mutate_code(code, kind(), occurrence)
            if broken is None:
                break
            if (means := meaning(broken)) not in seen and means is not None:
                seen.add(means)
                found.append(Mutant(module, *changed(code, broken), broken))
    return found


def meaning(code: str) -> str | None:
    """Return what a module does, however it is written and annotated; None for what is no Python."""
    with warnings.catch_warnings(action="error"):  # what the compiler warns of, it has noticed
        try:
            tree = ast.parse(code)
            compile(tree, "", "exec")
        except SyntaxError:
            return None
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            node.returns = None
    return ast.dump(tree)


def changed(before: str, after: str) -> tuple[str, str]:
    """Return the lines that were replaced and those in their place, each without its indentation, as one text."""
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    was, now = (
        " ".join(text for line in lines if line.startswith(sign) and (text := line[2:].strip()))
        for sign in ("- ", "+ ")
    )
    return was, now


def copied(into: Path) -> Path:
    """Return a copy of the files that git knows or would know, with the documents where the packages look for them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, into / name)
    # Sources are told apart by their contents: two mutants may have the same size, and come within the same second.
    compiled = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
    subprocess.run([*compiled, "kling_contract", "fake_server"], cwd=into, check=True)
    return into


def passes(home: Path, module: str) -> bool:
    """Do all the tests of a module pass in a copy?"""
    tests = [f"tests/{name}.py" for name in TESTS[module]]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "respx.plugin"]
    # Without the plugins that are installed, which these tests do not need, pytest starts in a fifth of the time.
    environment = {**os.environ, "CI": "true", "PYTHONPATH": str(home), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    with subprocess.Popen(
        [*command, *tests],
        cwd=home,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as running:
        try:
            return running.wait(SECONDS) == 0
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            return False


def main(modules: list[str]) -> int:
    console = Console()
    plain: dict[str, Any] = {"highlight": False, "markup": False, "soft_wrap": True}
    explained = {
        (each["module"], each["was"], each["now"]) for each in tomllib.loads(SURVIVORS.read_text())["survivor"]
    }
    untouched = [Mutant(module, "", "", (ROOT / module).read_text(encoding="utf-8")) for module in modules]
    sources = {mutant.module: mutant.source for mutant in untouched}
    with ProcessPoolExecutor() as processes:
        tried = [mutant for found in processes.map(mutants, modules) for mutant in found]
    homes: SimpleQueue[Path] = SimpleQueue()
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress(console=console, disable=not console.is_terminal) as progress,
    ):
        workers = os.cpu_count() or 1
        for number in range(workers):
            homes.put(copied(Path(folder) / str(number)))
        task = progress.add_task("the code as it is", total=len(tried) + len(modules))

        def survives(mutant: Mutant) -> bool:
            home = homes.get()
            path = home / mutant.module
            path.write_text(mutant.source, encoding="utf-8")
            try:
                return passes(home, mutant.module)
            finally:
                path.write_text(sources[mutant.module], encoding="utf-8")
                homes.put(home)
                progress.update(task, advance=1, description=mutant.module)

        with ThreadPoolExecutor(workers) as pool:
            for mutant, good in zip(untouched, pool.map(survives, untouched), strict=True):
                if not good:
                    console.print(f"{mutant.module}: its tests fail without any mutant")
                    return 2
            survivors = []
            for mutant, alive in zip(tried, pool.map(survives, tried), strict=True):
                if alive:
                    survivors.append(mutant)
                    if mutant.name not in explained:
                        console.print(f"\n{mutant.module}: this survives\n- {mutant.was}\n+ {mutant.now}", **plain)
    names = {mutant.name for mutant in survivors}
    fine = names <= explained
    for module, was, now in sorted(each for each in explained - names if each[0] in modules):
        fine = False
        console.print(f"\n{module}: this is explained, and dead all the same\n- {was}\n+ {now}", **plain)
    for module in modules:
        count = sum(mutant.module == module for mutant in tried)
        killed = count - sum(mutant.module == module for mutant in survivors)
        fine &= killed >= ENOUGH * count
        console.print(f"{module}: {killed} of {count} mutants killed, {killed / count:.1%}", **plain)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(TESTS)))
