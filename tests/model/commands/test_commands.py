"""Serialization and tags of commands."""

from typing import get_args

import msgspec
import pytest

from router.model import commands
from router.model.commands import Command, alerts, contact, workspace
from tests.support.structs import check_round_trip, tags_of

COMMANDS: tuple[type[msgspec.Struct], ...] = get_args(Command)

TAGS = {
    "EnqueueContact": "contact.enqueue",
    "RequestContact": "request.create",
    "ChooseOption": "request.choose",
    "CancelRequest": "request.cancel",
    "ChangeCustomerToken": "request.change_token",
    "SetCustomerPresence": "request.set_presence",
    "UpdateContact": "contact.update",
    "CancelContact": "contact.cancel",
    "AbandonContact": "contact.abandon",
    "EndContact": "contact.end",
    "RequeueContact": "contact.requeue",
    "TransferContact": "contact.transfer",
    "AssignContact": "contact.assign",
    "RequestCallback": "callback.request",
    "ReportCallback": "callback.report",
    "StartConsult": "consult.start",
    "CompleteConsult": "consult.complete",
    "CancelConsult": "consult.cancel",
    "JoinConsult": "consult.join",
    "LeaveContact": "contact.leave",
    "CancelTransfer": "transfer.cancel",
    "MoveCallback": "callback.move",
    "ClaimCallback": "callback.claim",
    "HandOverContact": "contact.hand_over",
    "AddParticipant": "participant.add",
    "AcceptOffer": "offer.accept",
    "DeclineOffer": "offer.decline",
    "HoldAssignment": "assignment.hold",
    "ResumeAssignment": "assignment.resume",
    "ParkAssignment": "assignment.park",
    "UnparkAssignment": "assignment.unpark",
    "ParkContact": "contact.park",
    "UnparkContact": "contact.unpark",
    "SuspendContact": "contact.suspend",
    "ResumeContact": "contact.resume",
    "SubmitOrResume": "contact.submit_or_resume",
    "SwitchChannel": "contact.switch_channel",
    "ReportChannel": "contact.report_channel",
    "ReportGoal": "goal.report",
    "ReportGoalSteps": "goal.report_steps",
    "MonitorContact": "contact.monitor",
    "StopMonitoring": "contact.stop_monitoring",
    "ReportMonitor": "contact.report_monitor",
    "ExtendWrapUp": "assignment.extend_wrap_up",
    "CompleteAssignment": "assignment.complete",
    "ReportAlerts": "alert.report",
    "PutAgent": "agent.put",
    "UpdateAgent": "agent.update",
    "RemoveAgent": "agent.remove",
    "SetAgentState": "agent.set_state",
    "SetAgentChannels": "agent.set_channels",
    "ConnectDesktop": "agent.connect_desktop",
    "LoseDesktop": "agent.lose_desktop",
    "PublishPolicy": "policy.publish",
    "CreateWorkspace": "workspace.create",
    "RemoveWorkspace": "workspace.remove",
    "SchedulePolicy": "policy.schedule",
    "CancelScheduledPolicy": "policy.cancel_schedule",
    "SetShadowPolicy": "policy.set_shadow",
    "ClearShadowPolicy": "policy.clear_shadow",
    "SetQueueOpen": "queue.set_open",
    "GuardedCommand": "guarded",
    "AdvanceTime": "time.advance",
}


@pytest.mark.parametrize("struct", COMMANDS, ids=lambda struct: struct.__name__)
def test_a_command_survives_serialization(struct: type[msgspec.Struct]) -> None:
    check_round_trip(struct, Command)


def test_every_command_is_in_the_union_and_has_its_tag() -> None:
    assert tags_of(commands) | tags_of(contact) | tags_of(workspace) | tags_of(alerts) == TAGS
    assert {struct.__name__ for struct in COMMANDS} == TAGS.keys()
    assert len(set(TAGS.values())) == len(TAGS)
