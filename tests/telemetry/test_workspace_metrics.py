"""Workspace metrics: sums, buckets and the label limit (S39)."""

from typing import TypeAlias

import msgspec
from prometheus_client.metrics_core import Metric

from router.engine.engine import Engine
from router.engine.queries.slices import run_to_end
from router.model.commands import AbandonContact, AcceptOffer, Command
from router.model.forecasts import ForecastCounts, QueueWaits
from router.model.policy import EntryRule, FactPolicy, FactType
from router.statistics.workspace import WorkspaceStats
from router.telemetry.workspace_metrics import OTHER, LabelLimit, QueueSample, metric_families, take_sample
from tests.support.builders import START_MS, a_contact, a_policy, a_queue, an_agent, published, ready


def after(*steps: tuple[int, Command]) -> WorkspaceStats:
    """Return the statistics after these commands, each at its second."""
    engine, meters = Engine(), WorkspaceStats()
    for second, command in steps:
        outcome = engine.handle(command, START_MS + second * 1000)
        for seq, event in enumerate(outcome.events, start=outcome.first_seq):
            meters.apply(event, seq, outcome.at_ms)
    return meters


def values(metrics: list[Metric]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for metric in metrics for one in metric.samples}


def a_day() -> WorkspaceStats:
    return after(
        (0, published(a_policy(queues={"support": a_queue(), "sales": a_queue()}))),
        (0, an_agent("ada")),
        (0, a_contact("c1", queue_id="support")),
        (0, a_contact("c2", queue_id="support")),
        (0, a_contact("c3", queue_id="sales")),
        (3, ready("ada")),
        (3, AcceptOffer(offer_id="c1.1", agent_id="ada")),
        (9, AbandonContact(contact_id="c2")),
    )


Found: TypeAlias = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def found_of(meters: WorkspaceStats, cap: int = 10, waits: dict[str, QueueWaits] | None = None) -> Found:
    taken = run_to_end(take_sample("default", meters, START_MS + 9000, LabelLimit(cap), waits))
    return values(list(metric_families([taken])))


def test_histogram_buckets_are_cumulative() -> None:
    found = found_of(a_day())
    buckets = {
        dict(labels)["le"]: value
        for (name, labels), value in found.items()
        if name == "router_answered_wait_seconds_bucket" and ("queue", "support") in labels
    }
    assert buckets["2"] == 0 and buckets["5.01"] == 1 and buckets["+Inf"] == 1
    place = (("queue", "support"), ("workspace", "default"))
    assert found["router_answered_wait_seconds_sum", place] == 3.0
    assert found["router_service_level_ratio", place] == 0.5


def test_every_contact_is_counted_exactly_once() -> None:
    """Invariant I41."""
    found = found_of(a_day())
    live = sum(v for (name, _), v in found.items() if name == "router_contacts")
    ended = sum(v for (name, _), v in found.items() if name == "router_contacts_ended_total")
    [submitted] = [v for (name, _), v in found.items() if name == "router_contacts_submitted_total"]
    assert submitted == live + ended == 3


def test_the_longest_wait_beyond_the_label_limit_is_that_of_one_queue() -> None:
    """One queue has an expected wait and the other has none: neither their sum nor an error."""
    waits = {"support": QueueWaits(ForecastCounts(), 5_000, 2_000), "sales": QueueWaits(ForecastCounts(), None, 9_000)}
    found = found_of(a_day(), 0, waits)
    place = (("queue", OTHER), ("workspace", "default"))
    assert found["router_queue_oldest_wait_seconds", place] == 9
    assert not any(name == "router_expected_wait_seconds" for name, _ in found)


def test_queues_beyond_the_label_limit_are_added_up() -> None:
    meters = a_day()
    whole, capped = found_of(meters), found_of(meters, cap=1)
    queues = {dict(labels).get("queue") for _, labels in capped}
    assert len(queues - {None}) == 2 and OTHER in queues

    def total(found: dict[tuple[str, tuple[tuple[str, str], ...]], float]) -> float:
        return sum(
            v for (n, labels), v in found.items()
            if n == "router_queue_outcomes_total" and ("outcome", "submitted") in labels
        )  # fmt: skip

    assert total(whole) == total(capped) == 3


def test_a_label_once_given_is_kept() -> None:
    cap = LabelLimit(1)
    assert cap.label("w", "a") == "a"
    assert cap.label("w", "b") == OTHER
    assert cap.label("w", "a") == "a"


def test_entry_rules_are_labels_up_to_the_limit_and_restart_with_a_policy() -> None:
    facts = {"age": FactPolicy(type=FactType.INT)}
    rules = tuple(
        EntryRule(name=name, when=when, queue="support")
        for name, when in (("young", "contact.age < 9"), ("old", "contact.age > 60"), ("all", "true"))
    )
    policy = a_policy(facts=facts, entry=rules)
    steps: list[tuple[int, Command]] = [
        (0, published(policy)),
        (1, a_contact("c1", queue_id=None)),
        (2, a_contact("c2", queue_id=None, attributes={"age": 70})),
    ]

    def of(rule: str, outcome: str, cap: int = 10) -> float | None:
        labels = (("outcome", outcome), ("rule", rule), ("workspace", "default"))
        return found_of(after(*steps), cap).get(("router_entry_rule_contacts_total", labels))

    assert (of("young", "matched"), of("young", "failed")) == (0, 1)
    assert (of("old", "matched"), of("all", "matched")) == (1, 1)
    assert of("old", "matched", cap=1) is None and of(OTHER, "matched", cap=1) == 2
    steps.append((3, published(policy)))
    assert (of("old", "matched"), of("young", "failed")) == (0, 0)


def test_every_number_of_two_queues_is_added() -> None:
    def a_sample(factor: int) -> QueueSample:
        sample = QueueSample(wait_buckets=[factor * index for index in range(len(QueueSample().wait_buckets))])
        for part in (sample, sample.callback_attempts, sample.offers, sample.forecasts):
            for number, name in enumerate(part.__struct_fields__, start=1):
                if isinstance(getattr(part, name), int):
                    setattr(part, name, factor * number)
        return sample

    one = a_sample(1)
    one.add(a_sample(10))
    assert one == a_sample(11)
    assert one.oldest_wait_ms is None and one.expected_wait_ms is None
    one.oldest_wait_ms = one.expected_wait_ms = 5
    one.add(msgspec.structs.replace(a_sample(1), oldest_wait_ms=7))
    assert one.oldest_wait_ms == 7
    assert one.expected_wait_ms is None
