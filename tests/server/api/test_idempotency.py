"""Idempotency keys and fingerprints of submits."""

from typing import Any

from router.context.cards import ContactContext
from router.context.identities import Identity
from router.model.commands import CallbackFields
from router.model.states import ResumeMode
from router.protocol.frames import ContactCustomer, ContactFields
from router.server.api.idempotency import enqueue_command, fingerprint_of
from router.server.auth.credentials import Credential, Role


def a_credential(subject: str = "web", role: Role = Role.GATEWAY) -> Credential:
    return Credential(subject=subject, role=role, workspace="default", issuer="router", expires_at_s=2**40)


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


def test_fingerprints_are_those_of_the_first_version() -> None:
    """A retry after an upgrade finds its first result, so a renamed field must not change the fingerprint."""
    assert fingerprint_of(ContactFields(channel="voice")).hex() == "c957571bf28fb66f4e26de2c04f6ef84"
    fields = ContactFields(
        channel="chat",
        queue_id="cards",
        skills={"b": 3, "a": 1},
        priority_s=60,
        priority_class=2,
        attributes={"z": True, "tier": "gold", "n": 5},
        ttl_s=30,
        reference="r-1",
        callback=CallbackFields(at_ms=1_700_000_000_000),
        preferred_agents=("ada", "bob"),
        continues_contact_id="c0",
    )
    assert fingerprint_of(fields).hex() == "b150429bedd1bbf4e6b4be0b87f42e10"


def test_every_field_of_a_submit_is_in_the_fingerprint() -> None:
    changed: dict[str, Any] = {
        "queue_id": "q",
        "skills": {"a": 1},
        "priority_s": 1,
        "priority_class": 1,
        "attributes": {"a": 1},
        "ttl_s": 1,
        "reference": "r",
        "callback": CallbackFields(),
        "preferred_agents": ("a",),
        "continues_contact_id": "c",
        "customer": ContactCustomer(customer_id="c_1"),
        "context": ContactContext(screen="loans"),
        "resume": ResumeMode.ASK,
        "goal": "block_card",
    }
    assert {"channel", *changed} == set(ContactFields.__struct_fields__)
    plain = fingerprint_of(ContactFields(channel="voice"))
    assert fingerprint_of(ContactFields(channel="chat")) != plain
    for name, value in changed.items():
        assert fingerprint_of(ContactFields(channel="voice", **{name: value})) != plain, name


def test_the_value_of_an_identity_is_not_in_the_fingerprint() -> None:
    """The journal holds fingerprints for ever: a hash of a telephone number would be found by trying all numbers."""
    one, other = (
        fingerprint_of(ContactFields(channel="voice", customer=ContactCustomer(identities=(Identity(type="phone", value=value),))))
        for value in ("+4915112345678", "+4915112345679")
    )
    assert one == other
    mail = ContactCustomer(identities=(Identity(type="email", value="anna@example.org"),))
    assert fingerprint_of(ContactFields(channel="voice", customer=mail)) != one
