"""Token verification: a valid token of each key family and every kind of invalid one. S23–S29."""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from router.model.errors import SettingsInvalid
from router.server.auth.credentials import Authenticator, AuthFailed, Role, mint_token, open_authenticator
from router.server.auth.keys import create_secret, open_keyring
from router.settings import Settings, settings_from
from tests.support.tokens import EC, NOW_S, RSA, SECRET, an_authenticator, claims, public_pem, signed, three_issuers


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def handmade_token(header: dict[str, Any], payload: dict[str, Any], secret: bytes) -> str:
    """Return an HMAC-signed token that a JWT library would refuse to create."""
    body = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(payload).encode())}"
    return f"{body}.{b64(hmac.digest(secret, body.encode(), hashlib.sha256))}"


def refused(tmp_path: Path, token: str) -> str:
    with pytest.raises(AuthFailed) as caught:
        an_authenticator(tmp_path).verify(token)
    return str(caught.value)


def test_a_valid_token_of_each_family_gives_a_credential(tmp_path: Path) -> None:
    verify = an_authenticator(tmp_path).verify
    found = verify(signed(claims()))
    assert (found.subject, found.role, found.workspace) == ("ada", Role.AGENT, "default")
    assert found.expires_at_s == NOW_S + 3600 and found.actor == "agent:ada"
    assert verify(signed(claims(iss="r"), RSA, "RS256", {"kid": "k1"})).issuer == "r"
    ecdsa = claims(iss="e", workspace="other")
    assert verify(signed(ecdsa, EC, "ES256", {"kid": "k1"})).workspace == "other"


def test_an_unsigned_token_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, signed(claims(), None, "none")) == "key"
    empty = signed(claims()).rsplit(".", 1)[0] + "."
    assert refused(tmp_path, empty) == "InvalidSignatureError"


def test_a_public_key_is_not_an_hmac_secret(tmp_path: Path) -> None:
    """S23: HS256 with the issuer's public RSA key."""
    header = {"alg": "HS256", "typ": "JWT", "kid": "k1"}
    assert refused(tmp_path, handmade_token(header, claims(iss="r"), public_pem(RSA))) == "key"
    assert refused(tmp_path, handmade_token(header, claims(iss="e"), public_pem(EC))) == "key"


def test_a_key_of_one_issuer_does_not_sign_for_another(tmp_path: Path) -> None:
    assert refused(tmp_path, signed(claims(iss="r"), EC, "ES256", {"kid": "k1"})) == "key"
    assert refused(tmp_path, signed(claims(iss="e"), SECRET)) == "key"


@pytest.mark.parametrize("kid", ["../../etc/passwd", "' or 1=1", "http://evil/", "", 5, ["default"]])
def test_a_key_id_is_only_looked_up(tmp_path: Path, kid: object) -> None:
    """S24."""
    header = {"alg": "HS256", "typ": "JWT", "kid": kid}
    assert refused(tmp_path, handmade_token(header, claims(), SECRET.encode())) in {"key", "malformed"}


@pytest.mark.parametrize(
    "extra",
    [
        {"jku": "https://evil/"},
        {"x5u": "https://evil/"},
        {"x5c": []},
        {"jwk": {"kty": "oct"}},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"zip": "DEF"},
        {"typ": "JOSE+JSON"},
        {"typ": 5},
    ],
    ids=str,
)
def test_headers_that_carry_keys_or_change_semantics_are_refused(tmp_path: Path, extra: dict[str, Any]) -> None:
    """S24, S25, S26, S29."""
    header = {"alg": "HS256", "typ": "JWT", **extra}
    reason = refused(tmp_path, handmade_token(header, claims(), SECRET.encode()))
    assert reason in {"header", "type", "malformed"}


@pytest.mark.parametrize(
    "change",
    [
        {"iss": None},
        {"iss": "unknown"},
        {"aud": None},
        {"aud": "another-service"},
        {"sub": None},
        {"sub": ""},
        {"sub": "a b"},
        {"sub": "ada\n"},
        {"sub": 5},
        {"workspace": None},
        {"workspace": "unknown"},
        {"workspace": "Default"},
        {"role": None},
        {"role": "root"},
        {"role": ["admin"]},
        {"exp": None},
        {"exp": NOW_S - 31},
        {"exp": NOW_S + 14 * 3600},
        {"exp": 4_070_908_800},
        {"exp": "tomorrow"},
        {"exp": float("inf")},
        {"iat": NOW_S + 7200, "exp": NOW_S + 9000},
        {"iat": NOW_S - 13 * 3600, "exp": NOW_S + 60},
        {"nbf": NOW_S + 7200, "exp": NOW_S + 9000},
    ],
    ids=range(24),
)
def test_every_claim_must_be_present_and_valid(tmp_path: Path, change: dict[str, Any]) -> None:
    """S26."""
    header = {"alg": "HS256", "typ": "JWT"}
    refused(tmp_path, handmade_token(header, claims(**change), SECRET.encode()))


def test_clock_skew_up_to_the_leeway_is_accepted(tmp_path: Path) -> None:
    assert an_authenticator(tmp_path).verify(signed(claims(exp=int(time.time()) - 20, iat=NOW_S - 60)))


