"""Commands of client frames: who acts is taken from the credential, never from the frame."""

import pytest

from router.model.commands import AcceptOffer, EndContact, EnqueueContact, GuardedCommand, LeaveContact
from router.protocol import frames
from router.server.auth.credentials import Credential, Role
from router.server.ws.frame_commands import command_from_frame


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
    assert command_from_frame(frame, credential(role, "x"), lambda: 0) == command


def test_an_agent_accepts_for_themselves() -> None:
    frame = frames.AcceptFrame(id="1", offer_id="c1.1")
    accepted = command_from_frame(frame, credential(Role.AGENT, "ada"), lambda: 0)
    assert accepted == AcceptOffer(offer_id="c1.1", agent_id="ada")


def test_a_supervisor_names_the_agent() -> None:
    frame = frames.RemoveParticipantFrame(id="1", contact_id="c1", agent_id="bob")
    removed = command_from_frame(frame, credential(Role.SUPERVISOR, "eve"), lambda: 0)
    assert removed == LeaveContact(contact_id="c1", agent_id="bob", reason="removed")


def test_a_submit_belongs_to_its_gateway() -> None:
    frame = frames.SubmitFrame(id="1", contact=frames.ContactFields(channel="voice"))
    submitted = command_from_frame(frame, credential(Role.GATEWAY, "pbx"), lambda: 0)
    assert isinstance(submitted, EnqueueContact)
    assert (submitted.gateway_id, submitted.channel) == ("pbx", "voice")


def test_a_frame_with_a_key_is_guarded_by_it() -> None:
    frame = frames.EndFrame(id="1", contact_id="c1", idempotency_key="k")
    guarded = command_from_frame(frame, credential(Role.AGENT, "ada"), lambda: 0)
    assert isinstance(guarded, GuardedCommand)
    assert (guarded.command, guarded.client) == (EndContact(contact_id="c1", agent_id="ada"), "agent:ada")
    again = command_from_frame(
        frames.EndFrame(id="2", contact_id="c1", idempotency_key="k"), credential(Role.AGENT, "ada"), lambda: 0
    )
    assert again == guarded
    other = command_from_frame(
        frames.EndFrame(id="2", contact_id="c2", idempotency_key="k"), credential(Role.AGENT, "ada"), lambda: 0
    )
    assert isinstance(other, GuardedCommand)
    assert other.dedupe_key == guarded.dedupe_key and other.fingerprint != guarded.fingerprint
    by_bob = command_from_frame(frame, credential(Role.AGENT, "bob"), lambda: 0)
    assert isinstance(by_bob, GuardedCommand) and by_bob.dedupe_key != guarded.dedupe_key
