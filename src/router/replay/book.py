"""What the people of a day know of its contacts: which is which, when it was sent, what became of it as far as they were told.

The gateway and the desktops write here; the report reads, and compares with what the router recorded. Contacts are told apart by
their ``reference``, which names the run too: contacts of anybody else, or of an earlier run, are nobody here.
"""

import asyncio
import secrets
from collections.abc import Iterable, Iterator

from msgspec import Struct

from router.model.ids import ContactId
from router.model.states import ContactState
from router.simulator.day import PlannedContact


class Visit(Struct, kw_only=True, gc=False):
    """A planned contact and what this side knows of it. Times are seconds of one monotonic clock."""

    plan: PlannedContact
    reference: str
    contact_id: ContactId | None = None
    sent_at_s: float | None = None
    """When the submit left."""
    late_s: float = 0.0
    """By how much later than planned, in wall-clock seconds."""
    offered_after_s: float | None = None
    """From the submit leaving to a desktop having the offer; only where it was offered in the step of its submit."""
    blocked: bool = False
    """Refused: its queue was full."""
    answered: bool = False
    end: ContactState | None = None
    """The terminal state that the gateway was told."""
    unseen: bool = False
    """It ended while the gateway was away for too long: the terminal state above is not what it was told."""
    closed: bool = False
    """Nobody was left to serve it: withdrawn when the centre closed."""


class DayBook:
    """All visits of a run. ``settled`` is set while every contact that was sent has come to its end."""

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
        """The visit, where it is one of this run."""
        return self._by_reference.get(reference) if reference is not None else None

    def by_contact_id(self, contact_id: ContactId) -> Visit | None:
        """The visit, once the router has given it an id."""
        return self._by_contact_id.get(contact_id)

    @property
    def sent(self) -> int:
        """Contacts submitted so far."""
        return self._sent

    def open_visits(self) -> Iterator[Visit]:
        """Those that were let in and have not ended."""
        return (v for v in self._by_contact_id.values() if v.end is None)

    # --- what happens ---------------------------------------------------------------------------
    def send(self, visit: Visit, *, at_s: float, late_s: float) -> None:
        """The submit leaves now."""
        visit.sent_at_s, visit.late_s = at_s, late_s
        self._sent += 1
        self._open += 1
        self.settled.clear()

    def know(self, visit: Visit, contact_id: ContactId) -> None:
        """The router calls it so. Told twice (by the answer and by the event): the same."""
        visit.contact_id = contact_id
        self._by_contact_id[contact_id] = visit

    def block(self, visit: Visit) -> None:
        """It was not let in."""
        visit.blocked = True
        self._close()

    def offer(self, visit: Visit, *, at_s: float, waited_ms: int) -> None:
        """A desktop has an offer of it. Counts as latency only where it did not have to wait for an agent."""
        if waited_ms == 0 and visit.offered_after_s is None and visit.sent_at_s is not None:
            visit.offered_after_s = at_s - visit.sent_at_s
            self.latencies_s.append(visit.offered_after_s)

    def end(self, visit: Visit, state: ContactState) -> None:
        """It is over. Told twice: the first counts."""
        if visit.end is None:
            visit.end = state
            self._close()

    def _close(self) -> None:
        self._open -= 1
        if self._open == 0 and self._sent == len(self.visits):
            self.settled.set()
