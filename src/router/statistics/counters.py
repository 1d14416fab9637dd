"""Counters of one queue and channel, which add up to those of a queue, a channel, an interval or the workspace.

**Queue flow**: each entry into a queue ends exactly once:

    entered = waiting + offered + callbacks + suspended + answered + called_back + abandoned + cancelled + expired
              + overflowed_out + moved_out

``entered`` counts waits: a contact is submitted to the queue, overflows to it, is moved to it, or waits again after an agent
had it. Over the whole workspace: submitted = queued + offered + assigned + callbacks + suspended + ended + abandoned + cancelled
+ expired.

**RONA rate** (redirection on no answer) = expired / (accepted + declined + expired). Rescinded offers are excluded, because the
agent did not have the full time to answer. **Acceptance rate** = accepted / (accepted + declined + expired).

**Reach rate** = connected / (connected + failed), over the attempts with a known outcome. The wait of a callback is in no service
level, ASA or abandonment rate, because no customer is on the line. When it ends with an agent or with the customer on the line, it
counts as ``called_back`` in the queue flow.

**AHT** (average handle time) = (talk + hold + wrap-up) / handled, counted when an assignment is completed, for the queue of the
contact and for the agent. **Handled**: completed assignments; a contact that two agents had in turn is handled twice. Handle time
does not include ringing, nor **parked** time (waiting for the customer), which is counted separately. The work of agents beside the
owner (consulted agents, participants) is handle time of the queue, but only owners add to its handled count. For the agents
themselves it counts like any other assignment.
**Transfer rate** = assignments that ended in a transfer / handled.
Source: ICMI glossary (average handle time).
"""

from collections.abc import Iterable

from msgspec import Struct, field

from router.statistics.service_level import ServiceLevelCounts, WaitSums, ratio


class QueueFlow(Struct, gc=False):
    """Starts and ends of waits, except answers and abandons, which the service level counts."""

    submitted: int = 0
    """Contacts submitted to the queue."""
    entered: int = 0
    """Waits that began in the queue."""
    cancelled: int = 0
    """Waits that ended by a cancel."""
    expired: int = 0
    """Waits that ended by expiry."""
    overflowed_in: int = 0
    """Contacts that overflowed into the queue."""
    overflowed_out: int = 0
    """Contacts that overflowed out of the queue."""
    moved_in: int = 0
    """Contacts moved into the queue while waiting, by a supervisor or because their queue was removed."""
    moved_out: int = 0
    """Contacts moved while waiting, by a supervisor or because the queue was removed."""
    transferred_in: int = 0
    """Contacts transferred to the queue by an agent, out of an assignment."""
    requeued: int = 0
    """Contacts that wait again after an assignment: by a supervisor, a lost desktop or a failed callback attempt."""
    called_back: int = 0
    """Waits of callbacks that ended: an agent accepted, or the customer is on the line."""


class OfferCounts(Struct, gc=False):
    """Offers made, and ended by outcome; the remainder is pending."""

    made: int = 0
    """Offers made."""
    accepted: int = 0
    """Offers accepted."""
    declined: int = 0
    """Offers declined."""
    expired: int = 0
    """Offers that expired without an answer."""
    rescinded: int = 0
    """Offers that the router withdrew."""


def rona_rate(offers: OfferCounts) -> float | None:
    """Return the share of answerable offers that expired; none without any."""
    return ratio(offers.expired, offers.accepted + offers.declined + offers.expired)


def acceptance_rate(offers: OfferCounts) -> float | None:
    """Return the share of answerable offers that were accepted; none without any."""
    return ratio(offers.accepted, offers.accepted + offers.declined + offers.expired)


class CallbackCounts(Struct, gc=False):
    """Contacts that became callbacks, and their attempts by outcome."""

    requested: int = 0
    """Contacts that became callbacks."""
    dialled: int = 0
    """Started attempts."""
    connected: int = 0
    """Attempts that reached the customer, or a machine where the policy accepts that as completed."""
    failed: int = 0
    """Attempts that did not reach the customer."""
    given_up: int = 0
    """Expired callbacks: after the last attempt, or at the end of their time to live."""


def reach_rate(callbacks: CallbackCounts) -> float | None:
    """Return the share of attempts with an outcome that reached the customer; none without any."""
    return ratio(callbacks.connected, callbacks.connected + callbacks.failed)


