"""Supervisors who listen, whisper and barge: how they join, change the mode and leave, and what ends it for them."""

from typing import Any

import pytest
from msgspec import structs

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.filters import SupervisorScope
from router.model.policy import CallbackMode, CallbackPolicy, MonitoringPolicy
from router.model.results import RefusalCode
from router.model.states import CallbackOutcome, ChannelOutcome, MonitorMode, MonitorOutcome
from tests.support.builders import a_channel, a_contact, a_policy, a_queue, an_agent, published, ready
from tests.support.world import World, a_world

LISTEN, WHISPER, BARGE = MonitorMode.LISTEN, MonitorMode.WHISPER, MonitorMode.BARGE
JOINED, FAILED, LEFT = MonitorOutcome.JOINED, MonitorOutcome.FAILED, MonitorOutcome.LEFT
AT_VOICE = SupervisorScope(queues=("support",), teams=("red",))


def monitor(mode: MonitorMode = LISTEN, name: str = "sue", contact_id: str = "c1", **more: Any) -> c.MonitorContact:
    return c.MonitorContact(contact_id=contact_id, supervisor_id=name, mode=mode, **more)


def report(
    outcome: MonitorOutcome,
    mode: MonitorMode = LISTEN,
    name: str = "sue",
    *,
    contact_id: str = "c1",
    gateway_id: str | None = "web",
) -> c.ReportMonitor:
    return c.ReportMonitor(contact_id=contact_id, supervisor_id=name, mode=mode, outcome=outcome, gateway_id=gateway_id)


def talking(terms: MonitoringPolicy | None = None, *, of_queue: MonitoringPolicy | None = None) -> World:
    """Let ada of the red team talk on c1; bob is ready as well."""
    policy = a_policy(
        channels={"voice": a_channel(), "chat": a_channel(units=30, per_agent_max=3)},
        queues={"support": a_queue(monitoring=of_queue), "sales": a_queue()},
        monitoring=terms or MonitoringPolicy(),
    )
    ada = an_agent("ada", team="red")
    return a_world(
        policy,
        *(ada, ready("ada"), a_contact("c1", channel="chat", gateway_id="web")),
        *(c.AcceptOffer(offer_id="c1.1", agent_id="ada"), an_agent("bob"), ready("bob")),
    )


def listening(mode: MonitorMode = LISTEN, terms: MonitoringPolicy | None = None, **more: Any) -> World:
    world = talking(terms)
    world.done_all(monitor(mode, **more), report(JOINED, mode))
    return world


def monitors_of(engine: Engine, contact_id: str = "c1") -> dict[str, tuple[MonitorMode | None, MonitorMode | None]]:
    view = engine.contact(contact_id)
    assert view is not None
    return {one.supervisor_id: (one.mode, one.wanted) for one in view.monitors}


def shown_to(world: World, agent_id: str = "ada") -> dict[str, MonitorMode]:
    view = world.engine.agent(agent_id)
    assert view is not None
    return view.assignments[0].monitors


def ends(events: list[e.Event]) -> list[tuple[type, str]]:
    return [(type(one), one.reason) for one in events if isinstance(one, e.ContactMonitorLeft | e.ContactMonitorFailed)]


def test_a_supervisor_joins_when_the_gateway_has_connected_them() -> None:
    world = talking()
    (asked,) = world.done(monitor())
    assert isinstance(asked, e.ContactMonitorRequested)
    assert (asked.gateway_id, asked.owner_agent_id, asked.present_mode, asked.deadline_ms) == (
        "web",
        "ada",
        None,
        world.at_ms + 30_000,
    )
    assert monitors_of(world.engine) == {"sue": (None, LISTEN)} and shown_to(world) == {}
    (joined,) = world.done(report(JOINED))
    assert isinstance(joined, e.ContactMonitorJoined) and joined.agent_id == "ada"
    assert monitors_of(world.engine) == {"sue": (LISTEN, None)} and shown_to(world) == {"sue": LISTEN}
    assert world.done(report(JOINED)) == [] == world.done(monitor()), "a repeat changes nothing"


