"""Claims about a fake that answers from a recording: what was answered is answered again, and the clock says when."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from itertools import accumulate
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import FakeServer, Reply, Request
from fake_server.journal.journal import Journal
from fake_server.messages import Exchange, Headers
from kling_contract import Client, Contract, VirtualClock
from kling_contract.contract import Timeline
from kling_contract.errors import DocumentError
from tests.support import ROOT
from tests.support.calls import creating, payload, polling

CONTRACT = Contract.load()
GAPS = st.lists(st.integers(1, 40), min_size=1, max_size=8)
SCENARIOS = st.sampled_from(
    ["happy", "fails", "status-waiting", "internal-error-while-polling", "rate-limited", "malformed-json"]
)


def advance(fake: FakeServer, seconds: float) -> None:
    assert isinstance(fake.clock, VirtualClock)
    fake.clock.advance(seconds)


def answered(fake: FakeServer, request: Request) -> tuple[int, bytes, bool]:
    """Return what the sender got."""
    reply = fake.handle(request)
    arrived = fake.journal[-1].arrived
    return (reply.status, reply.body, True) if arrived else (0, b"", False)


def told(creates: list[tuple[int, bytes, bool]]) -> list[str]:
    """Return the ids that these answers told whoever could read them."""
    ids = []
    for _, body, _ in creates:
        with contextlib.suppress(ValueError, KeyError):
            ids.append(json.loads(body)["id"])
    return ids


def recorded(*bodies: Any, **options: Any) -> FakeServer:
    """Return a fake that was asked for one generation a body, one after the other, each polled to its end."""
    fake = FakeServer(**options)
    for body in bodies or (None,):
        made = fake.handle(creating(fake.contract, body)).json()["id"]
        for _ in range(15):
            advance(fake, 15)
            fake.handle(polling(fake.contract, made))
    return fake


@given(SCENARIOS, GAPS, st.integers(0, 3))
def test_what_was_answered_is_answered_again(scenario: str, gaps: list[int], seed: int) -> None:
    """Who does the same at the same times gets the same answers, good or bad, as often as it is done."""
    fake = FakeServer(scenario=scenario, seed=seed)

    def play(fake: FakeServer) -> list[tuple[int, bytes, bool]]:
        got = [answered(fake, creating(CONTRACT)) for _ in range(2)]
        for gap in gaps:
            advance(fake, gap)
            got += [answered(fake, polling(CONTRACT, made)) for made in told(got[:2])]
        return got

    was = play(fake)
    replay = FakeServer(replay=json.loads(json.dumps(fake.journal.har())))
    assert play(replay) == was
    assert play(replay) == was


@given(GAPS, st.integers(0, 400))
def test_between_recorded_answers_the_latest_holds(gaps: list[int], when: int) -> None:
    """A poll is answered by the latest answer that was recorded after as much time; before the first, by what the create told."""
    fake = FakeServer()
    created = fake.handle(creating(CONTRACT)).json()
    polls = []
    for gap in gaps:
        advance(fake, gap)
        polls.append(fake.handle(polling(CONTRACT, created["id"])).json())
    replay = FakeServer(replay=fake.journal.har())
    replay.handle(creating(CONTRACT))
    advance(replay, when)
    reply = replay.handle(polling(CONTRACT, created["id"]))
    due = [seen for at, seen in zip(accumulate(gaps), polls, strict=True) if at <= when]
    assert reply.json() == (due[-1] if due else created)
    assert reply.status == CONTRACT.get.success


def test_a_client_needs_nothing_else(tmp_path: Path) -> None:
    """The client comes to the same end with a recording as with the fake that was recorded, video and bill included."""
    was = recorded()
    archive = tmp_path / "session.har"
    archive.write_text(json.dumps(was.journal.har()))
    fake = FakeServer(replay=archive)
    with Client("a-key-for-it", http=httpx.Client(transport=fake.transport()), clock=fake.clock) as kling:
        generation = kling.generate(**_arguments(payload(CONTRACT)))
        path = kling.download(generation, tmp_path / "clip.mp4")
    assert generation.id == next(iter(was.generations))
    assert generation.video is not None
    assert path.stat().st_size == generation.video.file_size
    assert fake.ledger.booked == was.ledger.booked


def test_the_same_is_answered_the_same_in_any_order() -> None:
    """Of several creates each is answered as the one that was sent the same; one that is new as the next in order."""
    bodies = [payload(CONTRACT, prompt=prompt) for prompt in ("a cat", "a dog", "a fish")]
    was = recorded(*bodies)
    cat, dog, fish = was.generations
    fake = FakeServer(replay=was.journal.har())
    asked = [bodies[2], payload(CONTRACT, prompt="a bird"), bodies[1], bodies[1]]
    assert [fake.handle(creating(CONTRACT, body)).json()["id"] for body in asked] == [fish, cat, dog, dog]


def test_a_generation_begins_anew() -> None:
    """When all creates were repeated the recording starts over, and so does the time of what it creates."""
    fake = FakeServer(replay=recorded().journal.har())
    made = fake.handle(creating(CONTRACT)).json()
    advance(fake, 10_000)
    assert fake.handle(polling(CONTRACT, made["id"])).json() != made
    assert fake.handle(creating(CONTRACT)).json() == made
    assert fake.handle(polling(CONTRACT, made["id"])).json() == made


def test_refusals_are_repeated_and_requests_judged() -> None:
    """A create is answered as it was, whatever is wrong with it now; what is wrong stands in the journal."""
    was = FakeServer()
    bad, good = payload(CONTRACT, prompt=7), payload(CONTRACT)
    refused = was.handle(creating(CONTRACT, bad))
    was.handle(creating(CONTRACT, good))
    fake = FakeServer(replay=was.journal.har())
    assert fake.handle(creating(CONTRACT, bad)).body == refused.body
    assert not fake.generations
    again = fake.handle(creating(CONTRACT, bad))
    assert again.status == CONTRACT.create.success
    assert [each.pointer for each in fake.journal[-1].violations] == ["/prompt"]
    assert fake.handle(polling(CONTRACT, "another")).status == was.handle(polling(CONTRACT, "another")).status


def test_a_key_is_held_against_only_if_there_is_one() -> None:
    """A replay takes any key, as any fake does, and with a key of its own that one alone."""
    har = recorded().journal.har()
    fake = FakeServer(replay=har, api_key="the-only-key")
    assert fake.handle(creating(CONTRACT)).status == fake.handle(polling(CONTRACT, "1")).status == 401
    assert FakeServer(replay=har).handle(creating(CONTRACT)).status != 401


@pytest.mark.parametrize("revision", [CONTRACT.revision.id, "latest"])
def test_links_to_videos_lead_here(revision: str) -> None:
    """Over a port the link that was recorded leads to that port; the video there has the size that was announced."""
    was = recorded(revision=revision)
    contract = was.contract
    (generation,) = was.generations.values()
    fake = FakeServer(replay=was.journal.har(), revision=revision)
    with fake.listen() as url, httpx.Client() as client:
        create, poll = creating(contract, base=url), polling(contract, generation.id, base=url)
        client.post(create.url, content=create.body, headers=dict(create.headers.items()))
        advance(fake, 300)
        video = client.get(poll.url, headers=dict(poll.headers.items())).json()["video"]
        assert video["url"].startswith(url)
        film = client.get(video["url"]).content
    assert film[4:8] == b"ftyp"
    assert video.get("file_size") in (None, len(film))


@pytest.mark.parametrize("size", [None, 1, 30_000_000, 10**12])
def test_a_video_stands_in_for_one_that_was_not_recorded(size: int | None) -> None:
    """Where no download was recorded there is a film of the size that was announced, as far as that is sensible."""
    status = next(name for name, outcome in CONTRACT.lifecycle.outcomes.items() if outcome == "success")
    har = journal({"url": "https://elsewhere.example/clip.mp4?sign=1", "file_size": size}, status).har()
    fake = FakeServer(replay=har)
    fake.handle(creating(CONTRACT))
    advance(fake, 60)
    shown = fake.handle(polling(CONTRACT, "1")).json()["video"]
    film = fake.handle(Request("GET", shown["url"])).body
    assert shown["url"].endswith("/clip.mp4?sign=1")
    assert film[4:8] == b"ftyp"
    assert (len(film) == size) == (size == 30_000_000)


def test_a_recorded_video_is_served() -> None:
    """A download that was recorded is what is downloaded, by range as well."""
    status = next(name for name, outcome in CONTRACT.lifecycle.outcomes.items() if outcome == "success")
    was = journal({"url": "https://elsewhere.example/clip.mp4"}, status)
    was.add(Exchange(61, Request("GET", "https://elsewhere.example/clip.mp4"), Reply(200, Headers(), b"\x00moving")))
    fake = FakeServer(replay=was.har())
    fake.handle(creating(CONTRACT))
    advance(fake, 60)
    url = fake.handle(polling(CONTRACT, "1")).json()["video"]["url"]
    assert fake.handle(Request("GET", url)).body == b"\x00moving"
    assert fake.handle(Request("GET", url, Headers({"range": "bytes=1-3"}))).body == b"mov"


def test_progressions_and_redirects_work() -> None:
    """A recorded generation ends at once, or goes a recorded answer further with each poll, or another way, when it is told to."""
    was = recorded()
    (made,) = was.generations
    answers = [each.reply.json() for each in was.journal[1:]]
    at_once = FakeServer(replay=was.journal.har(), progression="immediate")
    at_once.handle(creating(CONTRACT))
    assert at_once.handle(polling(CONTRACT, made)).json() == answers[-1]
    by_polls = FakeServer(replay=was.journal.har(), progression="polls")
    created = by_polls.handle(creating(CONTRACT)).json()
    polled = [by_polls.handle(polling(CONTRACT, made)).json() for _ in range(len(answers) + 2)]
    assert polled == [created, *answers, answers[-1]]
    turned = FakeServer(replay=was.journal.har())
    turned.handle(creating(CONTRACT))
    advance(turned, 20)
    turned.reschedule(made, "failure")
    advance(turned, 10_000)
    assert CONTRACT.lifecycle.failed(turned.handle(polling(CONTRACT, made)).json()["status"])


def test_faults_still_happen() -> None:
    """The scenario's faults come on top of what was recorded, and do not use it up."""
    har = recorded().journal.har()
    fault = {"name": "once", "faults": [{"operation": "createGeneration", "refusal": "too_many_requests", "times": 1}]}
    fake = FakeServer(replay=har, scenario=fault)
    first, second = fake.handle(creating(CONTRACT)), fake.handle(creating(CONTRACT))
    assert first.status == CONTRACT.observed.refusals.reasons["too_many_requests"].status_code
    assert second.json()["id"] == har["log"]["entries"][0]["_generation"]


