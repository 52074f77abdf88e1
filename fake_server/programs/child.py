"""A command and all that it starts, seen from the process of `run`: prepared, started, waited for, ended.

with prepare(folder=folder, listen=[("127.0.0.1", 443)]) as child:
    ...  # serve the fake on child.listeners
    child.go(command, environment=environment, bound={Path("/etc/hosts"): folder / "hosts"})
    with signals_passed_to(child):
        code = child.wait()
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Any, Literal, NamedTuple

from fake_server.programs import launcher
from fake_server.programs.forwarding import Forward, Forwarding, published
from kling_contract.errors import IsolationError, ListenError

__all__ = ["Child", "Isolate", "Streams", "prepare", "signals_passed_to"]

Isolate = Literal["auto", "require", "off"]
"""Whether a command gets namespaces of its own: where the system permits it; always, or it is not started; never."""


class Streams(NamedTuple):
    """The standard streams of a command, as `subprocess` takes them. None: that of this process."""

    stdin: int | IO[Any] | None = None
    stdout: int | IO[Any] | None = None
    stderr: int | IO[Any] | None = None


_FORBIDDING = {
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": "1",
    "/proc/sys/kernel/unprivileged_userns_clone": "0",
    "/proc/sys/user/max_user_namespaces": "0",
}
"""Settings of Linux, and the value with which each forbids namespaces."""

_NAME_SERVICE = (Path("/run/nscd/socket"), Path("/var/run/nscd/socket"))  # it would answer in place of the hosts file
_PATIENCE = 10.0  # seconds that the launcher has to get ready


def prepare(
    *,
    folder: Path,
    isolate: Isolate = "auto",
    listen: Sequence[tuple[str, int]] = (),
    allow: Sequence[Forward] = (),
    publish: Sequence[int] = (),
    say: Callable[[str], None] | None = None,
    streams: Streams | None = None,
) -> Child:
    """Prepare all that a command needs, up to its start.

    `folder` belongs to the child: it is removed when the child is closed, and when this process dies. `listen` are addresses
    and ports in the child's network namespace that lead to the fake, `allow` the places outside that the command may reach,
    `publish` the ports of the command's that this machine may reach. Without a namespace these three are not needed, and ignored.
    `say` gets each line that a person should read (None: it goes to standard error).

    Raise IsolationError if `isolate` is "require" and this system does not permit namespaces; raise ListenError if a published
    port is taken, or if the fake itself listens where an allowed place would be.
    """
    if sys.platform == "win32":
        raise IsolationError("a command can be run against a fake on Linux and macOS only")
    say = say or _say
    for forward in allow:
        if set(listen) & {(address, forward.port) for address in forward.inside}:
            raise ListenError(f"{forward.host}:{forward.port} cannot be allowed: the fake itself listens there")
    streams = streams or Streams()
    if isolate == "off":
        return Child(folder, streams, say, why_not="it was not asked for")
    try:
        if sys.platform != "linux":
            raise _NoNamespaces("only Linux has them")
        with contextlib.ExitStack() as on_failure:
            outside = [(on_failure.enter_context(published(port)), port) for port in publish]
            child = Child(folder, streams, say, listen=listen, allow=allow, publish=outside)
            on_failure.pop_all()
            return child
    except _NoNamespaces as why:
        if isolate == "require":
            raise IsolationError(f"the command cannot be isolated: this system does not permit it ({why})") from None
        return Child(folder, streams, say, why_not=str(why))


class Child:
    """A command that is prepared, runs, or has ended, with all that it starts. Ends and cleans up when its context ends.

    `isolated` says whether it has namespaces of its own, and `why_not` why it has none. `listeners` listen in its network
    namespace, where they lead to the fake; there are none without a namespace.
    """

    def __init__(
        self,
        folder: Path,
        streams: Streams,
        say: Callable[[str], None],
        *,
        why_not: str | None = None,
        listen: Sequence[tuple[str, int]] = (),
        allow: Sequence[Forward] = (),
        publish: Sequence[tuple[socket.socket, int]] = (),
    ) -> None:
        """Start the launcher, isolated unless `why_not` says why it is not, and wait until it is ready."""
        self.isolated = why_not is None
        self.why_not = why_not
        self._say = say
        self._code = 128 + signal.SIGKILL  # unless the launcher tells another
        self._ended = threading.Event()
        self._closing = False
        self._asking = threading.Lock()
        self._answers: queue.SimpleQueue[socket.socket | None] = queue.SimpleQueue()
        self._forwarding = Forwarding(say)
        forwarded = {(address, forward.port): forward for forward in allow for address in forward.inside}
        settings = {
            "folder": _text(folder),
            "isolate": self.isolated,
            "listen": [*listen, *forwarded],
            "addresses": sorted({address for (address, _), forward in forwarded.items() if forward.is_address}),
        }
        self._launcher, self._channel, self._life = _launch(settings, streams)
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(self._end_launcher)
            ready, sockets = self._first_answer()
            on_failure.pop_all()
        self._starter = ready["ready"]
        by_index = dict(zip(ready["listening"], sockets, strict=True))
        self.listeners = [by_index.pop(index) for index in range(len(listen)) if index in by_index]
        for index, listener in by_index.items():
            self._forwarding.forward(listener, [*forwarded.values()][index - len(listen)])
        for listener, port in publish:
            self._forwarding.publish(listener, port, self.socket_inside)
        self._reader = threading.Thread(target=self._listen, name="launcher", daemon=True)
        self._reader.start()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def go(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        environment: Mapping[str, str],
        bound: Mapping[Path, Path] | None = None,
    ) -> None:
        """Start the command, with exactly this environment. What becomes of it is known from `wait`.

        `bound` are files, and those that the command finds in their places. Only a command with namespaces of its own does.
        """
        replaced = {path.resolve(): other for path, other in (bound or {}).items() if os.access(path, os.F_OK)}
        replaced |= {path.resolve(): Path(os.devnull) for path in _NAME_SERVICE if os.access(path, os.F_OK)}
        order = {
            "command": [_text(each) for each in command],
            "environment": {
                _text(name): _text(value) for name, value in environment.items() if name and "=" not in name
            },
            "bound": {_text(path): _text(other) for path, other in replaced.items()} if self.isolated else {},
        }
        with contextlib.suppress(OSError), self._asking:  # the launcher is gone: `wait` tells
            self._channel.send(order)

    def wait(self) -> int:
        """Wait until the command and all that it started have ended, and return its exit code.

        It is 128 and the number of the signal if one ended it, 127 if there is no such command, 126 if it cannot be executed.
        """
        self._ended.wait()
        return self._code

    def pids(self) -> list[int]:
        """Return the processes of the command and of all that it started, as far as they run."""
        return launcher.descendants(self._starter)

    def signal(self, number: int) -> None:
        """Send a signal to the command, unless its whole process group, which is that of this process, has just got it.

        Once the command has ended, SIGINT and SIGTERM end what still runs of all that it started. Safe in a signal handler.
        """
        with contextlib.suppress(OSError):  # the launcher is gone
            os.write(self._life, bytes([number]))

    def socket_inside(self, family: Literal["IPv4", "IPv6"] = "IPv4") -> socket.socket:
        """Return a new TCP socket that is in the network namespace of the command. Raise OSError if the command has ended."""
        with self._asking:
            self._channel.send({"socket": family})
            made = self._answers.get()
        if made is None:
            raise ConnectionError("the command has ended")
        return made

    def close(self) -> None:
        """End the command and all that it started, at once, and remove the folder."""
        if not self._closing:
            self._closing = True
            for listener in self.listeners:
                listener.close()
            self._end_launcher()
            self._reader.join()
            self._forwarding.close()

    def _end_launcher(self) -> None:
        life, self._life = self._life, -1
        os.close(life)
        self._launcher.wait()
        self._channel.close()

    def _first_answer(self) -> tuple[dict[str, Any], list[socket.socket]]:
        self._channel.settimeout(_PATIENCE)
        answers = self._channel.receive()
        self._channel.settimeout(None)
        if not answers:
            raise IsolationError(
                f"the command cannot be prepared: its launcher ended, or was not ready within {_PATIENCE:g} s"
            )
        answer, sockets = answers[0]
        if "failed" in answer:
            self._launcher.wait(_PATIENCE)  # it ends by itself, and leaves the folder to the next one
            raise _NoNamespaces(answer["failed"])
        return answer, sockets

    def _listen(self) -> None:
        told = False
        while messages := self._channel.receive():
            for message, sockets in messages:
                if "say" in message:
                    self._say(message["say"])
                elif "socket" in message:
                    self._answers.put(sockets[0])
                else:
                    self._code = message["ended"]
                    told = True
                    self._ended.set()
        if not told and not self._closing:
            self._say("the launcher of the command was killed, and the command with it")
        self._ended.set()
        self._answers.put(None)


@contextlib.contextmanager
def signals_passed_to(*children: Child) -> Iterator[None]:
    """Pass the signals that this process gets to children that run, instead of ending by them. For the main thread.

    A signal that is ignored stays so. Those that stop and continue a process, or tell it of its window's size, come to the
    command without help, as it is in the same process group.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        for child in children:
            child.signal(number)

    numbers = [number for number in launcher.PASSED if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _NoNamespaces(Exception):
    """The system does not permit namespaces. The message says why."""

    def __init__(self, why: str) -> None:
        forbidding = [(path, value) for path, value in _FORBIDDING.items() if _content(path) == value]
        names = [f"{path.removeprefix('/proc/sys/').replace('/', '.')} is {value}" for path, value in forbidding]
        super().__init__("; ".join([why, *names]))


def _content(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _launch(settings: Mapping[str, Any], streams: Streams) -> tuple[subprocess.Popen[bytes], launcher.Channel, int]:
    """Start the launcher, and return it, the channel to it, and the end for writing of the pipe with whose end it ends."""
    import fcntl

    with contextlib.ExitStack() as given, contextlib.ExitStack() as on_failure:
        ours, theirs = socket.socketpair()
        on_failure.enter_context(ours)
        given.enter_context(theirs)
        reading, life = os.pipe()
        on_failure.callback(os.close, life)
        given.callback(os.close, reading)
        # where a standard stream is closed, its number may have been taken; the launcher needs it closed, too
        passed = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 3) for each in (theirs.fileno(), reading)]
        for descriptor in passed:
            given.callback(os.close, descriptor)
        arguments = [sys.executable, "-I", "-S", launcher.__file__, *map(str, passed), json.dumps(settings)]
        process = subprocess.Popen(
            arguments,
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
            pass_fds=[*passed, *_inherited()],
        )
        on_failure.pop_all()
    return process, launcher.Channel(ours), life


def _inherited() -> list[int]:
    """Return the descriptors, besides the standard streams, that this process was given and that its children would inherit."""
    found = []
    for entry in Path("/dev/fd").iterdir():
        with contextlib.suppress(OSError):  # one of them is that with which the folder is read
            if int(entry.name) > 2 and os.get_inheritable(int(entry.name)):
                found.append(int(entry.name))
    return found


def _text(value: str | os.PathLike[str]) -> str:
    """Return a text for JSON which the launcher turns into the same bytes that the system would get."""
    return os.fsencode(value).decode("utf-8", "surrogateescape")


def _say(text: str) -> None:
    sys.stderr.write(f"kling-contract: {text}\n")
