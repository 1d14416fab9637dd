"""A router on a real server, from outside: receipts and health, kill -9, an outage of the store, a loss that is accepted."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from router.journal.redis.layout import WorkspaceKeys
from router.server.auth.credentials import mint_token
from router.settings import load_settings
from tests.support.redis_server import RedisServer, wait_until

POLICY = "channels:\n  voice: {wrap_up_s: 60, offer_timeout_s: 60}\nqueues:\n  support: {}\n"


class StoreRouter:
    """``router serve --store`` in a process of its own."""

    def __init__(self, directory: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        self.directory = directory
        self._options = options
        self._environment = environment or {}
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "policy.yaml").write_text(POLICY)

    def command(self, *more: str) -> list[str]:
        data = ["--data", str(self.directory / "var"), "--policy", str(self.directory / "policy.yaml")]
        return [sys.executable, "-m", "router", "serve", *data, "--port", "0", "--admin-port", "0", *self._options, *more]

    def start(self, *more: str) -> "StoreRouter":
        environment = {**os.environ, **self._environment}
        self.process = subprocess.Popen(
            self.command(*more), cwd=self.directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if '"action":"started"' in line:
                self.url = json.loads(line)["url"]
                self.lines = lines
                return self
        raise AssertionError("".join(lines))

    def run(self, *more: str) -> tuple[int, str]:
        """Run until it ends by itself; return the exit code and the output."""
        environment = {**os.environ, **self._environment}
        done = subprocess.run(self.command(*more), cwd=self.directory, env=environment, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def request(self, method: str, path: str, body: Any = None, *, role: str = "gateway", timeout_s: float = 20) -> Any:
        settings = load_settings(flags={"journal.path": str(self.directory / "var" / "journal.db")})
        token = mint_token(settings, subject="web", role=role, workspace="default", lifetime_s=600)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return json.loads(answer.read())

    def submit(self, **options: Any) -> Any:
        return self.request("POST", "/v1/contacts", {"channel": "voice", "queue_id": "support"}, **options)

    def contacts_in_events(self) -> list[str]:
        events = self.request("GET", "/v1/events?limit=1000", role="admin")["events"]
        return [event["contact_id"] for event in events if event["type"] == "contact.queued"]

    def close_log(self) -> None:
        """Stop reading what it logs."""
        assert self.process.stdout is not None
        self.process.stdout.close()

    def kill(self, number: int = signal.SIGKILL) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(20)
        self.close_log()
        return code


NewRouter = Callable[..., StoreRouter]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.kill()


@pytest.fixture
def routers() -> Iterator[NewRouter]:
    made: list[StoreRouter] = []

    def new_router(*arguments: Any, **options: Any) -> StoreRouter:
        made.append(StoreRouter(*arguments, **options))
        return made[-1]

    yield new_router
    for router in made:
        if getattr(router, "process", None) is not None:
            router.kill()


def test_receipts_and_health_show_the_durability_and_a_kill_loses_nothing(
    server: RedisServer, tmp_path: Path, routers: NewRouter
) -> None:
    lease = {"ROUTER__STORE__LEASE_S": "60"}
    router = routers(tmp_path / "node", "--store", server.url, "--durability", "fsync", environment=lease).start()
    receipts = [router.submit() for _ in range(5)]
    assert {receipt["durability"] for receipt in receipts} == {"fsync"}
    assert router.request("GET", "/healthz")["durability"] == "fsync"
    router.kill()
    began_s = time.monotonic()
    router.start()
    # The same node need not wait until its lease expires.
    assert time.monotonic() - began_s < 45
    assert router.contacts_in_events() == [receipt["contact_id"] for receipt in receipts]
    again = router.submit()
    assert again["epoch"] == receipts[0]["epoch"] + 1 and again["seq"] == receipts[-1]["seq"] + 1
    assert again["history_id"] == receipts[0]["history_id"]
    assert router.kill(signal.SIGTERM) == 0


def test_the_environment_selects_the_store_and_files_have_no_level_in_receipts(
    server: RedisServer, tmp_path: Path, routers: NewRouter
) -> None:
    environment = {"ROUTER__STORE__URL": server.url, "ROUTER__STORE__DURABILITY": "leader", "ROUTER__STORE__PREFIX": "other"}
    router = routers(tmp_path / "node", environment=environment).start()
    assert router.submit()["durability"] == "leader"
    router.kill(signal.SIGTERM)
    with server.client() as client:
        assert client.exists(WorkspaceKeys.of("other", "default").log) and not client.keys("rt:*")
    router = routers(tmp_path / "files").start()
    assert "durability" not in router.submit()
    assert router.request("GET", "/healthz")["durability"] == "fsync"
    router.kill(signal.SIGTERM)
    # A directory with a journal of its own is not used with a store.
    code, output = routers(tmp_path / "files", "--store", server.url).run()
    assert code == 2 and "the data directory has a journal of its own" in output


def test_an_outage_is_waited_for_and_shown(server: RedisServer, tmp_path: Path, routers: NewRouter) -> None:
    router = routers(tmp_path / "node", "--store", server.url, "--durability", "fsync").start()
    first = router.submit()
    server.kill()

    async def wait_through() -> Any:
        waiting = asyncio.create_task(asyncio.to_thread(router.submit, timeout_s=30))
        await asyncio.sleep(1.5)
        assert not waiting.done()
        health = await asyncio.to_thread(router.request, "GET", "/healthz")
        assert health["status"] == "ok" and "journal_problem" in health
        await asyncio.to_thread(server.start)
        return await waiting

    second = asyncio.run(wait_through())
    assert second["seq"] == first["seq"] + 1 and second["epoch"] == first["epoch"]
    assert "journal_problem" not in router.request("GET", "/healthz")
    assert router.contacts_in_events() == [first["contact_id"], second["contact_id"]]
    router.kill(signal.SIGTERM)


def test_a_lost_history_is_never_silent(server: RedisServer, tmp_path: Path, routers: NewRouter) -> None:
    router = routers(tmp_path / "node", "--store", server.url, "--durability", "fsync").start()
    first, second, third = (router.submit() for _ in range(3))
    router.kill(signal.SIGTERM)
    keys = WorkspaceKeys.of("rt", "default")
    with server.client() as client:
        newest = client.xrevrange(keys.log, count=1)
        client.xdel(keys.log, newest[0][0])
    # The snapshot of the stop would cover the loss, so it is removed too.
    with server.client() as client:
        client.delete(*client.keys(f"{keys.base}:snap:*"))
    code, output = router.run()
    assert code == 3 and "JournalCorrupt" in output
    assert router.run()[0] == 3
    router.start("--accept-history-loss")
    assert any("kept up to event" in line for line in router.lines)
    assert router.contacts_in_events() == [first["contact_id"], second["contact_id"]]
    again = router.submit()
    assert again["history_id"] != third["history_id"] and again["seq"] == third["seq"]
    with pytest.raises(urllib.error.HTTPError) as caught:
        router.request("GET", f"/v1/events?after={third['history_id']}:{third['seq']}", role="admin")
    assert json.loads(caught.value.read())["code"] == "history_reset"
    router.kill(signal.SIGTERM)
    assert router.start().submit()["seq"] == again["seq"] + 1
    router.kill(signal.SIGTERM)


def test_the_start_is_refused_with_what_to_change(server: RedisServer, tmp_path: Path, routers: NewRouter) -> None:
    code, output = routers(tmp_path / "node", "--store", server.url).run()
    assert code == 3 and "set store.durability to leader or fsync" in output
    code, output = routers(tmp_path / "node", "--store", "http://word@host").run()
    assert code == 2 and "store.url: must be redis://" in output and "word" not in output
    code, output = routers(tmp_path / "node", "--store", server.url, "--memory").run()
    assert code == 2 and "exclude each other" in output


def test_a_shared_store_needs_a_server(tmp_path: Path) -> None:
    code, output = StoreRouter(tmp_path, "--shared").run()
    assert (code, "store.shared: must be false where store.url names no server" in output) == (2, True), output


def test_maintenance_commands_say_that_the_journal_is_elsewhere(server: RedisServer, tmp_path: Path) -> None:
    environment = {**os.environ, "ROUTER__STORE__URL": server.url}
    command = [sys.executable, "-m", "router", "backup", "--to", str(tmp_path / "copy"), "--data", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "the journal of these settings is on a server" in done.stderr


def test_a_failure_ends_the_process_also_where_nothing_reads_its_log(
    server: RedisServer, tmp_path: Path, routers: NewRouter
) -> None:
    environment = {"ROUTER__STORE__OUTAGE_S_MAX": "1"}
    router = routers(tmp_path / "node", "--store", server.url, "--durability", "fsync", environment=environment).start()
    router.close_log()
    server.kill()
    assert router.process.wait(20) != 0


def test_the_metrics_of_the_store(server: RedisServer, tmp_path: Path, routers: NewRouter) -> None:
    router = routers(tmp_path / "node", "--store", server.url, "--durability", "fsync").start()
    for _ in range(4):
        router.submit()

    def metrics() -> dict[str, float]:
        with urllib.request.urlopen(json.loads(router.lines[-1])["metrics_url"], timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return {
            name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line.startswith("router_store_"))
        }

    found = metrics()
    of_default = '{workspace="default"}'
    assert found['router_store_durability_info{level="fsync"}'] == 1
    assert found[f"router_store_leader{of_default}"] == 1 and found[f"router_store_unconfirmed_events{of_default}"] == 0
    meta = server.client().hgetall(WorkspaceKeys.of("rt", "default").meta)
    assert found[f"router_store_epoch{of_default}"] == int(meta[b"epoch"])
    assert found[f"router_store_events{of_default}"] == int(meta[b"seq"])
    assert found["router_store_append_seconds_count"] >= 4
    assert found["router_store_append_seconds_sum"] < 5 * found["router_store_append_seconds_count"]
    assert found["router_store_connects_total"] >= 1 and found["router_store_replicas"] == 0

    server.kill()
    server.start()
    router.submit()
    wait_until(lambda: metrics()["router_store_connects_total"] > found["router_store_connects_total"])
    info = server.client().info("memory")
    server.client().config_set("maxmemory", 500_000_000)
    wait_until(lambda: metrics()["router_store_memory_max_bytes"] == 500_000_000, timeout_s=30)
    assert 0.3 < metrics()["router_store_memory_bytes"] / info["used_memory"] < 3
