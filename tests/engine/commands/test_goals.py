"""Goals of contacts: how they are named, reported, scored, counted and repeated, and what is kept of them."""

from typing import Any

import msgspec
import pytest

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.events import ContactGoal, GoalChanged
from router.model.policy import (
    EntryCondition,
    EntryRule,
    GoalPolicy,
    GoalsPolicy,
    Policy,
    RepeatOf,
    RequestPolicy,
    RetentionPolicy,
    StepMatch,
    SuspensionPolicy,
)
from router.model.results import RefusalCode
from router.model.states import GoalOutcome, GoalReporter, ResumeMode
from tests.engine.shadow.shadowed_engine import ShadowedEngine
from tests.support.builders import a_channel, a_contact, a_policy, a_policy_with_queue, a_queue, an_agent, published, ready
from tests.support.engine_worlds import accept
from tests.support.world import World, a_world

DAY_S = 86_400
DONE, PARTLY, NOT_DONE, UNKNOWN = GoalOutcome.DONE, GoalOutcome.PARTLY, GoalOutcome.NOT_DONE, GoalOutcome.UNKNOWN


def with_goals(**goals: Any) -> Policy:
    """Return a policy with two goals, dispositions, and chats that can be suspended."""
    defaults: dict[str, Any] = {
        "known": {
            "refund": GoalPolicy(done_by=(StepMatch(type="order", name="refunded"),), dispositions={"paid": DONE}),
            "address": GoalPolicy(repeat_within_s=3600),
        },
        "dispositions": {"sorry": NOT_DONE},
    }
    return a_policy(
        channels={"voice": a_channel(wrap_up_s=60), "chat": a_channel(units=30, per_agent_max=3)},
        queues={"support": a_queue(suspension=SuspensionPolicy()), "billing": a_queue()},
        dispositions=("paid", "sorry", "other"),
        goals=GoalsPolicy(**(defaults | goals)),
        entry=(EntryRule(name="bills", when=EntryCondition(channel="chat"), queue="billing", goal="address"),),
        default_queue="support",
        requests=RequestPolicy(),
    )


def a_centre(**goals: Any) -> World:
    return a_world(with_goals(**goals), an_agent(), ready())


def ann(contact_id: str, **changes: Any) -> c.EnqueueContact:
    return a_contact(contact_id, **({"gateway_id": "web", "customer_id": "c_ann", "goal": "refund"} | changes))


def handled(world: World, command: c.EnqueueContact, disposition: str | None = None, *, minutes: float = 1) -> None:
    """Let Ada answer a contact, talk for some minutes and complete it."""
    world.done(command)
    accept(world, command.contact_id, "ada")
    world.later(60 * minutes)
    world.done(c.CompleteAssignment(assignment_id=f"{command.contact_id}.1", agent_id="ada", disposition=disposition))


def goal(world: World, contact_id: str) -> ContactGoal:
    found = world.engine.goal(contact_id)
    assert found is not None
    return found


def report(contact_id: str, **fields: Any) -> c.ReportGoal:
    return c.ReportGoal(contact_id=contact_id, **fields)


def changes(events: list[e.Event]) -> list[tuple[str, str]]:
    return [(event.contact_id, str(event.change)) for event in events if isinstance(event, GoalChanged)]


def check_copies(world: World) -> None:
    """Replay, restore and an incremental snapshot give the same state."""
    digest = world.engine.digest()
    assert world.replayed().digest() == digest
    restored = Engine.restore(world.engine.snapshot())
    assert restored.digest() == digest
    image = world.engine.incremental_snapshot()
    while image.advance():
        pass
    assert b"".join(image.parts()) == world.engine.snapshot()


# --- naming -----------------------------------------------------------------------------------------------------------
def test_a_submit_names_the_goal_else_its_rule_else_the_policy() -> None:
    world = a_world(with_goals(default="refund"))
    world.done(a_contact("c1", goal="address", gateway_id="web"))
    world.done(a_contact("c2", queue_id=None, channel="chat", gateway_id="web"))
    world.done(a_contact("c3", gateway_id="web"))
    world.done(a_contact("c4", goal="address"))
    found = [(goal(world, name).goal, goal(world, name).set_by) for name in ("c1", "c2", "c3", "c4")]
    reporters = (GoalReporter.GATEWAY, GoalReporter.RULE, GoalReporter.POLICY, GoalReporter.SUPERVISOR)
    assert found == list(zip(("address", "address", "refund", "address"), reporters, strict=True))
    check_copies(world)


