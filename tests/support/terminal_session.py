"""Runs the commands of a documentation page as a reader would, word for word except for the port."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).parents[2]
TIMEOUT_S: Final = 60.0


def code_blocks(page: str, heading: str) -> list[tuple[str, str]]:
    """Return the code blocks of a page's chapter as (language, text)."""
    text = (REPOSITORY / page).read_text()
    _, found, chapter = text.partition(f"\n## {heading}\n")
    assert found, f"{page} has no chapter {heading!r}"
    return re.findall(r"^```(\w+)\n(.*?)^```$", chapter.split("\n## ")[0], re.DOTALL | re.MULTILINE)


class TerminalSession:
    """Terminals of a reader who follows a page, in a directory with the repository's configuration and environment."""

    def __init__(self, directory: Path, *, with_repository: bool = True) -> None:
        """``with_repository``: the directory has the repository's ``config`` and ``.venv``; else it is empty."""
        self.directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        if with_repository:
            (directory / "config").symlink_to(REPOSITORY / "config")
            # `. .venv/bin/activate` finds the environment that runs this test.
            activate = directory / ".venv" / "bin" / "activate"
            activate.parent.mkdir(parents=True)
            activate.write_text(f'PATH="{Path(sys.executable).parent}:$PATH"\n')
        self._exported = directory / ".environment"
        self.environment = {
            **os.environ,
            "PWD": str(directory),
            "ROUTER__SERVER__PORT": str(self.port),
            "ROUTER__TELEMETRY__METRICS_PORT": "0",
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def words(self, text: str) -> str:
        """Return the page's text with this session's port."""
        return re.sub(r"\b(localhost|127\.0\.0\.1):8080\b", rf"\1:{self.port}", text)

    def start(self, script: str, log: str) -> "subprocess.Popen[bytes]":
        """Start a script in a terminal of its own, with its output in a log file."""
        with (self.directory / log).open("wb") as output:
            process = subprocess.Popen(
                ["/bin/bash", "-ec", self.words(script)],
                cwd=self.directory,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def type(self, script: str) -> str:
        """Run a script in the second terminal, keep its exported variables and directory, and return the output."""
        done = subprocess.run(
            ["/bin/bash", "-ec", self.words(script) + f"\nenv -0 > '{self._exported}'"],
            cwd=self.environment.get("PWD", self.directory),
            env=self.environment,
            stdout=subprocess.PIPE,
            check=True,
            timeout=TIMEOUT_S,
        )
        lines = self._exported.read_text().split("\0")
        self.environment = dict(line.split("=", 1) for line in lines if "=" in line)
        return done.stdout.decode()

    def wait_for(self, text: str, log: str) -> str:
        """Wait until a log contains the text, and return the whole log."""
        deadline = time.monotonic() + TIMEOUT_S
        while text not in (said := (self.directory / log).read_text()):
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        return said

    def ask(self, path: str) -> Any:
        """Return the API's response to the administrator."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"Authorization": f"Bearer {self.environment['ADMIN']}"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def stop(self) -> None:
        """Kill all processes that are still running."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
