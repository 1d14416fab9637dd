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
    assert refused(tmp_path, signed(claims(), None, "none")) == "algorithm"
    empty = signed(claims()).rsplit(".", 1)[0] + "."
    assert refused(tmp_path, empty) == "InvalidSignatureError"


def test_a_public_key_is_not_an_hmac_secret(tmp_path: Path) -> None:
    """S23: HS256 with the issuer's public RSA key."""
    header = {"alg": "HS256", "typ": "JWT", "kid": "k1"}
    assert refused(tmp_path, handmade_token(header, claims(iss="r"), public_pem(RSA))) == "algorithm"
    assert refused(tmp_path, handmade_token(header, claims(iss="e"), public_pem(EC))) == "algorithm"


def test_a_key_of_one_issuer_does_not_sign_for_another(tmp_path: Path) -> None:
    assert refused(tmp_path, signed(claims(iss="r"), EC, "ES256", {"kid": "k1"})) == "algorithm"
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
        ("hmac", b"x" * 31, "at least 32 bytes; it has 31"),
        ("hmac", b" " * 40, "at least 32 bytes"),
        ("hmac", public_pem(RSA), "line 1 begins a PUBLIC KEY; a PEM key cannot be used as a secret"),
        ("rsa", public_pem(EC), "not a key of the family"),
        ("ecdsa", public_pem(RSA), "not a key of the family"),
        ("rsa", b"nonsense", "not a PEM public key: there is no line"),
        ("rsa", b"# ours\n-----BEGIN RSA PRIVATE KEY-----\n", "not a PEM public key: line 2 begins a RSA PRIVATE KEY"),
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
    assert str(caught.value).startswith(f"auth.issuers[0].keys[0].path: {path}: ")


def test_a_secret_of_32_bytes_is_long_enough(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"x" * 32 + b"\n")
    issuer = {"issuer": "i", "family": "hmac", "keys": [{"path": str(tmp_path / "key")}]}
    assert open_authenticator(settings_from({"auth": {"issuers": [issuer]}}))


def test_an_issuer_has_one_key_family(tmp_path: Path) -> None:
    settings = three_issuers(tmp_path)
    first = {"issuer": "h", "family": "hmac", "keys": [{"path": str(tmp_path / "hmac")}]}
    second = {"issuer": "h", "family": "rsa", "keys": [{"path": str(tmp_path / "rsa.pem")}]}
    assert settings.auth.issuers
    with pytest.raises(SettingsInvalid, match="listed twice"):
        open_authenticator(settings_from({"auth": {"issuers": [first, second]}}))


# --- claims under other names -------------------------------------------------------------------------


def mapped_issuer(directory: Path, **claim_names: Any) -> Authenticator:
    (directory / "hmac").write_text(SECRET)
    issuer = {"issuer": "h", "family": "hmac", "keys": [{"path": str(directory / "hmac")}], "claims": claim_names}
    return open_authenticator(settings_from({"workspaces": ["sales"], "auth": {"issuers": [issuer]}}))


@pytest.mark.parametrize("subject", ["auth0|5f7c8ec7c33c6c004bbafe82", "ada@example.com", "google-oauth2|1.2", "a.b-c_d:e"])
def test_a_subject_may_be_an_id_of_an_identity_provider(tmp_path: Path, subject: str) -> None:
    assert mapped_issuer(tmp_path).verify(signed(claims(sub=subject))).subject == subject


@pytest.mark.parametrize("subject", ["", "a b", "a/b", "ada\n", "x" * 129, "ä"])
def test_another_subject_is_refused(tmp_path: Path, subject: str) -> None:
    with pytest.raises(AuthFailed, match="claims"):
        mapped_issuer(tmp_path).verify(signed(claims(sub=subject)))


@pytest.mark.parametrize(
    ("pattern", "given", "subject"),
    [
        (r"auth0\|(.+)", "auth0|5f7c", "5f7c"),
        (r"([a-z.]+)@example\.com", "ada@example.com", "ada"),
        (r"[a-z]+", "ada", "ada"),
        (r"([a-z.]+)@example\.com", "ada@example.com.evil.org", None),
        (r"([a-z.]+)@example\.com", "ada@example.com\n", None),
        (r"[a-z]+", "a" * 300, None),
        (r"(a)?b", "b", None),
    ],
)
def test_a_pattern_takes_the_id_from_the_subject(tmp_path: Path, pattern: str, given: str, subject: str | None) -> None:
    authenticator = mapped_issuer(tmp_path, subject_pattern=pattern)
    if subject is None:
        with pytest.raises(AuthFailed, match=r"subject|claims"):
            authenticator.verify(signed(claims(sub=given)))
    else:
        assert authenticator.verify(signed(claims(sub=given))).subject == subject


