"""Claims about the ini file, the command line and the marker."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import get_args

import pytest

from fake_server import FakeServer
from fake_server.service.service import Progression
from kling_contract.pytest_plugin.settings import SETTINGS
from kling_contract.violation import Strictness
from tests.pytest_plugin.runs import CONTRACT, INI, REVISION, run

pytest_plugins = ["pytester"]


def test_the_nearest_word_counts(inner: pytest.Pytester) -> None:
    """A fake is made by its test's marker, before that of the class and module, the command line, the ini file, the default."""
    inner.makeini(
        f"{INI}kling_strictness = off\nkling_scenario = mine.json\nkling_revision = {REVISION}\nkling_progression = polls\n"
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
    inner.makeini(f"{INI}kling_revision = {REVISION}\n")
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
    inner.makeini(f"{INI}kling_model = {first}\n")
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
        ("others", "refuse", ("block", "pass")),
        ("budget", "many", ("a number from 0 up",)),
        ("budget", "-1", ("a number from 0 up",)),
        ("budget_unknown", "no", ("fail", "ignore")),
        ("live", "no", ("forbid", "allow")),
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
    arguments = [] if place == "ini file" else [f"--kling-{name.replace('_', '-')}={value}"]
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
        f"{INI}kling_strictness = off\nkling_scenario = slow\nkling_revision = latest\nkling_progression = polls\n"
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


def test_the_choices_are_those_of_the_fake() -> None:
    """The ini file and the command line take every strictness and every progression that there is."""
    assert SETTINGS["strictness"].choices == get_args(Strictness)
    assert SETTINGS["progression"].choices == get_args(Progression)


def test_calls_to_other_hosts(inner: pytest.Pytester) -> None:
    """Other hosts are blocked or reached as the marker says, and else as the ini file does."""
    inner.makeini(f"{INI}kling_others = pass\n")
    run(
        inner,
        """
        import http.server, socket, threading

        @pytest.fixture(scope="module", autouse=True)
        def other():
            server = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            look_up = socket.getaddrinfo

            def found(host, *args, **kwargs):
                return look_up("127.0.0.1" if host == "other.example" else host, *args, **kwargs)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(socket, "getaddrinfo", found)
                yield f"http://other.example:{server.server_port}/nothing"
            server.shutdown()
            server.server_close()

        def test_passes(other, kling):
            assert requests.get(other, timeout=30).status_code == 404

        @pytest.mark.kling(others="block")
        def test_blocked(other, kling):
            with pytest.raises(requests.ConnectionError):
                requests.get(other, timeout=30)
        """.replace("\n        ", "\n"),
        passed=2,
    )


def test_a_marker_that_does_nothing(inner: pytest.Pytester) -> None:
    """A test with the marker and without a fixture that it affects is warned of, once, and fails where warnings are errors.

    One that asks for the fixture while it runs is not, nor one that has the marker from its class.
    """
    shown = run(
        inner,
        """
        @pytest.mark.kling(scenario="fails")
        def test_forgotten(kling_session_server):
            pass

        @pytest.mark.kling(scenario="fails")
        def test_late(request):
            assert request.getfixturevalue("kling").scenario.name == "fails"

        @pytest.mark.kling(scenario="fails")
        class TestMarked:
            def test_it(self):
                pass
        """.replace("\n        ", "\n"),
        "-W",
        "default",
        passed=3,
        warnings=1,
    )
    assert shown.count("test_inner.py::test_forgotten has the marker kling, and none of the fixtures") == 1
    assert "kling_server" in shown
