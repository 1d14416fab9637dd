"""Client frames and the commands that they stand for."""

from typing import Any, get_args

import msgspec
import pytest

from router.model import commands as c
from router.model.commands import Command
from router.model.states import AgentState, CallbackOutcome, ChannelOutcome, GoalOutcome, IfUnable, MonitorMode, MonitorOutcome
from router.protocol import frames as f
from router.protocol.session import Endpoint

ON_CONTACT: Any = {"id": "1", "contact_id": "c1"}
ON_OFFER: Any = {"id": "1", "offer_id": "c1.1"}
ON_ASSIGNMENT: Any = {"id": "1", "assignment_id": "c1.1"}

# Frames of an agent "ada" and the commands.
DESKTOP: list[tuple[f.CommandFrame, Command]] = [
    (
        f.ReportGoalFrame(id="1", contact_id="c1", goal="refund", outcome=GoalOutcome.PARTLY),
        c.ReportGoal(contact_id="c1", goal="refund", outcome=GoalOutcome.PARTLY, agent_id="ada"),
    ),
    (
        f.SetStateFrame(id="1", state=AgentState.NOT_READY, reason="break", after_work=True),
        c.SetAgentState(agent_id="ada", state=AgentState.NOT_READY, reason="break", after_work=True),
    ),
    (f.AcceptFrame(**ON_OFFER), c.AcceptOffer(offer_id="c1.1", agent_id="ada")),
    (f.DeclineFrame(**ON_OFFER, reason="busy"), c.DeclineOffer(offer_id="c1.1", agent_id="ada", reason="busy")),
    (f.HoldFrame(**ON_ASSIGNMENT), c.HoldAssignment(assignment_id="c1.1", agent_id="ada")),
    (f.UnholdFrame(**ON_ASSIGNMENT), c.ResumeAssignment(assignment_id="c1.1", agent_id="ada")),
    (f.ParkFrame(**ON_ASSIGNMENT), c.ParkAssignment(assignment_id="c1.1", agent_id="ada")),
    (f.UnparkFrame(**ON_ASSIGNMENT), c.UnparkAssignment(assignment_id="c1.1", agent_id="ada")),
    (f.SetChannelsFrame(id="1", paused=("chat",)), c.SetAgentChannels(agent_id="ada", paused=("chat",))),
    (f.EndFrame(**ON_CONTACT, reason="done"), c.EndContact(contact_id="c1", agent_id="ada", reason="done")),
    (f.ExtendWrapUpFrame(**ON_ASSIGNMENT, extend_s=30), c.ExtendWrapUp(assignment_id="c1.1", agent_id="ada", extend_s=30)),
    (
        f.CompleteFrame(**ON_ASSIGNMENT, disposition="solved"),
        c.CompleteAssignment(assignment_id="c1.1", agent_id="ada", disposition="solved"),
    ),
    (
        f.TransferFrame(**ON_CONTACT, to_agent_id="bob", wait_s=60, return_to_sender_s=30),
        c.TransferContact(contact_id="c1", to_agent_id="bob", agent_id="ada", wait_s=60, return_to_sender_s=30),
    ),
    (f.ConsultFrame(**ON_CONTACT, to_queue_id="legal"), c.StartConsult(contact_id="c1", to_queue_id="legal", agent_id="ada")),
    (f.CancelTransferFrame(**ON_CONTACT), c.CancelTransfer(contact_id="c1", agent_id="ada")),
    (f.CompleteConsultFrame(**ON_CONTACT), c.CompleteConsult(contact_id="c1", agent_id="ada")),
    (f.CancelConsultFrame(**ON_CONTACT), c.CancelConsult(contact_id="c1", agent_id="ada")),
    (f.ConferenceFrame(**ON_CONTACT), c.JoinConsult(contact_id="c1", agent_id="ada")),
    (f.LeaveFrame(**ON_CONTACT), c.LeaveContact(contact_id="c1", agent_id="ada", reason="left")),
    (f.HandOverFrame(**ON_CONTACT, to_agent_id="bob"), c.HandOverContact(contact_id="c1", to_agent_id="bob", agent_id="ada")),
]

