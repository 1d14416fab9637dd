"""Invariants of the state, checked slowly against the records: for tests, the simulator and ``router verify``."""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from router.engine.index.agents import HeldCapacity, capacity_items
from router.engine.index.directory import ContactFilter
from router.engine.matching.eligibility import unmet_capacity, unmet_channel_limits, unmet_conditions
from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact
from router.engine.state.records import Assignment, Offer
from router.model.states import AssignmentRole, AssignmentState, ContactState

# With more pairs than this, the search for a missed match is skipped: it is quadratic.
_PAIRS_MAX = 200_000
_RECORDS_PER_STEP = 10
# States in which a contact waits for an agent.
_WAITING = (ContactState.QUEUED, ContactState.OFFERED)


def broken_invariants(state: RoutingState) -> list[str]:
    """Return the violated invariants as sentences; empty if there is none."""
    return [
        *_ownership(state),
        *_parties(state),
        *_offers(state),
        *_capacity(state),
        *_conservation(state),
        *_waiting_lines(state),
        *_callbacks(state),
        *_suspensions(state),
        *_requests(state),
        *_monitors(state),
        *_missed_matches(state),
    ]


def orphaned_records(state: RoutingState) -> list[str]:
    """Return contacts, offers and assignments that no other record refers to, as sentences."""
    return [sentence for sentence in orphan_steps(state) if sentence is not None]


def orphan_steps(state: RoutingState) -> Iterator[str | None]:
    """Yield contacts, offers and assignments that no other record refers to, as sentences, and None after some records.

    Each record is checked at one moment; others may change between two steps.
    """
    for contact in _contacts_in_steps(state):
        if contact is None:
            yield None
            continue
        yield from _contact_ownership(state, contact)
        yield from _contact_participants(state, contact)
        yield from _contact_offers(state, contact)
        yield from _contact_place(contact)
    for place, work in enumerate(list(state.assignments.values())):
        if place % _RECORDS_PER_STEP == 0:
            yield None
        if state.assignments.get(work.assignment_id) is work:
            yield from _assignment_role(state, work)
    for place, offer in enumerate(list(state.offers.values())):
        if place % _RECORDS_PER_STEP == 0:
            yield None
        if state.offers.get(offer.offer_id) is offer:
            yield from _offer_contact(state, offer)


def _contacts_in_steps(state: RoutingState) -> Iterator[Contact | None]:
    """Yield all contacts, and None after some; those that arrive meanwhile may be left out."""
    directory = state.index.directory
    while not directory.catch_up(_RECORDS_PER_STEP):
        yield None
    position: int | None = 0
    while position is not None:
        found = list(islice(directory.search(ContactFilter(), position), _RECORDS_PER_STEP))
        yield from (contact for _, contact in found if contact is not None)
        position = found[-1][0] if found else None
        yield None


def _ownership(state: RoutingState) -> Iterator[str]:
    """Check I7: an assigned contact has exactly one owner, whose open assignment it is."""
    for contact in state.contacts.values():
        yield from _contact_ownership(state, contact)


def _contact_ownership(state: RoutingState, contact: Contact) -> Iterator[str]:
    if contact.state is not ContactState.ASSIGNED:
        return
    work = state.assignments.get(contact.assignment_id or "")
    if work is None or work.agent_id != contact.agent_id:
        yield f"I7 contact {contact.contact_id} is assigned, but not to an open assignment of its owner"
    elif work.state in (AssignmentState.WRAP_UP, AssignmentState.COMPLETED):
        yield f"I7 contact {contact.contact_id} is assigned, but its assignment is in {work.state}"


def _parties(state: RoutingState) -> Iterator[str]:
    """Check I7: contact and assignment agree on each participant, and no agent takes part twice."""
    beside: set[str] = set()
    for contact in state.contacts.values():
        beside.update(contact.participant_assignment_ids)
        yield from _contact_participants(state, contact)
    for work in state.assignments.values():
        if _takes_part(work) is not (work.assignment_id in beside):
            yield f"I7 assignment {work.assignment_id} is {work.role} in {work.state}, and its contact says otherwise"


def _contact_participants(state: RoutingState, contact: Contact) -> Iterator[str]:
    if not contact.participant_assignment_ids:
        return
    name = f"I7 contact {contact.contact_id}"
    works = [w for n in contact.participant_assignment_ids if (w := state.assignments.get(n)) is not None]
    if contact.state is not ContactState.ASSIGNED or len(works) != len(contact.participant_assignment_ids):
        yield f"{name} has participants without a conversation, or without their work"
    agents = Counter(w.agent_id for w in works) + Counter({contact.agent_id: 1})
    if any(count > 1 for count in agents.values()):
        yield f"{name} has an agent in it twice"
    if sum(work.role is AssignmentRole.CONSULT for work in works) > 1:
        yield f"{name} has two consults at once"


def _takes_part(work: Assignment) -> bool:
    return work.role is not AssignmentRole.OWNER and work.state is AssignmentState.ACTIVE


