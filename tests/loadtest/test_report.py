"""Report of a load test: latency, submit delays, and the statistics of a recorded history."""

from random import Random

import pytest
from msgspec.structs import replace

from router.loadtest.execution import DayClock
from router.loadtest.report import LoadTestMeasurements, LoadTestReport, make_report, measure_offer_latency, submit_lateness_ms
from router.loadtest.tracker import ContactTracker
from router.model import events as ev
from router.model.policy import EntryCondition, EntryRule, FactPolicy, FactType, Policy, QueuePolicy
from router.simulator.day import Day, PlannedAgent
from router.simulator.results.report import AuditResult
from tests.loadtest.histories import POLICY, a_tracker, ended, life, recorded

SPEED = 10


def test_percentiles_of_the_latency_are_in_milliseconds() -> None:
    tracker = ContactTracker([])
    tracker.latencies_s = [n / 1000 for n in range(1, 101)]
    Random(1).shuffle(tracker.latencies_s)
    latency = measure_offer_latency(tracker)
    assert (latency.samples, latency.max_ms) == (100, 100)
    assert latency.p50_ms == pytest.approx(50, abs=1)
    assert latency.p99_ms == pytest.approx(99, abs=1)


def test_without_samples_there_is_no_latency() -> None:
    latency = measure_offer_latency(ContactTracker([]))
    assert (latency.samples, latency.p50_ms, latency.max_ms) == (0, None, None)


def test_submit_delays_are_of_the_submitted_contacts() -> None:
    tracker = a_tracker("c1", "c2", "c3")
    for contact, lateness_s in zip(tracker.contacts, (0.001, 0.002, 0.005), strict=True):
        contact.lateness_s = lateness_s
    tracker.contacts[2].sent_at_s = None
    assert submit_lateness_ms(tracker, 1.0) == 2


def report_of(tracker: ContactTracker, *events: ev.Event, policy: Policy = POLICY) -> LoadTestReport:
    clock = DayClock(start_ms=0, speed=SPEED)
    clock._router_started_at_ms = 1_000
    history = recorded(*events)
    day = Day(
        name="day",
        policy=policy,
        contacts=[contact.plan for contact in tracker.contacts],
        contacts_expected=len(tracker.contacts),
        agents=(PlannedAgent(agent_id="ada"),),
        window_from_ms=0,
        window_to_ms=1_000_000,
    )
    return make_report(
        day=day,
        tracker=tracker,
        clock=clock,
        history=history,
        source=("day.yaml",),
        options={},
        digests=("00", "11"),
        audit=AuditResult(checks=0),
        run=LoadTestMeasurements(
            speed=SPEED,
            wall_s=2.0,
            desktops=1,
            connections_lost=0,
            separate_cores=False,
            latency=measure_offer_latency(tracker),
            submit_late_p99_ms=None,
            submit_late_max_ms=None,
            rounded=(),
            checks=(),
        ),
    )


def test_contacts_of_the_history_are_counted() -> None:
    tracker = a_tracker("c1", "c2")
    ended(tracker, "c1", "c2")
    report = report_of(tracker, *life(tracker, "c1"), *life(tracker, "c2"))
    assert (report.contacts, report.answered, report.abandoned) == (2, 2, 0)
    assert report.contacts_per_second == 1.0
    assert report.passed


def test_a_contact_that_is_offered_at_once_has_not_waited() -> None:
    tracker = a_tracker("c1")
    ended(tracker, "c1")
    assert report_of(tracker, *life(tracker, "c1")).p_wait == 0


def test_a_blocked_contact_and_a_withdrawn_contact_are_counted_as_such() -> None:
    tracker = a_tracker("c1", "c2", "c3")
    ended(tracker, "c1")
    withdrawn, blocked = tracker.contacts[1:]
    withdrawn.withdrawn = True
    blocked.blocked = True
    queued_only = life(tracker, "c2")[0]
    cancelled = ev.ContactCancelled(contact_id="c2", queue_id="calls", waited_ms=9, reason="closed")
    report = report_of(tracker, *life(tracker, "c1"), queued_only, cancelled)
    assert (report.blocked, report.unfinished, report.cancelled) == (1, 1, 0)


def test_a_contact_without_a_queue_counts_in_the_queue_that_the_entry_rules_chose() -> None:
    rule = EntryRule(name="vip", when=EntryCondition(attributes={"vip": True}), queue="gold")
    policy = replace(
        POLICY,
        facts={"vip": FactPolicy(type=FactType.BOOL)},
        queues={**POLICY.queues, "gold": QueuePolicy()},
        entry=(rule,),
        default_queue="calls",
    )
    tracker = a_tracker("c1", "c2", "c3")
    for contact, attributes in zip(tracker.contacts, ({"vip": True}, {}, {"vip": True}), strict=True):
        contact.plan = replace(contact.plan, queue_id=None, attributes=attributes)
    ended(tracker, "c1", "c2")
    tracker.contacts[2].blocked = True
    # The event of the first contact names its rule; the refused one has no event.
    queued, *rest = life(tracker, "c1")
    assert isinstance(queued, ev.ContactQueued)
    history = (replace(queued, rule="vip", queue_id="gold"), *rest, *life(tracker, "c2"))
    report = report_of(tracker, *history, policy=policy)
    parts = {name: (part.contacts, part.blocked) for name, part in report.queues.items()}
    assert parts == {"gold": (2, 1), "calls": (1, 0)}
    assert report.p_wait == 0
