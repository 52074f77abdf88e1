"""Claims about how a video gets into a file, for both sorts of client at once."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_server import FakeServer
from kling_contract import errors
from kling_contract.client import AsyncClient, Client
from kling_contract.client.client import Generation, Video
from kling_contract.clock import VirtualClock
from kling_contract.contract import Contract

LIFECYCLE = Contract.load().lifecycle
SUCCESS = next(s for s in LIFECYCLE.statuses if LIFECYCLE.succeeded(s))
KEY = "sk-live-0123456789abcdef"
URL = "https://media.example/v.mp4?signature=secret"
OLD = b"what was there before"


class Cut(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that ends with a broken connection, or just ends."""

    def __init__(self, data: bytes, breaks: Exception | None) -> None:
        self.data, self.breaks = data, breaks

    def __iter__(self) -> Iterator[bytes]:
        yield self.data[: len(self.data) // 2]
        yield self.data[len(self.data) // 2 :]
        if self.breaks:
            raise self.breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


@dataclass
class Host:
    """A media host that sends at most so many bytes at each try, and from then on all of them."""

    data: bytes
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    lengths: bool = True
    breaks: bool = True
    etag: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self.statuses:
            return httpx.Response(self.statuses.pop(0), headers=dict(self.headers))
        start, status, headers = 0, 200, dict(self.headers)
        asked = request.headers.get("range")
        if asked and self.ranges and request.headers.get("if-range", self.etag) == self.etag:
            start, status = int(asked.removeprefix("bytes=").removesuffix("-")), 206
            headers["content-range"] = f"bytes {start}-{len(self.data) - 1}/{len(self.data)}"
        rest = self.data[start:]
        if self.lengths:
            headers["content-length"] = str(len(rest))
        if self.etag:
            headers["etag"] = self.etag
        cut = self.cuts.pop(0) if self.cuts else len(rest)
        broken = httpx.ReadError("it broke", request=request) if cut < len(rest) and self.breaks else None
        return httpx.Response(status, headers=headers, stream=Cut(rest[:cut], broken))


def fetch(host: Any, sort: str, path: Path, what: Generation | str = URL, *, retries: int = 5, **http: Any) -> Path:
    clock = VirtualClock()
    transport = httpx.MockTransport(host)
    if sort == "sync":
        with httpx.Client(transport=transport, **http) as client:
            return Client(KEY, http=client, clock=clock, retries=retries).download(what, path)

    async def awaited() -> Path:
        async with httpx.AsyncClient(transport=transport, **http) as client:
            return await AsyncClient(KEY, http=client, clock=clock, retries=retries).download(what, path)

    return asyncio.run(awaited())


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def made(**members: Any) -> Generation:
    return Generation("a:b/c", SUCCESS, (Video(URL, **members),))


@pytest.fixture(params=["sync", "async"])
def sort(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@given(
    data=st.binary(min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    retries=st.integers(0, 5),
    ranges=st.booleans(),
    lengths=st.booleans(),
    breaks=st.booleans(),
    etag=st.sampled_from([None, '"e"', 'W/"e"']),
    there=st.booleans(),
    sort=st.sampled_from(["sync", "async"]),
)
def test_a_video_arrives_whole_or_not_at_all(
    data: bytes,
    cuts: list[int],
    retries: int,
    ranges: bool,
    lengths: bool,
    breaks: bool,
    etag: str | None,
    there: bool,
    sort: str,
) -> None:
    """However often a transfer breaks, the file is the video or what it was before, and nothing lies beside it."""
    host = Host(data, cuts, ranges, lengths, breaks, etag)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "v.mp4")
        if there:
            path.write_bytes(OLD)
        try:
            assert fetch(host, sort, path, made(file_size=len(data)), retries=retries) == path
        except errors.DownloadError:
            assert len(host.requests) == retries + 1
            assert names(Path(folder)) == (["v.mp4"] if there else [])
            assert not there or path.read_bytes() == OLD
        else:
            assert path.read_bytes() == data
            assert names(Path(folder)) == ["v.mp4"]


def test_a_broken_transfer_goes_on_where_it_stopped(sort: str, tmp_path: Path) -> None:
    """After a break only the rest is asked for, on the condition that the video is still the same one."""
    host = Host(b"0123456789", [4, 3], etag='"e"')
    assert fetch(host, sort, tmp_path / "v").read_bytes() == b"0123456789"
    assert [request.headers.get("range") for request in host.requests] == [None, "bytes=4-", "bytes=7-"]
    assert [request.headers.get("if-range") for request in host.requests] == [None, '"e"', '"e"']


def test_another_video_in_the_middle_is_not_spliced(tmp_path: Path) -> None:
    """When the rest is that of a video of another size, or from another place, the transfer begins again."""

    class Changing(Host):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            response = super().__call__(request)
            self.data = b"abc"
            return response

    host = Changing(b"0123456789", [4])
    assert fetch(host, "sync", tmp_path / "v").read_bytes() == b"abc"
    assert [request.headers.get("range") for request in host.requests] == [None, "bytes=4-", None]


def test_a_range_that_cannot_be_is_asked_for_whole(tmp_path: Path) -> None:
    """A host that cannot give the rest (416) is asked for the whole again."""

    class Refusing(Host):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            self.statuses = [416] if "range" in request.headers else []
            return super().__call__(request)

    host = Refusing(b"0123", [2])
    assert fetch(host, "sync", tmp_path / "v").read_bytes() == b"0123"
    assert [request.headers.get("range") for request in host.requests] == [None, "bytes=2-", None]


def test_the_media_host_sees_nothing_of_ours(sort: str, tmp_path: Path) -> None:
    """Neither the key nor the HTTP client's own headers, cookies, parameters or auth reach the media host."""
    host = Host(b"video")
    own = {"authorization": f"Bearer {KEY}", "x-own": KEY}
    fetch(host, sort, tmp_path / "v", headers=own, cookies={"c": KEY}, params={"p": KEY}, auth=("u", KEY))
    (request,) = host.requests
    assert str(request.url) == URL
    assert not [
        name for name, value in request.headers.items() if KEY in value or name in ("x-own", "cookie", "authorization")
    ]


def test_redirects_are_followed_without_the_key(sort: str, tmp_path: Path) -> None:
    """A video may have moved: it is fetched where it is now, and the key is not shown there either."""
    there = Host(b"video")

    def host(request: httpx.Request) -> httpx.Response:
        if request.url.host == "media.example":
            return httpx.Response(302, headers={"location": "https://other.example/v"})
        return there(request)

    assert fetch(host, sort, tmp_path / "v").read_bytes() == b"video"
    assert "authorization" not in there.requests[0].headers


@pytest.mark.parametrize("location", ["ftp://x/v", URL])
def test_a_redirect_to_nowhere_is_not_tried_again(location: str, tmp_path: Path) -> None:
    """A redirect to another scheme, or in a circle, ends the download at once."""
    host = Host(b"", statuses=[302] * 99, headers={"location": location})
    with pytest.raises(errors.DownloadError, match=r"UnsupportedProtocol|TooManyRedirects"):
        fetch(host, "sync", tmp_path / "v")
    assert len(host.requests) < 30


@pytest.mark.parametrize("status", [401, 403, 404, 410, 500])
def test_a_link_that_no_longer_works_says_what_to_do(sort: str, status: int, tmp_path: Path) -> None:
    """A refusal of the media host is not tried again; the message has no signature in it, and names the way out."""
    host = Host(b"", statuses=[status])
    with pytest.raises(errors.DownloadError, match=rf"responded with {status} .*get the generation again") as failure:
        fetch(host, sort, tmp_path / "v")
    assert "secret" not in str(failure.value)
    assert len(host.requests) == 1
    assert not names(tmp_path)


def test_passing_trouble_is_outlived(sort: str, tmp_path: Path) -> None:
    """A media host that is busy for a while is asked again later."""
    host = Host(b"video", statuses=[503, 429])
    assert fetch(host, sort, tmp_path / "v").read_bytes() == b"video"


@pytest.mark.parametrize(
    ("host", "size", "message"),
    [
        (Host(b"0123"), 5, "offers 4 bytes, but the generation has file_size 5"),
        (Host(b"0123", lengths=False), 3, "more than the announced 3 bytes"),
        (Host(b"0123", lengths=False), 9, "only 4 bytes of 9 were received"),
        (Host(b""), None, "only 0 bytes of the video were received"),
        (Host(b"0123", headers={"content-encoding": "br"}), None, "compressed"),
        (
            Host(b"", statuses=[206] * 9, headers={"content-range": "bytes 5-8/9"}),
            None,
            "206, but not with the rest",
        ),
    ],
)
def test_what_is_not_the_whole_video_is_refused(host: Host, size: int | None, message: str, tmp_path: Path) -> None:
    """Another size than announced, nothing at all, compressed bytes, or another part are not saved."""
    with pytest.raises(errors.DownloadError, match=message):
        fetch(host, "sync", tmp_path / "v", made(file_size=size), retries=0)
    assert not names(tmp_path)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "data:video/mp4;base64,AA==", "", "//x/v", "http://x:port/v"])
def test_only_http_is_downloaded(url: str, tmp_path: Path) -> None:
    """What is not at an http or https URL that can be read is not fetched."""
    with pytest.raises(errors.DownloadError, match=r"http or https URL|InvalidURL"):
        fetch(Host(b"video"), "sync", tmp_path / "v", url)
    assert not names(tmp_path)


def test_a_generation_without_a_video_says_its_status(tmp_path: Path) -> None:
    """There is nothing to download before there is a video."""
    for videos in ((), (Video(),)):
        with pytest.raises(errors.DownloadError, match=f"no video to download: it is in status '{LIFECYCLE.initial}'"):
            fetch(Host(b"video"), "sync", tmp_path / "v", Generation("x", LIFECYCLE.initial, videos))


def test_a_place_that_cannot_be_written_is_refused_before_fetching(tmp_path: Path) -> None:
    """A folder, or a folder that is not there, is refused without asking the media host."""
    host = Host(b"video")
    with pytest.raises(errors.DownloadError, match="is a folder"):
        fetch(host, "sync", tmp_path)
    with pytest.raises(errors.DownloadError, match=r"cannot write .*No such file"):
        fetch(host, "sync", tmp_path / "no" / "v")
    assert not host.requests


def test_a_cancelled_download_leaves_nothing(tmp_path: Path) -> None:
    """Whoever interrupts a download finds no half of a file."""

    def host(request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(host, "sync", tmp_path / "v")
    assert not names(tmp_path)


@pytest.mark.parametrize("package", [httpx, httpx2])
def test_a_video_of_the_fake_comes_over_a_real_port(package: Any, tmp_path: Path) -> None:
    """Over a socket a generation runs to its end on the shared clock, and its real video is saved."""
    clock = VirtualClock()
    fake = FakeServer(clock=clock, api_key=KEY)
    with fake.listen() as url:
        with (
            package.Client(trust_env=False) as http,
            Client(KEY, http=http, base_url=url, clock=clock) as client,
        ):
            done = client.generate(image="https://example.com/cat.png", prompt="it turns", duration=5)
            saved = client.download(done, tmp_path / "sync.mp4")

        async def awaited() -> Path:
            async with package.AsyncClient(trust_env=False) as http:
                client = AsyncClient(KEY, http=http, base_url=url, clock=clock)
                return await client.download(done, tmp_path / "async.mp4")

        again = asyncio.run(awaited())
    assert done.video is not None
    assert saved.stat().st_size == done.video.file_size
    assert saved.read_bytes()[4:8] == b"ftyp"
    assert again.read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("before", [0, 190])
@pytest.mark.parametrize("scheme", ["https", "ftp"])
def test_a_key_in_the_url_of_a_video_is_not_told(tmp_path: Path, scheme: str, before: int) -> None:
    """A video at a URL in which the service repeated the key is asked for there; no message shows the key, nor a piece of it."""
    url = f"{scheme}://media.example/{'x' * before}{KEY}/v.mp4"
    host = Host(b"", statuses=[404, 503])
    client = Client(KEY, http=httpx.Client(transport=httpx.MockTransport(host)), retries=0)
    for what in (url, Generation("x", SUCCESS, (Video(url),))):
        with pytest.raises(errors.DownloadError, match=r"media\.example") as failed:
            client.download(what, tmp_path / "v.mp4")
        assert KEY[:8] not in f"{failed.value} {failed.value!r}"
    with pytest.raises(errors.DownloadError, match="no video to download") as failed:
        client.download(Generation(KEY, f"key {KEY}"), tmp_path / "v.mp4")
    assert KEY[:8] not in f"{failed.value} {failed.value!r}"
    assert {str(request.url) for request in host.requests} == ({url} if scheme == "https" else set())


def test_what_is_logged_of_a_download_does_not_show_the_key(
    sort: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A download that is tried again is logged, with neither the key nor the query of its link."""
    host = Host(b"0123")
    breaks = [httpx.ReadError(f"{KEY} was in it")]

    def answer(request: httpx.Request) -> httpx.Response:
        if breaks:
            raise breaks.pop()
        return host(request)

    url = f"https://media.example/{KEY}/v.mp4?signature=secret"
    with caplog.at_level("INFO", "kling_contract"):
        fetch(answer, sort, tmp_path / "v.mp4", url)
    assert "trying again in 1 s" in caplog.text
    ours = "".join(record.message for record in caplog.records if record.name == "kling_contract")
    assert KEY not in ours
    assert "secret" not in ours
