"""The story of the demo as a process without a terminal, and what it says when the router does not do as told."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from router.demo.story import POLICY_PATH
from tests.support.terminal_session import REPOSITORY

pytestmark = pytest.mark.slow

# Runs `router demo --only story` with another policy than its own.
WITH_POLICY: Final = """\
import sys
from pathlib import Path
from router.cli import main
from router.demo.story import tell_story
tell_story.__kwdefaults__["policy"] = Path(sys.argv.pop(1))
main()
"""
STORY: Final = ("demo", "--only", "story")
PAGES: Final = ("README.md", "docs/tutorial/demo.md", "docs/how-to/run.md")


ENVIRONMENT: Final = {k: v for k, v in os.environ.items() if not k.startswith(("ROUTER_", "COLUMNS"))} | {"TERM": "xterm-256color"}


def run(directory: Path, *program: str, timeout_s: float = 90, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *program, *STORY],
        cwd=directory,
        env=ENVIRONMENT | {"COLUMNS": "80"} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The story as it is told, once for all tests of this file."""
    directory = tmp_path_factory.mktemp("story")
    done = run(directory, "-m", "router")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert list(directory.iterdir()) == []  # It leaves no files in the working directory.
    return done.stdout


def offers(told: str) -> list[tuple[str, str]]:
    """Return the agents who got an offer, with its channel, in order."""
    return re.findall(
        r'^  (\w+) +← \{"event": \{"type": "offer.made", "channel": "(\w+)", "queue_id": "payments"', told, re.MULTILINE
    )


def cards(told: str) -> list[str]:
    return re.findall(r"^  ┌─ the card that came.*?^  └─$", told, re.MULTILINE | re.DOTALL)


def test_the_same_agent_gets_the_conversation_on_both_days_and_another_one_the_next_caller(told: str) -> None:
    assert offers(told) == [("ada", "chat"), ("ada", "voice"), ("ben", "voice")]
    order = re.search(r"They became ready in this order:\s+dora,\s+ben,\s+cleo,\s+ada\.", told)
    assert order is not None, "ada is the one who has been idle for the shortest time"


def test_the_card_shows_what_was_before_two_days_earlier(told: str) -> None:
    first, second = cards(told)
    for card in (first, second):
        assert "(status: complete)" in card
        assert "Ann Miller, gold, app_user us… (verified)" in card
        assert "payments/confirm, pay invoice, Two attempts were refused: limit" in card
        assert card.count("payment invoice failed in the app reason=limit") == 2
        assert "+442079460123" not in card
    assert "notes" not in first and "upload" not in first
    assert "agent:ada: Stopped by the daily limit. Ann sends the passport." in second
    (uploaded,) = re.findall(r"(\w{3} \d\d \w{3}) \d\d:\d\d  upload passport ok", second)
    (failed, _) = re.findall(r"(\w{3} \d\d \w{3}) \d\d:\d\d  payment invoice failed", second)
    days = [time.strptime(f"{day} 2024", "%a %d %b %Y").tm_yday for day in (failed, uploaded)]
    assert (days[1] - days[0]) % 364 == 2


def test_the_options_show_a_wait_for_a_call_and_none_for_a_chat(told: str) -> None:
    text = " ".join(told.split())
    now = re.search(r'"id": "now", "channel": "voice", "position": 2, "wait_s": \{"p50": (\d+), "p90": (\d+)\}', text)
    assert now is not None and 0 < int(now[1]) < int(now[2])
    assert re.search(r'"id": "chat", "channel": "chat",( "position": \d+,)? "wait_s": \{"p50": 0, "p90": 0\}', text)


def test_the_journal_tells_the_whole_conversation_of_one_contact(told: str) -> None:
    history = re.findall(r"^  \d+ +(\w{3}) \d\d \w{3} \d\d:\d\d  ([\w.]+) +(\S+)$", told, re.MULTILINE)
    assert [(what, who) for _, what, who in history] == [
        ("contact.choosing", "gateway:bank"),
        ("contact.queued", "customer"),
        ("offer.made", "customer"),
        ("offer.accepted", "agent:ada"),
        ("contact.suspended", "customer"),
        ("assignment.wrap_up_started", "customer"),
        ("assignment.completed", "agent:ada"),
        ("contact.resumed", "customer"),
        ("offer.made", "customer"),
        ("offer.accepted", "agent:ada"),
        ("contact.ended", "agent:ada"),
        ("assignment.wrap_up_started", "agent:ada"),
        ("assignment.completed", "agent:ada"),
    ]


