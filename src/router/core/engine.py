"""The door of the core: one engine a workspace. Everything that happens goes through ``handle``."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from copy import copy
from hashlib import blake2b
from typing import Final

from router.core import newcomer, snapshot, views, why
from router.core.apply import apply
from router.core.availability import availability
from router.core.decide import DECIDE
from router.core.decide.step import ImagedStep, Step
from router.core.decide.timers import fire
from router.core.doctor import diagnose
from router.core.expected import queue_expected_wait_ms
from router.core.imaging import Imaging
from router.core.index import Index
from router.core.invariants import broken
from router.core.matching import serve_newcomer, settle
from router.core.pace import Forecast
from router.core.queue_facts import READERS
from router.core.state import RoutingState
from router.core.timers import Timers
from router.model.commands import AdvanceTime, Command
from router.model.diagnosis import Diagnosis
from router.model.events import Event
from router.model.forecasts import ExpectedWait, ForecastCounts
from router.model.outcome import Outcome
from router.model.policy import FactValue, Policy
from router.model.refusals import Refused
from router.model.states import Presence
from router.model.views import (
    AgentView,
    AgentWhy,
    AvailabilityView,
    ContactView,
    ContactWhy,
    QueueView,
    RulesView,
    WorkspaceView,
)

# An AdvanceTime fires at most so many timers: ten thousand deadlines at once must not hold everybody else up.
_TIMERS_PER_ADVANCE_MAX: Final = 64

_NO_FORECASTS: Final = ForecastCounts()


def digest_of(parts: Iterable[bytes]) -> str:
    """The digest of the state that these are the bytes of."""
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


class Engine:
    """The routing engine of one workspace: deterministic, synchronous, single-threaded."""

    def __init__(self, state: RoutingState | None = None) -> None:
        if state is None:
            state = RoutingState()
            state.index, state.timers = Index(state), Timers(state)
        self._state = state
        # One for all commands: it has nothing of its own but what ``handle`` gives it.
        self._step = Step(state, state.at_ms)
        self._imaged_step = ImagedStep(state, state.at_ms)

    # --- what happens ------------------------------------------------------------
    def handle(self, command: Command, at_ms: int) -> Outcome:
        """Carry out one command at one time. Due timers fire first; what can be matched is matched before it returns.

        ``at_ms`` never goes back (asserted). A refusal leaves no event but those of timers that were due.
        """
        state = self._state
        assert at_ms >= state.at_ms, "the clock never goes back"
        first_seq = state.seq + 1
        step = self._step if state.imaging is None else self._imaged_step
        state.at_ms = step.at_ms = at_ms
        events: list[Event] = []
        step.events = events
        index, heap = state.index, state.timers.heap
        kind = type(command)
        if heap and heap[0][0] <= at_ms:
            _fire_due(step, _TIMERS_PER_ADVANCE_MAX if kind is AdvanceTime else None)
            settle(step)
        answer = DECIDE[kind](step, command)
        # A command may bring back a deadline that has passed meanwhile: it counts before anybody is matched.
        if heap and heap[0][0] <= at_ms and kind is not AdvanceTime:
            _fire_due(step, None)
        if index.newcomer is not None:
            serve_newcomer(step)
        if index.freed or index.seeking or index.left:
            settle(step)
        if events:
            state.event_at_ms = at_ms
        return Outcome(answer, first_seq, at_ms, events)

    def next_deadline_ms(self) -> int | None:
        """When ``AdvanceTime`` is due next; none: never. Only the writer asks."""
        return self._state.timers.next_ms()

    def replay(self, events: Sequence[Event], first_seq: int, at_ms: int) -> None:
        """Take in one journaled record: the state afterwards is the same as when it was decided."""
        state = self._state
        assert first_seq == state.seq + 1, f"record {first_seq} does not follow {state.seq}"
        assert at_ms >= state.at_ms, "the clock never goes back"
        state.at_ms = at_ms
        if state.imaging is not None:
            state.imaging.give_up()
        for agent_id in state.timers.caps_over(at_ms):
            state.index.refresh(state.agents[agent_id])
        for event in events:
            apply(state, event)
        # What was to be matched has been: the record says how.
        state.index.freed.clear()
        state.index.seeking.clear()
        state.index.left.clear()

    # --- the whole ------------------------------------------------------------
    @property
    def seq(self) -> int:
        """The number of the last event; 0 = none yet."""
        return self._state.seq

    @property
    def at_ms(self) -> int:
        """The time of the last step."""
        return self._state.at_ms

    @property
    def records(self) -> int:
        """How many contacts and agents there are: what a snapshot costs."""
        return len(self._state.contacts) + len(self._state.agents)

    def snapshot(self) -> bytes:
        """The state as bytes; the same state gives the same bytes."""
        return snapshot.dump(self._state)

    def image(self) -> Imaging:
        """The same in pieces: begun now, made while commands are carried out. One at a time (asserted)."""
        return Imaging(self._state)

    @classmethod
    def restore(cls, data: bytes) -> "Engine":
        """An engine with exactly that state."""
        return cls(snapshot.load(data))

    def digest(self) -> str:
        """A hash of the state; equal for live, replayed and restored engines at the same seq."""
        return digest_of((snapshot.dump(self._state),))

    def check(self) -> list[str]:
        """Broken invariants as sentences; empty = sound. Slow: for tests, simulator and ``router verify``."""
        return broken(self._state)

    # --- questions: none of these changes anything ----------------------------------------------------------------
    @property
    def policy(self) -> Policy | None:
        """The policy in force; none before the first one."""
        return self._state.policy

    @property
    def policy_version(self) -> int:
        """1, 2, 3…; 0 before the first policy."""
        return self._state.policy_version

    @property
    def shadow_policy(self) -> Policy | None:
        """The policy that runs beside it and decides nothing; none where there is none."""
        return self._state.shadow_policy

    @property
    def shadow_seq(self) -> int:
        """The event that set the shadow policy; 0: there is none."""
        return self._state.shadow_seq

    def contact(self, contact_id: str) -> ContactView | None:
        """One contact, live or ended within retention."""
        contact = self._state.contacts.get(contact_id)
        return None if contact is None else views.one_contact_view(self._state, contact)

    def contacts(
        self,
        *,
        state: str | None = None,
        queue_id: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> list[ContactView]:
        """Contacts by ascending id, those after the id ``after``."""
        state_ = self._state
        names = sorted(
            name
            for name, contact in state_.contacts.items()
            if (state is None or contact.state == state)
            and (queue_id is None or contact.queue_id == queue_id)
        )
        start = bisect_right(names, after)
        return [
            views.contact_view(state_, state_.contacts[name])
            for name in names[start : start + limit]
        ]

    def agent(self, agent_id: str) -> AgentView | None:
        """One agent."""
        agent = self._state.agents.get(agent_id)
        return None if agent is None else views.agent_view(self._state, agent)

    def agents(self, *, after: str = "", limit: int = 100) -> list[AgentView]:
        """Agents by ascending id."""
        names = sorted(self._state.agents)
        start = bisect_right(names, after)
        return [
            views.agent_view(self._state, self._state.agents[name])
            for name in names[start : start + limit]
        ]

    def attached_sessions(self) -> list[tuple[str, str]]:
        """(agent id, session id) of every agent whose desktop counts as attached: after a restart none of them is."""
        return [
            (agent.agent_id, agent.session_id or "")
            for agent in self._state.agents.values()
            if agent.presence is Presence.ATTACHED
        ]

    def queue(self, queue_id: str) -> QueueView | None:
        """One queue."""
        policy = self._state.policy
        if policy is None or queue_id not in policy.queues:
            return None
        return views.one_queue_view(self._state, queue_id)

    def expected_wait(
        self,
        queue_id: str,
        *,
        channel: str | None = None,
        skills: dict[str, int] | None = None,
        priority_s: int = 0,
        strict_class: int = 0,
        at_ms: int = 0,
    ) -> ExpectedWait | Refused:
        """How long a contact would wait that came now.

        ``channel``: none: the queue's most common channel, and its most common class where no skills are named. ``at_ms``: now,
        where that is later than the last step. Refused like a submit: an unknown queue, channel or skill, a value out of range.
        """
        return newcomer.expected_wait_asked(
            self._state,
            queue_id,
            channel,
            skills=skills or {},
            priority_s=priority_s,
            strict_class=strict_class,
            at_ms=at_ms,
        )

    def forecast(self, contact_id: str) -> Forecast | None:
        """What was foreseen of a contact when it came; none: nothing, or its wait is over."""
        return self._state.learned.pending.get(contact_id)

    def forecasts(self) -> dict[str, tuple[ForecastCounts, int | None]]:
        """By queue, what became of its forecasts (a copy), and the median wait that a newcomer has to expect."""
        state = self._state
        return {
            queue_id: (
                copy(state.learned.counts.get(queue_id, _NO_FORECASTS)),
                queue_expected_wait_ms(state, queue_id),
            )
            for queue_id in (state.policy.queues if state.policy else ())
        }

    def availability(
        self, queue_id: str, channel: str | None = None, skills: dict[str, int] | None = None
    ) -> AvailabilityView | Refused:
        """What such a contact would find in a queue now; refused: the queue, channel or a skill is unknown."""
        return availability(self._state, queue_id, channel, skills or {})

    def workspace(self) -> WorkspaceView:
        """Everything in figures."""
        return views.workspace_view(self._state)

    def rules(self) -> RulesView:
        """The entry rules of the policy in force, and how many contacts each has classified."""
        return views.rules_view(self._state)

    def queue_fact(self, queue_id: str, channel: str, name: str) -> FactValue | None:
        """What a rule would be told now of a declared queue; None: there is no value."""
        return READERS[name](self._state, queue_id, channel)

    def why(self, contact_id: str) -> ContactWhy | None:
        """Why a contact is where it is, by the rules that route."""
        contact = self._state.contacts.get(contact_id)
        return None if contact is None else why.why_contact(self._state, contact)

    def why_agent(self, contact_id: str, agent_id: str) -> AgentWhy | None:
        """Why this agent, or why not. None: one of them is unknown."""
        contact = self._state.contacts.get(contact_id)
        agent = self._state.agents.get(agent_id)
        if contact is None or agent is None:
            return None
        return why.why_agent(self._state, contact, agent)

    def diagnose(self, *, at_ms: int | None = None, thorough: bool = False) -> Diagnosis:
        """What is not as it should be: who waits in vain, who has nothing to do, what has no effect.

        ``at_ms``: the time that waits are counted to; none: that of the last step. ``thorough``: with every invariant, as slow
        as ``check``.
        """
        return diagnose(self._state, at_ms=at_ms, thorough=thorough)


def _fire_due(step: Step, limit: int | None) -> None:
    """Carry out the timers that are due, at most so many; none: all of them."""
    timers, at_ms = step.state.timers, step.at_ms
    while limit != 0 and (entry := timers.due(at_ms)) is not None:
        fire(step, entry)
        if limit is not None:
            limit -= 1
