"""State of the statistics: the content of a snapshot, and the counters that an event changes.

Each event counts for its channel, its queue and the running interval. To keep events cheap, they are added once to pending
counters of their queue and channel, and ``settle`` copies these into all places that they belong to. It must run before the
state is read, and before a queue or an interval begins or ends.
"""

from typing import Final

from msgspec import Struct, field

from router.model.states import AgentState
from router.stats.live import AgentMeter, LiveContact, LiveOffer, LiveWork, QueueMeter
from router.stats.occupancy import Workforce, activity
from router.stats.series import Series
from router.stats.tally import Tally, add_to_all
from router.stats.waiting import Waits

FORMAT: Final = 1


class RuleMeter(Struct, array_like=True):
    """Counters of an entry rule since its policy came into force."""

    matched: int = 0
    failed: int = 0


class Pages(Struct, array_like=True):
    """Content of a snapshot."""

    format: int = FORMAT
    seq: int = 0
    at_ms: int = 0
    ended: int = 0
    """Number of ended contacts."""
    queues: dict[str, QueueMeter] = field(default_factory=dict)
    channels: dict[str, Tally] = field(default_factory=dict)
    """Counters of the whole workspace by channel, including removed queues."""
    waits: Waits = field(default_factory=Waits)
    contacts: dict[str, LiveContact] = field(default_factory=dict)
    offers: dict[str, LiveOffer] = field(default_factory=dict)
    work: dict[str, LiveWork] = field(default_factory=dict)
    agents: dict[str, AgentMeter] = field(default_factory=dict)
    workforce: Workforce = field(default_factory=Workforce)
    series: Series = field(default_factory=Series)
    rules: dict[str, RuleMeter] = field(default_factory=dict)
    """Counters of the entry rules of the policy in force, in policy order."""


class Book:
    """Snapshot content with pending counters and the operations of the event handlers."""

    __slots__ = (
        "_sheets",
        "agents",
        "contacts",
        "interval_end_ms",
        "offers",
        "pages",
        "queues",
        "work",
    )

    def __init__(self, pages: Pages) -> None:
        self.pages = pages
        self.queues = pages.queues
        self.contacts = pages.contacts
        self.offers = pages.offers
        self.work = pages.work
        self.agents = pages.agents
        self.interval_end_ms = pages.series.end_ms()
        self._sheets: dict[str, dict[str, tuple[Tally, ...]]] = {}
        """Pending counters since the last ``settle``, by queue and channel."""

    def places(self, queue_id: str, channel: str) -> tuple[Tally, ...]:
        """Return the pending counters of a queue and channel, which ``settle`` copies to all places they belong to."""
        try:
            return self._sheets[queue_id][channel]
        except KeyError:
            return self._open_sheet(queue_id, channel)

    def _open_sheet(self, queue_id: str, channel: str) -> tuple[Tally, ...]:
        self._places(queue_id, channel)
        sheet = self._sheets.setdefault(queue_id, {})[channel] = (Tally(),)
        return sheet

    def _places(self, queue_id: str, channel: str) -> list[Tally]:
        """Return the counters of a queue and channel in the snapshot: of the channel, the running interval and the queue."""
        pages = self.pages
        places = [pages.channels.setdefault(channel, Tally())]
        places.append(pages.series.cell(queue_id, channel))
        queue = pages.queues.get(queue_id)
        if queue is not None:
            places.append(queue.channels.setdefault(channel, Tally()))
        return places

    def settle(self) -> None:
        """Add the pending counters to the snapshot content.

        O(pairs of queue and channel with an event since the last call).
        """
        for queue_id, sheets in self._sheets.items():
            for channel, (sheet,) in sheets.items():
                add_to_all(sheet, self._places(queue_id, channel))
        self._sheets.clear()

    def queue(self, queue_id: str) -> QueueMeter:
        """Return the counters of a queue, creating them if needed."""
        queue = self.queues.get(queue_id)
        if queue is None:
            self.settle()
            at_ms = self.pages.at_ms
            queue = self.queues[queue_id] = QueueMeter(since_ms=at_ms, opened_at_ms=at_ms)
        return queue

    def close_queue(self, queue_id: str) -> None:
        """Remove a queue; the workspace totals keep its counts."""
        self.settle()
        del self.queues[queue_id]

    def agent(self, agent_id: str) -> AgentMeter:
        """Return the counters of an agent, creating them if needed."""
        agent = self.agents.get(agent_id)
        if agent is None:
            agent = self.agents[agent_id] = AgentMeter(since_ms=self.pages.at_ms)
            self.pages.workforce.heads[agent.doing] += 1
        return agent

    def change_agent(self, agent: AgentMeter, at_ms: int, *, state: AgentState, work: int) -> None:
        """Change an agent's state or number of assignments, and add the time of an activity that ends."""
        before = agent.doing
        agent.state = state
        agent.assignments += work
        after = activity(state, agent.assignments)
        if before is after:
            return
        agent.doing = after
        agent.time.add(before, at_ms - agent.since_ms)
        agent.since_ms = at_ms
        workforce = self.pages.workforce
        workforce.advance(at_ms)
        workforce.heads[before] -= 1
        workforce.heads[after] += 1

    def next_interval(self, at_ms: int) -> None:
        """Close the running interval and start the one that contains ``at_ms``."""
        self.settle()
        series = self.pages.series
        if not series.intervals:
            self.pages.workforce.since_ms = at_ms
        series.advance(at_ms, self.pages.workforce)
        self.interval_end_ms = series.end_ms()
