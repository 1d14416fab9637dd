"""The deployment examples, each with the program that it is for; without the program a test is skipped and says so."""

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from router.client import ConnectionOptions, DesktopClient
from router.settings import load_settings
from tests.support.certificates import write_certificate
from tests.support.http_api import Api
from tests.support.redis_server import RedisServer
from tests.support.router_process import RouterProcess

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
TIMEOUT_S: Final = 30.0


def program(name: str) -> str:
    """Return the path of a program; skip the test if it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(*command: str, cwd: Path = DEPLOY) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def router(tmp_path: Path) -> Iterator[RouterProcess]:
    process = RouterProcess(tmp_path / "router", server__behind_proxy=True, server__trusted_proxies="[127.0.0.1]").start()
    yield process
    process.kill()


# --- systemd ----------------------------------------------------------------------------------------


class Notified:
    """Socket of a service manager, and what it has heard."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(TIMEOUT_S)

    def next(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")

    def wait_for(self, assignment: str) -> list[str]:
        """Return the messages up to the one with the assignment."""
        heard: list[str] = []
        while assignment not in heard:
            heard += self.next()
        return heard


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_the_process_notifies_the_service_manager(tmp_path: Path, kind: str) -> None:
    name = f"router-test-{os.getpid()}"
    address, shown = (str(tmp_path / "notify"), str(tmp_path / "notify")) if kind == "path" else (f"\0{name}", f"@{name}")
    manager = Notified(address)
    process = RouterProcess(tmp_path / "router")
    try:
        process.spawn(NOTIFY_SOCKET=shown, WATCHDOG_USEC="200000")
        first = manager.next()
        assert first[0] == "READY=1"
        assert first[1].startswith("STATUS=Serving at http://")
        for _ in range(3):
            assert manager.next() == ["WATCHDOG=1"]
        os.kill(process.pid, signal.SIGTERM)
        manager.wait_for("STOPPING=1")
        assert process.wait() == 0
    finally:
        process.kill()
        manager.socket.close()


def test_a_process_that_hangs_does_not_notify_the_watchdog(tmp_path: Path) -> None:
    manager = Notified(str(tmp_path / "notify"))
    process = RouterProcess(tmp_path / "router")
    try:
        process.spawn(NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="100000")
        manager.wait_for("WATCHDOG=1")
        os.kill(process.pid, signal.SIGSTOP)
        manager.socket.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            for _ in range(100):
                manager.next()
            raise AssertionError("a stopped process has notified the watchdog")
    finally:
        process.kill()
        manager.socket.close()


def test_a_failed_start_is_not_announced_as_ready(tmp_path: Path) -> None:
    manager = Notified(str(tmp_path / "notify"))
    process = RouterProcess(tmp_path / "router", policy="queues: []")
    process.spawn(NOTIFY_SOCKET=str(tmp_path / "notify"))
    assert process.wait() == 2
    manager.socket.settimeout(0.1)
    with pytest.raises(TimeoutError):
        manager.next()
    manager.socket.close()


def unit() -> dict[str, list[str]]:
    lines = [line for line in (DEPLOY / "systemd" / "contact-router.service").read_text().splitlines() if "=" in line]
    found: dict[str, list[str]] = {}
    for line in lines:
        if not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_the_unit_fits_the_process() -> None:
    found = unit()
    settings = load_settings(environment={})
    assert found["Type"] == ["notify"]
    assert found["RestartPreventExitStatus"] == ["2 3"]
    assert int(found["TimeoutStopSec"][0]) > settings.server.drain_s + settings.runtime.stop_timeout_s
    assert int(found["LimitNOFILE"][0]) > settings.server.connections_max + 1000
    state = f"/var/lib/{found['StateDirectory'][0]}"
    assert f"--data {state}" in found["ExecStart"][0]


def test_systemd_accepts_the_unit_and_rates_it_as_well_protected(tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    file = tmp_path / "contact-router.service"
    # `verify` looks for the programs that the unit starts.
    file.write_text((DEPLOY / "systemd" / file.name).read_text().replace("/opt/router/bin/router", "/bin/true"))
    assert run(analyze, "verify", "--man=no", str(file)).strip() == ""
    # Exposure in tenths, 100 is the worst; units without hardening have about 96.
    run(analyze, "security", "--offline=true", "--threshold=20", "--no-pager", str(file))


# --- proxies ----------------------------------------------------------------------------------------


async def use_through_proxy(router: RouterProcess, port: int, certificate: Path) -> None:
    """Use the API and a desktop's socket through a proxy, and see that both reach the router."""
    trust = ssl.create_default_context(cafile=certificate)
    async with Api(router) as admin:
        await admin.ok("PUT", "/v1/agents/ada", {"skills": {}})
    options = ConnectionOptions(ssl=trust, connect_timeout_s=20, backoff_base_s=0.05, backoff_max_s=0.2)
    async with DesktopClient(f"wss://localhost:{port}", router.token("agent", "ada"), options=options) as desktop:
        await desktop.ready()
        async with Api(router) as direct:
            receipt = await direct.submit()
            async for event in desktop.events():
                if event.__struct_config__.tag == "offer.made":
                    break
            await desktop.decline(f"{receipt['contact_id']}.1")
    # The problem document of the router, and not a page of the proxy.
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname="localhost")
    writer.write(b"GET /v1/nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert b" 404 " in answer.split(b"\r\n")[0]
    assert b"/docs/errors#not_found" in answer
    assert b"max-age=31536000" in answer


def wait_until_listening(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@contextlib.contextmanager
def running(command: list[str], port: int, directory: Path) -> Iterator[None]:
    """Run a proxy until it listens, and stop it at the end."""
    log = directory / "proxy.log"
    environment = {**os.environ, "HOME": str(directory), "XDG_DATA_HOME": str(directory), "XDG_CONFIG_HOME": str(directory)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=directory, stdout=output, stderr=output, env=environment)
    try:
        wait_until_listening(port, process, log)
        yield
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


async def test_caddy_passes_requests_and_sockets_on(router: RouterProcess, tmp_path: Path) -> None:
    caddy = program("caddy")
    port, (certificate, key) = free_port(), write_certificate(tmp_path, address="127.0.0.1", host="localhost")
    text = (DEPLOY / "caddy" / "Caddyfile").read_text()
    for old, new in (
        ("desk.example.com {", f"localhost:{port} {{\n\ttls {certificate} {key}"),
        ("{\n\t# Desktops", "{\n\tadmin off\n\tauto_https disable_redirects\n\t# Desktops"),
        ("grace_period 30s", "grace_period 1s"),
        ("127.0.0.1:8080", router.url.removeprefix("http://")),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    file = tmp_path / "Caddyfile"
    file.write_text(text)
    with running([caddy, "run", "--config", str(file), "--adapter", "caddyfile"], port, tmp_path):
        await use_through_proxy(router, port, certificate)


async def test_nginx_passes_requests_and_sockets_on(router: RouterProcess, tmp_path: Path) -> None:
    nginx = program("nginx")
    port, (certificate, key) = free_port(), write_certificate(tmp_path, address="127.0.0.1", host="localhost")
    text = (DEPLOY / "nginx" / "contact-router.conf").read_text()
    for old, new in (
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("desk.example.com;", "localhost;"),
        ("/etc/ssl/certs/desk.example.com.pem", str(certificate)),
        ("/etc/ssl/private/desk.example.com.key", str(key)),
        ("127.0.0.1:8080", router.url.removeprefix("http://")),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "site.conf").write_text(text)
    paths = "".join(f"{name}_temp_path {tmp_path / name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {tmp_path / 'pid'}; error_log {tmp_path / 'error.log'}; events {{}}\n"
        f"http {{ access_log off; {paths} include {tmp_path / 'site.conf'}; }}\n"
    )
    command = [nginx, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")]
    with running(command, port, tmp_path):
        await use_through_proxy(router, port, certificate)


# --- metrics ----------------------------------------------------------------------------------------


def test_promtool_accepts_the_configuration_and_the_alert_rules() -> None:
    promtool, directory = program("promtool"), DEPLOY / "prometheus"
    run(promtool, "check", "config", "prometheus.yml", cwd=directory)
    run(promtool, "test", "rules", "alerts_test.yml", cwd=directory)


def expressions() -> dict[str, list[str]]:
    """Return the PromQL expressions of the alert rules and of the dashboard."""
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    dashboard = json.loads((DEPLOY / "grafana" / "dashboards" / "contact-router.json").read_text())
    return {
        "alerts": [rule["expr"] for group in rules for rule in group["rules"]],
        "dashboard": [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        + [variable["query"] for variable in dashboard["templating"]["list"]],
    }


async def test_every_metric_and_label_that_is_named_exists(router: RouterProcess) -> None:
    async with Api(router) as admin, Api(router, role=None) as anonymous:
        await admin.submit()
        await anonymous.call("GET", "/v1/queues")  # An invalid credential and a problem to be counted.
        page = await anonymous.call("GET", "/metrics")
        assert page.status == 404  # Only at the admin listener.
    text = await asyncio.to_thread(read, router.metrics_url)
    check_names(text, is_with_store=False)
    assert "router_ready 1.0" in text and "router_store" not in text


async def test_every_metric_of_the_store_that_is_named_exists(tmp_path: Path) -> None:
    server = RedisServer(tmp_path / "server").start()
    store = {"store__url": server.url, "store__durability": "fsync"}
    process = RouterProcess(tmp_path / "router", **store)
    try:
        process.start()
        async with Api(process) as admin:
            await admin.submit()
        check_names(await asyncio.to_thread(read, process.metrics_url), is_with_store=True)
    finally:
        process.kill()
        server.stop()


def check_names(text: str, *, is_with_store: bool) -> None:
    """Check that every metric and label that an expression names is on a page; those of the store are on that of a store only."""
    samples: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(router_\w+)(?:\{(.*?)\})? ", text, re.MULTILINE):
        samples.setdefault(name, set()).update(re.findall(r"(\w+)=", labels))
    declared = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    for place, found in expressions().items():
        for expression in found:
            for name, labels in re.findall(r"\b(router_\w+)(?:\{(.*?)\})?", expression):
                if name.startswith("router_store_") and not is_with_store:
                    continue
                if name not in samples:
                    # Without a sample until there is something to say, as an expected wait.
                    assert name.removesuffix("_bucket") in declared, f"{place}: {name}"
                    continue
                wanted = set(re.findall(r"(\w+)(?==~|=)", labels)) - {"instance"}
                assert wanted <= samples[name], f"{place}: {name} has no {wanted - samples[name]}"


def read(url: str) -> str:
    import urllib.request

    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
        return body.decode()


# --- compose ----------------------------------------------------------------------------------------


def test_the_compose_file_mounts_what_exists_and_publishes_only_the_proxy() -> None:
    file = DEPLOY / "compose" / "compose.yaml"
    document: dict[str, Any] = yaml.safe_load(file.read_text())
    for name, service in document["services"].items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (file.parent / source).exists(), f"{name}: {source}"
            else:
                assert source in document["volumes"], f"{name}: {source}"
        assert set(service["networks"]) <= set(document["networks"])
        assert "build" in service or re.search(r":\w*\d", service["image"]), f"{name}: no version"
        if name != "caddy":
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
    load_settings(environment=document["services"]["router"]["environment"])
    assert not document["services"]["router"].get("ports")


def test_caddy_accepts_the_compose_configuration() -> None:
    environment = {**os.environ, "ROUTER_HOST": "desk.example.com"}
    done = subprocess.run(
        [program("caddy"), "validate", "--config", str(DEPLOY / "compose" / "Caddyfile"), "--adapter", "caddyfile"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
