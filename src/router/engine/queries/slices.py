"""Queries in slices: long answers built over several turns of the event loop, with a bounded amount of work in each turn.

A query in slices is a generator. It does at most about ``TURN_COST`` units of work before it yields; the writer runs commands
and other queries between two turns. One unit is about a microsecond. Costs are counted from the objects that a query visits, not
measured, so tests can hold them.

Other commands may change the state between two turns. Two kinds of queries deal with this differently:

* Lists (``contact_page``, and ``agent_list`` of ``agent_lists.py``) resume after the last position. Each row is as of the turn that
  built it.
* States (``live_contacts``, ``all_agents``) are exact as of the last turn: ``ChangedRecords`` notes every record that an event
  names meanwhile, and those are read again until none is left. Each round is shorter than the one before, because it takes
  less time.
"""

from collections.abc import Callable, Collection, Generator, Iterable, Iterator
from copy import copy
from functools import partial
from itertools import chain
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

from router.engine.events.changed_records import ChangedRecords
from router.engine.index.directory import ContactFilter
from router.engine.queries import views
from router.engine.queries.views import agent_view, contact_view
from router.engine.routing_state import RoutingState
from router.engine.state.agent import Agent
from router.engine.state.clocks import waited_ms
from router.engine.state.contact import Contact
from router.engine.wait.estimate import LINES_SAMPLED_MAX, queue_expected_wait_ms
from router.model.forecasts import ForecastCounts, QueueWaits
from router.model.states import AgentId, ContactId, ContactState, Presence, QueueId
from router.model.views import AgentView, ContactView, QueueView, WorkspaceCounts, WorkspaceView

T = TypeVar("T")
ViewT = TypeVar("ViewT")

Slices: TypeAlias = Generator[None, None, T]
"""A query in slices: yields at the end of each turn and returns the answer."""

TURN_COST: Final = 1_000
"""Units of work in one turn."""
PAGE_COST_MAX: Final = 20_000
"""Units of work for one page of a list; a page that has used them is short and is continued by its cursor."""

_CONTACT_COST: Final = 14
_AGENT_COST: Final = 10
_ITEM_COST: Final = 6
_QUEUE_COST: Final = 50
_GROUPS_PER_UNIT: Final = 4
_EXPECTED_WAIT_COST: Final = 60
_HEAD_COST: Final = 1
_LISTED_PER_TURN: Final = 700
# Lines whose position is looked up, for one unit.
_LINES_PER_UNIT: Final = 3
VIEWS_PER_PAGE: Final = 500
"""Views in one page of a state: about 400 bytes each, so a page stays well below the frame size that clients accept by default."""
# Pages that are searched for a view, for one unit.
_PAGES_PER_UNIT: Final = 16
# Rounds of reading changed records again before the rest is read in one turn.
_ROUNDS_MAX: Final = 100


class WorkMeter:
    """Counts the work of a query."""

    __slots__ = ("in_turn", "total")

    def __init__(self) -> None:
        self.in_turn = 0
        self.total = 0

    def add(self, cost: int) -> bool:
        """Count work; return whether the turn is over. The next turn then begins."""
        self.total += cost
        self.in_turn += cost
        if self.in_turn < TURN_COST:
            return False
        self.in_turn = 0
        return True


class ConnectedClients(NamedTuple):
    """Clients that are recorded as connected."""

    desktops: list[tuple[AgentId, str]]
    """Agents, with the ids of their sessions."""
    customers: list[tuple[ContactId, str]]
    """Contacts whose customer's app is connected, with the start of the node that it is connected to."""


def run_to_end(query: Slices[T]) -> T:
    """Run a query in slices without interruption: for tests, tools and the simulator."""
    while True:
        try:
            next(query)
        except StopIteration as end:
            answer: T = end.value
            return answer


class ContactPage(NamedTuple):
    """One page of a list of contacts."""

    contacts: list[ContactView]
    next_position: int | None
    """Position after which the next page begins; None: there is none."""


