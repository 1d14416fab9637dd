"""Transport security of the listening address."""

from pathlib import Path

import pytest

from router.model.errors import SettingsInvalid
from router.server.listeners import check_transport_security
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
