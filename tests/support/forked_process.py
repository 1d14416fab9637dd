"""Processes of ``router serve`` that are forked from one that has imported everything, since imports are most of a start.

A fork server is a process that waits for orders on a socket, one connection a start. For each it forks a monitor, which forks the
router, tells its process id, and at its end tells how it ended. The router is otherwise what ``python -m router serve`` is: it has
its own arguments, environment, standard error and signals. Each fork server has a hash seed of its own, so that a router that is
started again from another one meets sets in another order, as it does in real life.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
_IMPORTED: Final = ("app", "cli", "client", "cluster", "context", "engine", "journal", "runtime", "server", "telemetry")
_SERVERS_MAX: Final = 2
_START_S: Final = 120.0


class ForkServer:
    """A process from which routers are forked; it ends with the process that has started it."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.forked_process", str(theirs.fileno()), "router serve"],
            pass_fds=(theirs.fileno(),),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={key: value for key, value in os.environ.items() if not key.startswith(("ROUTER_", "PYTHONHASHSEED"))},
        )
        theirs.close()

    def start(self, arguments: Sequence[str], environment: Mapping[str, str], *, clock_ahead_s: int = 0) -> "ForkedProcess":
        """Start a router; the text that it writes to standard error is in ``stderr``."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        reading, writing = os.pipe()
        with theirs:
            socket.send_fds(self._control, [b"s"], [theirs.fileno(), writing])
        os.close(writing)
        order = {"arguments": arguments, "environment": dict(environment), "cwd": os.getcwd(), "clock_ahead_s": clock_ahead_s}
        ours.sendall(json.dumps(order).encode() + b"\n")
        return ForkedProcess(ours, reading)


class ForkedProcess:
    """A router that was forked, used like a ``subprocess.Popen``."""

    def __init__(self, told: socket.socket, stderr: int) -> None:
        self._socket, self._received = told, b""
        self.stderr = os.fdopen(stderr, "r")
        self.returncode: int | None = None
        self.pid = self._number(_START_S)

    def wait(self, timeout: float) -> int:
        """Return the exit code once it has ended; minus the number of the signal that has ended it. Raises TimeoutExpired."""
        if self.returncode is None:
            self.returncode = self._number(timeout)
            self._socket.close()
        return self.returncode

    def _number(self, timeout: float) -> int:
        """Return the next number that the monitor tells."""
        while b"\n" not in self._received:
            if not select.select([self._socket], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("router serve", timeout)
            data = self._socket.recv(100)
            assert data, "the fork server has ended"
            self._received += data
        number, _, self._received = self._received.partition(b"\n")
        return int(number)

    def send_signal(self, number: int) -> None:
        """Send a signal, also to one that has just ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


_servers: Final[list[ForkServer]] = []
_owner: Final = os.getpid()


def fork_server(number: int) -> ForkServer:
    """Return one of the fork servers of this test process, another one for each of two numbers that follow each other."""
    assert os.getpid() == _owner
    while len(_servers) <= number % _SERVERS_MAX:
        _servers.append(ForkServer())
    return _servers[number % _SERVERS_MAX]


# --- in the fork server -----------------------------------------------------------------------------------------------------


def _import_everything() -> None:
    import gc
    import importlib
    import pkgutil

    import router

    for package in _IMPORTED:
        importlib.import_module(f"router.{package}")
        path = [str(Path(router.__file__).parent / package)]
        for module in pkgutil.walk_packages(path, f"router.{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


def _serve(control: socket.socket) -> dict[str, Any]:
    """Fork for each order; return in the router's process, with what it is to do."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 1, 2)
        if not data:
            os._exit(0)
        if os.fork() == 0:
            control.close()
            return _monitor(socket.socket(fileno=descriptors[0]), descriptors[1])
        for descriptor in descriptors:
            os.close(descriptor)


def _monitor(told: socket.socket, stderr: int) -> dict[str, Any]:
    """Fork the router and tell how it ends; return in the router's process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    order: dict[str, Any] = json.loads(told.makefile("r").readline())
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        told.close()
        os.dup2(stderr, 2)
        os.close(stderr)
        return order
    os.close(stderr)
    told.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        told.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    _import_everything()
    order = _serve(control)
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["cwd"])
    sys.argv = ["router", *order["arguments"]]
    if ahead_s := order["clock_ahead_s"]:
        import time

        from router.runtime.clock import SystemClock

        (SystemClock.__init__.__kwdefaults__ or {})["wall_s"] = lambda: time.time() + ahead_s
    from router.cli import main

    main()


if __name__ == "__main__":
    _main()
