"""``router cluster status`` and ``GET /v1/cluster``, from outside: with routers and servers that run, that are killed, and both."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.redis_server import RedisServer, wait_until
from tests.support.router_process import RouterProcess


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "server").start()
    yield server
    server.kill()


@pytest.fixture
def router(server: RedisServer, tmp_path: Path) -> Iterator[RouterProcess]:
    process = RouterProcess(tmp_path / "node", store__url=server.url, store__durability="fsync", store__lease_s=5)
    yield process.start()
    process.kill()


def cluster_status(*arguments: str, code: int) -> Any:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROUTER")}
    environment["ROUTER__STORE__DURABILITY"] = "fsync"
    command = [sys.executable, "-m", "router", "cluster", "status", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == code and "Traceback" not in done.stderr, done.stdout + done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def get(router: RouterProcess, role: str = "admin", workspace: str = "default") -> Any:
    headers = {"Authorization": f"Bearer {router.token(role, workspace=workspace)}"}
    with urllib.request.urlopen(urllib.request.Request(f"{router.url}/v1/cluster", headers=headers), timeout=20) as answer:
        return json.loads(answer.read())


def node_of(router: RouterProcess) -> str:
    mark: dict[str, Any] = json.loads((router.directory / "var" / "store.mark").read_text())
    return str(mark["node_id"])


def test_the_state_of_a_router_and_its_store(server: RedisServer, router: RouterProcess) -> None:
    found = cluster_status("--store", server.url, "--json", code=0)
    assert found["healthy"] and found["problems"] == [] and found["durability"] == "fsync"
    [only] = found["servers"]
    assert only["address"] == f"127.0.0.1:{server.port}" and only["memory_bytes"] > 0 and only["problem"] is None
    assert only["version"].split(" ")[0] in {"Valkey", "Redis"}
    assert [node["node_id"] for node in found["nodes"]] == [node_of(router)]
    [default, other] = found["workspaces"]
    assert (default["workspace"], other["workspace"]) == ("default", "other")
    assert default["leader"] == other["leader"] == node_of(router)
    assert default["epoch"] == 1 and default["seq"] > 0 and 0 < default["lease_ms"] <= 5_000

    text = cluster_status("--store", server.url, code=0)
    assert text.rstrip().endswith("healthy") and node_of(router) in text

    # The step between two restarts: another number of members is a problem, also after waiting.
    found = cluster_status("--store", server.url, "--json", "--nodes", "2", "--wait", "1", code=1)
    assert found["problems"] == ["members: 0 routers with store.shared, not 2 (--nodes)"] and not found["healthy"]

    # Over HTTP only the workspace of the credential.
    answered = get(router)
    assert answered["healthy"] and [one["workspace"] for one in answered["workspaces"]] == ["default"]
    assert answered["workspaces"][0]["leader"] == node_of(router)
    assert answered["store"] == f"redis://127.0.0.1:{server.port}"
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(router, role="supervisor")
    with refused.value:
        assert refused.value.code == 403


def test_a_router_that_is_gone_leaves_workspaces_without_a_leader(server: RedisServer, router: RouterProcess) -> None:
    router.kill()
    found = cluster_status("--store", server.url, "--json", code=1 if not leases(server) else 0)
    assert found["servers"][0]["problem"] is None
    wait_until(lambda: not leases(server))
    found = cluster_status("--store", server.url, "--json", code=1)
    assert [one["leader"] for one in found["workspaces"]] == [None, None]
    assert [problem.partition(":")[0] for problem in found["problems"]] == ["workspace default", "workspace other"]
    text = cluster_status("--store", server.url, code=1)
    assert "NONE" in text and text.rstrip().endswith("NOT HEALTHY")


def leases(server: RedisServer) -> list[bytes]:
    with server.client() as client:
        found: list[bytes] = client.keys("rt:*:lease")
    return found


def test_a_store_that_is_away_or_unfit(server: RedisServer, router: RouterProcess) -> None:
    with server.client() as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
    found = cluster_status("--store", server.url, "--json", code=1)
    assert "noeviction" in found["servers"][0]["problem"] and found["problems"] == [found["servers"][0]["problem"]]
    assert len(found["workspaces"]) == 2

    server.kill()
    found = cluster_status("--store", server.url, "--json", code=1)
    assert found["servers"] == found["workspaces"] == [] and "cannot be read" in found["problems"][0]
    # The router answers all the same, with what it knows.
    answered = get(router)
    assert not answered["healthy"] and any("cannot be read" in problem for problem in answered["problems"])
    assert [one["workspace"] for one in answered["workspaces"]] == ["default"] and answered["workspaces"][0]["seq"] > 0
    # With its settings the command says that it answers.
    settings = ("--data", str(router.directory / "var"), "--url", router.url)
    asked = cluster_status(*settings, "--json", code=1)
    assert any("cannot be read" in problem for problem in asked["problems"])
    server.start()
    wait_until(lambda: not any("cannot be read" in problem for problem in get(router)["problems"]))


def test_an_empty_store_and_one_with_an_unfinished_import(server: RedisServer) -> None:
    found = cluster_status("--store", server.url, "--json", code=1)
    assert found["problems"] == ["the store has no journal under store.prefix rt"]
    with server.client() as client:
        client.hset("rt:store", "import", "{}")
    found = cluster_status("--store", server.url, "--json", code=1)
    assert "not finished" in found["problems"][0]


def test_a_router_with_a_journal_in_files_is_alone(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path / "files").start()
    found = get(router)
    assert (found["healthy"], found["store"], found["durability"], found["nodes"]) == (True, None, "fsync", [])
    assert found["workspaces"][0]["leader"] is not None
    router.signal(signal.SIGTERM)
    router.wait()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROUTER")}
    command = [sys.executable, "-m", "router", "cluster", "status", "--data", str(tmp_path / "files" / "var")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 2 and "store.url" in done.stderr
