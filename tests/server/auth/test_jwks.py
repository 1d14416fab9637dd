"""JWK sets of issuers: what is accepted, rotation, outages, and how a set is fetched."""

import asyncio
import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from router.server.auth.credentials import Authenticator, AuthFailed, open_authenticator
from router.server.auth.jwks import JwksRefresher, JwksUnavailable, parse_jwk_set, read_jwk_set
from router.server.auth.keys import KEY_FILE_BYTES_MAX, VerificationKey
from router.settings import KeyFamily, settings_from
from tests.support.tokens import EC, RSA, claims, signed

OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def a_jwk(key: Any, kid: str | None = "k1", **members: Any) -> dict[str, Any]:
    algorithm = ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else RSAAlgorithm
    members = {"use": "sig", **members} | ({} if kid is None else {"kid": kid})
    return {**json.loads(algorithm.to_jwk(key.public_key())), **members}


def a_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def test_the_keys_of_a_family_are_taken_from_a_set() -> None:
    data = a_set(a_jwk(RSA), a_jwk(OTHER, "k2", alg="RS512"), a_jwk(EC, "k3"), a_jwk(OTHER, "k4", use="enc"))
    found = parse_jwk_set(data, KeyFamily.RSA)
    assert {kid: key.algorithms for kid, key in found.items()} == {"k1": ("RS256", "RS384", "RS512"), "k2": ("RS512",)}
    assert {kid: key.algorithms for kid, key in parse_jwk_set(data, KeyFamily.ECDSA).items()} == {"k3": ("ES256",)}
    assert set(parse_jwk_set(a_set(a_jwk(RSA, None)), KeyFamily.RSA)) == {"default"}


SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a JWK set"),
        (b"[]", "not a JWK set"),
        (b'{"keys": 1}', "must be a list"),
        (b'{"keys": [1]}', "not an object"),
        (a_set(), "no signature key"),
        (a_set(a_jwk(EC)), "no signature key"),
        (a_set(a_jwk(RSA), a_jwk(OTHER)), "used twice"),
        (a_set(a_jwk(RSA, "a b")), "invalid"),
        (a_set(a_jwk(SMALL)), "at least 2048 bits"),
        (a_set({**a_jwk(RSA), "n": "?"}), "not a valid key"),
        (a_set(json.loads(RSAAlgorithm.to_jwk(RSA))), "private or secret"),
        (a_set({"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}), "private or secret"),
        (a_set(*[a_jwk(RSA, f"k{number}") for number in range(33)]), "at most 32"),
    ],
)
def test_an_unusable_set_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(JwksUnavailable, match=reason):
        parse_jwk_set(data, KeyFamily.RSA)


def an_authenticator(directory: Path, jwks: str = "https://login.example/jwks") -> Authenticator:
    issuer = {"issuer": "r", "family": "rsa", "jwks": jwks}
    return open_authenticator(settings_from({"journal": {"path": str(directory / "j.db")}, "auth": {"issuers": [issuer]}}))


class Source:
    """A set that a test replaces; None: it cannot be read."""

    def __init__(self, data: bytes | None) -> None:
        self.data = data
        self.count = 0

    def read(self, _: str, family: KeyFamily) -> dict[str, VerificationKey]:
        self.count += 1
        if self.data is None:
            raise JwksUnavailable("down")
        return parse_jwk_set(self.data, family)


async def test_keys_are_rotated_and_an_outage_changes_nothing(tmp_path: Path) -> None:
    authenticator, source, changes = an_authenticator(tmp_path), Source(None), []
    refresher = JwksRefresher(authenticator, 300, on_change=lambda: changes.append(1), read=source.read)
    old, new = (signed(claims(iss="r"), key, "RS256", {"kid": kid}) for key, kid in ((RSA, "k1"), (OTHER, "k2")))
    await refresher.refresh()
    with pytest.raises(AuthFailed, match="key"):
        authenticator.verify(old)
    source.data = a_set(a_jwk(RSA))
    await refresher.refresh()
    first = authenticator.verify(old)
    source.data = a_set(a_jwk(RSA), a_jwk(OTHER, "k2"))
    await refresher.refresh()
    assert authenticator.verify(new) and authenticator.verify(old) is first, "both during the rotation"
    for data in (None, b"{}"):
        source.data = data
        await refresher.refresh()
        assert authenticator.verify(old) is first
    source.data = a_set(a_jwk(OTHER, "k2"))
    await refresher.refresh()
    assert authenticator.is_expired(first) and len(changes) == 3
    with pytest.raises(AuthFailed, match="key"):
        authenticator.verify(old)
    # The same key id with another key is another key.
    source.data = a_set(a_jwk(RSA, "k2"))
    await refresher.refresh()
    with pytest.raises(AuthFailed, match="InvalidSignatureError"):
        authenticator.verify(new)


async def test_keys_that_could_not_be_read_again_for_a_day_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authenticator, source = an_authenticator(tmp_path), Source(a_set(a_jwk(RSA)))
    refresher = JwksRefresher(authenticator, 300, on_change=lambda: None, read=source.read)
    await refresher.refresh()
    token = signed(claims(iss="r"), RSA, "RS256", {"kid": "k1"})
    source.data = None
    loop = asyncio.get_running_loop()
    for hours, valid in ((23, True), (25, False)):
        refresher._read_at_s["r"] = loop.time() - hours * 3600
        await refresher.refresh()
        if valid:
            assert authenticator.verify(token)
        else:
            with pytest.raises(AuthFailed, match="key"):
                authenticator.verify(token)


async def test_an_unknown_key_makes_the_set_be_read_soon_but_not_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.server.auth.jwks._UNKNOWN_KEY_GAP_S", 0.05)
    authenticator, source = an_authenticator(tmp_path), Source(a_set(a_jwk(RSA)))
    refresher = JwksRefresher(authenticator, 300, on_change=lambda: None, read=source.read)
    await refresher.refresh()
    running = asyncio.create_task(refresher.run())
    source.data = a_set(a_jwk(RSA), a_jwk(OTHER, "k2"))
    token = signed(claims(iss="r"), OTHER, "RS256", {"kid": "k2"})
    forged = signed(claims(iss="r"), OTHER, "RS256", {"kid": "k3"})
    with pytest.raises(AuthFailed):
        authenticator.verify(token)
    began = time.monotonic()
    for _ in range(500):
        with pytest.raises(AuthFailed):
            authenticator.verify(forged)
        await asyncio.sleep(0.001)
    assert authenticator.verify(token)
    assert 2 <= source.count <= (time.monotonic() - began) / 0.05 + 3
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers each path in another way."""

    def do_GET(self) -> None:
        body = {"/good": a_set(a_jwk(RSA)), "/large": b" " * (KEY_FILE_BYTES_MAX + 1)}.get(self.path, b"")
        self.send_response({"/moved": 302, "/missing": 404}.get(self.path, 200))
        if self.path == "/moved":
            self.send_header("Location", "/good")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def issuer_url() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_set_is_fetched_without_following_redirects(issuer_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert set(read_jwk_set(f"{issuer_url}/good", KeyFamily.RSA)) == {"k1"}
    for path, reason in (
        ("/moved", "status 302"),
        ("/missing", "status 404"),
        ("/large", "larger than"),
        ("/empty", "not a JWK set"),
    ):
        with pytest.raises(JwksUnavailable, match=reason):
            read_jwk_set(f"{issuer_url}{path}", KeyFamily.RSA)
    with pytest.raises(JwksUnavailable, match="not reachable"):
        read_jwk_set("http://127.0.0.1:9/none", KeyFamily.RSA)
    (tmp_path / "jwks.json").write_bytes(a_set(a_jwk(RSA, "of-a-file")))
    assert set(read_jwk_set(str(tmp_path / "jwks.json"), KeyFamily.RSA)) == {"of-a-file"}
    with pytest.raises(JwksUnavailable, match="No such file"):
        read_jwk_set(str(tmp_path / "none.json"), KeyFamily.RSA)
