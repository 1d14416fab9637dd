"""Idempotency keys and fingerprints of submits."""

from router.protocol.frames import ContactFields
from router.server.api.submission import enqueue_command
from router.server.auth.credentials import Credential
from router.server.auth.permissions import Role


def a_credential(subject: str = "web", role: Role = Role.GATEWAY) -> Credential:
    return Credential(
        subject=subject, role=role, workspace="default", issuer="router", expires_at_s=2**40
    )


def test_the_key_depends_on_the_client_and_the_fingerprint_on_the_payload() -> None:
    fields = ContactFields(channel="voice", skills={"a": 1, "b": 2})
    same = ContactFields(channel="voice", skills={"b": 2, "a": 1})
    other = ContactFields(channel="voice", priority_s=1)
    first = enqueue_command(a_credential(), fields, "key")
    again = enqueue_command(a_credential(), same, "key")
    assert first.contact_id != again.contact_id
    assert (first.dedupe_key, first.fingerprint) == (again.dedupe_key, again.fingerprint)
    assert enqueue_command(a_credential(), other, "key").fingerprint != first.fingerprint
    assert enqueue_command(a_credential(), fields, "yek").dedupe_key != first.dedupe_key
    assert enqueue_command(a_credential("sms"), fields, "key").dedupe_key != first.dedupe_key
    admin = enqueue_command(a_credential("web", Role.ADMIN), fields, "key")
    assert admin.dedupe_key != first.dedupe_key and admin.gateway_id == ""
    assert first.gateway_id == "web"


def test_without_a_key_nothing_is_stored() -> None:
    command = enqueue_command(a_credential(), ContactFields(channel="voice"), None)
    assert command.dedupe_key is None and command.fingerprint is None