def test_a_reset_begins_the_recording_again() -> None:
    """After a reset the first create is the first again."""
    was = recorded(payload(CONTRACT, prompt="one"), payload(CONTRACT, prompt="two"))
    fake = FakeServer(replay=was.journal.har())
    first = fake.handle(creating(CONTRACT)).json()["id"]
    fake.reset()
    assert fake.handle(creating(CONTRACT)).json()["id"] == first == next(iter(was.generations))


@given(st.lists(st.tuples(st.integers(0, 99), st.sampled_from(CONTRACT.lifecycle.statuses)), max_size=6))
def test_timelines_are_those_that_were_seen(polls: list[tuple[int, str]]) -> None:
    """The fake knows what a recorded generation will do: its timeline is what was seen of it."""
    was = Journal(CONTRACT)
    was.add(shown(0, CONTRACT.lifecycle.initial, create=True))
    for at, status in sorted(polls, key=lambda poll: poll[0]):
        was.add(shown(at, status))
    fake = FakeServer(replay=was.har())
    fake.handle(creating(CONTRACT))
    (generation,) = fake.generations.values()
    assert isinstance(generation.timeline, Timeline)
    for at, _ in polls:
        then = [status for other, status in sorted(polls, key=lambda poll: poll[0]) if other <= at]
        assert generation.timeline.status_at(at) == then[-1]


