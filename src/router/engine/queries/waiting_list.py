"""The waiting contacts of a queue in the order in which they are served, one page at a time.

A queue has a waiting line for each class of requirements, each sorted by rank in the total order of contacts. A page merges them:
it finds the first contact of each line after its cursor by bisection, and then takes the least rank again and again. So a page
costs a bisection for each line of the queue, and otherwise as much as its contacts; those before and after it are not visited. The
cursor is a rank, which stays valid when contacts arrive or leave, and after a restart.

The lines may change between two turns. A contact that has left its line is passed over, and each row is as of the turn that built
it; the positions of a page are counted from that of its first contact.
"""

from heapq import heapify, heappop, heapreplace
from typing import NamedTuple

from router.engine.queries.slices import Slices, WorkMeter, expected_wait_cost
from router.engine.routing_state import RoutingState
from router.engine.state.clocks import waited_ms
from router.engine.state.contact import Contact, WaitingLine
from router.engine.wait.estimate import expected_wait
from router.model.states import ContactId, QueueId
from router.model.views import WaitingView

_ROW_COST = 8


class WaitingPage(NamedTuple):
    """One page of the waiting contacts of a queue."""

    contacts: list[WaitingView]
    next_rank: int | None
    """Rank after which the next page begins; None: there is none."""


def waiting_page(state: RoutingState, queue_id: QueueId, after_rank: int, limit: int, now_ms: int) -> Slices[WaitingPage]:
    """Return up to ``limit`` waiting contacts whose rank is greater than ``after_rank``, in serving order."""
    meter = WorkMeter()
    found = yield from _merged(state, queue_id, after_rank, limit + 1, meter)
    lines = state.index.lines.by_queue.get(queue_id, ())
    position = 1 + sum(line.count_ahead(found[0][0]) for line in lines) if found else 1
    if meter.add(len(lines)):
        yield
    rows: list[WaitingView] = []
    for _, contact in found[:limit]:
        line = contact.waiting_line
        if line is not None and contact.order_key and contact.queue_id == queue_id:
            rows.append(_row(state, contact, line, position, now_ms))
            if meter.add(_ROW_COST + expected_wait_cost(state)):
                yield
        position += 1
    return WaitingPage(rows, found[limit - 1][0] if len(found) > limit else None)


def _merged(
    state: RoutingState, queue_id: QueueId, after_rank: int, count: int, meter: WorkMeter
) -> Slices[list[tuple[int, Contact]]]:
    """Return the next contacts of all lines of the queue with their ranks."""
    heads: list[tuple[int, int, WaitingLine]] = []
    for number, line in enumerate(tuple(state.index.lines.by_queue.get(queue_id, ()))):
        rank = line.rank_after(after_rank)
        if rank:
            heads.append((rank, number, line))
        if meter.add(2):
            yield
    heapify(heads)
    found: dict[ContactId, tuple[int, Contact]] = {}
    while heads and len(found) < count:
        rank, number, line = heads[0]
        contact = line.contact_with_rank(rank)
        following = line.rank_after(rank)
        if following:
            heapreplace(heads, (following, number, line))
        else:
            heappop(heads)
        if contact is not None:
            found.setdefault(contact.contact_id, (rank, contact))
        if meter.add(2):
            yield
    return list(found.values())


def _row(state: RoutingState, contact: Contact, line: WaitingLine, position: int, now_ms: int) -> WaitingView:
    queue = line.queue
    return WaitingView(
        contact_id=contact.contact_id,
        position=position,
        channel=contact.channel,
        requirement=line.requirement_text,
        priority_s=contact.priority_s + queue.priority_s + contact.plan_priority_s,
        priority_class=max(contact.priority_class, queue.priority_class, contact.plan_priority_class),
        queued_at_ms=contact.queued_at_ms,
        waited_ms=waited_ms(state, contact, max(now_ms, state.at_ms)),
        expected_wait=expected_wait(state, contact),
        state=contact.state,
        reserved_for=line.reserved_for or (),
        waiting_for_opening=contact.waiting_for_opening,
        callback_phase=None if contact.callback is None else contact.callback.phase,
    )
