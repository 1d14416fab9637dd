"""Transport security of the listening address."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from router.model.errors import SettingsInvalid
from router.server.listeners import _tls_context, check_transport_security
from router.settings import ServerSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_allowed_without_tls(host: str) -> None:
    check_transport_security(ServerSettings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "router.example", ""])
def test_other_addresses_need_tls_or_a_proxy(host: str) -> None:
    """S1."""
    with pytest.raises(SettingsInvalid, match="server"):
        check_transport_security(ServerSettings(host=host))
    check_transport_security(ServerSettings(host=host, behind_proxy=True))
    check_transport_security(ServerSettings(host=host, tls_certificate_path="a", tls_key_path="b"))


def test_a_certificate_without_a_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="or neither"):
        check_transport_security(ServerSettings(tls_certificate_path=str(tmp_path)))


@pytest.mark.parametrize(
    ("certificate", "key", "place"),
    [
        ("none", "plain", r"server\.tls_certificate_path: none: No such file"),
        ("plain", "none", r"server\.tls_key_path: none: No such file"),
        ("plain", "plain", r"server\.tls_certificate_path, server\.tls_key_path: plain, plain: "),
        ("certificate", "locked", "locked: not PEM, or the key needs a password"),
    ],
)
def test_a_certificate_that_cannot_be_used_names_the_setting_and_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: str, key: str, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain").write_text("no certificate")
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder(name, name, private.public_key(), 1, now, now + timedelta(days=1)).sign(private, SHA256())
    Path("certificate").write_bytes(built.public_bytes(Encoding.PEM))
    Path("locked").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    with pytest.raises(SettingsInvalid, match=place):
        _tls_context(ServerSettings(tls_certificate_path=certificate, tls_key_path=key))
