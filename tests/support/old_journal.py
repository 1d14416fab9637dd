"""Write a journal as of some days ago: ``old_journal.py JOURNAL DAYS``; a policy, contacts, and snapshots in between.

With a negative number its clock was ahead.
"""

import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from router.app.restorable_stats import RestorableStats
from router.journal.sqlite.journal import SqliteJournal
from router.runtime.writer import Writer
from tests.support.builders import a_contact, a_policy, published
from tests.support.manual_clock import ManualClock

DAY_MS = 86_400_000
STARTS = 3
CONTACTS_PER_START = 20


async def main(path: Path, days: int) -> None:
    clock = ManualClock(int(time.time() * 1000) - days * DAY_MS)
    for start in range(STARTS):
        writer = Writer(SqliteJournal(path, reserved_bytes=0), clock=clock, new_stats=lambda _: RestorableStats())
        if not await writer.recover():
            await writer.add_workspace("default")
        running = asyncio.create_task(writer.run())
        if start == 0:
            await writer.execute("default", published(a_policy()), actor="admin:test")
        for number in range(CONTACTS_PER_START):
            clock.advance(1_000)
            await writer.execute("default", a_contact(f"c{start}-{number}", ttl_s=40_000_000), actor="gateway:test")
        await writer.stop()
        await running


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
