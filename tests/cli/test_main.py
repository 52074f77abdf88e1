"""Claims about the command line: what it prints, where, and how it ends."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx
import pytest

from kling_contract import Contract, cli, revisions, validate
from kling_contract.client import Client
from kling_contract.contract.documents import FIXTURES
from kling_contract.contract.family import revisions_of
from kling_contract.payloads import example

CONTRACT = Contract.load()
LATEST = Contract.load("latest")
YOUNG = next(
    LATEST.for_model(model)
    for model in LATEST.models
    if revisions_of(model)[0] == LATEST.revision.id and "text" in model
)
PHOTOGRAPH = FIXTURES / "images" / "cat.jpg"
EXAMPLE = {
    "model": CONTRACT.request_schema["properties"]["model"]["enum"][0],
    "image_url": "https://x.org/a.png",
    "prompt": "A cat.",
}


@dataclass
class Done:
    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "argv", ["kling-contract", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capfd.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, shown.out, shown.err)

    return run


def wrote(path: Path, content: Any) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


@pytest.mark.parametrize("command", [None, *cli._COMMANDS])
def test_every_command_has_help(run: Run, command: str | None) -> None:
    """Every command says what it does, and the list of them names each."""
    done = run(*([command] if command else []), "--help")
    assert (done.code, done.err) == (0, "")
    assert "Usage: kling-contract" in done.out
    if command is None:
        assert all(name in done.out for name in cli._COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["generate"],
        ["generate", "--bogus"],
        ["generate", "missing.json"],
        ["generate", "--prompt", "x", "--image", "missing.png"],
        ["generate", "--prompt", "x", "--image", __file__],
        ["generate", "--prompt", "x", "--field", "nonsense"],
        ["generate", "--prompt", "x", "--scenario", "nonsense"],
        ["generate", "--prompt", "x", "--scenario", "missing.json"],
        ["generate", "--prompt", "x", "--revision", "1999-01-01"],
        ["generate", "--live", "--prompt", "x"],
        ["schema", "nonsense"],
        ["schema", "--revision", "1999-01-01"],
        ["schema", "generation", "--bundled"],
        ["schema", "--model", "nonsense", "--bundled"],
        ["schema", "--model", CONTRACT.model],
        ["schema", "observed", "--model", CONTRACT.model],
        ["schema", "create-request", "--model", YOUNG.model],
        ["samples", "--model", "nonsense"],
        ["samples", "--model", YOUNG.model],
        ["generate", "--prompt", "x", "--model", "nonsense"],
        ["check", "http://127.0.0.1:9", "--model", YOUNG.model],
        ["check", "http://127.0.0.1:9", "--model", "nonsense", "--revision", "all"],
        ["check", "--har", __file__, "--model", CONTRACT.model],
        ["serve", "--model", "nonsense"],
        ["serve", "--scenario", "nonsense"],
        ["serve", "--host", "256.0.0.1"],
        ["serve", "--port", "70000"],
        ["validate"],
        ["diff", "2025-04-25"],
        ["diff", "2025-04-25", "nonsense"],
        ["diff", "2025-04-25", "missing.json"],
        ["diff", "2025-04-25", __file__],
    ],
)
def test_wrong_use_is_one_clear_line(run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """Wrong use and unreadable input end with 2 and one line that says what was wrong; nothing else is printed."""
    monkeypatch.delenv("AIMLAPI_KEY", raising=False)
    done = run(*arguments)
    assert done.code == 2
    assert done.err.startswith("kling-contract: ")
    assert done.out == ""
    assert done.err.count("\n") == 1


def test_verdicts_have_exit_codes(run: Run, tmp_path: Path) -> None:
    """validate ends with 0 for clean payloads, 1 for violations, 2 for what cannot be read, and judges all it can."""
    good, bad = wrote(tmp_path / "good.json", EXAMPLE), wrote(tmp_path / "bad.json", {**EXAMPLE, "duration": 7})
    odd, broken = wrote(tmp_path / "odd.json", {**EXAMPLE, "fps": 24}), wrote(tmp_path / "broken.json", b"{")
    codes = {
        (good,): 0,
        (bad,): 1,
        (odd,): 0,
        ("--fail-on", "warning", odd): 1,
        (broken,): 2,
        (good, "missing.json"): 2,
        (".",): 2,
        (broken, bad, good): 2,
        ("--strictness", "off", bad): 0,
    }
    for arguments, code in codes.items():
        assert run("validate", *arguments).code == code, arguments
    done = run("validate", "missing.json", bad, tmp_path)
    assert "missing.json" in done.out
    assert "/duration" in done.out
    assert run("validate", "-", stdin=bad.read_bytes()).code == 1


REPORTING = {"validate": ("text", "json", "github", "sarif", "junit"), "diff": ("text", "json", "markdown")}


@pytest.mark.parametrize(("command", "format_"), [(name, each) for name in REPORTING for each in REPORTING[name]])
def test_a_report_in_a_file_is_the_one_printed(run: Run, tmp_path: Path, command: str, format_: str) -> None:
    """--report writes what --format prints, in place of what was in the file, as often as it is given; the code is the same."""
    wrote(tmp_path / "bad.json", {**EXAMPLE, "duration": 7})
    old = wrote(tmp_path / "old.txt", b"x" * 100_000)
    arguments = [command, *(["bad.json"] if command == "validate" else ["2025-04-25", "latest"])]
    printed = run(*arguments, "--format", format_)
    done = run(*arguments, "--report", f"{format_}=old.txt", "--report", "text=second.txt")
    assert (printed.code, printed.err, done.code, done.err) == (1, "", 1, "")
    assert old.read_text(encoding="utf-8") == printed.out
    assert (tmp_path / "second.txt").read_text(encoding="utf-8") == done.out == run(*arguments).out


@pytest.mark.parametrize("command", REPORTING)
def test_a_report_nobody_can_write_is_wrong_usage(run: Run, tmp_path: Path, command: str) -> None:
    """An unknown format, a missing path and a folder that is not there end with 2 and one line, and nothing is printed."""
    wrote(tmp_path / "good.json", EXAMPLE)
    arguments = [command, *(["good.json"] if command == "validate" else ["2025-04-25", "2025-04-25"])]
    for report in ("xml=a", "json=", "json", "json=missing/a.json"):
        done = run(*arguments, "--report", report)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), report
        assert ("missing/a.json cannot be written" if "missing" in report else "write FORMAT=PATH") in done.err
    assert run(*arguments).code == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("command", REPORTING)
def test_a_report_that_is_lost_fails_the_command(run: Run, tmp_path: Path, command: str) -> None:
    """A report that could not be written makes the code 1 and is named; the other reports are written."""
    wrote(tmp_path / "good.json", EXAMPLE)
    arguments = [command, *(["good.json"] if command == "validate" else ["2025-04-25", "2025-04-25"])]
    done = run(*arguments, "--report", "json=/dev/full", "--report", "text=kept.txt")
    assert done.code == 1
    assert "/dev/full" in done.err
    assert (tmp_path / "kept.txt").read_text() == done.out != ""


def test_options_mean_the_same_in_every_command() -> None:
    """An option of one name has the same values and default wherever it is, and a report can always go to a file, too."""
    context = click.Context(cli.cli)
    commands = {name: cli.cli.get_command(context, name) for name in cli._COMMANDS}
    options = {name: {o.name: o for o in c.params if isinstance(o, click.Option)} for name, c in commands.items() if c}
    del options["run"]["fail_on"]  # what fails a run is more than a severity
    for shared in ("strictness", "fail_on", "scenario", "isolate", "allow"):
        kinds = {(str(o[shared].type.to_info_dict()), o[shared].default) for o in options.values() if shared in o}
        assert len(kinds) == 1, shared
    assert all("report_files" in o for name, o in options.items() if "format_" in o and name != "check")
    assert all("-o" in o["output"].opts for o in options.values() if "output" in o)
    for name in ("seed", "revision"):
        assert len({o[name].metavar for o in options.values() if name in o}) == 1, name


def test_the_exit_codes_are_in_the_help(run: Run) -> None:
    """The help of the program lists every exit code, and no command's help speaks of another."""
    listed = set(re.findall(r"^    (\d+)  ", run("--help").out, re.MULTILINE))
    assert listed == {"0", "1", "2", "3", "90", "130"}
    for command in cli._COMMANDS:
        codes = run(command, "--help").out.partition("Exit code")[2].partition("Options:")[0]
        found = set(re.findall(r"(?:^|;)\s*(\d+):", codes))
        assert {"2"} <= found <= listed, command
        assert "0" in found or "that of the program" in codes, command