def test_a_goal_that_the_policy_does_not_have_is_refused_on_both_paths_of_a_submit() -> None:
    world = a_centre()
    first = world.refused(a_contact("c1", goal="resund"))
    assert (first.code, first.field) == (RefusalCode.UNKNOWN_GOAL, "goal") and "address, refund" in first.detail
    world.done(a_contact("c2"))
    assert world.refused(a_contact("c3", goal="resund")).code is RefusalCode.UNKNOWN_GOAL
    without = a_world(a_policy())
    assert "add goals.known" in without.refused(a_contact("c1", goal="refund")).detail


def test_a_workspace_without_goals_has_no_events_of_them() -> None:
    world = a_world(a_policy(), an_agent(), ready())
    handled(world, a_contact("c1", customer_id="c_ann"))
    handled(world, a_contact("c2", customer_id="c_ann"))
    assert [event for _, _, events in world.records for event in events if isinstance(event, GoalChanged)] == []


def test_a_repeated_submit_names_no_goal_again() -> None:
    world = a_centre()
    first = ann("c1", dedupe_key=b"k", fingerprint=b"f")
    assert changes(world.done(first)) == [("c1", "set")]
    assert world.done(msgspec.structs.replace(first, contact_id="c2")) == []
    assert world.engine.goal("c2") is None


def test_a_shadow_policy_follows_goals() -> None:
    shadowed = ShadowedEngine(with_goals(), a_policy_with_queue(length_max=0), an_agent(), ready())
    shadowed.do(ann("c1"), ann("c2", customer_id="c_bob"), report("c1", outcome=DONE))
    shadowed.do(c.AbandonContact(contact_id="c1"), c.AbandonContact(contact_id="c2"), ann("c3"))
    assert shadowed.world.engine.goal("c1") is not None


# --- outcomes ---------------------------------------------------------------------------------------------------------
def test_a_contact_counts_when_its_last_owner_has_finished_the_wrap_up_with_the_outcome_of_the_disposition() -> None:
    world = a_centre()
    world.done(ann("c1"))
    accept(world, "c1", "ada")
    world.later(30)
    assert changes(world.done(c.EndContact(contact_id="c1", agent_id="ada"))) == []
    assert goal(world, "c1").counted_at_ms is None
    world.later(20)
    events = world.done(c.CompleteAssignment(assignment_id="c1.1", agent_id="ada", disposition="paid"))
    assert changes(events) == [("c1", "counted")]
    found = goal(world, "c1")
    assert (found.outcome, found.reported_by, found.disposition) == (DONE, GoalReporter.DISPOSITION, "paid")
    assert (found.counted_at_ms, found.agent_id, found.queue_id, found.channel) == (world.at_ms, "ada", "support", "voice")
    check_copies(world)


def test_a_disposition_without_an_outcome_says_nothing_and_one_of_all_goals_counts_for_each() -> None:
    world = a_centre()
    handled(world, ann("c1"), "other")
    handled(world, ann("c2", goal="address", customer_id="c_bob"), "sorry")
    handled(world, ann("c3", goal="address", customer_id="c_eve"), "paid")
    assert [goal(world, name).outcome for name in ("c1", "c2", "c3")] == [UNKNOWN, NOT_DONE, UNKNOWN]


def test_a_report_is_not_replaced_by_a_disposition_and_the_last_report_counts() -> None:
    world = a_centre()
    world.done(ann("c1"))
    accept(world, "c1", "ada")
    world.done(report("c1", agent_id="ada", outcome=PARTLY))
    world.later(60)
    world.done(c.CompleteAssignment(assignment_id="c1.1", agent_id="ada", disposition="paid"))
    assert (goal(world, "c1").outcome, goal(world, "c1").reported_by) == (PARTLY, GoalReporter.AGENT)
    events = world.done(report("c1", gateway_id="web", outcome=DONE))
    (event,) = [event for event in events if isinstance(event, GoalChanged)]
    assert event.before is not None and event.before.outcome is PARTLY and event.goal.reported_by is GoalReporter.GATEWAY
    assert world.done(report("c1", gateway_id="web", outcome=DONE)) == []
    world.done(report("c1", outcome=None))
    assert (goal(world, "c1").outcome, goal(world, "c1").reported_by) == (UNKNOWN, None)
    check_copies(world)


