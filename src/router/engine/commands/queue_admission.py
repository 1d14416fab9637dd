"""Admission of contacts to queues: the one procedure by which every contact enters a queue.

A queue may be closed, may have no ready agent, or may be full; its policy says whether a contact then waits, overflows along
the overflow chain, or is refused. ``ADMISSION_RULES`` says for each way into a queue which of these conditions count for the first
queue, and what happens if no queue admits the contact. All conditions count for the queues of an overflow chain. ``length_max``
limits waiting only: a contact that a free agent can take at once never fails because of it.

A chain ends at a queue without ``overflow_to``, at a refusal, after ``overflow_count_max`` overflows in the life of the contact,
and before a queue that the contact has already left by an overflow, so no loop of overflows goes on for ever.
"""

from collections.abc import Callable, Collection
from enum import Enum
from typing import Final, NamedTuple, TypeAlias

from router.engine.routing_state import RoutingState
from router.engine.state.contact import Contact
from router.engine.state.plan_stages import RoutingCriteria, routing_criteria
from router.model.policy import Policy, QueuePolicy, WhenClosed, WhenFull, WhenNoAgentsReady
from router.model.results import RefusalCode, Refused
from router.model.states import ContactState, QueueId

QueuePredicate: TypeAlias = Callable[[QueueId], bool]


class EntryWay(Enum):
    """Way in which a contact enters a queue."""

    SUBMIT = "submit"
    """A gateway submits it."""
    TRANSFER = "transfer"
    """Its owner transfers it to the queue."""
    REQUEUE = "requeue"
    """A supervisor requeues it, or the policy removes its queue."""
    OVERFLOW = "overflow"
    """Another queue passes it on: after the maximum wait, at closing, or because no agent was ready."""
    STEP = "step"
    """A step of its plan names the queue."""
    RETURN = "return"
    """It waits again without its owner, its reservation has ended, or its callback has been answered by the customer."""
    CALLBACK_DUE = "callback_due"
    """The agreed time, or the time of the next attempt, has come."""
    RESUME = "resume"
    """It is resumed after a suspension."""
    RESUME_DUE = "resume_due"
    """It was not resumed in time and is queued as a task."""
    OPENING = "opening"
    """The queue opens, in which it has waited for that."""


class _NoAgents(Enum):
    """When ``when_no_agents_ready`` of the first queue counts."""

    NEVER = 0
    WHILE_OPEN = 1
    ALWAYS = 2


class AdmissionRule(NamedTuple):
    """Conditions of the first queue that count for one way of entering."""

    closed: bool
    """Whether ``when_closed`` counts."""
    no_agents: _NoAgents
    """When ``when_no_agents_ready`` counts: always, or only while the queue is open."""
    full: bool
    """Whether ``length_max`` counts."""
    is_refusable: bool
    """Whether the contact stays where it is if no queue admits it; otherwise it enters the first queue in any case."""


_EVERYTHING: Final = AdmissionRule(closed=True, no_agents=_NoAgents.WHILE_OPEN, full=True, is_refusable=True)
_PLACED: Final = _EVERYTHING._replace(is_refusable=False)
# The contact had a place in the queue already.
_RETURNS: Final = AdmissionRule(closed=False, no_agents=_NoAgents.ALWAYS, full=False, is_refusable=False)

ADMISSION_RULES: Final[dict[EntryWay, AdmissionRule]] = {
    EntryWay.SUBMIT: _EVERYTHING,
    EntryWay.TRANSFER: _EVERYTHING,
    EntryWay.REQUEUE: _PLACED,
    EntryWay.OVERFLOW: _EVERYTHING,
    EntryWay.STEP: _EVERYTHING,
    EntryWay.RETURN: _RETURNS,
    EntryWay.CALLBACK_DUE: _RETURNS._replace(no_agents=_NoAgents.WHILE_OPEN),
    EntryWay.RESUME: _EVERYTHING,
    EntryWay.RESUME_DUE: _RETURNS._replace(no_agents=_NoAgents.NEVER),
    EntryWay.OPENING: _RETURNS,
}
# What the contact has left by overflows before does not count.
_ENTERS_AGAIN: Final = frozenset({EntryWay.TRANSFER, EntryWay.REQUEUE, EntryWay.RESUME})
# The customer of a callback is not on the line and can wait, also in a closed queue. Only when it is due it is passed on.
_CALLBACK: Final = AdmissionRule(closed=False, no_agents=_NoAgents.NEVER, full=False, is_refusable=False)


class QueueEntry(NamedTuple):
    """Queue that admits a contact."""

    queue_id: QueueId
    overflow_count: int
    """Number of overflows on the way to it."""


class _Walk(NamedTuple):
    """What the walk along an overflow chain needs to know."""

    state: RoutingState
    policy: Policy
    has_free_agent: QueuePredicate
    has_ready_agent: QueuePredicate
    becomes_callback: bool = False
    """Whether the contact is submitted as a callback."""


def admit_to_queue(
    state: RoutingState,
    policy: Policy,
    queue_id: QueueId,
    *,
    has_free_agent: QueuePredicate,
    has_ready_agent: QueuePredicate,
    callback: bool = False,
) -> QueueEntry | Refused:
    """Return the queue that admits a new contact, or the refusal of the last queue tried.

    ``has_free_agent`` tells for a queue whether an agent could take this contact now, ``has_ready_agent`` whether a qualified
    agent is ready. With ``callback`` the contact is to become a callback: a queue that offers callbacks admits it even if it
    is closed or has no ready agent, because the customer is not on the line.
    """
    walk = _Walk(state, policy, has_free_agent, has_ready_agent, callback)
    return _find_queue(walk, queue_id, ADMISSION_RULES[EntryWay.SUBMIT], policy.overflow_count_max, ())


