"""Tests of requirements and rule counts."""

import pytest

from router.engine.state.contact import requirement_key
from router.engine.state.records import EntryRuleCounts, format_requirement
from router.model.policy import QueuePolicy


@pytest.mark.parametrize(
    ("queue", "own", "combined"),
    [
        ({}, {}, ()),
        ({}, {"loans": 3, "english": 5}, (("english", 5), ("loans", 3))),
        ({"english": 4}, {}, (("english", 4),)),
        ({"english": 4}, {"english": 2}, (("english", 4),)),
        ({"english": 4}, {"english": 7, "billing": 1}, (("billing", 1), ("english", 7))),
    ],
)
def test_a_requirement_is_the_higher_level_of_queue_and_contact(
    queue: dict[str, int], own: dict[str, int], combined: tuple[tuple[str, int], ...]
) -> None:
    assert requirement_key(QueuePolicy(requires=queue), own) == combined


def test_a_requirement_reads_as_channel_queue_and_skills() -> None:
    requirement = (("english", 5), ("loans", 3))
    assert format_requirement("support", "voice", ()) == "voice/support"
    text = format_requirement("support", "voice", requirement)
    assert text == "voice/support:english>=5,loans>=3"
    text = format_requirement("support", "voice", requirement, ("ada", "bob"), ((("english", 2),),))
    assert text == "voice/support:english>=5,loans>=3|english>=2@ada+bob"


def test_rules_are_counted_by_match_failure_and_default() -> None:
    counts = EntryRuleCounts()
    counts.record_classification("vip", ())
    counts.record_classification("vip", ("broken",))
    counts.record_classification(None, ("broken",))
    assert (counts.matched, counts.failed, counts.by_default) == ({"vip": 2}, {"broken": 2}, 1)
    assert counts.classified == 3