def test_a_cached_token_expires(tmp_path: Path) -> None:
    settings = three_issuers(tmp_path)
    clock = [float(NOW_S)]
    workspaces = frozenset({"default"})
    authenticator = Authenticator(open_keyring(settings), settings.auth, workspaces, lambda: clock[0])
    token = signed(claims())
    assert authenticator.verify(token) is authenticator.verify(token)
    clock[0] = NOW_S + 3600 + 29
    assert authenticator.verify(token)
    clock[0] = NOW_S + 3600 + 30
    with pytest.raises(AuthFailed):
        authenticator.verify(token)


def test_the_token_cache_is_bounded(tmp_path: Path) -> None:
    settings = three_issuers(tmp_path)
    few = msgspec.structs.replace(settings.auth, token_cache_count_max=2)
    authenticator = Authenticator(open_keyring(settings), few, frozenset({"default"}))
    tokens = [signed(claims(sub=name)) for name in ("ada", "bob", "cyd")]
    first = [authenticator.verify(token) for token in tokens]
    assert authenticator.verify(tokens[2]) is first[2]
    assert authenticator.verify(tokens[0]) is not first[0]


def test_an_issuer_is_limited_to_its_workspaces(tmp_path: Path) -> None:
    token = signed(claims(iss="e", workspace="default"), EC, "ES256", {"kid": "k1"})
    assert refused(tmp_path, token) == "workspace"


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é.é.é", "x" * 9_000, "e30.e30.e30"])
def test_malformed_tokens_are_refused(tmp_path: Path, token: str) -> None:
    refused(tmp_path, token)


def test_a_token_beyond_the_limit_is_refused_unread(tmp_path: Path) -> None:
    """S29."""
    assert refused(tmp_path, signed(claims(padding="x" * 9_000))) == "size"


def test_a_changed_payload_is_refused(tmp_path: Path) -> None:
    head, _, signature = signed(claims()).split(".")
    forged = b64(json.dumps(claims(role="admin")).encode())
    assert refused(tmp_path, f"{head}.{forged}.{signature}") == "InvalidSignatureError"


# --- keys -------------------------------------------------------------------------------------------


def built_in_settings(tmp_path: Path) -> Settings:
    return settings_from({"journal": {"path": str(tmp_path / "journal.db")}})


def test_the_built_in_secret_is_created_once_and_used_for_minting(tmp_path: Path) -> None:
    settings = built_in_settings(tmp_path)
    assert create_secret(settings) and not create_secret(settings)
    token = mint_token(settings, subject="root", role="admin")
    assert open_authenticator(settings).verify(token).role is Role.ADMIN


@pytest.mark.parametrize(
    "wrong", [{"role": "root"}, {"subject": "a b"}, {"workspace": "unknown"}, {"lifetime_s": 0}, {"lifetime_s": 13 * 3600}], ids=str
)
def test_no_token_is_minted_that_would_be_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    settings = built_in_settings(tmp_path)
    create_secret(settings)
    with pytest.raises(SettingsInvalid):
        mint_token(settings, **{"subject": "ada", "role": "agent", **wrong})


def test_tokens_are_minted_with_an_hmac_issuer_only(tmp_path: Path) -> None:
    settings = three_issuers(tmp_path)
    assert an_authenticator(tmp_path).verify(mint_token(settings, subject="a", role="gateway"))
    (tmp_path / "hmac").unlink()
    with pytest.raises(SettingsInvalid, match="hmac"):
        mint_token(settings, subject="a", role="gateway")


@pytest.mark.parametrize(
    ("family", "content", "place"),
    [
        ("hmac", b"short", "at least 32 bytes"),
        ("hmac", b" " * 40, "at least 32 bytes"),
        ("hmac", public_pem(RSA), "cannot be used as a secret"),
        ("rsa", public_pem(EC), "not a key of the family"),
        ("ecdsa", public_pem(RSA), "not a key of the family"),
        ("rsa", b"nonsense", "not a PEM public key"),
        ("rsa", None, "No such file"),
        ("rsa", b"x" * 70_000, "larger than"),
    ],
)
def test_an_unusable_key_is_refused_at_the_start(tmp_path: Path, family: str, content: bytes | None, place: str) -> None:
    """S23, S27."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    issuer = {"issuer": "i", "family": family, "keys": [{"path": str(path)}]}
    settings = settings_from({"auth": {"issuers": [issuer]}})
    with pytest.raises(SettingsInvalid, match=place) as caught:
        open_authenticator(settings)
    assert "$.auth.issuers[0].keys[0].path" in str(caught.value)


def test_an_issuer_has_one_key_family(tmp_path: Path) -> None:
    settings = three_issuers(tmp_path)
    first = {"issuer": "h", "family": "hmac", "keys": [{"path": str(tmp_path / "hmac")}]}
    second = {"issuer": "h", "family": "rsa", "keys": [{"path": str(tmp_path / "rsa.pem")}]}
    assert settings.auth.issuers
    with pytest.raises(SettingsInvalid, match="listed twice"):
        open_authenticator(settings_from({"auth": {"issuers": [first, second]}}))
