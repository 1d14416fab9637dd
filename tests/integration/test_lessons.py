"""Lessons from other routers that involve the writer and a restart; the table is in ``docs/explanation/lessons.md``."""

from pathlib import Path

from router.journal.sqlite.journal import SqliteJournal
from router.model import commands as c
from router.model.states import AgentState, Presence
from tests.support.builders import START_MS, a_contact, an_agent, published, ready
from tests.support.manual_clock import ManualClock
from tests.support.running_writer import execute_done, running_writer


async def test_presence_is_reset_at_the_start_with_the_reason(tmp_path: Path) -> None:
    """Lessons A15 and D3: sessions of the previous process are lost; agents that stay away go offline with the reason."""
    path = tmp_path / "journal.db"
    async with running_writer(SqliteJournal(path, reserved_bytes=0), clock=ManualClock(START_MS)) as writer:
        await writer.add_workspace("main")
        await execute_done(writer, published())
        for name in ("ada", "bob", "cy"):
            await execute_done(writer, an_agent(name))
            await execute_done(writer, ready(name))
        await execute_done(writer, c.ConnectDesktop(agent_id="ada", session_id="s1"))
        await execute_done(writer, c.ConnectDesktop(agent_id="bob", session_id="s2"))
    clock = ManualClock(START_MS)
    async with running_writer(SqliteJournal(path, reserved_bytes=0), clock=clock) as writer:

        async def observed(name: str) -> tuple[AgentState, str | None, Presence]:
            answered = await writer.query("main", lambda engine: engine.agent(name))
            view = answered.value
            assert view is not None
            return view.state, view.reason, view.presence

        assert await observed("ada") == (AgentState.READY, None, Presence.LOST)
        assert await observed("cy") == (AgentState.READY, None, Presence.NONE)
        await execute_done(writer, a_contact())
        offered = await writer.query("main", lambda engine: engine.contact("c1"))
        assert offered.value is not None
        assert [one.agent_id for one in offered.value.offers] == ["cy"]
        await execute_done(writer, c.ConnectDesktop(agent_id="bob", session_id="s3"))
        clock.advance(15_000)
        await execute_done(writer, c.AdvanceTime())
        assert await observed("ada") == (AgentState.OFFLINE, "desktop_lost", Presence.NONE)
        assert await observed("bob") == (AgentState.READY, None, Presence.ATTACHED)
