"""Checks of a server before it is used: each refusal says what to change there.

They run on every new connection of the writer, so also after a failover, and every few seconds while the router runs: a setting can
be changed, and a replica that becomes the master has its own.
"""

import secrets
import time
from typing import Final

from msgspec import Struct

from router.journal.redis.address import StoreAddress, StoreKind, node_label
from router.journal.redis.connection import StoreConnection, StoreError, StoreRefusal
from router.journal.redis.scripts import ALL, CANARY
from router.store_settings import Durability, StoreSettings

_VERSION_MIN: Final = (7, 0)
_FSYNC_VERSION_MIN: Final = (7, 2)
# Redis before this version has a memory error in the unblocking of clients (CVE-2026-23479).
_REDIS_VERSION_ADVISED: Final = (8, 6, 3)
_CLOCK_DIFFERENCE_S_MAX: Final = 1.0
_SLOT_COUNT: Final = 16_384

_FSYNC_LEVELS: Final = frozenset({Durability.FSYNC, Durability.REPLICA_FSYNC})
_REPLICA_LEVELS: Final = frozenset({Durability.REPLICA, Durability.REPLICA_FSYNC})


class ServerUnfit(StoreError):
    """A server that must not hold a journal as it is set up; the message says what to change."""


def prepare_connection(connection: StoreConnection, address: StoreAddress, settings: StoreSettings) -> None:
    """Check the server behind a connection and load the scripts into it. Raises ServerUnfit, StoreRefusal or StoreUnreachable."""
    check_server(connection, address, settings)
    _check_rights(connection, settings.prefix)
    for reply in connection.run([("SCRIPT", "LOAD", script.text) for script in ALL]):
        if isinstance(reply, StoreRefusal):
            raise reply


class ServerFigures(Struct, frozen=True, kw_only=True):
    """What a server says about itself."""

    memory_bytes: int
    memory_max_bytes: int
    replicas: int
    """Replicas that are online."""


def check_server(connection: StoreConnection, address: StoreAddress, settings: StoreSettings) -> ServerFigures:
    """Check version, role, memory, persistence and replicas of a server, and return its figures.

    Raises ServerUnfit, StoreRefusal or StoreUnreachable.
    """
    try:
        found = parse_info(connection.call("INFO"))
    except StoreRefusal as error:
        raise _lacks_right(connection, error) from error
    place = node_label(connection.node)
    for problem in (
        _version_problem(found, settings.durability),
        _mode_problem(found, address.kind),
        _role_problem(found),
        _memory_problem(found),
        _persistence_problem(found, settings),
        _replica_problem(found, settings.durability),
    ):
        if problem is not None:
            raise ServerUnfit(f"{place}: {problem}")
    if address.kind is StoreKind.CLUSTER:
        _check_cluster(connection)
    return figures_of(found)


def read_figures(connection: StoreConnection) -> ServerFigures:
    """Return the figures of a server, however it is set up. Raises StoreError."""
    return figures_of(parse_info(connection.call("INFO")))


def server_version(connection: StoreConnection) -> str:
    """Return the name and version of a server. Raises StoreError."""
    found = parse_info(connection.call("INFO"))
    if "valkey_version" in found:
        return f"Valkey {found['valkey_version']}"
    return f"Redis {found.get('redis_version', 'of unknown version')}"


def figures_of(found: dict[str, str]) -> ServerFigures:
    """Return the figures in the answer to ``INFO``."""
    return ServerFigures(
        memory_bytes=_number(found, "used_memory"), memory_max_bytes=_number(found, "maxmemory"), replicas=_online_replicas(found)
    )


def _number(found: dict[str, str], name: str) -> int:
    text = found.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else 0


def _online_replicas(found: dict[str, str]) -> int:
    return sum(1 for name, value in found.items() if name.startswith("slave") and name[5:].isdigit() and "state=online" in value)


def warnings_of(connection: StoreConnection) -> list[str]:
    """Return what is not wrong, but advised to be changed. Raises StoreError."""
    seconds, microseconds = connection.call("TIME")
    difference_s = abs(int(seconds) + int(microseconds) / 1e6 - time.time())
    found = parse_info(connection.call("INFO"))
    place = node_label(connection.node)
    warnings = []
    if difference_s > _CLOCK_DIFFERENCE_S_MAX:
        warnings.append(f"{place}: its clock differs from the one of this machine by {difference_s:.1f} s; set both by NTP")
    if "valkey_version" not in found and _version_of(found) < _REDIS_VERSION_ADVISED:
        warnings.append(f"{place}: Redis {found.get('redis_version')} has known defects; update it to 8.6.3 or later")
    if found.get("maxmemory") == "0":
        warnings.append(f"{place}: maxmemory is not set; set it, so that a full server refuses writes instead of being killed")
    return warnings


