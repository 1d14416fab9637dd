"""Calendar of a shadow: days and opening hours."""

from typing import Any

from router.model import commands as c
from router.model.policy import AtClosing, CalendarPolicy, Policy, Selection, WeekPolicy
from tests.engine.shadow.shadowed_engine import K, ShadowedEngine, accepted, two_ready
from tests.support.builders import a_contact, a_policy, a_queue, an_agent, not_ready, published


def test_a_shadow_counts_its_own_days_until_the_live_policy_has_the_same_zone() -> None:
    def counting(zone: str) -> Policy:
        return a_policy(queues={"support": a_queue(selection=Selection.FEWEST_TODAY)}, zone=zone)

    def given(shadowed: ShadowedEngine) -> tuple[str | None, list[int]]:
        state = shadowed.shadow.state
        return state.day, [agent.contacts_today for agent in state.agents.values()]

    # It is 09:00 UTC: one hour to midnight in the live zone, fifteen in the shadow's.
    mine, live = counting("Pacific/Kiritimati"), counting("UTC")
    shadowed = ShadowedEngine(live, mine, *two_ready(), a_contact("c1"), accepted("c1", "ada"))
    assert given(shadowed) == ("2026-01-05", [1, 0])
    shadowed.later(3_599)
    shadowed.do(a_contact("c2"), accepted("c2", "bob"))
    assert given(shadowed) == ("2026-01-05", [1, 1])
    shadowed.later(1)
    shadowed.do(c.EndContact(contact_id="c1", agent_id="ada"))
    assert given(shadowed) == ("2026-01-06", [0, 0])
    shadowed.do(a_contact("c3"), accepted("c3", "ada"))
    assert given(shadowed) == ("2026-01-06", [1, 0])
    # From here on the live day applies, and it starts now.
    shadowed.do(published(mine))
    assert given(shadowed) == ("2026-01-06", [0, 0])
    shadowed.later(24 * 3_600)
    assert given(shadowed)[0] == shadowed.world.reference.day == "2026-01-07"
    shadowed.do(published(a_policy()))
    shadowed.later(24 * 3_600)
    shadowed.do(not_ready("bob"))
    assert [shadowed.world.reference.day, given(shadowed)[0]] == [None, "2026-01-08"]


def by_table(until: str, **queue: Any) -> Policy:
    """Return a policy whose queue ``support`` is open from 09:00 UTC, which is now, until that time."""
    week = WeekPolicy(mon=(f"09:00-{until}",), tue=("09:00-10:00",))
    calendar = CalendarPolicy(zone="UTC", week=week)
    return a_policy(queues={"support": a_queue(hours="table", **queue)}, calendars={"table": calendar})


def test_a_queue_that_closes_earlier_under_the_shadow_policy_moves_its_contacts_out() -> None:
    live, shadow = by_table("12:00"), by_table("11:00", at_closing=AtClosing.EXPIRE)
    shadowed = ShadowedEngine(live, shadow, a_contact("c1"))
    assert shadowed.later(7_199) == []
    shadowed.later(1)
    found = shadowed.do(an_agent("ada"))
    assert [(one.kind, one.contact_id, one.why) for one in found] == [(K.EXPIRY, "c1", ("would_expire",))]
    found = shadowed.do(a_contact("c2"))
    assert [(one.kind, one.why) for one in found] == [(K.REFUSED, ("queue_closed",))]
    # Both are open again the next day.
    shadowed.later(22 * 3_600)
    assert shadowed.do(a_contact("c3")) == []


def test_a_queue_that_closes_in_reality_alone_keeps_its_contacts_here() -> None:
    shadowed = ShadowedEngine(by_table("11:00", at_closing=AtClosing.EXPIRE), by_table("12:00"), a_contact("c1"))
    found = shadowed.later(7_200)
    assert [(one.kind, one.why) for one in found] == [(K.EXPIRY, ("would_stay",))]
    assert [one.kind for one in shadowed.do(a_contact("c2"))] == [K.TAKEN]


def test_with_the_same_calendar_the_shadow_decides_about_waiting_contacts() -> None:
    shadowed = ShadowedEngine(
        by_table("11:00", at_closing=AtClosing.SERVE), by_table("11:00", at_closing=AtClosing.EXPIRE), a_contact("c1")
    )
    assert [(one.kind, one.why) for one in shadowed.later(7_200)] == [(K.EXPIRY, ("would_expire",))]


def test_a_supervisors_override_applies_to_both_policies_until_it_ends() -> None:
    shadowed = ShadowedEngine(a_policy(), by_table("12:00"))
    shadowed.do(c.SetQueueOpen(queue_id="support", is_open=False))
    assert [one.kind for one in shadowed.do(a_contact("c1"))] == []
    assert shadowed.shadow.state.is_closed("support")
    shadowed.do(c.SetQueueOpen(queue_id="support", is_open=None))
    assert not shadowed.shadow.state.is_closed("support")
    shadowed.later(3 * 3_600)
    shadowed.do(an_agent("ada"))
    assert shadowed.shadow.state.is_closed("support")
