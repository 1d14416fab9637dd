"""Authentication and permissions: verify bearer tokens (JWT, RFC 7519).

A token is checked in a fixed order, each step before the next may use what it establishes: size, header, issuer, key and
algorithm, signature and standard claims, lifetime, workspace. ``docs/explanation/security.md`` gives the reason for every
check. All failures look the same to a client; only the metric ``router_auth_failures_total`` has the reason, so a client
cannot use the server to find out which part of a forged token was right.

Verifying a signature is the most expensive step of a request. Verified credentials are therefore kept by the SHA-256 of
their token, never by the token itself, in a bounded cache with least-recently-used eviction. What can change about a verified
token is its age, and whether its key is still one of its issuer: both are checked on every use.

Roles and the operations that each may use are data; a test tries every role on every route. An operation without a row is
permitted to no role. Operations that agents may use are limited to the agent's own work, those of gateways to the gateway's own
contacts; the handlers enforce that.
"""

import hashlib
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any, Final, Protocol

import jwt
import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from router.model.errors import RouterError, SettingsInvalid
from router.model.filters import SupervisorScope
from router.model.states import Name, SubjectId
from router.server.auth.keys import ALGORITHMS, Issuer, Keyring, VerificationKey, open_keyring
from router.settings import AuthSettings, ClaimSettings, KeyFamily, Settings


class Role(StrEnum):
    """Role of a credential; ``PERMISSIONS`` lists the operations of each."""

    AGENT = "agent"
    GATEWAY = "gateway"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"
    CUSTOMER = "customer"
    """The customer of one request, with a token of the router's own; no issuer can give this role."""
    OPERATOR = "operator"
    """Who creates workspaces, and may do nothing within one. Only an issuer of tokens for every workspace can give it."""


_AGENT: Final = frozenset({Role.AGENT})
_SUPERVISORS: Final = frozenset({Role.SUPERVISOR, Role.ADMIN})
_DESKTOPS: Final = frozenset({Role.AGENT, Role.SUPERVISOR, Role.ADMIN})
_GATEWAYS: Final = frozenset({Role.GATEWAY, Role.SUPERVISOR, Role.ADMIN})
_ADMIN: Final = frozenset({Role.ADMIN})
_OPERATOR: Final = frozenset({Role.OPERATOR})
_STAFF: Final = frozenset(Role) - {Role.CUSTOMER, Role.OPERATOR}
_CUSTOMER: Final = frozenset({Role.CUSTOMER})

# Answered without a credential: they reveal nothing about any workspace.
PUBLIC_OPERATIONS: Final = frozenset(
    {
        "healthz",
        "readyz",
        "start_page",
        "openapi_document",
        "asyncapi_document",
        "docs",
        "docs_sockets",
        "docs_errors",
        "docs_asset",
    }
)

