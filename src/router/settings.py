"""How the process runs: ports, paths and limits. One frozen struct a room; each room gets its own, never the whole.

Settings never change a routing decision (that is the policy's part), so they stand in a file and not in the journal. What is
set where, the later winning: the defaults here, the file, the environment (``ROUTER__JOURNAL__PATH``), flags. A key
that does not exist is an error that names its place. ``docs/settings.md`` is made from the docstrings under the fields.
"""

import difflib
import re
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec
import yaml
from msgspec import Meta, Struct

from router.model.errors import SettingsInvalid
from router.model.ids import Name

ENVIRONMENT_PREFIX: Final = "ROUTER__"
FILE_BYTES_MAX: Final = 1024 * 1024

Count: TypeAlias = Annotated[int, Meta(ge=1, le=100_000_000)]
Milliseconds: TypeAlias = Annotated[int, Meta(ge=0, le=86_400_000)]
PositiveSeconds: TypeAlias = Annotated[int, Meta(ge=1, le=86_400)]
Port: TypeAlias = Annotated[int, Meta(ge=0, le=65_535)]


class _Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frozen, keyword-only; a key that is not a field is an error."""


class JournalKeeper(StrEnum):
    """What keeps the journal."""

    SQLITE = "sqlite"
    MEMORY = "memory"


class JournalSettings(_Settings, frozen=True, kw_only=True):
    """The memory of the house: where records are written and how often the disk is asked to hold them."""

    keeper: JournalKeeper = JournalKeeper.SQLITE
    """`sqlite` keeps every acknowledged command; `memory` forgets all at the end of the process (tests, trials)."""
    path: str = "var/journal.db"
    """The journal's file. Its directory also gets the high-water mark and, where no issuer is set, the token secret."""
    high_water_interval_ms: Annotated[int, Meta(ge=1, le=60_000)] = 100
    """How often the high-water mark beside the journal is brought up to date; a shorter history than it says refuses to start."""
    high_water_sync: bool = False
    """True: the mark is forced to the disk with every commit, which also sees a write-ahead log lost as a whole in that time."""
    checkpoint_bytes_max: Annotated[int, Meta(ge=65_536, le=1024**3)] = 16 * 1024 * 1024
    """Size of the write-ahead log at which it is folded into the file even while there is work."""
    checkpoint_idle_ms: Annotated[int, Meta(ge=10, le=3_600_000)] = 1_000
    """It is folded into the file, too, after this long without a commit."""
    ballast_bytes: Annotated[int, Meta(ge=0, le=1024**3)] = 64 * 1024 * 1024
    """Disk space held back, so that a full disk still lets the process end in order."""


class RuntimeSettings(_Settings, frozen=True, kw_only=True):
    """The corridor: the one writer, its inbox, and what it tells the others."""

    inbox_count_max: Count = 10_000
    """Commands and questions of one workspace that may wait for the writer, half of them submits; of all together, four times as
    many. Full: HTTP answers 503 with Retry-After, sockets `error` (`busy`)."""
    submit_wait_ms_max: Annotated[int, Meta(ge=1, le=60_000)] = 50
    """Overload: where more than 128 submits wait and the oldest has waited this long, further ones are refused as busy. What
    agents do then goes first. A connection that was refused over HTTP may have to let as much time pass (a second at most)."""
    batch_count_max: Annotated[int, Meta(ge=1, le=10_000)] = 256
    """Most commands in one commit."""
    batch_ms_max: Annotated[int, Meta(ge=1, le=10_000)] = 50
    """A batch that takes longer to decide is committed as far as it is."""
    commit_gap_ms: Annotated[int, Meta(ge=0, le=1_000)] = 1
    """Commits begin at least this far apart, unless many commands wait: a lone one pays nothing, a busy centre shares the price
    of a commit. 0: none."""
    snapshot_event_count: Count = 250_000
    """A snapshot is taken after this many events, after a tenth of them when it is quiet; it bounds the time that a start takes."""
    history_record_count_max: Count = 16_384
    """Newest records of a workspace kept in memory, so that sockets can resume without reading the journal: some seconds of a very
    busy centre, minutes of others. About 1 KB each."""
    history_total_count_max: Count = 65_536
    """The same over all workspaces."""
    shadow_backlog_count_max: Count = 10_000
    """Records that wait for the [shadow policy](shadow.md); beyond, it skips them, says so and begins anew."""
    stop_timeout_s: PositiveSeconds = 60
    """After this long an orderly stop is no longer waited for; what was acknowledged is on disk anyway."""


