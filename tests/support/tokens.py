"""Keys, settings and tokens for tests, valid and invalid."""

import time
from pathlib import Path
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from router.server.auth.credentials import Authenticator, open_authenticator
from router.settings import Settings, settings_from

SECRET: Final = "0123456789abcdef0123456789abcdef-secret"
NOW_S: Final = int(time.time())
RSA: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC: Final = ec.generate_private_key(ec.SECP256R1())


def public_pem(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def private_pem(key: Any) -> bytes:
    pem: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def three_issuers(directory: Path) -> Settings:
    """Settings with one issuer of each key family; the ECDSA issuer is limited to the workspace ``other``."""
    (directory / "hmac").write_text(SECRET)
    (directory / "rsa.pem").write_bytes(public_pem(RSA))
    (directory / "ec.pem").write_bytes(public_pem(EC))
    return settings_from(
        {
            "workspaces": ["other"],
            "journal": {"path": str(directory / "journal.db")},
            "auth": {
                "issuers": [
                    {"issuer": "h", "family": "hmac", "keys": [{"path": str(directory / "hmac")}]},
                    {"issuer": "r", "family": "rsa", "keys": [{"kid": "k1", "path": str(directory / "rsa.pem")}]},
                    {
                        "issuer": "e",
                        "family": "ecdsa",
                        "keys": [{"kid": "k1", "path": str(directory / "ec.pem")}],
                        "workspaces": ["other"],
                    },
                ]
            },
        }
    )


def an_authenticator(directory: Path) -> Authenticator:
    return open_authenticator(three_issuers(directory))


def claims(**changes: Any) -> dict[str, Any]:
    """Return the claims of a valid token with changes; None removes a claim."""
    valid = {
        "iss": "h",
        "aud": "contact-router",
        "sub": "ada",
        "workspace": "default",
        "role": "agent",
        "iat": NOW_S,
        "exp": NOW_S + 3600,
        **changes,
    }
    return {name: value for name, value in valid.items() if value is not None}


def signed(payload: dict[str, Any], key: Any = SECRET, algorithm: str = "HS256", headers: dict[str, Any] | None = None) -> str:
    return jwt.encode(payload, key, algorithm=algorithm, headers=headers)
