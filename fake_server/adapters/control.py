"""The control API: a fake on a port is steered, and asked what it saw, by JSON under `/_fake/`.

Under `/_fake/` there is

- `GET health`: `status` ("ok"), `revision`, `scenario`, `strictness`, `progression`, and how many `generations`.
- `GET clock`: `now` in seconds since 1970, the same as `time`, and the clock's `rate`.
  `POST clock` with `{"advance": 30}` moves it on by 30 seconds, and returns the same as GET.
- `GET scenario`: the scenario, as its file has it.
  `POST scenario` with `"fails"`, `{"name": "fails"}` or the data of a scenario plays that one, and returns it.
- `GET generations`: `total`, and the newest `generations`, oldest first, each as in the next line.
- `GET generation?id=ID`: `id`, `status`, `created_at`, `timeline`, `revision`, `model`, `duration`, `ratio`, `price`, `video_url`,
  `image_url`, `polls`.
  `POST generation?id=ID` with `{"timeline": "failure"}`, or a list of steps, reschedules it, and returns the same as GET.
- `GET journal`: `total`, `dropped`, and the newest `exchanges`, oldest first: `at`, `method`, `url`, `status`,
  `operation`, `generation_id`, `reason`, `violations`.
- `GET har`: the journal as an HTTP Archive.
- `GET ledger`: `unit`, `booked`, `pending`, how many are `unknown`, `total`, and the newest `charges`: `generation_id`, `model`,
  `created_at`, `amount`, `state`.
- `POST reset`: forgets all generations and exchanges, begins again with the first scenario, and returns the same as `health`.
- `GET documents`: `revision`, and the paths of its `documents`; `GET documents/NAME`: one of them.

HEAD is as GET. A POST is sent as `application/json`, even without a body. `generations`, `journal` and `ledger` take
`?limit=10` (default 1000). A refused request gets `{"error": "what to do"}`, with the status 400 for its body or query, 403
for its Host or Origin header, 404 for an unknown page, generation or document, 405 for its method, 409 if this fake cannot
do it (its clock follows real time, or the generation has ended), 413 for the size and 415 for the media type of its body.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from fake_server.adapters.control_pages import PREFIX, Pages, Refused
from fake_server.messages import Headers, Reply, Request
from fake_server.service.fake import Fake
from kling_contract.hosts import is_own_page, names_this_host
from kling_contract.validation.messages import same_media_type

__all__ = ["ControlApi"]

_JSON = "application/json"


class ControlApi:
    """A fake with its control API: requests under `/_fake/` are answered for the fake itself, and leave no trace in it.

    All other requests go to the fake. `host` is the address that the fake listens on. A request whose Host header names
    neither that address nor this machine is refused, and so is one from a page of another origin: a browser may have been
    misled to this port.
    """

    def __init__(self, fake: Fake, *, host: str = "127.0.0.1") -> None:
        self._fake = fake
        self._host = host
        self._pages = Pages(fake).by_name

    def handle(self, request: Request) -> Reply:
        """Answer one request."""
        target = request.target
        if not target.path.startswith(PREFIX):
            return self._fake.handle(request)
        try:
            self._check_client(request)
            return _reply(200, self._page(request, target.path.removeprefix(PREFIX))(request))
        except Refused as refused:
            return _reply(refused.status, {"error": str(refused)}, refused.headers)

    def _check_client(self, request: Request) -> None:
        host = request.headers.get("host", request.target.netloc)
        if not names_this_host(host, self._host):
            raise Refused(403, f"{host!r} is not a name of this machine: call /_fake/ by the address in the ready line")
        origin = request.headers.get("origin")
        if origin is not None and not is_own_page(origin, self._host):
            raise Refused(403, f"pages of {origin!r} may not call /_fake/: only pages of this fake may")

    def _page(self, request: Request, path: str) -> Callable[[Request], Any]:
        name, _, document = path.partition("/")
        page = self._pages.get(name)
        if page is None or (document and name != "documents"):
            raise Refused(404, f"there is no /_fake/{path}; there is {', '.join(self._pages)}")
        answer = page.get("GET" if request.method == "HEAD" else request.method)
        if answer is None:
            allowed = ", ".join(page)
            raise Refused(405, f"/_fake/{name} takes {allowed}, not {request.method}", {"allow": allowed})
        # A browser asks for permission first before a page of another origin sends this type, and gets none.
        if request.method == "POST" and not same_media_type(request.headers.get("content-type", ""), _JSON):
            raise Refused(415, f"send content-type: {_JSON}, even without a body")
        return answer


def _reply(status: int, content: Any, headers: Mapping[str, str] | None = None) -> Reply:
    body = json.dumps(content, ensure_ascii=False, indent=1).encode("utf-8", "replace")
    return Reply(status, Headers({"content-type": _JSON, "cache-control": "no-store", **(headers or {})}), body)