def test_the_mode_changes_without_leaving_and_stands_until_the_gateway_has_changed_it() -> None:
    world = listening()
    (asked,) = world.done(monitor(BARGE))
    assert isinstance(asked, e.ContactMonitorRequested) and (asked.present_mode, asked.mode) == (LISTEN, BARGE)
    assert monitors_of(world.engine) == {"sue": (LISTEN, BARGE)} and shown_to(world) == {"sue": LISTEN}
    assert world.refused(report(JOINED, WHISPER)).code is RefusalCode.INVALID_CONTACT_STATE, "an answer to no request"
    (joined,) = world.done(report(JOINED, BARGE))
    assert isinstance(joined, e.ContactMonitorJoined) and (joined.from_mode, joined.mode) == (LISTEN, BARGE)
    assert shown_to(world) == {"sue": BARGE}


@pytest.mark.parametrize(("how", "reason"), [(report(FAILED, BARGE), "failed"), (None, "timeout")])
def test_a_failed_change_leaves_the_mode_and_a_failed_start_leaves_nothing(how: c.Command | None, reason: str) -> None:
    for world, stays in ((listening(), LISTEN), (talking(), None)):
        world.done(monitor(BARGE))
        events = world.done(how) if how else world.later(30)
        assert ends(events) == [(e.ContactMonitorFailed, reason)]
        assert monitors_of(world.engine) == ({} if stays is None else {"sue": (LISTEN, None)})


def test_a_supervisor_leaves_is_removed_or_hangs_up() -> None:
    for command, reason in (
        (c.StopMonitoring(contact_id="c1", supervisor_id="sue"), "left"),
        (c.StopMonitoring(contact_id="c1", supervisor_id="sue", reason="removed"), "removed"),
        (report(LEFT), "disconnected"),
    ):
        world = listening()
        joined_at_ms = world.at_ms
        world.jump(5)
        (left,) = world.done(command)
        assert isinstance(left, e.ContactMonitorLeft)
        assert (left.reason, left.joined_at_ms, left.owner_agent_id, left.mode) == (reason, joined_at_ms, "ada", LISTEN)
        assert world.done(command) == [] and monitors_of(world.engine) == {} and shown_to(world) == {}


TO_BOB = (c.TransferContact(contact_id="c1", to_agent_id="bob", agent_id="ada"), c.AcceptOffer(offer_id="c1.2", agent_id="bob"))
CONFERENCE = (
    c.StartConsult(contact_id="c1", to_agent_id="bob", agent_id="ada"),
    c.AcceptOffer(offer_id="c1.2", agent_id="bob"),
    c.JoinConsult(contact_id="c1", agent_id="ada"),
)


@pytest.mark.parametrize(
    ("commands", "reason"),
    [
        ((c.EndContact(contact_id="c1"),), "contact_ended"),
        ((c.CompleteAssignment(assignment_id="c1.1", agent_id="ada"),), "contact_ended"),
        ((c.RequeueContact(contact_id="c1"),), "owner_changed"),
        (TO_BOB, "owner_changed"),
        ((c.AssignContact(contact_id="c1", agent_id="bob"),), "owner_changed"),
        ((*CONFERENCE, c.HandOverContact(contact_id="c1", to_agent_id="bob", agent_id="ada")), "owner_changed"),
        ((c.SuspendContact(contact_id="c1"),), "owner_changed"),
        (
            (c.SwitchChannel(contact_id="c1", channel="voice"), c.ReportChannel(contact_id="c1", outcome=ChannelOutcome.CONNECTED)),
            "channel_changed",
        ),
    ],
)
def test_what_ends_the_conversation_ends_it_for_the_supervisor_in_the_same_step(
    commands: tuple[c.Command, ...], reason: str
) -> None:
    world = listening()
    world.done_all(monitor(BARGE, "tom"), *commands[:-1])
    assert set(monitors_of(world.engine)) == {"sue", "tom"}
    events = world.done(commands[-1])
    assert ends(events) == [(e.ContactMonitorLeft, reason), (e.ContactMonitorFailed, reason)]
    assert monitors_of(world.engine) == {}


def test_a_conference_that_stays_with_its_owner_goes_on() -> None:
    world = listening()
    world.done_all(*CONFERENCE, c.LeaveContact(contact_id="c1", agent_id="bob"))
    assert monitors_of(world.engine) == {"sue": (LISTEN, None)}


