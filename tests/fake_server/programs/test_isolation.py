"""Claims about the namespaces of a command: what it finds there, that it cannot get out, and what happens without them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from fake_server.programs.child import prepare
from kling_contract.errors import IsolationError
from tests.fake_server.programs.conftest import Ended
from tests.support import ROOT

Run = Callable[..., Ended]

INSIDE = """
import json, os, socket, sys
def connect(host, port):
    try:
        with socket.create_connection((host, port), 2) as connection:
            return connection.makefile().readline()
    except OSError as error:
        return type(error).__name__
def send(host):
    with socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        try:
            return datagrams.sendto(b"?", (host, 53))
        except OSError as error:
            return type(error).__name__
print(json.dumps({
    "https": connect("api.aimlapi.com", 443),
    "IPv6": connect("::1", 443) if socket.has_ipv6 else None,
    "another machine": [connect("192.0.2.1", 443), send("192.0.2.1")],
    "this machine": connect("127.0.0.1", int(sys.argv[1])),
    "user": [os.getuid(), os.getgid()],
    "capabilities": [line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff")],
}))
"""


def _greet(listener: socket.socket) -> None:
    try:
        while True:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"of the fake\n")
    except OSError:  # closed
        pass


def _look_around(folder: Path, output: Path) -> None:
    """Write what a command finds in its namespaces, while the listeners inside are served from this process."""
    hosts = folder / "hosts"
    hosts.write_text("127.0.0.1 localhost api.aimlapi.com\n")
    with (
        socket.create_server(("127.0.0.1", 0)) as unreachable,
        prepare(folder=folder, isolate="require", listen=[("127.0.0.1", 443), ("::1", 443)]) as child,
    ):
        for listener in child.listeners:
            threading.Thread(target=_greet, args=(listener,), daemon=True).start()
        command = [sys.executable, "-I", "-S", "-c", INSIDE, str(unreachable.getsockname()[1])]
        child.go(
            ["sh", "-c", '"$@" > "$OUTPUT"', "sh", *command],
            environment={**os.environ, "OUTPUT": str(output)},
            bound={Path("/etc/hosts"): hosts},
        )
        assert child.isolated
        assert child.wait() == 0
        for listener in child.listeners:
            listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.usefixtures("namespaces")
def test_everything_inside_leads_to_the_fake_and_nothing_leads_out(folder: Path, tmp_path: Path) -> None:
    """The names of the hosts file lead to the fake; no other machine can be reached, nor this one outside the namespace.

    The command is the same user, and outside nothing has changed.
    """
    before = Path("/etc/hosts").read_bytes()
    _look_around(folder, tmp_path / "found")
    found = json.loads((tmp_path / "found").read_text())
    assert found.pop("IPv6") in ("of the fake\n", None)
    capabilities = found.pop("capabilities")
    assert found == {
        "https": "of the fake\n",
        "another machine": ["OSError", "OSError"],
        "this machine": "ConnectionRefusedError",
        "user": [os.getuid(), os.getgid()],
    }
    assert os.getuid() == 0 or capabilities == ["0000000000000000"]
    assert Path("/etc/hosts").read_bytes() == before


UNPRIVILEGED = """
import sys
from pathlib import Path
from tests.fake_server.programs.test_isolation import _look_around
_look_around(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.other_programs
@pytest.mark.usefixtures("namespaces")
def test_no_privilege_is_needed(folder: Path, tmp_path: Path) -> None:
    """A user without any privilege is isolated, too, keeps the number of the user, and has no capability inside."""
    user = ["unshare", "--user", "--map-user=1234", "--map-group=1235"]
    command = [*user, sys.executable, "-c", UNPRIVILEGED, str(folder), str(tmp_path / "found")]
    subprocess.run(command, cwd=ROOT, check=True)
    found = json.loads((tmp_path / "found").read_text())
    assert (found["https"], found["user"]) == ("of the fake\n", [1234, 1235])
    assert found["another machine"] == ["OSError", "OSError"]
    assert found["capabilities"] == ["0000000000000000"]


ANOTHER_USER = """
import os, sys, tempfile
from pathlib import Path
from fake_server.programs.child import prepare
with prepare(folder=Path(tempfile.mkdtemp()), isolate="require") as child:
    child.go(["sh", "-c", 'test "$(id -u) $(id -g)" = "65534 65534"'], environment=os.environ)
    sys.exit(child.wait())
"""


@pytest.mark.other_programs
@pytest.mark.usefixtures("namespaces")
def test_a_user_with_no_right_to_map_others_is_isolated() -> None:
    """A user who may map neither other users nor groups is isolated, too."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user; without root every other test shows this")
    python = ["/usr/bin/python3", "-c"]

    def as_another(code: str) -> int:
        command = [*python, code]
        return subprocess.run(command, cwd=ROOT, check=False, user=65534, group=65534, extra_groups=[]).returncode

    if not Path(python[0]).exists() or as_another("import fake_server.programs.child"):
        pytest.skip("no Python of the system can import this project as another user")
    assert as_another(ANOTHER_USER) == 0


NOT_PERMITTED = """
import os, sys
from pathlib import Path
from fake_server.programs.child import prepare
with prepare(folder=Path(sys.argv[1]), isolate=sys.argv[2], listen=[("127.0.0.1", 443)]) as child:
    print(child.isolated, child.listeners, os.listdir(sys.argv[1]), child.why_not, flush=True)
    child.go(["sh", "-c", "echo runs; exit 5"], environment=os.environ, bound={Path("/etc/hosts"): Path("/dev/null")})
    sys.exit(child.wait())
"""


@pytest.mark.other_programs
@pytest.mark.usefixtures("namespaces")
def test_a_system_that_forbids_namespaces_is_told(folder: Path) -> None:
    """Where namespaces are forbidden, the command runs without them, and why is known; if they are required, it does not run."""
    (folder / "key").touch()
    setting = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", setting, "sh", sys.executable, "-c", NOT_PERMITTED]
    auto = subprocess.run([*command, folder, "auto"], cwd=ROOT, capture_output=True, text=True, check=False)
    why = "unshare: No space left on device; user.max_user_namespaces is 0"
    assert (auto.returncode, auto.stdout) == (5, f"False [] ['key'] {why}\nruns\n")
    folder.mkdir()
    required = subprocess.run([*command, folder, "require"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert required.returncode == 1
    assert f"IsolationError: the command cannot be isolated: this system does not permit it ({why})" in required.stderr
    assert "runs" not in required.stdout


def test_another_system_has_no_namespaces(folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """On another system than Linux a command runs without namespaces, unless they are required."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert run(["sh", "-c", "exit 6"], bound={Path("/etc/hosts"): Path("/dev/null")}) == Ended(6, "", [])
    folder.mkdir()
    with prepare(folder=folder) as child:
        assert (child.isolated, child.why_not) == (False, "only Linux has them")
    with pytest.raises(IsolationError, match="only Linux has them"):
        prepare(folder=folder, isolate="require")
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(IsolationError, match="on Linux and macOS only"):
        prepare(folder=folder)


@pytest.mark.usefixtures("namespaces")
def test_a_file_that_cannot_be_replaced_is_told(run: Run, tmp_path: Path) -> None:
    """What is not there needs no replacement. What cannot be replaced is told in a line, and the command runs all the same."""
    text, link = tmp_path / "text", tmp_path / "link"
    text.write_text("outside")
    link.symlink_to(text)
    (tmp_path / "new").write_text("inside")
    ended = run(
        ["cat", text],
        bound={link: tmp_path / "new", tmp_path / "nowhere": tmp_path / "new", tmp_path: tmp_path / "new"},
    )
    assert ended == Ended(0, "inside", [f"{tmp_path} cannot be replaced for the command: Not a directory"])
    assert text.read_text() == "outside"