def test_a_late_disposition_corrects_the_outcome() -> None:
    world = a_centre()
    handled(world, ann("c1"))
    world.later(3600)
    events = world.done(c.CompleteAssignment(assignment_id="c1.1", agent_id="ada", disposition="paid"))
    (event,) = [event for event in events if isinstance(event, GoalChanged)]
    assert event.before is not None and (event.before.disposition, event.goal.disposition) == (None, "paid")
    assert (goal(world, "c1").outcome, goal(world, "c1").counted_at_ms) == (DONE, world.at_ms - 3_600_000)


def test_an_agent_does_not_replace_the_answer_of_the_customer_and_a_supervisor_does() -> None:
    world = a_centre()
    handled(world, ann("c1"))
    world.done(report("c1", is_customer=True, outcome=NOT_DONE, ease=2))
    for fields in ({"outcome": DONE}, {"ease": 7}):
        refused = world.refused(report("c1", agent_id="ada", **fields))
        assert (refused.code, refused.field) == (RefusalCode.CUSTOMER_HAS_ANSWERED, next(iter(fields)))
    assert world.done(report("c1", agent_id="ada", outcome=NOT_DONE, ease=2)) == []
    world.done(report("c1", outcome=DONE, ease=6))
    assert (goal(world, "c1").ease, goal(world, "c1").scored_by) == (6, GoalReporter.SUPERVISOR)


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({}, "outcome", "goal, outcome, ease, effort, satisfaction"),
        ({"ease": 8}, "ease", "1 to 7"),
        ({"effort": 0}, "effort", "1 to 5"),
        ({"satisfaction": 6}, "satisfaction", "1 to 5"),
        ({"goal": "resund"}, "goal", "address, refund"),
        ({"goal": None, "outcome": DONE}, "outcome", "give goal"),
    ],
)
def test_a_report_with_a_wrong_value_is_refused(fields: dict[str, Any], field: str, says: str) -> None:
    world = a_centre()
    world.done(ann("c1"))
    refused = world.refused(report("c1", **fields))
    assert refused.field == field and says in refused.detail


def test_only_those_who_have_or_had_the_contact_reach_its_goal_also_after_retention() -> None:
    policy = msgspec.structs.replace(with_goals(), retention=RetentionPolicy(ended_contacts_max=0))
    world = a_world(policy, an_agent(), ready(), an_agent("bob"))
    handled(world, ann("c1"))
    world.done(ann("c2", customer_id="c_bob"))
    world.done(c.AbandonContact(contact_id="c2"))
    assert world.engine.contact("c1") is None
    for fields in ({"agent_id": "bob"}, {"gateway_id": "other"}):
        assert world.refused(report("c1", outcome=DONE, **fields)).code is RefusalCode.UNKNOWN_CONTACT
        assert world.engine.goal("c1", **{"agent_id": None, "gateway_id": None, **fields}) is None
    assert changes(world.done(report("c1", outcome=DONE, agent_id="ada"))) == [("c1", "reported")]
    assert changes(world.done(report("c1", ease=3, gateway_id="web"))) == [("c1", "scored")]
    assert goal(world, "c2").counted_at_ms is not None and not goal(world, "c2").is_answered
    assert world.refused(report("c9", outcome=DONE)).code is RefusalCode.UNKNOWN_CONTACT


def test_scores_without_a_goal_are_kept_and_counted_with_the_contact() -> None:
    world = a_centre()
    handled(world, a_contact("c1", gateway_id="web"))
    ended_ms = world.at_ms
    world.later(60)
    (event,) = world.done(report("c1", ease=7, gateway_id="web"))
    assert isinstance(event, GoalChanged) and event.before is not None and event.before.ease is None
    assert (goal(world, "c1").goal, goal(world, "c1").ease, goal(world, "c1").counted_at_ms) == (None, 7, ended_ms)
    world.done(report("c1", ease=None, gateway_id="web"))
    assert (goal(world, "c1").ease, goal(world, "c1").scored_by) == (None, None)


def test_a_corrected_score_leaves_the_others_to_the_customer() -> None:
    world = a_centre()
    handled(world, ann("c1"))
    world.done(report("c1", is_customer=True, ease=1))
    world.done(report("c1", satisfaction=3))
    assert world.refused(report("c1", agent_id="ada", ease=7)).code is RefusalCode.CUSTOMER_HAS_ANSWERED
    assert goal(world, "c1").scored_by is GoalReporter.CUSTOMER
    world.done(report("c1", ease=2, satisfaction=3))
    assert goal(world, "c1").scored_by is GoalReporter.SUPERVISOR
    check_copies(world)


