"""Do Node programs end in a run, and does their time follow its clock?"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fake_server.preload.port_of_run import PortOfRun

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="there is no node on this machine")

Node = Callable[..., Any]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a program in a run; what is left of it at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_program(port: PortOfRun, program: str, suffix: str = "mjs", **changes: Any) -> subprocess.Popen[str]:
        script = tmp_path / f"program.{suffix}"
        script.write_text(program)
        environment = {**os.environ, **port.environment(**changes)}
        pipe = subprocess.PIPE
        command = [str(NODE), str(script)]
        started.append(subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start_program
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def node(start: Callable[..., subprocess.Popen[str]]) -> Node:
    """Run a program in a run; returns the JSON it printed, None if it printed nothing."""

    def run_program(port: PortOfRun, program: str, suffix: str = "mjs", **changes: Any) -> Any:
        process = start(port, program, suffix, **changes)
        out, error = process.communicate(timeout=30)
        assert (process.returncode, error) == (0, ""), error
        return json.loads(out) if out else None

    return run_program


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, for at most 10 s."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


# connections

GET = """
const text = (module, address, options = {}) => new Promise((resolve) => {
  module.get(address, options, (response) => response.resume().on("end", () => resolve(response.statusCode)))
    .on("error", (error) => resolve(error.code));
});
"""


def test_connections_to_the_api_lead_to_the_run_and_no_others(node: Node, port_of_run: PortOfRun) -> None:
    """https, with an authority and a look-up of its own, and http end in the run; another host is refused and told."""
    program = """
    import http from "node:http";
    import https from "node:https";
    import { rootCertificates } from "node:tls";
    const own = { ca: rootCertificates[0], lookup() { throw new Error("nothing is to be looked up"); } };
    console.log(JSON.stringify([
      await text(https, "https://api.aimlapi.com/own", own),
      await text(http, "http://API-staging.aimlapi.com/plain"),
      await text(https, "https://aimlapi.com.example:444/refused"),
    ]));
    """
    assert node(port_of_run, GET + program) == [200, 200, "ECONNREFUSED"]
    came = [(request.server_name, request.target, request.host.lower()) for request in port_of_run.requests]
    assert came == [("api.aimlapi.com", "/own", "api.aimlapi.com"), (None, "/plain", "api-staging.aimlapi.com")]
    assert port_of_run.refused == ["aimlapi.com.example:444"]


# Each makes a connection for which a promise `done` is kept.
DOORS = {
    "fetch": 'done = fetch("https://api.aimlapi.com/").then((response) => response.status);',
    "https with a context": """
        const secureContext = tls.createSecureContext({ ca: tls.rootCertificates[0] });
        done = text(https, "https://api.aimlapi.com/", { secureContext });""",
    "https to an address that the program looked up": """
        const headers = { host: "api.aimlapi.com" };
        done = text(https, "https://192.0.2.77/", { servername: "api.aimlapi.com", headers });""",
    "https from an address of the program's choice": """
        done = text(https, "https://api.aimlapi.com/", { localAddress: "192.0.2.78", family: 6, autoSelectFamily: true });""",
    "https that would rather speak HTTP/2": """
        done = text(https, "https://api.aimlapi.com/", { ALPNProtocols: ["h2", "http/1.1"] });""",
    "tls.connect by port and host": """
        done = byHand(tls.connect(443, "api.aimlapi.com."));""",
    "tls.connect by port and options": """
        done = byHand(tls.connect(443, { host: "api.aimlapi.com" }));""",
    "tls.connect over a socket, without a name": """
        done = byHand(tls.connect({ socket: net.connect(443, "api.aimlapi.com") }));""",
    "tls.connect with protocols as bytes": r"""
        const ALPNProtocols = Buffer.from("\x02h2\x08http/1.1");
        done = byHand(tls.connect({ port: 443, host: "api.aimlapi.com", ALPNProtocols }));""",
    "net.connect": 'done = byHand(net.connect(80, "api.aimlapi.com"));',
    "a socket": 'done = byHand(new net.Socket().connect("80", "api.aimlapi.com"));',
    "a socket by options": 'done = byHand(new net.Socket().connect({ port: 80, host: "api.aimlapi.com" }));',
}
IMPORTS = """
import http from "node:http";
import http2 from "node:http2";
import https from "node:https";
import net from "node:net";
import tls from "node:tls";
let done;
const byHand = (socket) => new Promise((resolve) => {
  socket.on("data", (data) => { socket.destroy(); resolve(Number(String(data).slice(9, 12))); });
  socket.on("error", (error) => resolve(error.message));
  socket.write("GET / HTTP/1.1\\r\\nHost: api.aimlapi.com\\r\\n\\r\\n");
});
"""
PRINT = "\nconsole.log(JSON.stringify(await done));"


@pytest.mark.other_programs
@pytest.mark.parametrize("door", DOORS)
def test_every_door_leads_to_the_run(node: Node, port_of_run: PortOfRun, door: str) -> None:
    """However a program opens its connection to the API, it ends in the run, which it trusts and names."""
    assert node(port_of_run, IMPORTS + GET + DOORS[door] + PRINT) == 200
    (request,) = port_of_run.requests
    assert request.server_name == ("api.aimlapi.com" if door.startswith(("fetch", "https", "tls")) else None)
    assert port_of_run.refused == []


@pytest.mark.other_programs
def test_http2_alone_is_refused(node: Node, port_of_run: PortOfRun) -> None:
    """A program that speaks only HTTP/2 gets an error that says so."""
    program = """
    done = new Promise((resolve) => {
      http2.connect("https://api.aimlapi.com").on("error", (error) => resolve(error.message)).on("connect", resolve);
    });
    """
    message = node(port_of_run, IMPORTS + program + PRINT)
    assert "api.aimlapi.com:443" in message
    assert "speaks only h2" in message


@pytest.mark.other_programs
def test_this_machine_is_never_refused(node: Node, port_of_run: PortOfRun, tmp_path: Path) -> None:
    """Loopback by name and by either family, and Unix sockets, are left alone."""
    program = """
    const path = process.argv[1] + ".sock";
    const serve = (where) => new Promise((resolve) => {
      const server = http.createServer((_, response) => response.end("here")).listen(where, () => resolve(server));
    });
    const servers = [await serve({ path }), await serve({ port: 0, host: "127.0.0.1" }), await serve({ port: 0, host: "::1" })];
    const [, four, six] = servers.map((server) => server.address().port);
    done = Promise.all([
      text(http, "http://example.com/", { socketPath: path }),
      text(http, `http://127.0.0.1:${four}/`),
      text(http, `http://localhost:${four}`),
      text(http, `http://[::1]:${six}`),
      text(http, `http://[::ffff:127.0.0.1]:${four}`),
    ]).finally(() => servers.forEach((server) => server.close()));
    """
    assert node(port_of_run, IMPORTS + GET + program + PRINT) == [200] * 5
    assert (port_of_run.refused, port_of_run.requests) == ([], [])


@pytest.mark.other_programs
def test_other_machines_are_refused_unless_allowed(node: Node, port_of_run: PortOfRun) -> None:
    """Each connection to another machine is refused and told; one that is allowed goes on to the machine it is for."""
    program = """
    const lookup = (_, options, callback) => callback(new Error("looked up"));
    const code = (host, port) => new Promise((resolve) => {
      net.connect({ host, port, lookup }).on("error", (error) => resolve(error.code ?? error.message));
    });
    done = Promise.all([
      code("db.example", 5432), code("db.example", 5433), code("Cache.Example", 1), code("2001:db8::1", 80),
      fetch("https://example.com/").catch((error) => error.cause.code),
    ]);
    """
    allow = ["db.example:5432", "cache.example"]
    results = node(port_of_run, IMPORTS + program + PRINT, allow=allow)
    assert results == ["looked up", "ECONNREFUSED", "looked up", "ECONNREFUSED", "ECONNREFUSED"]
    assert sorted(port_of_run.refused) == ["[2001:db8::1]:80", "db.example:5433", "example.com:443"]


@pytest.mark.other_programs
def test_nothing_is_refused_unless_asked_for(node: Node, port_of_run: PortOfRun) -> None:
    """Without `refuse_others`, another host is looked up as usual."""
    program = """
    const lookup = (_, options, callback) => callback(new Error("looked up"));
    done = new Promise((resolve) => {
      net.connect({ host: "example.com", port: 443, lookup }).on("error", (error) => resolve(error.message));
    });
    """
    assert node(port_of_run, IMPORTS + program + PRINT, refuse_others=False) == "looked up"
    assert port_of_run.refused == []


# time

CLOCKS = """
import { hrtime } from "node:process";
import { setTimeout as sleep, setInterval as ticks, scheduler } from "node:timers/promises";
import timers, { setTimeout as named } from "node:timers";
import { promisify } from "node:util";
const [wall, counter, pair, big, up] = [Date.now(), performance.now(), hrtime(), hrtime.bigint(), process.uptime()];
const clocks = () => {
  const [seconds, nanoseconds] = hrtime(pair);
  return [
    (Date.now() - wall) / 1e3, (new Date() - wall) / 1e3, (performance.now() - counter) / 1e3, seconds + nanoseconds / 1e9,
    Number(hrtime.bigint() - big) / 1e9, process.uptime() - up,
  ];
};
"""
WAITS = {
    "setTimeout": "await new Promise((resolve) => setTimeout(resolve, 300_000));",
    "timers.setTimeout": "await new Promise((resolve) => timers.setTimeout(resolve, 300_000));",
    "setTimeout, imported": "await new Promise((resolve) => named(resolve, 300_000));",
    "setTimeout, made a promise": "await promisify(setTimeout)(300_000);",
    "setTimeout of timers/promises": "await sleep(300_000);",
    "scheduler.wait": "await scheduler.wait(300_000);",
    "setInterval": """
        let count = 0;
        await new Promise((resolve) => {
          const interval = setInterval(() => { if ((count += 1) === 3) resolve(clearInterval(interval)); }, 100_000);
        });""",
    "setInterval of timers/promises": """
        let count = 0;
        for await (const value of ticks(100_000, "tick")) if (value === "tick" && (count += 1) === 3) break;""",
    "AbortSignal.timeout": """
        const keepAlive = setInterval(() => {}, 1_000_000);
        const signal = AbortSignal.timeout(300_000);
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        if (signal.reason.name !== "TimeoutError") throw signal.reason;
        clearInterval(keepAlive);""",
    "refresh": """
        await new Promise((resolve) => {
          const timer = setTimeout(resolve, 200_000);
          setTimeout(() => timer.refresh(), 100_000);
        });""",
}


def test_time_follows_the_clock_of_the_run(node: Node, moving_port: PortOfRun) -> None:
    """Timers of random lengths fire in the order of their due times, and every clock shows that they took that long."""
    program = """
    const random = () => Math.ceil(Math.random() * 1e6);
    const late = [];
    const begin = (depth) => {
      const [delay, started] = [random(), performance.now()];
      return new Promise((resolve) => setTimeout(() => {
        late.push(performance.now() - started - delay);
        resolve(depth > 0 ? begin(depth - 1) : null);
      }, delay));
    };
    await Promise.all([1, 2, 3].map(() => begin(1)));
    const delays = Array.from({ length: 12 }, random).concat(5e5, 5e5);
    const fired = [];
    delays.forEach((delay, place) => setTimeout(() => {
      fired.push(place);
      Promise.resolve().then(() => fired.push(-place));
    }, delay));
    const rest = clocks();
    await sleep(1e6);
    const expected = delays.map((delay, place) => [delay, place]).sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const micro = expected.flatMap(([, place]) => [place, -place]);
    console.log(JSON.stringify({ late, inOrder: String(fired) === String(micro), before: rest, after: clocks() }));
    """
    result = node(moving_port, CLOCKS + program, pace=True)
    assert all(-1.1 < each < 500 for each in result["late"])
    assert result["inOrder"]
    assert max(result["before"]) - min(result["before"]) < 0.1
    assert max(result["after"]) - min(result["after"]) < 0.1
    assert 1000 <= result["after"][0] - result["before"][0] < 1030


@pytest.mark.other_programs
@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_every_wait_follows_the_clock_of_the_run(node: Node, moving_port: PortOfRun, wait: str) -> None:
    """A wait of 300 s, by any function that waits, takes 300 s on every clock and nearly none in truth."""
    started = time.monotonic()
    passed = node(moving_port, CLOCKS + wait + "console.log(JSON.stringify(clocks()));", pace=True)
    assert all(299.99 < each < 302 for each in passed)
    assert max(passed) - min(passed) < 0.1
    assert time.monotonic() - started < 10


DATES = """
import { isDate } from "node:util/types";
class Later extends Date { later() { return this.getTime() > 0; } }
const clone = structuredClone(new Date(5));
console.log(JSON.stringify([
  new Date() instanceof Date, isDate(new Date()), new Date().constructor === Date, typeof Date(), Date.name, Date.length,
  new Later().later(), new Later() instanceof Later, new Later(7).getTime(), new Date(2020, 1).getMonth(), Date.UTC(1970),
  Date.parse("1970-01-01T00:00:01Z"), new Date(undefined).getTime(), clone instanceof Date, clone.getTime(),
  Object.prototype.toString.call(new Date()), Math.abs(Date.parse(Date()) - Date.now()) < 2000,
]));
"""


@pytest.mark.other_programs
def test_a_date_is_a_date(node: Node, port_of_run: PortOfRun) -> None:
    """`Date` does all it did before: calls, construction, subclasses, its own functions, clones."""
    results = [node(port_of_run, DATES, pace=pace) for pace in (True, False)]
    assert results[0] == results[1]


TIMERS = """
import { AsyncLocalStorage } from "node:async_hooks";
import { setTimeout as sleep } from "node:timers/promises";
const seen = {};
const timer = setTimeout(() => { seen.cleared = true; }, 1000);
seen.refs = [timer.hasRef(), timer.unref().hasRef(), timer.ref().hasRef()];
clearTimeout(Number(timer));
clearTimeout(String(+setTimeout(() => { seen.cleared = true; }, 1000)));
setTimeout(() => { seen.cleared = true; }, 1000).close();
setInterval(() => { seen.cleared = true; }, 1000)[Symbol.dispose]?.();
const interval = setInterval(() => {}, 1);
seen.isTimeout = interval.constructor === timer.constructor;
clearInterval(interval);
const storage = new AsyncLocalStorage();
seen.values = await new Promise((resolve) =>
  storage.run("context", () => setTimeout((...values) => resolve([...values, storage.getStore()]), 60_000, 1, 2)));
