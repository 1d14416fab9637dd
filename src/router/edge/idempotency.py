"""Submission of contacts: fresh ids, idempotency keys and fingerprints.

The stored key is a hash of client and idempotency key, so two clients may use the same key; the fingerprint is a hash of
the payload, so that a reused key with another payload is detected. HTTP and the gateway WebSocket share this code: a
retry may use either.
"""

import hashlib
from typing import Final

import msgspec

from router.edge.auth import Credential, Role
from router.edge.random_ids import RandomIds
from router.model.commands import EnqueueContact
from router.wire.frames import ContactFields

KEY_LENGTH_MAX: Final = 255
_HASH_BYTES: Final = 16
_encode: Final = msgspec.json.Encoder(order="deterministic").encode


new_contact_id: Final = RandomIds(16).next
"""Return a fresh contact id: 128 random bits in hexadecimal."""


def enqueue_command(
    credential: Credential, fields: ContactFields, idempotency_key: str | None
) -> EnqueueContact:
    """Return the command that submits a contact under a fresh id. With a key, a repeat gets the first result."""
    dedupe_key = fingerprint = None
    if idempotency_key is not None:
        dedupe_key = _hash(credential.actor.encode(), idempotency_key.encode())
        fingerprint = _hash(_encode(fields))
    return EnqueueContact(
        contact_id=new_contact_id(),
        channel=fields.channel,
        queue_id=fields.queue_id,
        skills=fields.skills,
        priority_s=fields.priority_s,
        strict_class=fields.strict_class,
        attributes=fields.attributes,
        ttl_s=fields.ttl_s,
        preferred_agents=fields.preferred_agents,
        continues=fields.continues,
        gateway_id=credential.subject if credential.role is Role.GATEWAY else "",
        reference=fields.reference,
        callback=fields.callback,
        dedupe_key=dedupe_key,
        fingerprint=fingerprint,
    )


def _hash(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=_HASH_BYTES)
    for part in parts:
        # Length prefixes distinguish ("ab", "c") from ("a", "bc").
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.digest()
