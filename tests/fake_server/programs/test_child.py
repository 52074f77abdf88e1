"""Claims about a command that runs against a fake: it runs as from a shell, and nothing of it stays."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from fake_server.programs.child import Isolate, prepare
from fake_server.programs.launcher import descendants
from tests.fake_server.programs.conftest import Ended
from tests.support import ROOT

Run = Callable[..., Ended]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")


def runs(pids: Iterable[int]) -> list[int]:
    """Return those of the processes that run: what has ended may stay in /proc until its parent looks."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(pid)
    return found


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -15 $$", 143), ("kill -2 $$", 130)]
)
@pytest.mark.parametrize("isolate", ["auto", "off"])
def test_the_exit_code_is_the_commands_own(run: Run, isolate: Isolate, script: str, code: int) -> None:
    """The exit code is the command's own, or 128 and the number of the signal that ended it."""
    assert run(["sh", "-c", script], isolate=isolate) == Ended(code, "", [])


def test_a_command_that_cannot_be_executed_is_told_in_one_line(run: Run, tmp_path: Path) -> None:
    """As in a shell, 127 means that there is no such command, and 126 that it cannot be executed. One line says why."""
    plain, orphan = tmp_path / "plain", tmp_path / "orphan"
    plain.write_text("text")
    orphan.write_text("#!/no/such/interpreter\n")
    orphan.chmod(0o755)
    expected = {
        "no-such-command": (127, "command not found"),
        "": (127, "command not found"),
        "/no/such/file": (127, "no such file"),
        str(plain): (126, os.strerror(errno.EACCES)),
        str(tmp_path): (126, "is a directory"),
        str(orphan): (127, "the interpreter that it names does not exist"),
    }
    for name, (code, why) in expected.items():
        assert run([name], isolate="off") == Ended(code, "", [f"{name}: {why}"])


def test_a_script_without_an_interpreter_is_one_for_sh(run: Run, tmp_path: Path) -> None:
    """As from a shell, an executable text whose first line names no interpreter runs in sh. A path may have blanks in it."""
    script = tmp_path / "a folder" / "a script"
    script.parent.mkdir()
    script.write_text('echo "$0" "$1" "$#"\n')
    script.chmod(0o755)
    assert run([script, "an argument"]).output == f"{script} an argument 1\n"
    found = run(["a script"], environment={"PATH": f"/no/such/folder:{script.parent}"})
    assert found.output == f"{script}  0\n"


def test_arguments_and_environment_come_as_they_are(run: Run) -> None:
    """Each byte of the arguments and of the environment comes to the command, and no other variable does."""
    environment = {"PATH": os.environ["PATH"], "ODD": "a b\n'\"=\udcff\u20ac", "EMPTY": "", "LC_ALL": "C.UTF-8"}
    code = "import os, sys; print(ascii([sys.argv[1:], dict(os.environ)]))"
    output = run([sys.executable, "-S", "-X", "utf8", "-c", code, "\udcfe \n", ""], environment=environment).output
    assert output == ascii([["\udcfe \n", ""], environment]) + "\n"


def test_the_environment_stands_on_no_command_line(folder: Path) -> None:
    """What the command's environment holds, such as a key, is seen neither in the arguments nor in the environment of others."""
    with prepare(folder=folder) as child:
        child.go(["sleep", "60"], environment={**os.environ, "AIMLAPI_KEY": "very-secret"})
        others = [os.getpid(), *descendants(os.getpid())]
        while not child.pids():
            time.sleep(0.001)
        (own,) = child.pids()
        for pid in {*others, *descendants(os.getpid())} - {own}:
            assert b"very-secret" not in Path(f"/proc/{pid}/cmdline").read_bytes()
            assert b"very-secret" not in Path(f"/proc/{pid}/environ").read_bytes()


def test_no_descriptor_leaks_into_the_command(run: Run) -> None:
    """The command has the descriptors that it would have without us: the streams, and those that this process was given."""
    listed = [sys.executable, "-I", "-S", "-c", "import os; print(sorted(os.listdir('/proc/self/fd'), key=int))"]
    given, other = os.pipe()
    try:
        os.set_inheritable(given, True)
        alone = subprocess.run(listed, capture_output=True, text=True, close_fds=False, check=True).stdout
        assert str(given) in alone
        assert run(listed).output == alone
        assert run(listed, isolate="off").output == alone
    finally:
        os.close(given)
        os.close(other)


def test_closing_ends_everything(folder: Path) -> None:
    """When a child is closed, each process that the command started is gone, and so is the folder."""
    with prepare(folder=folder) as child:
        child.go(
            ["sh", "-c", "sleep 60 & setsid sh -c 'trap : TERM; sleep 60' & (setsid sleep 60 &) ; wait"],
            environment=os.environ,
        )
        while len(child.pids()) < 5:
            time.sleep(0.001)
        (folder / "key").write_text("secret")
        pids = child.pids()
    assert not runs(pids)
    assert not folder.exists()
    assert child.pids() == []


