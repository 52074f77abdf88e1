"""Do programs that others have published work against the fake, unchanged? Each in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fake_server import FakeServer
from fake_server.service.media import video
from kling_contract import Strictness
from tests.support.environments import environment

pytestmark = pytest.mark.other_programs

MODEL = "kling-video/v1/pro/image-to-video"
TEXT_MODEL = "kling-video/v1.6/standard/text-to-video"
RUNS: tuple[tuple[str, Strictness], ...] = ((TEXT_MODEL, "lax"), (MODEL, "lax"), (MODEL, "off"))

SDK = """
import json, sys
from aimlapi import AIMLAPI
client = AIMLAPI(api_key="a-key-for-tests", base_url=sys.argv[1] + "/v1", max_retries=0)
seen = []
video = client.videos.generate_with_polling(
    model=sys.argv[2], prompt="The cat wakes up.", duration=5, extra_body={"image_url": "https://example.com/cat.png"},
    poll_interval=0.01, return_bytes=True, status_callback=lambda job: seen.append(job["status"]),
)
print(json.dumps([seen, len(video)]))
"""

AGNO = """
import json, sys
from agno.tools.models.aimlapi import AIMLAPITools
tools = AIMLAPITools(api_key="a-key-for-tests", base_url=sys.argv[1], video_model=sys.argv[2], video_poll_interval=0.01)
made = tools.generate_video("The cat wakes up.")
print(json.dumps([made.content, len(made.videos[0].content) if made.videos else 0]))
"""

LANGCHAIN = """
import json, sys
from langchain_aimlapi import AimlapiVideoModel
model = AimlapiVideoModel(model=sys.argv[2], provider="kling", base_url=sys.argv[1] + "/v2", api_key="a-key-for-tests")
print(json.dumps(model.generate_videos(prompt="The cat wakes up.", poll_interval=0.01)))
"""


def install(package: str, home: Path) -> Path:
    """Return the Python of a new environment with nothing but `package`. Skip the test where it cannot be installed."""
    try:
        return environment(home, package) / "python"
    except subprocess.CalledProcessError as failed:
        pytest.skip(f"{package} cannot be installed here: {failed.stderr.strip()[-200:]}")


def run(
    python: Path, program: str, url: str, *, model: str = MODEL, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-c", program, url, model]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})


def test_the_providers_own_library(tmp_path: Path) -> None:
    """The provider's own Python library makes, polls and downloads a video, on the path of a later revision."""
    fake = FakeServer(progression="polls")
    python = install("aimlapi-sdk-python==2.24.0rc1", tmp_path)
    with fake.listen() as url:
        done = run(python, SDK, url)
    assert done.returncode == 0, done.stderr
    seen, size = json.loads(done.stdout)
    assert list(dict.fromkeys(seen)) == [step.status for step in fake.contract.observed.timeline.steps]
    assert size == len(video(5))
    fake.assert_created_once()
    assert {(found.rule, found.severity) for exchange in fake.journal for found in exchange.violations} == {
        ("revision", "warning")
    }
    fake.assert_polled_until_done()


def test_a_library_that_sends_no_image(tmp_path: Path) -> None:
    """langchain's model sends no image and fields of its own: a text-to-video model takes them, another does not."""
    outcomes: list[Any] = []
    python = install("langchain-aimlapi==0.1.3", tmp_path)
    for model, strictness in RUNS:
        fake = FakeServer(progression="immediate", strictness=strictness)
        with fake.listen() as url:
            done = run(python, LANGCHAIN, url, model=model)
        wrong = {(violation.pointer, violation.rule) for violation in fake.journal[0].violations}
        assert {("/n", "undeclared"), ("/response_format", "undeclared")} <= wrong
        assert (("/image_url", "required") in wrong) == (model == MODEL)
        outcomes.append((done.returncode, len(fake.generations)))
        if done.returncode == 0:
            assert json.loads(done.stdout) == [next(iter(fake.generations.values())).video_url_on(url)]
    assert outcomes == [(0, 1), (1, 0), (0, 1)]


def test_a_tool_of_an_agent_framework(tmp_path: Path) -> None:
    """agno's tool sends no image, which a text-to-video model needs none of, and gets its video, over https as it insists."""
    outcomes: list[int] = []
    python = install("agno==3.1.10", tmp_path)
    for model, strictness in RUNS:
        fake = FakeServer(progression="polls", strictness=strictness)
        with fake.listen(tls=True) as url:
            (tmp_path / "ca.pem").write_text(url.ca_pem or "")
            done = run(python, AGNO, url, model=model, SSL_CERT_FILE=str(tmp_path / "ca.pem"))
        assert done.returncode == 0, done.stderr
        said, size = json.loads(done.stdout.splitlines()[-1])  # before it, the tool's own log
        wrong = {(each.pointer, each.rule) for each in fake.journal[0].violations if each.severity == "error"}
        assert (("/image_url", "required") in wrong) == ((model, strictness) == (MODEL, "lax"))
        assert not wrong or json.loads(fake.journal[0].reply.body)["message"] in said
        outcomes.append(size)
    assert outcomes == [len(video(5)), 0, len(video(5))]
