"""Settings of the store: a Redis or Valkey server that holds the journal instead of files on this machine.

They are part of the settings of the process (``router.settings``), which reads and checks them.
"""

from enum import StrEnum
from typing import Annotated, TypeAlias

from msgspec import Meta

from router.context_settings import SettingsStruct

AdvertisedUrl: TypeAlias = Annotated[
    str,
    Meta(
        max_length=300,
        pattern=r"^https?://[A-Za-z0-9._:\[\]-]+(?!\n)$",
        extra={"rule": "must be http:// or https:// with host and port only"},
    ),
]


class Durability(StrEnum):
    """What has confirmed a commit before it is acknowledged."""

    LEADER = "leader"
    FSYNC = "fsync"
    REPLICA = "replica"
    REPLICA_FSYNC = "replica_fsync"


class StoreSettings(SettingsStruct, frozen=True, kw_only=True):
    """Store: a Redis or Valkey server for the journal."""

    url: Annotated[str, Meta(min_length=8, max_length=2048)] | None = None
    """Server that holds the journal: `redis://host:6379/0`, `rediss://…` with TLS,
    `redis+sentinel://host:26379,host:26379/SERVICE/0`, or `redis+cluster://host:6379,host:6379` (`rediss+sentinel`,
    `rediss+cluster` with TLS). Null: the journal is the file `journal.path`."""
    password_path: str | None = None
    """File with the password, read at each connection, so that it can be changed while the router runs. Null: the one in `url`."""
    ca_path: str | None = None
    """PEM file with the certificates that sign the server's; null: those of the system."""
    secret_path: str | None = None
    """File with at least 32 bytes, the same on all nodes, with which what the nodes share of secrets is encrypted: those of the
    hashes of idempotency keys. Null: they are in the store as they are, and a copy of it is enough to try keys against hashes."""
    prefix: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}(?!\n)$", extra={"rule": "must be 1 to 32 of a-z, 0-9 and -"})] = "rt"
    """First part of all key names. Routers with different prefixes can use one server."""
    durability: Durability = Durability.REPLICA
    """What confirms a command before it is acknowledged: `leader` (the server has it in memory), `fsync` (it is on the server's
    disk), `replica` (a replica has it in memory) or `replica_fsync` (it is on the disks of the server and of a replica). A server
    that cannot give it refuses the start. docs/how-to/redis.md says what each survives."""
    lease_s: Annotated[int, Meta(ge=5, le=60)] = 10
    """Lifetime of the lease of a workspace. Another node can take over that long after this one was last heard of."""
    call_timeout_ms: Annotated[int, Meta(ge=100, le=60_000)] = 2_000
    """Maximum time for connecting to the server and for an answer; beyond it the connection is closed and the outcome is read
    back."""
    outage_s_max: Annotated[int, Meta(ge=1, le=3_600)] = 60
    """Time that commands wait while the server cannot be reached or cannot give the durability; beyond it the process ends."""
    event_count_max: Annotated[int, Meta(ge=1_000, le=1_000_000_000)] = 1_000_000
    """Events of a workspace that stay in the store, about 0.5 KB each; older ones are moved to archive files below
    `journal.archive_path`, as far as a start does not need them."""
    shared: bool = False
    """Whether several routers use the store at once. Each workspace then has one leader, every router takes all connections, and
    another one goes on where one ends. All of them need it. docs/how-to/cluster.md"""
    standby_count: Annotated[int, Meta(ge=0, le=100)] | None = None
    """With `shared`: number of routers beside its leader that follow each workspace, to go on at once when the leader ends. Further
    ones begin when a connection or a request of theirs needs it, and end `follow_idle_s` after the last one. Null: every router
    follows every workspace. docs/how-to/cluster.md"""
    follow_idle_s: Annotated[int, Meta(ge=5, le=86_400)] = 300
    """With `standby_count`: time after which a router follows a workspace no longer that it does not need."""
    advertise_url: AdvertisedUrl | None = None
    """With `shared`: name of this router as an address, `https://router-a.example.com`. Clients are told that of the router that
    leads their workspace (`leader_url`, `Router-Leader`), and `router cluster status` asks each router at it. Null: clients are
    told nothing, and it is the address at which the router listens. docs/how-to/cluster.md"""
    accept_volatile: bool = False
    """Whether a server without an append-only file is accepted. Its restart loses the history."""
