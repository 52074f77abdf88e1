"""Claims about scenarios: which are valid, and that each shipped one does what it says to a client and to the bill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import httpx
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import FakeServer, Fault, Scenario
from fake_server.scenario.scenario import scenarios
from fake_server.service.service import Progression
from kling_contract import Client, Contract, VirtualClock, revisions
from kling_contract.contract import Timeline
from kling_contract.contract.documents import FIXTURES, SCHEMAS, read_json
from kling_contract.errors import (
    CreationUncertain,
    DocumentError,
    DownloadError,
    GenerationFailed,
    KlingError,
    UnknownStatus,
    WaitTimeout,
)

FOLDER = FIXTURES / "scenarios"
SCHEMA = read_json(SCHEMAS / "scenario.schema.json")
REFEREE = jsonschema.Draft202012Validator(SCHEMA)
PROGRESSIONS = get_args(Progression)


def ended(scenario: Any, tmp_path: Path, **options: Any) -> tuple[FakeServer, str]:
    """Make and download a video through the client, as a program would. Return the fake, and "video" or the error's name."""
    clock = VirtualClock()
    fake = FakeServer(scenario=scenario, clock=clock, **options)
    with httpx.Client(transport=fake.transport()) as http:
        client = Client("a-key", http=http, clock=clock, contract=fake.contract)
        try:
            generation = client.generate(image="https://example.com/cat.png", prompt="A cat wakes up.")
            client.download(generation, tmp_path / "video.mp4")
        except KlingError as error:
            return fake, type(error).__name__
    return fake, "video"


@pytest.mark.parametrize("name", scenarios())
def test_shipped_scenarios_keep_the_schema(name: str) -> None:
    """Each shipped scenario is valid for another validator, has its file's name, and says in one line what happens."""
    data = read_json(FOLDER / f"{name}.json")
    REFEREE.validate(data)
    assert data["name"] == name
    assert data["purpose"].endswith((".", "?"))
    assert "\n" not in data["purpose"]
    assert (FOLDER / data["$schema"]).resolve() == SCHEMAS / "scenario.schema.json"


def test_the_list_of_scenarios_is_complete() -> None:
    """The README beside the scenarios lists each of them once, linked to its file, with its purpose."""
    readme = (FOLDER / "README.md").read_text()
    listed = [line for line in readme.splitlines() if line.startswith("| [")]
    rows = [f"| [{name}]({name}.json) | {Scenario.load(name).purpose} |" for name in scenarios()]
    assert sorted(listed) == sorted(rows)