class Views(Generic[ViewT]):
    """Views by name, in order, in pages of at most ``VIEWS_PER_PAGE``.

    One container of very many views would be copied whenever it grows, and visited as a whole by the garbage collector.
    """

    __slots__ = ("_pages",)

    def __init__(self) -> None:
        self._pages: list[dict[str, ViewT]] = [{}]

    def __iter__(self) -> Iterator[ViewT]:
        for page in self._pages:
            yield from page.values()

    def items(self) -> Iterator[tuple[str, ViewT]]:
        """Yield each name with its view."""
        for page in self._pages:
            yield from page.items()

    @property
    def page_count(self) -> int:
        """Number of pages; at least one, which may be empty."""
        return len(self._pages)

    def add(self, name: str, view: ViewT) -> None:
        """Add a view of a name that has none."""
        if len(self._pages[-1]) >= VIEWS_PER_PAGE:
            self._pages.append({})
        self._pages[-1][name] = view

    def put(self, name: str, view: ViewT | None) -> int:
        """Replace the view of a name, add it, or remove it if there is none any more; return the cost."""
        is_done = view is None
        for page in self._pages:
            if name not in page:
                continue
            if view is None or is_done:
                del page[name]  # An id that was used again may be in two pages.
            else:
                page[name] = view
                is_done = True
        if view is not None and not is_done:
            self.add(name, view)
        return len(self._pages) // _PAGES_PER_UNIT

    def take_pages(self) -> Iterator[tuple[ViewT, ...]]:
        """Yield the pages and release each: releasing very many views at once takes long."""
        self._pages.reverse()
        while self._pages:
            yield tuple(self._pages.pop().values())


# --- lists ------------------------------------------------------------------------------------------------------------
def contact_page(state: RoutingState, wanted: ContactFilter, after_seq: int, limit: int) -> Slices[ContactPage]:
    """Return up to ``limit`` contacts after a position, in order of arrival; fewer if few of many contacts meet the filter."""
    yield from list_new_contacts(state)
    directory, meter = state.index.directory, WorkMeter()
    found: list[ContactView] = []
    position = after_seq
    while True:
        is_turn_over = False
        for position_of_step, contact in directory.search(wanted, position):
            cost = 1
            if contact is not None:
                if len(found) == limit:
                    return ContactPage(found, position)
                found.append(contact_view(state, contact))
                cost += contact_cost(state, contact)
            position = position_of_step
            if meter.add(cost):
                is_turn_over = True
                break
        if not is_turn_over:
            return ContactPage(found, None)
        if meter.total >= PAGE_COST_MAX:
            return ContactPage(found, position)
        yield


def contact_cost(state: RoutingState, contact: Contact) -> int:
    """Return the cost of a contact's view: its position is the sum over the lines of its queue."""
    if not contact.order_key:
        return _CONTACT_COST
    return _CONTACT_COST + len(state.index.lines.by_queue.get(contact.queue_id, ())) // _LINES_PER_UNIT


def agent_cost(agent: Agent) -> int:
    """Return the cost of an agent's view."""
    return _AGENT_COST + _ITEM_COST * (len(agent.offers) + len(agent.assignments))


def workspace_view(state: RoutingState) -> Slices[WorkspaceView]:
    """Return the totals of the workspace, as of the last turn, and the view of every queue."""
    names = tuple(state.policy.queues if state.policy else ())
    queues = yield from _queue_views(state, names, views.queue_view, 0)
    counts = state.counts
    return WorkspaceView(
        as_of_seq=state.seq,
        at_ms=state.at_ms,
        policy_version=state.policy_version,
        counts=WorkspaceCounts(submitted=state.submitted, **{str(s): counts[s] for s in ContactState}),
        agents=len(state.agents),
        agents_by_state={str(name): count for name, count in state.agents_by_state.items()},
        offers_pending=len(state.offers),
        assignments_open=len(state.assignments),
        queues=tuple(queues),
    )


