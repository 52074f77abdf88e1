"""Claims about the fixtures."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing

import pytest

from fake_server import FakeServer
from tests.pytest_plugin.runs import run
from tests.support import ROOT

pytest_plugins = ["pytester"]


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


def test_no_proxy_stands_before_a_port(inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests to a fake on a port go through no proxy of the environment; afterwards NO_PROXY is as it was."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "example.com")
    monkeypatch.delenv("no_proxy", raising=False)
    run(
        inner,
        """
        import os, urllib.request

        def reaches(url):
            assert httpx.get(url + PATH).status_code == requests.get(url + PATH, timeout=30).status_code == 401
            with pytest.raises(urllib.request.HTTPError, match="401"):
                urllib.request.urlopen(url + PATH)
            assert all(os.environ[name].startswith("example.com,") for name in ("NO_PROXY", "no_proxy"))

        def test_port(kling_server):
            reaches(kling_server.url)

        def test_put_back():
            assert (os.environ["NO_PROXY"], os.environ.get("no_proxy")) == ("example.com", None)

        def test_factory(kling_server_factory):
            reaches(kling_server_factory().url)

        def test_session(kling_session_server):
            reaches(kling_session_server.url)
        """.replace("\n        ", "\n"),
        "--kling-live",
        "allow",
        passed=4,
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


def test_it_is_listed(inner: pytest.Pytester) -> None:
    """pytest --markers and --fixtures tell what there is."""
    assert "@pytest.mark.kling(**options)" in inner.runpytest_inprocess("--markers").stdout.str()
    shown = inner.runpytest_inprocess("--fixtures", "-p", "no:asyncio").stdout.str()
    for name in ("kling", "kling_server", "kling_clock", "kling_client", "kling_async_client", "kling_virtual_time"):
        assert f"\n{name}" in shown
    for name in ("kling_server_factory", "kling_session_server"):
        assert f"\n{name} [session scope]" in shown


def test_who_does_not_use_it_pays_nothing(inner: pytest.Pytester, alone: tuple[str, ...]) -> None:
    """In a run without its fixtures the plugin loads itself and nothing that it works with."""
    inner.makepyfile(
        test_inner="""
        import sys

        def test_it(request):
            assert request.config.pluginmanager.has_plugin("kling-tolerated")
            ours = {name for name in sys.modules if name.partition(".")[0] in ("kling_contract", "fake_server")}
            plugin = {name for name in ours if name.startswith("kling_contract.pytest_plugin")}
            assert ours - plugin == {"kling_contract", "kling_contract.version"}
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
    others = {name for name in done.stdout.split() if not name.startswith("kling_contract.pytest_plugin")}
    assert others <= {"kling_contract", "kling_contract.version"}
