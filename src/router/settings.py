"""Settings of the process: ports, paths and limits, one frozen struct for each component.

Settings never change a routing decision, which only the policy does; so they are kept in a file and not in the journal. The
sources in ascending precedence are the defaults here, the file, the environment (``ROUTER__JOURNAL__PATH``) and flags. An
unknown key is an error that names its path. Each component receives its own section only. ``docs/reference/settings.md`` is
generated from the attribute docstrings.
"""

# msgspec copies an empty mutable default for each instance; ruff recognises that only if the base class is in the same file.
# ruff: noqa: RUF012

import stat
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec
import yaml
from msgspec import Meta, Struct

from router.context_settings import ContextSettings, SettingsStruct
from router.invalid_input import InvalidInput, convert_plain
from router.model.errors import SettingsInvalid, path_below
from router.model.states import Name
from router.record_settings import RecordSettings
from router.store_settings import StoreSettings

ENVIRONMENT_PREFIX: Final = "ROUTER__"
FILE_BYTES_MAX: Final = 1024 * 1024

Count: TypeAlias = Annotated[int, Meta(ge=1, le=100_000_000)]
Milliseconds: TypeAlias = Annotated[int, Meta(ge=0, le=86_400_000)]
PositiveSeconds: TypeAlias = Annotated[int, Meta(ge=1, le=86_400)]
ClaimName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=256)]
RoleName: TypeAlias = Annotated[
    str,
    Meta(pattern=r"^(agent|gateway|supervisor|admin)(?!\n)$", extra={"rule": "must be one of agent, gateway, supervisor, admin"}),
]
Port: TypeAlias = Annotated[int, Meta(ge=0, le=65_535)]


class JournalBackend(StrEnum):
    """Implementation of the journal."""

    SQLITE = "sqlite"
    MEMORY = "memory"


class JournalSettings(SettingsStruct, frozen=True, kw_only=True):
    """Journal: storage of the event log."""

    backend: JournalBackend = JournalBackend.SQLITE
    """`sqlite` stores every acknowledged command durably; `memory` loses everything when the process exits (for tests)."""
    path: str = "var/journal.db"
    """File of the journal. Its directory also holds the high-water mark and, if no issuer is set, the token secret."""
    high_water_interval_ms: Annotated[int, Meta(ge=1, le=60_000)] = 100
    """Interval of updates of the high-water mark; at start, a journal that ends before the mark is refused as damaged."""
    high_water_sync: bool = False
    """Whether the mark is synchronized to disk with every commit; then the loss of the whole write-ahead log is detected too."""
    checkpoint_bytes_max: Annotated[int, Meta(ge=65_536, le=1024**3)] = 16 * 1024 * 1024
    """Size of the write-ahead log at which a checkpoint is made even under load."""
    checkpoint_idle_ms: Annotated[int, Meta(ge=10, le=3_600_000)] = 1_000
    """Time without a commit after which a checkpoint is made."""
    second_mark_path: str | None = None
    """File on another disk or volume that also names the newest commit. With it, a start refuses an older copy of the journal that
    was put back, or a directory from which all files were removed. Null: no second mark, and a warning at the start."""
    hash_secrets_path: str | None = None
    """File of the secrets with which idempotency keys and the fields of commands with a key are hashed before they are written to
    the journal; null: `hash-secrets.json` beside the journal. Keep it out of backups of the journal."""
    retention_days: Annotated[int, Meta(ge=2, le=36_500)] | None = None
    """Age in days after which records are moved to an archive, as far as a start does not need them. Clients that were away for
    less resume with every event. Null: records stay; `router journal archive` moves them."""
    archive_path: str | None = None
    """Directory below which archives by age are made; null: `archive` beside the journal."""
    reserved_bytes: Annotated[int, Meta(ge=0, le=1024**3)] = 64 * 1024 * 1024
    """Reserved disk space, released when the disk is full so that the process can shut down gracefully."""