def _assignment_role(state: RoutingState, work: Assignment) -> Iterator[str]:
    contact = state.contacts.get(work.contact_id)
    participants = () if contact is None else contact.participant_assignment_ids
    if _takes_part(work) is not (work.assignment_id in participants):
        yield f"I7 assignment {work.assignment_id} is {work.role} in {work.state}, and its contact says otherwise"


def _offers(state: RoutingState) -> Iterator[str]:
    """Check I8 and I9: pending offers and their contacts name each other; an OFFERED contact has at least one."""
    for offer in state.offers.values():
        yield from _offer_contact(state, offer)
    for contact in state.contacts.values():
        yield from _contact_offers(state, contact)


def _offer_contact(state: RoutingState, offer: Offer) -> Iterator[str]:
    contact = state.contacts.get(offer.contact_id)
    if contact is None or offer.offer_id not in contact.pending_offer_ids:
        yield f"I9 offer {offer.offer_id} is pending, but its contact does not list it"


def _contact_offers(state: RoutingState, contact: Contact) -> Iterator[str]:
    if contact.state is ContactState.OFFERED and not contact.pending_offer_ids:
        yield f"I9 contact {contact.contact_id} is OFFERED without a pending offer"
    if contact.pending_offer_ids and contact.state not in (ContactState.OFFERED, ContactState.ASSIGNED):
        yield f"I8 contact {contact.contact_id} is {contact.state} with pending offers"
    if any(offer_id not in state.offers for offer_id in contact.pending_offer_ids):
        yield f"I8 contact {contact.contact_id} lists an offer that is not pending"


def _capacity(state: RoutingState) -> Iterator[str]:
    """Check I14: the capacity index equals the sum of the uninterrupted items; open channels obey the eligibility rules."""
    holders = Counter(agent.capacity for agent in state.agents.values())
    for capacity in state.index.agents.capacity_states.values():
        if capacity.agent_count != holders[capacity]:
            yield f"I14 {holders[capacity]} agents are in a capacity state that counts {capacity.agent_count}"
    for agent in state.agents.values():
        items = capacity_items(agent)
        using = [item for item in items if not _is_interrupted(state, item.channel, items)]
        if state.policy is not None and state.index.agents.capacity_states.get(agent.capacity.key) is not agent.capacity:
            yield f"I14 agent {agent.agent_id}: the capacity state is not in the index"
        if agent.capacity.units_used != sum(item.units for item in using):
            yield f"I14 agent {agent.agent_id}: the units used are not the sum over the items"
        by_channel = Counter(item.channel for item in items)
        for channel in state.index.channels.by_index:
            if agent.capacity.item_counts[channel.index] != by_channel[channel.name]:
                yield f"I14 agent {agent.agent_id}: the number of {channel.name} items is wrong"
            free = not (unmet_capacity(state, agent, channel.name) or unmet_channel_limits(state, agent, channel.name, state.at_ms))
            if agent.open_channel_bits & channel.bit and not free:
                yield f"I14 agent {agent.agent_id} has {channel.name} open without capacity for it"


def _is_interrupted(state: RoutingState, channel: str, items: Sequence[Offer | Assignment | HeldCapacity]) -> bool:
    channels = state.index.channels.by_name
    return any(channel in channels[other.channel].policy.interrupts for other in items)


def _suspensions(state: RoutingState) -> Iterator[str]:
    """Check that a suspended contact has a timer, no agent and no place in a line, and that the suspended ones are counted."""
    suspended = [contact for contact in state.contacts.values() if contact.state is ContactState.SUSPENDED]
    for contact in suspended:
        if contact.suspension is None or contact.suspension.resumed_seq:
            yield f"I19 contact {contact.contact_id} is suspended without an end"
        if contact.agent_id is not None or contact.callback is not None or contact.waiting_line is not None:
            yield f"I22 contact {contact.contact_id} is suspended and has an agent, a callback or a waiting line"
    of_customers = Counter(contact.customer_id for contact in suspended if contact.customer_id is not None)
    counted = {name: len(contacts) for name, contacts in state.suspended_by_customer.items()}
    if state.suspended_count != len(suspended) or counted != of_customers:
        yield "I41 the count of all suspended contacts is wrong"


def _monitors(state: RoutingState) -> Iterator[str]:
    """Check that a supervisor has joined only the conversation of its present agent, and that the index knows all of them."""
    found: dict[str, set[str]] = {}
    for contact in state.contacts.values():
        for monitor in contact.monitors:
            found.setdefault(monitor.supervisor_id, set()).add(contact.contact_id)
            if contact.state is not ContactState.ASSIGNED or contact.assignment_id != monitor.assignment_id:
                yield f"I7 contact {contact.contact_id} has a monitor of a conversation that is over"
            if monitor.mode is None and monitor.wanted is None:
                yield f"I7 contact {contact.contact_id} has a monitor that neither has joined nor is to join"
    if found != {name: set(contacts) for name, contacts in state.index.monitors.by_supervisor.items()}:
        yield "I41 the index of monitors is wrong"


