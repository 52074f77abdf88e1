"""A port of a run, played for the tests of the preloads: TLS, plain HTTP, CONNECT, refusals, and the pace of a clock."""

from __future__ import annotations

import contextlib
import datetime
import io
import ipaddress
import json
import queue
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support import ROOT

HOSTS = ("api.aimlapi.com", "cdn.aimlapi.com")
DOMAIN = "aimlapi.com"
CREATED = {"id": "a-generation", "status": "queued"}
VIDEO = f"https://cdn.{DOMAIN}/a.mp4"
FINISHED = {"id": "a-generation", "status": "completed", "video": {"url": VIDEO}}
PRELOAD = ROOT / "fake_server/preload/preload.cjs"


def write_authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Write the certificate of a new authority; returns its file, and what a server with a certificate by it needs."""
    now = datetime.datetime.now(datetime.UTC)
    key, authority_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority for tests")])
    names = [x509.DNSName(DOMAIN), x509.DNSName(f"*.{DOMAIN}"), x509.IPAddress(ipaddress.ip_address("192.0.2.1"))]

    def build(subject: x509.Name, public: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )

    authority = build(issuer, authority_key.public_key(), ca=True).sign(authority_key, hashes.SHA256())
    leaf = build(x509.Name([]), key.public_key(), ca=False).add_extension(
        x509.SubjectAlternativeName(names), critical=True
    )
    pem = serialization.Encoding.PEM
    chain = folder / "server.pem"
    chain.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + leaf.sign(authority_key, hashes.SHA256()).public_bytes(pem)
    )
    trusted = folder / "authority.pem"
    trusted.write_bytes(authority.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    context.set_alpn_protocols(["http/1.1"])
    return trusted, context


@dataclass(frozen=True)
class Request:
    """A request that came: the server name of TLS (None without TLS, or without a name), method, target and Host."""

    server_name: str | None
    method: str
    target: str
    host: str


class PortOfRun:
    """A listening port on 127.0.0.1 that records what came, answers like the API, and may move a clock.

    `requests` holds each request, `refused` the HOST:PORT of each refusal, `processes` those whose time follows. With
    `moves`, the clock moves to the earliest wake-up whenever a process waits and has said nothing for `settle`
    seconds (which is right for one process at a time); without, only by `move`.
    """

    def __init__(self, folder: Path, *, moves: bool = False, offset: float = 0.0, settle: float = 0.005) -> None:
        self.authority, self._context = write_authority(folder)
        self._context.sni_callback = self._note_name
        self._names: dict[int, str | None] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[Request] = []
        self.refused: list[str] = []
        self.processes: list[PacedProcess] = []
        self.offset = offset
        self._moves = moves
        self._settle = settle
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def configuration(self, **changes: Any) -> dict[str, Any]:
        """What KLING_CONTRACT_RUN holds for a run with this port."""
        return {
            "hosts": list(HOSTS),
            "domain": DOMAIN,
            "port": self.port,
            "authority": str(self.authority),
            "allow": [],
            "refuse_others": True,
            "pace": False,
            **changes,
        }

    def environment(self, **changes: Any) -> dict[str, str]:
        """The variables by which a Node program joins the run; `changes` are to the configuration."""
        return {
            "NODE_OPTIONS": f"--require={PRELOAD}",
            "NODE_EXTRA_CA_CERTS": str(self.authority),
            "KLING_CONTRACT_RUN": json.dumps(self.configuration(**changes)),
        }

    def close(self) -> None:
        """Stop listening and end every connection."""
        self._listener.close()
        self.hang_up()

    def hang_up(self) -> None:
        """End every connection there is."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _note_name(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        self._names[id(connection)] = name

    def _serve(self, connection: socket.socket, secure: bool = False) -> None:
        try:
            with connection:
                if not secure and connection.recv(1, socket.MSG_PEEK) == b"\x16":
                    self._serve(self._context.wrap_socket(connection, server_side=True), secure=True)
                    return
                with connection.makefile("rwb") as stream:
                    self._serve_stream(connection, stream)
        except OSError:
            pass  # a client that goes away, or does not trust the certificate

    def _serve_stream(self, connection: socket.socket, stream: io.BufferedRWPair) -> None:
        while line := stream.readline().decode("latin1").strip():
            word, _, rest = line.partition(" ")
            if word == "KLING-REFUSED":
                self.refused.append(rest)
            elif word == "KLING-PACE":
                self._pace(stream, json.loads(rest)["pid"])
                return
            else:
                headers: dict[str, str] = {}
                while header := stream.readline().decode("latin1").strip():
                    headers[header.partition(":")[0].lower()] = header.partition(":")[2].strip()
                if word == "CONNECT":
                    stream.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    stream.flush()
                    self._serve(connection)
                    return
                self._answer(connection, stream, line, headers)

    def _answer(self, connection: socket.socket, stream: io.BufferedRWPair, line: str, headers: dict[str, str]) -> None:
        if "chunked" in headers.get("transfer-encoding", ""):
            while size := int(stream.readline(), 16):
                stream.read(size + 2)
            stream.readline()
        stream.read(int(headers.get("content-length", "0")))
        method, target, _ = line.split(" ")
        self.requests.append(Request(self._names.get(id(connection)), method, target, headers["host"]))
        body = json.dumps(CREATED if method == "POST" else FINISHED).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        stream.write(head.encode() + body)
        stream.flush()

    # the clock

    def _pace(self, stream: io.BufferedRWPair, pid: int) -> None:
        process = PacedProcess(stream, pid)
        process.say({"offset": self.offset})
        self.processes.append(process)
        if self._moves:
            threading.Thread(target=self._move_whenever_idle, args=(process,), daemon=True).start()
        process.listen()

    def move(self, seconds: float) -> None:
        """Move the clock, and tell every process."""
        self.offset += seconds
        for process in self.processes:
            process.say({"offset": self.offset})

    def _move_whenever_idle(self, process: PacedProcess) -> None:
        while not process.ended:
            time.sleep(self._settle)
            if process.due is not None and time.monotonic() - process.heard_at >= self._settle:
                answer = process.ask()
                if answer is not None and answer["wait"] is not None:
                    self.move(answer["wait"])
                    process.due = None


class PacedProcess:
    """A process whose time follows the clock: what it said it waits for."""

    def __init__(self, stream: io.BufferedRWPair, pid: int) -> None:
        self.pid = pid
        self.waits: list[float | None] = []
        self.due: float | None = None
        self.heard_at = time.monotonic()
        self.ended = False
        self._stream = stream
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._asked = 0

    def say(self, message: dict[str, Any]) -> None:
        """Send one message; one that is gone hears nothing."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(json.dumps(message).encode() + b"\n")
            self._stream.flush()

    def ask(self) -> dict[str, Any] | None:
        """Ask what it waits for, and return its answer; None if it went away or gave none within 1 s."""
        self._asked += 1
        self.say({"ask": self._asked})
        try:
            return self._answers.get(timeout=1)
        except queue.Empty:
            return None

    def listen(self) -> None:
        """Read what it says until it goes away."""
        with contextlib.suppress(OSError):
            for message in map(json.loads, self._stream):
                self.heard_at = time.monotonic()
                if "answer" in message:
                    self._answers.put(message)
                else:
                    self.waits.append(message["wait"])
                    self.due = message["wait"]
        self.ended = True
        self._answers.put(None)
