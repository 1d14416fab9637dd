"""Client-side record of the contacts of a load test: when each was submitted, offered, answered and ended.

The gateway and the agent drivers write it; the report and the checks compare it with the router's event history. A contact is
identified by its ``reference``, which contains a random id of the run, so that contacts of other clients or of an earlier run
are recognized as foreign.
"""

import asyncio
import secrets
from collections.abc import Iterable, Iterator

from msgspec import Struct

from router.model.states import ContactId, ContactState
from router.simulator.day import PlannedContact


class TrackedContact(Struct, kw_only=True, gc=False):
    """Planned contact with the client-side record of it. Points in time are seconds of ``time.perf_counter``."""

    plan: PlannedContact
    reference: str
    contact_id: ContactId | None = None
    sent_at_s: float | None = None
    """When the submit was sent."""
    lateness_s: float = 0.0
    """Delay of the submit behind its planned time, in wall-clock seconds."""
    offer_latency_s: float | None = None
    """Seconds from sending the submit to the offer's arrival at a desktop; only if it was offered in the same transaction."""
    blocked: bool = False
    """Whether the submit was refused (queue full, queue closed, or no agents ready)."""
    answered: bool = False
    terminal_state: ContactState | None = None
    """Terminal state as published to the gateway."""
    end_missed: bool = False
    """Whether it ended while the gateway was disconnected for too long; the terminal state above is then assumed."""
    withdrawn: bool = False
    """Whether it was withdrawn at the end of the day because no agent was left to serve it."""


class ContactTracker:
    """All contacts of a run; ``all_ended`` is set once every planned contact has been submitted and has ended."""

    def __init__(self, contacts: Iterable[PlannedContact]) -> None:
        self.run_id = secrets.token_hex(4)
        self.contacts = [TrackedContact(plan=plan, reference=f"{self.run_id}-{n}") for n, plan in enumerate(contacts)]
        self.all_ended = asyncio.Event()
        self.latencies_s: list[float] = []
        self._by_reference = {contact.reference: contact for contact in self.contacts}
        self._by_contact_id: dict[ContactId, TrackedContact] = {}
        self._open_count = 0
        self._submitted_count = 0

    def by_reference(self, reference: str | None) -> TrackedContact | None:
        """Return the contact with this reference, or None if it is not one of this run."""
        return self._by_reference.get(reference) if reference is not None else None

    def by_contact_id(self, contact_id: ContactId) -> TrackedContact | None:
        """Return the contact with this id, or None if it is unknown."""
        return self._by_contact_id.get(contact_id)

    @property
    def submitted_count(self) -> int:
        """Number of contacts submitted so far."""
        return self._submitted_count

    def open_contacts(self) -> Iterator[TrackedContact]:
        """Iterate over the contacts that were accepted by the router and have not ended."""
        return (v for v in self._by_contact_id.values() if v.terminal_state is None)

    # --- updates --------------------------------------------------------------------------------
    def record_submit(self, contact: TrackedContact, *, at_s: float, lateness_s: float) -> None:
        """Record that the submit is being sent."""
        contact.sent_at_s, contact.lateness_s = at_s, lateness_s
        self._submitted_count += 1
        self._open_count += 1
        self.all_ended.clear()

    def record_contact_id(self, contact: TrackedContact, contact_id: ContactId) -> None:
        """Record the contact's id. Idempotent, because both the answer and the event carry it."""
        contact.contact_id = contact_id
        self._by_contact_id[contact_id] = contact

    def record_blocked(self, contact: TrackedContact) -> None:
        """Record that the submit was refused."""
        contact.blocked = True
        self._count_end()

    def record_offer(self, contact: TrackedContact, *, at_s: float, waited_ms: int) -> None:
        """Record an offer at a desktop; it is a latency sample only if the contact did not wait for an agent."""
        if waited_ms == 0 and contact.offer_latency_s is None and contact.sent_at_s is not None:
            contact.offer_latency_s = at_s - contact.sent_at_s
            self.latencies_s.append(contact.offer_latency_s)

    def record_end(self, contact: TrackedContact, state: ContactState) -> None:
        """Record the terminal state; later calls for the same contact are ignored."""
        if contact.terminal_state is None:
            contact.terminal_state = state
            self._count_end()

    def _count_end(self) -> None:
        self._open_count -= 1
        if self._open_count == 0 and self._submitted_count == len(self.contacts):
            self.all_ended.set()
