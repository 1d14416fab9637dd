"""Differences that a shadow reports, case by case. That an equal policy reports none is in ``tests/properties``."""

from typing import Any

from router.engine.shadow import Shadow
from router.model import commands as c
from router.model.commands import CallbackFields
from router.model.events import OfferMade
from router.model.policy import (
    AtClosing,
    CalendarPolicy,
    CallbackMode,
    CallbackPolicy,
    EntryCondition,
    EntryRule,
    FactPolicy,
    FactType,
    Policy,
    RateCapPolicy,
    Selection,
    StepPolicy,
    WeekPolicy,
)
from router.model.results import RefusalCode, Refused
from router.model.shadow import Difference, DifferenceKind
from router.model.states import CallbackOutcome
from tests.support.builders import (
    a_channel,
    a_contact,
    a_policy,
    a_policy_with_queue,
    a_queue,
    an_agent,
    not_ready,
    published,
    ready,
)
from tests.support.world import World

K = DifferenceKind


class ShadowedEngine:
    """A world with a shadow beside it, from its first event on."""

    def __init__(self, live: Policy, shadow: Policy, *commands: c.Command) -> None:
        self.world = World(live)
        self.shadow = Shadow(shadow)
        self._heard = 0
        self.do(*commands)

    def do(self, *commands: c.Command) -> list[Difference]:
        """Execute the commands and return the differences."""
        found: list[Difference] = []
        for command in commands:
            answer = self.world.do(command).result
            found += self._compare()
            if isinstance(answer, Refused) and isinstance(command, c.EnqueueContact):
                found += self.shadow.judge_refusal(command, answer.code, self.world.at_ms)
        return found

    def later(self, seconds: float) -> list[Difference]:
        """Advance the time and return the differences."""
        self.world.later(seconds)
        return self._compare()

    def _compare(self) -> list[Difference]:
        found: list[Difference] = []
        for first_seq, at_ms, events in self.world.records[self._heard :]:
            found += self.shadow.apply_record(events, first_seq, at_ms)
        self._heard = len(self.world.records)
        return found

    @property
    def counts(self) -> dict[str, int]:
        return self.shadow.report().differences


def two_ready(**skills: dict[str, int]) -> list[c.Command]:
    commands: list[c.Command] = []
    for name in ("ada", "bob"):
        commands += [an_agent(name, skills=skills.get(name, {})), ready(name)]
    return commands


def accepted(contact_id: str, agent_id: str, number: int = 1) -> c.Command:
    return c.AcceptOffer(offer_id=f"{contact_id}.{number}", agent_id=agent_id)


def test_another_selection_chooses_another_agent() -> None:
    beside = ShadowedEngine(
        a_policy(),
        a_policy_with_queue(selection=Selection.LEAST_FLEXIBLE),
        *two_ready(ada={"german": 3}),
    )
    (found,) = beside.do(a_contact())
    assert (found.kind, found.agent_id, found.shadow_agent_id) == (K.OTHER_AGENT, "ada", "bob")
    assert found.contact_id == "c1" and found.queue_id == "support"
    assert found.seq == beside.world.engine.seq
    report = beside.shadow.report()
    assert (report.submits, report.offers, report.same) == (1, 1, 0)
    assert report.queues["support"].differences == {"other_agent": 1}
    assert report.examples["other_agent"] == (found,)
    # Bob is free in reality: the next contact goes to bob under both policies.
    assert beside.do(a_contact("c2")) == []
    assert beside.shadow.report().same == 1


def test_another_priority_gives_the_agent_another_contact() -> None:
    live = a_policy(queues={"support": a_queue(), "sales": a_queue()})
    shadow = a_policy(queues={"support": a_queue(), "sales": a_queue(priority_s=60)})
    beside = ShadowedEngine(live, shadow)
    assert beside.do(a_contact("c1")) == []
    beside.world.later(1)
    (rank,) = beside.do(a_contact("c2", queue_id="sales"))
    assert (rank.kind, rank.queue_id) == (K.PRIORITY, "sales")
    beside.do(an_agent())
    (found,) = beside.do(ready())
    assert (found.kind, found.contact_id, found.agent_id) == (K.OTHER_CONTACT, "c1", "ada")
    assert found.shadow_contact_id == "c2"


