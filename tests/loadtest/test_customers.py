"""Driver of the customers: submits at their times, patience, and the end of the day."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from router.client import GatewayClient, OutcomeUnknown, RouterRefused
from router.loadtest.customers import WITHDRAWN_REASON, CustomerDriver
from router.loadtest.execution import DayClock, LoadTestFailed, TaskPool
from router.loadtest.scaling import PolicyScaling
from router.loadtest.tracker import ContactTracker
from router.model.states import ContactState
from router.protocol.frames import ErrorFrame, EventFrame, OkFrame
from router.simulator.day import PlannedContact
from tests.loadtest.histories import accept

SPEED = 1_000


class FakeGateway:
    """Gateway client that records commands; ``refusal`` is the code of its answer to a submit."""

    def __init__(self) -> None:
        self.refusal: str | None = None
        self.failures = 0
        self.commands: list[tuple[str | None, ...]] = []
        self.attributes: list[dict[str, Any]] = []

    async def submit(self, channel: str, **fields: Any) -> OkFrame:
        self.commands.append(("submit", channel, fields["queue_id"]))
        self.attributes.append(fields["attributes"])
        if self.refusal is not None:
            raise RouterRefused(ErrorFrame(code=self.refusal, title="refused"))
        return OkFrame(id="1", subject=f"c{len(self.commands)}")

    async def abandon(self, contact_id: str) -> OkFrame:
        self.commands.append(("abandon", contact_id))
        if self.failures:
            self.failures -= 1
            raise OutcomeUnknown("lost")
        return OkFrame(id="1")

    async def cancel(self, contact_id: str, reason: str) -> OkFrame:
        self.commands.append(("cancel", contact_id, reason))
        return OkFrame(id="1")


class Run:
    """Driver with a fake gateway and a clock that has started."""

    def __init__(self, *plans: PlannedContact, tasks: TaskPool) -> None:
        self.gateway = FakeGateway()
        self.tracker = ContactTracker(plans)
        clock = DayClock(start_ms=0, speed=SPEED)
        clock.start(router_now_ms=0)
        self.driver = CustomerDriver(
            cast(GatewayClient, self.gateway), tracker=self.tracker, clock=clock, scaling=PolicyScaling(SPEED), tasks=tasks
        )


@asynccontextmanager
async def a_run(*plans: PlannedContact) -> AsyncIterator[Run]:
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        yield Run(*plans, tasks=TaskPool(group))


def a_call(at_ms: int = 0, **changes: Any) -> PlannedContact:
    fields: dict[str, Any] = {"queue_id": "calls"}
    return PlannedContact(contact_id=f"plan-{at_ms}", at_ms=at_ms, handle_ms=1_000, **(fields | changes))


async def wait_until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


async def test_contacts_are_submitted_in_order_and_their_ids_recorded() -> None:
    async with a_run(a_call(0), a_call(5_000)) as run:
        await run.driver.submit_all()
    assert run.gateway.commands == [("submit", "voice", "calls")] * 2
    assert [contact.contact_id for contact in run.tracker.contacts] == ["c1", "c2"]
    assert run.driver.all_submitted


async def test_a_contact_is_submitted_with_its_attributes_and_without_a_queue() -> None:
    async with a_run(a_call(queue_id=None, attributes={"topic": "card"})) as run:
        await run.driver.submit_all()
    assert run.gateway.commands == [("submit", "voice", None)]
    assert run.gateway.attributes == [{"topic": "card"}]


async def test_a_customer_whose_patience_ends_abandons() -> None:
    async with a_run(a_call(patience_ms=10_000)) as run:
        await run.driver.submit_all()
        await wait_until(lambda: len(run.gateway.commands) == 2)
    assert run.gateway.commands[-1] == ("abandon", "c1")
    assert run.driver.patience_timer_count == 0


async def test_an_abandon_is_repeated_until_it_is_answered() -> None:
    async with a_run(a_call(patience_ms=1_000)) as run:
        run.gateway.failures = 2
        await run.driver.submit_all()
        await wait_until(lambda: len(run.gateway.commands) == 4)
    assert run.gateway.commands.count(("abandon", "c1")) == 3


async def test_a_customer_who_is_answered_does_not_abandon() -> None:
    async with a_run(a_call(patience_ms=50_000)) as run:
        await run.driver.submit_all()
        await wait_until(lambda: run.driver.patience_timer_count == 1)
        run.driver._on_event(EventFrame(seq=1, at_ms=0, event=accept("c1")).event)
        assert run.driver.patience_timer_count == 0
        await asyncio.sleep(0.06)
    assert run.gateway.commands == [("submit", "voice", "calls")]
    assert run.tracker.contacts[0].answered


@pytest.mark.parametrize("code", ["queue_full", "queue_closed", "no_agents_ready"])
async def test_a_refused_customer_is_blocked(code: str) -> None:
    async with a_run(a_call()) as run:
        run.gateway.refusal = code
        await run.driver.submit_all()
    assert run.tracker.contacts[0].blocked
    assert run.tracker.all_ended.is_set()


async def test_any_other_refusal_ends_the_load_test() -> None:
    with pytest.raises(ExceptionGroup) as failed:
        async with a_run(a_call()) as run:
            run.gateway.refusal = "unknown_queue"
            await run.driver.submit_all()
    assert failed.group_contains(LoadTestFailed, match="unknown_queue")


async def test_open_contacts_are_withdrawn_at_the_end_of_the_day() -> None:
    async with a_run(a_call(0), a_call(1)) as run:
        await run.driver.submit_all()
        await wait_until(lambda: run.tracker.contacts[1].contact_id is not None)
        run.tracker.record_end(run.tracker.contacts[0], ContactState.ENDED)
        await run.driver.withdraw_open_contacts()
    assert run.gateway.commands[-1] == ("cancel", "c2", WITHDRAWN_REASON)
    assert [contact.withdrawn for contact in run.tracker.contacts] == [False, True]
