"""Simulated agents, one desktop connection each: follow the shifts, answer offers, handle contacts, wrap up.

Like a real desktop, a driver acts only on the frames of its own connection. How an agent answers (at once, late, not at all) is
part of the day's plan; if the day's policy accepts offers automatically, the driver accepts each offer when it arrives.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from math import log
from random import Random
from typing import Final

from msgspec import Struct

from router.client import DesktopClient, NotConnected, OutcomeUnknown, RouterRefused
from router.loadtest.execution import DayClock, LoadTestFailed, TaskPool
from router.loadtest.scaling import is_auto_accepted, wrap_up_ms
from router.loadtest.tracker import ContactTracker
from router.model import events as ev
from router.model.policy import Policy
from router.model.states import AgentState
from router.protocol.frames import EventFrame, WelcomeFrame
from router.simulator.behaviour import Workforce
from router.simulator.day import PlannedAgent

FOREIGN_CONTACT_HANDLE_MS: Final = 60_000
"""Handling time of a contact that is not part of the day, such as one submitted by hand during the demo."""


class DriverContext(Struct, kw_only=True):
    """State shared by all agent drivers of a run."""

    tracker: ContactTracker
    clock: DayClock
    workforce: Workforce
    policy: Policy
    """Policy of the day, not scaled."""
    rng: Random
    tasks: TaskPool
    accept_foreign_contacts: bool = False
    """Whether to accept contacts that are not part of the day; otherwise they are declined."""


class AgentDriver:
    """Driver of one agent and its desktop connection."""

    def __init__(self, agent: PlannedAgent, desktop: DesktopClient, context: DriverContext) -> None:
        self.agent = agent
        self.desktop = desktop
        self._context = context
        self._clock = context.clock
        self._open_work: dict[str, asyncio.Task[None] | None] = {}
        """Pending offers and open assignments by their common id, with the task that works on each."""

    @property
    def open_work_count(self) -> int:
        """Number of pending offers and open assignments."""
        return len(self._open_work)

    # --- shifts ------------------------------------------------------------------------------------
    async def start_shift(self) -> None:
        """Begin a shift: go ready."""
        self._context.workforce.start_shift(self.agent.agent_id)
        await self._set_state(AgentState.READY)

    async def end_shift(self) -> None:
        """End a shift: go offline once the current work is completed."""
        self._context.workforce.end_shift(self.agent.agent_id)
        await self._set_state(AgentState.OFFLINE)

    async def _set_state(self, state: AgentState) -> None:
        after_work = state is AgentState.OFFLINE
        while True:
            try:
                await self.desktop.set_state(state, after_work=after_work)
                return
            except RouterRefused as refused:
                raise LoadTestFailed(f"the router refused the state {state} of agent {self.agent.agent_id}: {refused}") from refused
            except (OutcomeUnknown, NotConnected):
                continue

    async def _return_to_ready(self) -> None:
        """Go ready again, after the delay of the plan, when a missed offer has made the agent not ready."""
        await self._clock.sleep(self.agent.behaviour.ready_again_ms)
        if self._context.workforce.is_not_ready_on_shift(self.agent.agent_id):
            await self._set_state(AgentState.READY)

    # --- events -----------------------------------------------------------------------------------
    async def follow_events(self) -> None:
        """Process the desktop's events until the task is cancelled."""
        async for frame in self.desktop:
            if isinstance(frame, EventFrame):
                self._on_event(frame.event, self._clock.to_day_ms(frame.at_ms))
            elif isinstance(frame, WelcomeFrame):
                self._resynchronize()

    def _on_event(self, event: ev.Event, day_ms: int) -> None:
        me = self.agent.agent_id
        match event:
            case ev.OfferMade() if event.agent_id == me:
                self._on_offer(event, day_ms)
            case ev.OfferDeclined() | ev.OfferExpired() | ev.OfferRescinded():
                self._untrack(event.offer_id)
            case ev.AssignmentCompleted():
                self._untrack(event.assignment_id, keep_task=True)
            case ev.ContactAssigned() if event.agent_id == me:
                self._on_assigned(event, day_ms)
            case ev.AgentStateChanged():
                self._context.workforce.on_state_changed(event)
                if event.return_at_ms is None and self._context.workforce.is_not_ready_on_shift(me):
                    self._context.tasks.start(self._return_to_ready())

    def _on_offer(self, offer: ev.OfferMade, day_ms: int) -> None:
        now_s = time.perf_counter()
        contact = self._context.tracker.by_reference(offer.reference)
        if contact is not None:
            self._context.tracker.record_offer(contact, at_s=now_s, waited_ms=offer.waited_ms)
        task = self._context.tasks.start(self._handle_offer(offer, day_ms))
        self._track(offer.offer_id, task)

    def _on_assigned(self, event: ev.ContactAssigned, day_ms: int) -> None:
        """Handle a contact that a supervisor has assigned without an offer."""
        contact = self._context.tracker.by_contact_id(event.contact_id)
        handle_ms = FOREIGN_CONTACT_HANDLE_MS if contact is None else self.agent.handle_ms(contact.plan)
        work = self.desktop.state.assignments.get(event.assignment_id)
        named = contact.plan.queue_id if contact else None
        queue_id = named or (work.queue_id if work else "")
        channel = contact.plan.channel if contact else (work.channel if work else "")
        rest_ms = wrap_up_ms(self._context.policy, queue_id=queue_id, channel=channel)
        task = self._context.tasks.start(self._handle_contact(event.contact_id, event.assignment_id, day_ms + handle_ms, rest_ms))
        self._track(event.assignment_id, task)

    def _track(self, item_id: str, task: asyncio.Task[None] | None) -> None:
        if item_id not in self._open_work:
            self._context.workforce.add_work(self.agent.agent_id, 1)
        self._open_work[item_id] = task

    def _untrack(self, item_id: str, *, keep_task: bool = False) -> None:
        if item_id not in self._open_work:
            return
        task = self._open_work.pop(item_id)
        self._context.workforce.add_work(self.agent.agent_id, -1)
        # The task of an ended offer is cancelled; that of a completed assignment still waits for the answer to ``complete``.
        if task is not None and not keep_task:
            task.cancel()

    def _resynchronize(self) -> None:
        """Adopt the reloaded state after missed events: drop ended work and start work on new offers."""
        state = self.desktop.state
        for item_id in [i for i in self._open_work if i not in {*state.offers, *state.assignments}]:
            self._untrack(item_id)
        for offer in state.offers.values():
            if offer.offer_id not in self._open_work:
                self._on_offer(
                    ev.OfferMade(
                        offer_id=offer.offer_id,
                        contact_id=offer.contact_id,
                        agent_id=self.agent.agent_id,
                        channel=offer.channel,
                        queue_id=offer.queue_id,
                        units=0,
                        deadline_ms=offer.deadline_ms,
                        requirement="",
                        effective_priority_s=0,
                        policy_version=0,
                        reason=offer.reason,
                        waited_ms=max(1, offer.waited_ms),
                        reference=offer.reference,
                    ),
                    self._clock.now_ms,
                )

    # --- handling of a contact --------------------------------------------------------------------
    async def _handle_offer(self, offer: ev.OfferMade, day_ms: int) -> None:
        """Answer an offer and handle the contact; ``day_ms`` is the time at which the router made the offer.

        All following times count from the router's timestamp, so that network latency is part of the conversation and a day of
        many short conversations does not get longer.
        """
        contact = self._context.tracker.by_reference(offer.reference)
        if contact is None and not self._context.accept_foreign_contacts:
            await self._retry_until_answered(lambda: self.desktop.decline(offer.offer_id))
            return
        answered_ms = await self._answer_offer(offer, day_ms)
        if answered_ms is None:
            return
        rest_ms = wrap_up_ms(self._context.policy, queue_id=offer.queue_id, channel=offer.channel)
        handle_ms = FOREIGN_CONTACT_HANDLE_MS if contact is None else self.agent.handle_ms(contact.plan)
        await self._handle_contact(offer.contact_id, offer.offer_id, answered_ms + handle_ms, rest_ms)

    async def _answer_offer(self, offer: ev.OfferMade, day_ms: int) -> int | None:
        """Answer an offer as planned; return the time of the day of the accept, or None if it was not accepted."""
        policy, behaviour = self._context.policy, self.agent.behaviour
        answer_ms = day_ms
        if not is_auto_accepted(policy, queue_id=offer.queue_id, channel=offer.channel):
            chance, delay = self._context.rng.random(), self._context.rng.random()
            if chance < behaviour.no_answer_share:
                return None
            answer_ms += round(-log(1.0 - delay) * behaviour.answer_mean_ms)
            await self._clock.sleep_until(answer_ms)
            if chance < behaviour.no_answer_share + behaviour.decline_share:
                await self._retry_until_answered(lambda: self.desktop.decline(offer.offer_id))
                return None
        accepted = await self._retry_until_answered(lambda: self.desktop.accept(offer.offer_id))
        return answer_ms if accepted else None

    async def _handle_contact(self, contact_id: str, assignment_id: str, end_ms: int, rest_ms: int) -> None:
        await self._clock.sleep_until(end_ms)
        await self._retry_until_answered(lambda: self.desktop.end(contact_id))
        if rest_ms:
            await self._clock.sleep_until(end_ms + rest_ms)
        # The active policy may have a longer wrap-up than the day's policy; the agent completes it on time.
        if assignment_id in self.desktop.state.assignments:
            await self._retry_until_answered(lambda: self.desktop.complete(assignment_id))

    async def _retry_until_answered(self, send: Callable[[], Awaitable[object]]) -> bool:
        """Send a command until it is answered (all of them may be repeated); return False if it was refused."""
        while True:
            try:
                await send()
                return True
            except RouterRefused:
                return False
            except (OutcomeUnknown, NotConnected):
                continue