class RuntimeSettings(SettingsStruct, frozen=True, kw_only=True):
    """Command processing: the writer task, its command queue, and the replay of recent events."""

    command_queue_count_max: Count = 10_000
    """Commands and queries of one workspace that may wait, half of them submits; over all workspaces four times as many. When
    full, HTTP answers 503 with Retry-After and sockets answer `error` (`busy`)."""
    submit_wait_ms_max: Annotated[int, Meta(ge=1, le=60_000)] = 50
    """Overload protection: if more than 128 submits wait and the oldest has waited this long, further submits are refused as busy
    and commands of agents are processed first. An HTTP connection that was refused may be delayed by the same time (at most
    one second)."""
    batch_count_max: Annotated[int, Meta(ge=1, le=10_000)] = 256
    """Maximum number of commands in one commit."""
    batch_ms_max: Annotated[int, Meta(ge=1, le=10_000)] = 50
    """Maximum time for deciding the commands of one commit; the rest follows in the next one."""
    commit_gap_ms: Annotated[int, Meta(ge=0, le=1_000)] = 1
    """Minimum interval between the starts of commits, unless many commands wait. A single command is not delayed; under load
    commands share the cost of a commit. 0: no minimum."""
    clock_ahead_s_max: Annotated[int, Meta(ge=60, le=1_000_000_000)] = 3_600
    """A start is refused where the newest record of the journal is further ahead of the machine's clock than this: the clock is
    wrong, or was wrong before (`router journal reset-clock`)."""
    clock_behind_days_max: Annotated[int, Meta(ge=1, le=36_500)] = 366
    """A start is refused where the machine's clock is this many days after the newest record: the clock is probably wrong."""
    snapshot_event_count: Count = 250_000
    """Number of events between snapshots (one tenth of it while idle); bounds the recovery time at start."""
    history_record_count_max: Count = 16_384
    """Latest records of a workspace kept in memory, about 1 KB each, so that sockets resume without reading the journal. Covers
    some seconds in a very busy contact centre, minutes in others."""
    history_total_count_max: Count = 65_536
    """Limit of `history_record_count_max` over all workspaces."""
    shadow_backlog_count_max: Count = 10_000
    """Records that may wait for the shadow policy; beyond the limit it skips them, reports it and restarts."""
    stop_timeout_s: PositiveSeconds = 60
    """Maximum duration of a graceful shutdown. Acknowledged commands are on disk in any case."""


class ProxyHeader(StrEnum):
    """Header in which trusted proxies name the client."""

    X_FORWARDED_FOR = "x-forwarded-for"
    FORWARDED = "forwarded"