PERMISSIONS: Final[dict[str, frozenset[Role]]] = {
    "submit_contact": _GATEWAYS,
    "get_contact": _STAFF,  # an agent: assigned or offered; a gateway: its own
    "list_contacts": _GATEWAYS,  # a gateway: its own
    "create_request": _GATEWAYS,
    "get_request": _GATEWAYS | _CUSTOMER,  # a gateway: its own; a customer: the one of the token, as in the next two
    "choose_option": _GATEWAYS | _CUSTOMER,
    "cancel_request": _GATEWAYS | _CUSTOMER,
    "switch_request_channel": _GATEWAYS | _CUSTOMER,
    "suspend_request": _GATEWAYS | _CUSTOMER,
    "resume_request": _GATEWAYS | _CUSTOMER,
    "answer_request": frozenset({Role.GATEWAY, Role.CUSTOMER}),  # the customer's own words: a supervisor has report_goal
    "get_goal": _STAFF,  # an agent: one that they have or had last; a gateway: its own; as in the next one
    "report_goal": _STAFF,
    "issue_link": _GATEWAYS,
    "issue_customer_token": _GATEWAYS,
    "update_contact": _GATEWAYS,
    "cancel_contact": _GATEWAYS,
    "abandon_contact": _GATEWAYS,
    "request_callback": _GATEWAYS,
    "move_callback": _GATEWAYS,
    "claim_callback": _GATEWAYS,
    "report_callback": _GATEWAYS,
    "end_contact": _STAFF,  # an agent: one assigned to them
    "park_contact": _GATEWAYS,
    "unpark_contact": _GATEWAYS,
    "suspend_contact": _STAFF,  # an agent: one assigned to them
    "resume_contact": _GATEWAYS,
    "switch_channel": _STAFF,  # an agent: one assigned to them
    "report_channel": _GATEWAYS,
    "monitor_contact": _SUPERVISORS,
    "stop_monitoring": _SUPERVISORS,
    "report_monitor": _GATEWAYS,
    "transfer_contact": _DESKTOPS,  # an agent: as above
    "cancel_transfer": _DESKTOPS,
    "requeue_contact": _SUPERVISORS,
    "start_consult": _DESKTOPS,  # an agent: as owner of the contact, as in the next four
    "complete_consult": _DESKTOPS,
    "cancel_consult": _DESKTOPS,
    "start_conference": _DESKTOPS,
    "hand_over_contact": _DESKTOPS,
    "leave_contact": _DESKTOPS,  # an agent: their own; a supervisor: any participant
    "add_participant": _SUPERVISORS,
    "assign_contact": _SUPERVISORS,
    "why_contact": _SUPERVISORS,
    "why_agent": _SUPERVISORS,
    "preview_bulk": _SUPERVISORS,
    "execute_bulk": _SUPERVISORS,
    "put_agent": _SUPERVISORS,
    "update_agent": _SUPERVISORS,
    "get_agent": _DESKTOPS,  # an agent: their own
    "delete_agent": _SUPERVISORS,
    "list_agents": _SUPERVISORS,
    "set_agent_state": frozenset({Role.AGENT, Role.SUPERVISOR, Role.ADMIN}),  # an agent: own
    "set_agent_channels": frozenset({Role.AGENT, Role.SUPERVISOR, Role.ADMIN}),  # an agent: own
    "accept_offer": _AGENT,
    "decline_offer": _AGENT,
    "hold_assignment": _AGENT,
    "unhold_assignment": _AGENT,
    "park_assignment": _AGENT,
    "unpark_assignment": _AGENT,
    "extend_wrap_up": _AGENT,
    "complete_assignment": frozenset({Role.AGENT, Role.SUPERVISOR, Role.ADMIN}),
    "list_queues": _GATEWAYS,
    "get_queue": _GATEWAYS,
    "get_availability": _GATEWAYS,
    "list_waiting": _SUPERVISORS,
    "open_queue": _SUPERVISORS,
    "close_queue": _SUPERVISORS,
    "follow_queue_hours": _SUPERVISORS,
    "get_expected_wait": _GATEWAYS,
    "list_workspaces": _OPERATOR,
    "create_workspace": _OPERATOR,
    "remove_workspace": _OPERATOR,
    "get_policy": _SUPERVISORS,
    "put_policy": _ADMIN,
    "list_policy_versions": _SUPERVISORS,
    "get_policy_version": _SUPERVISORS,
    "diff_policy_versions": _SUPERVISORS,
    "preview_rollback": _SUPERVISORS,
    "rollback_policy": _ADMIN,
    "schedule_policy": _ADMIN,
    "get_scheduled_policy": _SUPERVISORS,
    "cancel_scheduled_policy": _ADMIN,
    "check_policy": _SUPERVISORS,
    "list_rules": _SUPERVISORS,
    "try_policy": _SUPERVISORS,
    "put_shadow": _ADMIN,
    "get_shadow": _SUPERVISORS,
    "delete_shadow": _ADMIN,
    "list_events": _SUPERVISORS,
    "list_records": _GATEWAYS,  # a gateway: of its own contacts, as in the next one
    "get_record": _GATEWAYS,
    "get_state": _SUPERVISORS,
    "get_statistics": _DESKTOPS,  # an agent: their own
    "list_alerts": _SUPERVISORS,
    "get_cluster": _ADMIN,
    "get_digest": _SUPERVISORS,
    "diagnose": _SUPERVISORS,
    "resolve_customer": _GATEWAYS,
    "get_customer": _GATEWAYS,
    "put_customers": _GATEWAYS,
    "list_customers": _GATEWAYS,
    "update_customer": _GATEWAYS,
    "attach_identity": _GATEWAYS,
    "detach_identity": _GATEWAYS,
    "merge_customers": _GATEWAYS,
    "undo_merge": _SUPERVISORS,
    "verify_customer": _STAFF,
    "list_merge_proposals": _SUPERVISORS,
    "confirm_merge_proposal": _SUPERVISORS,
    "dismiss_merge_proposal": _SUPERVISORS,
    "append_steps": _GATEWAYS,
    "get_journey": _GATEWAYS,
    "search_customers": _SUPERVISORS,
    "export_customer": _ADMIN,
    "erase_customer": _ADMIN,
    "erase_contact": _ADMIN,
    "get_contact_card": _STAFF,  # an agent: assigned or offered; a gateway: its own
    "add_contact_note": _STAFF,  # as above
    "get_customer_keys": _ADMIN,
    "rotate_customer_keys": _ADMIN,
    "issue_ws_ticket": _STAFF,
    # WebSocket endpoints; the session checks every frame against the role.
    "desktop_socket": _AGENT,
    "gateway_socket": frozenset({Role.GATEWAY}),
    "supervisor_socket": _SUPERVISORS,
    "customer_socket": _CUSTOMER,
}