class EdgeSettings(_Settings, frozen=True, kw_only=True):
    """The door: the port for the HTTP API and the sockets, and its limits."""

    host: str = "127.0.0.1"
    """The address to listen on. One that is not loopback needs TLS or `behind_proxy`."""
    port: Port = 8080
    """The port; 0 takes a free one."""
    behind_proxy: bool = False
    """True: a proxy in front ends TLS, so a non-loopback address may be served in the clear. `X-Forwarded-*` is never read."""
    tls_certificate_path: str | None = None
    """PEM file with the certificate chain; set together with `tls_key_path`."""
    tls_key_path: str | None = None
    """PEM file with the private key."""
    allowed_origins: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    """Origins of web pages that may use the API and the sockets, compared exactly (`https://desk.example`). None by default."""
    backlog_count: Annotated[int, Meta(ge=16, le=65_535)] = 4096
    """Connections that the kernel holds until they are accepted; a storm of reconnecting desktops fits in."""
    send_buffer_bytes: Annotated[int, Meta(ge=4096, le=16 * 1024**2)] = 128 * 1024
    """Kernel send buffer of a connection (`SO_SNDBUF`): how much a reader that has stopped can park in the kernel."""
    connections_max: Count = 20_000
    """Open connections; the next one gets 503 and is closed."""
    keepalive_s: PositiveSeconds = 30
    """A connection that sends no (whole) request for this long is closed."""
    header_bytes_max: Annotated[int, Meta(ge=1024, le=65_536)] = 8190
    """Longest request line and longest header; longer: 400."""
    body_bytes_max: Annotated[int, Meta(ge=1024, le=16 * 1024**2)] = 256 * 1024
    """Largest request body; larger: 413."""
    body_timeout_s: PositiveSeconds = 15
    """A request body must have arrived in this time; else 408."""
    answer_timeout_s: PositiveSeconds = 30
    """How long a request waits for the writer; then 503 with `applied: unknown`."""
    in_flight_max: Count = 2_000
    """Requests in work at the same time; the next one gets 503. Health checks are not counted."""
    requests_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 1_000
    """Requests a second that one credential may make on the average; more: 429."""
    requests_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 2_000
    """Requests that a credential may make at once before `requests_per_s` counts."""
    credentials_tracked_max: Count = 10_000
    """Credentials whose rate is remembered; beyond it the one seen longest ago is forgotten."""
    failed_logins_per_s: Annotated[int, Meta(ge=1, le=100_000)] = 50
    """Requests a second with a bad credential, from everybody together, that are looked at; more: 429."""
    page_count_max: Annotated[int, Meta(ge=1, le=10_000)] = 500
    """Largest `limit` of a list."""
    events_page_count_max: Annotated[int, Meta(ge=1, le=10_000)] = 1_000
    """Largest `limit` of `GET /v1/events`."""
    drain_s: PositiveSeconds = 30
    """A drain gives connections this long to go by themselves."""


class SocketSettings(_Settings, frozen=True, kw_only=True):
    """The WebSockets and their limits."""

    hello_timeout_s: PositiveSeconds = 5
    """A socket that has not said who it is by then is closed (4501)."""
    heartbeat_s: PositiveSeconds = 20
    """A ping goes out this often; no pong within half of it closes the socket."""
    frame_bytes_max: Annotated[int, Meta(ge=1024, le=16 * 1024**2)] = 64 * 1024
    """Largest frame from a client; larger closes the socket (1009)."""
    outbox_count_max: Annotated[int, Meta(ge=16, le=1_000_000)] = 1_024
    """Frames that wait for a client; one more closes it (4408), and it resumes where it was."""
    outbox_bytes_max: Annotated[int, Meta(ge=65_536, le=256 * 1024**2)] = 1024 * 1024
    """Bytes that wait for a client, a welcome apart; more closes it (4408)."""
    send_timeout_s: PositiveSeconds = 5
    """A write that takes longer closes the socket (4408)."""
    frames_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 20
    """Frames a second from a desktop or a supervisor, on the average; more closes it (4429)."""
    frames_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 60
    """Frames that a desktop or a supervisor may send at once."""
    gateway_frames_per_s: Annotated[int, Meta(ge=1, le=1_000_000)] = 2_000
    """Frames a second from a gateway, on the average."""
    gateway_frames_burst: Annotated[int, Meta(ge=1, le=1_000_000)] = 4_000
    """Frames that a gateway may send at once."""
    in_flight_max: Annotated[int, Meta(ge=1, le=100_000)] = 256
    """Commands of one socket that may wait for the writer; the socket is not read from while it has as many."""
    bad_frames_max: Annotated[int, Meta(ge=0, le=1_000)] = 5
    """Frames that are none; one more closes the socket (4500)."""
    connections_max: Count = 10_000
    """Open sockets; the next upgrade gets 503 with Retry-After."""
    credential_connections_max: Count = 100
    """Open sockets of one subject and role in a workspace; the next one gets 503, or is closed (1013) after its `hello`."""
    upgrades_per_s: Annotated[int, Meta(ge=1, le=100_000)] = 600
    """Upgrades a second on the average, for at most a third of a core; more get 503 with a Retry-After that puts them in line."""
    upgrades_burst: Annotated[int, Meta(ge=1, le=100_000)] = 50
    """Upgrades at once: those who are served wait for as many."""
    resume_count_max: Annotated[int, Meta(ge=0, le=1_000_000)] = 10_000
    """A client that has missed more events of its own than this gets a fresh `welcome` instead of them."""
    figures_interval_ms: Annotated[int, Meta(ge=50, le=60_000)] = 1_000
    """Supervisors hear of changed queues at most this often."""
    reconnect_spread_ms: Milliseconds = 10_000
    """A drain tells each client to come back after a random part of this time."""


