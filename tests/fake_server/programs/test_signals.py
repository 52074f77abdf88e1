"""Claims about signals and the terminal: the command gets each signal once, as if nothing stood before it."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

pytestmark = [
    pytest.mark.other_programs,
    pytest.mark.skipif(sys.platform != "linux", reason="the terminal is used as on Linux"),
]

RUN = """
import os, sys
from pathlib import Path
from fake_server.programs.child import prepare, signals_passed_to
with prepare(folder=Path(sys.argv[1])) as child:
    with signals_passed_to(child):
        child.go(sys.argv[2:], environment=os.environ)
        code = child.wait()
print("exit code", code, flush=True)
"""

COUNT = """
import signal, sys, time
came = []
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), lambda number, _: came.append(signal.Signals(number).name))
print("ready", sys.stdin.isatty(), flush=True)
while not came:
    time.sleep(0.01)
time.sleep(0.4)
print(*came, flush=True)
sys.exit(9)
"""

LEADER = """
import os, signal, sys
pid = os.fork()
if not pid:
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.tcsetpgrp(0, os.getpgrp())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.argv[1], sys.argv[1:])
while True:
    _, status = os.waitpid(pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        break
    print("stopped", flush=True)
    os.killpg(pid, signal.SIGCONT)
"""
"""What a shell does with a job: a process group of its own in the foreground, continued when it is stopped."""


class Terminal:
    """A terminal whose other end is this test."""

    def __init__(self, command: list[str]) -> None:
        self._shown = ""
        pid, self._master = pty.fork()
        if not pid:
            os.chdir(ROOT)
            os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", LEADER, *command])
        self._pid = pid

    def type(self, keys: bytes) -> None:
        os.write(self._master, keys)

    def until(self, text: str) -> str:
        """Return what is shown, once a text is part of it."""
        with contextlib.suppress(OSError):  # no process has it any more
            while text not in self._shown:
                self._shown += os.read(self._master, 4096).decode()
        assert text in self._shown
        return self._shown.replace("\r\n", "\n")

    def close(self) -> None:
        os.close(self._master)
        os.waitpid(self._pid, 0)


@contextlib.contextmanager
def in_a_terminal(*command: str) -> Iterator[Terminal]:
    terminal = Terminal([sys.executable, "-c", RUN, *command])
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.mark.parametrize(("key", "name"), [(b"\x03", "SIGINT"), (b"\x1c", "SIGQUIT")])
def test_a_key_reaches_the_command_once(folder: Path, key: bytes, name: str) -> None:
    """Ctrl-C and Ctrl-\\ come to the command once, and do not end what started it. The terminal is the command's own."""
    with in_a_terminal(str(folder), sys.executable, "-c", COUNT, name) as terminal:
        terminal.until("ready True\n".replace("\n", "\r\n"))
        terminal.type(key)
        shown = terminal.until("exit code 9")
    assert shown.count(name) == 1


def test_a_command_stops_and_continues_with_its_job(folder: Path) -> None:
    """Ctrl-Z stops the whole job, and whoever started it can continue it. After that, Ctrl-C comes once."""
    with in_a_terminal(str(folder), sys.executable, "-c", COUNT, "SIGINT") as terminal:
        terminal.until("ready True")
        terminal.type(b"\x1a")
        terminal.until("stopped")
        terminal.type(b"\x03")
        shown = terminal.until("exit code 9")
    assert shown.count("SIGINT") == 1


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2"])
@pytest.mark.parametrize("whole_group", [False, True])
def test_a_signal_reaches_the_command_once(folder: Path, name: str, whole_group: bool) -> None:
    """A signal comes to the command once, whether it is sent to what started it or to the whole process group."""
    command = [sys.executable, "-c", RUN, str(folder), sys.executable, "-c", COUNT, name]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, process_group=0
    ) as running:
        assert running.stdout
        assert running.stdout.readline() == "ready False\n"
        (os.killpg if whole_group else os.kill)(running.pid, getattr(signal, name))
        assert running.stdout.read() == f"{name}\nexit code 9\n"


def test_a_command_that_a_signal_ends_is_told(folder: Path) -> None:
    """A command that SIGTERM ends has the exit code 143, and its folder is gone."""
    command = [sys.executable, "-c", RUN, str(folder), "sh", "-c", "echo ready; exec sleep 60"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        assert running.stdout.readline() == "ready\n"
        running.terminate()
        assert running.stdout.read() == "exit code 143\n"
    assert not folder.exists()


def test_an_ignored_signal_stays_ignored(folder: Path) -> None:
    """A signal that is ignored from the start, as after `nohup`, is ignored by the command, too."""
    command = [sys.executable, "-c", RUN, str(folder), "sh", "-c", "kill -HUP $$; kill -INT $$; kill -PIPE $$; exit 3"]
    ignoring = 'trap "" HUP INT; exec "$@"'
    done = subprocess.run(["sh", "-c", ignoring, "sh", *command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "exit code 141\n"  # by SIGPIPE: it was not ignored
