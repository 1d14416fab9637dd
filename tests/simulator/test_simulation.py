"""Small simulated days with the production engine, in virtual time."""

import pytest

from router.model.events import (
    AgentStateChanged,
    AssignmentCompleted,
    ContactAbandoned,
    ContactEnded,
    ContactQueued,
    OfferAccepted,
    OfferDeclined,
    OfferExpired,
)
from router.model.policy import ChannelPolicy, EntryCondition, EntryRule, Policy, QueuePolicy, RonaPolicy
from router.model.states import AgentState
from router.simulator.day import AgentBehaviour, PlannedAgent, Shift, StaffLevel, WorkloadInvalid
from router.simulator.simulation import Simulation
from tests.support.simulated_days import SimulatedRun, a_contact, a_day, a_policy, an_agent


def test_the_second_contact_is_answered_when_the_first_has_ended() -> None:
    simulated = SimulatedRun(a_day(a_contact("c1", 0, handle_s=60), a_contact("c2", 10, handle_s=30)))
    assert simulated.of(OfferAccepted) == [(0, "c1"), (60, "c2")]
    assert simulated.of(ContactEnded) == [(60, "c1"), (90, "c2")]
    assert simulated.auditor.violations == []


def test_wrap_up_ends_by_the_engines_timer_before_the_next_contact() -> None:
    policy = Policy(channels={"voice": ChannelPolicy(auto_accept=True, wrap_up_s=15)}, queues={"calls": QueuePolicy()})
    simulated = SimulatedRun(a_day(a_contact("c1", 0), a_contact("c2", 10), policy=policy))
    assert simulated.of(AssignmentCompleted) == [(75, "c1"), (150, "c2")]
    assert simulated.of(OfferAccepted) == [(0, "c1"), (75, "c2")]


def test_a_customer_abandons_when_patience_ends() -> None:
    simulated = SimulatedRun(a_day(a_contact("c1", 0), a_contact("c2", 10, patience_ms=20_000)))
    assert simulated.of(ContactAbandoned) == [(30, "c2")]
    assert simulated.of(OfferAccepted) == [(0, "c1")]


def test_a_customer_who_abandoned_calls_again_once() -> None:
    """c2 leaves at 30 s, calls again at 40 s, waits for 20 s again and gives up; c1 holds the only agent."""
    day = a_day(a_contact("c1", 0, handle_s=500), a_contact("c2", 10, patience_ms=20_000, redial_after_ms=10_000))
    simulated = SimulatedRun(day)
    assert simulated.of(ContactAbandoned) == [(30, "c2"), (60, "redial.1")]
    assert simulated.of(ContactQueued) == [(0, "c1"), (10, "c2"), (40, "redial.1")]
    assert simulated.auditor.violations == []


def test_a_day_ends_with_its_last_contact_also_after_a_second_call() -> None:
    agent = PlannedAgent(agent_id="ada", shifts=(Shift(from_ms=0, to_ms=7_200_000),))
    for redial_after_ms, last in ((None, "c1"), (10_000, "redial.1")):
        second = a_contact("c2", 10, handle_s=5, patience_ms=20_000, redial_after_ms=redial_after_ms)
        simulated = SimulatedRun(a_day(a_contact("c1", 0, handle_s=60), second, agents=(agent,)))
        assert simulated.of(ContactEnded)[-1][1] == last
        assert simulated.of(AgentStateChanged) == [(0, "ada")], "the end of the shift is no part of the day"


def test_a_customer_who_calls_after_the_last_arrival_is_still_served() -> None:
    day = a_day(a_contact("c1", 0, handle_s=60), a_contact("c2", 10, handle_s=5, patience_ms=20_000, redial_after_ms=900_000))
    simulated = SimulatedRun(day)
    assert simulated.of(OfferAccepted) == [(0, "c1"), (930, "redial.1")]
    assert simulated.of(ContactEnded) == [(60, "c1"), (935, "redial.1")]
    assert simulated.simulation.unfinished == 0


