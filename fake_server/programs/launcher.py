"""The launcher: starts a command, in namespaces of its own or not, passes signals to it, and leaves nothing behind.

`child.py` starts this file by its path, with `python -I -S`: it must import nothing but the standard library.

It is two processes. The keeper leaves the session of `run`, so that no signal to the process group of `run` reaches it. When
`run` is gone, it kills every process that the command left and removes the folder. The starter is a child of the keeper and
stays in the process group. It enters the namespaces, listens there, starts the command and waits for it.

Both end when the last writer of a pipe, `life`, is gone: only `run` holds it. `run` writes into it, as one byte, the number of
each signal that the command should get. Everything else goes over a socket pair, `control`, as lines of JSON, some of which
carry file descriptors:

- starter: `{"ready": PID, "listening": [0, 1]}` with the listeners, by their places in the list asked for; or `{"failed": WHY}`
- run: `{"command": […], "environment": {…}, "bound": {PATH: REPLACEMENT}}`
- starter: `{"say": TEXT}`, `{"outlived": COUNT}` and at last `{"ended": CODE}`
- run, at any time: `{"socket": "IPv4"}` or `"IPv6"`; starter: `{"socket": true}` with a socket that is in the namespace
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import math
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["CANNOT_ISOLATE", "PASSED", "Channel", "descendants"]

CANNOT_ISOLATE = 3
"""The exit code of a launcher that could not make the namespaces. It leaves the folder alone."""

PASSED = [
    getattr(signal, name)
    for name in ("SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGTERM")
    if hasattr(signal, name)
]
"""The signals that are passed to the command. The others do to `run` what they always do."""

_ENDING = [
    number for number in PASSED if number.name not in ("SIGUSR1", "SIGUSR2")
]  # they end what does not handle them
_SAME_SIGNAL = 1.0  # seconds within which a signal from `run` is the one that the whole process group got
_GRACE = 0.3  # seconds that the rest of a command's processes have to end before anything is said
_TERMINATION = 2.0  # seconds that they have to end after SIGTERM, before SIGKILL
_NEW_ADDRESS = 1.0  # seconds until a new address of the loopback interface can be used
_PERSISTENCE = 5.0  # seconds in which SIGKILL is tried again: some processes may belong to another user

# of linux/sched.h, linux/mount.h, linux/prctl.h and linux/sockios.h
_CLONE_NEWNS, _CLONE_NEWUSER, _CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
_MS_BIND = 0x1000
_PR_SET_CHILD_SUBREAPER = 36
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK, _IFF_UP = 0x8914, 0x8916, 0x891C, 1
_LOOPBACK_INDEX = 1

_MOST_DESCRIPTORS = 253  # that one message can carry


# -- what both sides use


class Channel:
    """One end of the socket pair over which `run` and the starter exchange messages, some with sockets."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._buffer = b""
        self._descriptors: list[int] = []

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, message: dict[str, Any], sockets: Sequence[socket.socket] = ()) -> None:
        """Send a message, and sockets with it."""
        line = json.dumps({**message, "descriptors": len(sockets)}).encode() + b"\n"
        if sockets:
            line = line[socket.send_fds(self._end, [line], [each.fileno() for each in sockets]) :]
        self._end.sendall(line)

    def receive(self) -> list[tuple[dict[str, Any], list[socket.socket]]]:
        """Wait for at least one message, and return those that have come, each with its sockets.

        Return none when the other side is gone.
        """
        while b"\n" not in self._buffer:
            try:
                data, arrived, _, _ = socket.recv_fds(self._end, 65536, _MOST_DESCRIPTORS)
            except OSError:
                data, arrived = b"", []
            if not data:
                return []
            self._buffer += data
            self._descriptors += arrived
        *lines, self._buffer = self._buffer.split(b"\n")
        received = []
        for line in lines:
            message = json.loads(line)
            count = message.pop("descriptors")
            received.append((message, [socket.socket(fileno=each) for each in self._descriptors[:count]]))
            del self._descriptors[:count]
        return received

    def settimeout(self, seconds: float | None) -> None:
        """Set how long to wait for messages (None: for ever). After that time the other side counts as gone."""
        self._end.settimeout(seconds)

    def close(self) -> None:
        self._end.close()


def descendants(pid: int) -> list[int]:
    """Return the running processes that a process has started, and those that these have started, and so on.

    A process that ended but was not waited for is not among them.
    """
    from_proc = os.path.exists("/proc/thread-self/children")
    table = {} if from_proc else _table_of_processes()
    found = [pid]
    for each in found:  # the list grows meanwhile
        found += _children(each) if from_proc else table.get(each, [])
    return [each for each in found[1:] if not from_proc or _runs(each)]


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # the process ends meanwhile
        for task in os.listdir(f"/proc/{pid}/task"):
            with (
                contextlib.suppress(FileNotFoundError, ProcessLookupError),
                open(f"/proc/{pid}/task/{task}/children") as file,
            ):
                found += [int(each) for each in file.read().split()]
    return found


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _table_of_processes() -> dict[int, list[int]]:
    """Return the running children of each process, where only `ps` tells them."""
    table: dict[int, list[int]] = {}
    with os.popen("ps -A -o pid= -o ppid= -o stat=") as lines:
        for line in lines:
            pid, parent, state = line.split()[:3]
            if not state.startswith("Z"):
                table.setdefault(int(parent), []).append(int(pid))
    return table


