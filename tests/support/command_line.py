"""Runs of the ``router`` command inside the test process, and the files that its tests read."""

from pathlib import Path
from typing import Final

from click.testing import CliRunner, Result

from router.cli import cli
from router.journal.records import Record
from router.journal.sqlite.journal import SqliteJournal
from router.model.events import PolicyPublished
from tests.support.builders import START_MS, a_policy

HOUR_OF_CALLS: Final = """\
name: tiny
duration_s: 3600
streams:
  calls:
    arrivals: {per_hour: 60}
    handle: {dist: exponential, mean_s: 120}
    patience: {dist: exponential, mean_s: 60}
agent_groups:
  team: {count: 2}
"""


def run_command(*arguments: str, text: str | None = None) -> Result:
    """Run ``router`` with these arguments; ``text`` is its standard input."""
    return CliRunner().invoke(cli, list(arguments), input=text)


def error_line(result: Result) -> str:
    """Return the only line that a failing command has written to standard error; standard output must be empty."""
    assert result.stdout == ""
    (line,) = result.stderr.strip().splitlines()
    assert "Traceback" not in line
    return line


async def write_journal(path: Path) -> None:
    """Write a journal with one record, a published policy."""
    journal = SqliteJournal(path, reserved_bytes=0)
    await journal.open()
    await journal.create_workspace("default")
    event = PolicyPublished(version=1, policy=a_policy(default_queue="support", skills=()))
    record = Record(epoch=1, first_seq=1, at_ms=START_MS, actor="admin:eve", cause="policy.publish", events=(event,))
    await journal.append([("default", record)])
    await journal.close()
