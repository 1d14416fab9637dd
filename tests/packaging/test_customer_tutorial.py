"""The commands of the tutorial about customers, executed word for word except for the port, against a real router process."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.terminal_session import TIMEOUT_S, TerminalSession, code_blocks

PAGE: Final = "docs/tutorial/first-customer.md"


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[TerminalSession]:
    session = TerminalSession(tmp_path)
    yield session
    session.stop()


class Follower:
    """A reader who types the shell blocks of the page in one terminal."""

    def __init__(self, session: TerminalSession) -> None:
        self.session = session
        self._functions = ""

    def type(self, heading: str) -> list[str]:
        """Type the blocks of a chapter; return what they print."""
        printed = ""
        for language, text in code_blocks(PAGE, heading):
            if language == "sh":
                # A terminal keeps functions and variables; the session keeps what is exported.
                printed += self.session.type(f"set -a\n{self._functions}\n{text}")
                self._functions += "".join(f"{line}\n" for line in text.splitlines() if "() {" in line)
        return printed.splitlines()


def answers(lines: list[str]) -> list[Any]:
    """Return the answers among the printed lines; none is an error."""
    found = [json.loads(line) for line in lines if line.startswith("{")]
    assert not [one for one in found if "/docs/errors#" in one.get("type", "")], found
    return found


def test_every_step_of_the_tutorial_works_as_described(reader: TerminalSession) -> None:
    follower = Follower(reader)
    assert "valid" in " ".join(follower.type("Write a policy"))
    (serve,) = (text for language, text in code_blocks(PAGE, "Start the router") if language == "sh")
    router = reader.start(serve, "router.log")
    reader.wait_for('"action":"started"', "router.log")
    *agents, ready = answers(follower.type("Create agents"))
    assert [one["agent_id"] for one in agents] == ["ada", "bob"] and "seq" in ready

    recorded = answers(follower.type("Record what the customer does"))[-1]
    (example,) = (text for language, text in code_blocks(PAGE, "Record what the customer does") if language == "json")
    assert recorded == json.loads(example)

    asked, chosen = answers(follower.type("Let the customer choose"))
    assert [one["id"] for one in asked["options"]] == ["now", "chat"]
    assert (chosen["channel"], chosen["state"]) == ("chat", "waiting")

    contact, _, card, note = answers(follower.type("See what the agent sees"))
    assert (contact["queue_id"], contact["rule"]) == ("payments", "payment-trouble")
    assert (card["customer"]["name"], card["now"]["screen"]) == ("Ann Miller", "payments/confirm")
    assert [step["result"] for step in card["steps"]] == ["failed", "failed"]
    assert note["author"] == "agent:ada"

    *_, resumed, ada, card = answers(follower.type("Stop, and go on by telephone"))
    assert resumed["contact_id"] == contact["contact_id"]
    (offer,) = ada["offers"]
    assert (offer["contact_id"], offer["channel"]) == (contact["contact_id"], "voice")
    assert [one["text"] for one in card["notes"]] == ["Stopped by the daily limit."]

    printed = follower.type("Find, export and erase the customer")
    assert "name Ann Miller" in printed[0]
    assert sum("payment invoice failed (app)" in line for line in printed) == 2
    exported, card = answers(printed)
    assert "user-7" in json.dumps(exported)
    assert card["status"] == "erased" or card["status"] == "none"
    assert "Ann" not in json.dumps(card)

    os.killpg(router.pid, signal.SIGINT)
    assert router.wait(TIMEOUT_S) == 0