def test_a_second_contact_without_a_queue_is_classified_again() -> None:
    """The entry rule looks at the queue: full at the first call, empty at the second, which goes to the other queue."""
    rules = (
        EntryRule(name="busy", when="queues.calls.waiting > 0", queue="overflow"),
        EntryRule(name="other", when=EntryCondition(), queue="calls"),
    )
    queues = {"calls": QueuePolicy(), "overflow": QueuePolicy()}
    policy = Policy(channels={"voice": ChannelPolicy(auto_accept=True)}, queues=queues, entry=rules)
    again = a_contact("c3", 20, queue_id=None, patience_ms=5_000, redial_after_ms=200_000)
    day = a_day(a_contact("c1", 0, handle_s=100), a_contact("c2", 10, handle_s=20), again, policy=policy)
    queued = [(e.contact_id, e.queue_id) for _, e in SimulatedRun(day).events if isinstance(e, ContactQueued)]
    assert queued[2:] == [("c3", "overflow"), ("redial.1", "calls")]


def test_patience_has_no_effect_after_the_answer() -> None:
    simulated = SimulatedRun(a_day(a_contact("c1", 0, handle_s=100, patience_ms=20_000)))
    assert simulated.of(ContactEnded) == [(100, "c1")]


def test_a_customer_whose_patience_ends_when_an_agent_becomes_free_is_answered() -> None:
    simulated = SimulatedRun(a_day(a_contact("c1", 0, handle_s=30), a_contact("c2", 10, patience_ms=20_000)))
    assert simulated.of(OfferAccepted) == [(0, "c1"), (30, "c2")]


def test_the_same_holds_when_the_agent_becomes_free_after_wrap_up() -> None:
    policy = Policy(channels={"voice": ChannelPolicy(auto_accept=True, wrap_up_s=10)}, queues={"calls": QueuePolicy()})
    day = a_day(a_contact("c1", 0, handle_s=20), a_contact("c2", 10, patience_ms=20_000, handle_s=5), policy=policy)
    assert SimulatedRun(day).of(ContactEnded) == [(20, "c1"), (35, "c2")]


def test_an_agent_finishes_the_contact_after_the_end_of_the_shift() -> None:
    ada = an_agent(shifts=(Shift(from_ms=0, to_ms=30_000),))
    simulated = SimulatedRun(a_day(a_contact("c1", 10), a_contact("c2", 20), agents=(ada,)))
    states = [(at, e.state) for at, e in simulated.events if isinstance(e, AgentStateChanged)]
    assert states == [(0, AgentState.READY), (70_000, AgentState.OFFLINE)]
    assert simulated.simulation.unfinished == 1
    assert simulated.auditor.violations == []


def test_the_next_shift_serves_contacts_that_waited_through_the_gap() -> None:
    ada = an_agent(shifts=(Shift(from_ms=0, to_ms=5_000), Shift(from_ms=50_000)))
    simulated = SimulatedRun(a_day(a_contact("c1", 10), agents=(ada,)))
    assert simulated.of(OfferAccepted) == [(50, "c1")]


def test_a_contact_that_finds_the_queue_full_is_blocked() -> None:
    day = a_day(a_contact("c1", 0), a_contact("c2", 1), a_contact("c3", 2), policy=a_policy(length_max=1))
    simulated = SimulatedRun(day)
    assert [contact for _, contact in simulated.of(OfferAccepted)] == ["c1", "c2"]
    assert sum(counts.blocked for counts in simulated.stats.counts.values()) == 1