seen.self = await new Promise((resolve) => { const own = setTimeout(function () { resolve(this === own); }, 60_000); });
const failure = (promise) => promise.then(() => "none", (error) => [error.name, error.code, error.cause?.message ?? ""]);
const controller = new AbortController();
setTimeout(() => controller.abort(new Error("changed my mind")), 60_000);
seen.aborted = await failure(sleep(120_000, null, { signal: controller.signal }));
seen.before = await failure(sleep(120_000, null, { signal: AbortSignal.abort() }));
seen.wrong = await failure(sleep(1, null, { signal: "wrong" }));
try { setTimeout("wrong"); } catch (error) { seen.code = error.code; }
seen.value = await sleep(60_000, "value");
seen.uncaught = await new Promise((resolve) => {
  process.once("uncaughtException", (error) => resolve(error.message));
  setTimeout(() => { throw new Error("thrown in a timer"); }, 60_000);
});
console.log(JSON.stringify(seen));
"""
SEEN = {
    "refs": [True, False, True],
    "isTimeout": True,
    "values": [1, 2, "context"],
    "self": True,
    "aborted": ["AbortError", "ABORT_ERR", "changed my mind"],
    "before": ["AbortError", "ABORT_ERR", "This operation was aborted"],
    "wrong": ["TypeError", "ERR_INVALID_ARG_TYPE", ""],
    "code": "ERR_INVALID_ARG_TYPE",
    "value": "value",
    "uncaught": "thrown in a timer",
}


@pytest.mark.other_programs
def test_timers_are_those_of_node(node: Node, moving_port: PortOfRun) -> None:
    """References, ids, closing, arguments, context, aborts and errors of timers are as they are without a run."""
    assert node(moving_port, TIMERS, pace=True) == SEEN


@pytest.mark.other_programs
@pytest.mark.parametrize(
    "program",
    [
        'const { Worker } = require("node:worker_threads"); new Worker("setTimeout(() => {}, 60_000)", { eval: true });',
        """
        if (process.argv[2]) setTimeout(() => {}, 60_000);
        else require("node:child_process").fork(__filename, ["child"]);
        """,
        """
        const cluster = require("node:cluster");
        if (cluster.isPrimary) cluster.fork();
        else setTimeout(() => process.exit(), 60_000);
        """,
    ],
    ids=["worker", "fork", "cluster"],
)
def test_each_process_and_thread_follows_by_itself(node: Node, moving_port: PortOfRun, program: str) -> None:
    """A worker thread, a forked child and a worker of a cluster have connections of their own, and time of their own."""
    node(moving_port, program, "cjs", pace=True)
    first, second = moving_port.processes
    assert (first.waits, len(second.waits) > 0) == ([], True)
    assert second.waits[0] == pytest.approx(60, abs=0.5)


@pytest.mark.other_programs
def test_a_worker_shows_the_time_of_its_parent(node: Node, moving_port: PortOfRun) -> None:
    """A thread started after the clock was moved shows the moved time from its first line on."""
    program = """
    const { Worker, isMainThread, workerData } = require("node:worker_threads");
    if (isMainThread) setTimeout(() => new Worker(__filename, { workerData: Date.now() }), 60_000);
    else console.log(JSON.stringify(Date.now() - workerData));
    """
    assert 0 <= node(moving_port, program, "cjs", pace=True) < 2000


@pytest.mark.other_programs
def test_only_its_own_timers_keep_a_process_alive(node: Node, port_of_run: PortOfRun) -> None:
    """A process with nothing, or only unreferenced timers, to wait for ends at once."""
    started = time.monotonic()
    program = """
    const { setTimeout: sleep } = require("node:timers/promises");
    setTimeout(() => {}, 60_000).unref();
    setInterval(() => {}, 60_000).unref();
    sleep(60_000, null, { ref: false });
    """
    node(port_of_run, program, "cjs", pace=True)
    assert time.monotonic() - started < 5


@pytest.mark.other_programs
def test_the_run_is_told_what_a_process_waits_for(
    start: Callable[..., subprocess.Popen[str]], port_of_run: PortOfRun
) -> None:
    """Each change of the earliest wake-up is told: a start, an earlier start, an end, a cleared timer, nothing left."""
    program = """
    const timer = setTimeout(() => {}, 60_000);
    setImmediate(() => setTimeout(() => setTimeout(() => clearTimeout(timer), 30_000), 10_000));
    """
    process = start(port_of_run, program, pace=True)
    waits: Callable[[], list[float | None]] = lambda: port_of_run.processes[0].waits  # noqa: E731
    until(lambda: bool(port_of_run.processes) and len(waits()) == 2)
    port_of_run.move(10)
    until(lambda: len(waits()) == 3)
    port_of_run.move(30)
    assert process.wait(10) == 0
    until(lambda: port_of_run.processes[0].ended)
    assert waits() == [pytest.approx(each, abs=0.5) for each in (60, 10, 30)] + [None]


@pytest.mark.other_programs
@pytest.mark.parametrize("end", ["clearTimeout(timer)", "timer.close()"])
def test_a_cleared_timer_is_told(start: Callable[..., subprocess.Popen[str]], port_of_run: PortOfRun, end: str) -> None:
    """A timer that a program clears, and that was the earliest, no longer counts for the run."""
    program = f"""
    const timer = setTimeout(() => {{}}, 60_000);
    const server = require("node:net").createServer(() => {{ {end}; }}).listen(0, () => console.log(server.address().port));
    """
    process = start(port_of_run, program, "cjs", pace=True)
    assert process.stdout is not None
    address = ("127.0.0.1", int(process.stdout.readline()))
    until(lambda: bool(port_of_run.processes and port_of_run.processes[0].waits))
    with socket.create_connection(address):
        until(lambda: len(port_of_run.processes[0].waits) == 2)
    assert port_of_run.processes[0].waits == [pytest.approx(60, abs=0.5), None]


@pytest.mark.other_programs
def test_timers_that_one_move_ends_fire_in_order(
    start: Callable[..., subprocess.Popen[str]], port_of_run: PortOfRun
) -> None:
    """A move far beyond many due times fires the timers by these, not by the order in which they were started."""
    program = """
    const fired = [];
    const delays = Array.from({ length: 50 }, (_, place) => ((place * 37) % 50) * 1000 + 1000);
    for (const delay of delays) setTimeout(() => fired.push(delay), delay);
    setTimeout(() => console.log(JSON.stringify(fired)), 100_000);
    """
    process = start(port_of_run, program, "cjs", pace=True)
    until(lambda: bool(port_of_run.processes and port_of_run.processes[0].waits))
    port_of_run.move(100)
    fired = json.loads(process.communicate(timeout=20)[0])
    assert fired == sorted(fired)
    assert len(fired) == 50


@pytest.mark.other_programs
def test_what_was_moved_before_a_process_began_ends_none_of_its_waits(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    """A process that starts late in a run is told of it after its first lines: no time passed in it by that."""
    port = PortOfRun(tmp_path, offset=500)
    program = """
    const started = Date.now();
    setTimeout(() => console.log(JSON.stringify(Date.now() - started)), 60_000);
    """
    process = start(port, program, "cjs", pace=True)
    until(lambda: bool(port.processes and port.processes[0].waits))
    assert port.processes[0].waits == [pytest.approx(60, abs=0.5)]
    port.move(60)
    assert 60_000 <= json.loads(process.communicate(timeout=20)[0]) < 62_000
    port.close()


@pytest.mark.other_programs
def test_a_busy_process_answers_late(start: Callable[..., subprocess.Popen[str]], port_of_run: PortOfRun) -> None:
    """A question is answered only from the event loop, with what is waited for by then."""
    program = """
    console.log("ready");
    setImmediate(() => {
      const until = performance.now() + 300;
      while (performance.now() < until);
      setTimeout(() => {}, 60_000);
    });
    """
    process = start(port_of_run, program, pace=True)
    assert process.stdout is not None
    process.stdout.readline()
    until(lambda: bool(port_of_run.processes))
    answer = port_of_run.processes[0].ask()
    assert answer is not None
    assert answer["wait"] == pytest.approx(60, abs=0.5)


@pytest.mark.other_programs
@pytest.mark.parametrize(
    "step",
    [
        "(await import('node:fs/promises')).readFile(process.execPath)",
        "new Promise((resolve) => setImmediate(resolve))",
    ],
    ids=["file", "immediate"],
)
def test_a_process_with_work_under_way_answers_late(
    start: Callable[..., subprocess.Popen[str]], port_of_run: PortOfRun, step: str
) -> None:
    """A question is answered only once no file is being read and no immediate is pending."""
    program = f"""
    setTimeout(() => {{}}, 60_000);
    const until = performance.now() + 300;
    console.log("ready");
    while (performance.now() < until) await {step};
    setTimeout(() => {{}}, 30_000);
    """
    process = start(port_of_run, program, pace=True)
    assert process.stdout is not None
    process.stdout.readline()
    until(lambda: bool(port_of_run.processes))
    answer = port_of_run.processes[0].ask()
    assert answer is not None
    assert answer["wait"] == pytest.approx(30, abs=0.5)


@pytest.mark.other_programs
def test_contexts_show_the_time_of_the_run(node: Node, moving_port: PortOfRun) -> None:
    """Code in a context of `node:vm`, where test runners put programs, sees the same time."""
    program = """
    import vm from "node:vm";
    const context = vm.createContext({ setTimeout });
    const waited = vm.runInContext(`
      const started = Date.now();
      const look = () => [Date.now() - started, new Date() - started, new Date() instanceof Date];
      new Promise((resolve) => setTimeout(() => resolve(look()), 60_000));
    `, context);
    console.log(JSON.stringify([...await waited, vm.runInContext("Date", vm.createContext({ Date: 7 }))]));
    """
    *passed, is_date, own = node(moving_port, program, pace=True)
    assert (is_date, own) == (True, 7)
    assert all(60_000 <= each < 62_000 for each in passed)


@pytest.mark.other_programs
def test_a_process_that_outlives_the_run_reaches_nothing(
    start: Callable[..., subprocess.Popen[str]], port_of_run: PortOfRun
) -> None:
    """When the run has ended and its files are gone, a Node program starts as usual, and the API is refused to it."""
    port_of_run.close()
    port_of_run.authority.unlink()
    program = "done = fetch('https://api.aimlapi.com/').then(() => 'reached', (error) => error.cause.code);"
    process = start(port_of_run, IMPORTS + program + PRINT, pace=True)
    assert json.loads(process.communicate(timeout=30)[0]) in ("ECONNREFUSED", "ENOENT")
    assert process.returncode == 0


@pytest.mark.other_programs
def test_time_goes_on_without_the_run(start: Callable[..., subprocess.Popen[str]], port_of_run: PortOfRun) -> None:
    """When the connection ends, what was moved stays moved, and waits end by real time."""
    program = """
    const started = Date.now();
    setTimeout(() => {
      const moved = Date.now() - started;
      setTimeout(() => console.log(JSON.stringify([moved, Date.now() - started - moved])), 500);
    }, 60_000);
    """
    process = start(port_of_run, program, pace=True)
    until(lambda: bool(port_of_run.processes and port_of_run.processes[0].waits))
    port_of_run.move(60)
    port_of_run.hang_up()
    moved, rest = json.loads(process.communicate(timeout=20)[0])
    assert 60_000 <= moved < 65_000
    assert 499 <= rest < 5000


@pytest.mark.other_programs
def test_the_clock_of_a_request_stays_real(start: Callable[..., subprocess.Popen[str]], port_of_run: PortOfRun) -> None:
    """Timers of fetch are not the program's: a move while a reply is awaited ends no request."""
    program = """
    const server = (await import("node:http")).createServer((_, response) => {
      const held = setTimeout(() => response.end("late"), 400_000);
    }).listen(0, async () => {
      const response = await fetch(`http://127.0.0.1:${server.address().port}/`);
      console.log(JSON.stringify(await response.text()));
      server.close();
      server.closeAllConnections();
    });
    """
    process = start(port_of_run, program, pace=True)
    until(lambda: bool(port_of_run.processes and port_of_run.processes[0].waits))
    assert port_of_run.processes[0].waits == [pytest.approx(400, abs=1)]
    port_of_run.move(400)
    assert process.communicate(timeout=20) == ('"late"\n', "")


@pytest.mark.other_programs
def test_many_timers_cost_little(node: Node, port_of_run: PortOfRun) -> None:
    """Starting and clearing 100,000 timers takes a few times as long as without a run, and none is left."""
    program = """
    const started = performance.now();
    for (let count = 0; count < 100_000; count += 1) clearTimeout(setTimeout(() => {}, 60_000));
    console.log(JSON.stringify(performance.now() - started));
    """
    plain, paced = (min(node(port_of_run, program, pace=pace) for _ in range(3)) for pace in (False, True))
    assert paced < 12 * plain + 50