def test_the_story_can_be_read_in_a_pipe(told: str) -> None:
    assert "\x1b" not in told
    assert max(map(len, told.splitlines())) <= 100
    assert "NOT AS TOLD" not in told
    statements = re.search(r"^All (\d+) statements of the story hold\.$", told, re.MULTILINE)
    assert statements is not None and int(statements[1]) == len(re.findall(r"^  ok  ", told, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_show_the_story_as_it_is_told(page: str, told: str) -> None:
    texts = re.findall(r"^```text\n(.*?)^```$", (REPOSITORY / page).read_text(), re.MULTILINE | re.DOTALL)
    blocks = [block for block in texts if "──" in block or "statements of the story" in block]
    assert blocks, f"{page} does not show the story"
    lines = [steady(line) for line in told.splitlines()]
    for block in blocks:
        place = 0
        for line in block.splitlines():
            if line.strip() in ("", "…"):
                continue
            assert steady(line) in lines[place:], f"{page}: not told, or not in this order: {line}"
            place = lines.index(steady(line), place) + 1


def steady(line: str) -> str:
    """Return a line without what differs from run to run: ids, times, ports and numbers."""
    line = re.sub(r"[\w-]+…", "ID…", line)
    line = re.sub(r"\b[A-Z][a-z]{2} \d\d [A-Z][a-z]{2} \d\d:\d\d\b", "TIME", line)
    return " ".join(re.sub(r"\d+", "0", line).split())


def test_a_terminal_of_80_columns_shows_it_in_colours_and_within_them(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 80, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "router", *STORY], cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs, env=ENVIRONMENT
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # The end of a terminal is an error of input and output.
        while chunk := os.read(ours, 65_536):
            shown += chunk
    os.close(ours)
    assert process.wait(30) == 0
    text = shown.decode().replace("\r\n", "\n")
    assert "\x1b[" in text
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    assert "statements of the story hold." in plain
    assert [line for line in plain.splitlines() if len(line) > 80] == []


# --- a router that does not do as told ----------------------------------------------------------------


def test_without_a_preference_for_the_last_agent_the_story_says_so_and_fails(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY_PATH.read_text().replace("prefer_last_agent_s: 60", "prefer_last_agent_s: 0"))
    done = run(tmp_path, "-c", WITH_POLICY, str(policy))
    assert done.returncode == 1, done.stdout + done.stderr
    assert offers(done.stdout) == [("ada", "chat"), ("ben", "voice"), ("cleo", "voice")]
    said = re.search(r'^  NOT AS TOLD  the call goes to ada again.*\n +told: "ada"\n +here: "ben"$', done.stdout, re.MULTILINE)
    assert said is not None, done.stdout
    assert "The story did not go as told: 2 of " in done.stdout
    assert "7. The payment goes through" in done.stdout, "the story goes on to its end"
    assert done.stderr == ""


def test_what_the_router_refuses_ends_the_story_with_one_line(tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY_PATH.read_text().replace("  channels: [chat]\n", ""))
    # An output without the characters of the lines and arrows shows question marks.
    done = run(tmp_path, "-c", WITH_POLICY, str(policy), PYTHONIOENCODING="ascii")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "?? 3. Ann chooses a chat" in done.stdout
    assert "  NOT AS TOLD  Ann can wait for a call, chat, be called back, or stop" in done.stdout
    assert re.search(r"^  THE STORY ENDS HERE  .*option", done.stdout, re.MULTILINE), done.stdout[-800:]
    assert "Traceback" not in done.stdout + done.stderr


def test_an_interrupted_story_stops_its_router(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "router", *STORY], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert "A router process serves" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.wait(30) == 130, rest
    assert "Traceback" not in rest
