"""Router in a child process: started with ``router serve`` on given settings, supervised, and drained in the end.

Its log goes to a file beside its journal. The child runs in a session of its own, so that Ctrl-C at the terminal reaches only this
process, which then shuts the router down in order.
"""

import asyncio
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec

from router.loadtest.execution import LoadTestFailed
from router.settings import ENVIRONMENT_PREFIX, Settings, settings_from

START_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 70.0
SERVE: Final = ("-m", "router", "serve", "--config")
_LINE_BYTES_MAX: Final = 1024 * 1024


def with_changes(settings: Settings, changes: dict[str, Any]) -> Settings:
    """Return a copy of the settings with changes, keyed by dotted names such as ``server.port``. Raises SettingsInvalid."""
    tree: dict[str, Any] = msgspec.to_builtins(settings)
    for dotted, value in changes.items():
        *path, name = dotted.split(".")
        section = tree
        for key in path:
            section = section[key]
        section[name] = value
    return settings_from(tree)


class RouterSubprocess:
    """Router process as an async context manager; inside the block it serves at ``url``."""

    def __init__(self, settings: Settings, directory: Path, *, program: Sequence[str] = SERVE) -> None:
        """``program`` is what Python runs; the path of the settings is added."""
        self.settings = settings
        self._program = program
        self.log_path = directory / "router.log"
        self.url = ""
        self.metrics_url: str | None = None
        self._config_path = directory / "router.settings.json"
        self._process: asyncio.subprocess.Process | None = None
        self._log_reader: asyncio.Task[None] | None = None
        self._started: asyncio.Future[str] | None = None
        self._last_lines: deque[str] = deque(maxlen=5)

    @property
    def pid(self) -> int:
        """Process id of the router."""
        assert self._process is not None
        return self._process.pid

    async def __aenter__(self) -> "RouterSubprocess":
        self._config_path.write_bytes(msgspec.json.encode(self.settings))
        self._started = asyncio.get_running_loop().create_future()
        # The file contains all settings, including those that came from the environment.
        environment = {k: v for k, v in os.environ.items() if not k.startswith(ENVIRONMENT_PREFIX)}
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, *self._program, str(self._config_path)),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES_MAX,
            start_new_session=True,
        )
        self._log_reader = asyncio.create_task(self._read_log())
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                self.url = await self._started
        except TimeoutError:
            await self.stop()
            raise LoadTestFailed(f"the router did not start within {START_TIMEOUT_S:g} s; its log: {self.log_path}") from None
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _read_log(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        assert self._started is not None
        with self.log_path.open("wb") as file:
            async for line in self._process.stderr:
                file.write(line)
                file.flush()
                self._last_lines.append(line.decode(errors="replace").strip())
                if not self._started.done() and b'"action":"started"' in line:
                    record = msgspec.json.decode(line)
                    self.metrics_url = record.get("metrics_url")
                    self._started.set_result(str(record["url"]))
        if not self._started.done():
            self._started.set_exception(LoadTestFailed("the router failed to start" + self._log_tail()))

    def _log_tail(self) -> str:
        return "".join(f"\n  {line}" for line in self._last_lines)

    async def wait_for_exit(self) -> None:
        """Wait until the router exits by itself, then raise LoadTestFailed with its exit code and last log lines."""
        assert self._process is not None
        code = await self._process.wait()
        raise LoadTestFailed(f"the router exited with code {code}{self._log_tail()}")

    async def kill(self) -> None:
        """Send SIGKILL and wait until the process is gone, as if the machine had lost its power."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def stop(self) -> int:
        """Send SIGTERM, wait while the router drains, and return its exit code. Idempotent.

        The process is killed after ``STOP_TIMEOUT_S`` seconds, or at once if this task is cancelled while waiting.
        """
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                code = await self._process.wait()
        except (TimeoutError, asyncio.CancelledError) as error:
            with suppress(ProcessLookupError):
                self._process.kill()
            if isinstance(error, asyncio.CancelledError):
                raise
            code = await self._process.wait()
        if self._log_reader is not None:
            await asyncio.gather(self._log_reader, return_exceptions=True)
        if self._started is not None and self._started.done() and not self._started.cancelled():
            self._started.exception()  # Mark the exception as retrieved; the waiting task may have been cancelled.
        return code


@asynccontextmanager
async def separate_cores(router: RouterSubprocess) -> AsyncIterator[bool]:
    """Pin the router to one core and this process to the others while the block runs; yield False with fewer than two cores."""
    if not hasattr(os, "sched_setaffinity"):
        yield False
        return
    before = os.sched_getaffinity(0)
    cores = sorted(before)
    if len(cores) < 2:
        yield False
        return
    os.sched_setaffinity(router.pid, cores[:1])
    for task in _threads_of(router.pid):
        with suppress(OSError):
            os.sched_setaffinity(task, cores[:1])
    os.sched_setaffinity(0, cores[1:])
    try:
        yield True
    finally:
        os.sched_setaffinity(0, before)


def _threads_of(pid: int) -> list[int]:
    """Return the ids of all threads of a process, or an empty list if the system does not provide them."""
    tasks = Path(f"/proc/{pid}/task")
    return [int(task.name) for task in tasks.iterdir()] if tasks.is_dir() else []