class ServerSettings(SettingsStruct, frozen=True, kw_only=True):
    """HTTP and WebSocket server: address, TLS and limits."""

    host: str = "127.0.0.1"
    """Address to listen on. Other than loopback, it requires TLS or `behind_proxy`."""
    port: Port = 8080
    """Port; 0 selects a free one."""
    behind_proxy: bool = False
    """Whether a proxy terminates TLS, so that a non-loopback address may be served without TLS."""
    trusted_proxies: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    """Addresses or networks (`10.0.0.0/8`) of proxies that name the client in `proxy_header`. The bounds per address then apply to
    the rightmost address that is not a trusted proxy; from any other peer the header is ignored."""
    proxy_header: ProxyHeader = ProxyHeader.X_FORWARDED_FOR
    """The header that the trusted proxies set: `x-forwarded-for` or `forwarded`. The other one is ignored, because a proxy that
    does not know it passes on what the client has sent."""
    tls_certificate_path: str | None = None
    """PEM file with the certificate chain; requires `tls_key_path`."""
    tls_key_path: str | None = None
    """PEM file with the private key."""
    allowed_origins: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    """Origins of web pages that may use the API and the sockets, compared exactly (`https://desk.example`). Empty by default."""
    backlog_count: Annotated[int, Meta(ge=16, le=65_535)] = 4096
    """Size of the kernel's listen backlog; large enough for a mass reconnect of desktops."""
    send_buffer_bytes: Annotated[int, Meta(ge=4096, le=16 * 1024**2)] = 128 * 1024
    """Kernel send buffer of a connection (`SO_SNDBUF`); bounds the kernel memory used by a client that does not read."""
    connections_max: Count = 20_000
    """Maximum number of open connections. At the limit, idle connections without a valid credential are closed for new ones; if
    there are none, a new connection gets one request from the reserve (`reserved_connections_max`)."""
    reserved_connections_max: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Connections beyond `connections_max` or `address_connections_max`. Each gets one answer and is closed: a probe its result,
    a request with a valid credential its result if a place can be made, others 503. The oldest is closed for a new one."""
    address_connections_max: Count = 1_000
    """Maximum number of connections of one client address (IPv6: /64 network) without a valid credential. Connections of trusted
    proxies are not counted."""
    first_request_timeout_s: PositiveSeconds = 10
    """Maximum time for the TLS handshake, and until the first request of a connection; beyond it the connection is closed."""
    keepalive_s: PositiveSeconds = 30
    """A connection that sends no complete request for this time is closed."""
    header_bytes_max: Annotated[int, Meta(ge=1024, le=65_536)] = 8190
    """Maximum size of the request line and of each header; beyond it: 400."""
    body_bytes_max: Annotated[int, Meta(ge=1024, le=16 * 1024**2)] = 256 * 1024
    """Maximum size of a request body; beyond it: 413."""
    body_timeout_s: PositiveSeconds = 15
    """Maximum time for receiving a request body; beyond it: 408."""
    bodies_max: Count = 500
    """Maximum number of request bodies that are incomplete; a further one gets 503."""
    credential_bodies_max: Count = 32
    """Maximum number of incomplete request bodies of one credential; a further one gets 429."""
    answer_timeout_s: PositiveSeconds = 30
    """Maximum time for processing a request; beyond it: 503 with `applied: unknown`."""
    in_flight_max: Count = 2_000
    """Maximum number of requests in execution; a further one gets 503. Health checks and incomplete bodies are not counted."""
    credential_in_flight_max: Count = 1_000
    """Maximum number of requests in execution of one credential; a further one gets 429."""
    requests_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 2_000
    """Average rate of one credential of a gateway over HTTP, and of a supervisor or administrator over HTTP and sockets together;
    beyond it: 429, or `rate_limited`. For agents see `sockets.frames_per_s`."""
    requests_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 4_000
    """Burst of such a credential before `requests_per_s` applies."""
    state_changes_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    """Average rate at which one credential may change one object, over HTTP and sockets together: an agent's state, paused
    channels, record, holds and parked work; a queue's opening; a contact's attributes, parking and consults. All supervisors and
    administrators together may change one object four times as often. Beyond it: 429, or `rate_limited`. Each change is a record
    in the journal."""
    state_changes_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 30
    """Burst of such changes; four times as many by all supervisors and administrators together."""
    credentials_tracked_max: Count = 10_000
    """Number of credentials of each role, of client addresses, and of changed objects whose rates are tracked; the least recently
    used one is dropped."""
    failed_logins_per_s: Annotated[int, Meta(ge=1, le=100_000)] = 50
    """Rate of invalid credentials per client address, over HTTP and sockets together, with a burst of twice as many. Beyond it:
    429, no answers for up to a second on that connection, and no upgrades without a credential. Valid credentials are not
    affected."""
    page_size_max: Annotated[int, Meta(ge=1, le=10_000)] = 500
    """Maximum `limit` of a list."""
    events_page_size_max: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    """Maximum `limit` of `GET /v1/events`."""
    drain_s: PositiveSeconds = 30
    """Time allowed for clients to disconnect during a drain."""


class RequestSettings(SettingsStruct, frozen=True, kw_only=True):
    """Requests of customers: what one token, one client address and all customers together may use."""

    token_per_s: Annotated[int, Meta(ge=1, le=1_000)] = 2
    """Average rate of one customer, over HTTP and sockets together; beyond it: 429, or `rate_limited`."""
    token_burst: Annotated[int, Meta(ge=2, le=10_000)] = 20
    """Burst of one customer before `token_per_s` applies."""
    address_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 50
    """Average rate of requests and new sockets of all customers of one client address (IPv6: /64 network); beyond it: 429."""
    address_burst: Annotated[int, Meta(ge=2, le=1_000_000)] = 500
    """Burst of all customers of one client address before `address_per_s` applies."""
    polls_max: Count = 2_000
    """Maximum number of long polls that wait; a further one gets 503."""
    credential_polls_max: Count = 100
    """Maximum number of long polls of one gateway that wait; a further one gets 429."""
    connections_max: Count = 5_000
    """Maximum number of open sockets of customers, within `sockets.connections_max`; a further upgrade gets 503."""
    token_connections_max: Annotated[int, Meta(ge=1, le=100)] = 3
    """Maximum number of open sockets of one customer, and of their long polls that wait; a further socket is closed (1013) after
    `hello`, a further poll gets 429."""


class SocketSettings(SettingsStruct, frozen=True, kw_only=True):
    """WebSockets: timeouts and limits."""

    hello_timeout_s: PositiveSeconds = 5
    """Maximum time until the `hello` of a client; beyond it the socket is closed (4501)."""
    heartbeat_s: PositiveSeconds = 20
    """Interval of pings; without a pong within half of it the socket is closed."""
    frame_bytes_max: Annotated[int, Meta(ge=1024, le=16 * 1024**2)] = 64 * 1024
    """Maximum size of a client's frame; beyond it the socket is closed (1009)."""
    write_buffer_count_max: Annotated[int, Meta(ge=16, le=1_000_000)] = 1_024
    """Maximum number of frames waiting for a client; beyond it the socket is closed (4408) and the client can resume."""
    write_buffer_bytes_max: Annotated[int, Meta(ge=65_536, le=256 * 1024**2)] = 1024 * 1024
    """Maximum number of bytes waiting for a client, not counting the `welcome` frame; beyond it the socket is closed (4408)."""
    send_timeout_s: PositiveSeconds = 5
    """Maximum duration of a write; beyond it the socket is closed (4408)."""
    frames_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    """Average rate of one agent, frames and requests over HTTP together. Beyond it, frames get `rate_limited` with
    `retry_after_ms`; a client that sends a whole burst before that time is closed (4429)."""
    frames_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 60
    """Burst of one agent."""
    gateway_frames_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 2_000
    """Average rate of frames of one gateway, all its sockets together."""
    gateway_frames_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 4_000
    """Burst of frames of one gateway."""
    connects_per_minute: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    """Average rate of new sockets of one credential. Beyond it: 429 with Retry-After, or 4429 after `hello`."""
    connects_burst: Annotated[int, Meta(ge=2, le=1_000_000)] = 20
    """Burst of new sockets of one agent (others: `credential_connections_max`). The second half of it is slowed: each waits
    longer, up to two seconds."""
    in_flight_max: Annotated[int, Meta(ge=1, le=100_000)] = 256
    """Maximum number of commands of a socket without a reply; at the limit the socket is not read."""
    bad_frames_max: Annotated[int, Meta(ge=0, le=1_000)] = 5
    """Number of consecutive malformed frames that are tolerated; one more closes the socket (4500)."""
    connections_max: Count = 10_000
    """Maximum number of open sockets; a further upgrade gets 503 with Retry-After."""
    credential_connections_max: Count = 100
    """Maximum number of open sockets per workspace, subject and role; a further one gets 503, or is closed (1013) after `hello`."""
    upgrades_per_s: Annotated[int, Meta(ge=1, le=100_000)] = 600
    """Average rate of upgrades with a valid credential (header or ticket); 600/s use about a third of a core. Beyond it: 503 with a
    Retry-After that spreads the clients. Upgrades without a credential, and those of customers, have the same rate of their own."""
    upgrades_burst: Annotated[int, Meta(ge=1, le=100_000)] = 50
    """Upgrades accepted at once; while they are processed, established connections are delayed."""
    address_upgrades_per_s: Annotated[int, Meta(ge=1, le=100_000)] = 100
    """Average rate of upgrades without a credential from one client address, with a burst of the same number; beyond it: 429."""
    resume_count_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 10_000
    """Maximum number of missed events that a resume sends; beyond it the client gets a `welcome` with the full state."""
    stats_interval_ms: Annotated[int, Meta(ge=50, le=60_000)] = 1_000
    """Minimum interval of statistics of changed queues for supervisors."""
    reconnect_spread_ms: Milliseconds = 10_000
    """A drain asks each client to reconnect after a random part of this time."""