@pytest.mark.other_programs
def test_what_outlives_the_command_is_waited_for(run: Run) -> None:
    """A process that the command started and left is waited for, after one line that counts it. The exit code is the command's."""
    begun = time.monotonic()
    ended = run(["sh", "-c", "(sleep 0.7; echo late) & exit 3"])
    assert (ended.code, ended.output) == (3, "late\n")
    assert ended.said == [
        "the command has ended, but 2 processes that it started still run; waiting (Ctrl-C ends that)"
    ]
    assert time.monotonic() - begun > 0.7


@pytest.mark.other_programs
@pytest.mark.parametrize("stubborn", [False, True])
def test_a_signal_ends_what_outlives_the_command(folder: Path, stubborn: bool) -> None:
    """After the command has ended, SIGTERM ends what still runs, even what is deaf to it at the second time."""
    said: list[str] = []
    with prepare(folder=folder, say=said.append) as child:
        trap = "trap '' TERM;" if stubborn else ""
        child.go(["sh", "-c", f'(setsid sh -c "{trap} sleep 60" &) ; exit 4'], environment=os.environ)
        while not said:
            time.sleep(0.01)
        begun = time.monotonic()
        child.signal(signal.SIGTERM)
        if stubborn:
            time.sleep(0.1)
            child.signal(signal.SIGTERM)
        assert child.wait() == 4
        assert time.monotonic() - begun < 1
    assert child.pids() == []


PARENT = """
import os, pathlib, sys
from fake_server.programs.child import prepare
child = prepare(folder=pathlib.Path(sys.argv[1]))
child.go(["sh", "-c", "sleep 60 & setsid sleep 60 & setsid setsid sleep 60 & wait"], environment=os.environ)
while len(child.pids()) < 4:
    pass
print(child.isolated, os.getpid(), *child.pids(), flush=True)
child.wait()
"""


@pytest.mark.other_programs
@pytest.mark.parametrize("group", [False, True])
def test_killing_the_parent_leaves_nothing(folder: Path, group: bool) -> None:
    """After SIGKILL of this side, or of its whole process group, there is no process, no mount and no folder any more."""
    (folder / "key").write_text("secret")
    mounts = Path("/proc/self/mounts").read_text()
    command = [sys.executable, "-c", PARENT, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True) as parent:
        assert parent.stdout
        _, *words = parent.stdout.readline().split()
        pids = [*map(int, words), *descendants(parent.pid)]
        assert len(set(pids)) >= 7  # the parent, the two of the launcher, the command and its three
        (os.killpg if group else os.kill)(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and (folder.exists() or runs(pids)):
        time.sleep(0.01)
    assert not folder.exists()
    assert not runs(pids)
    assert Path("/proc/self/mounts").read_text() == mounts


def test_a_killed_launcher_takes_the_command_with_it(folder: Path) -> None:
    """When the launcher itself is killed, the command ends, too, as if by SIGKILL, and one line says so."""
    said: list[str] = []
    with prepare(folder=folder, say=said.append) as child:
        child.go(["sleep", "60"], environment=os.environ)
        while not child.pids():
            time.sleep(0.001)
        (own,) = child.pids()
        starter = int(Path(f"/proc/{own}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(starter, signal.SIGKILL)
        assert child.wait() == 137
    assert said == ["the launcher of the command was killed, and the command with it"]
    assert not runs([own])


CLOSED = """
import os, pathlib, sys
for each in map(int, sys.argv[2]):
    os.close(each)
from fake_server.programs.child import prepare
with prepare(folder=pathlib.Path(sys.argv[1])) as child:
    child.go(["sh", "-c", 'ls -l /proc/$$/fd > "$0/../seen"', sys.argv[1]], environment=os.environ)
    os._exit(child.wait())
"""


@pytest.mark.other_programs
@pytest.mark.parametrize("closed", ["0", "01", "012"])
def test_closed_streams_stay_closed(folder: Path, closed: str) -> None:
    """A standard stream that is closed is closed for the command, too, and nothing of ours is in its place."""
    subprocess.run([sys.executable, "-c", CLOSED, folder, closed], cwd=ROOT, stdin=subprocess.DEVNULL, check=True)
    seen = {line.split()[-3] for line in (folder.parent / "seen").read_text().splitlines() if "->" in line}
    assert not seen & set(closed) - {"1"}  # where the shell opens the file for its own child
    assert "socket" not in (folder.parent / "seen").read_text()


def test_a_temporary_folder_is_not_needed(run: Run) -> None:
    """A command starts where no temporary folder can be written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", "/proc")
        patch.setattr("tempfile.tempdir", "/proc")
        assert run(["sh", "-c", "echo $TMPDIR"], environment=os.environ).output == "/proc\n"


def test_processes_are_found_without_proc(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc does not tell the children of a process, `ps` does."""
    with prepare(folder=folder) as child:
        child.go(["sh", "-c", "sleep 60 & sleep 60; :"], environment=os.environ)
        while len(child.pids()) < 3:
            time.sleep(0.001)
        by_proc = child.pids()
        monkeypatch.setattr("fake_server.programs.launcher.os.path.exists", lambda _: False)
        assert sorted(child.pids()) == sorted(by_proc)
