"""Claims about the fixtures, the marker and the summary, each shown by a run of pytest of its own."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from contextlib import closing
from pathlib import Path
from typing import get_args

import pytest

from fake_server import FakeServer
from fake_server.service.service import Progression
from kling_contract import Contract, revisions
from kling_contract.violation import Strictness
from tests.support import ROOT

pytest_plugins = ["pytester"]

CONTRACT = Contract.load()
CREATE, GET = CONTRACT.create, CONTRACT.get
REVISION = next(name for name in revisions() if name != CONTRACT.revision.id)
PAYLOAD = {
    "model": CONTRACT.request_schema["properties"]["model"]["enum"][0],
    "image_url": "https://example.com/a.png",
    "prompt": "A cat.",
}
TOLERATED = CONTRACT.observed.tolerated[0]
DEVIANT = {**PAYLOAD, TOLERATED.pointer.removeprefix("/"): "5"}
# What the tests inside share: a program with the address of the service in it, and what it sends.
PROGRAM = f"""
import asyncio, time
import httpx, pytest, requests
URL = {CONTRACT.base_url + CREATE.path!r}
PATH = {CREATE.path!r}
PAYLOAD = {PAYLOAD!r}
DEVIANT = {DEVIANT!r}
HEADERS = {{"authorization": "Bearer a-key-of-mine"}}
CREATED = {CREATE.success}
(PARAMETER,) = {GET.query["required"]!r}
FINAL = {CONTRACT.observed.timeline.final.at!r}
REVISION = {REVISION!r}

def send(payload=PAYLOAD, url=URL):
    return requests.post(url, json=payload, headers=HEADERS, timeout=30)

def make(url=URL):
    made = send(url=url).json()["id"]
    while True:
        answer = requests.get(url, params={{PARAMETER: made}}, headers=HEADERS, timeout=30).json()
        if "video" in answer:
            return answer["video"]["url"]
        time.sleep(10)
"""
QUIET = ("-q", "--strict-markers", "--strict-config", "-W", "error", "-p", "no:cacheprovider")


@pytest.fixture
def inner(pytester: pytest.Pytester) -> pytest.Pytester:
    """A folder for runs of pytest: with the program in it, and settings that let no warning through."""
    pytester.makepyfile(program=PROGRAM)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    return pytester


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Keep other plugins out of runs in processes of their own; return what lets ours in."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return "-p", "kling_contract.pytest_plugin"


def run(inner: pytest.Pytester, tests: str, *arguments: str, **outcomes: int) -> str:
    """Run these tests; check how many passed, failed or erred; return what was shown."""
    inner.makepyfile(test_inner=f"from program import *\n{tests}")
    result = inner.runpytest_inprocess(*QUIET, *arguments)
    assert {name: n for name, n in result.parseoutcomes().items() if name != "seconds"} == outcomes, result.outlines
    return result.stdout.str()


def test_the_program_is_unchanged(inner: pytest.Pytester) -> None:
    """With one fixture, code that has the service's own address in it talks to the fake, through requests and httpx."""
    run(
        inner,
        """
        def test_it(kling):
            assert send().status_code == httpx.post(URL, json=PAYLOAD, headers=HEADERS).status_code == CREATED
            assert len(kling.generations) == 2

        def test_another(kling):
            assert not kling.generations
        """.replace("\n        ", "\n"),
        passed=2,
    )


def test_the_program_may_wait_by_itself(inner: pytest.Pytester) -> None:
    """With kling_virtual_time, a program that sleeps for minutes between its polls runs to its end on the fake's clock."""
    run(
        inner,
        """
        def test_it(kling, kling_clock, kling_virtual_time):
            began = kling_clock.now()
            make()
            assert kling_clock.now() - began >= FINAL
            kling.assert_polled_until_done()
        """.replace("\n        ", "\n"),
        passed=1,
    )


def test_clients_clock_and_fake_belong_together(inner: pytest.Pytester) -> None:
    """The clients wait on the clock of the fake and send it the key that it wants, in the revision that it speaks."""
    run(
        inner,
        """
        pytestmark = pytest.mark.kling(api_key="the-only-key", revision="latest", strictness="strict")

        def test_sync(kling, kling_client, kling_clock):
            began = kling_clock.now()
            generation = kling_client.generate(PAYLOAD | {"image_url": URL, "model": MODEL})
            kling.assert_created_once()
            assert kling_clock is kling.clock and kling_clock.now() > began
            assert kling_client.contract is kling.contract
            assert kling_client.download(generation, "video.mp4").stat().st_size > 1000

        @pytest.mark.anyio
        async def test_async(kling, kling_async_client):
            await kling_async_client.generate(PAYLOAD | {"image_url": URL, "model": MODEL})
            kling.assert_polled_until_done()

        @pytest.fixture(params=["asyncio", "trio"])
        def anyio_backend(request):
            return request.param

        from kling_contract import Contract
        MODEL = Contract.load("latest").request_schema["properties"]["model"]["enum"][0]
        """.replace("\n        ", "\n"),
        passed=3,
    )