# Frames of a gateway "pbx" and the commands.
GATEWAY: list[tuple[f.CommandFrame, Command]] = [
    (
        f.ReportGoalFrame(id="1", contact_id="c1", effort=2, satisfaction=None),
        c.ReportGoal(contact_id="c1", effort=2, satisfaction=None, gateway_id="pbx"),
    ),
    (
        f.UpdateFrame(**ON_CONTACT, priority_s=30, skills={"german": 5}),
        c.UpdateContact(contact_id="c1", gateway_id="pbx", priority_s=30, skills={"german": 5}),
    ),
    (f.CancelFrame(**ON_CONTACT, reason="solved"), c.CancelContact(contact_id="c1", gateway_id="pbx", reason="solved")),
    (f.AbandonFrame(**ON_CONTACT), c.AbandonContact(contact_id="c1", gateway_id="pbx")),
    (f.EndFrame(**ON_CONTACT), c.EndContact(contact_id="c1", gateway_id="pbx")),
    (f.ParkContactFrame(**ON_CONTACT), c.ParkContact(contact_id="c1", gateway_id="pbx")),
    (f.UnparkContactFrame(**ON_CONTACT), c.UnparkContact(contact_id="c1", gateway_id="pbx")),
    (
        f.MonitorResultFrame(**ON_CONTACT, supervisor_id="sue", mode=MonitorMode.BARGE, outcome=MonitorOutcome.FAILED),
        c.ReportMonitor(
            contact_id="c1", gateway_id="pbx", supervisor_id="sue", mode=MonitorMode.BARGE, outcome=MonitorOutcome.FAILED
        ),
    ),
    (
        f.SwitchChannelFrame(**ON_CONTACT, channel="voice", reference="call-9", if_unable=IfUnable.QUEUE),
        c.SwitchChannel(contact_id="c1", gateway_id="pbx", channel="voice", reference="call-9", if_unable=IfUnable.QUEUE),
    ),
    (
        f.ChannelResultFrame(**ON_CONTACT, outcome=ChannelOutcome.FAILED),
        c.ReportChannel(contact_id="c1", gateway_id="pbx", outcome=ChannelOutcome.FAILED),
    ),
    (f.SuspendFrame(**ON_CONTACT, resume_by_ms=7), c.SuspendContact(contact_id="c1", gateway_id="pbx", resume_by_ms=7)),
    (
        f.ResumeContactFrame(**ON_CONTACT, channel="voice", reference="call-9"),
        c.ResumeContact(contact_id="c1", gateway_id="pbx", channel="voice", reference="call-9"),
    ),
    (
        f.CallbackFrame(**ON_CONTACT, channel="voice", at_ms=7),
        c.RequestCallback(contact_id="c1", gateway_id="pbx", callback=c.CallbackFields(channel="voice", at_ms=7)),
    ),
    (
        f.MoveCallbackFrame(**ON_CONTACT, at_ms=7, until_ms=9),
        c.MoveCallback(contact_id="c1", gateway_id="pbx", at_ms=7, until_ms=9),
    ),
    (
        f.ClaimCallbackFrame(**ON_CONTACT, claimant="pod-1", lease_s=5),
        c.ClaimCallback(contact_id="c1", gateway_id="pbx", claimant="pod-1", lease_s=5),
    ),
    (
        f.CallbackResultFrame(**ON_CONTACT, outcome=CallbackOutcome.BUSY, attempt=2),
        c.ReportCallback(contact_id="c1", gateway_id="pbx", outcome=CallbackOutcome.BUSY, attempt=2),
    ),
]

# Frames that only a supervisor sends, and the commands.
SUPERVISOR: list[tuple[f.CommandFrame, Command]] = [
    (
        f.MonitorFrame(**ON_CONTACT, mode=MonitorMode.WHISPER),
        c.MonitorContact(contact_id="c1", supervisor_id="sue", mode=MonitorMode.WHISPER),
    ),
    (f.StopMonitoringFrame(**ON_CONTACT), c.StopMonitoring(contact_id="c1", supervisor_id="sue")),
    (
        f.StopMonitoringFrame(**ON_CONTACT, supervisor_id="tom"),
        c.StopMonitoring(contact_id="c1", supervisor_id="tom", reason="removed"),
    ),
    (f.RequeueFrame(**ON_CONTACT, queue_id="support"), c.RequeueContact(contact_id="c1", queue_id="support")),
    (f.AssignFrame(**ON_CONTACT, agent_id="bob"), c.AssignContact(contact_id="c1", agent_id="bob")),
    (f.AddParticipantFrame(**ON_CONTACT, agent_id="bob"), c.AddParticipant(contact_id="c1", agent_id="bob")),
    (f.RemoveParticipantFrame(**ON_CONTACT, agent_id="bob"), c.LeaveContact(contact_id="c1", agent_id="bob", reason="removed")),
    (
        f.SetAgentStateFrame(id="1", agent_id="bob", state=AgentState.OFFLINE),
        c.SetAgentState(agent_id="bob", state=AgentState.OFFLINE),
    ),
    (f.SetAgentChannelsFrame(id="1", agent_id="bob", paused=("chat",)), c.SetAgentChannels(agent_id="bob", paused=("chat",))),
]
# Frames of the customer of the contact "c1" and the commands.
CUSTOMER: list[tuple[f.CommandFrame, Command]] = [
    (f.ChooseFrame(id="1", option="chat"), c.ChooseOption(contact_id="c1", option="chat")),
    (f.CancelRequestFrame(id="1"), c.CancelRequest(contact_id="c1")),
    (f.SuspendRequestFrame(id="1"), c.SuspendContact(contact_id="c1")),
    (f.ResumeRequestFrame(id="1", channel="chat"), c.ResumeContact(contact_id="c1", channel="chat")),
    (
        f.SwitchRequestChannelFrame(id="1", channel="chat"),
        c.SwitchChannel(contact_id="c1", channel="chat", if_unable=IfUnable.QUEUE, by_customer=True),
    ),
    (
        f.AnswerFrame(id="1", outcome=GoalOutcome.DONE, ease=6),
        c.ReportGoal(contact_id="c1", outcome=GoalOutcome.DONE, ease=6, is_customer=True),
    ),
]
# Frames of the session, a query, and the submit, which also needs a contact id.
WITHOUT_COMMAND = {
    *(f.HelloFrame, f.RefreshFrame, f.PingFrame, f.ExpectedWaitFrame, f.WatchCardFrame, f.WatchStatisticsFrame, f.SubmitFrame)
}
COMMAND_FRAMES = sorted(
    {kind for endpoint in Endpoint for kind in get_args(endpoint.client_frames)} - WITHOUT_COMMAND, key=lambda kind: kind.__name__
)