def test_an_archive_of_another_revision_is_replayed() -> None:
    """Creates of another revision are repeated, on the path of theirs; an archive without any create is refused."""
    latest = Contract.load("latest")
    har = recorded(revision=latest.revision.id).journal.har()
    fake = FakeServer(replay=har)
    assert fake.handle(creating(latest)).status == latest.create.success
    (generation,) = fake.generations
    assert fake.handle(polling(latest, generation)).status == latest.get.success
    har["log"]["entries"] = har["log"]["entries"][1:]
    with pytest.raises(DocumentError, match="no create"):
        FakeServer(replay=har, revision=latest.revision.id)


def test_a_recorded_answer_that_is_no_json_cannot_be_patched() -> None:
    """A patch over a recorded answer that is no JSON leaves it as it is."""
    archive = recorded().journal.har()
    html = {"status": 502, "content": {"size": 3, "mimeType": "text/html", "text": "<p>"}}
    archive["log"]["entries"][0]["response"] |= html
    patch = {"faults": [{"operation": "createGeneration", "patch": {"status": "queued"}}]}
    reply = FakeServer(replay=archive, scenario=patch).handle(creating(CONTRACT))
    assert (reply.status, reply.body) == (502, b"<p>")


@pytest.mark.parametrize("status", [100, 101, 199, 600, 99_999])
def test_a_status_that_cannot_be_sent_is_refused(status: int) -> None:
    """An archive in which a call was answered by what is no status of an answer is refused when it is read."""
    archive = recorded().journal.har()
    archive["log"]["entries"][3]["response"]["status"] = status
    with pytest.raises(DocumentError, match=f"the archive: .* status {status}, which cannot be repeated"):
        FakeServer(replay=archive)


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=10), max_size=4))
def test_recorded_header_fields_are_repeated_where_they_are_legal(fields: dict[str, str]) -> None:
    """Whatever header fields an archive has, those that HTTP cannot carry keep no answer back."""
    archive = recorded().journal.har()
    odd = {":status": "200", "set-cookie": "a=1\nb=2", "transfer-encoding": "chunked", "x-kept": "yes", **fields}
    for entry in archive["log"]["entries"]:
        entry["response"]["headers"] += [{"name": name, "value": value} for name, value in odd.items()]
    fake = FakeServer(replay=archive)
    with httpx.Client(transport=fake.transport()) as client:
        asked = creating(CONTRACT)
        answer = client.request(asked.method, asked.url, headers=dict(asked.headers), content=asked.body)
    assert answer.status_code == CONTRACT.create.success
    assert (answer.headers["x-kept"], ":status" in answer.headers) == ("yes", False)
    assert answer.json()["id"]