class KeyFamily(StrEnum):
    """Family of signature algorithms of an issuer."""

    HMAC = "hmac"
    RSA = "rsa"
    ECDSA = "ecdsa"


class KeySettings(SettingsStruct, frozen=True, kw_only=True):
    """A key of an issuer."""

    kid: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}(?!\n)$", extra={"rule": "must be 1 to 64 of A-Z, a-z, 0-9, and . _ -"})
    ] = "default"
    """Key id in the header of tokens; a token without one uses `default`."""
    path: str
    """PEM file of a public key (`rsa`, `ecdsa`), or a file with a secret of at least 32 bytes (`hmac`). A secret is used exactly
    as it is in the file, except that one line end at the end of the file is no part of it."""


class ClaimSettings(SettingsStruct, frozen=True, kw_only=True):
    """Where the tokens of an issuer carry what the router needs."""

    subject: ClaimName = "sub"
    """Claim with the id of the agent, the gateway or the person. A claim is found by its name, or by a path of names
    (`realm_access.roles`)."""
    subject_pattern: Annotated[str, Meta(max_length=512)] | None = None
    """Regular expression that the whole value must match; its first group, or the whole match, is the id. For example
    `auth0\\|(.+)`, or `([a-z.]+)@example\\.com`. null: the value is the id."""
    role: ClaimName = "role"
    """Claim with the role, or a list of values."""
    roles: dict[str, RoleName] = {}
    """Roles by values of that claim; the first entry that the token has counts. Empty: the value is the role."""
    workspace: ClaimName = "workspace"
    """Claim with the workspace."""
    workspaces: dict[str, Name] = {}
    """Workspaces by values of that claim. Empty: the value is the workspace."""
    default_workspace: Name | None = None
    """Workspace of a token without that claim; null: such a token is refused."""
    supervises: ClaimName = "supervises"
    """Claim with the queues and teams of a supervisor; a token without it is not limited, and one where it is null is refused."""


