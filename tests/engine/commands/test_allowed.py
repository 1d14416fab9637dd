"""``allowed`` is true: in each state, each operation that is listed succeeds, and each other one is refused or has no effect.

The states are reached by commands. Each operation is tried on a copy of the engine, with a target that exists and has capacity, by
each requester: the owner of the contact, an agent in the conversation, one in wrap-up, the gateway and a supervisor.
"""

from typing import Any, Final

import pytest

from router.engine.engine import Engine
from router.engine.state.workspace import requester_for, situation_in
from router.model import commands as c
from router.model.commands import CallbackFields
from router.model.operations import OPERATIONS, Requester, allowed_operations
from router.model.policy import CallbackMode, CallbackPolicy
from router.model.results import Done, RefusalCode, Refused
from router.model.states import AssignmentState, CallbackOutcome, ChannelOutcome, IfUnable, MonitorMode, MonitorOutcome
from tests.support.builders import START_MS, a_channel, a_contact, a_policy, a_queue, an_agent, published, ready

STATE_CODES: Final = (
    RefusalCode.INVALID_CONTACT_STATE,
    RefusalCode.INVALID_ASSIGNMENT_STATE,
    RefusalCode.INVALID_CONSULT_STATE,
    RefusalCode.CALLBACK_EXISTS,
    RefusalCode.NOT_PARTICIPANT,
)
ACCEPT: Final = c.AcceptOffer(offer_id="c1.1", agent_id="ada")
CONSULT: Final = c.StartConsult(contact_id="c1", to_agent_id="bob", agent_id="ada")
ANSWER: Final = c.AcceptOffer(offer_id="c1.2", agent_id="bob")
JOIN: Final = c.JoinConsult(contact_id="c1", agent_id="ada")
TRANSFER: Final = c.TransferContact(contact_id="c1", to_agent_id="bob", agent_id="ada")
END: Final = c.EndContact(contact_id="c1", agent_id="ada")


def callback(mode: CallbackMode, at_ms: int | None = None) -> c.RequestCallback:
    return c.RequestCallback(contact_id="c1", callback=CallbackFields(mode=mode, at_ms=at_ms))


AGENT_FIRST: Final = callback(CallbackMode.AGENT_FIRST)
CUSTOMER_FIRST: Final = callback(CallbackMode.CUSTOMER_FIRST)
LATER: Final = callback(CallbackMode.AGENT_FIRST, START_MS + 60_000)


def outcome(what: CallbackOutcome) -> c.ReportCallback:
    return c.ReportCallback(contact_id="c1", outcome=what)


TAKEN_OVER: Final[tuple[c.Command, ...]] = (
    an_agent("bob", skills={"english": 5}),
    c.SetAgentChannels(agent_id="ada", paused=("chat",)),
    c.SwitchChannel(contact_id="c1", channel="chat", if_unable=IfUnable.QUEUE),
)
COMPLETE: Final = c.CompleteConsult(contact_id="c1", agent_id="ada")

LISTEN: Final = c.MonitorContact(contact_id="c1", supervisor_id="sue", mode=MonitorMode.LISTEN)
LISTENS: Final = c.ReportMonitor(
    contact_id="c1", supervisor_id="sue", mode=MonitorMode.LISTEN, outcome=MonitorOutcome.JOINED, gateway_id="web"
)
CONSULT_FOR_CHAT: Final[tuple[c.Command, ...]] = (
    an_agent("bob", skills={"english": 5}),
    c.SetAgentChannels(agent_id="ada", paused=("chat",)),
    c.SwitchChannel(contact_id="c1", channel="chat", if_unable=IfUnable.CONSULT),
)

