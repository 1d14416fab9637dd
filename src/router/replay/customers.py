"""Simulated customers behind one gateway: submit each contact at its planned time and abandon it when its patience ends.

One connection carries all contacts. Each submit and each abandon is a task of its own, so that a slow answer for one contact
delays no other.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from router.client import GatewayClient, NotConnected, OutcomeUnknown, RouterRefused
from router.model import events as ev
from router.model.states import ContactState
from router.replay.book import DayBook, Visit
from router.replay.day_clock import DayClock
from router.replay.failure import ReplayFailed
from router.replay.running import RunningTasks
from router.replay.scaling import Scaling
from router.wire.frames import EventFrame, Welcome

CLOSED: Final = "closed"
"""Cancel reason of contacts that no agent is left to serve at the end of the day."""

_ENDS: Final[dict[type[ev.Event], ContactState]] = {
    ev.ContactEnded: ContactState.ENDED,
    ev.ContactAbandoned: ContactState.ABANDONED,
    ev.ContactCancelled: ContactState.CANCELLED,
    ev.ContactExpired: ContactState.EXPIRED,
}


class Customers:
    """Driver of all customers of a day."""

    def __init__(
        self,
        gateway: GatewayClient,
        *,
        book: DayBook,
        clock: DayClock,
        scaling: Scaling,
        tasks: RunningTasks,
    ) -> None:
        self.all_sent = False
        self._gateway = gateway
        self._book = book
        self._clock = clock
        self._tasks = tasks
        self._patience: dict[str, asyncio.TimerHandle] = {}
        priorities = {visit.plan.priority_s for visit in book.visits}
        self._priority_s = {
            value: scaling.seconds("contact.priority_s", value) for value in sorted(priorities)
        }

    @property
    def losing_patience(self) -> int:
        """Number of waiting customers with a running patience timer."""
        return len(self._patience)

    # --- submit and abandon ----------------------------------------------------------------------
    async def come(self) -> None:
        """Submit every contact at its planned time."""
        for visit in self._book.visits:
            await self._clock.until(visit.plan.at_ms)
            self._book.send(
                visit,
                at_s=time.perf_counter(),
                late_s=max(0.0, self._clock.late_s(visit.plan.at_ms)),
            )
            self._tasks.start(self._submit(visit))
        self.all_sent = True

    async def _submit(self, visit: Visit) -> None:
        plan = visit.plan
        try:
            ok = await self._gateway.submit(
                plan.channel,
                queue_id=plan.queue_id,
                skills=plan.skills,
                priority_s=self._priority_s[plan.priority_s],
                strict_class=plan.strict_class,
                reference=visit.reference,
                idempotency_key=visit.reference,
                until_known=True,
            )
        except RouterRefused as refused:
            if refused.code not in ("queue_full", "queue_closed", "nobody_there"):
                raise ReplayFailed(f"a contact is refused: {refused}") from refused
            self._book.block(visit)
            return
        self._book.know(visit, ok.subject)
        if plan.patience_ms is not None and not visit.answered and visit.end is None:
            self._start_patience(visit, plan.patience_ms)

    def _start_patience(self, visit: Visit, patience_ms: int) -> None:
        """Start the patience timer; patience counts from sending the submit, not from its answer."""

        def over() -> None:
            del self._patience[visit.reference]
            self._tasks.start(self._leave(visit))

        assert visit.sent_at_s is not None
        left_s = self._clock.wall_s(patience_ms) - (time.perf_counter() - visit.sent_at_s)
        timer = asyncio.get_running_loop().call_later(max(0.0, left_s), over)
        self._patience[visit.reference] = timer

    def _end_patience(self, visit: Visit) -> None:
        timer = self._patience.pop(visit.reference, None)
        if timer is not None:
            timer.cancel()

    async def _leave(self, visit: Visit) -> None:
        """Abandon the contact unless it was answered in the meantime."""
        if visit.contact_id is not None and not visit.answered and visit.end is None:
            await self._until_known(self._gateway.abandon, visit.contact_id)

    async def close_the_doors(self) -> None:
        """Withdraw all contacts that are still open, because no agent will come to serve them."""
        for visit in list(self._book.open_visits()):
            assert visit.contact_id is not None
            visit.closed = True
            await self._until_known(self._withdraw, visit.contact_id)

    async def _withdraw(self, contact_id: str) -> None:
        await self._gateway.cancel(contact_id, CLOSED)

    async def _until_known(self, ask: Callable[[str], Awaitable[object]], contact_id: str) -> None:
        while True:
            try:
                await ask(contact_id)
                return
            except RouterRefused:
                return  # The contact has ended or was answered in the meantime.
            except (OutcomeUnknown, NotConnected):
                continue  # These commands may be repeated: the second one is refused.

    def go_home(self) -> None:
        """Cancel all patience timers."""
        for timer in self._patience.values():
            timer.cancel()
        self._patience.clear()

    # --- events ------------------------------------------------------------------------------------
    async def hear(self) -> None:
        """Process the gateway's events until the task is cancelled."""
        async for frame in self._gateway:
            if isinstance(frame, EventFrame):
                self._event(frame.event)
            elif isinstance(frame, Welcome):
                self._begin_anew()

    def _event(self, event: ev.Event) -> None:
        if isinstance(event, ev.ContactQueued):
            visit = self._book.by_reference(event.reference)
            if visit is not None:
                self._book.know(visit, event.contact_id)
            return
        visit = self._book.by_contact_id(getattr(event, "contact_id", ""))
        if visit is None:
            return
        if isinstance(event, ev.OfferAccepted | ev.ContactAssigned):
            visit.answered = True
            self._end_patience(visit)
        elif type(event) in _ENDS:
            self._end_patience(visit)
            self._book.end(visit, _ENDS[type(event)])

    def _begin_anew(self) -> None:
        """Compare with the reloaded state after missed events: a contact that is no longer live has ended unseen."""
        live = self._gateway.contacts.contacts
        for visit in list(self._book.open_visits()):
            contact = live.get(visit.contact_id or "")
            if contact is None:
                visit.unseen = True
                self._end_patience(visit)
                self._book.end(visit, ContactState.ENDED)
            elif contact.state is ContactState.ASSIGNED:
                visit.answered = True
                self._end_patience(visit)