def test_claims_are_found_by_their_names_and_values(tmp_path: Path) -> None:
    authenticator = mapped_issuer(
        tmp_path,
        subject="employee_id",
        role="realm_access.roles",
        roles={"cc-lead": "supervisor", "cc-agent": "agent"},
        workspace="https://example.com/org",
        workspaces={"org-7": "sales"},
        default_workspace="default",
    )

    def token(**changes: Any) -> str:
        given = claims(sub=None, role=None, workspace=None, employee_id="e-1", realm_access={"roles": ["x", "cc-agent"]})
        return signed({**given, "https://example.com/org": "org-7", **changes})

    verified = authenticator.verify(token())
    assert (verified.subject, verified.role, verified.workspace) == ("e-1", Role.AGENT, "sales")
    both = authenticator.verify(token(realm_access={"roles": ["cc-agent", "cc-lead"]}))
    assert both.role is Role.SUPERVISOR, "the first entry of the settings counts"
    assert authenticator.verify(token(**{"https://example.com/org": None})).workspace == "default"
    for changes, check in (
        ({"realm_access": {"roles": ["admin"]}}, "role"),
        ({"realm_access": "cc-agentx"}, "role"),
        ({"role": "admin", "realm_access": {}}, "role"),
        ({"https://example.com/org": "org-8"}, "workspace"),
        ({"https://example.com/org": ["org-7"]}, "workspace"),
        ({"employee_id": 7}, "claims"),
        ({"employee_id": None, "sub": "ada"}, "claims"),
    ):
        with pytest.raises(AuthFailed, match=check):
            authenticator.verify(token(**changes))


def test_the_scope_of_a_supervisor_is_found_by_its_name(tmp_path: Path) -> None:
    name = "https://example.com/supervises"
    lead = claims(role="supervisor")
    scope = {"queues": ["sales"]}
    tokens: dict[str, dict[str, Any]] = {
        name: {name: scope},
        "centre.scope": {"centre": {"scope": scope}},
        "supervises": {"supervises": scope},
    }
    for given, token in tokens.items():
        verified = mapped_issuer(tmp_path, supervises=given).verify(signed({**lead, **token}))
        assert verified.scope is not None and (verified.scope.queues, verified.scope.teams) == (("sales",), None)
    assert mapped_issuer(tmp_path, supervises="centre.scope").verify(signed({**lead, "centre": {}})).scope is None
    invalid: tuple[Any, ...] = (None, {"teams": None}, {**scope, "teams": None}, "sales")
    for value in invalid:
        with pytest.raises(AuthFailed, match="claims"):
            mapped_issuer(tmp_path, supervises=name).verify(signed({**lead, name: value}))
    with pytest.raises(AuthFailed, match="claims"):
        mapped_issuer(tmp_path, supervises="centre.scope").verify(signed({**lead, "centre": None}))


def test_a_scope_that_is_null_is_no_unlimited_one(tmp_path: Path) -> None:
    assert an_authenticator(tmp_path).verify(signed(claims(role="supervisor"))).scope is None
    assert refused(tmp_path, signed({**claims(role="supervisor"), "supervises": None})) == "claims"


def test_an_issuer_has_an_audience_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "hmac").write_text(SECRET)
    issuer = {"issuer": "h", "family": "hmac", "keys": [{"path": str(tmp_path / "hmac")}], "audience": "desk"}
    authenticator = open_authenticator(settings_from({"auth": {"issuers": [issuer]}}))
    assert authenticator.verify(signed(claims(aud=["other", "desk"])))
    with pytest.raises(AuthFailed, match="InvalidAudienceError"):
        authenticator.verify(signed(claims()))


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (SECRET.encode() + b"\n", SECRET),
        (SECRET.encode() + b"\r\n", SECRET),
        (SECRET.encode() + b"\n\n", SECRET + "\n"),
        (b"  " + SECRET.encode() + b" ", "  " + SECRET + " "),
    ],
)
def test_a_secret_is_used_exactly_as_in_its_file_without_one_line_end(tmp_path: Path, content: bytes, secret: str) -> None:
    (tmp_path / "hmac").write_bytes(content)
    issuer = {"issuer": "h", "family": "hmac", "keys": [{"path": str(tmp_path / "hmac")}]}
    authenticator = open_authenticator(settings_from({"auth": {"issuers": [issuer]}}))
    assert authenticator.verify(signed(claims(), secret))
    if secret != SECRET:
        with pytest.raises(AuthFailed, match="InvalidSignatureError"):
            authenticator.verify(signed(claims()))


def test_a_removed_or_replaced_key_ends_its_credentials_and_no_others(tmp_path: Path) -> None:
    settings = three_issuers(tmp_path)
    authenticator = open_authenticator(settings)
    by_hmac, by_rsa = (
        authenticator.verify(signed(claims())),
        authenticator.verify(signed(claims(iss="r"), RSA, "RS256", {"kid": "k1"})),
    )
    (tmp_path / "hmac").write_text(SECRET[::-1])
    authenticator.apply(open_keyring(settings), settings.auth)
    assert authenticator.is_expired(by_hmac) and not authenticator.is_expired(by_rsa)
    with pytest.raises(AuthFailed, match="InvalidSignatureError"):
        authenticator.verify(signed(claims()))
    assert authenticator.verify(signed(claims(), SECRET[::-1]))


def test_a_setting_of_an_issuer_that_cannot_work_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hmac").write_text(SECRET)
    keys = [{"path": str(tmp_path / "hmac")}]
    for issuer, message in (
        ({"family": "rsa"}, "set `keys` or `jwks`"),
        ({"family": "hmac", "jwks": "https://a.example/jwks"}, "use `keys`"),
        ({"family": "rsa", "jwks": "http://a.example/jwks"}, "`https` URL"),
        ({"family": "rsa", "jwks": "file:///etc/keys"}, "`https` URL"),
        ({"family": "hmac", "keys": keys, "claims": {"subject_pattern": "("}}, "not a regular expression"),
    ):
        with pytest.raises(SettingsInvalid, match=message):
            open_authenticator(settings_from({"auth": {"issuers": [{"issuer": "i", **issuer}]}}))
