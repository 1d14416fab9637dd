"""The README's first contact, executed word for word except for the port."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

REPOSITORY: Final = Path(__file__).parents[2]
TIMEOUT_S: Final = 60.0


def blocks(heading: str) -> list[tuple[str, str]]:
    """Return the code blocks of a chapter as (language, text)."""
    text = (REPOSITORY / "README.md").read_text()
    _, found, chapter = text.partition(f"\n## {heading}\n")
    assert found, f"the README has no chapter {heading!r}"
    return re.findall(r"^```(\w+)\n(.*?)^```$", chapter.split("\n## ")[0], re.DOTALL | re.MULTILINE)


class Reader:
    """Terminal session of a reader who follows the README, in a directory with the repository's files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        (directory / "config").symlink_to(REPOSITORY / "config")
        # `. .venv/bin/activate` finds the environment that runs this test.
        activate = directory / ".venv" / "bin" / "activate"
        activate.parent.mkdir(parents=True)
        activate.write_text(f'PATH="{Path(sys.executable).parent}:$PATH"\n')
        self.environment = {
            **os.environ,
            "ROUTER__SERVER__PORT": str(self.port),
            "ROUTER__TELEMETRY__METRICS_PORT": "0",
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def words(self, text: str) -> str:
        """Return the README's text with this test's port."""
        return text.replace("localhost:8080", f"localhost:{self.port}")

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
        """Run a script in the second terminal, keep the exported variables, and return the output."""
        done = subprocess.run(
            ["/bin/bash", "-ec", self.words(script) + "\nenv -0 > .environment"],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            check=True,
            timeout=TIMEOUT_S,
        )
        lines = (self.directory / ".environment").read_text().split("\0")
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
            f"http://127.0.0.1:{self.port}{path}",
            headers={"Authorization": f"Bearer {self.environment['ADMIN']}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def stop(self) -> None:
        """Kill all processes that are still running."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    session = Reader(tmp_path)
    yield session
    session.stop()


def test_the_first_contact_by_hand_works_as_the_readme_describes(reader: Reader) -> None:
    code = blocks("A first contact by hand")
    assert [language for language, _ in code] == ["sh", "sh", "python", "sh", "sh"]
    serve, prepare, desktop, call, look = (text for _, text in code)

    router = reader.start(serve, "router.log")
    reader.wait_for('"action":"started"', "router.log")
    reader.type(prepare)
    (reader.directory / "desktop.py").write_text(reader.words(desktop))

    # `&` in a terminal: the desktop keeps running while the next command is entered.
    background, _, submit = call.partition("&\n")
    reader.start(background, "desktop.log")
    receipt = json.loads(reader.type(submit))
    said = reader.wait_for("AssignmentCompleted", "desktop.log")
    for name in ("OfferMade", "OfferAccepted"):
        assert name in said

    contact = reader.ask(f"/v1/contacts/{receipt['contact_id']}")
    assert (contact["state"], contact["queue_id"], contact["agent_id"]) == ("ended", "cards", "ada")
    again = reader.type(submit.replace("-sS", "-sSi"))
    assert receipt["contact_id"] in again
    assert "idempotency-replayed: true" in again.lower()
    history = json.loads(reader.type(look))
    assert [event["type"] for event in history["events"]].count("contact.queued") == 1
    assert {"admin:eve", "agent:ada", "gateway:web"} <= {e["actor"] for e in history["events"]}

    os.killpg(router.pid, signal.SIGINT)
    assert router.wait(TIMEOUT_S) == 0


def test_the_example_desktop_has_at_most_ten_lines() -> None:
    desktop = next(
        text for language, text in blocks("A first contact by hand") if language == "python"
    )
    lines = [line for line in desktop.splitlines() if line.strip() and "import" not in line]
    assert len(lines) <= 10 + 1  # Plus the line that runs it.


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    ((_, text),) = blocks("Two commands")
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = re.findall(r"^make (\w+)", text, re.MULTILINE)
    assert targets == ["run", "test"]
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
