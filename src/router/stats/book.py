"""The book that the folds write in: what a snapshot keeps, and where each event is counted."""

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
    """What an entry rule has done since its policy came into force."""

    matched: int = 0
    failed: int = 0


class Pages(Struct, array_like=True):
    """All that a snapshot keeps."""

    format: int = FORMAT
    seq: int = 0
    at_ms: int = 0
    ended: int = 0
    """Contacts whose conversation is over."""
    queues: dict[str, QueueMeter] = field(default_factory=dict)
    channels: dict[str, Tally] = field(default_factory=dict)
    """The whole workspace by channel, with what queues counted that are no more."""
    waits: Waits = field(default_factory=Waits)
    contacts: dict[str, LiveContact] = field(default_factory=dict)
    offers: dict[str, LiveOffer] = field(default_factory=dict)
    work: dict[str, LiveWork] = field(default_factory=dict)
    agents: dict[str, AgentMeter] = field(default_factory=dict)
    workforce: Workforce = field(default_factory=Workforce)
    series: Series = field(default_factory=Series)
    rules: dict[str, RuleMeter] = field(default_factory=dict)
    """The entry rules of the policy in force, in their order."""


class Book:
    """The pages, with short ways to them."""

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
        """What has been counted since the pages were brought up to date."""

    def places(self, queue_id: str, channel: str) -> tuple[Tally, ...]:
        """Where an event of a queue and channel is counted: once, on a sheet that ``settle`` copies into all it belongs to."""
        try:
            return self._sheets[queue_id][channel]
        except KeyError:
            return self._open_sheet(queue_id, channel)

    def _open_sheet(self, queue_id: str, channel: str) -> tuple[Tally, ...]:
        self._places(queue_id, channel)
        sheet = self._sheets.setdefault(queue_id, {})[channel] = (Tally(),)
        return sheet

    def _places(self, queue_id: str, channel: str) -> list[Tally]:
        """The tallies of a pair in the pages: its channel, the running interval, its queue."""
        pages = self.pages
        places = [pages.channels.setdefault(channel, Tally())]
        places.append(pages.series.cell(queue_id, channel))
        queue = pages.queues.get(queue_id)
        if queue is not None:
            places.append(queue.channels.setdefault(channel, Tally()))
        return places

    def settle(self) -> None:
        """Bring the pages up to date: before they are read, and before a queue or an interval begins or ends.

        Costs by the pairs of queue and channel that anything happened to since the last time.
        """
        for queue_id, sheets in self._sheets.items():
            for channel, (sheet,) in sheets.items():
                add_to_all(sheet, self._places(queue_id, channel))
        self._sheets.clear()

    def queue(self, queue_id: str) -> QueueMeter:
        """The meter of a queue; a new one where a queue is met for the first time."""
        queue = self.queues.get(queue_id)
        if queue is None:
            self.settle()
            at_ms = self.pages.at_ms
            queue = self.queues[queue_id] = QueueMeter(since_ms=at_ms, opened_at_ms=at_ms)
        return queue

    def close_queue(self, queue_id: str) -> None:
        """Forget a queue that is no more; the totals keep what it counted."""
        self.settle()
        del self.queues[queue_id]

    def agent(self, agent_id: str) -> AgentMeter:
        """The meter of an agent; a new one where an agent is met for the first time."""
        agent = self.agents.get(agent_id)
        if agent is None:
            agent = self.agents[agent_id] = AgentMeter(since_ms=self.pages.at_ms)
            self.pages.workforce.heads[agent.doing] += 1
        return agent

    def change_agent(self, agent: AgentMeter, at_ms: int, *, state: AgentState, work: int) -> None:
        """An agent has another state or other work: what he did until now is put to his account and everybody's."""
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
        """The running interval is over."""
        self.settle()
        series = self.pages.series
        if not series.intervals:
            self.pages.workforce.since_ms = at_ms
        series.advance(at_ms, self.pages.workforce)
        self.interval_end_ms = series.end_ms()