class KeyFamily(StrEnum):
    """The algorithms an issuer signs with; exactly one family each."""

    HMAC = "hmac"
    RSA = "rsa"
    ECDSA = "ecdsa"


class KeySettings(_Settings, frozen=True, kw_only=True):
    """One key of an issuer."""

    kid: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}(?!\n)$")] = "default"
    """The key id that tokens name; a token without one means `default`."""
    path: str
    """A PEM public key (`rsa`, `ecdsa`) or a file with a secret of at least 32 bytes (`hmac`)."""


class IssuerSettings(_Settings, frozen=True, kw_only=True):
    """Somebody whose tokens are believed."""

    issuer: Annotated[str, Meta(min_length=1, max_length=256)]
    """The `iss` of its tokens."""
    family: KeyFamily
    """The one family of algorithms that its keys are for: `hmac`, `rsa` or `ecdsa`."""
    keys: Annotated[tuple[KeySettings, ...], Meta(min_length=1, max_length=16)]
    """Its keys; two during a change of keys."""
    workspaces: tuple[Name, ...] | None = None
    """The workspaces that it may speak for; none: all."""


class AuthSettings(_Settings, frozen=True, kw_only=True):
    """Who is believed."""

    audience: Annotated[str, Meta(min_length=1, max_length=256)] = "contact-router"
    """The `aud` that every token must name."""
    issuers: Annotated[tuple[IssuerSettings, ...], Meta(max_length=16)] = ()
    """Issuers of tokens. None: the router makes a secret of its own beside the journal and `router token` mints with it."""
    leeway_s: Annotated[int, Meta(ge=0, le=60)] = 30
    """Difference between clocks that is forgiven."""
    lifetime_s_max: Annotated[int, Meta(ge=60, le=86_400)] = 12 * 3600
    """Longest life of a token (`exp` minus `iat`, and `exp` minus now); longer ones are refused."""
    tokens_remembered_max: Count = 20_000
    """Tokens whose signature is not checked again while they are valid; beyond it the one seen longest ago is forgotten."""
    ticket_s: Annotated[int, Meta(ge=1, le=300)] = 30
    """Life of a single-use ticket for a browser's socket."""
    tickets_max: Count = 10_000
    """Tickets that are out; one more: 503."""


class TelemetrySettings(_Settings, frozen=True, kw_only=True):
    """Logs and metrics."""

    log_level: Annotated[str, Meta(pattern="^(debug|info|warning|error)$")] = "info"
    """The least level that is logged: `debug`, `info`, `warning` or `error`."""
    access_log: bool = True
    """One line for each request: ids, status and time; never a query, a body or an address."""
    metrics_host: str = "127.0.0.1"
    """The address of the admin listener with `/metrics`. It has no credential: keep it where only operations reach."""
    metrics_port: Annotated[int, Meta(ge=0, le=65_535)] | None = 9464
    """Its port; 0 takes a free one, none switches the listener off."""
    label_sets_max: Annotated[int, Meta(ge=1, le=10_000)] = 500
    """Different labels of one metric; what comes after is counted under `other`."""
    loop_lag_interval_ms: Annotated[int, Meta(ge=10, le=60_000)] = 100
    """How often the delay of the event loop is measured."""