def test_the_schema_is_a_schema() -> None:
    """The schema of scenarios is valid under its metaschema."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("revision", revisions())
@pytest.mark.parametrize("name", scenarios())
def test_every_scenario_ends(name: str, revision: str, tmp_path: Path) -> None:
    """In each revision and progression the client ends with the video or a documented error, and pays at most once."""
    for progression in PROGRESSIONS:
        fake, end = ended(name, tmp_path, revision=revision, progression=progression)
        assert len(fake.generations) == len(fake.ledger.charges) <= 1
        video = tmp_path / "video.mp4"
        assert video.exists() == (end == "video")
        if end == "video":
            assert [charge.state for charge in fake.ledger.charges] == ["booked"]
            video.unlink()


def test_scenarios_end_as_they_say(tmp_path: Path) -> None:
    """The shipped scenarios together make the client end in every way in which a generation can end."""
    ends = {name: ended(name, tmp_path)[1] for name in scenarios()}
    refused = {"Unauthorized", "Forbidden", "NotFound", "RateLimited", "ServerError", "UnexpectedResponse"}
    known = {each.__name__ for each in (CreationUncertain, DownloadError, GenerationFailed, UnknownStatus, WaitTimeout)}
    assert set(ends.values()) == {"video"} | refused | known
    assert ends["happy"] == ends["refused-once"] == ends["download-resumes"] == ends["video-list"] == "video"


@pytest.mark.parametrize("name", ["answer-lost", "accepted-behind-504", "slow-to-accept", "malformed-json"])
def test_a_create_can_be_billed_without_a_response(name: str, tmp_path: Path) -> None:
    """If the response is lost after the create was accepted, the client is uncertain, and the create is billed."""
    fake, end = ended(name, tmp_path, progression="immediate")
    assert end == CreationUncertain.__name__
    assert [charge.state for charge in fake.ledger.charges] == ["booked"]
    assert fake.journal[0].generation_id in fake.generations


@pytest.mark.parametrize(
    "name", ["dropped-connection", "internal-error", "unauthorized", "out-of-credits", "rate-limited"]
)
def test_what_was_refused_is_not_billed(name: str, tmp_path: Path) -> None:
    """If no create was accepted, nothing is billed, and the journal says why."""
    fake, end = ended(name, tmp_path)
    assert end != "video"
    assert not fake.ledger.charges
    assert all(name in (exchange.reason or "") for exchange in fake.journal)


@pytest.mark.parametrize("revision", revisions())
def test_a_withdrawn_model_is_said_to_be(revision: str, tmp_path: Path) -> None:
    """With every model withdrawn the create is refused for that, nothing is billed, and the other models are not named."""
    fake, end = ended("model-withdrawn", tmp_path, revision=revision)
    (refused,) = (exchange for exchange in fake.journal if exchange.operation == fake.contract.create.id)
    assert (end, refused.reply.status) == ("NotFound", 404)
    assert [each.rule for each in refused.violations if each.severity == "error"] == ["withdrawn"]
    assert [each.limit for each in refused.violations if each.rule == "withdrawn"] == [[]]
    assert not fake.ledger.charges


def test_error_shapes_are_those_of_the_revisions() -> None:
    """The scenarios of the two known shapes of an error have them as in the first and the latest revision."""
    shown = [Contract.load(revision).observed.answers.get["error"] for revision in revisions()]
    shipped = [Scenario.load(name).answers["get"]["error"] for name in ("error-detail-list", "error-name-and-message")]
    assert shipped == [shown[0], shown[-1]]


@pytest.mark.parametrize("name", scenarios())
def test_statuses_are_known_unless_the_name_says_otherwise(name: str) -> None:
    """Only scenarios named "status-…" have statuses outside the enum, and each of them does."""
    for revision in revisions():
        contract = Contract.load(revision)
        statuses = {step.status for step in Scenario.load(name).timeline_under(contract).steps}
        assert all(map(contract.lifecycle.knows, statuses)) != name.startswith("status-")


def test_a_video_is_where_an_answer_says(tmp_path: Path) -> None:
    """The video can be downloaded in any status whose response has its link, also an undeclared one."""
    fake, end = ended("status-succeeded", tmp_path)
    assert end == UnknownStatus.__name__
    (generation,) = fake.generations.values()
    with httpx.Client(transport=fake.transport()) as http:
        assert http.get(generation.video_url).status_code == 200


def test_nulls_are_nulls(tmp_path: Path) -> None:
    """Explicit nulls stay in the responses: they are not removed as in a merge patch."""
    fake, end = ended("explicit-nulls", tmp_path)
    assert end == "video"
    answers = [exchange.reply.json() for exchange in fake.journal if exchange.operation]
    assert {name for answer in answers for name, value in answer.items() if value is None} >= {"video", "error", "meta"}


WRONG = [
    ("[]", "object"),
    ('{"nmae": "x"}', "nmae.*name"),
    ('{"timeline": "fast"}', "timeline"),
    ('{"timeline": []}', "timeline"),
    ('{"timeline": [{"status": "queued", "at": 5}]}', "timeline: .*first step at 0"),
    ('{"timeline": [{"status": "queued"}]}', "timeline/0: .*at"),
    ('{"answers": {"post": {}}}', "answers/post.*create"),
    ('{"faults": [{"operation": "delete", "status": 500}]}', "faults/0/operation"),
    ('{"faults": [{"operation": "getGeneration"}]}', "faults/0: .*refusal, status"),
    ('{"name": 5, "purpose": 6}', "name: .*; purpose: "),
    ("{", "Expecting"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[text for text, _ in WRONG])
def test_an_invalid_scenario_file_is_refused(text: str, message: str, tmp_path: Path) -> None:
    """An invalid scenario file is refused with its path, the place in it, and what is wrong there."""
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(DocumentError, match=message) as refused:
        Scenario.load(path)
    assert str(path) in str(refused.value)


def test_a_scenario_file_is_given_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path, or a text that ends in .json, is a file, relative to the working directory or to the folder given."""
    path = tmp_path / "flaky.json"
    path.write_text('{"name": "mine"}')
    (tmp_path / "elsewhere").mkdir()
    for scenario in (path, str(path)):
        assert FakeServer(scenario=scenario).scenario.name == "mine"
    assert (
        Scenario.load("flaky.json", folder=tmp_path).name == Scenario.load(path, folder=Path("nowhere")).name == "mine"
    )
    monkeypatch.chdir(tmp_path)
    assert FakeServer(scenario="flaky.json").scenario.name == "mine"
    fake = FakeServer()
    fake.play("elsewhere/../flaky.json")
    assert fake.scenario.name == "mine"