class IssuerSettings(SettingsStruct, frozen=True, kw_only=True):
    """A trusted issuer of tokens."""

    issuer: Annotated[str, Meta(min_length=1, max_length=256)]
    """Value of `iss` in its tokens."""
    family: KeyFamily
    """Family of algorithms of its keys: `hmac`, `rsa` or `ecdsa`."""
    keys: Annotated[tuple[KeySettings, ...], Meta(max_length=16)] = ()
    """Its keys; several during a key rotation. Each file is read when the router starts and on SIGHUP."""
    jwks: Annotated[str, Meta(min_length=1, max_length=1024)] | None = None
    """File or URL (`https://…`; `http://` on this machine only) of its JWK set (RFC 7517), in addition to `keys`. It is read again
    every `auth.jwks_refresh_s`, on SIGHUP, and soon after a token with an unknown key; when that fails, the last keys stay valid
    for a day."""
    audience: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    """Required `aud` of its tokens; null: `auth.audience`."""
    claims: ClaimSettings = ClaimSettings()
    """Names of its claims."""
    workspaces: tuple[Name, ...] | None = None
    """Workspaces for which its tokens are valid; null: all."""


class AuthSettings(SettingsStruct, frozen=True, kw_only=True):
    """Authentication: trusted issuers and tickets."""

    audience: Annotated[str, Meta(min_length=1, max_length=256)] = "contact-router"
    """Required `aud` of all tokens."""
    issuers: Annotated[tuple[IssuerSettings, ...], Meta(max_length=16)] = ()
    """Trusted issuers. If empty, the router creates a secret stored with the journal, with which `router token` issues tokens."""
    jwks_refresh_s: Annotated[int, Meta(ge=10, le=86_400)] = 300
    """Interval in which the JWK sets of issuers are read again."""
    leeway_s: Annotated[int, Meta(ge=0, le=60)] = 30
    """Tolerated difference between clocks."""
    lifetime_s_max: Annotated[int, Meta(ge=60, le=86_400)] = 12 * 3600
    """Maximum lifetime of a token (`exp` minus `iat`, and `exp` minus now); tokens beyond it are refused."""
    token_cache_count_max: Count = 20_000
    """Number of verified tokens in the cache; the least recently used one is dropped."""
    ticket_s: Annotated[int, Meta(ge=1, le=300)] = 30
    """Lifetime of a single-use ticket for a browser's socket."""
    tickets_max: Count = 10_000
    """Maximum number of unused tickets; beyond it: 503."""
    credential_tickets_max: Count = 10
    """Maximum number of unused tickets of one credential; beyond it: 429 until the oldest is used or has expired."""