def is_permitted(role: Role, operation: str) -> bool:
    """Return whether the role may use the operation."""
    return role in PERMISSIONS.get(operation, frozenset())


SCOPED_OPERATIONS: Final = frozenset(
    {
        *("list_agents", "get_agent", "set_agent_state", "set_agent_channels"),
        *("list_contacts", "get_contact", "update_contact", "cancel_contact", "end_contact", "requeue_contact", "transfer_contact"),
        *("monitor_contact", "stop_monitoring", "supervisor_socket", "issue_ws_ticket", "assign_contact"),
        *("list_queues", "get_queue", "list_waiting", "get_availability", "get_expected_wait", "get_statistics"),
        *("open_queue", "close_queue", "follow_queue_hours", "list_alerts", "preview_bulk", "execute_bulk"),
    }
)
"""Operations that a supervisor with a scope may use: each one checks the scope of everything that it reads and changes."""

OUT_OF_SCOPE: Final = "the token limits the supervisor to queues or teams (`supervises`), and this operation is not limited to any"

TOKEN_BYTES_MAX: Final = 8 * 1024
SCOPE_NAMES_MAX: Final = 100
"""Most queues, and most teams, in the scope of a supervisor."""

CUSTOMER_TOKEN_PREFIX: Final = "rct_"
"""Beginning of the tokens of customers, which no JSON Web Token has."""

DEFAULT_TOKEN_LIFETIME_S: Final = 3600

# Headers that carry or locate a key, or change the meaning of the others.
_FORBIDDEN_HEADERS: Final = frozenset({"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip", "enc"})

# A longer claim is not compared with a pattern.
_CLAIM_LENGTH_MAX: Final = 256

_TYPES: Final = frozenset({"jwt", "at+jwt"})


# New in each process: pseudonyms cannot be computed from a list of known subjects, nor compared between logs of two processes.
_PSEUDONYM_KEY: Final = secrets.token_bytes(32)


class Credential(Struct, frozen=True, kw_only=True):
    """Verified identity of a client: subject, role, workspace and expiry.

    The subject of an agent is the agent id, that of a gateway the gateway id.
    """

    subject: str
    role: Role
    workspace: str
    issuer: str
    expires_at_s: int
    token_hash: bytes = b""
    """Hash of a customer's token; empty for all others."""
    former_subject: str = ""
    """Request with which a customer began who goes on with an earlier conversation, the subject; empty: none."""
    scope: SupervisorScope | None = None
    """Queues and teams to which a supervisor is limited; none: unlimited."""
    key_id: str = ""
    """Key that has verified it; empty: none that could be removed."""
    actor: str = ""
    """Name of the client in the journal, for example ``agent:ada``; computed."""
    pseudonym: str = ""
    """Name of the client in the log: its role, and a key that tells clients apart without naming them; computed."""
    rate_limit_key: str = ""
    """Key of the bounds per credential: the same for all tokens of one subject, role and workspace; computed."""

    def __post_init__(self) -> None:
        # Computed once: every request uses both.
        msgspec.structs.force_setattr(self, "actor", f"{self.role}:{self.subject}")
        digest = hashlib.blake2b(f"{self.workspace}|{self.actor}".encode(), key=_PSEUDONYM_KEY, digest_size=8)
        msgspec.structs.force_setattr(self, "pseudonym", f"{self.role}:~{digest.hexdigest()}")
        msgspec.structs.force_setattr(self, "rate_limit_key", f"{self.workspace}|{self.subject}")

    @property
    def is_person(self) -> bool:
        """Return whether a person is behind it: what gateways and other servers read is no one's look."""
        return self.role in _DESKTOPS


class AuthFailed(RouterError):
    """Invalid credential. The text is a short reason for metrics; clients never see it."""