def test_an_ineligible_agent_is_reported_with_the_unmet_conditions() -> None:
    beside = ShadowedEngine(
        a_policy(), a_policy_with_queue(requires={"english": 3}), *two_ready(bob={"english": 5})
    )
    needs, found = beside.do(a_contact())
    assert needs.kind is K.REQUIREMENT
    assert (found.kind, found.agent_id) == (K.NOT_ELIGIBLE, "ada")
    assert (found.why, found.shadow_agent_id) == (("skill",), "bob")


def test_a_pair_that_only_the_shadow_would_have_made_is_reported_once() -> None:
    beside = ShadowedEngine(a_policy_with_queue(requires={"german": 3}), a_policy(), *two_ready())
    needs, found = beside.do(a_contact())
    assert needs.kind is K.REQUIREMENT
    assert (found.kind, found.contact_id, found.agent_id) == (K.SOONER, "c1", None)
    assert found.shadow_agent_id == "ada"
    assert beside.do(not_ready("bob"), ready("bob")) == []
    assert beside.counts == {"requirement": 1, "sooner": 1}


def test_the_shadows_entry_rules_classify_contacts_that_name_no_queue() -> None:
    facts = {"topic": FactPolicy(type=FactType.ENUM, values=("card", "loan"))}
    queues = {"support": a_queue(), "cards": a_queue()}
    live = a_policy(queues=queues, facts=facts, default_queue="support")
    card = EntryRule(
        name="card",
        when=EntryCondition(attributes={"topic": "card"}),
        queue="cards",
        priority_s=30,
        skills={"english": 2},
    )
    shadow = a_policy(queues=queues, facts=facts, default_queue="support", entry=(card,))
    beside = ShadowedEngine(live, shadow)
    asked = {"queue_id": None, "attributes": {"topic": "card"}}
    found = beside.do(a_contact("c1", **asked))
    assert [one.kind for one in found] == [K.QUEUE, K.REQUIREMENT, K.PRIORITY]
    assert {one.queue_id for one in found} == {"support"}
    assert {one.shadow_queue_id for one in found} == {"cards"}
    assert beside.do(a_contact("c2", attributes={"topic": "card"})) == [], "it named its queue"
    assert beside.do(a_contact("c3", queue_id=None, attributes={"topic": "loan"})) == []
    # The other way round: skills added by the live rule are not taken for the contact's own.
    other = ShadowedEngine(shadow, live)
    other.do(a_contact("c1", **asked))
    mine = other.shadow.state.contacts["c1"]
    assert (mine.queue_id, mine.skills, mine.priority_s) == ("support", {}, 0)
    # An update changes the same values here as in reality, and no others.
    other.do(c.UpdateContact(contact_id="c1", priority_class=2))
    assert (mine.skills, mine.priority_s, mine.priority_class) == ({}, 0, 2)
    other.do(c.UpdateContact(contact_id="c1", priority_s=90))
    assert (mine.skills, mine.priority_s) == ({}, 90)


def test_waits_that_end_under_one_policy_alone() -> None:
    queues = {"support": a_queue(wait_max_s=10, overflow_to="sales"), "sales": a_queue()}
    live = a_policy(queues=queues)
    stays = a_policy(queues={"support": a_queue(), "sales": a_queue()})
    (found,) = _after(ShadowedEngine(live, stays, a_contact()), 10)
    assert (found.kind, found.why) == (K.OVERFLOW, ("would_stay",))
    assert (found.queue_id, found.shadow_queue_id) == ("support", "support")
    (found,) = _after(ShadowedEngine(stays, live, a_contact()), 10)
    assert (found.kind, found.why) == (K.OVERFLOW, ("would_overflow",))
    assert (found.queue_id, found.shadow_queue_id) == ("support", "sales")
    assert _after(ShadowedEngine(live, live, a_contact()), 10) == []
    expires = a_policy(queues={"support": a_queue(wait_max_s=10), "sales": a_queue()})
    (found,) = _after(ShadowedEngine(expires, stays, a_contact()), 10)
    assert (found.kind, found.why) == (K.EXPIRY, ("would_stay",))
    (found,) = _after(ShadowedEngine(stays, expires, a_contact()), 10)
    assert (found.kind, found.why) == (K.EXPIRY, ("would_expire",))


