"""The README's first contact, typed word for word: only the port is another."""

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
    """The code blocks of a chapter: language and text."""
    text = (REPOSITORY / "README.md").read_text()
    _, found, chapter = text.partition(f"\n## {heading}\n")
    assert found, f"the README has no chapter {heading!r}"
    return re.findall(r"^```(\w+)\n(.*?)^```$", chapter.split("\n## ")[0], re.DOTALL | re.MULTILINE)


class Reader:
    """Somebody who does what the README says, in a directory that has the repository's files."""

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
            "ROUTER__EDGE__PORT": str(self.port),
            "ROUTER__TELEMETRY__METRICS_PORT": "0",
        }
        self.started: list[subprocess.Popen[bytes]] = []

    def words(self, text: str) -> str:
        """The README's text, with this test's port."""
        return text.replace("localhost:8080", f"localhost:{self.port}")

    def start(self, script: str, log: str) -> "subprocess.Popen[bytes]":
        """Type it into a terminal of its own."""
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
        """Type it into the second terminal, which keeps what is exported; what it printed."""
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
        """What stands in a log, once the text does."""
        deadline = time.monotonic() + TIMEOUT_S
        while text not in (said := (self.directory / log).read_text()):
            assert time.monotonic() < deadline, said
            time.sleep(0.05)
        return said

    def ask(self, path: str) -> Any:
        """What the API answers the administrator."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            headers={"Authorization": f"Bearer {self.environment['ADMIN']}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def leave(self) -> None:
        """Stop everything that still runs."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    somebody = Reader(tmp_path)
    yield somebody
    somebody.leave()


def test_the_first_contact_by_hand_goes_as_the_readme_says(reader: Reader) -> None:
    typed = blocks("A first contact by hand")
    assert [language for language, _ in typed] == ["sh", "sh", "python", "sh", "sh"]
    serve, prepare, desktop, call, look = (text for _, text in typed)

    router = reader.start(serve, "router.log")
    reader.wait_for('"action":"started"', "router.log")
    reader.type(prepare)
    (reader.directory / "desktop.py").write_text(reader.words(desktop))

    # `&` in a terminal: the desktop goes on while the next command is typed.
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


def test_the_desktop_is_ten_lines() -> None:
    desktop = next(
        text for language, text in blocks("A first contact by hand") if language == "python"
    )
    lines = [line for line in desktop.splitlines() if line.strip() and "import" not in line]
    assert len(lines) <= 10 + 1  # And the one that runs it.


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    ((_, text),) = blocks("Two commands")
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = re.findall(r"^make (\w+)", text, re.MULTILINE)
    assert targets == ["run", "test"]
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
