"""Reading the state of all routers on a store, from the store alone, whether routers run or not.

Only reads, apart from the removal of members that have been silent for long. Each part that cannot be read becomes a problem in
the result, so that the rest is still shown.
"""

from typing import Any, Final

import msgspec

from router.cluster.membership import MEMBERS_MAX, Member
from router.cluster.redis.scripts import ANNOUNCE, SHARED_SCRIPTS
from router.cluster.status import ClusterStatus, FollowerStatus, NodeStatus, ServerStatus, WorkspaceStatus, problems_of_workspace
from router.journal.redis.address import StoreAddress, node_label, parse_address
from router.journal.redis.client import Request, StoreClient
from router.journal.redis.connection import StoreConnection, StoreError, StoreOptions, StoreRefusal
from router.journal.redis.layout import IMPORT_FIELD, META_FIELDS, Meta, WorkspaceKeys, directory_key, store_key
from router.journal.redis.preflight import ServerUnfit, check_server, read_figures, server_version
from router.journal.redis.scripts import evalsha
from router.store_settings import StoreSettings

_TIMEOUT_S_MAX: Final = 1.0
# Share of the lifetime of a lease within which a member is heard of again.
_BOUND_SHARE: Final = 0.6


def read_cluster_status(settings: StoreSettings) -> ClusterStatus:
    """Return the state as the store has it. Blocks for at most a few times ``store.call_timeout_ms``. Raises SettingsInvalid."""
    assert settings.url is not None
    address = parse_address(settings.url)
    options = StoreOptions.of(settings, address)
    options = msgspec.structs.replace(options, timeout_s=min(options.timeout_s, _TIMEOUT_S_MAX))
    client = StoreClient(address, options, on_connect=_load_scripts)
    try:
        return _StatusReader(client, settings, address).read()
    finally:
        client.close()


class _StatusReader:
    def __init__(self, client: StoreClient, settings: StoreSettings, address: StoreAddress) -> None:
        self._client = client
        self._settings = settings
        self._address = address
        self._problems: list[str] = []
        self._found: list[Member] = []

    def read(self) -> ClusterStatus:
        servers: list[ServerStatus] = []
        workspaces: list[WorkspaceStatus] = []
        members: list[NodeStatus] = []
        try:
            servers = [self._server(connection) for connection in self._client.nodes()]
            found = self._members()
            members = [_node_status(member, age) for member, age in found]
            self._found = [member for member, _ in found]
            workspaces = self._workspaces(frozenset(node.node_id for node in members))
        except (StoreError, ValueError) as error:
            self._problems.append(f"the store cannot be read: {error}")
        known = {node.node_id for node in members}
        leaders = dict.fromkeys(one.leader for one in workspaces if one.leader is not None and one.leader not in known)
        for one in workspaces:
            self._problems += problems_of_workspace(one)
        return ClusterStatus(
            healthy=not self._problems,
            problems=tuple(self._problems),
            store=self._address.label,
            durability=str(self._settings.durability),
            servers=tuple(servers),
            nodes=(*members, *(NodeStatus(node_id=name, is_member=False) for name in leaders)),
            workspaces=tuple(workspaces),
        )

    def _server(self, connection: StoreConnection) -> ServerStatus:
        figures, version, problem = read_figures(connection), server_version(connection), None
        try:
            check_server(connection, self._address, self._settings)
        except ServerUnfit as error:
            problem = str(error)
            self._problems.append(problem)
        return ServerStatus(
            address=node_label(connection.node),
            version=version,
            memory_bytes=figures.memory_bytes,
            memory_max_bytes=figures.memory_max_bytes,
            replicas=figures.replicas,
            problem=problem,
        )

    def _members(self) -> list[tuple[Member, int]]:
        key = f"{self._settings.prefix}:nodes"
        bound_ms = int(_BOUND_SHARE * self._settings.lease_s * 1_000)
        reply = self._client.call(key, *evalsha(ANNOUNCE, [key], bound_ms, MEMBERS_MAX))
        found = [(msgspec.json.decode(text, type=Member), int(age)) for text, age in zip(reply[::2], reply[1::2], strict=True)]
        return sorted(found, key=lambda one: one[0].node_id)

    def _workspaces(self, members: frozenset[str]) -> list[WorkspaceStatus]:
        store = self._fields(store_key(self._settings.prefix))
        if IMPORT_FIELD in store:
            self._problems.append("the store holds an import that is not finished: no router serves it (router journal import)")
        directory = self._fields(directory_key(self._settings.prefix))
        if not directory and IMPORT_FIELD not in store:
            self._problems.append(f"the store has no journal under store.prefix {self._settings.prefix}")
        names = sorted(directory, key=lambda name: (int(directory[name]), name))
        requests: list[Request] = []
        for name in names:
            keys = WorkspaceKeys.of(self._settings.prefix, name)
            requests += (
                Request(keys.meta, ("HMGET", keys.meta, *META_FIELDS)),
                Request(keys.meta, ("GET", keys.lease)),
                Request(keys.meta, ("PTTL", keys.lease)),
                Request(keys.meta, ("XLEN", keys.inbound)),
                Request(keys.meta, ("HGETALL", f"{keys.base}:readers")),
            )
        replies = self._client.run(requests)
        for reply in replies:
            if isinstance(reply, StoreRefusal):
                raise reply
        found = (self._workspace(name, replies[5 * place : 5 * place + 5], members) for place, name in enumerate(names))
        return [one for one in found if one is not None]

    def _workspace(self, name: str, replies: list[Any], members: frozenset[str]) -> WorkspaceStatus | None:
        fields, holder, lease_ms, waiting, readers = replies
        meta = Meta.from_reply(fields)
        if meta is None:
            self._problems.append(f"workspace {name}: the store has lost its log (docs/how-to/redis.md)")
            return None
        leader = None if holder is None else holder.decode().partition(".")[0]
        followers = []
        for reader, entry_id in zip(readers[::2], readers[1::2], strict=True):
            node_id, seq = reader.decode(), int(entry_id.rpartition(b"-")[2])
            # What a node has noted stays when it is gone, and lags more and more.
            if node_id in members and node_id != leader:
                followers.append(FollowerStatus(node_id=node_id, seq=seq, lag_events=max(0, meta.seq - seq)))
        return WorkspaceStatus(
            workspace=name,
            leader=leader,
            lease_ms=max(0, lease_ms),
            epoch=meta.epoch,
            seq=meta.seq,
            first_seq=meta.first_seq,
            waiting_commands=waiting,
            followers=tuple(sorted(followers, key=lambda one: one.node_id)),
            followed_by=tuple(one.node_id for one in self._found if one.follows is not None and one.is_following(name)),
        )

    def _fields(self, key: str) -> dict[str, bytes]:
        reply = self._client.call(key, "HGETALL", key)
        return {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)}


def _node_status(member: Member, silent_ms: int) -> NodeStatus:
    return NodeStatus(
        node_id=member.node_id, url=member.url, version=member.version, is_draining=member.is_draining, silent_ms=silent_ms
    )


def _load_scripts(connection: StoreConnection) -> None:
    for reply in connection.run([("SCRIPT", "LOAD", script.text) for script in SHARED_SCRIPTS]):
        if isinstance(reply, StoreRefusal):
            raise reply
