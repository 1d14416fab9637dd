"""Admission control: what one credential, one client address and all clients together may use of the server.

Rates are token buckets (capacity ``burst``, refilled at ``per_s``). The number of buckets is bounded: the one used longest
ago is evicted first. A key whose bucket was evicted starts with a full one; in a table of the configured size the evicted
bucket is normally full again by then.

Every credential has one ``CredentialUsage``: its rate, its requests in execution and its incomplete bodies. An agent has one
rate for HTTP and all sockets together, so that no way of access permits more than another. What every change of a state costs
is a record in the journal, so these changes have a rate of their own, by credential and the object that changes.

Failures are counted by client address and never delay a valid credential: a stranger behind the address of a contact centre
must not be able to lock it out.

The address of a client is that of its connection, unless that belongs to a trusted proxy: then it is the rightmost address in
the proxy's header that is not a trusted proxy itself, since every address left of it is whatever the client has sent. IPv6
clients count by their /64 network, the smallest that is given to one customer.
"""

import functools
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from router.model.commands import (
    Command,
    GuardedCommand,
    HoldAssignment,
    MonitorContact,
    ParkAssignment,
    ParkContact,
    PutAgent,
    ResumeAssignment,
    SetAgentChannels,
    SetAgentState,
    SetQueueOpen,
    StartConsult,
    SuspendContact,
    SwitchChannel,
    UnparkAssignment,
    UnparkContact,
    UpdateAgent,
    UpdateContact,
)
from router.model.errors import SettingsInvalid
from router.protocol.session import TokenBucket
from router.server.api.problems import ProblemError
from router.server.auth.credentials import Credential, Role
from router.settings import ProxyHeader, Settings

T = TypeVar("T")
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

# The longest delay of a new socket, reached when the burst of new sockets is used up.
CONNECT_DELAY_S_MAX: Final = 2.0
# How long a connection is not read after an invalid credential beyond the rate of failures.
FAILURE_PAUSE_S: Final = 1.0
# How many times as often as one credential may all supervisors together change one object.
SUPERVISORS_FACTOR: Final = 4
_SUPERVISING: Final = frozenset({Role.SUPERVISOR, Role.ADMIN})
# Commands that can be repeated without end, each time changing the state.
_STATE_CHANGES: Final[dict[type, str]] = {
    SetAgentState: "agent_id",
    SetAgentChannels: "agent_id",
    PutAgent: "agent_id",
    UpdateAgent: "agent_id",
    HoldAssignment: "agent_id",
    ResumeAssignment: "agent_id",
    ParkAssignment: "agent_id",
    UnparkAssignment: "agent_id",
    SetQueueOpen: "queue_id",
    UpdateContact: "contact_id",
    ParkContact: "contact_id",
    UnparkContact: "contact_id",
    SuspendContact: "contact_id",
    SwitchChannel: "contact_id",
    MonitorContact: "contact_id",
    StartConsult: "contact_id",
}