def test_the_shell_completes_commands_and_values(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """The line of the help that switches completion on gives bash a script, and the program then knows its own words."""
    line = next(line for line in run("--help").out.splitlines() if "eval" in line)
    assert "_KLING_CONTRACT_COMPLETE=bash_source kling-contract" in line
    monkeypatch.setenv("_KLING_CONTRACT_COMPLETE", "bash_complete")
    for words, expected in {
        "kling-contract va": ["plain,validate"],
        "kling-contract validate --strictness st": ["plain,strict"],
        "kling-contract diff --format m": ["plain,markdown"],
    }.items():
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        assert run().out.splitlines() == expected


def test_each_line_is_a_payload(run: Run, tmp_path: Path) -> None:
    """In JSON Lines each line is judged by itself, blank ones are none, and a finding has the number of its line."""
    text = "\n".join(["", json.dumps(EXAMPLE), " ", json.dumps({**EXAMPLE, "duration": 7}), "{"]).encode()
    for done in run("validate", wrote(tmp_path / "p.jsonl", text)), run("validate", "--lines", "-", stdin=text):
        assert done.code == 2
        assert ":4:" in done.out
        assert ":5:" in done.out
        assert "1 accepted" in done.out


def test_nothing_is_coloured_in_pipes(run: Run, tmp_path: Path) -> None:
    """No escape code is printed where no terminal is."""
    assert "\x1b" not in run("validate", wrote(tmp_path / "bad.json", {})).out


def test_differences_end_with_one_when_something_breaks(run: Run, tmp_path: Path) -> None:
    """diff ends with 1 when something breaks and 0 when nothing does, in every format, and takes documents from files."""
    document = wrote(tmp_path / "theirs.json", CONTRACT.bundled())
    assert run("diff", CONTRACT.revision.id, document).code == 0
    assert run("diff", document, CONTRACT.revision.id).code == 0
    for format_ in ("text", "json", "markdown"):
        done = run("diff", CONTRACT.revision.id, "latest", "--format", format_)
        assert done.code == 1
        assert "static_mask" in done.out


def test_differences_are_those_of_all_models_or_of_one(run: Run, tmp_path: Path) -> None:
    """diff compares all models; with --model that one; and a document that describes one model as that model."""
    one = "klingai/avatar-pro"
    whole = json.loads(run("diff", "2025-12-18", "2026-08-21", "--format", "json").out)
    assert one not in whole["added"]
    (group,) = [group for group in whole["groups"] if one in group["models"]]
    alone = run("diff", "2025-12-18", "2026-08-21", "--format", "json", "--model", one)
    assert json.loads(alone.out)["changes"] == group["changes"]
    assert alone.code == run("diff", "2025-12-18", "2026-08-21").code == 1
    assert run("diff", "2025-12-18", "2026-08-21", "--model", CONTRACT.model).code == 0
    page = wrote(tmp_path / "page.json", Contract.load("2026-08-21", model=one).bundled_for_model())
    assert json.loads(run("diff", "2025-12-18", page, "--format", "json").out)["changes"] == group["changes"]


def test_a_model_that_is_gone_breaks(run: Run, tmp_path: Path) -> None:
    """diff ends with 1 if a model is gone, though nothing changed for the others; one that was added breaks nothing."""
    document = CONTRACT.bundled()
    (item,) = document["paths"].values()
    gone, ref = item["post"]["requestBody"]["content"]["application/json"]["schema"]["discriminator"][
        "mapping"
    ].popitem()
    listed = document["components"]["schemas"][ref.rpartition("/")[2]]["properties"]["model"]["enum"]
    listed.remove(gone)
    fewer = wrote(tmp_path / "fewer.json", document)
    lost, found = run("diff", CONTRACT.revision.id, fewer), run("diff", fewer, CONTRACT.revision.id)
    assert (lost.code, found.code) == (1, 0)
    assert "1 gone" in lost.out
    assert "1 added" in found.out


def test_a_model_that_a_side_does_not_have_is_wrong_use(run: Run, tmp_path: Path) -> None:
    """diff --model with a model that one side does not have ends with 2 and one line that names another."""
    document = wrote(tmp_path / "theirs.json", CONTRACT.bundled())
    for sides in (("2025-12-18", "2026-08-21"), ("2026-08-21", document)):
        done = run("diff", *sides, "--model", "klingai/video-v3-pro-text-to-video")
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert "2026-08-21" in done.err or "the nearest is" in done.err


def test_samples_carry_their_verdict(run: Run, tmp_path: Path) -> None:
    """Samples are what they say they are, as JSON Lines or as files, and the same again for the same seed."""
    lines = run("samples", "--valid", "3", "--invalid", "20", "--seed", "7").out
    assert lines == run("samples", "--valid", "3", "--invalid", "20", "--seed", "7").out
    found = [json.loads(line) for line in lines.splitlines()]
    assert [each["valid"] for each in found] == [True] * 3 + [False] * 20
    for each in found:
        errors = [v for v in validate(each["payload"], strictness="strict") if v.severity == "error"]
        assert [(v.pointer, v.rule) for v in errors] == (
            [] if each["valid"] else [(each["violation"]["pointer"], each["violation"]["rule"])]
        )
    assert run("samples", "--valid", "1", "--invalid", "1", "--output", "cases").code == 0
    assert sorted(path.name for path in (tmp_path / "cases").iterdir()) == ["0001-valid.json", "0002-invalid.json"]


def test_the_revisions_are_listed(run: Run) -> None:
    """schema --list names every revision, the default and the latest, with its sources."""
    done = run("schema", "--list")
    for name in revisions():
        assert name in done.out
        assert all(source in done.out for source in Contract.load(name).revision.sources)
    assert done.out.count("(default)") == done.out.count("(latest)") == 1


def test_a_video_comes_back(run: Run, tmp_path: Path) -> None:
    """A photograph and a prompt give a playable video of the length asked for, and its price, without network or key."""
    done = run(
        "generate", "--image", PHOTOGRAPH, "--prompt", "The cat blinks.", "--duration", "10", "--output", "clip.mp4"
    )
    assert (done.code, done.err) == (0, "")
    assert (tmp_path / "clip.mp4").read_bytes() == (FIXTURES / "media" / "kling-10s-16x9.mp4").read_bytes()
    assert f"{CONTRACT.price(10):,}" in done.out


def test_a_payload_comes_from_a_file_or_standard_input(run: Run, tmp_path: Path) -> None:
    """A payload is read from a file or from -, without its $schema; options go over its fields."""
    payload = wrote(tmp_path / "payload.json", {"$schema": "x", **EXAMPLE, "duration": 5})
    for arguments, stdin in ([payload], b""), (["-"], payload.read_bytes()):
        done = run(
            "generate",
            *arguments,
            "--duration",
            "10",
            "--field",
            "cfg_scale=0.5",
            "--field",
            "negative_prompt=dogs",
            stdin=stdin,
        )
        assert (done.code, done.err) == (0, "")
        assert f"{CONTRACT.price(10):,}" in done.out


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"null", b"\xff"])
def test_a_payload_that_is_none_is_refused(run: Run, tmp_path: Path, content: bytes) -> None:
    """A payload file that is no JSON object ends with 2, and its name is in the line."""
    done = run("generate", wrote(tmp_path / "payload.json", content))
    assert done.code == 2
    assert "payload.json" in done.err


