"""A router in a process of its own, for tests that look at it from outside: started, killed, started again on the same journal."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from router.server.auth.credentials import mint_token
from router.settings import Settings, load_settings
from tests.support.forked_process import ForkedProcess, fork_server

START_TIMEOUT_S: Final = 60.0
PROGRAM: Final = ("-m", "router")
POLICY: Final = """\
channels:
  voice: {wrap_up_s: 60, offer_timeout_s: 60}
  chat: {units: 30, per_agent_max: 3, offer_timeout_s: 60}
skills: [english, german]
facts:
  tier: {type: enum, values: [gold, silver]}
queues:
  support: {cool_down_s: 0}
  sales: {cool_down_s: 0, requires: {english: 5}}
  tiny: {length_max: 2}
"""


def _program_ahead(ahead_s: int) -> Sequence[str]:
    """Return what Python runs for a router whose writer reads a clock ahead of the machine's."""
    return (
        "-c",
        "import runpy, time; from router.runtime.clock import SystemClock; "
        f"SystemClock.__init__.__kwdefaults__['wall_s'] = lambda: time.time() + {ahead_s}; "
        "runpy.run_module('router', run_name='__main__')",
    )


class RouterProcess:
    """One journal, and the processes that serve it one after the other."""

    def __init__(self, directory: Path, *, policy: str | None = POLICY, **settings: Any) -> None:
        """``settings``: by place with ``__`` for a dot (``server__body_timeout_s=1``)."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        seed = directory / "policy.yaml"
        if policy is not None:
            seed.write_text(policy)
        self._settings: dict[str, Any] = {
            "journal__path": str(directory / "var" / "journal.db"),
            "journal__reserved_bytes": 0,
            "server__port": 0,
            "telemetry__metrics_port": 0,
            "policy__seed_path": "null" if policy is None else str(seed),
            "workspaces": "[other]",
            **settings,
        }
        self.program: Sequence[str] = PROGRAM
        """What Python runs; tests replace it. The usual program is forked from a process that has imported it."""
        self.clock_ahead_s = 0
        """How far the clock of the next process's writer is ahead of the machine's; that of its tokens is not."""
        self.url = self.metrics_url = ""
        self._process: subprocess.Popen[str] | ForkedProcess | None = None
        self._starts = 0
        self._lines: queue.Queue[str | None] = queue.Queue()
        self.log: list[str] = []

    def set(self, **settings: Any) -> None:
        """Change settings before a start."""
        self._settings |= settings

    @property
    def environment(self) -> dict[str, str]:
        """The settings as environment variables."""
        return {f"ROUTER__{key.upper()}": str(value) for key, value in self._settings.items()}

    @property
    def settings(self) -> Settings:
        """The settings as the process reads them."""
        return load_settings(environment=self.environment)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def token(self, role: str, subject: str = "tester", workspace: str = "default") -> str:
        """A token for it; after the first start."""
        return mint_token(self.settings, subject=subject, role=role, workspace=workspace)

    def spawn(self, *arguments: str, **environment: str) -> None:
        """Start the process; does not wait."""
        assert self._process is None, "it runs already"
        self._lines = queue.Queue()
        # Other variables than those of settings may be read while Python starts or modules are imported.
        may_be_forked = self.program == PROGRAM and not environment
        environment = {**os.environ, **self.environment, **environment}
        self._starts += 1
        if may_be_forked:
            server = fork_server(self._starts)
            self._process = server.start(["serve", *arguments], environment, clock_ahead_s=self.clock_ahead_s)
        else:
            program = _program_ahead(self.clock_ahead_s) if self.clock_ahead_s else self.program
            self._process = subprocess.Popen(
                [sys.executable, *program, "serve", *arguments],
                env=environment,
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
            )
        threading.Thread(target=self._read, args=(self._process, self._lines), daemon=True).start()

    def start(self, *arguments: str, **environment: str) -> "RouterProcess":
        """Start the process and wait until it serves."""
        self.spawn(*arguments, **environment)
        while (line := self._lines.get(timeout=START_TIMEOUT_S)) is not None:
            if '"action":"started"' in line:
                started = json.loads(line)
                self.url, self.metrics_url = started["url"], started["metrics_url"]
                return self
        self._lines.put(None)  # Read once more by ``wait``.
        raise AssertionError(f"it did not start: {self.log[-5:]}, exit code {self.wait()}")

    def _read(self, process: "subprocess.Popen[str] | ForkedProcess", lines: "queue.Queue[str | None]") -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self.log.append(line)
                lines.put(line)
        lines.put(None)

    def wait(self, timeout_s: float = 60.0) -> int:
        """The exit code, once it has ended."""
        assert self._process is not None
        code = self._process.wait(timeout_s)
        while self._lines.get(timeout=10) is not None:
            pass
        self._process = None
        return code

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """``kill -9``; returns when it is gone. Nothing happens where it is gone already."""
        if self._process is not None:
            self._process.kill()
            self.wait()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()