def queue_details(state: RoutingState, now_ms: int | None = None) -> Slices[list[QueueView]]:
    """Return all queues in ascending order of id with their expected waits, each as of the turn that built it."""
    names = sorted(state.policy.queues if state.policy else ())
    view = partial(views.queue_detail_view, now_ms=now_ms)
    return (yield from _queue_views(state, names, view, expected_wait_cost(state)))


def some_queues(state: RoutingState, names: Iterable[QueueId], now_ms: int) -> Slices[list[QueueView]]:
    """Return the present state of some queues, each as of the turn that built it."""
    return (yield from _queue_views(state, names, partial(views.queue_view, now_ms=now_ms), 0))


def _queue_views(
    state: RoutingState, names: Iterable[QueueId], view: Callable[[RoutingState, QueueId], QueueView], extra_cost: int
) -> Slices[list[QueueView]]:
    meter = WorkMeter()
    found: list[QueueView] = []
    for queue_id in names:
        # The policy may change between two turns.
        if state.policy is None or queue_id not in state.policy.queues:
            continue
        found.append(view(state, queue_id))
        if meter.add(queue_cost(state, queue_id) + extra_cost):
            yield
    return found


def queue_waits(state: RoutingState, now_ms: int) -> Slices[dict[QueueId, QueueWaits]]:
    """Return by queue a copy of its forecast counts, the median wait expected of a new contact, and the longest wait at ``now_ms``.

    The newest event may be long ago, so the time is given.
    """
    meter = WorkMeter()
    found: dict[QueueId, QueueWaits] = {}
    for queue_id in tuple(state.policy.queues if state.policy else ()):
        if state.policy is None or queue_id not in state.policy.queues:
            continue
        counts = state.wait_statistics.forecast_counts.get(queue_id)
        lines = state.index.lines.by_queue.get(queue_id, ())
        heads = (line.earliest_contact() for line in lines)
        found[queue_id] = QueueWaits(
            forecasts=ForecastCounts() if counts is None else copy(counts),
            expected_ms=queue_expected_wait_ms(state, queue_id),
            oldest_ms=max((waited_ms(state, head, now_ms) for head in heads if head is not None), default=0),
        )
        if meter.add(expected_wait_cost(state) + len(lines)):
            yield
    return found


def expected_wait_cost(state: RoutingState) -> int:
    """Return the cost of an estimate, which compares the heads of at most ``LINES_SAMPLED_MAX`` lines."""
    return _EXPECTED_WAIT_COST + _HEAD_COST * min(len(state.index.lines.head_order), LINES_SAMPLED_MAX)


def queue_cost(state: RoutingState, queue_id: QueueId) -> int:
    """Return the cost of a queue's view, which counts agents by group and contacts by line."""
    lines = state.index.lines.by_queue.get(queue_id, ())
    groups = max((line.group_mask.bit_count() for line in lines), default=0)
    return _QUEUE_COST + len(lines) + groups // _GROUPS_PER_UNIT


def list_new_contacts(state: RoutingState) -> Slices[None]:
    directory, is_done = state.index.directory, False
    while not is_done:
        before = directory.listed
        is_done = directory.catch_up(_LISTED_PER_TURN)
        if directory.listed - before > _LISTED_PER_TURN // 10:
            yield


# --- states as of one event -------------------------------------------------------------------------------------------
def live_contacts(state: RoutingState, owner: str) -> Slices[Views[ContactView]]:
    """Return the live contacts of a gateway, as of the last turn."""
    with ChangedRecords(state) as changes:
        yield from list_new_contacts(state)
        while True:
            changes.is_everything = False
            names = yield from _owned_contacts(state, owner)
            found = yield from read_until_unchanged(
                state, chain.from_iterable(names), changes, changes.take_contacts, lambda name: _live_contact(state, owner, name)
            )
            if found is not None:
                return found


def customers_of_live_contacts(state: RoutingState) -> Slices[list[tuple[ContactId, str, ContactState]]]:
    """Return id, customer and state of the live contacts whose customer is known, each as of the turn that reads it."""
    found: list[tuple[ContactId, str, ContactState]] = []
    for position, contact in enumerate(list(state.contacts.values())):
        if contact.customer_id is not None and not contact.state.is_terminal:
            found.append((contact.contact_id, contact.customer_id, contact.state))
        if position % _LISTED_PER_TURN == 0:
            yield
    return found


