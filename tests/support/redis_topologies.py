"""Several servers: a master with replicas, a cluster of three nodes, and sentinels."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.support.redis_server import RedisServer, free_ports, valkey_program, wait_until

SERVICE: Final = "main"
_SLOTS: Final = 16_384


def start_replica(directory: Path, master: RedisServer, **options: Any) -> RedisServer:
    """Start a replica and wait until its master sees it online."""
    replica = RedisServer(directory, replicaof=f"127.0.0.1 {master.port}", repl_diskless_sync_delay="0", **options).start()
    wait_until_online(master, 1)
    return replica


def wait_until_online(master: RedisServer, count: int) -> None:
    """Wait until a master has this many replicas that are online and good."""
    with master.client() as client:
        wait_until(lambda: _online(client) >= count)
        wait_until(lambda: client.info("replication").get("min_slaves_good_slaves", count) >= count)


def _online(client: Any) -> int:
    found = client.info("replication")
    return sum(
        1 for name, value in found.items() if name.startswith("slave") and isinstance(value, dict) and value["state"] == "online"
    )


@contextmanager
def cluster(directory: Path, *, nodes: int = 3) -> Iterator[list[RedisServer]]:
    """Provide a cluster of masters. Each node gets its announced address and bus port, as they share one machine."""
    ports = free_ports(2 * nodes)
    servers = [
        RedisServer(
            directory / f"node-{place}",
            port=ports[2 * place],
            cluster_enabled="yes",
            cluster_config_file="nodes.conf",
            cluster_node_timeout="2000",
            cluster_announce_ip="127.0.0.1",
            cluster_announce_port=str(ports[2 * place]),
            cluster_announce_bus_port=str(ports[2 * place + 1]),
            cluster_port=str(ports[2 * place + 1]),
        )
        for place in range(nodes)
    ]
    try:
        for place, server in enumerate(servers):
            server.start()
            with server.client() as client:
                first, last = _SLOTS * place // nodes, _SLOTS * (place + 1) // nodes - 1
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
        with servers[0].client() as client:
            for place, server in enumerate(servers[1:], start=1):
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", server.port, ports[2 * place + 1])
        for server in servers:
            wait_until(lambda server=server: _is_complete(server, nodes))
        yield servers
    finally:
        for server in servers:
            server.kill()


def _is_complete(server: RedisServer, nodes: int) -> bool:
    with server.client() as client:
        found = client.execute_command("CLUSTER", "INFO")
        text = found if isinstance(found, dict) else {}
        if not text:
            return b"cluster_state:ok" in found and f"cluster_known_nodes:{nodes}".encode() in found
        return text.get("cluster_state") == "ok" and text.get("cluster_known_nodes") == str(nodes)


def cluster_url(servers: list[RedisServer]) -> str:
    """Return the address of a cluster."""
    return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in servers)


@contextmanager
def sentinels(directory: Path, master: RedisServer, *, count: int = 3, down_after_ms: int = 1_000) -> Iterator[list[int]]:
    """Provide the ports of sentinels that watch a master."""
    ports = free_ports(count)
    started: list[RedisServer] = []
    try:
        for port in ports:
            place = directory / f"sentinel-{port}"
            place.mkdir(parents=True)
            (place / "sentinel.conf").write_text(
                f"port {port}\nbind 127.0.0.1\ndir {place}\n"
                f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} {count // 2 + 1}\n"
                f"sentinel down-after-milliseconds {SERVICE} {down_after_ms}\n"
                f"sentinel failover-timeout {SERVICE} 5000\n"
            )
            started.append(_Sentinel(place, port=port).start())
        for one in started:
            with one.client() as client:
                wait_until(lambda client=client: _knows(client, count))
        yield ports
    finally:
        for one in started:
            one.kill()


class _Sentinel(RedisServer):
    def start(self) -> "_Sentinel":
        import subprocess

        with (self.directory / "server.log").open("ab") as log:
            arguments = [valkey_program(), str(self.directory / "sentinel.conf"), "--sentinel"]
            self._process = subprocess.Popen(arguments, stdout=log, stderr=log)
        self.wait_ready()
        return self


def _knows(client: Any, count: int) -> bool:
    found = client.execute_command("SENTINEL", "MASTER", SERVICE)
    fields = found if isinstance(found, dict) else dict(zip(found[::2], found[1::2], strict=True))
    text = {_text(name): _text(value) for name, value in fields.items()}
    return text["num-other-sentinels"] == str(count - 1) and int(text["num-slaves"]) >= 1


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def sentinel_url(ports: list[int]) -> str:
    """Return the address of the service behind sentinels."""
    return "redis+sentinel://" + ",".join(f"127.0.0.1:{port}" for port in ports) + f"/{SERVICE}"