def test_what_breaks_the_contract_is_not_sent(run: Run) -> None:
    """A payload that the contract refuses ends with 1 and its violations, before anything is sent."""
    done = run("generate", "--image", PHOTOGRAPH, "--prompt", "x", "--duration", "7")
    assert done.code == 1
    assert "nothing was sent" in done.err
    assert "/duration" in done.err


@pytest.mark.parametrize("strictness", ["strict", "lax", "off"])
def test_warnings_are_told_before_anything_is_sent(run: Run, strictness: str) -> None:
    """A misspelt field is told on standard error though the video is made; with --fail-on warning nothing is sent."""
    arguments = ["generate", "--image", PHOTOGRAPH, "--prompt", "x", "--field", "negativ_prompt=blur"]
    arguments += ["--strictness", strictness]
    done = run(*arguments)
    (line,) = done.err.splitlines()
    assert done.code == 0
    assert line.startswith("kling-contract: warning /negativ_prompt: ")
    assert "did you mean negative_prompt?" in line
    assert "generation " in done.out
    refused = run(*arguments, "--fail-on", "warning")
    assert (refused.code, refused.out) == (1, "")
    assert "nothing was sent: warnings are refused" in refused.err
    assert "negativ_prompt" in refused.err
    assert run(*arguments[:-4], "--fail-on", "warning").code == 0