# The supervisor, and how long they may stay, come from the credential; who leaves decides the reason.
_OF_MONITORING: dict[type, set[str]] = {f.MonitorFrame: {"supervisor_id", "until_ms", "scope"}, f.StopMonitoringFrame: {"reason"}}


def _name(value: Any) -> str:
    return type(value).__name__ if isinstance(value, f.CommandFrame) else ""


@pytest.mark.parametrize(("frame", "command"), DESKTOP, ids=_name)
def test_a_desktop_frame_is_its_command_by_that_agent(frame: f.CommandFrame, command: Command) -> None:
    assert frame.to_command(agent_id="ada") == command


@pytest.mark.parametrize(("frame", "command"), GATEWAY, ids=_name)
def test_a_gateway_frame_is_its_command_by_that_gateway(frame: f.CommandFrame, command: Command) -> None:
    assert frame.to_command(gateway_id="pbx") == command


@pytest.mark.parametrize(("frame", "command"), SUPERVISOR, ids=_name)
def test_a_supervisor_frame_is_its_command(frame: f.CommandFrame, command: Command) -> None:
    assert frame.to_command(supervisor_id="sue") == command


@pytest.mark.parametrize(("frame", "command"), CUSTOMER, ids=_name)
def test_a_customer_frame_is_its_command_on_that_contact(frame: f.CommandFrame, command: Command) -> None:
    assert frame.to_command(contact_id="c1") == command


def test_every_command_frame_has_an_example() -> None:
    examples = {type(frame) for frame, _ in (*DESKTOP, *GATEWAY, *SUPERVISOR, *CUSTOMER)}
    assert examples == set(COMMAND_FRAMES)


@pytest.mark.parametrize("kind", COMMAND_FRAMES)
def test_a_frame_declares_fields_of_its_command_and_an_id(kind: type[f.CommandFrame]) -> None:
    fields = {one.name: one for one in msgspec.structs.fields(kind.command)}
    if kind is f.CallbackFrame:
        fields |= {one.name: one for one in msgspec.structs.fields(c.CallbackFields)}
        del fields["callback"]
    declared = set(kind.__struct_fields__) - {"id", "idempotency_key", "if_match"}
    assert declared <= fields.keys()
    left = fields.keys() - declared - kind.fixed.keys()
    # Facts of customers come from the router itself; a customer names no contact and sets no terms.
    if kind not in {type(frame) for frame, _ in CUSTOMER}:
        assert left <= {"agent_id", "gateway_id", "customer_facts", "by_customer", "is_customer"} | _OF_MONITORING.get(kind, set())
    for one in msgspec.structs.fields(kind):
        if one.name == "supervisor_id" and kind is f.StopMonitoringFrame:
            assert one.default is None  # The supervisor who sends it.
        elif one.name not in ("id", "idempotency_key", "if_match") and not one.required:
            assert one.default == fields[one.name].default, one.name


def test_a_target_is_a_queue_or_an_agent_and_not_both() -> None:
    assert f.TransferFrame(**ON_CONTACT, to_queue_id="legal").has_one_target()
    assert not f.TransferFrame(**ON_CONTACT).has_one_target()
    both = f.ConsultFrame(**ON_CONTACT, to_queue_id="legal", to_agent_id="bob")
    assert not both.has_one_target()
    assert f.ExpectedWaitFrame(id="1", queue_id="legal").has_one_target()
    assert not f.ExpectedWaitFrame(id="1").has_one_target()
    assert f.PingFrame(id="1").has_one_target()


@pytest.mark.parametrize("frame", [frame for frame, _ in DESKTOP], ids=_name)
def test_the_resource_of_a_frame_is_the_kind_of_its_id(frame: f.CommandFrame) -> None:
    named = [name for name in ("offer", "assignment", "contact") if hasattr(frame, f"{name}_id")]
    assert frame.resource == "".join(named)
