"""The demo as a process, without a terminal and without preparation."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from router.demo.main import DEMO_CENTRE_PATH
from router.simulator.run import SimulationSpec, simulate


def start(*arguments: str, directory: Path) -> "subprocess.Popen[str]":
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ROUTER_")}
    return subprocess.Popen(
        [sys.executable, "-m", "router", "demo", *arguments],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def processes() -> Iterator[list["subprocess.Popen[str]"]]:
    """Collect the processes of a test and stop them after it."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdout is not None:
            process.stdout.close()


def test_the_workload_of_the_demo_is_valid() -> None:
    report = simulate(SimulationSpec(workload=str(DEMO_CENTRE_PATH)))
    assert report.audit.violations == ()
    assert report.answered > 100
    assert sum(group.agents for group in report.agent_groups.values()) == 15


@pytest.mark.slow
def test_the_demo_runs_and_exits_with_a_passed_report(tmp_path: Path, processes: list["subprocess.Popen[str]"]) -> None:
    target = tmp_path / "report.json"
    process = start(*("--exit-when-done", "--speed", "100", "--port", "0", "--json", str(target)), directory=tmp_path)
    processes.append(process)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert re.search(r"^All \d\d statements of the story hold\.$", output, re.MULTILINE)
    assert output.index("statements of the story hold") < output.index("15 agents connected")
    report = json.loads(target.read_text())
    assert report["passed"]
    assert all(check["holds"] for check in report["run"]["checks"])
    assert report["run"]["desktops"] == 15
    assert report["answered"] > 100
    assert report["contacts"] == report["answered"] + report["abandoned"]
    assert report["service_level"]["value"] is not None
    assert not (tmp_path / "var").exists()  # The demo leaves no files in the working directory.


@pytest.mark.slow
async def test_after_the_day_a_contact_submitted_by_hand_is_answered_and_the_demo_stops_cleanly(
    tmp_path: Path, processes: list["subprocess.Popen[str]"]
) -> None:
    data = tmp_path / "data"
    process = start("--only", "day", "--speed", "200", "--port", "0", "--data", str(data), directory=tmp_path)
    processes.append(process)
    lines = Lines(process)
    url = lines.wait_for("API ").split()[1]
    token = (data / "admin.token").read_text()
    assert (data / "admin.token").stat().st_mode & 0o077 == 0
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        body = {"channel": "voice", "queue_id": "support"}
        async with session.post(f"{url}/v1/contacts", json=body) as response:
            assert response.status == 201, await response.text()
            contact_id = (await response.json())["contact_id"]
    id_end = contact_id[-6:]
    assert "accepts" in lines.wait_for(id_end, "accepts")
    lines.wait_for(id_end, "completes")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0, lines.seen


class Lines:
    """Output of a process, line by line, read on a thread so that waiting for a line can time out."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.seen: list[str] = []
        self._changed = threading.Condition()
        self._read = 0
        self._ended = False
        threading.Thread(target=self._follow, args=(process.stdout,), daemon=True).start()

    def _follow(self, stream: Any) -> None:
        for line in stream:
            with self._changed:
                self.seen.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, *parts: str, timeout_s: float = 45) -> str:
        """Return the next line that contains all of the parts."""
        with self._changed:
            while True:
                while self._read < len(self.seen):
                    line = self.seen[self._read]
                    self._read += 1
                    if all(part in line for part in parts):
                        return line
                assert not self._ended and self._changed.wait(timeout_s), self.seen[-15:]
