"""Claims about what the pages show for CI, pre-commit and installation, and about this project's own workflow."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from uv import find_uv_bin

from fake_server import FakeServer
from kling_contract import Contract, cli
from kling_contract.cli.validate import command as validate_command
from tests.docs.pages import PAGES, page, run_script
from tests.support import ROOT
from tests.support.environments import environment

KEY = "a-key-for-the-fake"
CLONE = "https://github.com/OWNER/kling-contract"
(WORKFLOW,) = [yaml.safe_load(text) for text in page("kling_contract/checks/README.md").blocks("yaml")]
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
(CONFIG,) = [yaml.safe_load(text) for text in page("schemas/README.md").blocks("yaml")]
PUBLISHED = {"post": "Kling-AI/v1-pro-image-to-video.json", "get": "universal-video-fetch.json"}
ELSEWHERE = r"https://raw\.githubusercontent\.com/\S+"


def published() -> dict[str, dict[str, Any]]:
    """Return the provider's pages of the newest revision by their paths: one operation each, and no word of aliases."""
    whole = Contract.load("latest").bundled_for_model()
    (path,) = whole["paths"]
    return {
        name: {**whole, "paths": {path: {method: {**whole["paths"][path][method], "operationId": "_of_the_path"}}}}
        for method, name in PUBLISHED.items()
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder as the workflow expects it: valid payloads, and in `pages` what the provider publishes."""
    shutil.copytree(ROOT / "fixtures" / "requests" / "valid" / Contract.load().revision.id, tmp_path / "payloads")
    for name, document in published().items():
        (tmp_path / "pages" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "pages" / name).write_text(json.dumps(document))
    return tmp_path


def steps() -> dict[str, str]:
    """Return the scripts of the workflow by the command that each runs."""
    (job,) = WORKFLOW["jobs"].values()
    scripts = [step["run"] for step in job["steps"] if "kling-contract " in step.get("run", "")]
    return {re.findall(r"kling-contract (\w+)", script)[0]: script for script in scripts}


def run_step(name: str, project: Path, *, code: int = 0, fake: FakeServer | None = None) -> None:
    """Run a step as GitHub does, with a fake and a folder in place of the service and the provider's pages."""
    with (fake or FakeServer(api_key=KEY)).listen() as url:
        script = steps()[name].replace("--remote ", "").replace(Contract.load().base_url, url)
        script = re.sub(ELSEWHERE, (project / "pages").as_uri(), script)
        run_script(script, cwd=project, code=code, AIMLAPI_KEY=KEY)


def test_the_workflow_passes(project: Path) -> None:
    """Every step passes when nothing is wrong; what is uploaded is there afterwards."""
    assert list(steps()) == ["validate", "check", "diff"]
    for name in steps():
        run_step(name, project)
    (job,) = WORKFLOW["jobs"].values()
    (upload,) = [step for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
    for name in upload["with"]["path"].splitlines():
        assert (project / name).stat().st_size > 0


def test_each_step_fails_when_it_should(project: Path) -> None:
    """An invalid payload, a server that breaks the contract, and a changed page each fail their step."""
    (project / "payloads" / "invalid.json").write_text("{}")
    run_step("validate", project, code=1)
    run_step("check", project, code=1, fake=FakeServer())  # it takes any key
    changed = project / "pages" / PUBLISHED["post"]
    document = json.loads(changed.read_text())
    document["components"]["schemas"]["CreateRequest"]["required"].append("external_task_id")
    changed.write_text(json.dumps(document))
    run_step("diff", project, code=1)
    assert "external_task_id" in (project / "drift.md").read_text()


def test_the_hook_runs_the_validator(tmp_path: Path) -> None:
    """The hook that the page names runs `validate`, which fails for an invalid payload."""
    program, name = HOOK["entry"].split()
    assert (program, cli.cli.get_command(None, name)) == ("kling-contract", validate_command)  # type: ignore[arg-type]
    payload = tmp_path / "kling.json"
    payload.write_text("{}")
    assert CliRunner().invoke(validate_command, [str(payload)]).exit_code == 1
    assert CONFIG["repos"][0]["hooks"][0]["id"] == HOOK["id"]


@pytest.mark.other_programs
@pytest.mark.parametrize("files", [None, "^payloads/"])
def test_the_hook_takes_payloads_only(files: str | None, tmp_path: Path) -> None:
    """pre-commit gives the hook JSON and JSON Lines files, and no README, picture or hidden file, whatever `files` says."""
    shown = CONFIG["repos"][0]["hooks"][0]
    assert shown == {"id": HOOK["id"], "files": "^payloads/"}
    folder = tmp_path / "project"
    (folder / "payloads").mkdir(parents=True)
    for name in (
        "payloads/a.json",
        "payloads/b.jsonl",
        "payloads/README.md",
        "payloads/kling.png",
        "payloads/.gitkeep",
    ):
        (folder / name).write_text("x")
    for name in ("my-kling-request.json", "kling.md", "package.json"):
        (folder / name).write_text("x")
    hook = {**HOOK, "language": "system", "entry": "echo taken", "verbose": True} | ({"files": files} if files else {})
    (folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [{"repo": "local", "hooks": [hook]}]}))
    programs = environment(tmp_path / "environment", "pre-commit")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    done = subprocess.run(
        [programs / "pre-commit", "run", "--all-files"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    taken = set(re.findall(r"\S*[./]\S+", " ".join(re.findall(r"taken (.*)", done.stdout))))
    assert taken == ({"payloads/a.json", "payloads/b.jsonl"} if files else {"my-kling-request.json"})


@pytest.mark.other_programs
def test_the_package_installs_as_shown(tmp_path: Path) -> None:
    """Cloned and installed as the README says, or from git as the workflow does, the program runs."""
    clone = tmp_path / "origin"
    leftovers = shutil.ignore_patterns(".git", ".*_cache", ".hypothesis", ".venv", "__pycache__", ".coverage*")
    shutil.copytree(ROOT, clone, ignore=leftovers)
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=clone, check=True)
    (job,) = WORKFLOW["jobs"].values()
    from_git = [step["run"] for step in job["steps"] if step.get("run", "").startswith("pip install")]
    lines = [
        line for line in (command.line for command in page("README.md").commands) if line.startswith(("git", "pip"))
    ]
    assert [line.split()[:2] for line in lines] == [["git", "clone"], ["pip", "install"], ["pip", "install"]]
    for name, script in (("checkout", "\n".join(lines)), ("git", *from_git)):
        programs = environment(tmp_path / name, "pip")
        here = script.replace("pip install", f"{find_uv_bin()} pip install --quiet --python {programs / 'python'}")
        here = here.replace(f"git+{CLONE}", f"git+{clone.as_uri()}").replace(CLONE, f"{clone.as_uri()} kling-contract")
        run_script(here, cwd=tmp_path)
        assert "kling-contract" in run_script(f"{programs / 'kling-contract'} --version", cwd=tmp_path)


def test_every_clone_is_called_the_same() -> None:
    """Wherever a page needs the address of the repository it has the same placeholder."""
    for each in PAGES:
        for address in re.findall(r"https://github\.com/\w+/kling-contract", each.text):
            assert address == CLONE, each.name


def test_forks_can_run_our_ci() -> None:
    """The workflow of this project runs `.ci/run` and nothing else, on the oldest Python, and needs no secret."""
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    (job,) = yaml.safe_load(text)["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    (python,) = [step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={python}"
    assert "secrets" not in text
    assert (ROOT / ".ci" / "run").is_file()
