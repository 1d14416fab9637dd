"""From a connection to live events: a welcome, or the missed events of a position that is still known."""

import asyncio
from pathlib import Path

from router.model import commands as c
from router.model.states import AgentState
from tests.support.builders import ready
from tests.support.in_process_router import running_router


async def test_a_client_that_comes_back_gets_what_it_missed_and_no_new_state(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, router.desktop("a0") as desktop, asyncio.timeout(20):
        first = desktop.welcome
        frames = desktop.__aiter__()
        await router.do(ready("a0"))
        assert (await anext(frames)).seq == 6  # After the connect of the desktop, which is event 5.
        await desktop.drop_connection()
        await router.do(c.SetAgentState(agent_id="a0", state=AgentState.NOT_READY, reason="lunch"))
        await router.do(c.SetAgentState(agent_id="a1", state=AgentState.READY))
        await router.do(ready("a0"))
        numbers = []
        async for frame in frames:
            numbers.append(frame.seq)
            if frame.seq == router.writer.publisher.last_seq("default"):
                break
        assert desktop.connection_count == 2
        assert desktop.welcome is first
        assert desktop.state.state is AgentState.READY
        assert (await desktop.ping()).seq == router.writer.publisher.last_seq("default")


async def test_a_client_hears_the_position_of_events_that_are_not_for_it(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, router.desktop("a0") as desktop, asyncio.timeout(20):
        for number in range(3):
            await router.do(ready("a1") if number % 2 == 0 else c.SetAgentState(agent_id="a1", state=AgentState.OFFLINE))
            pong = await desktop.ping()
            assert pong.seq == router.writer.publisher.last_seq("default")


async def test_a_position_of_another_history_gets_the_whole_state(tmp_path: Path) -> None:
    async with running_router(tmp_path) as router, router.supervisor() as supervisor, asyncio.timeout(20):
        first = supervisor.welcome
        supervisor._connection.history_id = "another"
        await supervisor.drop_connection()
        async for frame in supervisor:
            if type(frame).__name__ == "WelcomeFrame":
                break
        assert supervisor.welcome is not first
        assert set(supervisor.workspace.agents) == {"a0", "a1", "a2"}
