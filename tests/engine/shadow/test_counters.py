"""Counters of a shadow: totals, bounded examples, and copies that later events do not change."""

from router.engine.shadow.shadow import EXAMPLES_MAX, ShadowCounters
from router.model.shadow import Difference, DifferenceKind
from tests.engine.shadow.shadowed_engine import ShadowedEngine
from tests.support.builders import a_contact, a_policy, a_policy_with_queue


def a_difference(number: int = 1, queue_id: str = "support") -> Difference:
    return Difference(kind=DifferenceKind.SOONER, seq=number, at_ms=0, contact_id=f"c{number}", queue_id=queue_id)


def test_examples_are_bounded_and_totals_are_not() -> None:
    shadowed = ShadowedEngine(a_policy_with_queue(requires={"german": 1}), a_policy())
    shadowed.do(*(a_contact(f"c{number}") for number in range(120)))
    report = shadowed.shadow.report()
    assert report.differences == {"requirement": 120}
    assert [one.contact_id for one in report.examples["requirement"]][:1] == ["c20"]
    assert len(report.examples["requirement"]) == 100


def test_counts_are_kept_in_total_and_by_queue() -> None:
    counters = ShadowCounters()
    counters.count_submit("support")
    counters.count_offer("support")
    counters.count_same("support")
    counters.count_offer("sales")
    counters.add_difference(a_difference(queue_id="sales"))
    report = counters.report_copy()
    assert (report.submits, report.offers, report.same) == (1, 2, 1)
    assert report.differences == {"sooner": 1}
    assert list(report.queues) == ["sales", "support"]
    assert (report.queues["support"].same, report.queues["sales"].differences) == (1, {"sooner": 1})


def test_the_oldest_examples_are_dropped() -> None:
    counters = ShadowCounters()
    for number in range(EXAMPLES_MAX + 5):
        counters.add_difference(a_difference(number))
    examples = counters.report_copy().examples["sooner"]
    assert (len(examples), examples[0].seq) == (EXAMPLES_MAX, 5)


def test_a_copy_is_not_changed_by_later_events() -> None:
    counters = ShadowCounters()
    counters.add_difference(a_difference())
    copy = counters.report_copy()
    counters.add_difference(a_difference(2))
    counters.count_submit("support")
    assert (copy.differences, copy.submits, len(copy.examples["sooner"])) == ({"sooner": 1}, 0, 1)
    assert copy.queues["support"].differences == {"sooner": 1}
