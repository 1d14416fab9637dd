"""Commands of client frames: who acts is taken from the credential, never from the frame."""

import pytest

from router.model.commands import AcceptOffer, EndContact, EnqueueContact, LeaveContact
from router.model.results import Outcome, RefusalCode, Refused
from router.protocol import frames
from router.server.auth.credentials import Credential, Role
from router.server.ws.frame_commands import command_from_frame, reply_to_frame


def credential(role: Role, subject: str) -> Credential:
    return Credential(subject=subject, role=role, workspace="default", issuer="i", expires_at_s=1)


@pytest.mark.parametrize(
    ("role", "command"),
    [
        (Role.AGENT, EndContact(contact_id="c1", agent_id="x")),
        (Role.GATEWAY, EndContact(contact_id="c1", gateway_id="x")),
        (Role.SUPERVISOR, EndContact(contact_id="c1")),
        (Role.ADMIN, EndContact(contact_id="c1")),
    ],
)
def test_the_agent_id_comes_from_the_credential(role: Role, command: EndContact) -> None:
    frame = frames.EndFrame(id="1", contact_id="c1")
    assert command_from_frame(frame, credential(role, "x")) == command


def test_an_agent_accepts_for_themselves() -> None:
    frame = frames.AcceptFrame(id="1", offer_id="c1.1")
    accepted = command_from_frame(frame, credential(Role.AGENT, "ada"))
    assert accepted == AcceptOffer(offer_id="c1.1", agent_id="ada")


def test_a_supervisor_names_the_agent() -> None:
    frame = frames.RemoveParticipantFrame(id="1", contact_id="c1", agent_id="bob")
    removed = command_from_frame(frame, credential(Role.SUPERVISOR, "eve"))
    assert removed == LeaveContact(contact_id="c1", agent_id="bob", reason="removed")


def test_a_submit_belongs_to_its_gateway() -> None:
    frame = frames.SubmitFrame(id="1", contact=frames.ContactFields(channel="voice"))
    submitted = command_from_frame(frame, credential(Role.GATEWAY, "pbx"))
    assert isinstance(submitted, EnqueueContact)
    assert (submitted.gateway_id, submitted.channel) == ("pbx", "voice")


def _code(frame: frames.CommandFrame, refused: Refused) -> str:
    reply = reply_to_frame(frame, Outcome(refused, 0, 0, []))
    assert isinstance(reply, frames.ErrorFrame)
    return reply.code


def test_the_work_of_another_agent_looks_like_none_to_an_agent() -> None:
    refused = Refused(code=RefusalCode.NOT_OWNER)
    assert _code(frames.AcceptFrame(id="1", offer_id="c1.1"), refused) == "unknown_offer"
    assert _code(frames.EndFrame(id="1", contact_id="c1"), refused) == "unknown_contact"
    held = frames.HoldFrame(id="1", assignment_id="c1.1")
    assert _code(held, refused) == "unknown_assignment"


def test_a_supervisor_learns_that_an_agent_is_no_participant() -> None:
    refused = Refused(code=RefusalCode.NOT_PARTICIPANT, field="agent_id")
    frame = frames.RemoveParticipantFrame(id="1", contact_id="c1", agent_id="bob")
    assert _code(frame, refused) == "not_participant"
    left = frames.LeaveFrame(id="1", contact_id="c1")
    assert _code(left, refused) == "unknown_contact"
