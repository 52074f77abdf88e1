"""Claims about clients that do not use Python's sockets: curl_cffi, pycurl and gevent end in the fake or are refused, too."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from kling_contract.contract import Contract
from tests.support import ROOT
from tests.support.environments import environment

pytestmark = pytest.mark.other_programs

CLIENTS = {
    "curl_cffi": """
import curl_cffi
def call(url):
    return curl_cffi.requests.get(url).text
""",
    "curl_cffi in a loop": """
import asyncio, curl_cffi
def call(url):
    async def main():
        async with curl_cffi.requests.AsyncSession() as session:
            return (await session.get(url)).text
    return asyncio.run(main())
""",
    "pycurl": """
import io, pycurl
def call(url):
    curl, body = pycurl.Curl(), io.BytesIO()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.WRITEDATA, body)
    curl.perform()
    return body.getvalue().decode()
""",
    "pycurl with others": """
import io, pycurl
def call(url):
    curl, body, others = pycurl.Curl(), io.BytesIO(), pycurl.CurlMulti()
    curl.setopt(pycurl.URL, url)
    curl.setopt(pycurl.WRITEDATA, body)
    others.add_handle(curl)
    while others.perform()[1]:
        others.select(1)
    _, _, failed = others.info_read()
    assert not failed, failed
    return body.getvalue().decode()
""",
    "gevent": """
from gevent import monkey; monkey.patch_all()
import gevent, requests
def call(url):
    return gevent.spawn(lambda: requests.get(url).text).get()
""",
}
PROGRAM = """
import json, sys
from fake_server import FakeServer, Reply
from fake_server.messages import Headers
class Named(FakeServer):
    def handle(self, request):
        return Reply(200, Headers(), b"the fake")
with Named().intercept():
    told = [call(sys.argv[1])]
    try:
        told.append(call("https://elsewhere.example/"))
    except Exception as refused:
        told.append(str(refused))
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with this project and these clients. It skips the test where they cannot be installed."""
    try:
        return (
            environment(tmp_path_factory.mktemp("clients"), ROOT, *"curl_cffi pycurl gevent requests".split())
            / "python"
        )
    except subprocess.CalledProcessError as failed:
        pytest.skip(f"they cannot be installed here: {failed.stderr.strip()[-200:]}")


@pytest.mark.parametrize("client", CLIENTS)
def test_each_ends_in_the_fake_or_is_refused(client: str, python: Path, tmp_path: Path) -> None:
    """Each client reaches the fake, whose certificate it verifies, and is refused any other host by a message that says so."""
    command = [str(python), "-c", CLIENTS[client] + PROGRAM, Contract.load().base_url]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    text, refusal = json.loads(done.stdout)
    assert text == "the fake"
    assert all(part in refusal for part in ("kling-contract", "elsewhere.example", 'others="pass"'))
