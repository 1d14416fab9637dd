"""The servers of a store seen from one thread: which node holds a key, and requests to several nodes at once.

A standalone server is one node. Sentinels are asked for the present master, whose role is then checked, because a sentinel can be
late. In a cluster the slot of a key decides; ``MOVED`` and ``ASK`` are followed. When a connection is lost, or a node answers that
it is not the right one, the nodes are asked again before the next request.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct
from redis.crc import key_slot

from router.journal.redis.address import Node, StoreAddress, StoreKind, node_label
from router.journal.redis.connection import (
    Command,
    Reply,
    StoreConnection,
    StoreError,
    StoreOptions,
    StoreRefusal,
    StoreUnreachable,
)

SLOT_COUNT: Final = 16_384
# Answers that say that the node is not, or no longer, the one to ask, or that it has to be prepared again.
_WRONG_NODE_CODES: Final = frozenset({"MOVED", "ASK", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "LOADING", "NOSCRIPT"})


class Request(Struct, frozen=True):
    """A command, and the key that decides which node gets it."""

    key: str
    command: Command


class StoreClient:
    """Connections to the nodes of one store. Not thread-safe: every thread has its own client."""

    def __init__(
        self,
        address: StoreAddress,
        options: StoreOptions,
        *,
        on_connect: Callable[[StoreConnection], None] | None = None,
        new_connection: Callable[[Node, StoreOptions], StoreConnection] = StoreConnection,
    ) -> None:
        """``on_connect`` prepares each new connection; it raises StoreError, or JournalError for a server that cannot be used."""
        self._new_connection = new_connection
        self._address = address
        self._options = options
        self._on_connect = on_connect
        self._connections: dict[Node, StoreConnection] = {}
        self._single: Node | None = None
        self._slots: list[tuple[int, int, Node]] = []
        """First and last slot of each range, with its master."""
        self._asking: dict[int, Node] = {}
        """Nodes to which slots are just being moved."""
        self.connects = 0
        """Connections made so far; a change says that the answers of ``WAIT`` no longer cover earlier writes."""

    def call(self, key: str, *command: str | bytes | int) -> Reply:
        """Send one command to the node of a key and return its reply. Raises StoreRefusal or StoreUnreachable."""
        [reply] = self.run([Request(key, command)])
        if isinstance(reply, StoreRefusal):
            raise reply
        return reply

    def run(self, requests: Sequence[Request]) -> list[Reply]:
        """Send requests, to all nodes at once, and return the replies in order; an error reply is a StoreRefusal in the list.

        Requests to one node are executed in order. Raises StoreUnreachable; any of the requests may then have been executed.
        """
        return self.run_and_wait(requests, (), wait_s=0.0)[0]

    def run_and_wait(
        self, requests: Sequence[Request], waits: Sequence[Command], *, wait_s: float
    ) -> tuple[list[Reply], list[Reply]]:
        """Like ``run``, and send ``waits`` to each of the nodes behind its requests; return the replies to the last one apart.

        ``wait_s``: time that each of them may block the server.
        """
        by_node: dict[Node, list[int]] = {}
        for place, request in enumerate(requests):
            by_node.setdefault(self._node_of(request.key), []).append(place)
        batches: list[tuple[StoreConnection, list[int], list[Command]]] = []
        for node, places in by_node.items():
            connection = self._connection_to(node)
            commands: list[Command] = []
            for place in places:
                if self._asking and self._is_asking(requests[place].key, node):
                    commands.append(("ASKING",))
                commands.append(requests[place].command)
            batches.append((connection, places, [*commands, *waits]))
        return self._exchange(batches, len(requests), wait_count=len(waits), wait_s=wait_s)

    def _exchange(
        self, batches: list[tuple[StoreConnection, list[int], list[Command]]], count: int, *, wait_count: int, wait_s: float
    ) -> tuple[list[Reply], list[Reply]]:
        replies: list[Reply] = [None] * count
        confirmed: list[Reply] = []
        try:
            for connection, _, commands in batches:
                connection.send(commands)
            for connection, places, commands in batches:
                found = connection.receive(len(commands), extra_s=wait_s)
                if wait_count:
                    confirmed.append(found[-1])
                    del found[-wait_count:]
                answers = [reply for command, reply in zip(commands, found, strict=False) if command[0] != "ASKING"]
                for place, reply in zip(places, answers, strict=True):
                    replies[place] = reply
        except BaseException:
            # Also the other connections: their replies have not been read.
            self.reset()
            raise
        self._follow_redirects(replies)
        return replies, confirmed

    def ping(self) -> None:
        """Check that the connections still lead to the same servers. Raises StoreError."""
        for connection in [*self._connections.values()] or self.nodes():
            try:
                connection.call("PING")
            except BaseException:
                self.reset()
                raise

    def nodes(self) -> list[StoreConnection]:
        """Return a connection to every master. Raises StoreError."""
        self._locate()
        masters = [self._single] if self._single is not None else list(dict.fromkeys(node for _, _, node in self._slots))
        return [self._connection_to(node) for node in masters]

    def reset(self) -> None:
        """Close all connections and forget which node holds what."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._single = None
        self._slots = []
        self._asking.clear()

    close = reset

    def _follow_redirects(self, replies: Sequence[Reply]) -> None:
        codes = {reply.code for reply in replies if isinstance(reply, StoreRefusal)}
        if not codes & _WRONG_NODE_CODES:
            return
        asked = [reply for reply in replies if isinstance(reply, StoreRefusal) and reply.code == "ASK"]
        if asked and codes & _WRONG_NODE_CODES == {"ASK"}:
            for reply in asked:
                _, slot, place = str(reply).split(" ")[:3]
                host, _, port = place.rpartition(":")
                self._asking[int(slot)] = (host, int(port))
        else:
            self.reset()

    def _is_asking(self, key: str, node: Node) -> bool:
        return self._asking.get(key_slot(key.encode())) == node

    def _node_of(self, key: str) -> Node:
        if self._address.kind is not StoreKind.CLUSTER:
            if self._single is None:
                self._locate()
            assert self._single is not None
            return self._single
        if not self._slots:
            self._locate()
        slot = key_slot(key.encode())
        if slot in self._asking:
            return self._asking[slot]
        for first, last, node in self._slots:
            if first <= slot <= last:
                return node
        self._slots = []
        raise StoreUnreachable(f"{self._address.label}: no node of the cluster serves slot {slot}")

    def _locate(self) -> None:
        match self._address.kind:
            case StoreKind.SINGLE:
                self._single = self._address.nodes[0]
            case StoreKind.SENTINEL:
                if self._single is None:
                    self._single = self._ask_sentinels()
            case StoreKind.CLUSTER:
                if not self._slots:
                    self._slots = self._ask_cluster()

    def _ask_sentinels(self) -> Node:
        reasons = []
        for sentinel in self._address.nodes:
            try:
                connection = StoreConnection(sentinel, _sentinel_options(self._options))
                try:
                    reply = connection.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._address.service)
                finally:
                    connection.close()
            except StoreError as error:
                reasons.append(str(error))
                continue
            if reply:
                host, port = reply
                return host.decode(), int(port)
            reasons.append(f"{node_label(sentinel)}: this sentinel does not know the service")
        raise StoreUnreachable(f"no sentinel names a master: {'; '.join(reasons)}")

    def _ask_cluster(self) -> list[tuple[int, int, Node]]:
        reasons = []
        for node in dict.fromkeys((*self._connections, *self._address.nodes)):
            try:
                connection = StoreConnection(node, self._options)
                try:
                    reply = connection.call("CLUSTER", "SLOTS")
                finally:
                    connection.close()
            except StoreError as error:
                reasons.append(str(error))
                continue
            return [(first, last, (_host(master[0], node), master[1])) for first, last, master, *_ in reply]
        raise StoreUnreachable(f"no node of the cluster answers: {'; '.join(reasons)}")

    def _connection_to(self, node: Node) -> StoreConnection:
        connection = self._connections.get(node)
        if connection is None:
            try:
                connection = self._new_connection(node, self._options)
                self.connects += 1
                self._check_role(connection)
                if self._on_connect is not None:
                    self._on_connect(connection)
            except BaseException:
                if connection is not None:
                    connection.close()
                self.reset()
                raise
            self._connections[node] = connection
        return connection

    def _check_role(self, connection: StoreConnection) -> None:
        if self._address.kind is StoreKind.SENTINEL and connection.call("ROLE")[0] != b"master":
            raise StoreUnreachable(f"{node_label(connection.node)}: is not the master; the sentinels have not noticed yet")


def _sentinel_options(options: StoreOptions) -> StoreOptions:
    # Sentinels have no databases; a password is set on the servers.
    return StoreOptions(is_tls=options.is_tls, ca_path=options.ca_path, timeout_s=options.timeout_s)


def _host(host: bytes | None, asked: Node) -> str:
    # A node that does not know its own address yet gives none: it is the one that was asked.
    return host.decode() if host else asked[0]
