"""The README's first contact, executed word for word except for the port."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.terminal_session import REPOSITORY, TIMEOUT_S, TerminalSession, code_blocks


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[TerminalSession]:
    session = TerminalSession(tmp_path)
    yield session
    session.stop()


def test_the_first_contact_by_hand_works_as_the_readme_describes(reader: TerminalSession) -> None:
    code = code_blocks("README.md", "A first contact by hand")
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
    desktop = next(text for language, text in code_blocks("README.md", "A first contact by hand") if language == "python")
    lines = [line for line in desktop.splitlines() if line.strip() and "import" not in line]
    assert len(lines) <= 10 + 1  # Plus the line that runs it.


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    ((_, text),) = code_blocks("README.md", "Two commands")
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = re.findall(r"^make (\w+)", text, re.MULTILINE)
    assert targets == ["run", "test"]
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
