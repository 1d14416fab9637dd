"""Calendar of a shadow: days and opening hours."""

from typing import Any

from router.model import commands as c
from router.model.policy import (
    AtClosing,
    CalendarPolicy,
    Policy,
    Selection,
    WeekPolicy,
)
from tests.engine.shadow.shadowed_engine import K, ShadowedEngine, accepted, two_ready
from tests.support.builders import (
    a_contact,
    a_policy,
    a_queue,
    an_agent,
    not_ready,
    published,
)


def test_a_shadow_counts_its_own_days_until_the_live_policy_has_the_same_zone() -> None:
    def counting(zone: str) -> Policy:
        return a_policy(queues={"support": a_queue(selection=Selection.FEWEST_TODAY)}, zone=zone)

    def given(beside: ShadowedEngine) -> tuple[str | None, list[int]]:
        state = beside.shadow.state
        return state.day, [agent.contacts_today for agent in state.agents.values()]

    # It is 09:00 UTC: one hour to midnight in the live zone, fifteen in the shadow's.
    mine, live = counting("Pacific/Kiritimati"), counting("UTC")
    beside = ShadowedEngine(live, mine, *two_ready(), a_contact("c1"), accepted("c1", "ada"))
    assert given(beside) == ("2026-01-05", [1, 0])
    beside.later(3_599)
    beside.do(a_contact("c2"), accepted("c2", "bob"))
    assert given(beside) == ("2026-01-05", [1, 1])
    beside.later(1)
    beside.do(c.EndContact(contact_id="c1", agent_id="ada"))
    assert given(beside) == ("2026-01-06", [0, 0])
    beside.do(a_contact("c3"), accepted("c3", "ada"))
    assert given(beside) == ("2026-01-06", [1, 0])
    # From here on the live day applies, and it starts now.
    beside.do(published(mine))
    assert given(beside) == ("2026-01-06", [0, 0])
    beside.later(24 * 3_600)
    assert given(beside)[0] == beside.world.reference.day == "2026-01-07"
    beside.do(published(a_policy()))
    beside.later(24 * 3_600)
    beside.do(not_ready("bob"))
    assert [beside.world.reference.day, given(beside)[0]] == [None, "2026-01-08"]


def by_table(until: str, **queue: Any) -> Policy:
    """Return a policy whose queue ``support`` is open from 09:00 UTC, which is now, until that time."""
    week = WeekPolicy(mon=(f"09:00-{until}",), tue=("09:00-10:00",))
    calendar = CalendarPolicy(zone="UTC", week=week)
    return a_policy(
        queues={"support": a_queue(hours="table", **queue)}, calendars={"table": calendar}
    )


def test_a_queue_that_closes_earlier_under_the_shadow_policy_moves_its_contacts_out() -> None:
    live, shadow = by_table("12:00"), by_table("11:00", at_closing=AtClosing.EXPIRE)
    beside = ShadowedEngine(live, shadow, a_contact("c1"))
    assert beside.later(7_199) == []
    beside.later(1)
    told = beside.do(an_agent("ada"))
    assert [(one.kind, one.contact_id, one.why) for one in told] == [
        (K.EXPIRY, "c1", ("would_expire",))
    ]
    told = beside.do(a_contact("c2"))
    assert [(one.kind, one.why) for one in told] == [(K.REFUSED, ("queue_closed",))]
    # Both are open again the next day.
    beside.later(22 * 3_600)
    assert beside.do(a_contact("c3")) == []


def test_a_queue_that_closes_in_reality_alone_keeps_its_contacts_here() -> None:
    beside = ShadowedEngine(
        by_table("11:00", at_closing=AtClosing.EXPIRE), by_table("12:00"), a_contact("c1")
    )
    told = beside.later(7_200)
    assert [(one.kind, one.why) for one in told] == [(K.EXPIRY, ("would_stay",))]
    assert [one.kind for one in beside.do(a_contact("c2"))] == [K.TAKEN]


def test_with_the_same_calendar_the_shadow_decides_about_waiting_contacts() -> None:
    beside = ShadowedEngine(
        by_table("11:00", at_closing=AtClosing.SERVE),
        by_table("11:00", at_closing=AtClosing.EXPIRE),
        a_contact("c1"),
    )
    assert [(one.kind, one.why) for one in beside.later(7_200)] == [(K.EXPIRY, ("would_expire",))]


def test_a_supervisors_override_applies_to_both_policies_until_it_ends() -> None:
    beside = ShadowedEngine(a_policy(), by_table("12:00"))
    beside.do(c.SetQueueOpen(queue_id="support", is_open=False))
    assert [one.kind for one in beside.do(a_contact("c1"))] == []
    assert beside.shadow.state.is_closed("support")
    beside.do(c.SetQueueOpen(queue_id="support", is_open=None))
    assert not beside.shadow.state.is_closed("support")
    beside.later(3 * 3_600)
    beside.do(an_agent("ada"))
    assert beside.shadow.state.is_closed("support")