def test_plans_continue_under_their_own_policy() -> None:
    wider = (StepPolicy(duration_s=10), StepPolicy(remove_skills=("german",)))
    needs = a_queue(requires={"german": 3}, plan="wider")
    live = a_policy(queues={"support": needs}, plans={"wider": wider})
    slower = a_policy(
        queues={"support": needs},
        plans={"wider": (StepPolicy(duration_s=60), StepPolicy(remove_skills=("german",)))},
    )
    beside = ShadowedEngine(live, slower, an_agent(), ready(), a_contact())
    step, offer = _after(beside, 10)
    assert (step.kind, step.why) == (K.STEP, ("would_stay",))
    assert (offer.kind, offer.why) == (K.NOT_ELIGIBLE, ("skill",))
    beside = ShadowedEngine(slower, live, an_agent(), ready(), a_contact())
    step, offer = _after(beside, 10)
    assert (step.kind, step.why) == (K.STEP, ("would_go_on",))
    assert (offer.kind, offer.shadow_agent_id) == (K.SOONER, "ada")


def _after(beside: ShadowedEngine, seconds: float) -> list[Difference]:
    """Advance the time; a record then shows it to the shadow."""
    found = beside.later(seconds)
    return found + beside.do(an_agent("eve"))


def test_a_contact_that_the_shadow_would_refuse_is_excluded() -> None:
    live = a_policy(queues={"support": a_queue(), "sales": a_queue()})
    beside = ShadowedEngine(live, a_policy(), *two_ready())
    (found,) = beside.do(a_contact("c1", queue_id="sales"))
    assert (found.kind, found.why) == (K.REFUSED, ("unknown_queue",))
    report = beside.shadow.report()
    assert (report.offers, report.not_judged) == (1, 1)
    assert beside.do(accepted("c1", "ada"), a_contact("c2")) == []
    assert beside.shadow.report().same == 1, "ada is busy with it: bob under both"
    # A supervisor moves it to a queue that the shadow has.
    assert beside.do(c.RequeueContact(contact_id="c1", queue_id="support")) == []
    assert beside.shadow.state.contacts["c1"].queue_id == "support"


def test_work_of_a_channel_that_the_shadow_lacks_keeps_its_agent_busy() -> None:
    shadow = a_policy(channels={"voice": a_channel()})
    beside = ShadowedEngine(a_policy(), shadow, an_agent(), ready())
    (found,) = beside.do(a_contact("c1", channel="chat"))
    assert (found.kind, found.why) == (K.REFUSED, ("unknown_channel",))
    assert beside.do(accepted("c1", "ada"), a_contact("c2")) == []
    beside.do(c.EndContact(contact_id="c1", agent_id="ada"))
    assert beside.shadow.report().same == 1