# -- the two processes


def main() -> None:
    """Be the launcher: `launcher.py CONTROL LIFE SETTINGS`, two descriptors and JSON. Return when nothing is left to do."""
    for descriptor in (0, 1, 2):
        _occupy(descriptor)
    control, life, settings = socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]), json.loads(sys.argv[3])
    for descriptor in (control.fileno(), life):
        os.set_inheritable(descriptor, False)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    _adopt()
    signals = _signals_to_read()
    entered, entering = os.pipe()
    mapped, mapping = os.pipe()
    starter = os.fork()
    if not starter:
        os.close(mapping)
        os._exit(_Starter(Channel(control), life, settings).run(entering, mapped))
    control.close()
    os.close(entering)
    os.setsid()
    _let_go_of_streams()
    if os.read(entered, 1):  # the starter is in its namespace
        os.write(mapping, _map_ids(starter))
    _keep(starter, signals, life, _bytes(settings["folder"]))


def _adopt() -> None:
    """Become the parent of every descendant whose own parent ends."""
    if sys.platform == "linux":
        _call("prctl", *(ctypes.c_ulong(each) for each in (_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)))


def _occupy(descriptor: int) -> None:
    """Open the null device as a standard stream that is closed, so that nothing else gets its number.

    The command does not inherit it: the stream is closed for the command, too.
    """
    try:
        os.fstat(descriptor)
    except OSError:
        os.open(os.devnull, os.O_RDWR)


