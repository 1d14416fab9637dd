"""Bounds for the clock at the start, and the reset of a journal that was written with a wrong clock.

The router's time never goes back (``runtime.clock``), so one start with a clock that is a day ahead puts the journal a day ahead,
and slewing by half a per cent would take 200 days. A start therefore refuses a journal that is further ahead of the wall clock than
``runtime.clock_ahead_s_max``: either the clock is wrong now, and has to be set, or it was wrong before, and then the journal has to
be reset.

**Reset** (``router journal reset-clock``, with the router stopped). The state of each workspace that is ahead is moved back to the
present with all its times, so that every duration stays as it was: waits, remaining offers, wrap-up. The journal then begins again
with that state, under a new history id, so that clients load it completely; the records before are in a backup that is made first.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from router.engine.engine import Engine
from router.engine.snapshots.shift import shift_snapshot, shift_times
from router.journal.port import Snapshot
from router.journal.sqlite.journal import SqliteJournal
from router.model.errors import ClockImplausible
from router.model.states import WorkspaceId
from router.runtime.publisher import Publisher
from router.runtime.recovery import StatsProjection, complete, recover_workspace
from router.settings import RuntimeSettings
from router.statistics.history import realign
from router.statistics.state import StatsSnapshot

AHEAD_MS_MIN: Final = 2_000
"""A workspace that is less ahead is left as it is: slewing absorbs that in minutes."""

# No journal is older than the router; a clock before that has not been set since the machine started.
_EARLIEST_MS: Final = 1_704_067_200_000
_DAY_MS: Final = 86_400_000


class ClockReset(Struct, frozen=True, kw_only=True):
    """A workspace that was moved back by ``ahead_ms``."""

    workspace: WorkspaceId
    ahead_ms: int
    seq: int


def check_clock(settings: RuntimeSettings, *, wall_ms: int, newest_ms: int) -> None:
    """Check the wall clock against the newest record of the journal, 0 where there is none. Raises ClockImplausible."""
    if wall_ms < _EARLIEST_MS:
        raise ClockImplausible("the clock of this machine is before 2024: set it before the router starts")
    if not newest_ms:
        return
    if newest_ms - wall_ms > settings.clock_ahead_s_max * 1000:
        raise ClockImplausible(
            f"the newest record of the journal is {_text(newest_ms - wall_ms)} ahead of this machine's clock. If that is wrong, "
            "set it. If it is right, it was wrong before: run `router journal reset-clock` (or raise runtime.clock_ahead_s_max)"
        )
    if wall_ms - newest_ms > settings.clock_behind_days_max * _DAY_MS:
        raise ClockImplausible(
            f"this machine's clock is {_text(wall_ms - newest_ms)} after the newest record of the journal. If the clock is wrong, "
            "set it; if the router was stopped for so long, raise runtime.clock_behind_days_max"
        )


async def reset_clock(
    journal: SqliteJournal,
    *,
    backup: Path,
    companions: tuple[Path, ...],
    now_ms: int,
    new_stats: Callable[[WorkspaceId], StatsProjection],
) -> list[ClockReset]:
    """Move the workspaces of a closed journal that are ahead of ``now_ms`` back to it, after a backup; close the journal.

    Raises JournalError. Nothing is changed, and no backup is made, where no workspace is ahead.
    """
    try:
        resets, snapshots = [], {}
        for history in await journal.open():
            recovered = await recover_workspace(
                journal, history, new_engine=Engine, new_stats=new_stats, publisher=Publisher(), replay_record_count=0
            )
            engine = recovered.engine
            ahead_ms = engine.at_ms - now_ms
            if ahead_ms < AHEAD_MS_MIN:
                continue
            resets.append(ClockReset(workspace=history.workspace, ahead_ms=ahead_ms, seq=engine.seq))
            snapshots[history.workspace] = Snapshot(
                seq=engine.seq,
                at_ms=now_ms,
                engine_state=shift_snapshot(engine.snapshot(), -ahead_ms),
                stats_state=shift_stats(complete(recovered.stats.incremental_snapshot()), -ahead_ms),
            )
        if snapshots:
            await journal.back_up(backup, companions=companions)
            await journal.rebase(snapshots)
        return resets
    finally:
        await journal.close()


def shift_stats(data: bytes, by_ms: int) -> bytes:
    """Return the statistics with all points in time moved by ``by_ms``. Minutes and quarters begin at full ones again."""
    if not data:
        return data
    content = shift_times(msgspec.msgpack.decode(data, type=StatsSnapshot), by_ms)
    realign(content.history)
    return msgspec.msgpack.encode(content)


def _text(duration_ms: int) -> str:
    days, hours = divmod(duration_ms // 3_600_000, 24)
    return f"{days} days {hours} hours" if days else f"{hours} hours {duration_ms // 60_000 % 60} minutes"