# By name: whether ada is ready when the contact comes, and what happens then.
STATES: Final[dict[str, tuple[bool, tuple[c.Command, ...]]]] = {
    "queued": (False, ()),
    "offered": (True, ()),
    "active": (True, (ACCEPT,)),
    "on hold": (True, (ACCEPT, c.HoldAssignment(assignment_id="c1.1", agent_id="ada"))),
    "parked": (True, (ACCEPT, c.ParkAssignment(assignment_id="c1.1", agent_id="ada"))),
    "transfer pending": (True, (ACCEPT, TRANSFER)),
    "consult pending": (True, (ACCEPT, CONSULT)),
    "consult running": (True, (ACCEPT, CONSULT, ANSWER)),
    "conference": (True, (ACCEPT, CONSULT, ANSWER, JOIN)),
    "conference with a pending transfer": (
        True,
        (ACCEPT, CONSULT, ANSWER, JOIN, c.TransferContact(contact_id="c1", to_agent_id="cy", agent_id="ada")),
    ),
    "conference with a pending consult": (
        True,
        (ACCEPT, CONSULT, ANSWER, JOIN, c.StartConsult(contact_id="c1", to_agent_id="cy", agent_id="ada")),
    ),
    "wrap-up": (True, (ACCEPT, END)),
    "wrap-up after a transfer": (True, (ACCEPT, TRANSFER, ANSWER)),
    "completed": (True, (ACCEPT, END, c.CompleteAssignment(assignment_id="c1.1", agent_id="ada"))),
    "suspended": (False, (c.SuspendContact(contact_id="c1"),)),
    "suspended in a conversation": (True, (ACCEPT, c.SuspendContact(contact_id="c1", agent_id="ada"))),
    "resumed": (False, (c.SuspendContact(contact_id="c1"), c.ResumeContact(contact_id="c1"))),
    "switching": (True, (ACCEPT, c.SwitchChannel(contact_id="c1", channel="chat"))),
    "supervisor asked for": (True, (ACCEPT, LISTEN)),
    "supervisor listens": (True, (ACCEPT, LISTEN, LISTENS)),
    "waiting for a channel": (True, (ACCEPT, c.SwitchChannel(contact_id="c1", channel="film", if_unable=IfUnable.QUEUE))),
    "consult for a channel offered": (True, (ACCEPT, *CONSULT_FOR_CHAT)),
    "consult for a channel running": (True, (ACCEPT, *CONSULT_FOR_CHAT, ANSWER)),
    "conference on two channels": (True, (ACCEPT, *CONSULT_FOR_CHAT, ANSWER, JOIN)),
    "taken over on a channel": (True, (ACCEPT, *TAKEN_OVER, ANSWER)),
    "taken over on a channel, after a consult": (True, (ACCEPT, *CONSULT_FOR_CHAT, ANSWER, COMPLETE)),
    "taken over on a channel, in a conference": (True, (ACCEPT, *TAKEN_OVER, ANSWER, JOIN)),
    "cancelled": (False, (c.CancelContact(contact_id="c1"),)),
    "choosing": (False, ()),
    "callback waiting": (False, (AGENT_FIRST,)),
    "callback offered": (False, (AGENT_FIRST, ready("ada"))),
    "callback scheduled": (False, (LATER,)),
    "callback agent first, dialling": (False, (AGENT_FIRST, ready("ada"), ACCEPT)),
    "callback agent first, connected": (False, (AGENT_FIRST, ready("ada"), ACCEPT, outcome(CallbackOutcome.CONNECTED))),
    "callback customer first, dialling": (False, (CUSTOMER_FIRST, ready("ada"))),
    "callback customer first, connected": (False, (CUSTOMER_FIRST, ready("ada"), outcome(CallbackOutcome.CONNECTED))),
    "callback to be tried again": (False, (CUSTOMER_FIRST, ready("ada"), outcome(CallbackOutcome.BUSY))),
}


def a_centre(name: str) -> Engine:
    """Return an engine in which the contact c1 is in a state; bob and cy can take whatever they are asked for."""
    policy = a_policy(
        channels={
            "voice": a_channel(units=10, per_agent_max=5, wrap_up_s=30, wrap_up_max_s=600, participants_max=3),
            "chat": a_channel(units=10),
            "video": a_channel(units=10),
            "film": a_channel(units=200),
        },
        queues={
            "support": a_queue(cool_down_s=0, requires={"english": 5}, callback=CallbackPolicy(attempts_max=3)),
            "sales": a_queue(requires={"english": 5}),
        },
    )
    engine, (is_ready, then) = Engine(), STATES[name]
    commands = [
        published(policy),
        an_agent("ada", skills={"english": 5}),
        *((ready("ada"),) if is_ready else ()),
        *(command for other in ("bob", "cy", "dee") for command in (an_agent(other), ready(other))),
        c.RequestContact(contact=a_contact("c1", gateway_id="web"), token_hash=b"h")
        if name == "choosing"
        else a_contact("c1", gateway_id="web"),
        *then,
    ]
    for command in commands:
        answer = engine.handle(command, START_MS).result
        assert isinstance(answer, Done), (command, answer)
    return engine


def as_owner(contact_id: str, agent_id: str, work: str) -> dict[str, c.Command]:
    by: dict[str, Any] = {"contact_id": contact_id, "agent_id": agent_id}
    on = {"assignment_id": work, "agent_id": agent_id}
    return {
        "hold": c.HoldAssignment(**on),
        "unhold": c.ResumeAssignment(**on),
        "park": c.ParkAssignment(**on),
        "unpark": c.UnparkAssignment(**on),
        "suspend": c.SuspendContact(**by),
        "switch_channel": c.SwitchChannel(**by, channel="video"),
        "extend_wrap_up": c.ExtendWrapUp(**on, extend_s=5),
        "complete": c.CompleteAssignment(**on),
        "end": c.EndContact(**by),
        "transfer": c.TransferContact(**by, to_agent_id="dee"),
        "transfer_to_queue": c.TransferContact(**by, to_queue_id="sales"),
        "transfer_cancel": c.CancelTransfer(**by),
        "consult": c.StartConsult(**by, to_agent_id="dee"),
        "consult_complete": c.CompleteConsult(**by),
        "consult_cancel": c.CancelConsult(**by),
        "conference": c.JoinConsult(**by),
        "hand_over": c.HandOverContact(**by, to_agent_id="bob"),
        "leave": c.LeaveContact(**by),
    }