def _version_of(found: dict[str, str]) -> tuple[int, ...]:
    text = found.get("valkey_version") or found.get("redis_version") or "0"
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())


def _version_problem(found: dict[str, str], level: Durability) -> str | None:
    version = _version_of(found)
    if version < _VERSION_MIN:
        return "the server is too old; Redis 7.0 or later, or Valkey, is needed"
    if level in _FSYNC_LEVELS and version < _FSYNC_VERSION_MIN:
        return f"store.durability {level} needs Redis 7.2 or later, or Valkey; update the server or choose leader or replica"
    return None


def _mode_problem(found: dict[str, str], kind: StoreKind) -> str | None:
    is_cluster = found.get("cluster_enabled") == "1" or found.get("redis_mode") == "cluster"
    if found.get("redis_mode") == "sentinel":
        return "this is a sentinel, not a server: write store.url as redis+sentinel://host:26379/SERVICE"
    if is_cluster and kind is not StoreKind.CLUSTER:
        return "the server is a node of a cluster: write store.url as redis+cluster://…"
    if not is_cluster and kind is StoreKind.CLUSTER:
        return "the server is not a node of a cluster: write store.url as redis://…, or set cluster-enabled yes"
    return None


def _role_problem(found: dict[str, str]) -> str | None:
    if found.get("role") == "master":
        return None
    return "the server is a replica, which accepts no writes: give the address of the master in store.url, or use redis+sentinel://"


def _memory_problem(found: dict[str, str]) -> str | None:
    policy = found.get("maxmemory_policy")
    if policy == "noeviction":
        return None
    return (
        f"maxmemory-policy is {policy}, with which a full server deletes the journal: "
        "set maxmemory-policy noeviction (CONFIG SET, and in its configuration file)"
    )


def _persistence_problem(found: dict[str, str], settings: StoreSettings) -> str | None:
    if found.get("aof_enabled") == "1":
        if found.get("aof_last_write_status", "ok") != "ok":
            return "its append-only file could not be written the last time: check the disk of the server"
        return None
    if settings.durability in _FSYNC_LEVELS:
        return f"appendonly is no, but store.durability {settings.durability} needs it: set appendonly yes"
    if settings.accept_volatile:
        return None
    return (
        "appendonly is no, so a restart of the server loses the history: set appendonly yes "
        "(CONFIG SET, and in its configuration file), or store.accept_volatile: true for a trial"
    )


def _replica_problem(found: dict[str, str], level: Durability) -> str | None:
    if level not in _REPLICA_LEVELS:
        return None
    if not _online_replicas(found):
        return (
            f"the server has no replica that is online, but store.durability is {level}: "
            "add one (replicaof), or set store.durability to leader or fsync"
        )
    if "min_slaves_good_slaves" not in found:
        return (
            f"min-replicas-to-write is 0, so a master that is cut off goes on accepting writes: for store.durability {level} set "
            "min-replicas-to-write 1 and min-replicas-max-lag 10 on the master and on its replicas"
        )
    return None


def _check_cluster(connection: StoreConnection) -> None:
    found = parse_info(connection.call("CLUSTER", "INFO"))
    place = node_label(connection.node)
    if found.get("cluster_slots_assigned") != str(_SLOT_COUNT):
        raise ServerUnfit(
            f"{place}: only {found.get('cluster_slots_assigned')} of {_SLOT_COUNT} slots of the cluster are assigned to nodes: "
            "complete it with `redis-cli --cluster fix`"
        )
    if found.get("cluster_state") != "ok":
        raise ServerUnfit(
            f"{place}: the state of the cluster is {found.get('cluster_state')}: `redis-cli --cluster check` says why"
        )


def _check_rights(connection: StoreConnection, prefix: str) -> None:
    """Try the commands of the scripts on keys of their own, in one slot, that are removed again."""
    base = f"{prefix}:{{check-{secrets.token_hex(8)}}}"
    keys = [f"{base}:hash", f"{base}:stream", f"{base}:string"]
    [reply] = connection.run([("EVAL", CANARY.text, 3, *keys)])
    if isinstance(reply, StoreRefusal):
        if reply.code in {"MOVED", "OOM"}:
            # In a cluster another node has that slot; a full server is noticed by the writes.
            return
        if reply.is_temporary and reply.code != "NOPERM":
            raise reply
        raise _lacks_right(connection, reply)


def _lacks_right(connection: StoreConnection, error: StoreRefusal) -> StoreError:
    if error.code != "NOPERM" and "ACL" not in str(error):
        return error
    return ServerUnfit(
        f"{node_label(connection.node)}: the user of store.url lacks a right ({error}); docs/how-to/redis.md lists them"
    )


def parse_info(text: bytes) -> dict[str, str]:
    lines = (line.partition(":") for line in text.decode(errors="replace").splitlines() if not line.startswith("#"))
    return {name: value.strip() for name, separator, value in lines if separator}