def test_a_submit_that_the_live_policy_refuses_may_be_taken_by_the_shadow() -> None:
    beside = ShadowedEngine(a_policy_with_queue(length_max=0), a_policy())
    (found,) = beside.do(a_contact())
    assert (found.kind, found.why) == (K.TAKEN, ("queue_full",))
    assert found.shadow_queue_id == "support"
    assert beside.do(a_contact(queue_id="nowhere")) == [], "both refuse it"
    assert beside.shadow.report().submits == 2
    assert (
        beside.shadow.judge_refusal(
            a_contact(), RefusalCode.IDEMPOTENCY_KEY_REUSED, beside.world.at_ms
        )
        == []
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


def test_a_rate_cap_of_the_shadow_opens_without_an_event() -> None:
    channels = {"voice": a_channel(), "chat": a_channel(units=30, per_agent_max=3)}
    capped = channels | {
        "chat": a_channel(
            units=30, per_agent_max=3, rate_cap=RateCapPolicy(contacts_max=1, window_s=60)
        )
    }
    beside = ShadowedEngine(a_policy(), a_policy(channels=capped), an_agent("ada"), ready("ada"))
    assert beside.do(a_contact("c1", channel="chat"), accepted("c1", "ada")) == []
    told = beside.do(
        a_contact("c2", channel="chat"), c.DeclineOffer(offer_id="c2.1", agent_id="ada")
    )
    assert [(one.kind, one.why) for one in told] == [(K.NOT_ELIGIBLE, ("rate_cap",))]
    beside.do(c.AbandonContact(contact_id="c2"))
    beside.later(59)
    assert beside.do(a_contact("c3", channel="chat"))[0].kind is K.NOT_ELIGIBLE
    beside.do(c.AbandonContact(contact_id="c3"))
    beside.later(1)
    assert beside.do(a_contact("c4", channel="chat")) == []


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


def test_a_customer_who_is_called_first_would_be_called_for_another_agent() -> None:
    def calling(selection: Selection) -> Policy:
        callback = CallbackPolicy(mode=CallbackMode.CUSTOMER_FIRST)
        return a_policy_with_queue(callback=callback, selection=selection)

    beside = ShadowedEngine(
        calling(Selection.LONGEST_IDLE),
        calling(Selection.HIGHEST_PROFICIENCY),
        *two_ready(ada={"english": 1}, bob={"english": 5}),
    )
    told = beside.do(a_contact("c1", skills={"english": 1}, callback=CallbackFields()))
    assert [(one.kind, one.agent_id, one.shadow_agent_id) for one in told] == [
        (K.OTHER_AGENT, "ada", "bob")
    ]
    done = c.ReportCallback(contact_id="c1", attempt=1, outcome=CallbackOutcome.CONNECTED)
    assert {one.kind for one in beside.do(done)} <= {K.OTHER_AGENT}


def test_a_callback_that_the_shadow_does_not_offer_is_refused_there() -> None:
    beside = ShadowedEngine(
        a_policy_with_queue(callback=CallbackPolicy()), a_policy(), *two_ready()
    )
    told = beside.do(a_contact("c1", callback=CallbackFields()), accepted("c1", "ada"))
    assert [(one.kind, one.why) for one in told] == [(K.REFUSED, ("callback_not_offered",))]
    assert beside.shadow.report().not_judged == 1


def test_when_the_shadow_policy_is_published_the_differences_end() -> None:
    shadow = a_policy_with_queue(selection=Selection.LEAST_FLEXIBLE)
    beside = ShadowedEngine(a_policy(), shadow, *two_ready(ada={"german": 3}))
    assert beside.do(a_contact()) != []
    beside.do(c.CancelContact(contact_id="c1"), published(shadow))
    before = beside.counts
    assert beside.do(a_contact("c2"), accepted("c2", "bob"), a_contact("c3")) == []
    assert beside.counts == before


def test_the_present_state_is_compared_without_a_further_event() -> None:
    world = World(a_policy_with_queue(requires={"german": 3}))
    world.done_all(an_agent(), ready(), a_contact())
    shadow = Shadow.from_snapshot(world.engine.snapshot(), a_policy())
    (found,) = shadow.compare_current_state()
    assert (found.kind, found.contact_id, found.shadow_agent_id) == (K.SOONER, "c1", "ada")
    assert shadow.compare_current_state() == []


def test_a_shadow_started_from_a_state_excludes_contacts_it_would_not_have() -> None:
    world = World(a_policy(queues={"support": a_queue(), "sales": a_queue(wait_max_s=5)}))
    world.done_all(a_contact("c1", queue_id="sales"), a_contact("c2"))
    shadow = Shadow.from_snapshot(world.engine.snapshot(), a_policy_with_queue(wait_max_s=60))
    assert shadow.compare_current_state() == []
    assert shadow.state.contacts["c2"].wait_until_ms == world.at_ms + 60_000
    events = world.done_all(an_agent(), ready())
    for first_seq, at_ms, record in world.records[-2:]:
        shadow.apply_record(record, first_seq, at_ms)
    assert [one.contact_id for one in events if isinstance(one, OfferMade)] == ["c1"]
    assert shadow.report().not_judged == 1


def test_examples_are_bounded_and_totals_are_not() -> None:
    beside = ShadowedEngine(a_policy_with_queue(requires={"german": 1}), a_policy())
    beside.do(*(a_contact(f"c{number}") for number in range(120)))
    report = beside.shadow.report()
    assert report.differences == {"requirement": 120}
    assert [one.contact_id for one in report.examples["requirement"]][:1] == ["c20"]
    assert len(report.examples["requirement"]) == 100
