"""The certificate authority of one fake: made for the occasion, and valid for the named hosts alone."""

from __future__ import annotations

import ipaddress
import os
import ssl
import tempfile
import warnings
from _ssl import _SSLContext
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12Certificate, serialize_java_truststore
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority"]

_VALID = timedelta(days=365)
_SKEW = timedelta(days=1)  # clients whose clock is slow
_LOOPBACK = (ipaddress.ip_network("127.0.0.1/32"), ipaddress.ip_network("::1/128"))
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Authority:
    """An authority and one server certificate, for `hosts` and this machine.

    A host is a name, a wildcard such as `*.example.com`, or a numeric address. The authority's own certificate permits these
    and no others (RFC 5280, 4.2.1.10), so that trusting it opens no other site. Its key is never written down.
    """

    def __init__(self, hosts: Collection[str]) -> None:
        names = dict.fromkeys((*hosts, "localhost", "127.0.0.1", "::1"))
        self._now = datetime.now(UTC)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("kling-contract fake, for tests alone")
        self._authority = self._signed(
            self._name,
            self._key.public_key(),
            (
                (x509.BasicConstraints(ca=True, path_length=0), True),
                (x509.NameConstraints(_permitted(names), None), True),
                (_usage(signs_certificates=True), True),
            ),
        )
        self.certificate = self._authority.public_bytes(Encoding.PEM).decode("ascii")
        """The authority's certificate in PEM: what clients must trust."""
        self._server_key = ec.generate_private_key(ec.SECP256R1())
        self._subjects = [_general_name(host) for host in names]

    def server_context(self) -> ssl.SSLContext:
        """Return the TLS context of a server that is each of the hosts. Only HTTP/1.1 is offered.

        A client that asks for a name gets a certificate without addresses: BoringSSL knows no constraints on addresses, and
        refuses a certificate that has both.
        """
        context = self._context(self._subjects)
        named = self._context([subject for subject in self._subjects if isinstance(subject, x509.DNSName)])

        def choose(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
            if name is not None:
                connection.context = named

        vars(_SSLContext)["sni_callback"].__set__(context, choose)  # gevent's own attribute takes sockets alone
        return context

    def _context(self, subjects: Iterable[x509.GeneralName]) -> ssl.SSLContext:
        """Return the TLS context of a server with a certificate for these."""
        certificate = self._signed(
            _named("kling-contract fake"),
            self._server_key.public_key(),
            (
                (x509.BasicConstraints(ca=False, path_length=None), True),
                (x509.SubjectAlternativeName(subjects), False),
                (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
                (_usage(signs_certificates=False), True),
            ),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        private = self._server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with _only_ours(private + certificate.public_bytes(Encoding.PEM)) as path:
            context.load_cert_chain(path)
        return context

    def java_trust_store(self, others: Iterable[bytes], password: str) -> bytes:
        """Return a PKCS #12 trust store with this authority, and with the certificates in PEM that `others` hold."""
        found = {self._authority: b"kling-contract"}
        for bundle in others:
            with suppress(ValueError), warnings.catch_warnings(action="ignore"):  # of flaws in old certificates
                for number, certificate in enumerate(x509.load_pem_x509_certificates(bundle)):
                    found.setdefault(certificate, b"%d" % number)
        certificates = [PKCS12Certificate(certificate, name) for certificate, name in found.items()]
        return serialize_java_truststore(certificates, BestAvailableEncryption(password.encode()))

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        extensions: Iterable[tuple[x509.ExtensionType, bool]],
    ) -> x509.Certificate:
        own = x509.SubjectKeyIdentifier.from_public_key(key)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - _SKEW)
            .not_valid_after(self._now + _VALID)
            .add_extension(own, critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, SHA256())


@contextmanager
def _only_ours(content: bytes) -> Iterator[str]:
    """Give a path, since ssl loads keys from files alone: in memory where that is possible, else of a file only we can read."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("kling-contract"), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    number, name = tempfile.mkstemp(prefix="kling-contract-")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(content)
        yield name
    finally:
        Path(name).unlink(missing_ok=True)


def _named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _permitted(hosts: Iterable[str]) -> list[x509.GeneralName]:
    """Return what covers these hosts. Addresses stand there in any case: a kind that is not named is not constrained."""
    names: list[x509.GeneralName] = []
    networks: set[_Network] = set(_LOOPBACK)
    for host in hosts:
        try:
            networks.add(ipaddress.ip_network(host))
        except ValueError:
            names.append(x509.DNSName(host.removeprefix("*.")))
    return [*names, *map(x509.IPAddress, sorted(networks, key=str))]


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