# --- steps of the journey ---------------------------------------------------------------------------------------------
def steps(at_ms: int, *customer_ids: str, name: str = "refund") -> c.ReportGoalSteps:
    return c.ReportGoalSteps(customer_ids=customer_ids or ("c_ann",), steps=((name, at_ms),))


def sent_again(at_ms: int) -> c.ReportGoalSteps:
    return c.ReportGoalSteps(customer_ids=("c_ann",), steps=(), repeated_steps=(("refund", at_ms),))


def test_a_step_reports_the_newest_contact_with_the_goal_within_its_time() -> None:
    world = a_centre()
    handled(world, ann("c1"))
    world.later(60)
    handled(world, ann("c2"))
    world.later(2 * DAY_S)
    assert changes(world.done(steps(world.at_ms))) == [("c2", "reported")]
    assert (goal(world, "c2").outcome, goal(world, "c2").reported_by) == (DONE, GoalReporter.JOURNEY)
    assert world.done(steps(world.at_ms)) == []
    assert goal(world, "c1").outcome is UNKNOWN


@pytest.mark.parametrize(
    "later",
    [{"is_customer": True, "outcome": NOT_DONE}, {"agent_id": "ada", "outcome": PARTLY}, {"outcome": NOT_DONE}, {"outcome": None}],
    ids=["customer", "agent", "supervisor", "taken back"],
)
def test_a_step_that_is_sent_again_leaves_a_later_report(later: dict[str, Any]) -> None:
    world = a_centre()
    handled(world, ann("c1"))
    at_ms = world.at_ms
    world.done(steps(at_ms))
    world.done(report("c1", **later))
    expected = goal(world, "c1")
    world.later(60)
    assert world.done(sent_again(at_ms)) == [] and goal(world, "c1") == expected
    assert changes(world.done(steps(world.at_ms))) == [("c1", "reported")]  # A new step is a new report.


def test_a_step_that_is_sent_again_reports_what_was_not_reported_since() -> None:
    world = a_centre()
    handled(world, ann("c1"))
    world.done(report("c1", gateway_id="web", outcome=NOT_DONE))
    world.later(60)
    assert changes(world.done(sent_again(world.at_ms))) == [("c1", "reported")]
    handled(world, ann("c2"), "sorry")
    world.later(60)
    assert changes(world.done(sent_again(world.at_ms - 60_000))) == [("c2", "reported")]
    assert (goal(world, "c2").outcome, goal(world, "c2").reported_by) == (DONE, GoalReporter.JOURNEY)


@pytest.mark.parametrize("late_s", [-61, 3 * DAY_S + 1])
def test_a_step_before_the_contact_or_too_long_after_it_reports_nothing(late_s: int) -> None:
    world = a_centre()
    handled(world, ann("c1"))
    ended_ms = world.at_ms
    world.later(4 * DAY_S)
    assert world.done(steps(ended_ms + 1000 * late_s)) == []
    edge = 1000 * (late_s + (1 if late_s < 0 else -1))
    assert changes(world.done(steps(ended_ms + edge))) == [("c1", "reported")]


def test_a_step_of_a_merged_customer_reports_the_contact_of_the_other_member() -> None:
    world = a_centre()
    world.done(ann("c1"))
    world.later(5)
    assert world.done(steps(world.at_ms, "c_root", name="address")) == []
    assert changes(world.done(steps(world.at_ms, "c_root", "c_ann"))) == [("c1", "reported")]


# --- repeats ----------------------------------------------------------------------------------------------------------
def test_a_second_contact_for_the_same_goal_marks_the_first_one_as_repeated() -> None:
    world = a_centre()
    handled(world, ann("c1"), "paid")
    world.later(7 * DAY_S - 61)
    events = world.done(ann("c2"))
    assert changes(events)[:2] == [("c2", "set"), ("c1", "repeated")]
    assert (goal(world, "c2").repeats, goal(world, "c1").repeated_by, goal(world, "c1").outcome) == ("c1", "c2", DONE)
    accept(world, "c2", "ada")
    world.later(60)
    world.done(c.CompleteAssignment(assignment_id="c2.1", agent_id="ada"))
    world.later(60)
    world.done(ann("c3"))
    assert (goal(world, "c3").repeats, goal(world, "c1").repeated_by, goal(world, "c2").repeated_by) == ("c2", "c2", "c3")
    check_copies(world)


