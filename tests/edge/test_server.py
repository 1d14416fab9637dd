"""Transport security of the listening address."""

from pathlib import Path

import pytest

from router.edge.server import check_exposure
from router.model.errors import SettingsInvalid
from router.settings import EdgeSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_allowed_without_tls(host: str) -> None:
    check_exposure(EdgeSettings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "router.example", ""])
def test_other_addresses_need_tls_or_a_proxy(host: str) -> None:
    """S1."""
    with pytest.raises(SettingsInvalid, match="edge"):
        check_exposure(EdgeSettings(host=host))
    check_exposure(EdgeSettings(host=host, behind_proxy=True))
    check_exposure(EdgeSettings(host=host, tls_certificate_path="a", tls_key_path="b"))


def test_a_certificate_without_a_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="or neither"):
        check_exposure(EdgeSettings(tls_certificate_path=str(tmp_path)))