def test_a_fake_may_follow_the_real_time(inner: pytest.Pytester) -> None:
    """With a clock of the marker's, fake and clients follow that; kling_clock is virtual in every test, or refused."""
    shown = run(
        inner,
        """
        from kling_contract import SystemClock
        pytestmark = pytest.mark.kling(clock=SystemClock())

        def test_fake(kling, kling_client):
            assert kling_client.create(PAYLOAD).id in kling.generations
            assert abs(kling.now() - time.time()) < 60

        def test_port(kling_server):
            assert abs(kling_server.fake.now() - time.time()) < 60

        def test_virtual(kling_clock):
            pass
        """.replace("\n        ", "\n"),
        passed=2,
        errors=1,
    )
    assert "kling_clock is a VirtualClock, and the marker gives SystemClock()" in shown


def test_a_real_port_for_the_session_and_a_fake_for_each_test(inner: pytest.Pytester) -> None:
    """Every test has the same URL and a fake of its own behind it, made as its marker says; videos come from there."""
    run(
        inner,
        """
        urls = set()

        @pytest.mark.parametrize("scenario", ["happy", "fails"])
        def test_it(kling_server, scenario):
            urls.add(kling_server.url)
            assert len(urls) == 1 and not kling_server.fake.journal
            assert send(url=kling_server.url + PATH).status_code == CREATED
            assert len(kling_server.fake.generations) == 1

        @pytest.mark.kling(progression="immediate")
        def test_marked(kling_server):
            assert httpx.get(make(url=kling_server.url + PATH)).content[4:8] == b"ftyp"

        def test_nobody_is_at_home():
            (url,) = urls
            answer = requests.get(url, timeout=30)
            assert (answer.status_code, "no test" in answer.headers["x-fake-reason"]) == (503, True)
        """.replace("\n        ", "\n"),
        passed=4,
    )


def test_the_nearest_word_counts(inner: pytest.Pytester) -> None:
    """A fake is made by its test's marker, before that of the class and module, the command line, the ini file, the default."""
    inner.makeini(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
        f"kling_strictness = off\nkling_scenario = mine.json\nkling_revision = {REVISION}\nkling_progression = polls\n"
    )
    inner.path.joinpath("mine.json").write_text(json.dumps({"name": "mine"}))
    run(
        inner,
        """
        def told(fake):
            return fake.contract.revision.id, fake.scenario.name, fake.strictness, fake.progression

        def test_ini_and_command_line(kling):
            assert told(kling) == (REVISION, "mine", "strict", "polls")

        @pytest.mark.kling(strictness="lax", scenario="slow")
        class TestMarked:
            def test_class(self, kling):
                assert told(kling) == (REVISION, "slow", "lax", "polls")

            @pytest.mark.kling(scenario="fails", progression="time")
            def test_both(self, kling, kling_client):
                assert told(kling) == (REVISION, "fails", "lax", "time")
        """.replace("\n        ", "\n"),
        "--kling-strictness",
        "strict",
        passed=3,
    )


def test_the_nearest_of_contract_and_revision_counts(inner: pytest.Pytester) -> None:
    """A contract in a marker takes the place of a revision said further away, and the other way round; both at once are refused."""
    inner.makeini(f"[pytest]\nasyncio_default_fixture_loop_scope = function\nkling_revision = {REVISION}\n")
    shown = run(
        inner,
        """
        from kling_contract import Contract

        @pytest.mark.kling(contract=Contract.load("latest"))
        class TestContract:
            def test_over_the_ini_file(self, kling):
                assert kling.contract is Contract.load("latest")

            @pytest.mark.kling(revision=REVISION)
            def test_under_a_revision(self, kling):
                assert kling.contract is Contract.load(REVISION)

            @pytest.mark.kling(revision=REVISION, contract=Contract.load("latest"))
            def test_both(self, kling):
                pass
        """.replace("\n        ", "\n"),
        passed=2,
        errors=1,
    )
    assert "give contract or revision, not both" in shown


