"""Driver of one agent: answers to offers, handling times, and lost connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any, cast

import pytest

from router.client import CachedAgent, DesktopClient, OutcomeUnknown, RouterRefused
from router.loadtest.agents import AgentDriver, DriverContext
from router.loadtest.execution import DayClock, LoadTestFailed, TaskPool
from router.loadtest.tracker import ContactTracker
from router.model import events as ev
from router.model.policy import ChannelPolicy, Policy, QueuePolicy
from router.model.states import AgentState
from router.protocol.frames import ErrorFrame, OkFrame
from router.simulator.behaviour import Workforce
from router.simulator.day import AgentBehaviour, PlannedAgent
from tests.loadtest.histories import a_tracker, accept, offer

SPEED = 1_000
AUTO_ACCEPT = Policy(channels={"voice": ChannelPolicy(auto_accept=True, wrap_up_s=2)}, queues={"calls": QueuePolicy()})
MANUAL = Policy(channels={"voice": ChannelPolicy()}, queues={"calls": QueuePolicy()})


class FakeDesktop:
    """Desktop client that records commands and applies those that succeed to the agent's state."""

    def __init__(self) -> None:
        self.state = CachedAgent(agent_id="ada")
        self.commands: list[tuple[str, ...]] = []
        self.failures = 0
        self.refusal: str | None = None

    def _answer(self, *command: str) -> OkFrame:
        self.commands.append(command)
        if self.failures:
            self.failures -= 1
            raise OutcomeUnknown("lost")
        if self.refusal is not None:
            raise RouterRefused(ErrorFrame(code=self.refusal, title="refused"))
        return OkFrame(id="1")

    async def set_state(self, state: AgentState, *, after_work: bool = False) -> OkFrame:
        return self._answer("set_state", str(state))

    async def accept(self, offer_id: str) -> OkFrame:
        answer = self._answer("accept", offer_id)
        self.state.apply(accept(offer_id.partition(".")[0]), 0)
        return answer

    async def decline(self, offer_id: str) -> OkFrame:
        return self._answer("decline", offer_id)

    async def end(self, contact_id: str) -> OkFrame:
        return self._answer("end", contact_id)

    async def complete(self, assignment_id: str) -> OkFrame:
        return self._answer("complete", assignment_id)


class Run:
    """Driver with a fake desktop and a clock that has started."""

    def __init__(self, policy: Policy, behaviour: AgentBehaviour, tracker: ContactTracker, tasks: TaskPool) -> None:
        agent = PlannedAgent(agent_id="ada", behaviour=behaviour)
        clock = DayClock(start_ms=0, speed=SPEED)
        clock.start(router_now_ms=0)
        self.desktop = FakeDesktop()
        self.context = DriverContext(
            tracker=tracker, clock=clock, workforce=Workforce((agent,)), policy=policy, rng=Random(1), tasks=tasks
        )
        self.driver = AgentDriver(agent, cast(DesktopClient, self.desktop), self.context)

    def receive(self, event: ev.Event) -> None:
        """Deliver an event as the connection would: to the state, then to the driver."""
        self.desktop.state.apply(event, 0)
        self.driver._on_event(event, 0)


@asynccontextmanager
async def a_run(
    policy: Policy = AUTO_ACCEPT, *, behaviour: AgentBehaviour | None = None, tracker: ContactTracker | None = None
) -> AsyncIterator[Run]:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        yield Run(policy, behaviour or AgentBehaviour(), tracker or a_tracker("c1"), TaskPool(group))


def offer_of(tracker: ContactTracker, **changes: Any) -> ev.OfferMade:
    made = offer("c1")
    fields = {name: getattr(made, name) for name in made.__struct_fields__}
    return ev.OfferMade(**(fields | {"reference": tracker.contacts[0].reference} | changes))


async def test_an_offer_is_accepted_handled_and_completed() -> None:
    tracker = a_tracker("c1")
    async with a_run(tracker=tracker) as run:
        run.receive(offer_of(tracker))
        assert run.driver.open_work_count == 1
    assert run.desktop.commands == [("accept", "c1.1"), ("end", "c1"), ("complete", "c1.1")]


async def test_handling_and_wrap_up_take_the_scaled_time() -> None:
    tracker = a_tracker("c1")
    started_s = asyncio.get_running_loop().time()
    async with a_run(tracker=tracker) as run:
        run.receive(offer_of(tracker))
    # One second of handling and two of wrap-up at a thousand times real time.
    assert 0.003 <= asyncio.get_running_loop().time() - started_s < 1


async def test_only_an_offer_of_the_day_is_accepted() -> None:
    async with a_run() as run:
        run.receive(offer("c9"))
    assert run.desktop.commands == [("decline", "c9.1")]


async def test_an_agent_who_never_answers_sends_nothing() -> None:
    tracker = a_tracker("c1")
    async with a_run(MANUAL, behaviour=AgentBehaviour(no_answer_share=1.0), tracker=tracker) as run:
        run.receive(offer_of(tracker))
    assert run.desktop.commands == []


async def test_an_agent_who_always_declines_declines() -> None:
    tracker = a_tracker("c1")
    async with a_run(MANUAL, behaviour=AgentBehaviour(decline_share=1.0), tracker=tracker) as run:
        run.receive(offer_of(tracker))
    assert run.desktop.commands == [("decline", "c1.1")]


async def test_a_command_is_repeated_until_it_is_answered() -> None:
    tracker = a_tracker("c1")
    async with a_run(tracker=tracker) as run:
        run.desktop.failures = 2
        run.receive(offer_of(tracker))
    assert run.desktop.commands.count(("accept", "c1.1")) == 3


async def test_a_rescinded_offer_is_not_answered_any_more() -> None:
    tracker = a_tracker("c1")
    async with a_run(MANUAL, behaviour=AgentBehaviour(answer_mean_ms=60_000_000), tracker=tracker) as run:
        run.receive(offer_of(tracker))
        await asyncio.sleep(0)
        run.receive(ev.OfferRescinded(offer_id="c1.1", contact_id="c1", agent_id="ada", reason="taken"))
        assert run.driver.open_work_count == 0
    assert run.desktop.commands == []


async def test_an_offer_without_wait_is_a_latency_sample() -> None:
    tracker = a_tracker("c1")
    async with a_run(tracker=tracker) as run:
        run.receive(offer_of(tracker))
    assert len(tracker.latencies_s) == 1


async def test_after_missed_events_ended_work_is_dropped_and_new_offers_are_answered() -> None:
    tracker = a_tracker("c1", "c2")
    async with a_run(MANUAL, behaviour=AgentBehaviour(answer_mean_ms=1_000), tracker=tracker) as run:
        run.driver._track("c9.1", None)
        run.desktop.state.apply(offer_of(tracker), 0)
        run.driver._resynchronize()
        assert run.driver.open_work_count == 1
    assert run.desktop.commands[0] == ("accept", "c1.1")


async def test_a_refused_state_ends_the_load_test_with_the_agent_named() -> None:
    async with a_run() as run:
        run.desktop.refusal = "agent_state"
        with pytest.raises(LoadTestFailed, match="agent ada"):
            await run.driver.start_shift()