def test_a_lost_desktop_that_requeues_the_contact_ends_it() -> None:
    world = listening()
    world.done_all(c.ConnectDesktop(agent_id="ada", session_id="s"), c.LoseDesktop(agent_id="ada", session_id="s"))
    world.later(60)
    view = world.engine.contact("c1")
    assert view is not None and (view.agent_id == "ada") is bool(view.monitors)


def test_a_contact_that_is_not_kept_after_its_end_ends_it_too() -> None:
    world = listening()
    policy = world.engine.policy
    assert policy is not None
    world.done(published(structs.replace(policy, retention=structs.replace(policy.retention, ended_contacts_max=0))))
    events = world.done(c.EndContact(contact_id="c1"))
    assert ends(events) == [(e.ContactMonitorLeft, "contact_ended")]
    assert world.engine.check_invariants() == [] and world.replayed().digest() == world.engine.digest()


def test_the_time_ends_with_the_token_and_moves_with_a_newer_one() -> None:
    world = talking()
    world.done_all(monitor(until_ms=world.at_ms + 60_000), report(JOINED))
    (renewed,) = world.done(monitor(until_ms=world.at_ms + 90_000))
    assert isinstance(renewed, e.ContactMonitorRenewed) and renewed.until_ms == world.at_ms + 90_000
    assert world.later(89) == [] == world.done(monitor(until_ms=world.at_ms + 1_500)), "within a second it is the same end"
    assert ends(world.later(1)) == [(e.ContactMonitorLeft, "expired")]


def test_the_policy_limits_the_time_however_long_the_token_lives() -> None:
    world = listening(terms=MonitoringPolicy(duration_max_s=60), until_ms=10**15)
    world.later(30)
    world.done(monitor(until_ms=10**15 + 5_000))
    assert ends(world.later(31)) == [(e.ContactMonitorLeft, "expired")]


def test_what_is_out_of_scope_looks_unknown_and_what_leaves_the_scope_ends() -> None:
    world = talking()
    for scope in (SupervisorScope(queues=("sales",)), SupervisorScope(teams=("blue",))):
        refused = world.refused(monitor(scope=scope))
        assert refused == world.refused(monitor(contact_id="none", scope=scope)) and refused.code is RefusalCode.UNKNOWN_CONTACT
    world.done_all(monitor(scope=AT_VOICE), report(JOINED))
    events = world.done(c.UpdateAgent(agent_id="ada", team="blue"))
    assert ends(events) == [(e.ContactMonitorLeft, "out_of_scope")]


def test_a_newer_token_with_another_scope_counts() -> None:
    world = listening(scope=AT_VOICE)
    (renewed,) = world.done(monitor(scope=SupervisorScope(queues=("support",))))
    assert isinstance(renewed, e.ContactMonitorRenewed)
    assert ends(world.done(c.UpdateAgent(agent_id="ada", team="blue"))) == []


def test_modes_that_the_policy_does_not_permit_are_refused_and_ended() -> None:
    world = listening(BARGE, MonitoringPolicy(modes=(LISTEN, BARGE)))
    refused = world.refused(monitor(WHISPER))
    assert (refused.code, refused.field, refused.allowed) == (RefusalCode.MONITORING_NOT_ALLOWED, "mode", (LISTEN, BARGE))
    policy = world.engine.policy
    assert policy is not None
    events = world.done(published(structs.replace(policy, monitoring=MonitoringPolicy(modes=(LISTEN,)))))
    assert ends(events) == [(e.ContactMonitorLeft, "policy")]


def test_the_terms_of_a_queue_replace_those_of_the_policy() -> None:
    world = talking(MonitoringPolicy(), of_queue=MonitoringPolicy(modes=()))
    assert world.refused(monitor()).code is RefusalCode.MONITORING_NOT_ALLOWED