def test_warnings_are_told_even_if_it_then_fails(run: Run) -> None:
    """The warning comes before the create, and so before whatever becomes of it."""
    done = run("generate", "--image", PHOTOGRAPH, "--prompt", "x", "--field", "fps=24", "--scenario", "unauthorized")
    assert done.code == 1
    assert done.err.startswith("kling-contract: warning /fps")


def test_the_image_option_goes_over_the_payload(run: Run, tmp_path: Path) -> None:
    """--image takes the place of the payload's image, which may be one that would be refused; it cannot be given twice."""
    payload = wrote(tmp_path / "payload.json", {**EXAMPLE, "image_url": "none"})
    assert run("generate", payload).code == 1
    assert run("generate", payload, "--image", PHOTOGRAPH).code == 0
    done = run("generate", "--image", PHOTOGRAPH, "--prompt", "x", "--field", "image_url=https://x.org/a.png")
    assert done.code == 2
    assert "not both" in done.err


def test_a_failed_generation_says_why(run: Run) -> None:
    """A generation that fails ends with 1 and the reason that the service gave."""
    done = run("generate", "--image", PHOTOGRAPH, "--prompt", "x", "--scenario", "fails")
    assert done.code == 1
    (detail,) = CONTRACT.observed.answers.get["error"]["error"]["detail"]
    assert detail["msg"] in done.err


