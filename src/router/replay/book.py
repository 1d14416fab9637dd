"""Client-side record of the contacts of a load test: when each was submitted, offered, answered and ended.

The gateway and the agent drivers write it; the report and the checks compare it with the router's event history. A contact is
identified by its ``reference``, which contains a random id of the run, so that contacts of other clients or of an earlier run
are recognized as foreign.
"""

import asyncio
import secrets
from collections.abc import Iterable, Iterator

from msgspec import Struct

from router.model.ids import ContactId
from router.model.states import ContactState
from router.simulator.day import PlannedContact


class Visit(Struct, kw_only=True, gc=False):
    """Planned contact with the client-side record of it. Points in time are seconds of ``time.perf_counter``."""

    plan: PlannedContact
    reference: str
    contact_id: ContactId | None = None
    sent_at_s: float | None = None
    """When the submit was sent."""
    late_s: float = 0.0
    """Delay of the submit behind its planned time, in wall-clock seconds."""
    offered_after_s: float | None = None
    """Seconds from sending the submit to the offer's arrival at a desktop; only if it was offered in the same transaction."""
    blocked: bool = False
    """Whether the submit was refused (queue full, queue closed, or no agents ready)."""
    answered: bool = False
    end: ContactState | None = None
    """Terminal state as published to the gateway."""
    unseen: bool = False
    """Whether it ended while the gateway was disconnected for too long; the terminal state above is then assumed."""
    closed: bool = False
    """Whether it was withdrawn at the end of the day because no agent was left to serve it."""


class DayBook:
    """All contacts of a run; ``settled`` is set once every planned contact has been submitted and has ended."""

    def __init__(self, contacts: Iterable[PlannedContact]) -> None:
        self.run = secrets.token_hex(4)
        self.visits = [
            Visit(plan=plan, reference=f"{self.run}-{n}") for n, plan in enumerate(contacts)
        ]
        self.settled = asyncio.Event()
        self.latencies_s: list[float] = []
        self._by_reference = {visit.reference: visit for visit in self.visits}
        self._by_contact_id: dict[ContactId, Visit] = {}
        self._open = 0
        self._sent = 0

    def by_reference(self, reference: str | None) -> Visit | None:
        """Return the contact with this reference, or None if it is not one of this run."""
        return self._by_reference.get(reference) if reference is not None else None

    def by_contact_id(self, contact_id: ContactId) -> Visit | None:
        """Return the contact with this id, or None if it is unknown."""
        return self._by_contact_id.get(contact_id)

    @property
    def sent(self) -> int:
        """Number of contacts submitted so far."""
        return self._sent

    def open_visits(self) -> Iterator[Visit]:
        """Iterate over the contacts that were accepted by the router and have not ended."""
        return (v for v in self._by_contact_id.values() if v.end is None)

    # --- updates --------------------------------------------------------------------------------
    def send(self, visit: Visit, *, at_s: float, late_s: float) -> None:
        """Record that the submit is being sent."""
        visit.sent_at_s, visit.late_s = at_s, late_s
        self._sent += 1
        self._open += 1
        self.settled.clear()

    def know(self, visit: Visit, contact_id: ContactId) -> None:
        """Record the contact's id. Idempotent, because both the answer and the event carry it."""
        visit.contact_id = contact_id
        self._by_contact_id[contact_id] = visit

    def block(self, visit: Visit) -> None:
        """Record that the submit was refused."""
        visit.blocked = True
        self._close()

    def offer(self, visit: Visit, *, at_s: float, waited_ms: int) -> None:
        """Record an offer at a desktop; it is a latency sample only if the contact did not wait for an agent."""
        if waited_ms == 0 and visit.offered_after_s is None and visit.sent_at_s is not None:
            visit.offered_after_s = at_s - visit.sent_at_s
            self.latencies_s.append(visit.offered_after_s)

    def end(self, visit: Visit, state: ContactState) -> None:
        """Record the terminal state; later calls for the same contact are ignored."""
        if visit.end is None:
            visit.end = state
            self._close()

    def _close(self) -> None:
        self._open -= 1
        if self._open == 0 and self._sent == len(self.visits):
            self.settled.set()
