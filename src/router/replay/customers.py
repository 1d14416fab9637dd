"""The customers of a day behind one gateway: they come at their time, wait as long as they can bear, and leave.

One connection carries them all. Each contact is a small task of its own from its submit to the end of its patience, so a slow
answer for one delays no other.
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
"""The reason with which contacts are withdrawn that nobody is left to serve."""

_ENDS: Final[dict[type[ev.Event], ContactState]] = {
    ev.ContactEnded: ContactState.ENDED,
    ev.ContactAbandoned: ContactState.ABANDONED,
    ev.ContactCancelled: ContactState.CANCELLED,
    ev.ContactExpired: ContactState.EXPIRED,
}


class Customers:
    """Everybody who calls that day."""

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
        """Customers who are going to leave by themselves unless somebody answers."""
        return len(self._patience)

    # --- what they do ----------------------------------------------------------------------------
    async def come(self) -> None:
        """Submit everybody at his time."""
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
        """He has waited since his submit left, not only since its answer came."""

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
        """His patience is over. Whoever was answered in that very moment stays."""
        if visit.contact_id is not None and not visit.answered and visit.end is None:
            await self._until_known(self._gateway.abandon, visit.contact_id)

    async def close_the_doors(self) -> None:
        """Withdraw everybody who is left: nobody will come to serve them."""
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
                return  # It had ended, or was answered, in that very moment.
            except (OutcomeUnknown, NotConnected):
                continue  # Asking twice does no harm.

    def go_home(self) -> None:
        """Nobody loses patience any more."""
        for timer in self._patience.values():
            timer.cancel()
        self._patience.clear()

    # --- what they hear ----------------------------------------------------------------------------
    async def hear(self) -> None:
        """Follow what becomes of everybody, for ever."""
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
        """Too much was missed: who is not among the live contacts any more has ended unseen."""
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