class TelemetrySettings(SettingsStruct, frozen=True, kw_only=True):
    """Logs and metrics."""

    log_level: Annotated[
        str, Meta(pattern="^(debug|info|warning|error)$", extra={"rule": "must be one of debug, info, warning, error"})
    ] = "info"
    """Minimum log level: `debug`, `info`, `warning` or `error`."""
    access_log: bool = True
    """Whether each request is logged, with ids, status and duration, but without query, body and address."""
    log_subjects: bool = False
    """Whether these lines name the subject of the credential. By default they have a pseudonym, which is the same for all
    requests of a credential until the process ends."""
    spans: bool = False
    """Whether each request is sent as an OpenTelemetry span. Needs the extra `otel`; the collector is configured by the variables
    `OTEL_*`."""
    metrics_host: str = "127.0.0.1"
    """Address of the listener for `/metrics`. It has no authentication: restrict it to the operations network."""
    metrics_port: Annotated[int, Meta(ge=0, le=65_535)] | None = 9464
    """Port of the listener; 0 selects a free one, null disables it."""
    label_sets_max: Annotated[int, Meta(ge=1, le=10_000)] = 500
    """Maximum number of label sets per metric; further ones are counted under `other`."""
    loop_lag_interval_ms: Annotated[int, Meta(ge=10, le=60_000)] = 100
    """Interval of measurements of the event loop's delay."""


class PolicySettings(SettingsStruct, frozen=True, kw_only=True):
    """Initial policy of a new workspace."""

    seed_path: str | None = "config/policy.yaml"
    """Policy document that a workspace without a policy starts with. Later changes use `PUT /v1/policy`."""


class Settings(SettingsStruct, frozen=True, kw_only=True):
    """All settings, by section."""

    workspaces: Annotated[tuple[Name, ...], Meta(max_length=1_000)] = ()
    """Workspaces in addition to `default`: separate contact centres in one process. A credential is valid for one of them."""
    journal: JournalSettings = JournalSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    server: ServerSettings = ServerSettings()
    sockets: SocketSettings = SocketSettings()
    requests: RequestSettings = RequestSettings()
    auth: AuthSettings = AuthSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    policy: PolicySettings = PolicySettings()
    context: ContextSettings = ContextSettings()
    store: StoreSettings = StoreSettings()
    records: RecordSettings = RecordSettings()

    def all_workspaces(self) -> tuple[str, ...]:
        """Return ``default`` and the configured workspaces, without duplicates."""
        return tuple(dict.fromkeys(("default", *self.workspaces)))


# Settings that SIGHUP reloads, by section; all others need a restart.
RELOADABLE: Final[dict[str, frozenset[str]]] = {
    "auth": frozenset({"audience", "issuers", "jwks_refresh_s", "leeway_s", "lifetime_s_max"}),
    "telemetry": frozenset({"log_level", "access_log", "log_subjects"}),
    "server": frozenset(
        {
            *("tls_certificate_path", "tls_key_path", "trusted_proxies", "proxy_header"),
            *("requests_per_s", "requests_burst", "state_changes_per_s", "state_changes_burst", "failed_logins_per_s"),
            *("in_flight_max", "credential_in_flight_max", "bodies_max", "credential_bodies_max"),
        }
    ),
    "sockets": frozenset(
        {
            *("frames_per_s", "frames_burst", "gateway_frames_per_s", "gateway_frames_burst"),
            *("connects_per_minute", "connects_burst", "address_upgrades_per_s", "upgrades_per_s", "upgrades_burst"),
        }
    ),
}


def merge_reloadable(present: Settings, new: Settings) -> tuple[Settings, list[str], list[str]]:
    """Return the present settings with the reloadable ones of ``new``, what changed, and what differs but needs a restart."""
    changed: list[str] = []
    ignored: list[str] = []
    sections: dict[str, Any] = {}
    for name in Settings.__struct_fields__:
        old, wanted = getattr(present, name), getattr(new, name)
        if not isinstance(old, SettingsStruct):
            ignored += [name] if old != wanted else []
            continue
        different = [field for field in old.__struct_fields__ if getattr(old, field) != getattr(wanted, field)]
        taken = [field for field in different if field in RELOADABLE.get(name, ())]
        changed += [f"{name}.{field}" for field in taken]
        ignored += [f"{name}.{field}" for field in different if field not in taken]
        sections[name] = msgspec.structs.replace(old, **{field: getattr(wanted, field) for field in taken})
    return msgspec.structs.replace(present, **sections), changed, ignored