def _conservation(state: RoutingState) -> Iterator[str]:
    """Check I41: submitted = live + ended, by state and in every queue; a contact that is choosing is submitted later."""
    if state.submitted != sum(state.counts.values()) - state.counts[ContactState.CHOOSING]:
        yield "I41 submitted contacts are not the sum over the states"
    live = Counter(c.state for c in state.contacts.values() if not c.state.is_terminal)
    live_states = [name for name in ContactState if not name.is_terminal]
    for name in live_states:
        if state.counts[name] != live[name]:
            yield f"I41 the count of {name} contacts is wrong"
    for queue_id, tally in state.counts_by_queue.items():
        here = Counter(c.state for c in state.contacts.values() if c.queue_id == queue_id)
        if any(tally[name] != here[name] for name in live_states):
            yield f"I41 the counts of queue {queue_id} are wrong"


def _waiting_lines(state: RoutingState) -> Iterator[str]:
    """Check that the QUEUED contacts, and the broadcasts that need more offers, are in the line of their requirement."""
    index = state.index
    for contact in state.contacts.values():
        yield from _contact_place(contact)
    for line in index.qualification.all_lines():
        if any(contact.waiting_for_opening is not line.waiting_for_opening for contact in line.contacts_by_key.values()):
            yield f"I20 line {line.requirement_text} mixes contacts that wait for the opening with others"
        places = [line.rank_of(contact) for contact in line.contacts_by_key.values()]
        if (
            list(line.sorted_keys) != sorted(line.contacts_by_key)
            or [line.rank_of_key(key) for key in line.iter_keys()] != sorted(places)
            or line.head_rank != min(places, default=0)
        ):
            yield f"I20 line {line.requirement_text} is out of order"


def _contact_place(contact: Contact) -> Iterator[str]:
    if contact.state is ContactState.QUEUED and not contact.order_key:
        yield f"I22 contact {contact.contact_id} is queued and in no waiting line"
    if contact.order_key:
        line = contact.waiting_line
        if line is None or line.contacts_by_key.get(contact.order_key) is not contact:
            yield f"I20 contact {contact.contact_id} is not at its key in the waiting line"


def _callbacks(state: RoutingState) -> Iterator[str]:
    """Check that every scheduled callback has a timer, and that at most one customer is dialled for each agent."""
    dialling = {}
    for contact in state.contacts.values():
        callback = contact.callback
        if contact.state is ContactState.CALLBACK_SCHEDULED and (callback is None or callback.due_at_ms is None):
            yield f"I19 contact {contact.contact_id} is a scheduled callback without a timer"
        if callback is not None and callback.for_agent_id is not None:
            if contact.state is not ContactState.CALLBACK_SCHEDULED:
                yield f"I22 contact {contact.contact_id} is {contact.state} and counts as being dialled"
            if callback.for_agent_id in dialling:
                yield f"I22 two customers are dialled for agent {callback.for_agent_id}"
            dialling[callback.for_agent_id] = contact.contact_id
    if dialling != state.index.contacts.dialling:
        yield "I22 the index of dialled customers is wrong"


def _requests(state: RoutingState) -> Iterator[str]:
    """Check that a contact whose customer is choosing has options and a deadline, is in no line, and is found by its token."""
    for contact in state.contacts.values():
        request, is_choosing = contact.request, contact.state is ContactState.CHOOSING
        if is_choosing and (request is None or not request.options or request.choose_until_ms is None):
            yield f"I19 contact {contact.contact_id} is choosing without options or without a deadline"
        if is_choosing and (contact.order_key or contact.waiting_line is not None or contact.agent_id is not None):
            yield f"I22 contact {contact.contact_id} is choosing and waits for an agent"
        if not is_choosing and request is not None and (request.options or request.choose_until_ms is not None):
            yield f"I19 contact {contact.contact_id} is {contact.state} and has options to choose"
        is_away = request is not None and request.is_here is False
        if request is not None and request.leave_until_ms is not None and not (is_away and contact.state in _WAITING):
            yield f"I19 contact {contact.contact_id} ends for an absence, and its customer is connected or does not wait"
    choosing = {name for name, contact in state.contacts.items() if contact.state is ContactState.CHOOSING}
    if set(state.choosing) != choosing:
        yield "I22 the index of choosing contacts is wrong"
    tokens = {
        one.request.token_hash: name for name, one in state.contacts.items() if one.request is not None and one.request.token_hash
    }
    if tokens != state.contacts_by_token:
        yield "I37 the index of customer tokens is wrong"


def _missed_matches(state: RoutingState) -> Iterator[str]:
    """Check I22: no contact waits while an agent could take it now."""
    seeking = [c for c in state.contacts.values() if c.order_key]
    ready = [a for a in state.agents.values() if a.open_channel_bits]
    if len(seeking) * len(ready) > _PAIRS_MAX:
        return
    for contact in seeking:
        for agent in ready:
            if not unmet_conditions(state, agent, contact, state.at_ms):
                yield f"I22 contact {contact.contact_id} waits and agent {agent.agent_id} could take it"