@pytest.mark.parametrize(
    ("wait_s", "second"),
    [(7 * DAY_S, {}), (60, {"goal": "address"}), (60, {"customer_id": "c_bob"}), (60, {"customer_id": None})],
    ids=["too late", "another goal", "another customer", "unknown customer"],
)
def test_what_is_no_repeat(wait_s: int, second: dict[str, Any]) -> None:
    world = a_centre()
    handled(world, ann("c1"))
    world.later(wait_s)
    world.done(ann("c2", **second))
    assert (goal(world, "c2").repeats, goal(world, "c1").repeated_by) == (None, None)


def test_a_goal_has_a_time_of_its_own_in_which_it_is_repeated() -> None:
    world = a_centre()
    handled(world, ann("c1", goal="address"))
    world.later(3600)
    handled(world, ann("c2", goal="address"))
    assert goal(world, "c2").repeats is None
    world.later(3599)
    world.done(ann("c3", goal="address"))
    assert goal(world, "c3").repeats == "c2"


def test_a_contact_that_no_agent_answered_is_not_repeated_but_repeats() -> None:
    world = a_centre()
    handled(world, ann("c1"))
    world.done(c.SetAgentState(agent_id="ada", state="not_ready"))  # type: ignore[arg-type]
    world.later(60)
    world.done(ann("c2"))
    world.done(c.AbandonContact(contact_id="c2"))
    world.done(ann("c3"))
    assert [goal(world, name).repeats for name in ("c2", "c3")] == ["c1", "c1"]
    assert (goal(world, "c1").repeated_by, goal(world, "c2").repeated_by) == ("c2", None)


def test_a_contact_of_any_goal_repeats_where_the_policy_says_so_also_one_without_a_goal() -> None:
    world = a_centre(repeat_of=RepeatOf.CUSTOMER)
    handled(world, ann("c1"))
    world.later(60)
    world.done(ann("c2", goal=None))
    assert goal(world, "c1").repeated_by == "c2"
    world.done(report("c2", goal="address", gateway_id="web"))
    assert goal(world, "c2").repeats == "c1"


def test_merged_customers_repeat_each_other() -> None:
    world = a_centre()
    handled(world, ann("c1"))
    world.done(ann("c2", customer_id="c_root", customer_ids=("c_root", "c_ann")))
    assert goal(world, "c2").repeats == "c1"


def test_a_contact_that_continues_another_one_repeats_it_without_a_known_customer() -> None:
    world = a_centre()
    handled(world, ann("c1", customer_id=None))
    world.done(ann("c2", customer_id=None, continues_contact_id="c1"))
    assert (goal(world, "c2").repeats, goal(world, "c1").repeated_by) == ("c1", "c2")


def test_a_transfer_and_a_resume_on_another_channel_are_one_contact() -> None:
    world = a_centre()
    world.done(ann("c1", channel="chat"))
    accept(world, "c1", "ada")
    world.done(c.TransferContact(contact_id="c1", to_queue_id="billing", agent_id="ada"))
    world.later(61)
    world.done(c.SuspendContact(contact_id="c1"))
    world.later(DAY_S)
    wanted = ann("c2", goal=None)
    events = world.done(c.SubmitOrResume(contact=wanted, resume=ResumeMode.AUTO))
    assert changes(events) == []
    assert (goal(world, "c1").goal, goal(world, "c1").repeated_by, world.engine.goal("c2")) == ("refund", None, None)
    check_copies(world)


def test_a_resumed_conversation_without_a_goal_gets_the_one_that_the_customer_names() -> None:
    world = a_centre()
    for ask in (ResumeMode.AUTO, ResumeMode.ASK):
        name = f"old-{ask}"
        world.done(ann(name, channel="chat", goal=None, customer_id=f"c_{ask}"))
        world.done(c.SuspendContact(contact_id=name))
        world.done(c.SubmitOrResume(contact=ann(f"new-{ask}", customer_id=f"c_{ask}"), resume=ask))
        if ask is ResumeMode.ASK:
            assert goal(world, f"new-{ask}").goal == "refund"
            world.done(c.ChooseOption(contact_id=f"new-{ask}", option="resume-1"))
            assert goal(world, f"new-{ask}").goal is None  # The contact that was choosing has none any more.
        assert goal(world, name).goal == "refund"
    check_copies(world)


