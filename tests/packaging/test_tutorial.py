"""The commands of the tutorial, executed word for word except for the port, against a real router process."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.terminal_session import REPOSITORY, TIMEOUT_S, TerminalSession, code_blocks

PAGE: Final = "docs/tutorial/first-centre.md"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[TerminalSession]:
    session = TerminalSession(tmp_path)
    yield session
    session.stop()


def commands(heading: str) -> list[str]:
    """Return the shell blocks of a chapter."""
    return [text for language, text in code_blocks(PAGE, heading) if language == "sh"]


def test_every_step_of_the_tutorial_works_as_described(reader: TerminalSession) -> None:
    write_policy, try_policy = commands("Write a policy")
    assert "valid" in reader.type(write_policy)
    assert "Queue billing, by the rule invoices." in reader.type(try_policy)

    (serve,) = commands("Start the router")
    router = reader.start(serve, "router.log")
    reader.wait_for('"action":"started"', "router.log")

    (create_agent,) = commands("Create an agent")
    assert json.loads(reader.type(create_agent))["state"] == "offline"

    submit, why = commands("Submit a contact")
    receipt = json.loads(reader.type(submit))
    assert receipt["state"] == "queued"
    reason = json.loads(reader.type(why))
    assert (reason["rule"], reason["qualified"]) == ("invoices", 1)
    assert reason["requirement"] == "voice/billing:billing>=5,english>=3"
    (ada,) = reason["agents"]
    assert [condition["code"] for condition in ada["unmet_conditions"]] == ["state"]

    (desktop,) = [text for language, text in code_blocks(PAGE, "Connect a desktop") if language == "python"]
    (reader.directory / "first-centre" / "desktop.py").write_text(reader.words(desktop))
    (run_desktop,) = commands("Connect a desktop")
    reader.start(run_desktop.replace("&", "").strip(), "desktop.log")
    printed = reader.wait_for("AssignmentCompleted", "desktop.log")
    names = ["OfferMade", "OfferAccepted", "ContactEnded", "AssignmentCompleted"]
    places = [printed.index(f"\n{name}(") for name in names]
    assert places == sorted(places)

    result, history = commands("Look at the result")
    ask_contact, ask_queue = result.splitlines()
    contact = json.loads(reader.type(ask_contact))
    assert (contact["contact_id"], contact["state"]) == (receipt["contact_id"], "ended")
    counted = json.loads(reader.type(ask_queue))["stats"]["contacts"]
    assert counted["flow"]["submitted"] == 1
    assert counted["service"]["answered"] == 1
    assert counted["handling"]["handled"] == 1
    assert counted["service_level"] in (0.0, 1.0)
    assert counted["asa_ms"] > 0
    events = json.loads(reader.type(history))["events"]
    assert {"admin:eve", "agent:ada", "gateway:web"} <= {event["actor"] for event in events}

    os.killpg(router.pid, signal.SIGINT)
    assert router.wait(TIMEOUT_S) == 0


def test_the_tutorial_starts_with_a_target_of_the_makefile() -> None:
    (run,) = commands("See a centre at work")
    printed = subprocess.run(
        [*run.split(), "--dry-run"], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=TIMEOUT_S
    ).stdout
    assert "router demo" in printed