class SwitchCounts(Struct, gc=False):
    """Switches of conversations and waiting contacts to another channel, by outcome."""

    switched: int = 0
    """Contacts that continued on the channel."""
    failed: int = 0
    """Switches to it that the gateway reported as failed."""
    timed_out: int = 0
    """Switches to it whose outcome was not reported in time."""
    cancelled: int = 0
    """Switches to it that were withdrawn or replaced by another one."""


class ConsultCounts(Struct, gc=False):
    """Agents who helped in a conversation beside its owner."""

    asked: int = 0
    """Consults that an owner asked for and another agent accepted."""
    given: int = 0
    """Accepted consults, for the consulted agent and the queue through which they were reached."""
    participations: int = 0
    """Times that an agent was added to a conversation as a participant."""


class HandlingCounts(Struct, gc=False):
    """Completed assignments and their durations."""

    handled: int = 0
    """Completed assignments of owners."""
    talk_ms: int = 0
    """Time in conversation, without hold."""
    hold_ms: int = 0
    """Time on hold."""
    wrap_up_ms: int = 0
    """Time of wrap-up."""
    transferred: int = 0
    """Assignments that ended in a transfer: to a queue, to an agent, after a consult or in a conference."""
    parked_ms: int = 0
    """Parked time; it is not part of the handle time."""

    def add_assignment(self, talk_ms: int, hold_ms: int, wrap_up_ms: int, parked_ms: int = 0) -> None:
        """Count a completed assignment of an owner."""
        self.handled += 1
        self.add_secondary(talk_ms, hold_ms, wrap_up_ms, parked_ms)

    def add_secondary(self, talk_ms: int, hold_ms: int, wrap_up_ms: int, parked_ms: int = 0) -> None:
        """Add the time of a completed assignment beside the owner, without counting it as handled."""
        self.parked_ms += parked_ms
        self.talk_ms += talk_ms
        self.hold_ms += hold_ms
        self.wrap_up_ms += wrap_up_ms


def handle_time_ms(handling: HandlingCounts) -> int:
    """Return the total handle time: talk, hold and wrap-up."""
    return handling.talk_ms + handling.hold_ms + handling.wrap_up_ms


def aht_ms(handling: HandlingCounts) -> float | None:
    """Return the average handle time; none if nothing was handled."""
    return ratio(handle_time_ms(handling), handling.handled)


def transfer_rate(handling: HandlingCounts) -> float | None:
    """Return the share of handled contacts that were transferred; none if nothing was handled."""
    return ratio(handling.transferred, handling.handled)


class ContactCounters(Struct, array_like=True):
    """Counters of contacts, offers, handle time and callbacks."""

    flow: QueueFlow = field(default_factory=QueueFlow)
    service: ServiceLevelCounts = field(default_factory=ServiceLevelCounts)
    waits: WaitSums = field(default_factory=WaitSums)
    offers: OfferCounts = field(default_factory=OfferCounts)
    handling: HandlingCounts = field(default_factory=HandlingCounts)
    callbacks: CallbackCounts = field(default_factory=CallbackCounts)
    switches: SwitchCounts = field(default_factory=SwitchCounts)
    consults: ConsultCounts = field(default_factory=ConsultCounts)
    after_overflow: ServiceLevelCounts = field(default_factory=ServiceLevelCounts)
    """Contacts that overflowed out of the queue and were answered or left elsewhere, measured by the target of this queue, their
    first one. They count in ``service`` of the last queue too."""


def sum_counters(many: Iterable[ContactCounters]) -> ContactCounters:
    """Return the sum of counters."""
    total = ContactCounters()
    for counters in many:
        for part in ContactCounters.__struct_fields__:
            _add(getattr(total, part), getattr(counters, part))
    return total


def add_to_all(counters: ContactCounters, targets: Iterable[ContactCounters]) -> None:
    """Add counters to each of the others."""
    totals = list(targets)
    for part in ContactCounters.__struct_fields__:
        counted = getattr(counters, part)
        # Most are zero.
        changes = [(name, value) for name in counted.__struct_fields__ if (value := getattr(counted, name))]
        for total in totals if changes else ():
            sums = getattr(total, part)
            for name, value in changes:
                setattr(sums, name, getattr(sums, name) + value)


def _add(total: Struct, part: Struct) -> None:
    for name in total.__struct_fields__:
        setattr(total, name, getattr(total, name) + getattr(part, name))