def connected_clients(state: RoutingState) -> Slices[ConnectedClients]:
    """Return which desktops, and which apps of customers, are recorded as connected, each as of the turn that reads it."""
    found = ConnectedClients([], [])
    for position, agent in enumerate(list(state.agents.values())):
        if agent.presence is Presence.ATTACHED:
            found.desktops.append((agent.agent_id, agent.session_id or ""))
        if position % _LISTED_PER_TURN == 0:
            yield
    for position, contact in enumerate(list(state.contacts.values())):
        if contact.request is not None and contact.request.is_here and not contact.state.is_terminal:
            found.customers.append((contact.contact_id, contact.request.run))
        if position % _LISTED_PER_TURN == 0:
            yield
    return found


def requests_with_token_of(state: RoutingState, customer_ids: Collection[str]) -> Slices[list[ContactId]]:
    """Return the contacts of customers whose request has a token, also those that have ended."""
    found: list[ContactId] = []
    for position, contact_id in enumerate(list(state.contacts_by_token.values())):
        contact = state.contacts.get(contact_id)
        if contact is not None and contact.customer_id in customer_ids:
            found.append(contact_id)
        if position % _LISTED_PER_TURN == 0:
            yield
    return found


def _owned_contacts(state: RoutingState, owner: str) -> Slices[list[list[ContactId]]]:
    """Return the ids of the live contacts of a gateway, in pages; those that arrive meanwhile are among the changed ones."""
    meter = WorkMeter()
    found: list[list[ContactId]] = [[]]
    position = 0
    is_turn_over = True
    while is_turn_over:
        is_turn_over = False
        for step, contact in state.index.directory.search(ContactFilter(owner=owner), position):
            position = step
            if contact is not None and not contact.state.is_terminal:
                found[-1].append(contact.contact_id)
                if len(found[-1]) >= VIEWS_PER_PAGE:
                    found.append([])
            if meter.add(1):
                is_turn_over = True
                break
        if is_turn_over:
            yield
    return found


def _live_contact(state: RoutingState, owner: str, contact_id: ContactId) -> tuple[ContactView | None, int]:
    contact = state.contacts.get(contact_id)
    if contact is None or contact.gateway_id != owner or contact.state.is_terminal:
        return None, 1
    return contact_view(state, contact), contact_cost(state, contact)


def all_agents(state: RoutingState) -> Slices[Views[AgentView]]:
    """Return all agents, as of the last turn."""
    with ChangedRecords(state) as changes:
        while True:
            changes.is_everything = False
            found = yield from read_until_unchanged(
                state, list(state.agents), changes, changes.take_agents, lambda name: _agent(state, name)
            )
            if found is not None:
                return found


def _agent(state: RoutingState, agent_id: AgentId) -> tuple[AgentView | None, int]:
    agent = state.agents.get(agent_id)
    return (None, 1) if agent is None else (agent_view(state, agent), agent_cost(agent))


def read_until_unchanged(
    state: RoutingState,
    names: Iterable[str],
    changes: ChangedRecords,
    take_changed: Callable[[], list[Any]],
    read_one: Callable[[str], tuple[ViewT | None, int]],
) -> Slices[Views[ViewT] | None]:
    """Read records, each name once, until none has changed since it was read; None: anything may have changed, begin again."""
    meter = WorkMeter()
    found: Views[ViewT] = Views()
    for name in names:
        view, cost = read_one(name)
        if view is not None:
            found.add(name, view)
        if meter.add(cost):
            yield
            if changes.is_everything:
                return None
    rounds = 0
    while changed := take_changed():
        rounds += 1
        for name in changed:
            view, cost = read_one(name)
            cost += found.put(name, view)
            if meter.add(cost) and rounds <= _ROUNDS_MAX:
                yield
                if changes.is_everything:
                    return None
    return found