def find_queue(
    state: RoutingState, contact: Contact, queue_id: QueueId, way: EntryWay, channel: str | None = None
) -> QueueEntry | Refused:
    """Return the queue that a live contact enters if it is to enter ``queue_id`` in this way, or the refusal.

    ``channel`` is the channel on which it will wait there; None: its own.

    Whether a step of its plan has agents is decided as for a new contact: reservations do not count.
    """
    policy = state.policy
    assert policy is not None
    plan = contact.plan if queue_id == contact.queue_id or way is EntryWay.OVERFLOW or way is EntryWay.STEP else None
    criteria = routing_criteria(contact)._replace(plan=plan, step=0, reserved_agent_id=None, channel=channel or contact.channel)
    walk = _Walk(state, policy, *agent_predicates(state, criteria))
    rule = ADMISSION_RULES[way]
    if contact.awaits_customer and not (rule.is_refusable or way is EntryWay.CALLBACK_DUE):
        rule = _CALLBACK
    left = set(contact.overflowed_from)
    if way not in _ENTERS_AGAIN:
        left.add(contact.queue_id)
    hops = policy.overflow_count_max - contact.overflow_count
    if way is not EntryWay.OVERFLOW and way is not EntryWay.STEP:
        return _find_queue(walk, queue_id, rule, hops, left)
    # Entering the first queue is an overflow itself.
    if hops < 1 or queue_id in left:
        return _loop_refusal(queue_id)
    found = _find_queue(walk, queue_id, rule, hops - 1, left)
    return found if isinstance(found, Refused) else found._replace(overflow_count=found.overflow_count + 1)


def agent_predicates(state: RoutingState, criteria: RoutingCriteria) -> tuple[QueuePredicate, QueuePredicate]:
    """Return whether an agent is free, and whether one is ready, for such a contact in a queue."""
    contacts = state.index.contacts
    return (
        lambda name: contacts.has_open_agent(criteria._replace(queue_id=name)),
        lambda name: contacts.has_ready_agent(criteria._replace(queue_id=name)),
    )


def _find_queue(walk: _Walk, first: QueueId, rule: AdmissionRule, hops: int, left: Collection[QueueId]) -> QueueEntry | Refused:
    """Walk from the first queue along the overflow chain to the queue that admits the contact."""
    queue_id, is_refusable, overflow_count = first, rule.is_refusable, 0
    full: QueueId | None = None
    while True:
        queue = walk.policy.queues[queue_id]
        refused, overflows = _check_queue(walk, queue_id, queue, rule)
        if refused is None:
            return QueueEntry(queue_id, overflow_count)
        if refused.code is RefusalCode.QUEUE_FULL:
            full = full or queue_id
            refused = _full_refusal(full)
        target = queue.overflow_to
        if not overflows or target is None or overflow_count >= hops or target in left:
            return refused if is_refusable else QueueEntry(first, 0)
        queue_id, rule = target, _EVERYTHING
        overflow_count += 1


def _check_queue(walk: _Walk, queue_id: QueueId, queue: QueuePolicy, rule: AdmissionRule) -> tuple[Refused | None, bool]:
    """Return the refusal of a queue that does not admit the contact, and whether it overflows then."""
    state = walk.state
    closed = bool(state.hours) and state.is_closed(queue_id)
    may_wait = walk.becomes_callback and queue.callback is not None
    if closed and rule.closed and queue.when_closed is not WhenClosed.WAIT and not may_wait:
        return queue_closed_refusal(state, queue_id), queue.when_closed is WhenClosed.OVERFLOW
    counts = rule.no_agents is _NoAgents.ALWAYS or (rule.no_agents is _NoAgents.WHILE_OPEN and not closed)
    if counts and not may_wait and queue.when_no_agents_ready is not WhenNoAgentsReady.WAIT and not walk.has_ready_agent(queue_id):
        detail = f"no qualified agent is ready in queue {queue_id}"
        refused = Refused(code=RefusalCode.NO_AGENTS_READY, field="queue_id", detail=detail)
        return refused, queue.when_no_agents_ready is WhenNoAgentsReady.OVERFLOW
    if rule.full and _is_full(state, queue_id, queue) and (closed or not walk.has_free_agent(queue_id)):
        return _full_refusal(queue_id), queue.when_full is WhenFull.OVERFLOW
    return None, False


def queue_closed_refusal(state: RoutingState, queue_id: QueueId, field: str = "queue_id") -> Refused:
    """Return the refusal of a closed queue, with the time at which it opens."""
    hours = state.hours[queue_id]
    return Refused(
        code=RefusalCode.QUEUE_CLOSED, field=field, detail=f"queue {queue_id} is closed", opens_at_ms=hours.changes_at_ms
    )


def _full_refusal(queue_id: QueueId) -> Refused:
    return Refused(code=RefusalCode.QUEUE_FULL, field="queue_id", detail=f"queue {queue_id} is at its length_max")


def _loop_refusal(queue_id: QueueId) -> Refused:
    detail = f"the contact has already overflowed from queue {queue_id}, or overflow_count_max times"
    return Refused(code=RefusalCode.QUEUE_FULL, field="queue_id", detail=detail)


def _is_full(state: RoutingState, queue_id: QueueId, queue: QueuePolicy) -> bool:
    return queue.length_max is not None and state.queue_counts(queue_id)[ContactState.QUEUED] >= queue.length_max