def test_a_hidden_supervisor_is_shown_to_no_agent_and_ends_when_the_policy_shows_them() -> None:
    hidden = MonitoringPolicy(agent_sees=False)
    world = listening(terms=hidden)
    (asked, joined) = [event for _, _, events in world.records[-2:] for event in events]
    assert isinstance(asked, e.ContactMonitorRequested) and asked.is_hidden
    assert isinstance(joined, e.ContactMonitorJoined) and joined.agent_id is None and joined.owner_agent_id == "ada"
    assert shown_to(world) == {} and monitors_of(world.engine) == {"sue": (LISTEN, None)}
    policy = world.engine.policy
    assert policy is not None
    (_, left) = world.done(published(structs.replace(policy, monitoring=MonitoringPolicy())))
    assert isinstance(left, e.ContactMonitorLeft) and (left.reason, left.agent_id) == ("policy", None)


def test_there_are_limits_for_a_conversation_and_for_a_supervisor() -> None:
    world = talking(MonitoringPolicy(monitors_max=2, contacts_max=1))
    world.done_all(monitor(name="sue"), monitor(name="tom"), a_contact("c2", channel="chat"))
    assert world.refused(monitor(name="una")).code is RefusalCode.MONITOR_LIMIT_EXCEEDED
    world.done(c.AssignContact(contact_id="c2", agent_id="bob"))
    assert world.refused(monitor(name="sue", contact_id="c2")).code is RefusalCode.MONITOR_LIMIT_EXCEEDED
    world.done_all(c.StopMonitoring(contact_id="c1", supervisor_id="sue"), monitor(name="sue", contact_id="c2"))


def test_nothing_but_a_conversation_can_be_joined() -> None:
    world = talking()
    for contact_id, commands in (
        ("waits", (a_contact("waits", channel="voice", queue_id="sales", skills={}),)),
        ("c1", (c.ParkContact(contact_id="c1"),)),
        ("c1", (c.EndContact(contact_id="c1"),)),
    ):
        world.done_all(*commands)
        refused = world.refused(monitor(contact_id=contact_id))
        assert refused.code is RefusalCode.INVALID_CONTACT_STATE and "monitor" not in refused.allowed
    assert world.refused(monitor(contact_id="none")).code is RefusalCode.UNKNOWN_CONTACT


def test_another_gateway_cannot_report() -> None:
    world = talking()
    world.done(monitor())
    assert world.refused(report(JOINED, gateway_id="other")).code is RefusalCode.UNKNOWN_CONTACT
    world.done(report(JOINED, gateway_id=None))


def test_no_capacity_is_taken() -> None:
    world = talking()
    agents = [world.engine.agent(name) for name in ("ada", "bob")]
    world.done_all(monitor(BARGE), report(JOINED, BARGE))
    for before in agents:
        assert before is not None
        after = world.engine.agent(before.agent_id)
        assert after is not None and (after.units_used, after.available_channels) == (before.units_used, before.available_channels)


def test_snapshot_and_replay_keep_it_with_its_deadlines() -> None:
    world = listening(until_ms=10**15, scope=AT_VOICE)
    world.done_all(monitor(BARGE), monitor(LISTEN, "tom"))
    for engine in (Engine.restore(world.engine.snapshot()), world.replayed()):
        assert engine.digest() == world.engine.digest() and engine.check_invariants() == []
        assert monitors_of(engine) == {"sue": (LISTEN, BARGE), "tom": (None, LISTEN)}
        assert engine.next_deadline_ms() == world.engine.next_deadline_ms() == world.at_ms + 30_000
        outcome = engine.handle(c.AdvanceTime(), world.at_ms + 30_000)
        assert ends(outcome.events) == [(e.ContactMonitorFailed, "timeout")] * 2
        assert monitors_of(engine) == {"sue": (LISTEN, None)}


def test_a_callback_is_joined_once_its_customer_is_on_the_line() -> None:
    world = a_world(
        a_policy(queues={"support": a_queue(callback=CallbackPolicy())}),
        an_agent("ada"),
        a_contact("c1", gateway_id="web"),
        c.RequestCallback(contact_id="c1", callback=c.CallbackFields(mode=CallbackMode.AGENT_FIRST)),
        ready("ada"),
        c.AcceptOffer(offer_id="c1.1", agent_id="ada"),
    )
    assert world.refused(monitor()).code is RefusalCode.INVALID_CONTACT_STATE
    world.done_all(c.ReportCallback(contact_id="c1", outcome=CallbackOutcome.CONNECTED), monitor(), report(JOINED))
