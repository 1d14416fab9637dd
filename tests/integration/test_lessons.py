"""Lessons from other routers that involve the writer and a restart; the table is in ``docs/lessons.md``."""

from pathlib import Path

from router.journal.sqlite import SqliteJournal
from router.model import commands as c
from router.model.states import AgentState, Presence
from tests.builders import START_MS, a_contact, an_agent, published, ready
from tests.integration.hand_clock import HandClock
from tests.integration.house import a_writer, do


async def test_presence_is_reset_at_the_start_with_the_reason(tmp_path: Path) -> None:
    """Lessons A15 and D3: sessions of the previous process are lost; agents that stay away go offline with the reason."""
    path = tmp_path / "journal.db"
    async with a_writer(SqliteJournal(path, ballast_bytes=0), clock=HandClock(START_MS)) as writer:
        await writer.add_workspace("main")
        await do(writer, published())
        for name in ("ada", "bob", "cy"):
            await do(writer, an_agent(name))
            await do(writer, ready(name))
        await do(writer, c.ConnectDesktop(agent_id="ada", session_id="s1"))
        await do(writer, c.ConnectDesktop(agent_id="bob", session_id="s2"))
    clock = HandClock(START_MS)
    async with a_writer(SqliteJournal(path, ballast_bytes=0), clock=clock) as writer:

        async def observed(name: str) -> tuple[AgentState, str | None, Presence]:
            answered = await writer.ask("main", lambda engine: engine.agent(name))
            view = answered.value
            assert view is not None
            return view.state, view.reason, view.presence

        assert await observed("ada") == (AgentState.READY, None, Presence.LOST)
        assert await observed("cy") == (AgentState.READY, None, Presence.NONE)
        await do(writer, a_contact())
        offered = await writer.ask("main", lambda engine: engine.contact("c1"))
        assert offered.value is not None
        assert [one.agent_id for one in offered.value.offers] == ["cy"]
        await do(writer, c.ConnectDesktop(agent_id="bob", session_id="s3"))
        clock.advance(15_000)
        await do(writer, c.AdvanceTime())
        assert await observed("ada") == (AgentState.OFFLINE, "desktop_lost", Presence.NONE)
        assert await observed("bob") == (AgentState.READY, None, Presence.ATTACHED)