def test_at_a_lower_staff_level_idle_agents_leave_first_and_busy_ones_finish() -> None:
    agents = tuple(an_agent(f"a{n}", shifts=()) for n in (1, 2, 3))
    levels = (
        StaffLevel(at_ms=0, group="agents", count=3),
        StaffLevel(at_ms=20_000, group="agents", count=1),
        StaffLevel(at_ms=25_000, group="agents", count=2),
    )
    contacts = (a_contact("c1", 10), a_contact("c2", 11), a_contact("c3", 70))
    simulated = SimulatedRun(a_day(*contacts, agents=agents, levels=levels))
    off = [
        (at // 1000, e.agent_id) for at, e in simulated.events if isinstance(e, AgentStateChanged) and e.state is AgentState.OFFLINE
    ]
    # a3 is idle and leaves at once; a2 would leave after the call, but the level rises before it ends.
    assert off == [(20, "a3")]
    assert simulated.auditor.violations == []


def a_ringing_policy(**queue: object) -> Policy:
    return Policy(
        channels={"voice": ChannelPolicy(offer_timeout_s=20)},
        queues={"calls": QueuePolicy(**queue)},  # type: ignore[arg-type]
    )


def test_agents_answer_after_a_delay_without_automatic_accept() -> None:
    ada = an_agent(behaviour=AgentBehaviour(answer_mean_ms=2_000))
    contacts = [a_contact(f"c{n}", 100 * n, handle_s=1) for n in range(200)]
    simulated = SimulatedRun(a_day(*contacts, agents=(ada,), policy=a_ringing_policy(), window_to_ms=20_000_000))
    waits = [w for counts in simulated.stats.counts.values() for w in counts.waits]
    assert len(waits) == 200
    assert sum(waits) / 200 == pytest.approx(2_000, rel=0.25)
    assert simulated.auditor.violations == []


def test_agents_decline_and_miss_offers_with_the_given_probabilities() -> None:
    behaviour = AgentBehaviour(answer_mean_ms=500, decline_share=0.2, no_answer_share=0.1, ready_again_ms=5_000)
    agents = tuple(an_agent(f"a{n}", behaviour=behaviour) for n in range(8))
    contacts = [a_contact(f"c{n}", 30 * n, handle_s=10) for n in range(1_000)]
    day = a_day(*contacts, agents=agents, policy=a_ringing_policy(), window_to_ms=40_000_000)
    simulated = SimulatedRun(day)
    declined, expired = len(simulated.of(OfferDeclined)), len(simulated.of(OfferExpired))
    offers = declined + expired + 1_000
    assert declined / offers == pytest.approx(0.2, abs=0.04)
    assert expired / offers == pytest.approx(0.1, abs=0.03)
    assert simulated.simulation.unfinished == 0
    assert simulated.auditor.violations == []


def test_after_a_missed_offer_the_agent_goes_ready_again() -> None:
    behaviour = AgentBehaviour(no_answer_share=1.0, ready_again_ms=5_000)
    bob = an_agent("bob", shifts=(Shift(from_ms=60_000),))
    ada = an_agent(behaviour=behaviour)
    simulated = SimulatedRun(a_day(a_contact("c1", 0), agents=(ada, bob), policy=a_ringing_policy()))
    ready = [
        at // 1000 for at, e in simulated.events if isinstance(e, AgentStateChanged) and e.agent_id == "ada" and e.state == "ready"
    ]
    assert ready[:2] == [0, 25]


def test_the_automatic_return_of_the_policy_replaces_that_of_the_agent() -> None:
    policy = a_ringing_policy(rona=RonaPolicy(return_after_s=7), cool_down_s=600)
    ada = an_agent(behaviour=AgentBehaviour(no_answer_share=1.0, ready_again_ms=1_000))
    bob = an_agent("bob", shifts=(Shift(from_ms=60_000),))
    simulated = SimulatedRun(a_day(a_contact("c1", 0), agents=(ada, bob), policy=policy))
    ready = [
        at // 1000 for at, e in simulated.events if isinstance(e, AgentStateChanged) and e.agent_id == "ada" and e.state == "ready"
    ]
    assert ready == [0, 27]


def test_a_contact_without_qualified_agents_stays_unfinished() -> None:
    day = a_day(
        a_contact("c1", 0, skills={"german": 1}),
        policy=Policy(channels={"voice": ChannelPolicy(auto_accept=True)}, queues={"calls": QueuePolicy()}, skills=("german",)),
    )
    simulated = SimulatedRun(day)
    assert simulated.simulation.unfinished == 1
    assert simulated.auditor.violations == []


def test_a_run_ends_although_an_agent_never_answers() -> None:
    ada = an_agent(behaviour=AgentBehaviour(no_answer_share=1.0, ready_again_ms=3_600_000))
    simulated = SimulatedRun(a_day(a_contact("c1", 0), agents=(ada,), policy=a_ringing_policy()))
    assert simulated.simulation.unfinished == 1
    assert simulated.of(OfferExpired)


@pytest.mark.parametrize(
    "day",
    [
        a_day(a_contact("c1", 0, queue_id="elsewhere")),
        a_day(a_contact("c1", 0, channel="fax")),
        a_day(a_contact("c1", 0, skills={"klingon": 1})),
        a_day(a_contact("c1", 0), agents=(an_agent(skills={"klingon": 1}),)),
    ],
    ids=["queue", "channel", "skill of a contact", "skill of an agent"],
)
def test_a_policy_that_does_not_fit_the_day_is_refused(day: object) -> None:
    with pytest.raises(WorkloadInvalid, match="refused"):
        Simulation(day).run()  # type: ignore[arg-type]
