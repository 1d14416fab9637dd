"""Capacity, caps and qualification in the audit: violations are found, and audited days have none."""

import pytest
from msgspec.structs import replace

from router.model.commands import Command
from router.model.events import AgentChannelsSet, AssignmentParked, AssignmentUnparked, OfferAccepted, OfferMade, PolicyPublished
from router.model.policy import AgentsPolicy, ChannelPolicy, FactPolicy, FactType, Policy, QueuePolicy, RateCapPolicy
from router.model.results import Outcome
from router.simulator.audit.auditor import Auditor
from router.simulator.day import PlannedContact
from router.simulator.simulation import Simulation
from router.simulator.workload import Workload, derived_policy, draw_day
from router.simulator.yaml_documents import parse_document
from tests.support.audited_history import POLICY, HistoryWriter
from tests.support.simulated_days import SimulatedRun, a_contact, a_day, an_agent

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
    Simulation(draw_day(workload, policy=policy, seed=3, replication=0), listeners=[auditor, offers]).run()
    assert auditor.checks > 1_000
    assert auditor.violations == []
    assert (max(offers.calls.values()) == most) is (most is not None)


def test_a_condition_on_agents_is_part_of_the_qualification() -> None:
    policy = Policy(
        channels={"voice": ChannelPolicy(auto_accept=True)},
        queues={"calls": QueuePolicy(agents_when="agent.years > 2")},
        facts={"years": FactPolicy(type=FactType.INT, applies_to="agent")},
    )
    run = SimulatedRun(
        a_day(
            a_contact("c1", 0),
            a_contact("c2", 1),
            agents=(an_agent("ada", attributes={"years": 3}), an_agent("bob", attributes={"years": 2}), an_agent("cy")),
            policy=policy,
        )
    )
    assert run.of(OfferAccepted) == [(0, "c1"), (60, "c2")]
    assert run.auditor.violations == []


@pytest.fixture
def history() -> HistoryWriter:
    return HistoryWriter()


def test_two_calls_at_once_exceed_the_capacity(history: HistoryWriter) -> None:
    history.agent()
    history.given("c1")
    history.given("c2")
    assert "c2" not in history.found()
    assert "ada receives an offer beyond capacity" in history.found()
    assert "ada is above capacity" in history.found()


def test_a_chat_offered_during_a_blocking_call_is_found(history: HistoryWriter) -> None:
    history.agent(units=200)
    history.given("c1")
    history.write(history.queued("c2", channel="chat"), history.offered("c2", channel="chat", units=30))
    assert "beyond capacity" in history.found()


def test_a_chat_above_the_channel_maximum_is_found(history: HistoryWriter) -> None:
    history.agent()
    for n in (1, 2):
        history.write(history.queued(f"c{n}", channel="chat"), history.offered(f"c{n}", channel="chat"))
    assert history.found() == ""
    history.write(history.queued("c3", channel="chat"), history.offered("c3", channel="chat"))
    assert "beyond capacity" in history.found()


def under(history: HistoryWriter, agents: AgentsPolicy | None = None, **channels: ChannelPolicy) -> None:
    """Publish a policy with these channels replaced."""
    policy = replace(POLICY, channels=POLICY.channels | channels, agents=agents or POLICY.agents)
    history.write(PolicyPublished(version=2, policy=policy))


def test_a_call_may_interrupt_chats_but_no_chat_may_follow_during_the_call(history: HistoryWriter) -> None:
    under(history, voice=ChannelPolicy(interrupts=("chat",)))
    history.agent()
    history.write(history.queued("c1", channel="chat"), history.offered("c1", channel="chat"))
    history.write(history.accepted("c1"))
    history.given("c2")
    assert history.found() == ""
    history.write(history.queued("c3", channel="chat"), history.offered("c3", channel="chat"))
    assert "beyond capacity" in history.found()


def test_a_parked_call_frees_capacity_until_it_is_unparked(history: HistoryWriter) -> None:
    history.agent()
    history.given("c1")
    parked = AssignmentParked(assignment_id="c1.1", contact_id="c1", agent_id="ada")
    history.write(parked)
    history.write(history.queued("c2"))
    assert "c2 waits although ada could take it" in history.found()
    history.auditor.violations.clear()
    history.write(AssignmentUnparked(assignment_id="c1.1", contact_id="c1", agent_id="ada"))
    history.write(history.offered("c2"))
    assert "beyond capacity" in history.found()


def test_an_offer_of_a_paused_channel_is_found(history: HistoryWriter) -> None:
    history.agent()
    history.write(AgentChannelsSet(agent_id="ada", paused=("voice",)))
    history.write(history.queued("c1"))
    assert history.found() == ""
    history.write(history.offered("c1"))
    assert "receives an offer of a paused or capped channel" in history.found()


def test_an_offer_above_a_cap_is_found(history: HistoryWriter) -> None:
    under(history, voice=ChannelPolicy(per_agent_max=9, units=0, rate_cap=RateCapPolicy(contacts_max=1, window_s=60)))
    history.agent()
    history.given("c1")
    history.write(history.queued("c2"), at_s=59)
    assert history.found() == ""
    history.write(history.offered("c2"), at_s=59.999)
    assert "receives an offer of a paused or capped channel" in history.found()


def test_a_contact_that_waits_after_the_period_of_a_cap_is_found(history: HistoryWriter) -> None:
    cap = AgentsPolicy(rate_cap=RateCapPolicy(contacts_max=1, window_s=60))
    under(history, cap, voice=ChannelPolicy(per_agent_max=9, units=0))
    history.agent()
    history.given("c1")
    history.write(history.queued("c2"), at_s=59.999)
    assert history.found() == ""
    history.write(at_s=60)
    assert "c2 waits although ada could take it" in history.found()
