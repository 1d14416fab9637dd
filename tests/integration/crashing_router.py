"""A small router process for crash tests: a writer over a SQLite journal, and bursts of commands.

``crashing_router.py JOURNAL FIRST COUNT`` submits contacts FIRST, FIRST + 1… in bursts and prints one line per reply,
``contact seq history_id``, with a single write that a kill cannot split. CRASH_AT selects the point where it dies.
"""

import asyncio
import os
import sys
from pathlib import Path

from router.journal.sqlite.journal import SqliteJournal
from router.model.results import Done
from router.runtime.writer import Writer
from tests.support.builders import a_contact, a_policy, an_agent, published, ready

BURST = 8


async def submit(writer: Writer, number: int) -> None:
    reply = await writer.execute("main", a_contact(f"c{number}"), actor="gateway:test")
    answer = reply.outcome.result
    assert isinstance(answer, Done)
    os.write(1, f"c{number} {answer.seq} {reply.history_id}\n".encode())


async def main(path: Path, first: int, count: int) -> None:
    writer = Writer(SqliteJournal(path, reserved_bytes=0))
    if not await writer.recover():
        await writer.add_workspace("main")
    running = asyncio.create_task(writer.run())
    await writer.execute("main", published(a_policy()), actor="admin:test")
    await writer.execute("main", an_agent(), actor="admin:test")
    await writer.execute("main", ready(), actor="agent:ada")
    for start in range(first, first + count, BURST):
        async with asyncio.TaskGroup() as group:
            for number in range(start, min(start + BURST, first + count)):
                group.create_task(submit(writer, number))
    await writer.stop()
    await running


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
