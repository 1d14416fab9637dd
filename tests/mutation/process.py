"""Processes of tests that start fast: each is a fork of one that has loaded pytest and the libraries, but not the project.

with TestProcesses(folder) as processes:
    code = processes.run(["-x", "tests/engine"], {}, timeout_s=60)
"""

import contextlib
import importlib
import os
import pkgutil
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec
from msgspec import Struct

# Loading them takes longer than most of the tests.
PLUGINS_LEFT_OUT: Final = ("cacheprovider", "xdist", "cov", "schemathesis", "hypothesispytest")
_PROJECT: Final = frozenset({"router", "tests", "__main__"})
_OF_TESTS: Final = ("pytest", "pytest_asyncio.plugin", "pytest_timeout", "hypothesis.strategies", "aiohttp", "coverage")
_LIST_MODULES: Final = """
import importlib, pkgutil, sys, router
for module in pkgutil.walk_packages(router.__path__, "router."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(*[name for name in sys.modules if name.partition(".")[0] not in ("router", "__main__")])
"""


class Run(Struct, frozen=True):
    """A run of pytest."""

    arguments: list[str]
    variables: dict[str, str]


class TestProcesses:
    """Run pytest in the folder of a copy of the project."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        paths = os.pathsep.join((str(folder / "src"), str(folder)))
        environment = os.environ | {"PYTHONPATH": paths}
        modules = subprocess.run(
            [sys.executable, "-c", _LIST_MODULES], cwd=folder, env=environment, capture_output=True, check=True
        )
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.mutation.process", *modules.stdout.decode().split()],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )

    def __enter__(self) -> "TestProcesses":
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        with self._server:
            self._server.kill()

    def run(self, arguments: Sequence[str], variables: dict[str, str], *, timeout_s: float) -> int | None:
        """Run pytest and return its exit code, or None if it did not end in time; it is then killed with its processes."""
        assert self._server.stdin is not None and self._server.stdout is not None
        plugins = [text for name in PLUGINS_LEFT_OUT for text in ("-p", f"no:{name}")]
        options = ["-q", "-m", "not slow", *plugins, "-p", "tests.mutation.plugin"]
        self._server.stdin.write(msgspec.json.encode(Run([*options, *arguments], variables)) + b"\n")
        process_id = int(self._read_line(10.0 * 60) or 0)
        code = self._read_line(timeout_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process_id, signal.SIGKILL)
        if code is None:
            self._read_line(60)
        return None if code is None else int(code)

    def _read_line(self, timeout_s: float) -> bytes | None:
        assert self._server.stdout is not None
        line, until_s = b"", time.monotonic() + timeout_s
        while not line.endswith(b"\n"):
            if not select.select([self._server.stdout], [], [], max(0.0, until_s - time.monotonic()))[0]:
                return None
            byte = self._server.stdout.read(1)
            if not byte:
                raise RuntimeError("the process that starts the tests has ended")
            line += byte
        return line


def serve(modules: Sequence[str]) -> None:
    """Load modules, then run pytest in a fork for each line of standard input."""
    import _pytest
    import pytest

    names = [module.name for module in pkgutil.iter_modules(_pytest.__path__, "_pytest.")]
    for name in (*_OF_TESTS, *names, *modules):
        if name.partition(".")[0] not in _PROJECT:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
    answers = os.dup(sys.stdout.fileno())
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for line in sys.stdin.buffer:
        run = msgspec.json.decode(line, type=Run)
        process_id = os.fork()
        if process_id == 0:
            os.setsid()
            os.close(answers)
            os.environ.update(run.variables)
            # Its own modules are those of the project, in which a change may have been made.
            for name in [name for name in sys.modules if name.partition(".")[0] in ("router", "tests")]:
                del sys.modules[name]
            code = 3
            try:
                code = int(pytest.main(["-W", "ignore::pytest.PytestAssertRewriteWarning", *run.arguments]))
            finally:
                os._exit(code)
        os.write(answers, f"{process_id}\n".encode())
        _, status = os.waitpid(process_id, 0)
        os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    serve(sys.argv[1:])
