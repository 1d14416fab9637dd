"""Behaviour of simulated people: the workforce, and customers who are called back.

The workforce knows which agents are on duty, which have work, and which join or leave when a staff level changes. It is
independent of the engine: the simulation (or a load test) reports what happened and sends the resulting commands. Callback
customers decide when to request a callback and whether to pick up, and what the gateway reports.
"""

from collections.abc import Callable, Sequence
from math import log
from random import Random
from typing import Final

from router.model.commands import CallbackFields, Command, ReportCallback, RequestCallback
from router.model.events import Event
from router.model.events.agent import AgentStateChanged
from router.model.events.contact import CallbackConnected, CallbackDialRequested, CallbackFailed
from router.model.results import Refused
from router.model.states import AgentId, AgentState, CallbackOutcome
from router.simulator.day import AgentBehaviour, PlannedAgent, PlannedContact, StaffLevel


class Workforce:
    """Duty, workload and state of the agents of a day."""

    def __init__(self, agents: Sequence[PlannedAgent]) -> None:
        self._agents = {agent.agent_id: agent for agent in agents}
        self._groups: dict[str, list[AgentId]] = {}
        for agent in agents:
            self._groups.setdefault(agent.group, []).append(agent.agent_id)
        self._on_duty = dict.fromkeys(self._agents, False)
        self._work = dict.fromkeys(self._agents, 0)
        self._state = dict.fromkeys(self._agents, AgentState.OFFLINE)

    def behaviour(self, agent_id: AgentId) -> AgentBehaviour:
        """Return how an agent answers offers."""
        return self._agents[agent_id].behaviour

    def handle_ms(self, agent_id: AgentId, contact: PlannedContact) -> int:
        """Return how long an agent takes for a contact."""
        return self._agents[agent_id].handle_ms(contact)

    def start_shift(self, agent_id: AgentId) -> None:
        """Record that the shift of an agent begins."""
        self._on_duty[agent_id] = True

    def end_shift(self, agent_id: AgentId) -> None:
        """Record that the shift of an agent is over; current work is still finished."""
        self._on_duty[agent_id] = False

    def add_work(self, agent_id: AgentId, change: int) -> None:
        """Change the number of pending offers and open assignments of an agent."""
        self._work[agent_id] += change
        assert self._work[agent_id] >= 0

    def on_state_changed(self, event: AgentStateChanged) -> None:
        """Record an agent's new state, as decided by the router."""
        self._state[event.agent_id] = event.state

    def is_not_ready_on_shift(self, agent_id: AgentId) -> bool:
        """Return whether an agent on duty is NOT_READY, which happens after a missed offer."""
        return self._on_duty[agent_id] and self._state[agent_id] is AgentState.NOT_READY

    def apply_level(self, level: StaffLevel) -> tuple[list[AgentId], list[AgentId]]:
        """Return the agents who join and the agents who leave to reach a staff level.

        Agents off duty who are still finishing work join first. Idle agents leave before busy ones, the last of the
        group first.
        """
        group = self._groups[level.group]
        on_duty = [a for a in group if self._on_duty[a]]
        missing = level.count - len(on_duty)
        if missing >= 0:
            away = [a for a in group if not self._on_duty[a]]
            away.sort(key=lambda a: self._state[a] is AgentState.OFFLINE)
            return away[:missing], []
        on_duty.reverse()  # The last of the group leaves first.
        leaving = sorted(on_duty, key=lambda a: self._work[a] > 0)
        return [], leaving[:-missing]


# Callback attempts have a random generator of their own, so that a policy without callbacks sees the same customers and agents.
_CALL_SEED_MASK: Final = 0x5EED_0F_CA115


class CallbackCustomers:
    """Simulated customers who have asked to be called back."""

    def __init__(
        self,
        seed: int,
        *,
        plans: dict[str, PlannedContact],
        answered: dict[str, str],
        handle: Callable[[Command], Refused | None],
        schedule_call_end: Callable[[int, ReportCallback], None],
        start_conversation: Callable[[str], None],
    ) -> None:
        self._rng = Random(seed ^ _CALL_SEED_MASK)
        self._plans = plans
        self._answered = answered
        self._handle = handle
        self._schedule_call_end = schedule_call_end
        self._start_conversation = start_conversation
        self._off_the_line: set[str] = set()
        self._requested: set[str] = set()
        self.handlers: dict[type[Event], Callable[[Event], None]] = {
            CallbackDialRequested: self._due,
            CallbackConnected: self._connected,
            CallbackFailed: self._failed,
        }

    def is_off_the_line(self, contact_id: str) -> bool:
        """Return whether the customer is not connected, and so neither talks nor hangs up."""
        return contact_id in self._off_the_line

    def ignores_patience(self, contact_id: str) -> bool:
        """Return whether the customer has requested a callback and no longer abandons."""
        return contact_id in self._requested

    def request_callback(self, contact_id: str) -> None:
        """Request the callback planned for a contact, if it still waits and the policy allows it."""
        plan = self._plans.get(contact_id)
        if plan is None or plan.callback is None or contact_id in self._answered:
            return
        # Set before the command: its outcome may already contain the first attempt.
        self._off_the_line.add(contact_id)
        self._requested.add(contact_id)
        planned = CallbackFields(mode=plan.callback.mode)
        refused = self._handle(RequestCallback(contact_id=contact_id, callback=planned))
        if refused is not None:
            self.forget(contact_id)

    def forget(self, contact_id: str) -> None:
        """Drop the callback state of a contact that has ended or whose request was refused."""
        self._off_the_line.discard(contact_id)
        self._requested.discard(contact_id)

    def _due(self, event: Event) -> None:
        assert isinstance(event, CallbackDialRequested)
        planned = self._plans[event.contact_id].callback
        assert planned is not None
        chance, delay = self._rng.random(), self._rng.random()
        if chance < planned.reached_share:
            report = ReportCallback(contact_id=event.contact_id, outcome=CallbackOutcome.CONNECTED, attempt=event.attempt)
            self._schedule_call_end(round(-log(1.0 - delay) * planned.answer_mean_ms), report)

    def _connected(self, event: Event) -> None:
        assert isinstance(event, CallbackConnected)
        self._off_the_line.discard(event.contact_id)
        if event.agent_id is not None:
            self._start_conversation(event.contact_id)

    def _failed(self, event: Event) -> None:
        assert isinstance(event, CallbackFailed)
        self._answered.pop(event.contact_id, None)
