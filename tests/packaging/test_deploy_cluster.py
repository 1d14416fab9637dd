"""The example of two routers on one server: what its file starts is started here as processes, with the same settings."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from router.settings import load_settings
from tests.support.http_api import Api
from tests.support.redis_server import RedisServer, wait_until
from tests.support.router_process import RouterProcess

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
FILE: Final = DEPLOY / "cluster" / "compose.yaml"
ROUTERS: Final = ("router-a", "router-b")


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def test_the_file_mounts_what_exists_and_publishes_only_the_proxy() -> None:
    found = document()
    for name, service in found["services"].items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (FILE.parent / source).exists(), f"{name}: {source}"
            else:
                assert source in found["volumes"], f"{name}: {source}"
        assert set(service["networks"]) <= set(found["networks"])
        assert "build" in service or re.search(r":\w*\d", service["image"]), f"{name}: no version"
        if name != "caddy":
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        assert set(service.get("secrets", ())) <= set(found["secrets"])
        assert set(service.get("depends_on", ())) <= set(found["services"])
    for name in ROUTERS:
        settings = load_settings(environment=found["services"][name]["environment"])
        assert settings.store.shared and settings.store.url == "redis://valkey:6379/0"
    # Nothing reaches the store but the routers.
    on_store = {name for name, service in found["services"].items() if "store" in service["networks"]}
    assert on_store == {"valkey", *ROUTERS} and found["networks"]["store"]["internal"]
    data = [found["services"][name]["volumes"] for name in ROUTERS]
    assert data[0] != data[1]


def test_prometheus_and_the_proxy_know_every_router() -> None:
    configuration = yaml.safe_load((FILE.parent / "prometheus.yml").read_text())
    [job] = configuration["scrape_configs"]
    # The alert of a router that is down names the job.
    assert job["job_name"] == "contact-router"
    assert job["static_configs"][0]["targets"] == [f"{name}:9464" for name in ROUTERS]
    proxy = (FILE.parent / "Caddyfile").read_text()
    assert all(f"{name}:8080" in proxy for name in ROUTERS) and "health_uri /readyz" in proxy


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[RedisServer]:
    """The server with the options of the file."""
    words = document()["services"]["valkey"]["command"][1:]
    options = {name.removeprefix("--").replace("-", "_"): value for name, value in zip(words[::2], words[1::2], strict=True)}
    server = RedisServer(tmp_path / "valkey")
    server.options = {name.replace("_", "-"): str(value) for name, value in options.items()}
    yield server.start()
    server.kill()


@pytest.fixture
def routers(valkey: RedisServer, tmp_path: Path) -> Iterator[dict[str, RouterProcess]]:
    """Both routers with the environment of the file; only addresses, ports and the place of the key differ."""
    (tmp_path / "token.secret").write_text("0123456789abcdef" * 4)
    found = {}
    for name in ROUTERS:
        environment = dict(document()["services"][name]["environment"])
        environment["ROUTER__STORE__URL"] = valkey.url
        environment["ROUTER__STORE__LEASE_S"] = "5"
        for place in ("ROUTER__AUTH__ISSUERS", "ROUTER__STORE__SECRET_PATH"):
            environment[place] = environment[place].replace("/run/secrets/token", str(tmp_path / "token.secret"))
        environment["ROUTER__TELEMETRY__METRICS_HOST"] = "127.0.0.1"
        settings = {key.removeprefix("ROUTER__").lower(): value for key, value in environment.items()}
        found[name] = RouterProcess(tmp_path / name, **settings)
    yield found
    for process in found.values():
        process.kill()


def status(valkey: RedisServer, directory: Path) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ROUTER")}
    environment |= {"ROUTER__STORE__DURABILITY": "fsync", "ROUTER__STORE__LEASE_S": "5"}
    command = [sys.executable, "-m", "router", "cluster", "status", "--store", valkey.url, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, cwd=directory)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def node_of(process: RouterProcess) -> str:
    mark: dict[str, Any] = json.loads((process.directory / "var" / "store.mark").read_text())
    return str(mark["node_id"])


async def test_the_routers_of_the_file_are_one_cluster(
    valkey: RedisServer, routers: dict[str, RouterProcess], tmp_path: Path
) -> None:
    for process in routers.values():
        process.start()
    nodes = {node_of(process): process for process in routers.values()}
    wait_until(lambda: {node["node_id"] for node in status(valkey, tmp_path)["nodes"]} == set(nodes), timeout_s=40)
    wait_until(lambda: status(valkey, tmp_path)["healthy"], timeout_s=40)
    found = status(valkey, tmp_path)
    leaders = {one["workspace"]: one["leader"] for one in found["workspaces"]}
    assert set(leaders.values()) <= set(nodes) and found["durability"] == "fsync"
    assert all(node["answers"] is not False for node in found["nodes"])

    # Each router takes submits, with a token of the common key.
    receipts = []
    for process in routers.values():
        async with Api(process) as api:
            receipts.append(await api.submit())
    assert len({receipt["contact_id"] for receipt in receipts}) == 2
    assert [receipt["durability"] for receipt in receipts] == ["fsync", "fsync"]

    # The leader is killed: the other one goes on within the lease, and the command says who is missing.
    leader = nodes.pop(leaders["default"])
    leader.kill()
    [(other_id, other)] = nodes.items()
    wait_until(lambda: {one["leader"] for one in status(valkey, tmp_path)["workspaces"]} == {other_id}, timeout_s=40)
    async with Api(other) as api:
        third = await api.submit()
    assert third["contact_id"] not in {receipt["contact_id"] for receipt in receipts}
    wait_until(lambda: [node["node_id"] for node in status(valkey, tmp_path)["nodes"]] == [other_id], timeout_s=40)


async def test_the_recipe_for_an_upgrade_one_router_after_the_other(
    valkey: RedisServer, routers: dict[str, RouterProcess], tmp_path: Path
) -> None:
    """The example restarts as docs/how-to/cluster.md says: stop a router, start it, wait until all are there; then the next."""
    for process in routers.values():
        process.start()

    def is_whole() -> bool:
        found = status(valkey, tmp_path)
        return bool(found["healthy"]) and len(found["nodes"]) == 2 and not any(node["is_draining"] for node in found["nodes"])

    def leads(process: RouterProcess) -> bool:
        return {one["leader"] for one in status(valkey, tmp_path)["workspaces"]} == {node_of(process)}

    wait_until(is_whole, timeout_s=40)
    submitted: list[str] = []

    async def submit_at(process: RouterProcess) -> None:
        async with Api(process) as api:
            submitted.append((await api.submit())["contact_id"])

    epochs = {one["workspace"]: one["epoch"] for one in status(valkey, tmp_path)["workspaces"]}
    for name, process in routers.items():
        [other] = [one for one in routers.values() if one is not process]
        await submit_at(process)
        assert process.stop() == 0, name
        # It has given its workspaces to the other router.
        wait_until(partial(leads, other), timeout_s=40)
        await submit_at(other)
        process.start()
        wait_until(is_whole, timeout_s=40)
        await submit_at(process)
    assert {one["workspace"]: one["epoch"] > epochs[one["workspace"]] for one in status(valkey, tmp_path)["workspaces"]} == {
        "default": True,
        "other": True,
    }
    for process in routers.values():
        async with Api(process) as api:
            events = (await api.ok("GET", "/v1/events?limit=1000"))["events"]
        assert [event["contact_id"] for event in events if event["type"] == "contact.queued"] == submitted