def load_settings(
    path: str | Path | None = None, *, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Settings:
    """Load the settings from a YAML file, the environment and flags, in ascending precedence.

    Flags map dotted paths to values (``{"server.port": 0}``); the value None means that the flag is not set.

    Raises:
        SettingsInvalid: A key is unknown or a value out of range; the message names its path (``journal.path``).
    """
    tree = _read(Path(path)) if path is not None else {}
    for name, text in sorted((environment or {}).items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            keys = name[len(ENVIRONMENT_PREFIX) :].lower().split("__")
            _set_value(tree, keys, _parsed(text, keys), source=name)
    for dotted, value in (flags or {}).items():
        if value is not None:
            _set_value(tree, dotted.split("."), value, source=dotted)
    return settings_from(tree)


def settings_from(tree: Mapping[str, Any]) -> Settings:
    """Convert plain data to settings.

    Raises:
        SettingsInvalid: A key is unknown or a value out of range; the message names its path.
    """
    if (place := _path_of_null_byte(tree, "")) is not None:
        raise SettingsInvalid(f"{place}: must not contain a null byte")
    try:
        return convert_plain(tree, Settings)
    except InvalidInput as error:
        raise SettingsInvalid(str(error)) from None


def _path_of_null_byte(value: object, path: str) -> str | None:
    """Return the path of a text with a null byte, which no file name, address or claim has; None: there is none."""
    if isinstance(value, str):
        return path if "\0" in value else None
    inner: list[tuple[str, object]] = []
    if isinstance(value, dict):
        inner = [(path_below(path, key), one) for key, one in value.items()]
    elif isinstance(value, list):
        inner = [(f"{path}[{index}]", one) for index, one in enumerate(value)]
    return next((found for place, one in inner if (found := _path_of_null_byte(one, place)) is not None), None)


def file_objection(path: Path) -> str | None:
    """Return why a path cannot be read as a file; None: it can be opened. Unlike an opened named pipe, this never waits.

    A pipe below ``/dev`` or ``/proc`` is one that the shell made, as for ``<(command)``, and may be read.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        return getattr(error, "strerror", None) or "not a valid path"
    if stat.S_ISDIR(mode):
        return "is a directory, not a file"
    if (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)) and path.parts[:2] not in (("/", "dev"), ("/", "proc")):
        return "is a named pipe or a socket, not a file"
    return None


def read_file_of_settings(path: Path, *, bytes_max: int, place: str = "") -> bytes:
    """Return the content of a file that settings name at ``place``. Raises SettingsInvalid, also if it is larger than that."""
    where = f"{place}: {path}" if place else str(path)
    objection = file_objection(path)
    try:
        if objection is None:
            with path.open("rb") as file:
                data = file.read(bytes_max + 1)
    except OSError as error:
        objection = error.strerror or "cannot be read"
    if objection is not None:
        raise SettingsInvalid(f"{where}: {objection}")
    if len(data) > bytes_max:
        raise SettingsInvalid(f"{where}: larger than {bytes_max:,} bytes")
    return data


def _read(path: Path) -> dict[str, Any]:
    text = read_file_of_settings(path, bytes_max=FILE_BYTES_MAX)
    try:
        tree = yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else f"{path}"
        raise SettingsInvalid(f"{where}: not well-formed YAML") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsInvalid(f"{path}: the document must be a mapping")
    # A section whose lines are all commented out is null.
    return {key: value for key, value in tree.items() if value is not None}


def _set_value(tree: dict[str, Any], keys: list[str], value: Any, *, source: str) -> None:
    """Set the value of a nested key. The tree stays plain data; it is validated as a whole later."""
    node = tree
    for key in keys[:-1]:
        child = node.setdefault(key, {})
        if child is None:
            child = node[key] = {}
        if not isinstance(child, dict):
            raise SettingsInvalid(f"{source}: {_setting_path(keys)} is not a section")
        node = child
    node[keys[-1]] = value


def _parsed(text: str, keys: list[str]) -> Any:
    """Parse the text of an environment variable: unchanged for a text setting, else as YAML."""
    if _is_text_setting(keys):
        return None if text == "null" else text
    try:
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        raise SettingsInvalid(f"{_setting_path(keys)}: not well-formed YAML") from None


def _is_text_setting(keys: list[str]) -> bool:
    """Return whether a setting is text. An unknown key is reported later, by the validation."""
    kind: Any = Settings
    for key in keys:
        if not (isinstance(kind, type) and issubclass(kind, Struct)):
            return False
        kind = typing.get_type_hints(kind).get(key)
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return str in options or any(isinstance(option, type) and issubclass(option, str) for option in options)


def _setting_path(keys: list[str]) -> str:
    return ".".join(keys)
