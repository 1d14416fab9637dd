"""Builders of small simulated days; a test gives only the fields it is about."""

from typing import Any

from router.model.commands import Command
from router.model.events import Event
from router.model.policy import ChannelPolicy, Policy, QueuePolicy
from router.model.results import Outcome
from router.simulator.audit.auditor import Auditor
from router.simulator.day import Day, PlannedAgent, PlannedContact, Shift
from router.simulator.results.run_stats import RunStats
from router.simulator.simulation import Simulation


def a_policy(**queue: Any) -> Policy:
    """Return a policy with one channel with automatic accept and one queue ``calls``."""
    return Policy(channels={"voice": ChannelPolicy(auto_accept=True)}, queues={"calls": QueuePolicy(**queue)})


def a_contact(contact_id: str, at_s: float, *, handle_s: float = 60, **changes: Any) -> PlannedContact:
    """Return a contact of the queue ``calls`` without patience limit."""
    fields: dict[str, Any] = {
        "contact_id": contact_id,
        "at_ms": round(at_s * 1000),
        "queue_id": "calls",
        "handle_ms": round(handle_s * 1000),
    }
    return PlannedContact(**(fields | changes))


def an_agent(agent_id: str = "ada", **changes: Any) -> PlannedAgent:
    """Return an agent who is on duty all day."""
    fields: dict[str, Any] = {"agent_id": agent_id, "shifts": (Shift(from_ms=0),)}
    return PlannedAgent(**(fields | changes))


def a_day(*contacts: PlannedContact, agents: tuple[PlannedAgent, ...] = (), **changes: Any) -> Day:
    """Return a day with one agent and a measured window of an hour."""
    fields: dict[str, Any] = {
        "name": "by-hand",
        "policy": a_policy(),
        "contacts": contacts,
        "contacts_expected": len(contacts),
        "agents": agents or (an_agent(),),
        "window_from_ms": 0,
        "window_to_ms": 3_600_000,
    }
    return Day(**(fields | changes))


class EventRecorder:
    """Run listener that keeps all events."""

    def __init__(self) -> None:
        self.events: list[tuple[int, Event]] = []

    def on_arrival(self, plan: PlannedContact) -> None:
        """Ignore the arrival."""

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        """Keep the events with their time."""
        self.events += [(outcome.at_ms, event) for event in outcome.events]

    def of(self, *kinds: type[Event]) -> list[tuple[int, str]]:
        """Return the time in seconds and the contact (or agent) id of all events of these types."""
        return [
            (at_ms // 1000, str(getattr(event, "contact_id", getattr(event, "agent_id", ""))))
            for at_ms, event in self.events
            if isinstance(event, kinds)
        ]


class SimulatedRun(EventRecorder):
    """Completed run of a day, with statistics and audit."""

    def __init__(self, day: Day) -> None:
        super().__init__()
        self.stats, self.auditor = RunStats(day), Auditor()
        self.simulation = Simulation(day, listeners=(self, self.stats, self.auditor))
        self.simulation.run()
        self.stats.close()
        self.auditor.close(self.simulation.unfinished)