def from_outside(contact_id: str, gateway_id: str | None, now_ms: int) -> dict[str, c.Command]:
    by: dict[str, Any] = {"contact_id": contact_id, "gateway_id": gateway_id}
    of: dict[str, Any] = {"contact_id": contact_id}
    return {
        "update": c.UpdateContact(**by, priority_s=17),
        "cancel": c.CancelContact(**by),
        "abandon": c.AbandonContact(**by),
        "end": c.EndContact(**by),
        "park_contact": c.ParkContact(**by),
        "unpark_contact": c.UnparkContact(**by),
        "suspend": c.SuspendContact(**by),
        "resume_contact": c.ResumeContact(**by),
        "switch_channel": c.SwitchChannel(**by, channel="video"),
        "monitor": c.MonitorContact(**of, supervisor_id="sue", mode=MonitorMode.BARGE),
        "stop_monitoring": c.StopMonitoring(**of, supervisor_id="sue"),
        "monitor_result": c.ReportMonitor(**by, supervisor_id="sue", mode=MonitorMode.LISTEN, outcome=MonitorOutcome.LEFT),
        "channel_result": c.ReportChannel(**by, outcome=ChannelOutcome.CONNECTED),
        "callback": c.RequestCallback(**by, callback=CallbackFields(at_ms=now_ms + 90_000)),
        "callback_move": c.MoveCallback(**by, at_ms=now_ms + 90_000),
        "callback_claim": c.ClaimCallback(**by, claimant="pod-1"),
        "callback_result": c.ReportCallback(**by, outcome=CallbackOutcome.BUSY),
        "choose": c.ChooseOption(**by, option="now"),
        "requeue": c.RequeueContact(**of, queue_id="sales"),
        "assign": c.AssignContact(**of, agent_id="dee"),
        "transfer": c.TransferContact(**of, to_agent_id="dee"),
        "transfer_to_queue": c.TransferContact(**of, to_queue_id="sales"),
        "transfer_cancel": c.CancelTransfer(**of),
        "consult": c.StartConsult(**of, to_agent_id="dee"),
        "consult_complete": c.CompleteConsult(**of),
        "consult_cancel": c.CancelConsult(**of),
        "conference": c.JoinConsult(**of),
        "hand_over": c.HandOverContact(**of, to_agent_id="bob"),
        "add_participant": c.AddParticipant(**of, agent_id="dee"),
        "remove_participant": c.LeaveContact(**of, agent_id="bob", reason="removed"),
    }


def check(engine: Engine, allowed: tuple[str, ...], commands: dict[str, c.Command], requester: Requester) -> None:
    """Try every operation of a requester on a copy of the engine."""
    image, now_ms = engine.snapshot(), engine.at_ms
    for name in OPERATIONS[requester]:
        if name == "transfer_to_queue" and "transfer" in allowed:
            continue  # ``transfer`` stands for both targets.
        answer = Engine.restore(image).handle(commands[name], now_ms).result
        if name in allowed:
            assert isinstance(answer, Done) and not answer.replayed, f"{name} is listed for the {requester}: {answer}"
        elif isinstance(answer, Refused):
            assert answer.code in STATE_CODES, f"{name} of the {requester}: {answer}"
            if answer.code is not RefusalCode.NOT_PARTICIPANT:
                assert answer.allowed == allowed, f"{name} of the {requester} tells another list"
        else:
            assert answer.replayed, f"{name} succeeds and is not listed for the {requester}"


@pytest.mark.parametrize("name", STATES)
@pytest.mark.parametrize("requester", [Requester.GATEWAY, Requester.SUPERVISOR])
def test_what_a_gateway_or_supervisor_is_told(name: str, requester: Requester) -> None:
    engine = a_centre(name)
    state = engine._state
    allowed = allowed_operations(situation_in(state, state.contacts["c1"]), requester)
    gateway_id = "web" if requester is Requester.GATEWAY else None
    check(engine, allowed, from_outside("c1", gateway_id, engine.at_ms), requester)


@pytest.mark.parametrize("name", STATES)
def test_what_the_agents_of_the_contact_are_told(name: str) -> None:
    engine = a_centre(name)
    state = engine._state
    for agent_id in ("ada", "bob"):
        view = engine.agent(agent_id)
        assert view is not None
        for work in view.assignments:
            requester = requester_for(state.contacts["c1"], state.assignments[work.assignment_id])
            assert (requester is Requester.WRAP_UP) is (work.state is AssignmentState.WRAP_UP)
            check(engine, work.allowed, as_owner("c1", agent_id, work.assignment_id), requester)


def test_every_operation_is_allowed_in_some_state() -> None:
    """The table has no entry that can never be true, and the states above reach all of them."""
    seen: set[tuple[Requester, str]] = set()
    for name in STATES:
        state = a_centre(name)._state
        contact = state.contacts["c1"]
        for requester in (Requester.OWNER, Requester.GATEWAY, Requester.SUPERVISOR):
            seen |= {(requester, one) for one in allowed_operations(situation_in(state, contact), requester)}
    for requester in (Requester.OWNER, Requester.GATEWAY, Requester.SUPERVISOR):
        assert {one for by, one in seen if by is requester} == set(OPERATIONS[requester])
