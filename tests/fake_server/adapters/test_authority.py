"""Claims about the authority of a fake: what it makes clients trust, and what it cannot."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import pkcs12

from fake_server.adapters.authority import Authority


def shakes_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str, shown: list[bytes] | None = None) -> str:
    """Return "trusted", or why the client refuses the server. `shown` gets its certificate."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks = client.wrap_bio(incoming, outgoing, server_hostname=name)
    answers = server.wrap_bio(outgoing, incoming, server_side=True)
    done = 0
    while done < 2:
        done = 0
        for side in (asks, answers):
            try:
                side.do_handshake()
                done += 1
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError as refused:
                return str(refused)
    if shown is not None:
        shown.append(asks.getpeercert(binary_form=True) or b"")
    return "trusted"


@pytest.mark.parametrize("name", ["api.example.com", "other.example.org", "localhost", "127.0.0.1", "::1"])
def test_its_hosts_are_trusted(name: str) -> None:
    """A client that trusts the authority trusts its server for each host, for names under a wildcard, and for this machine."""
    authority = Authority(["api.example.com", "*.example.org"])
    client = ssl.create_default_context(cadata=authority.certificate)
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    assert shakes_hands(authority.server_context(), client, name) == "trusted"


@pytest.mark.parametrize(("name", "addresses"), [("api.example.com", 0), ("127.0.0.1", 2)])
def test_a_name_is_shown_a_certificate_of_names(name: str, addresses: int) -> None:
    """Who asks for a name sees no address in the certificate: BoringSSL would refuse it (X509_V_ERR 51)."""
    authority = Authority(["api.example.com"])
    client, shown = ssl.create_default_context(cadata=authority.certificate), list[bytes]()
    assert shakes_hands(authority.server_context(), client, name, shown) == "trusted"
    subjects = x509.load_der_x509_certificate(shown[0]).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert len(subjects.value.get_values_for_type(x509.IPAddress)) == addresses


def test_no_other_host_is_trusted() -> None:
    """The server of an authority is refused under any other name."""
    authority = Authority(["api.example.com"])
    client = ssl.create_default_context(cadata=authority.certificate)
    assert "mismatch" in shakes_hands(authority.server_context(), client, "example.com")


@pytest.mark.parametrize("name", ["api.example.org", "192.0.2.1"])
def test_it_cannot_vouch_for_another_host(name: str) -> None:
    """Even a certificate that its key signs for another name or address is refused: the authority is not permitted to."""
    authority = Authority(["api.example.com"])
    authority._subjects = [_general(name)]
    client = ssl.create_default_context(cadata=authority.certificate)
    assert "permitted subtree" in shakes_hands(authority.server_context(), client, name)


def test_java_trusts_the_same(recwarn: pytest.WarningsRecorder) -> None:
    """The trust store for Java has the authority and every certificate of the bundles; what is no bundle is passed over."""
    authority, other = Authority([]), Authority([])
    store = pkcs12.load_pkcs12(authority.java_trust_store([other.certificate.encode(), b"nonsense"], "word"), b"word")
    found = {each.certificate.fingerprint(hashes.SHA256()) for each in store.additional_certs}
    assert found == {
        x509.load_pem_x509_certificate(each.certificate.encode()).fingerprint(hashes.SHA256())
        for each in (authority, other)
    }
    assert not list(recwarn)


def test_no_key_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its keys are in memory alone; where ssl can only read a file, that has gone when the context is made."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Authority([]).server_context()
    monkeypatch.delattr("os.memfd_create", raising=False)
    Authority([]).server_context()
    assert not list(tmp_path.iterdir())


def _general(name: str) -> x509.GeneralName:
    from fake_server.adapters.authority import _general_name

    return _general_name(name)