def test_a_model_is_set_as_all_else_is(inner: pytest.Pytester) -> None:
    """A model comes from the ini file, the command line or a marker; a contract in a marker brings its own."""
    first, second, third = list(CONTRACT.models)[1:4]
    inner.makeini(f"[pytest]\nasyncio_default_fixture_loop_scope = function\nkling_model = {first}\n")
    run(
        inner,
        f"""
        from kling_contract import Contract

        def test_it(kling, kling_client):
            assert kling.contract.model == kling_client.contract.model == {second!r}

        @pytest.mark.kling(model={third!r})
        class TestMarked:
            def test_class(self, kling):
                assert kling.contract.model == {third!r}

            @pytest.mark.kling(contract=Contract.load("latest"))
            def test_contract(self, kling):
                assert kling.contract is Contract.load("latest")
        """.replace("\n        ", "\n"),
        "--kling-model",
        second,
        passed=3,
    )


def test_every_option_of_the_fake_is_one_of_the_marker(inner: pytest.Pytester) -> None:
    """Whatever FakeServer takes the marker takes, and what it does not take is refused by name, with those that there are."""
    shown = run(
        inner,
        """
        @pytest.mark.kling(scenaro="fails")
        def test_slip(kling):
            pass

        @pytest.mark.kling("fails")
        def test_unnamed(kling_server):
            pass

        @pytest.mark.kling(scenario="nonsense")
        def test_unknown(kling):
            pass

        @pytest.mark.kling(strictness="strcit")
        def test_misspelt(kling):
            pass
        """.replace("\n        ", "\n"),
        errors=4,
    )
    assert f"must be one of {', '.join(get_args(Strictness))}, not 'strcit'" in shown
    assert "does not take scenaro (did you mean scenario?)" in shown
    assert "does not take 'fails'" in shown
    assert "choose one of" in shown
    for name in inspect.signature(FakeServer).parameters:
        assert name in shown.split("it takes, by name:")[1].splitlines()[0]