class PolicySettings(_Settings, frozen=True, kw_only=True):
    """The first policy of a new workspace."""

    seed_path: str | None = "config/policy.yaml"
    """The document that a workspace without any policy begins with. Later changes go through `PUT /v1/policy`."""


class Settings(_Settings, frozen=True, kw_only=True):
    """Everything, by room."""

    workspaces: Annotated[tuple[Name, ...], Meta(max_length=1_000)] = ()
    """Workspaces beside `default`: separate centres in one process. A credential names its own."""
    journal: JournalSettings = JournalSettings()
    runtime: RuntimeSettings = RuntimeSettings()
    edge: EdgeSettings = EdgeSettings()
    sockets: SocketSettings = SocketSettings()
    auth: AuthSettings = AuthSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    policy: PolicySettings = PolicySettings()

    def all_workspaces(self) -> tuple[str, ...]:
        """``default`` and those in the settings, without repeats."""
        return tuple(dict.fromkeys(("default", *self.workspaces)))


def load_settings(
    path: str | Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Settings:
    """The settings from a YAML file, then the environment, then flags (``{"edge.port": 0}``; a value None is no flag).

    Raises SettingsInvalid, which names the place (``$.journal.path``), for whatever is misspelt or out of range.
    """
    tree = _read(Path(path)) if path is not None else {}
    for name, text in sorted((environment or {}).items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            keys = name[len(ENVIRONMENT_PREFIX) :].lower().split("__")
            _put(tree, keys, _parsed(text, keys), source=name)
    for dotted, value in (flags or {}).items():
        if value is not None:
            _put(tree, dotted.split("."), value, source=dotted)
    return settings_from(tree)


def settings_from(tree: Mapping[str, Any]) -> Settings:
    """The settings from plain data. Raises SettingsInvalid."""
    try:
        return msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise SettingsInvalid(_explain(str(error))) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsInvalid(f"{path}: {error.strerror or 'cannot be read'}") from None
    if len(text) > FILE_BYTES_MAX:
        raise SettingsInvalid(f"{path}: larger than {FILE_BYTES_MAX} bytes")
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
    return tree


def _put(tree: dict[str, Any], keys: list[str], value: Any, *, source: str) -> None:
    """Set one value deep in the tree; the tree stays plain data until all of it is checked at once."""
    place = tree
    for key in keys[:-1]:
        deeper = place.setdefault(key, {})
        if deeper is None:
            deeper = place[key] = {}
        if not isinstance(deeper, dict):
            raise SettingsInvalid(f"{source}: {_place(keys)} is not a group of settings")
        place = deeper
    place[keys[-1]] = value


def _parsed(text: str, keys: list[str]) -> Any:
    """An environment variable's text as the field's type wants it: text stays text, all else is read as YAML."""
    if _wants_text(keys):
        return None if text == "null" else text
    try:
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        raise SettingsInvalid(f"{_place(keys)}: not well-formed YAML") from None


def _wants_text(keys: list[str]) -> bool:
    """True where the setting of that name is text; an unknown name is told later, with all the others."""
    kind: Any = Settings
    for key in keys:
        if not (isinstance(kind, type) and issubclass(kind, Struct)):
            return False
        kind = typing.get_type_hints(kind).get(key)
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return str in options or any(
        isinstance(option, type) and issubclass(option, str) for option in options
    )


def _place(keys: list[str]) -> str:
    return "$." + ".".join(keys)


_UNKNOWN: Final = re.compile(r"^Object contains unknown field `(.*?)`(?: - at `\$\.?(.*?)`)?$")


def _explain(text: str) -> str:
    """msgspec names the group that holds an unknown key; people look for the key."""
    found = _UNKNOWN.match(text)
    if found is None:
        return text if " - at " in text else f"{text} - at `$`"
    key, group = found.group(1), found.group(2) or ""
    kind: Any = Settings
    for part in filter(None, group.split(".")):
        kind = typing.get_type_hints(kind).get(part) if isinstance(kind, type) else None
    known = list(getattr(kind, "__struct_fields__", ()))
    near = difflib.get_close_matches(key, known, n=1)
    place = f"$.{group}.{key}" if group else f"$.{key}"
    return f"unknown setting `{place}`" + (f"; did you mean `{near[0]}`?" if near else "")