def test_serve_replays(tmp_path: Path) -> None:
    """`serve --replay` answers from a file, and says so; a file that is none ends it with one line and exit code 2."""
    archive = tmp_path / "session.har"
    archive.write_text(json.dumps(recorded().journal.har()))
    command = [sys.executable, "-m", "kling_contract", "serve", "--port", "0", "--replay"]
    with subprocess.Popen([*command, str(archive)], cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[5]
        create = creating(CONTRACT, base=url)
        made = httpx.post(create.url, content=create.body, headers=dict(create.headers.items())).json()
        server.send_signal(signal.SIGTERM)
        said, _ = server.communicate()
    assert made == json.loads(json.loads(archive.read_text())["log"]["entries"][0]["response"]["content"]["text"])
    assert str(archive) in said
    archive.write_text("{")
    done = subprocess.run([*command, str(archive)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "session.har" in done.stderr


def shown(at: float, status: str, *, create: bool = False, **more: Any) -> Exchange:
    request = creating(CONTRACT) if create else polling(CONTRACT, "1")
    operation = CONTRACT.create if create else CONTRACT.get
    return Exchange(
        at, request, Reply(operation.success, Headers(), json.dumps({"id": "1", "status": status, **more}).encode())
    )


def journal(video: dict[str, Any], status: str) -> Journal:
    """Return the journal of a generation that had a video after a minute."""
    made = Journal(CONTRACT)
    made.add(shown(0, CONTRACT.lifecycle.initial, create=True))
    made.add(shown(60, status, video=video))
    return made


def _arguments(body: dict[str, Any]) -> dict[str, Any]:
    image = body.pop("image_url")
    body.pop("model")
    return {"image": image, **body}