def test_a_request_keeps_its_goal_until_an_option_is_chosen_and_repeats_then() -> None:
    world = a_centre()
    handled(world, ann("c1"))
    world.done(c.RequestContact(contact=ann("c2"), token_hash=b"t"))
    assert (goal(world, "c2").goal, goal(world, "c2").repeats, goal(world, "c1").repeated_by) == ("refund", None, None)
    world.done(c.ChooseOption(contact_id="c2", option="now"))
    assert (goal(world, "c2").repeats, goal(world, "c1").repeated_by) == ("c1", "c2")


def test_another_goal_ends_the_repeat_and_its_correction_begins_it_again() -> None:
    world = a_centre()
    handled(world, ann("c1"))
    world.later(60)
    handled(world, ann("c2"))
    world.done(report("c2", goal="address", agent_id="ada"))
    assert (goal(world, "c2").repeats, goal(world, "c1").repeated_by) == (None, None)
    world.done(report("c2", goal="refund", agent_id="ada"))
    assert (goal(world, "c2").repeats, goal(world, "c1").repeated_by) == ("c1", "c2")
    check_copies(world)


# --- what is kept -----------------------------------------------------------------------------------------------------
def test_the_oldest_goals_are_forgotten_by_number_and_by_age_and_open_ones_never() -> None:
    world = a_centre(kept_max=1_000, kept_s=8 * DAY_S)
    world.done(c.SetAgentState(agent_id="ada", state="not_ready"))  # type: ignore[arg-type]
    engine = Engine.restore(world.engine.snapshot())
    at_ms = world.at_ms
    engine.handle(ann("open", customer_id="c_open"), at_ms)
    for number in range(1_003):
        engine.handle(ann(f"n{number}", customer_id=f"c_{number}"), at_ms + number)
        engine.handle(c.AbandonContact(contact_id=f"n{number}"), at_ms + number)
    kept = engine.goals_of(["open", *(f"n{number}" for number in range(1_003))])
    assert len(kept) == 1_000 and "open" in kept and "n3" not in kept and "n4" in kept
    copy = Engine.restore(engine.snapshot())
    for one in (engine, copy):
        one.handle(ann("late"), at_ms + 9 * DAY_S * 1000)
        for number in range(400):
            one.handle(c.ReportGoal(contact_id="late", ease=1 + number % 7), at_ms + 9 * DAY_S * 1000)
    assert engine.digest() == copy.digest()
    assert set(engine.goals_of(["open", "late", "n1002"])) == {"open", "late"}


def test_a_contact_that_ends_in_the_step_in_which_the_oldest_are_forgotten_is_counted() -> None:
    world = a_world(with_goals(default="refund"))
    world.done(ann("old", ttl_s=9 * DAY_S))
    world.later(9 * DAY_S - 30)
    world.done(c.RequestContact(contact=ann("new", customer_id="c_bob", goal=None), token_hash=b"t", ask=True))
    # One command with all that is due, as after a stop: the option is taken, which names a goal, and the old contact ends.
    world.at_ms += 3_600_000
    assert {("new", "set"), ("old", "counted")} <= set(changes(world.do(c.AdvanceTime()).events))
    assert goal(world, "old").counted_at_ms == world.at_ms
    check_copies(world)


def test_an_incremental_snapshot_has_the_goals_as_they_were_when_it_began() -> None:
    engine = Engine.restore(a_centre().engine.snapshot())
    at_ms = engine.at_ms
    for number in range(300):
        engine.handle(ann(f"n{number}", customer_id=f"c_{number}"), at_ms)
        engine.handle(c.AbandonContact(contact_id=f"n{number}"), at_ms)
    before, image = engine.snapshot(), engine.incremental_snapshot()
    engine.handle(report("n0", outcome=DONE), at_ms)
    image.advance()
    engine.handle(report("n299", outcome=DONE), at_ms)
    engine.handle(ann("new"), at_ms)
    while image.advance():
        pass
    assert b"".join(image.parts()) == before != engine.snapshot()


def test_a_published_policy_without_a_goal_leaves_what_is_known_and_refuses_new_ones() -> None:
    world = a_centre()
    handled(world, ann("c1"))
    world.done(published(a_policy(queues={"support": a_queue(), "billing": a_queue()}), drain_to={}))
    assert goal(world, "c1").goal == "refund"
    world.done(report("c1", outcome=DONE, goal="refund"))
    assert world.refused(report("c1", goal="address")).code is RefusalCode.UNKNOWN_GOAL
