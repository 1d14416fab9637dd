"""Record of invalid credentials: which check failed, in a metric and, so often as an operator can read, in the log.

A client learns only that its credential is invalid. Operators need to know why, so the log names the check and what to do, with
what the settings expect; it repeats nothing of a token. One line for each check in ``_GAP_S`` seconds, with the number of failures
since the last one.
"""

import time
from collections.abc import Callable
from typing import Final

import structlog
from prometheus_client import Counter

from router.settings import AuthSettings

_log: Final = structlog.get_logger("router.server.auth")

_GAP_S: Final = 10.0

_HINTS: Final = {
    "header": "no `Authorization: Bearer …` header, or the token's header has a member that is not allowed (jku, jwk, x5u, crit …)",
    "scheme": "the scheme of the `Authorization` header must be `Bearer`",
    "size": "a token has 1 to 8,192 ASCII characters",
    "malformed": "not a JWT: three parts in base64url, with a claim `iss`",
    "type": "`typ` in the token's header must be `JWT` or `at+jwt`",
    "issuer": "`iss` is none of auth.issuers; with no issuer in the settings it must be `router`",
    "key": "`kid` in the token's header is no key of the issuer (auth.issuers[].keys or .jwks); without `kid`, it is `default`",
    "algorithm": "`alg` in the token's header does not belong to the key",
    "InvalidSignatureError": "the signature does not match the key; a secret is used as in its file, without one final line end",
    "ExpiredSignatureError": "`exp` is over; compare the clocks (auth.leeway_s)",
    "ImmatureSignatureError": "`nbf` or `iat` is in the future; compare the clocks (auth.leeway_s)",
    "InvalidAudienceError": "`aud` does not contain {audience} (auth.audience, or .audience of the issuer)",
    "MissingRequiredClaimError": "`iss`, `aud` and `exp` are required",
    "lifetime": "the token is valid for longer than {lifetime_s} s (auth.lifetime_s_max), counted from `iat` or now",
    "claims": "a claim has a wrong type: the subject is an id, the workspace a name, the role agent, gateway, supervisor or admin",
    "scope": "`supervises` is for the role supervisor, and names at least one queue or team (queues, teams)",
    "subject": "the subject's claim does not match auth.issuers[].claims.subject_pattern",
    "role": "no value of the role's claim is in auth.issuers[].claims.roles",
    "workspace": "the workspace does not exist, or is not one of the issuer (auth.issuers[].workspaces, .claims.workspaces)",
    "ticket": "the ticket is unknown, used or older than {ticket_s} s (auth.ticket_s)",
    "two credentials": "a token and a ticket; send one of them",
}


class AuthFailures:
    """Counter and log of invalid credentials."""

    def __init__(self, counter: Counter, settings: AuthSettings, now_s: Callable[[], float] = time.monotonic) -> None:
        self._counter = counter
        self._now_s = now_s
        self._logged_at_s: dict[str, float] = {}
        self._count: dict[str, int] = {}
        self.apply(settings)

    def apply(self, settings: AuthSettings) -> None:
        """Name the values of these settings from now on."""
        values = {"audience": f"`{settings.audience}`", "lifetime_s": settings.lifetime_s_max, "ticket_s": settings.ticket_s}
        self._hints = {check: text.format_map(values) for check, text in _HINTS.items()}

    def record(self, check: str) -> None:
        """Record a failure. ``check``: name of the check, from a fixed set."""
        self._counter.labels(check).inc()
        count = self._count[check] = self._count.get(check, 0) + 1
        now_s = self._now_s()
        logged_at_s = self._logged_at_s.get(check)
        if logged_at_s is None or now_s - logged_at_s >= _GAP_S:
            self._logged_at_s[check] = now_s
            self._count[check] = 0
            _log.warning(
                "a credential was refused",
                action="auth_failed",
                check=check,
                hint=self._hints.get(check, "the token is not valid"),
                count=count,
            )