def _let_go_of_streams() -> None:
    """Close the standard streams, so that whoever reads from the command sees their end when the command closes them."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)


def _signals_to_read() -> int:
    """Have the numbers of the signals that arrive written into a pipe, and return its end for reading.

    A signal that whoever started `run` wanted to be ignored stays ignored, here and by the command.
    """
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (*PASSED, signal.SIGCHLD):
        if number == signal.SIGCHLD or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
    return reading


def _read(pipe: int) -> bytes:
    """Return what a pipe holds at this moment."""
    try:
        return os.read(pipe, 512)
    except BlockingIOError:
        return b""


def _reap() -> tuple[dict[int, int], bool]:
    """Return the exit codes of the children that have ended since, and whether there are others.

    A child that a signal ended has 128 and the number of the signal for its code.
    """
    codes: dict[int, int] = {}
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            code = os.waitstatus_to_exitcode(ended[1])
            codes[ended[0]] = code if code >= 0 else 128 - code
    except ChildProcessError:
        return codes, False
    return codes, True


# -- the keeper


def _map_ids(starter: int) -> bytes:
    """Map the users and groups of the starter's namespace to those outside, and return b"ok", or why that is not possible.

    Each keeps its number. With the right to do so, all are mapped; otherwise only this user and this group.
    """
    try:
        for kind, own in (("uid", os.geteuid()), ("gid", os.getegid())):
            with open(f"/proc/self/{kind}_map") as file:
                ranges = [line.split() for line in file]
            try:
                _write(
                    f"/proc/{starter}/{kind}_map", "".join(f"{first} {first} {count}\n" for first, _, count in ranges)
                )
            except PermissionError:
                if kind == "gid":
                    _write(f"/proc/{starter}/setgroups", "deny")
                _write(f"/proc/{starter}/{kind}_map", f"{own} {own} 1\n")
    except OSError as error:
        return f"its users cannot be mapped: {error.strerror}".encode()
    return b"ok"


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _keep(starter: int, signals: int, life: int, folder: bytes) -> None:
    """Wait until `run` is gone or the starter ends. Kill what is left, and remove the folder once `run` is gone."""
    watch = select.poll()
    watch.register(life, 0)  # its end only: the starter reads from it
    watch.register(signals, select.POLLIN)
    while not any(descriptor == life for descriptor, _ in watch.poll()):
        _read(signals)
        codes, _ = _reap()
        if codes.get(starter) == CANNOT_ISOLATE:
            return
        if starter in codes:
            break
    _kill_all()
    watch.unregister(signals)
    watch.poll()
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _kill_all() -> None:
    """Kill every descendant. What one of them leaves becomes a child of this process, so that none is missed."""
    end = time.monotonic() + _PERSISTENCE
    while _reap()[1] and time.monotonic() < end:
        _signal_descendants(signal.SIGKILL)
        time.sleep(0.001)


def _signal_descendants(number: int) -> None:
    for pid in descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


# -- the starter


class _Refused(Exception):
    """The system does not allow a step of the isolation. The message says which, and why."""


class _Starter:
    """Starts the command, and waits for it and for what it leaves."""

    def __init__(self, channel: Channel, life: int, settings: dict[str, Any]) -> None:
        self._channel, self._life, self._settings = channel, life, settings
        self._command: int | None = None  # its process
        self._code: int | None = None  # its exit code, once it has ended
        self._finished = False
        self._came: dict[int, float] = {}  # when each signal last came to the whole process group
        self._alarm: tuple[float, Callable[[], None]] | None = None  # what is done when, unless all ends before

    def run(self, entering: int, mapped: int) -> int:
        """Do all of it, and return the exit code of this process."""
        _adopt()
        signals = _signals_to_read()
        listening: dict[int, socket.socket] = {}
        if self._settings["isolate"]:
            try:
                _enter_namespaces(entering, mapped)
                listening = _listen(self._settings["listen"], self._settings["addresses"])
            except _Refused as why:
                self._channel.send({"failed": str(why)})
                return CANNOT_ISOLATE
        os.close(entering)
        self._channel.send({"ready": os.getpid(), "listening": [*listening]}, [*listening.values()])
        for listener in listening.values():
            listener.close()
        watch = select.poll()
        for descriptor in (self._channel.fileno(), self._life, signals):
            watch.register(descriptor, select.POLLIN)
        while not self._finished:
            wait = None if self._alarm is None else max(0, self._alarm[0] - time.monotonic()) * 1000
            ready = [descriptor for descriptor, _ in watch.poll(wait)]
            self._hear(_read(signals))
            if self._life in ready:
                if not (numbers := os.read(self._life, 512)):
                    return 1  # `run` is gone: the keeper does the rest
                self._pass(numbers)
            if self._channel.fileno() in ready:
                if not (messages := self._channel.receive()):
                    return 1
                for message, _ in messages:
                    self._obey(message)
            if self._alarm is not None and time.monotonic() >= self._alarm[0]:
                _, act = self._alarm
                self._alarm = None
                act()
            self._look_after_children()
        self._channel.send({"ended": self._code})
        return 0

    def _hear(self, numbers: bytes) -> None:
        """Note the signals that came to this process: the command has got them, too, as it is in the same group."""
        for number in numbers:
            self._came[number] = time.monotonic()
            self._end_what_is_left(number)

    def _pass(self, numbers: bytes) -> None:
        """Pass on signals that came to `run`, unless they came to the whole group."""
        for number in numbers:
            if time.monotonic() - self._came.get(number, -math.inf) < _SAME_SIGNAL:
                continue
            if self._command is not None and self._code is None:
                with contextlib.suppress(PermissionError):  # it became another user's
                    os.kill(self._command, number)
            self._end_what_is_left(number)

    def _obey(self, message: dict[str, Any]) -> None:
        if "socket" in message:
            family = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}[message["socket"]]
            with socket.socket(family) as made:
                self._channel.send({"socket": True}, [made])
            return
        for path, replacement in message["bound"].items():
            try:
                _call("mount", _bytes(replacement), _bytes(path), None, ctypes.c_ulong(_MS_BIND), None)
            except OSError as error:
                self._say(f"{path} cannot be replaced for the command: {error.strerror}")
        command = [_bytes(each) for each in message["command"]]
        environment = {_bytes(name): _bytes(value) for name, value in message["environment"].items()}
        try:
            self._command = _start(command, environment)
        except _NotStarted as error:
            self._code = error.code
            self._say(f"{message['command'][0]}: {error}")
        _let_go_of_streams()

    def _look_after_children(self) -> None:
        codes, left = _reap()
        if self._command in codes:
            self._code = codes[self._command]
            self._alarm = time.monotonic() + _GRACE, self._say_what_is_left
        self._finished = self._finished or (self._code is not None and not left)

    def _say_what_is_left(self) -> None:
        if count := len(descendants(os.getpid())):
            processes = (
                "1 process that it started still runs" if count == 1 else f"{count} processes that it started still run"
            )
            self._say(f"the command has ended, but {processes}; waiting (Ctrl-C ends that)")

    def _end_what_is_left(self, number: int) -> None:
        """End what outlives the command: first by SIGTERM, and at a second signal or after a while by SIGKILL."""
        if self._code is None or number not in _ENDING:
            return
        if self._alarm is not None and self._alarm[1] == self._finish:
            self._finish()
        else:
            _signal_descendants(signal.SIGTERM)
            self._alarm = time.monotonic() + _TERMINATION, self._finish

    def _finish(self) -> None:
        self._finished = True  # the keeper kills what still runs

    def _say(self, text: str) -> None:
        self._channel.send({"say": text})


def _bytes(text: str) -> bytes:
    """Return what `child.py` turned into a text for JSON."""
    return text.encode("utf-8", "surrogateescape")


class _NotStarted(Exception):
    """The command cannot be executed. The message says why; `code` is what a shell would exit with."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


