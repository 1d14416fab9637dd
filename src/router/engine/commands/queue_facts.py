"""Facts about queues that entry rules may use when a contact arrives: one reader for each name in ``QUEUE_FACTS``.

A reader is called only for the queues and facts that a rule mentions. Its value influences nothing but the rule that matches,
and that rule is recorded in the event; so a replay does not call readers. None means that there is no value now, and a rule
that needs it fails to evaluate.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from router.engine.routing_state import RoutingState
from router.engine.state.clocks import closed_time_ms
from router.engine.wait.estimate import GROUPS_COUNTED_MAX, LINES_SAMPLED_MAX, queue_expected_wait_ms
from router.model.policy import FactValue
from router.model.states import ContactState, QueueId
from router.policy.calendar import LocalTime, load_zone, local_time
from router.policy.expressions import QUEUE_FACTS
from router.policy.rule_costs import nominal_fact_cost

QueueFactReader: TypeAlias = Callable[[RoutingState, QueueId, str], FactValue | None]
"""Arguments: state at its own time, queue, channel of the arriving contact."""


def _waiting(state: RoutingState, queue_id: QueueId, channel: str) -> int:
    """Return the number of contacts that wait without an offer."""
    return state.queue_counts(queue_id)[ContactState.QUEUED]


def _oldest_wait_s(state: RoutingState, queue_id: QueueId, channel: str) -> int:
    """Return the longest wait among the heads of the queue's lines, in whole seconds; 0 for an empty queue.

    Time for which a contact waits for the opening does not count, unless the policy says so.
    """
    lines = state.index.lines.by_queue.get(queue_id, ())
    heads = [line.contacts_by_key[line.first_key] for line in lines if line.head_rank]
    return max((state.at_ms - head.queued_at_ms - closed_time_ms(state, head) for head in heads), default=0) // 1000


def _agents_ready(state: RoutingState, queue_id: QueueId, channel: str) -> int:
    """Return the number of READY agents, busy or free, for a contact of this channel without skill requirements of its own.

    Only the queue's requirement counts; changes by a plan are ignored.
    """
    line = state.index.lines.queue_default_line(queue_id, channel)
    return sum(group.ready_count for group in state.index.qualification.groups_in(line.group_mask))


def _agents_free(state: RoutingState, queue_id: QueueId, channel: str) -> int:
    """Return how many of the READY agents could be offered such a contact now."""
    index = state.index
    line = index.lines.queue_default_line(queue_id, channel)
    i = line.channel_index
    free = line.group_mask & index.agents.open_group_bits[i]
    return sum(len(group.idle_orders[i]) for group in index.qualification.groups_in(free))


def _expected_wait_s(state: RoutingState, queue_id: QueueId, channel: str) -> int | None:
    """Return the median expected wait of a contact of this channel; None: no estimate is possible."""
    wait_ms = queue_expected_wait_ms(state, queue_id, channel)
    return None if wait_ms is None else round(wait_ms / 1000)


def _is_open(state: RoutingState, queue_id: QueueId, channel: str) -> bool:
    """Return whether the queue is open, by its calendar or by a supervisor's override."""
    return not state.is_closed(queue_id)


def _local(state: RoutingState, queue_id: QueueId) -> LocalTime:
    """Return the local time in the zone of the queue's calendar, else of the policy."""
    policy = state.policy
    assert policy is not None
    calendar = policy.calendars.get(policy.queues[queue_id].hours or "")
    zone = load_zone(policy.zone if calendar is None else calendar.zone)
    assert zone is not None, "policy validation has checked the zone"
    return local_time(zone, state.at_ms)


def _local_hour(state: RoutingState, queue_id: QueueId, channel: str) -> int:
    return _local(state, queue_id).hour


def _local_minute(state: RoutingState, queue_id: QueueId, channel: str) -> int:
    return _local(state, queue_id).minute


def _local_weekday(state: RoutingState, queue_id: QueueId, channel: str) -> str:
    return _local(state, queue_id).weekday


QUEUE_FACT_READERS: Final[dict[str, QueueFactReader]] = {
    "waiting": _waiting,
    "agents_ready": _agents_ready,
    "agents_free": _agents_free,
    "oldest_wait_s": _oldest_wait_s,
    "expected_wait_s": _expected_wait_s,
    "is_open": _is_open,
    "local_hour": _local_hour,
    "local_minute": _local_minute,
    "local_weekday": _local_weekday,
}
assert QUEUE_FACT_READERS.keys() == QUEUE_FACTS.keys(), "every declared queue fact needs a reader"


def queue_fact_cost(state: RoutingState, queue_id: QueueId, channel: str, name: str) -> int:
    """Return the cost of reading a fact of a queue now, in units of ``rule_costs``: it depends on the lines and groups visited.

    A function of the state alone, so that equal states classify a contact equally.
    """
    cost = nominal_fact_cost(queue_id, name)
    index = state.index
    if name in ("agents_ready", "agents_free", "expected_wait_s"):
        groups = index.lines.queue_default_line(queue_id, channel).group_mask.bit_count()
        cost += min(groups, GROUPS_COUNTED_MAX if name == "expected_wait_s" else groups) // _GROUPS_PER_UNIT
    if name in ("oldest_wait_s", "expected_wait_s"):
        cost += len(index.lines.by_queue.get(queue_id, ())) // _LINES_PER_UNIT
    if name == "expected_wait_s":
        cost += min(len(index.lines.head_order), LINES_SAMPLED_MAX) * _UNITS_PER_HEAD
    return cost


_GROUPS_PER_UNIT: Final = 5
_LINES_PER_UNIT: Final = 5
_UNITS_PER_HEAD: Final = 2
