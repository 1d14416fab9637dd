"""Simulated customers behind one gateway: submit each contact at its planned time and abandon it when its patience ends.

One connection carries all contacts. Each submit and each abandon is a task of its own, so that a slow answer for one contact
delays no other.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from router.client import GatewayClient, NotConnected, OutcomeUnknown, RouterRefused
from router.loadtest.execution import DayClock, LoadTestFailed, TaskPool
from router.loadtest.scaling import PolicyScaling
from router.loadtest.tracker import ContactTracker, TrackedContact
from router.model import events as ev
from router.model.states import ContactState
from router.protocol.frames import EventFrame, WelcomeFrame

WITHDRAWN_REASON: Final = "closed"
"""Cancel reason of contacts that no agent is left to serve at the end of the day."""

_TERMINAL_STATES: Final[dict[type[ev.Event], ContactState]] = {
    ev.ContactEnded: ContactState.ENDED,
    ev.ContactAbandoned: ContactState.ABANDONED,
    ev.ContactCancelled: ContactState.CANCELLED,
    ev.ContactExpired: ContactState.EXPIRED,
}


class CustomerDriver:
    """Driver of all customers of a day."""

    def __init__(
        self, gateway: GatewayClient, *, tracker: ContactTracker, clock: DayClock, scaling: PolicyScaling, tasks: TaskPool
    ) -> None:
        self.all_submitted = False
        self._gateway = gateway
        self._tracker = tracker
        self._clock = clock
        self._tasks = tasks
        self._patience_timers: dict[str, asyncio.TimerHandle] = {}
        priorities = {contact.plan.priority_s for contact in tracker.contacts}
        self._priority_s = {value: scaling.scale_seconds("contact.priority_s", value) for value in sorted(priorities)}

    @property
    def patience_timer_count(self) -> int:
        """Number of waiting customers with a running patience timer."""
        return len(self._patience_timers)

    # --- submit and abandon ----------------------------------------------------------------------
    async def submit_all(self) -> None:
        """Submit every contact at its planned time."""
        for contact in self._tracker.contacts:
            await self._clock.sleep_until(contact.plan.at_ms)
            self._tracker.record_submit(
                contact, at_s=time.perf_counter(), lateness_s=max(0.0, self._clock.lateness_s(contact.plan.at_ms))
            )
            self._tasks.start(self._submit(contact))
        self.all_submitted = True

    async def _submit(self, contact: TrackedContact) -> None:
        plan = contact.plan
        try:
            ok = await self._gateway.submit(
                plan.channel,
                queue_id=plan.queue_id,
                skills=plan.skills,
                attributes=plan.attributes,
                priority_s=self._priority_s[plan.priority_s],
                priority_class=plan.priority_class,
                reference=contact.reference,
                idempotency_key=contact.reference,
                retry_until_acknowledged=True,
            )
        except RouterRefused as refused:
            if refused.code not in ("queue_full", "queue_closed", "no_agents_ready"):
                raise LoadTestFailed(f"a contact is refused: {refused}") from refused
            self._tracker.record_blocked(contact)
            return
        self._tracker.record_contact_id(contact, ok.subject)
        if plan.patience_ms is not None and not contact.answered and contact.terminal_state is None:
            self._start_patience(contact, plan.patience_ms)

    def _start_patience(self, contact: TrackedContact, patience_ms: int) -> None:
        """Start the patience timer; patience counts from sending the submit, not from its answer."""

        def over() -> None:
            del self._patience_timers[contact.reference]
            self._tasks.start(self._abandon(contact))

        assert contact.sent_at_s is not None
        left_s = self._clock.to_wall_s(patience_ms) - (time.perf_counter() - contact.sent_at_s)
        timer = asyncio.get_running_loop().call_later(max(0.0, left_s), over)
        self._patience_timers[contact.reference] = timer

    def _cancel_patience(self, contact: TrackedContact) -> None:
        timer = self._patience_timers.pop(contact.reference, None)
        if timer is not None:
            timer.cancel()

    async def _abandon(self, contact: TrackedContact) -> None:
        """Abandon the contact unless it was answered in the meantime."""
        if contact.contact_id is not None and not contact.answered and contact.terminal_state is None:
            await self._retry_until_answered(self._gateway.abandon, contact.contact_id)

    async def withdraw_open_contacts(self) -> None:
        """Withdraw all contacts that are still open, because no agent will come to serve them."""
        for contact in list(self._tracker.open_contacts()):
            assert contact.contact_id is not None
            contact.withdrawn = True
            await self._retry_until_answered(self._withdraw, contact.contact_id)

    async def _withdraw(self, contact_id: str) -> None:
        await self._gateway.cancel(contact_id, WITHDRAWN_REASON)

    async def _retry_until_answered(self, send: Callable[[str], Awaitable[object]], contact_id: str) -> None:
        while True:
            try:
                await send(contact_id)
                return
            except RouterRefused:
                return  # The contact has ended or was answered in the meantime.
            except (OutcomeUnknown, NotConnected):
                continue  # These commands may be repeated: the second one is refused.

    def cancel_patience_timers(self) -> None:
        """Cancel all patience timers."""
        for timer in self._patience_timers.values():
            timer.cancel()
        self._patience_timers.clear()

    # --- events ------------------------------------------------------------------------------------
    async def follow_events(self) -> None:
        """Process the gateway's events until the task is cancelled."""
        async for frame in self._gateway:
            if isinstance(frame, EventFrame):
                self._on_event(frame.event)
            elif isinstance(frame, WelcomeFrame):
                self._resynchronize()

    def _on_event(self, event: ev.Event) -> None:
        if isinstance(event, ev.ContactQueued):
            contact = self._tracker.by_reference(event.reference)
            if contact is not None:
                self._tracker.record_contact_id(contact, event.contact_id)
            return
        contact = self._tracker.by_contact_id(getattr(event, "contact_id", ""))
        if contact is None:
            return
        if isinstance(event, ev.OfferAccepted | ev.ContactAssigned):
            contact.answered = True
            self._cancel_patience(contact)
        elif type(event) in _TERMINAL_STATES:
            self._cancel_patience(contact)
            self._tracker.record_end(contact, _TERMINAL_STATES[type(event)])

    def _resynchronize(self) -> None:
        """Compare with the reloaded state after missed events: a contact that is no longer live has ended unseen."""
        live = self._gateway.contacts.by_id
        for contact in list(self._tracker.open_contacts()):
            cached = live.get(contact.contact_id or "")
            if cached is None:
                contact.end_missed = True
                self._cancel_patience(contact)
                self._tracker.record_end(contact, ContactState.ENDED)
            elif cached.state is ContactState.ASSIGNED:
                contact.answered = True
                self._cancel_patience(contact)