@pytest.mark.parametrize("name", scenarios())
def test_a_misspelt_scenario_is_suggested(name: str, tmp_path: Path) -> None:
    """An unknown name or a missing file is refused with the nearest shipped scenario, and a list of all."""
    slip = f"{name[:-1]}x"
    for scenario in (slip, f"{slip}.json", tmp_path / f"{slip}.json"):
        with pytest.raises(DocumentError) as refused:
            Scenario.load(scenario)
        said = str(refused.value)
        assert said.startswith((f"there is no scenario {slip!r}", f"there is no file {scenario}"))
        assert f"did you mean the scenario {name}?" in said
        assert all(each in said for each in scenarios())


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        ({"faults": [{"operation": "getGeneration", "refusal": "a_whim"}]}, "a_whim.*too_many_requests"),
        ({"answers": {"create": {"id": "{idd}"}}}, "idd.*video_url"),
        (Scenario(timeline="price"), "price.*timeline, failure"),
    ],
)
def test_a_scenario_must_fit_the_contract(scenario: Any, message: str) -> None:
    """What is invalid only under the contract is refused when the fake is made or plays it, with what is possible instead."""
    with pytest.raises(DocumentError, match=message):
        FakeServer(scenario=scenario)
    fake = FakeServer()
    with pytest.raises(DocumentError, match=message):
        fake.play(scenario)
    assert fake.scenario.name == "happy"


def test_a_reason_may_belong_to_one_revision() -> None:
    """A refusal that only a later revision has can be used with that revision only."""
    only = set(Contract.load(revisions()[-1]).observed.refusals.reasons)
    only -= set(Contract.load(revisions()[0]).observed.refusals.reasons)
    for reason in only:
        scenario = Scenario(faults=(Fault(operation="createGeneration", refusal=reason),))
        FakeServer(scenario=scenario, revision=revisions()[-1])
        with pytest.raises(DocumentError, match=reason):
            FakeServer(scenario=scenario, revision=revisions()[0])
    assert only


@given(st.lists(st.tuples(st.text(min_size=1), st.integers(1, 1000)), min_size=1), st.text(min_size=1), st.text())
def test_every_form_of_a_scenario_is_equal(steps: list[tuple[str, int]], name: str, purpose: str) -> None:
    """A scenario read from JSON equals one made in Python, and can be written as JSON again."""
    at, timeline = 0, []
    for status, seconds in steps:
        timeline.append({"status": status, "at": at})
        at += seconds
    fault = {"operation": "download", "truncate": 3}
    data = json.loads(json.dumps({"name": name, "purpose": purpose, "timeline": timeline, "faults": [fault]}))
    made = Scenario(name, purpose, Timeline.from_steps(timeline), faults=(Fault(operation="download", truncate=3),))
    assert Scenario.load(data) == made == Scenario.load(made.data())
