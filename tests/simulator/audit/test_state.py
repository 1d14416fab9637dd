"""Audited simulated days with interrupting channels and with caps."""

import pytest
from msgspec.structs import replace

from router.model.commands import Command
from router.model.events import OfferMade
from router.model.policy import ChannelPolicy, RateCapPolicy
from router.model.results import Outcome
from router.simulator.audit.auditor import Auditor
from router.simulator.day import PlannedContact
from router.simulator.workload import Workload, derived_policy, draw_day
from router.simulator.world import World
from router.simulator.yaml_documents import parse_document

WORKLOAD = """
name: mix
duration_s: 3600
streams:
  calls:
    arrivals: {per_hour: 60}
    handle: {dist: exponential, mean_s: 100}
    patience: {dist: exponential, mean_s: 90}
    channel: voice
  chats:
    arrivals: {per_hour: 90}
    handle: {dist: exponential, mean_s: 200}
    channel: chat
agent_groups:
  team: {count: 4}
"""
CHAT = ChannelPolicy(units=50, per_agent_max=2, auto_accept=True)


class OfferCounter:
    """Run listener that counts the calls offered to each agent."""

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}

    def on_arrival(self, plan: PlannedContact) -> None:
        """Ignore the arrival."""

    def on_outcome(self, command: Command, outcome: Outcome) -> None:
        for event in outcome.events:
            if isinstance(event, OfferMade) and event.channel == "voice":
                self.calls[event.agent_id] = self.calls.get(event.agent_id, 0) + 1


@pytest.mark.parametrize("most", [None, 8])
def test_interrupting_channels_and_caps_pass_the_audit(most: int | None) -> None:
    workload = parse_document(WORKLOAD, Workload, source="capacity")
    base = derived_policy(workload)
    cap = None if most is None else RateCapPolicy(contacts_max=most, window_s=7200)
    voice = ChannelPolicy(interrupts=("chat",), auto_accept=True, rate_cap=cap)
    policy = replace(base, channels={"voice": voice, "chat": CHAT})
    auditor, offers = Auditor(), OfferCounter()
    World(
        draw_day(workload, policy=policy, seed=3, replication=0), listeners=[auditor, offers]
    ).run()
    assert auditor.checks > 1_000
    assert auditor.violations == []
    assert (max(offers.calls.values()) == most) is (most is not None)
