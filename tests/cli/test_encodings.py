"""Claims about consoles that cannot hold every character: no command fails there, and none says anything else than elsewhere."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fake_server import FakeServer
from kling_contract import Contract, cli
from kling_contract.contract.documents import FIXTURES
from kling_contract.reports import FORMATS
from tests.support.calls import creating

CONTRACT = Contract.load()
WORDS = "\u732b \U0001f431 \u0416 \xe9"  # Chinese, a cat beyond the first plane, Cyrillic, Latin
PAYLOAD = {"model": WORDS, "image_url": WORDS, "prompt": WORDS, "duration": WORDS, WORDS: 1}
NAME = "\u732b"

Printed = tuple[int, bytes, bytes]
Print = Callable[[str, list[str]], Printed]

COMMANDS = [
    *(["validate", "--format", each, f"{NAME}.json", f"{NAME}.txt"] for each in FORMATS),
    *(["check", "--har", f"{NAME}.har", "--format", each] for each in FORMATS),
    *(
        ["diff", CONTRACT.revision.id, f"{NAME}.openapi.json", "--format", each]
        for each in ("text", "json", "markdown")
    ),
    ["generate", f"{NAME}.json"],
    ["generate", "--image", str(FIXTURES / "images" / "cat.jpg"), "--prompt", "x", "--output", f"{NAME}.mp4"],
    ["demo", "--output", f"{NAME}.mp4"],
    ["samples", "--output", NAME],
    ["samples", "--valid", "3"],
    ["schema", "--list"],
    *(["schema", each] for each in ("openapi", "create-request", "observed", NAME)),
    *([each, "--help"] for each in cli._COMMANDS),
    ["--help"],
    [NAME],
]
KEPT_RUNNING = [
    ["serve", "--port", "0", "--state", f"{NAME}.state"],
    ["record", "--upstream", CONTRACT.base_url, "--output", f"{NAME}.har"],
]


@pytest.fixture
def printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Print:
    """Run a command in a folder with files about cats; return its exit code, and what it printed in an encoding."""
    monkeypatch.chdir(tmp_path)
    Path(f"{NAME}.json").write_text(json.dumps(PAYLOAD))
    fake = FakeServer()
    fake.handle(creating(CONTRACT, body=json.dumps(PAYLOAD).encode()))
    Path(f"{NAME}.har").write_text(json.dumps(fake.journal.har()))
    document = CONTRACT.bundled()
    document["paths"][f"/{NAME}"] = document["paths"].pop(next(iter(document["paths"])))
    Path(f"{NAME}.openapi.json").write_text(json.dumps(document))

    def run(encoding: str, arguments: list[str]) -> Printed:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding) for _ in range(2))
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["kling-contract", *arguments])
            patched.setattr(sys, "stdout", out)
            patched.setattr(sys, "stderr", err)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        for stream in (out, err):
            stream.flush()
        code = ended.value.code
        assert isinstance(code, int)
        return code, out.buffer.getvalue(), err.buffer.getvalue()

    return run


def escaped(text: bytes, encoding: str) -> str:
    """Return UTF-8 text with a JSON escape for each character that an encoding lacks."""

    def shown(each: str) -> str:
        try:
            each.encode(encoding)
        except UnicodeEncodeError:
            return json.dumps(each)[1:-1]
        return each

    return "".join(map(shown, text.decode()))


def test_every_command_is_tried() -> None:
    """The claims here are about all commands that there are."""
    assert {name for name, *_ in COMMANDS + KEPT_RUNNING} >= set(cli._COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    COMMANDS,
    ids=lambda arguments: " ".join(arguments).replace(str(FIXTURES), "").encode("ascii", "backslashreplace").decode(),
)
def test_what_a_console_cannot_hold_is_escaped(printed: Print, arguments: list[str]) -> None:
    """In an encoding without the characters a command ends as in UTF-8, and prints the same with escapes in their place."""
    code, *whole = printed("utf-8", arguments)
    for encoding in ("ascii", "cp1252", "koi8-r"):
        same_code, *streams = printed(encoding, arguments)
        assert same_code == code
        for stream, in_utf8 in zip(streams, whole, strict=True):
            # Into ASCII click writes UTF-8, since it takes that for a locale that nobody has set up.
            assert (
                stream == in_utf8
                if encoding == "ascii" and stream == in_utf8
                else stream.decode(encoding) == escaped(in_utf8, encoding)
            )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("arguments", KEPT_RUNNING, ids=["serve", "record"])
def test_what_keeps_running_starts_all_the_same(tmp_path: Path, encoding: str, arguments: list[str]) -> None:
    """serve and record say where they are, and the name of their file, and end as they should."""
    command = [sys.executable, "-m", "kling_contract", *arguments]
    settings = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(FIXTURES.parent)}
    with subprocess.Popen(
        command, cwd=tmp_path, env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if b"state" in line or b"output" in line:
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
        assert process.stderr.read() == b""
    assert NAME.encode() in line or json.dumps(NAME)[1:-1].encode() in line


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "ascii:replace"])
def test_the_program_itself_escapes(tmp_path: Path, encoding: str) -> None:
    """The installed program does so with the encoding of its environment, and leaves a handler alone that was chosen there."""
    (tmp_path / "cat.json").write_text(json.dumps(PAYLOAD))
    done = subprocess.run(
        [sys.executable, "-m", "kling_contract", "validate", "cat.json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(FIXTURES.parent)},
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (1, b"")
    assert (b"\\u732b" in done.stdout) == ("replace" not in encoding)