def test_live_sends_to_the_real_address_with_the_key(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --live the calls go to the documented host with the key of the environment, which is never printed."""
    from fake_server import FakeServer

    fake = FakeServer(api_key="s3cret")
    made: list[str] = []

    class Faked(Client):
        def __init__(self, api_key: str, **options: Any) -> None:
            made.append(api_key)
            http = httpx.Client(transport=fake.transport())
            super().__init__(api_key, **{**options, "http": http, "clock": fake.clock})

    monkeypatch.setenv("AIMLAPI_KEY", "s3cret")
    monkeypatch.setattr("kling_contract.cli.generate.Client", Faked)
    done = run("generate", "--live", "--image", PHOTOGRAPH, "--prompt", "x")
    assert done.code == 0
    assert made == ["s3cret"]
    assert fake.journal[0].request.url.startswith(CONTRACT.base_url)
    assert next(iter(fake.generations.values())).video_url in done.out
    assert "s3cret" not in done.out + done.err


@pytest.mark.parametrize("key", [None, "", "  ", "two words"])
def test_live_needs_a_usable_key(run: Run, monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    """Without a usable key in the environment --live ends with 2 and one line that names the variable, not what it holds."""
    if key is None:
        monkeypatch.delenv("AIMLAPI_KEY", raising=False)
    else:
        monkeypatch.setenv("AIMLAPI_KEY", key)
    done = run("generate", "--live", "--image", PHOTOGRAPH, "--prompt", "x", "--field", "fps=24")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "AIMLAPI_KEY" in done.err
    assert "two words" not in done.err


def test_documents_are_printed(run: Run) -> None:
    """A document is printed as it is in the contract; bundled, the OpenAPI document refers to nothing but itself."""
    for name in ("openapi", "create-request", "generation.schema.json", "error", "observed"):
        done = run("schema", name)
        assert json.loads(done.out) == CONTRACT.document(name)
    bundled = run("schema", "--bundled")
    assert json.loads(bundled.out) == CONTRACT.bundled()
    assert '.schema.json"' not in bundled.out


def test_the_demo_shows_the_whole_way(run: Run, tmp_path: Path) -> None:
    """The demo prints each status with its time, the bill, the saved video, and three mistakes."""
    done = run("demo")
    assert (done.code, done.err) == (0, "")
    for step in CONTRACT.observed.timeline.steps:
        assert step.status in done.out
    assert f"{CONTRACT.price(5):,}" in done.out
    assert (tmp_path / "kling-demo.mp4").read_bytes() == (FIXTURES / "media" / "kling-5s-16x9.mp4").read_bytes()
    assert all(pointer in done.out for pointer in ("/image_url", "/duration", "/cfg_scale"))


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_serve_listens_and_ends_when_told(signal_: signal.Signals) -> None:
    """serve says where it listens, answers there, and ends quietly at once on Ctrl-C, even with a connection open."""
    command = [sys.executable, "-m", "kling_contract", "serve", "--port", "0", "--rate", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[5]
        with httpx.Client(base_url=url, headers={"Authorization": "Bearer k"}) as client:
            created = client.post(CONTRACT.create.path, json=EXAMPLE)
            assert created.status_code == CONTRACT.create.success
            server.send_signal(signal_)
            assert server.wait(timeout=20) == 0
        assert server.stderr is not None
        assert server.stderr.read() == ""


def test_a_model_of_a_later_revision_names_its_revisions(run: Run) -> None:
    """Where the revision lacks the model, the message names those that have it; a typing error gets the right id."""
    done = run("samples", "--model", YOUNG.model)
    assert f"it is one of revision {YOUNG.revision}" in done.err
    done = run("generate", "--prompt", "x", "--model", f"{YOUNG.model}x")
    assert f"the nearest is {YOUNG.model} of revision {YOUNG.revision}" in done.err


def test_generate_finds_the_revision_of_a_model(run: Run, tmp_path: Path) -> None:
    """--model replaces the model of the payload, and the revision that documents it is found; the price is that of the model."""
    payload = wrote(tmp_path / "payload.json", {**example(contract=YOUNG), "model": CONTRACT.model})
    done = run("generate", payload, "--model", YOUNG.model)
    assert done.code == 0
    assert f"{YOUNG.model} is a model since {YOUNG.revision}" in done.err
    strict = run("generate", payload, "--model", YOUNG.model, "--strictness", "strict")
    assert (strict.code, strict.out) == (1, "")
    known = run("generate", payload, "--model", YOUNG.model, "--strictness", "strict", "--revision", YOUNG.revision.id)
    assert (known.code, known.err) == (0, "")


def test_generate_tells_the_price_of_the_model(run: Run) -> None:
    """What it would have cost is by the price of the model that makes the video, or is said to be unknown."""
    young = [LATEST.for_model(model) for model in LATEST.models if model not in CONTRACT.models and "text-to" in model]
    priced = next(known for known in young if known.price(5) is not None)
    cost = f"{priced.price(5):,.0f} {priced.observed.price.unit}"
    asked = ("generate", "--prompt", "x", "--revision", "latest", "--model")
    assert cost in run(*asked, priced.model, "--duration", "5").out
    unpriced = next(known for known in young if known.price(5) is None)
    assert "nobody has published" in run(*asked, unpriced.model).out
    assert cost in run("generate", "--prompt", "x", "--model", priced.model, "--duration", "5").out


def test_every_model_can_be_found(run: Run) -> None:
    """schema --models lists every model of every revision, or of one, with a document that can be printed."""
    listed = [line.split() for line in run("schema", "--models").out.splitlines()]
    assert [(revision, model) for revision, model, _ in listed] == [
        (name, model) for name in revisions() for model in Contract.load(name).models
    ]
    one = [line.split() for line in run("schema", "--models", "--revision", "latest").out.splitlines()]
    assert one == [line for line in listed if line[0] == YOUNG.revision.id]
    name = next(document for _, model, document in one if model == YOUNG.model)
    printed = json.loads(run("schema", name, "--revision", "latest").out)
    assert YOUNG.model in printed["properties"]["model"]["enum"]


def test_schemas_of_a_model(run: Run) -> None:
    """With --model the payload, the generation and the bundled document are those of that model alone."""
    asked = ("--model", YOUNG.model, "--revision", "latest")
    assert json.loads(run("schema", "create-request", *asked).out) == YOUNG.request_schema
    assert json.loads(run("schema", "generation", *asked).out) == YOUNG.generation_schema
    assert json.loads(run("schema", "--bundled", *asked).out) == YOUNG.bundled_for_model()


def test_samples_of_a_model(run: Run) -> None:
    """samples --model writes payloads of that model."""
    done = run("samples", "--model", YOUNG.model, "--revision", "latest", "--invalid", "0")
    found = [json.loads(line)["payload"] for line in done.out.splitlines()]
    assert found
    assert [validate(payload, contract=YOUNG, strictness="strict") for payload in found] == [[]] * len(found)
    assert {payload["model"] for payload in found} == {YOUNG.model}