def _start(command: list[bytes], environment: dict[bytes, bytes]) -> int:
    """Start the command as a child, with the standard streams of this process, and return its process.

    Raise _NotStarted if it cannot be executed.
    """
    reading, writing = os.pipe()
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # none is lost before the child can die of it
    pid = os.fork()
    if not pid:
        try:
            for number in (*PASSED, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
                if number not in PASSED or signal.getsignal(number) != signal.SIG_IGN:
                    signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            code, why = _execute(command, environment)
            os.write(writing, f"{code} {why}".encode())
        finally:
            os._exit(127)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.close(writing)
    with open(reading) as failure:  # its end, if the command has been executed
        if said := failure.read():
            os.waitpid(pid, 0)
            raise _NotStarted(int(said[:3]), said[4:])
    return pid


def _execute(command: list[bytes], environment: dict[bytes, bytes]) -> tuple[int, str]:
    """Become the command, looked for in its own PATH; or return what a shell would exit with, and why."""
    name = command[0]
    if b"/" in name:
        places, failure = [name], (127, "no such file")
    else:
        path = environment.get(b"PATH", os.fsencode(os.defpath))
        places = [os.path.join(folder or b".", name) for folder in path.split(b":")]
        places = [place for place in places if os.path.isfile(place)]
        failure = 127, "command not found"
    for place in places:
        try:
            os.execve(place, command, environment)
        except OSError as error:
            reason = error
        if reason.errno == errno.ENOEXEC:  # a script whose first line does not name its interpreter
            with contextlib.suppress(OSError):
                os.execve(b"/bin/sh", [b"/bin/sh", place, *command[1:]], environment)
        if os.path.isdir(place):
            failure = 126, "is a directory"
        elif reason.errno not in (errno.ENOENT, errno.ENOTDIR):
            failure = 126, reason.strerror or str(reason)
        elif os.path.exists(place):
            failure = 127, "the interpreter that it names does not exist"
    return failure


# -- the namespaces


def _enter_namespaces(entering: int, mapped: int) -> None:
    """Enter a user, a mount and a network namespace of this process's own. Raise _Refused if that is not permitted.

    Because the user namespace is another, what is mounted here is not seen outside.
    """
    try:
        _call("unshare", ctypes.c_int(_CLONE_NEWUSER | _CLONE_NEWNS | _CLONE_NEWNET))
    except OSError as error:
        raise _Refused(f"unshare: {error.strerror}") from None
    os.write(entering, b"x")
    answer = os.read(mapped, 512)  # of the keeper, which is outside
    if answer != b"ok":
        raise _Refused(answer.decode() or "the users could not be mapped")


def _call(name: str, *arguments: Any) -> None:
    """Call a function of the C library that returns 0. Raise OSError if it fails."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _listen(places: list[tuple[str, int]], addresses: list[str]) -> dict[int, socket.socket]:
    """Listen on each place in this network namespace, and return the listeners by the places' indices.

    `addresses` are other machines': they become addresses of the loopback interface. IPv6 is left out where there is none.
    """
    try:
        _set_up_loopback(addresses)
        listeners: dict[int, socket.socket] = {}
        for index, (host, port) in enumerate(places):
            try:
                listeners[index] = _listener(host, port)
            except OSError:
                if ":" not in host:
                    raise
    except OSError as error:
        raise _Refused(f"the network namespace cannot be used: {error.strerror}") from None
    return listeners


def _listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens. A new IPv6 address can be used a moment after it was set, and is waited for."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    end = time.monotonic() + _NEW_ADDRESS
    while True:
        try:
            return socket.create_server((host, port), family=family, backlog=1024)
        except OSError as error:
            if host in ("127.0.0.1", "::1") or error.errno != errno.EADDRNOTAVAIL or time.monotonic() > end:
                raise
            time.sleep(0.002)


def _set_up_loopback(addresses: list[str]) -> None:
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", _IFF_UP))
        for index, address in enumerate(each for each in addresses if ":" not in each):
            for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, "255.255.255.255")):
                packed = struct.pack("16sH2x4s16x", b"lo:%d" % index, socket.AF_INET, socket.inet_aton(value))
                fcntl.ioctl(any_socket, request, packed)
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as any_socket:
        for address in addresses:
            if ":" in address:
                packed = struct.pack("16sIi", socket.inet_pton(socket.AF_INET6, address), 128, _LOOPBACK_INDEX)
                fcntl.ioctl(any_socket, _SIOCSIFADDR, packed)


if __name__ == "__main__":
    main()