@pytest.mark.parametrize(
    ("name", "value", "known"),
    [
        ("strictness", "loose", get_args(Strictness)),
        ("progression", "loose", get_args(Progression)),
        ("fail_on", "error", ("never", "warning")),
        ("revision", "1999-01-01", (REVISION,)),
        ("model", CONTRACT.model[:-1], (CONTRACT.model,)),
        ("scenario", "hapy", ("happy",)),
        ("scenario", "missing.json", ("missing.json",)),
    ],
)
@pytest.mark.parametrize("place", ["ini file", "command line"])
def test_a_wrong_setting_stops_the_run(
    inner: pytest.Pytester, place: str, name: str, value: str, known: tuple[str, ...]
) -> None:
    """A value that a setting cannot have is a usage error that names those that it can have."""
    inner.makeini(f"[pytest]\nkling_{name} = {value}\n" if place == "ini file" else "[pytest]\n")
    inner.makepyfile("def test_it(): pass")
    arguments = [] if place == "ini file" else [f"--kling-{name.replace('_', '-')}", value]
    result = inner.runpytest_inprocess("-p", "no:asyncio", *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    shown = result.stderr.str()
    assert all(choice in shown for choice in known)
    assert "Traceback" not in shown


def test_the_command_line_has_every_setting(inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Revision, scenario, strictness and progression can be set on the command line, over the ini file.

    A scenario file is looked for in the working directory.
    """
    inner.makeini(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
        "kling_strictness = off\nkling_scenario = slow\nkling_revision = latest\nkling_progression = polls\n"
    )
    monkeypatch.chdir(inner.mkdir("folder"))
    Path("mine.json").write_text(json.dumps({"name": "mine"}))
    run(
        inner,
        """
        def test_it(kling, kling_server):
            for fake in (kling, kling_server.fake):
                found = fake.contract.revision.id, fake.scenario.name, fake.strictness, fake.progression
                assert found == (REVISION, "mine", "strict", "immediate")

        @pytest.mark.kling(revision="latest", scenario="happy")
        def test_marked(kling):
            assert (kling.scenario.name, kling.progression) == ("happy", "immediate")
            assert kling.contract.revision.id != REVISION
        """.replace("\n        ", "\n"),
        str(inner.path),
        *("--kling-revision", REVISION),
        *("--kling-scenario", "mine.json"),
        *("--kling-strictness", "strict"),
        *("--kling-progression", "immediate"),
        passed=2,
    )


def test_more_fakes_are_made_by_the_factory(inner: pytest.Pytester) -> None:
    """Each call of kling_server_factory starts a fake of its own, in the settings of the run, that lives as long as the session."""
    run(
        inner,
        """
        @pytest.fixture(scope="module")
        def service(kling_server_factory):
            return kling_server_factory(api_key="mine", scenario="fails", state="kling.state")

        @pytest.mark.parametrize("before", range(2))
        def test_it(service, before, kling_server):
            assert len(service.fake.generations) == before
            assert send(url=service.url + PATH).status_code == 401
            assert requests.post(
                service.url + PATH, json=PAYLOAD, headers={"authorization": "Bearer mine"}, timeout=30
            ).status_code == CREATED
            assert (service.fake.scenario.name, service.fake.strictness) == ("fails", "off")
            assert service.url != kling_server.url and not kling_server.fake.journal

        def test_others(kling_server_factory):
            one, other = kling_server_factory(), kling_server_factory(contract=None)
            assert one.url != other.url and one.fake is not other.fake
        """.replace("\n        ", "\n"),
        "--kling-strictness",
        "off",
        passed=3,
    )
    with closing(FakeServer(state=inner.path / "kling.state")) as fake:
        assert len(fake.generations) == 2


def test_each_strictness_can_be_chosen(inner: pytest.Pytester) -> None:
    """The command line takes every strictness that there is."""
    for strictness in get_args(Strictness):
        tests = f"def test_it(kling):\n    assert kling.strictness == {strictness!r}"
        run(inner, tests, "--kling-strictness", strictness, passed=1)


TOLERATING = """
def test_good(kling):
    assert send().status_code == CREATED

@pytest.mark.parametrize("n", range(7))
def test_many(kling, n):
    assert send(DEVIANT).status_code == CREATED

def test_on_a_port(kling_server):
    send(DEVIANT, url=kling_server.url + PATH)
    send(DEVIANT, url=kling_server.url + PATH)

@pytest.mark.kling(strictness="strict")
def test_refused(kling):
    assert send(DEVIANT).status_code == 400
"""


def summary(shown: str) -> list[str]:
    return shown.split("kling: tolerated violations")[1].splitlines()[1:]


def test_one_state_file_serves_many_tests(inner: pytest.Pytester) -> None:
    """Each fake lets go of its state file when its test ends, and the next goes on from there. The file may be given as text."""
    run(
        inner,
        """
        pytestmark = pytest.mark.kling(state="kling.state")

        @pytest.mark.parametrize("before", range(2))
        def test_in_process(kling, before):
            assert len(kling.generations) == before
            assert send().status_code == CREATED

        def test_that_fails(kling):
            assert len(kling.generations) == 3

        @pytest.mark.parametrize("before", range(2, 4))
        def test_on_a_port(kling_server, before):
            assert len(kling_server.fake.generations) == before
            assert send(url=kling_server.url + PATH).status_code == CREATED
        """.replace("\n        ", "\n"),
        passed=4,
        failed=1,
    )
    with closing(FakeServer(state=inner.path / "kling.state")) as fake:
        assert len(fake.generations) == 4


def test_what_was_tolerated_is_shown_in_the_end(inner: pytest.Pytester) -> None:
    """Each violation that a fake took is shown once, with the first tests that it came from; others are not shown."""
    lines = summary(run(inner, TOLERATING, passed=10))
    assert lines[0].startswith(f"{TOLERATED.pointer}: ")
    assert [line.split("::")[1] for line in lines[1:6]] == [f"test_many[{n}]" for n in range(5)]
    assert lines[6].split() == ["and", "3", "more"]
    assert "--kling-fail-on warning" in lines[7]


@pytest.mark.parametrize("workers", [[], ["-p", "xdist", "-n", "2"]], ids=["one process", "xdist"])
def test_it_fails_the_run_on_demand(inner: pytest.Pytester, alone: tuple[str, ...], workers: list[str]) -> None:
    """Asked to, the plugin fails a run in which every test passed and something was tolerated, and no other run."""
    inner.makepyfile(test_inner=f"from program import *\n{TOLERATING}")
    inner.makeini("")
    asked = [*QUIET, *alone, *workers, "--kling-fail-on", "warning"]
    result = inner.runpytest_subprocess(*asked)
    result.assert_outcomes(passed=10)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    lines = summary(result.stdout.str())
    assert lines[0].startswith(f"{TOLERATED.pointer}: ")
    assert lines[6].split() == ["and", "3", "more"]
    assert "they fail this run" in lines[7]
    assert inner.runpytest_subprocess(*asked, "-k", "good or refused").ret == pytest.ExitCode.OK


def test_the_ini_file_can_ask_for_it_and_the_command_line_can_take_it_back(inner: pytest.Pytester) -> None:
    """kling_fail_on does what the option does, and the option has the last word."""
    inner.makeini("[pytest]\nkling_fail_on = warning\nasyncio_default_fixture_loop_scope = function\n")
    inner.makepyfile(test_inner=f"from program import *\n{TOLERATING}")
    assert inner.runpytest_inprocess(*QUIET).ret == pytest.ExitCode.TESTS_FAILED
    assert inner.runpytest_inprocess(*QUIET, "--kling-fail-on", "never").ret == pytest.ExitCode.OK


def test_a_failed_run_stays_failed(inner: pytest.Pytester) -> None:
    """What was tolerated is shown when tests fail too, those included that sent it before they failed."""
    tests = "def test_it(kling):\n    send(DEVIANT)\n    assert False"
    assert "::test_it" in summary(run(inner, tests, "--kling-fail-on", "warning", failed=1))[1]


def test_a_report_file_has_it_too(inner: pytest.Pytester) -> None:
    """In a JUnit report what was tolerated is a property of its test."""
    run(inner, TOLERATING, "--junit-xml", "report.xml", passed=10)
    found = ET.parse(inner.path / "report.xml").findall(".//testcase[@name='test_many[0]']//property")
    assert [each.get("name") for each in found] == ["kling_tolerated"]
    assert str(found[0].get("value")).startswith(TOLERATED.pointer)


def test_an_assertion_ends_in_the_line_of_the_test(inner: pytest.Pytester) -> None:
    """When a claim about the fake fails, pytest shows the test's own line and the explanation, and no code of ours."""
    tests = "def test_it(kling):\n    send()\n    kling.assert_polled_until_done()"
    shown = run(inner, tests, failed=1)
    assert next(line for line in shown.splitlines() if line.startswith(">")).endswith("assert_polled_until_done()")
    assert "assertions.py" not in shown
    assert "what would be right:" in shown


def test_it_gets_along_with_its_neighbours(inner: pytest.Pytester) -> None:
    """Under pytest-asyncio, with every socket forbidden, the intercepting fixtures work; a port works where it is allowed."""
    inner.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    run(
        inner,
        """
        async def test_coroutine(kling, kling_async_client):
            await kling_async_client.generate(PAYLOAD)
            kling.assert_created_once()
            async with httpx.AsyncClient(headers=HEADERS) as http:
                assert (await http.post(URL, json=PAYLOAD)).status_code == CREATED

        def test_function(kling):
            assert send().status_code == CREATED

        @pytest.mark.enable_socket
        def test_port(kling_server):
            assert send(url=kling_server.url + PATH).status_code == CREATED
        """.replace("\n        ", "\n"),
        "--disable-socket",
        "--allow-unix-socket",
        passed=3,
    )


def test_it_is_listed(inner: pytest.Pytester) -> None:
    """pytest --markers and --fixtures tell what there is."""
    assert "@pytest.mark.kling(**options)" in inner.runpytest_inprocess("--markers").stdout.str()
    shown = inner.runpytest_inprocess("--fixtures", "-p", "no:asyncio").stdout.str()
    for name in ("kling", "kling_server", "kling_clock", "kling_client", "kling_async_client", "kling_virtual_time"):
        assert f"\n{name}" in shown
    assert "\nkling_server_factory [session scope]" in shown


def test_who_does_not_use_it_pays_nothing(inner: pytest.Pytester, alone: tuple[str, ...]) -> None:
    """In a run without its fixtures the plugin loads itself and nothing that it works with."""
    inner.makepyfile(
        test_inner="""
        import sys

        def test_it(request):
            assert request.config.pluginmanager.has_plugin("kling-tolerated")
            ours = {name for name in sys.modules if name.partition(".")[0] in ("kling_contract", "fake_server")}
            assert ours == {"kling_contract", "kling_contract.pytest_plugin", "kling_contract.version"}
            assert not {"httpx", "jsonschema_rs", "uvicorn"} & set(sys.modules)
        """
    )
    inner.runpytest_subprocess("-q", *alone).assert_outcomes(passed=1)


def test_the_module_imports_pytest_alone() -> None:
    """Beyond the standard library, importing the plugin imports nothing but pytest and the bare package."""
    code = (
        "import sys, pytest, typing, collections.abc; before = set(sys.modules);"
        "import kling_contract.pytest_plugin; print(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"kling_contract", "kling_contract.pytest_plugin", "kling_contract.version"}
