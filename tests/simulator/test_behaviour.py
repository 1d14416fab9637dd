"""Callbacks in simulated days, decided by the production policy and engine."""

from pathlib import Path

import pytest
from msgspec import structs

from router.model.events import (
    AgentStateChanged,
    CallbackDialRequested,
    CallbackFailed,
    ContactAbandoned,
    ContactEnded,
    ContactExpired,
    OfferAccepted,
)
from router.model.policy import CallbackMode, CallbackPolicy
from router.model.states import AgentState
from router.simulator.behaviour import Workforce
from router.simulator.day import PlannedCallback, StaffLevel
from router.simulator.run import SimulationSpec, simulate
from tests.support.simulated_days import SimulatedRun, a_contact, a_day, a_policy, an_agent

WISH = PlannedCallback(after_ms=5_000)
OFFERED = a_policy(callback=CallbackPolicy(ring_timeout_s=20, retry_after_s=(30,), attempts_max=2))
FIRST = a_policy(callback=CallbackPolicy(mode=CallbackMode.CUSTOMER_FIRST, ring_timeout_s=20))


def test_a_callback_customer_does_not_abandon_and_is_served_in_order() -> None:
    day = a_day(
        a_contact("c1", 0, handle_s=60),
        a_contact("c2", 10, handle_s=30, patience_ms=20_000, callback=WISH),
        a_contact("c3", 11, handle_s=10),
        policy=OFFERED,
    )
    simulated = SimulatedRun(day)
    assert simulated.of(ContactAbandoned) == []
    assert simulated.of(OfferAccepted) == [(0, "c1"), (60, "c2"), (90, "c3")]
    assert simulated.of(ContactEnded) == [(60, "c1"), (90, "c2"), (100, "c3")]
    (counts,) = simulated.stats.counts.values()
    assert (counts.answered, counts.called_back, counts.abandoned) == (2, 1, 0)
    assert simulated.auditor.violations == []


def test_without_callbacks_in_the_policy_the_customer_abandons() -> None:
    day = a_day(a_contact("c1", 0, handle_s=60), a_contact("c2", 10, patience_ms=20_000, callback=WISH))
    assert SimulatedRun(day).of(ContactAbandoned) == [(30, "c2")]


def test_a_customer_who_is_never_reached_expires_after_the_last_attempt() -> None:
    wish = PlannedCallback(after_ms=0, reached_share=0.0)
    simulated = SimulatedRun(a_day(a_contact("c1", 0), a_contact("c2", 5, callback=wish), policy=OFFERED))
    assert simulated.of(CallbackFailed) == [(80, "c2"), (130, "c2")]
    assert simulated.of(ContactExpired) == [(130, "c2")]
    (counts,) = simulated.stats.counts.values()
    assert (counts.answered, counts.expired) == (1, 1)
    assert simulated.auditor.violations == []


def test_customer_first_the_wait_starts_when_the_customer_is_on_the_line() -> None:
    day = a_day(a_contact("c1", 0, handle_s=60), a_contact("c2", 10, handle_s=30, callback=WISH), policy=FIRST)
    simulated = SimulatedRun(day)
    assert simulated.of(CallbackDialRequested) == [(60, "c2")]
    assert simulated.of(ContactEnded) == [(60, "c1"), (90, "c2")]
    (counts,) = simulated.stats.counts.values()
    assert (counts.answered, counts.called_back, sum(counts.waits)) == (2, 0, 0)
    assert simulated.auditor.violations == []


@pytest.mark.parametrize("mode", CallbackMode)
def test_a_busy_day_with_callbacks_passes_the_audit_and_conserves_contacts(tmp_path: Path, mode: str) -> None:
    workload = tmp_path / "callbacks.yaml"
    workload.write_text(f"""\
name: callbacks
duration_s: 14400
streams:
  calls:
    arrivals: {{per_hour: 60}}
    handle: {{dist: exponential, mean_s: 240}}
    patience: {{dist: exponential, mean_s: 120}}
    callbacks: {{share: 0.6, after_s: 20, reached_share: 0.7, answer_mean_s: 8}}
agent_groups:
  team: {{count: 4}}
policy:
  channels: {{voice: {{auto_accept: true, wrap_up_s: 10}}}}
  queues:
    calls:
      callback: {{mode: {mode}, ring_timeout_s: 25, retry_after_s: [120], attempts_max: 3}}
""")
    report = simulate(SimulationSpec(workload=str(workload)))
    assert report.audit is not None and report.audit.violations == ()
    ends = report.answered + report.abandoned + report.expired + report.called_back
    assert report.contacts == ends + report.cancelled + report.blocked + report.unfinished
    assert report.abandoned > 0 and report.answered > 50
    assert (report.called_back > 20) is (mode == "agent_first")


def a_workforce(*agent_ids: str, on_duty: tuple[str, ...] = ()) -> Workforce:
    workforce = Workforce([structs.replace(an_agent(agent_id), group="day") for agent_id in agent_ids])
    for agent_id in on_duty:
        workforce.start_shift(agent_id)
    return workforce


def level(count: int) -> StaffLevel:
    return StaffLevel(at_ms=0, group="day", count=count)


def test_agents_who_still_finish_work_join_first() -> None:
    workforce = a_workforce("ada", "bob", "cy", "dan", on_duty=("ada",))
    workforce.on_state_changed(AgentStateChanged(agent_id="cy", state=AgentState.READY, from_state=AgentState.OFFLINE))
    assert workforce.apply_level(level(1)) == ([], [])
    assert workforce.apply_level(level(2)) == (["cy"], [])
    assert workforce.apply_level(level(3)) == (["cy", "bob"], [])
    assert workforce.apply_level(level(9)) == (["cy", "bob", "dan"], [])


def test_idle_agents_leave_first_and_the_last_of_the_group_before_the_others() -> None:
    workforce = a_workforce("ada", "bob", "cy", on_duty=("ada", "bob", "cy"))
    assert workforce.apply_level(level(2)) == ([], ["cy"])
    assert workforce.apply_level(level(1)) == ([], ["cy", "bob"])
    workforce.add_work("cy", 1)
    assert workforce.apply_level(level(1)) == ([], ["bob", "ada"])
    assert workforce.apply_level(level(0)) == ([], ["bob", "ada", "cy"])
    workforce.add_work("cy", -1)
    workforce.end_shift("cy")
    assert workforce.apply_level(level(1)) == ([], ["bob"])


def test_only_an_agent_on_duty_is_not_ready_on_shift() -> None:
    workforce = a_workforce("ada", on_duty=("ada",))
    assert not workforce.is_not_ready_on_shift("ada")
    workforce.on_state_changed(AgentStateChanged(agent_id="ada", state=AgentState.NOT_READY, from_state=AgentState.READY))
    assert workforce.is_not_ready_on_shift("ada")
    workforce.end_shift("ada")
    assert not workforce.is_not_ready_on_shift("ada")