class TokenNotFollowed(Exception):
    """A token of a customer that may be one of a workspace that this node does not follow at present."""

    def __init__(self, workspaces: tuple[str, ...]) -> None:
        super().__init__()
        self.workspaces = workspaces


class ScopeClaim(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Claim that limits a supervisor: an unknown, misspelled or null part makes the token invalid, as it must not widen it."""

    queues: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=SCOPE_NAMES_MAX)] | UnsetType = UNSET
    teams: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=SCOPE_NAMES_MAX)] | UnsetType = UNSET


class _TokenClaims(Struct, frozen=True):
    """Claims that a token must carry; all others are ignored."""

    iss: str
    sub: SubjectId
    workspace: Name
    role: Role
    exp: Annotated[int, Meta(ge=0, le=2**53)] | float
    aud: str | list[str]
    iat: int | float | None = None
    supervises: ScopeClaim | UnsetType = UNSET
    """Never null: a limit that an issuer has failed to fill in is no unlimited one."""


class _IssuerClaim(Struct, frozen=True):
    """Issuer claim, read before the signature is verified, only to select the keys to verify it with."""

    iss: str


class CustomerVerifier(Protocol):
    """Verifier of the tokens of customers; see ``customer_tokens.py``."""

    def verify(self, token: str) -> Credential:
        """Return the credential of a token. Raises AuthFailed."""

    def followed(self, credential: Credential) -> Credential:
        """Return the credential of the same token for the contact that it belongs to now. Raises AuthFailed."""

    def remaining_s(self, credential: Credential) -> float:
        """Return how long the token of a credential is valid from now on, in seconds; 0: no longer."""


class Authenticator:
    """Verifier of bearer tokens. Synchronous and without I/O: all keys are in memory."""

    def __init__(
        self, keyring: Keyring, settings: AuthSettings, workspaces: frozenset[str], now_s: Callable[[], float] = time.time
    ) -> None:
        self._workspaces = workspaces
        self._now_s = now_s
        self.on_unknown_key: Callable[[str], None] | None = None
        """Called with the name of an issuer whose token has a key id that the issuer does not have."""
        self.customers: CustomerVerifier | None = None
        """Verifier of the tokens of customers; none: they are refused."""
        # Keyed by hash, so that no token stays in memory longer than its request.
        self._verified: OrderedDict[bytes, Credential] = OrderedDict()
        self.apply(keyring, settings)

    @property
    def workspaces(self) -> frozenset[str]:
        """The workspaces whose tokens are valid: those of the settings, and those that were created over the API."""
        return self._workspaces

    def add_workspace(self, workspace: str) -> None:
        """Accept the tokens of a further workspace from now on."""
        self._workspaces |= {workspace}

    def remove_workspace(self, workspace: str) -> None:
        """Refuse the tokens of a workspace from now on, also those that were accepted before."""
        self._workspaces -= {workspace}

    @property
    def keyring(self) -> Keyring:
        """The issuers and their keys."""
        return self._keyring

    def apply(self, keyring: Keyring, settings: AuthSettings) -> None:
        """Use these keys and settings from now on. Credentials whose key is missing are expired; the others stay valid."""
        self._keyring = keyring
        self._settings = settings
        self._key_ids = frozenset(issuer.key_id(key) for issuer in keyring.issuers.values() for key in issuer.keys.values())

    def replace_keys(self, issuer_name: str, keys: dict[str, VerificationKey]) -> bool:
        """Replace the keys of an issuer; return whether they differ from those before."""
        issuers = self._keyring.issuers
        issuer = issuers[issuer_name]
        changed = msgspec.structs.replace(issuer, keys=keys)
        before = {kid: key.fingerprint for kid, key in issuer.keys.items()}
        if before == {kid: key.fingerprint for kid, key in keys.items()}:
            return False
        self.apply(Keyring({**issuers, issuer_name: changed}), self._settings)
        return True

    def verify(self, token: str) -> Credential:
        """Return the credential that a token carries. Raises AuthFailed."""
        if not token or len(token) > TOKEN_BYTES_MAX or not token.isascii():
            raise AuthFailed("size")
        if token.startswith(CUSTOMER_TOKEN_PREFIX):
            if self.customers is None:
                raise AuthFailed("customer token")
            customer = self.customers.verify(token)
            if customer.workspace not in self._workspaces:
                raise AuthFailed("workspace")
            return customer
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is not None:
            self._verified.move_to_end(digest)
            if self.remaining_s(known) <= 0:
                raise AuthFailed("ExpiredSignatureError")
            if not self.is_expired(known):
                return known
            del self._verified[digest]  # Its key was removed, or replaced.
        credential = self._verify(token)
        self._verified[digest] = credential
        if len(self._verified) > self._settings.token_cache_count_max:
            self._verified.popitem(last=False)
        return credential

    def _verify(self, token: str) -> Credential:
        issuer, key = self._key_for(token)
        try:
            payload = jwt.decode(
                token,
                key.material,
                algorithms=list(key.algorithms),
                audience=issuer.audience or self._settings.audience,
                issuer=issuer.name,
                leeway=self._settings.leeway_s,
                options={"require": ["exp", "aud", "iss"]},
            )
            claims = msgspec.convert(_mapped(payload, issuer.claims), _TokenClaims)
        except jwt.InvalidTokenError as error:
            raise AuthFailed(type(error).__name__) from None
        except (msgspec.ValidationError, ValueError, TypeError, OverflowError, RecursionError):
            raise AuthFailed("claims") from None
        return self._credential(claims, issuer, key)

    def followed(self, credential: Credential) -> Credential | None:
        """Return the credential of a customer's token for the contact that it belongs to now; None: it is not valid any more."""
        try:
            return None if self.customers is None else self.customers.followed(credential)
        except AuthFailed:
            return None

    def is_expired(self, credential: Credential) -> bool:
        """Return whether the credential has expired, clock leeway included, or its key or its workspace was removed."""
        if credential.workspace not in self._workspaces:
            return True
        if credential.token_hash:
            return self.remaining_s(credential) <= 0
        key_id = credential.key_id
        if key_id and key_id not in self._key_ids:
            return True
        return self._now_s() >= credential.expires_at_s + self._settings.leeway_s

    def remaining_s(self, credential: Credential) -> float:
        """Return the time until ``is_expired``, in seconds: sockets end exactly when requests over HTTP are refused."""
        if credential.token_hash:
            return 0.0 if self.customers is None else self.customers.remaining_s(credential)
        return credential.expires_at_s + self._settings.leeway_s - self._now_s()

    def _key_for(self, token: str) -> tuple[Issuer, VerificationKey]:
        try:
            header = jwt.get_unverified_header(token)
            unverified = msgspec.json.decode(jwt.utils.base64url_decode(token.split(".")[1]), type=_IssuerClaim)
        except (jwt.InvalidTokenError, msgspec.MsgspecError, ValueError, IndexError, RecursionError):
            raise AuthFailed("malformed") from None
        if _FORBIDDEN_HEADERS & header.keys():
            raise AuthFailed("header")
        if str(header.get("typ", "JWT")).lower() not in _TYPES:
            raise AuthFailed("type")
        issuer = self._keyring.issuers.get(unverified.iss)
        if issuer is None:
            raise AuthFailed("issuer")
        key = issuer.keys.get(str(header.get("kid", "default")))
        if key is None:
            if self.on_unknown_key is not None:
                self.on_unknown_key(issuer.name)
            raise AuthFailed("key")
        if header.get("alg") not in key.algorithms:
            raise AuthFailed("algorithm")
        return issuer, key

    def _credential(self, claims: _TokenClaims, issuer: Issuer, key: VerificationKey) -> Credential:
        if claims.role is Role.CUSTOMER:
            raise AuthFailed("role")
        scope = None if claims.supervises is UNSET else claims.supervises
        if scope is not None and (claims.role is not Role.SUPERVISOR or scope == ScopeClaim()):
            raise AuthFailed("scope")
        longest = self._settings.lifetime_s_max + self._settings.leeway_s
        if claims.exp - self._now_s() > longest:
            raise AuthFailed("lifetime")
        if claims.iat is not None and claims.exp - claims.iat > longest:
            raise AuthFailed("lifetime")
        if issuer.workspaces is not None and claims.workspace not in issuer.workspaces:
            raise AuthFailed("workspace")
        if claims.role is Role.OPERATOR and issuer.workspaces is not None:
            raise AuthFailed("role")  # An issuer for some workspaces must not create others.
        if claims.workspace not in self._workspaces:
            raise AuthFailed("workspace")
        return Credential(
            subject=claims.sub,
            role=claims.role,
            workspace=claims.workspace,
            issuer=issuer.name,
            expires_at_s=int(claims.exp),
            scope=None if scope is None else SupervisorScope(queues=scope.queues or None, teams=scope.teams or None),
            key_id=issuer.key_id(key),
        )


def _mapped(payload: dict[str, Any], claims: ClaimSettings) -> dict[str, Any]:
    """Return the claims of a token under the router's names. Raises AuthFailed."""
    subject = _claim(payload, claims.subject)
    if claims.subject_pattern is not None:
        text = subject if isinstance(subject, str) and len(subject) <= _CLAIM_LENGTH_MAX else ""
        match = re.fullmatch(claims.subject_pattern, text)
        if match is None:
            raise AuthFailed("subject")
        subject = match[1] if match.re.groups else match[0]
    role = _claim(payload, claims.role)
    if claims.roles:
        given = role if isinstance(role, list) else [role]
        role = next((mapped for value, mapped in claims.roles.items() if value in given), None)
        if role is None:
            raise AuthFailed("role")
    workspace = _claim(payload, claims.workspace)
    if workspace is None and claims.default_workspace is not None:
        workspace = claims.default_workspace
    elif claims.workspaces:
        workspace = claims.workspaces.get(workspace) if isinstance(workspace, str) else None
        if workspace is None:
            raise AuthFailed("workspace")
    supervises = _claim(payload, claims.supervises, absent=UNSET)
    scope = {} if supervises is UNSET else {"supervises": supervises}
    others = {name: value for name, value in payload.items() if name != "supervises"}
    return {**others, "sub": subject, "role": role, "workspace": workspace, **scope}


def _claim(payload: dict[str, Any], name: str, *, absent: UnsetType | None = None) -> Any:
    """Return a claim by its name, or by a path of names separated by dots; ``absent`` where there is none."""
    if name in payload:
        return payload[name]
    value: Any = payload
    for part in name.split("."):
        if not isinstance(value, dict):
            return None
        if part not in value:
            return absent
        value = value[part]
    return value


def open_authenticator(settings: Settings) -> Authenticator:
    """Return an authenticator with the keys that the settings name. Raises SettingsInvalid."""
    return Authenticator(open_keyring(settings), settings.auth, frozenset(settings.all_workspaces()))


def mint_token(
    settings: Settings,
    *,
    subject: str,
    role: Role | str,
    workspace: str = "default",
    lifetime_s: int = DEFAULT_TOKEN_LIFETIME_S,
    now_s: float | None = None,
    scope: ScopeClaim | None = None,
    may_be_unlisted: bool = False,
) -> str:
    """Return a token signed with the built-in secret or with that of the first ``hmac`` issuer in the settings.

    Intended for development and for the first administrator. Raises SettingsInvalid where the settings hold no signing
    secret (public keys can only verify), or where a claim or the lifetime would be refused. ``may_be_unlisted``: the workspace
    may be one that was created over the API.
    """
    if not 1 <= lifetime_s <= settings.auth.lifetime_s_max:
        raise SettingsInvalid(f"lifetime_s: a token lives 1 to {settings.auth.lifetime_s_max} seconds")
    if not may_be_unlisted and workspace not in settings.all_workspaces():
        raise SettingsInvalid("workspace: not listed in the settings")
    issued_at_s = int(time.time() if now_s is None else now_s)
    payload: dict[str, Any] = {
        "aud": settings.auth.audience,
        "sub": subject,
        "workspace": workspace,
        "role": str(role),
        "iat": issued_at_s,
        "exp": issued_at_s + lifetime_s,
        "jti": secrets.token_hex(8),
    }
    if scope is not None:
        if role != Role.SUPERVISOR:
            raise SettingsInvalid("role: only a supervisor can be limited to queues and teams")
        payload["supervises"] = msgspec.to_builtins(scope)
    for issuer in open_keyring(settings).issuers.values():
        if issuer.family is not KeyFamily.HMAC or issuer.claims != ClaimSettings():
            continue
        kid, key = next(iter(issuer.keys.items()))
        payload["iss"] = issuer.name
        payload["aud"] = issuer.audience or settings.auth.audience
        try:
            msgspec.convert(payload, _TokenClaims)
        except msgspec.ValidationError as error:
            raise SettingsInvalid(f"not a valid token: {error}") from None
        algorithm = ALGORITHMS[KeyFamily.HMAC][0]
        return jwt.encode(payload, key.material, algorithm=algorithm, headers={"kid": kid})
    raise SettingsInvalid("auth.issuers: no `hmac` issuer without claim names of its own; create tokens with its own tool")
