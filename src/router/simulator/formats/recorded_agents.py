"""Agents of a recorded day: their records, the times in which they were ready, and how they answered offers."""

from typing import Final

from router.model.events.agent import AgentUpdated
from router.model.states import AgentState
from router.model.views import AgentView
from router.simulator.formats.recorded_log import GAP_MS_MAX
from router.simulator.formats.recorded_rows import AgentRow, iso_time, seconds

_MISSED_OFFER: Final = "rona"


class _RecordedAgent:
    """What is known of an agent so far."""

    __slots__ = (
        "answer_ms", "answered", "away_since_ms", "changed", "declined", "missed", "missed_ms", "missed_times", "ready_since_ms",
        "record", "shifts", "used",
    )  # fmt: skip

    def __init__(self, record: AgentUpdated) -> None:
        self.record = record
        self.used: AgentUpdated | None = None
        """Record with which the agent was ready first."""
        self.changed = False
        self.ready_since_ms: int | None = None
        self.away_since_ms: int | None = None
        """Beginning of a time after a missed offer, which may still turn out to be part of the shift."""
        self.shifts: list[tuple[int, int]] = []
        self.answered = self.answer_ms = self.declined = self.missed = self.missed_times = self.missed_ms = 0

    def be_ready(self, at_ms: int) -> None:
        """Note that the agent is ready."""
        away_since_ms, self.away_since_ms = self.away_since_ms, None
        if away_since_ms is not None:
            self.missed_times += 1
            self.missed_ms += at_ms - away_since_ms
            if at_ms - away_since_ms > GAP_MS_MAX:
                self._end_shift(away_since_ms)
        self.used = self.used or self.record
        if self.ready_since_ms is None:
            self.ready_since_ms = at_ms

    def be_away(self, at_ms: int, *, is_after_missed_offer: bool) -> None:
        """Note that the agent is not ready any more."""
        if self.ready_since_ms is None:
            return
        if is_after_missed_offer:
            self.away_since_ms = self.away_since_ms or at_ms
        else:
            self._end_shift(self.away_since_ms or at_ms)

    def _end_shift(self, at_ms: int) -> None:
        if self.ready_since_ms is not None and at_ms > self.ready_since_ms:
            self.shifts.append((self.ready_since_ms, at_ms))
        self.ready_since_ms = self.away_since_ms = None

    def shift_texts(self, from_ms: int) -> tuple[str, ...]:
        """Return the shifts that are not over at ``from_ms``; the last one is open if the agent is still ready."""
        found = [f"{iso_time(start)}/{iso_time(end)}" for start, end in self.shifts if end > from_ms]
        if self.ready_since_ms is not None:
            found.append(f"{iso_time(self.ready_since_ms)}/")
        return tuple(found)


class RecordedAgents:
    """Agents by id."""

    def __init__(self) -> None:
        self._agents: dict[str, _RecordedAgent] = {}
        self._offers: dict[str, int] = {}

    @property
    def changed(self) -> int:
        """The number of agents whose record changed after they were ready first."""
        return sum(agent.changed for agent in self._agents.values())

    def add_known(self, view: AgentView, at_ms: int) -> None:
        """Add an agent as an engine has it."""
        record = AgentUpdated(
            agent_id=view.agent_id,
            team=view.team,
            skills=view.skills,
            queues=view.queues,
            units=view.units,
            channel_max=view.channel_max,
            attributes=view.attributes,
            queue_ranks=view.queue_ranks,
        )
        self._agents[view.agent_id] = _RecordedAgent(record)
        self.change_state(view.agent_id, view.state, view.reason, at_ms)

    def update(self, event: AgentUpdated) -> None:
        """Note a new record."""
        agent = self._agents.get(event.agent_id)
        if agent is None:
            self._agents[event.agent_id] = _RecordedAgent(event)
            return
        agent.changed = agent.changed or (agent.used is not None and agent.used != event)
        agent.record = event

    def change_state(self, agent_id: str, state: AgentState, reason: str | None, at_ms: int) -> None:
        """Note a new state."""
        agent = self._agents.get(agent_id)
        if agent is None:
            return
        if state is AgentState.READY:
            agent.be_ready(at_ms)
        else:
            agent.be_away(at_ms, is_after_missed_offer=state is AgentState.NOT_READY and reason == _MISSED_OFFER)

    # --- offers ------------------------------------------------------------------------------------------------------

    def add_offer(self, offer_id: str, at_ms: int) -> None:
        """Note an offer."""
        self._offers[offer_id] = at_ms

    def end_offer(self, offer_id: str, agent_id: str, at_ms: int) -> None:
        """Note an accepted offer; one that was accepted in the same millisecond was accepted automatically."""
        made_ms, agent = self._offers.pop(offer_id, None), self._agents.get(agent_id)
        if made_ms is not None and agent is not None and at_ms > made_ms:
            agent.answered += 1
            agent.answer_ms += at_ms - made_ms

    def decline_offer(self, offer_id: str, agent_id: str, at_ms: int) -> None:
        """Note a declined offer."""
        made_ms, agent = self._offers.pop(offer_id, None), self._agents.get(agent_id)
        if made_ms is not None and agent is not None:
            agent.declined += 1
            agent.answer_ms += at_ms - made_ms

    def miss_offer(self, offer_id: str, agent_id: str) -> None:
        """Note an offer that was not answered in time."""
        agent = self._agents.get(agent_id)
        if self._offers.pop(offer_id, None) is not None and agent is not None:
            agent.missed += 1

    def drop_offer(self, offer_id: str) -> None:
        """Forget an offer that was withdrawn."""
        self._offers.pop(offer_id, None)

    # --- rows --------------------------------------------------------------------------------------------------------

    def rows(self, *, from_ms: int) -> list[AgentRow]:
        """Return the agents who were ready at some time since ``from_ms``, by id."""
        return [
            _row(agent, agent.used or agent.record, shifts)
            for _, agent in sorted(self._agents.items())
            if (shifts := agent.shift_texts(from_ms))
        ]


def _row(agent: _RecordedAgent, record: AgentUpdated, shifts: tuple[str, ...]) -> AgentRow:
    answers, offers = agent.answered + agent.declined, agent.answered + agent.declined + agent.missed
    return AgentRow(
        agent_id=record.agent_id,
        group=record.team or "agents",
        skills=record.skills,
        queues=record.queues,
        units=record.units,
        channel_max=record.channel_max,
        attributes=record.attributes,
        queue_ranks=record.queue_ranks,
        answer_s=seconds(round(agent.answer_ms / answers)) if answers else 0.0,
        decline_share=agent.declined / offers if offers else 0.0,
        no_answer_share=agent.missed / offers if offers else 0.0,
        ready_again_s=seconds(round(agent.missed_ms / agent.missed_times)) if agent.missed_times else 60.0,
        shifts=shifts,
    )