@functools.lru_cache(maxsize=16_384)
def client_group(address: str) -> str:
    """Return the key of an IP address for bounds per address: the address, or the /64 network of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)


class ClientAddresses:
    """Addresses of clients, with the header of trusted proxies."""

    def __init__(self, trusted_proxies: Iterable[str] = (), header: ProxyHeader = ProxyHeader.X_FORWARDED_FOR) -> None:
        """Raise SettingsInvalid if a trusted proxy is not an address or a network."""
        self._networks: list[_Network] = []
        self._header = str(header)
        for place, text in enumerate(trusted_proxies):
            try:
                self._networks.append(ipaddress.ip_network(text))
            except ValueError:
                raise SettingsInvalid(f"server.trusted_proxies[{place}]: not an IP address or network") from None

    def is_trusted(self, address: str) -> bool:
        """Return whether an address belongs to a trusted proxy."""
        if not self._networks:
            return False
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in network for network in self._networks if network.version == parsed.version)

    def of(self, peer: str, headers: Mapping[str, str]) -> str:
        """Return the key of the client behind a connection, for bounds per address."""
        if not self.is_trusted(peer):
            return client_group(peer)
        client = peer
        for element in reversed(headers.get(self._header, "").split(",")):
            address = _forwarded_address(element) if self._header == ProxyHeader.FORWARDED else _without_port(element)
            if not client_group(address):
                break  # Not an address: nothing further left can be trusted.
            client = address
            if not self.is_trusted(address):
                break
        return client_group(client)


def _forwarded_address(element: str) -> str:
    """Return the ``for`` address of an element of ``Forwarded`` (RFC 7239)."""
    for pair in element.split(";"):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "for":
            return _without_port(value.strip().strip('"'))
    return ""


def _without_port(text: str) -> str:
    """Return an address without its port and brackets."""
    text = text.strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


class NewBucket(Protocol):
    """Maker of the token bucket of a key; ``key`` is the same for the same bound on every node, and for no other bound."""

    def __call__(self, key: str, per_s: float, burst: float, *, now_ms: float, setting: str) -> TokenBucket:
        """Return a bucket for a key of which none is known here."""
        ...


def local_bucket(key: str, per_s: float, burst: float, *, now_ms: float, setting: str) -> TokenBucket:
    """Return a bucket of this process alone."""
    return TokenBucket(per_s, burst, now_ms=now_ms, setting=setting)


class RecentTable(Generic[T]):
    """Values by key, made on first use, at most ``keys_max``; the least recently used is dropped."""

    __slots__ = ("_entries", "_keys_max", "_make")

    def __init__(self, keys_max: int, make: Callable[[str], T]) -> None:
        self._keys_max = keys_max
        self._make = make
        self._entries: OrderedDict[str, T] = OrderedDict()

    def get(self, key: str) -> T:
        """Return the value of a key, which is then the most recently used."""
        entries = self._entries
        found = entries.get(key)
        if found is None:
            found = entries[key] = self._make(key)
            if len(entries) > self._keys_max:
                entries.popitem(last=False)
        else:
            entries.move_to_end(key)
        return found


class RateLimiter:
    """Token buckets by key, at most ``keys_max``; the least recently used is evicted."""

    def __init__(
        self,
        *,
        per_s: float,
        burst: float,
        keys_max: int,
        setting: str = "",
        now_s: Callable[[], float] = time.monotonic,
        new_bucket: NewBucket = local_bucket,
    ) -> None:
        def make(key: str) -> TokenBucket:
            return new_bucket(f"{setting}|{key}", per_s, burst, now_ms=now_s() * 1000, setting=setting)

        self._now_s = now_s
        self._buckets: RecentTable[TokenBucket] = RecentTable(keys_max, make)

    def take(self, key: str) -> float | None:
        """Take one token; return None, or the seconds to wait if the bucket is empty."""
        bucket = self._buckets.get(key)
        return None if bucket.try_acquire(self._now_s() * 1000) else bucket.wait_s

    def is_exhausted(self, key: str) -> bool:
        """Return whether there is no token now; takes none."""
        return self._buckets.get(key).is_exhausted(self._now_s() * 1000)

    def bucket(self, key: str) -> TokenBucket:
        """Return the bucket of a key."""
        return self._buckets.get(key)


class RateExceeded(NamedTuple):
    """A rate that is exceeded: which, and the time in seconds after which to try again."""

    detail: str
    wait_s: float


class CredentialUsage:
    """What one credential uses at the moment. All its requests and sockets share this object."""

    __slots__ = ("_control", "bodies", "bucket", "connects", "frames", "in_flight")

    def __init__(self, control: "AdmissionControl", bucket: TokenBucket, frames: TokenBucket, connects: TokenBucket) -> None:
        self._control = control
        self.bucket = bucket
        """Rate of the requests over HTTP."""
        self.frames = frames
        """Rate of the frames of its sockets: the same bucket, except for a gateway."""
        self.connects = connects
        """Rate of its new sockets."""
        self.in_flight = 0
        """Requests in execution."""
        self.bodies = 0
        """Incomplete request bodies."""

    def begin_body(self) -> None:
        """Count a body that is incomplete. Raises ProblemError at a limit."""
        self._control.begin_body(self)

    def end_body(self) -> None:
        """Count a body that is complete or was given up."""
        self._control.end_body(self)


class AdmissionControl:
    """Limits of the server by credential, client address and in total."""

    def __init__(
        self, settings: Settings, now_s: Callable[[], float] = time.monotonic, *, new_bucket: NewBucket = local_bucket
    ) -> None:
        """``new_bucket`` makes the buckets per credential, address and object; what all clients use together is of this process."""
        self._now_s = now_s
        self._new_bucket = new_bucket
        self.in_flight = 0
        """Requests in execution."""
        self.bodies = 0
        """Incomplete request bodies."""
        self._usages: dict[Role, RecentTable[CredentialUsage]] = {}
        self.apply(settings)

    def apply(self, settings: Settings) -> None:
        """Use the limits of these settings from now on; all rates start over. Raises SettingsInvalid."""
        self._server, self._sockets = server, sockets = settings.server, settings.sockets
        self._requests = settings.requests
        self.addresses = ClientAddresses(server.trusted_proxies, server.proxy_header)
        keys_max = server.credentials_tracked_max
        self._usages = {role: self._new_usages(role, keys_max) for role in Role}

        def limiter(setting: str, per_s: float, burst: float) -> RateLimiter:
            return RateLimiter(
                per_s=per_s, burst=burst, keys_max=keys_max, setting=setting, now_s=self._now_s, new_bucket=self._new_bucket
            )

        changes_per_s, changes_burst = server.state_changes_per_s, server.state_changes_burst
        self._failures = limiter("server.failed_logins_per_s", server.failed_logins_per_s, server.failed_logins_per_s * 2)
        self._state_changes = limiter("server.state_changes_per_s", changes_per_s, changes_burst)
        factor = SUPERVISORS_FACTOR
        self._supervisors_changes = limiter("server.state_changes_per_s", changes_per_s * factor, changes_burst * factor)
        requests = settings.requests
        self._customer_addresses = limiter("requests.address_per_s", requests.address_per_s, requests.address_burst)
        self._address_upgrades = limiter(
            "sockets.address_upgrades_per_s", sockets.address_upgrades_per_s, sockets.address_upgrades_per_s
        )

    def _new_usages(self, role: Role, keys_max: int) -> RecentTable[CredentialUsage]:
        server, sockets = self._server, self._sockets

        def bucket(key: str, setting: str, per_s: float, burst: float) -> TokenBucket:
            return self._new_bucket(f"{setting}|{role}|{key}", per_s, burst, now_ms=self._now_s() * 1000, setting=setting)

        def make(key: str) -> CredentialUsage:
            if role is Role.CUSTOMER:
                requests = self._requests
                frames = of_requests = bucket(key, "requests.token_per_s", requests.token_per_s, requests.token_burst)
                connects_burst = requests.token_burst
            elif role is Role.AGENT:
                frames = of_requests = bucket(key, "sockets.frames_per_s", sockets.frames_per_s, sockets.frames_burst)
                connects_burst = sockets.connects_burst
            else:
                frames = of_requests = bucket(key, "server.requests_per_s", server.requests_per_s, server.requests_burst)
                connects_burst = max(sockets.connects_burst, sockets.credential_connections_max)
            if role is Role.GATEWAY:
                frames = bucket(key, "sockets.gateway_frames_per_s", sockets.gateway_frames_per_s, sockets.gateway_frames_burst)
            connects = bucket(key, "sockets.connects_per_minute", sockets.connects_per_minute / 60, connects_burst)
            return CredentialUsage(self, of_requests, frames, connects)

        return RecentTable(keys_max, make)

    # --- credentials ------------------------------------------------------------------------------
    def usage(self, credential: Credential) -> CredentialUsage:
        """Return the usage of a credential."""
        return self._usages[credential.role].get(credential.rate_limit_key)

    def check_rate(self, usage: CredentialUsage) -> None:
        """Count a request of a credential. Raises ProblemError above its rate."""
        if not usage.bucket.try_acquire(self._now_s() * 1000):
            raise ProblemError(
                "rate_limited", usage.bucket.limit_text("requests"), retry_after_s=whole_seconds(usage.bucket.wait_s)
            )

    def check_customer_address(self, address: str) -> None:
        """Count a request of a customer for its client address. Raises ProblemError above the rate."""
        wait_s = self._customer_addresses.take(address)
        if wait_s is not None:
            raise ProblemError(
                "rate_limited",
                self._customer_addresses.bucket(address).limit_text("requests of customers of one address"),
                retry_after_s=whole_seconds(wait_s),
            )

    def check_customer_connect(self, usage: CredentialUsage, address: str) -> None:
        """Check the rate of new sockets of a customer, and count this one for its client address. Raises ProblemError."""
        wait_s = self.connect_wait_s(usage)
        if wait_s is not None:
            detail = usage.connects.limit_text("new sockets")
            raise ProblemError("rate_limited", detail, retry_after_s=whole_seconds(wait_s))
        self.check_customer_address(address)

    def begin(self, usage: CredentialUsage) -> None:
        """Count a request that is executed from now on. Raises ProblemError at a limit."""
        if usage.in_flight >= self._server.credential_in_flight_max:
            raise ProblemError(
                "rate_limited",
                f"{usage.in_flight:,} requests of this credential are in execution (`server.credential_in_flight_max`)",
            )
        if self.in_flight >= self._server.in_flight_max:
            raise ProblemError("busy", "the router has as many requests in execution as `server.in_flight_max` allows")
        usage.in_flight += 1
        self.in_flight += 1

    def end(self, usage: CredentialUsage) -> None:
        """Count a request that was answered or given up."""
        usage.in_flight -= 1
        self.in_flight -= 1

    def begin_body(self, usage: CredentialUsage) -> None:
        """Count a body that is incomplete. Raises ProblemError at a limit."""
        if usage.bodies >= self._server.credential_bodies_max:
            raise ProblemError(
                "rate_limited",
                f"{usage.bodies:,} request bodies of this credential are incomplete (`server.credential_bodies_max`)",
            )
        if self.bodies >= self._server.bodies_max:
            raise ProblemError("busy", "as many request bodies are incomplete as `server.bodies_max` allows")
        usage.bodies += 1
        self.bodies += 1

    def end_body(self, usage: CredentialUsage) -> None:
        """Count a body that is complete or was given up."""
        usage.bodies -= 1
        self.bodies -= 1

    def state_change_refusal(self, credential: Credential, command: Command) -> RateExceeded | None:
        """Count a change of an object; return what is exceeded if it changes too often.

        Each credential has a rate of its own for each object, so that an agent who changes their state all the time does not
        keep a supervisor from changing it, and a stranger does not keep a gateway from changing its contact. What an object can
        change in all is bounded as well: it has one owner, and all supervisors together have a rate for it.
        """
        if type(command) is GuardedCommand:
            command = command.command
        place = _STATE_CHANGES.get(type(command))
        if place is None:
            return None
        subject, now_ms = getattr(command, place), self._now_s() * 1000
        buckets = [(self._state_changes.bucket(f"{credential.role}|{place}|{subject}|{credential.rate_limit_key}"), "you")]
        if credential.role in _SUPERVISING:
            bucket = self._supervisors_changes.bucket(f"{place}|{subject}|{credential.workspace}")
            buckets.append((bucket, "all supervisors together"))
        exceeded = [(bucket, who) for bucket, who in buckets if bucket.is_exhausted(now_ms)]
        for bucket, _ in exceeded or buckets:
            bucket.try_acquire(now_ms)  # Where there is no token it fails, and makes the waiting time that of now.
        if not exceeded:
            return None
        bucket, who = max(exceeded, key=lambda entry: entry[0].wait_s)
        return RateExceeded(bucket.limit_text(f"changes of one {place.removesuffix('_id')} by {who}"), bucket.wait_s)

    # --- sockets ----------------------------------------------------------------------------------
    def connect_wait_s(self, usage: CredentialUsage) -> float | None:
        """Return the time in seconds until the credential may open a socket; None: it may now. Takes nothing."""
        connects, now_ms = usage.connects, self._now_s() * 1000
        if not connects.is_exhausted(now_ms):
            return None
        connects.try_acquire(now_ms)  # Fails, and makes the waiting time that of now.
        return connects.wait_s

    def count_connect(self, usage: CredentialUsage) -> float:
        """Count a new socket of a credential; return the time by which to delay it, in seconds."""
        connects = usage.connects
        connects.try_acquire(self._now_s() * 1000)
        beyond = connects.taken / connects.burst - 0.5
        return max(0.0, beyond) * 2 * CONNECT_DELAY_S_MAX

    # --- strangers --------------------------------------------------------------------------------
    def failure_wait_s(self, address: str) -> float | None:
        """Count an invalid credential; return the time in seconds after which to try again above the rate, else None."""
        return self._failures.take(address)

    def count_failed_login(self, address: str) -> None:
        """Count a request with an invalid credential. Raises ProblemError above the rate of its client address."""
        wait_s = self.failure_wait_s(address)
        if wait_s is not None:
            detail = self._failures.bucket(address).limit_text("invalid credentials of one address")
            raise ProblemError("rate_limited", detail, retry_after_s=whole_seconds(wait_s))

    def check_unauthenticated_upgrade(self, address: str) -> None:
        """Count an upgrade without a credential. Raises ProblemError above the rates of its client address."""
        if self._failures.is_exhausted(address):
            detail = self._failures.bucket(address).limit_text("invalid credentials of one address")
            raise ProblemError("rate_limited", detail, retry_after_s=1)
        wait_s = self._address_upgrades.take(address)
        if wait_s is not None:
            detail = self._address_upgrades.bucket(address).limit_text("upgrades of one address without a credential")
            raise ProblemError("rate_limited", detail, retry_after_s=whole_seconds(wait_s))


def whole_seconds(wait_s: float) -> int:
    """Return the seconds of a ``Retry-After``: rounded up, so that waiting this long is enough."""
    return max(1, math.ceil(wait_s))
