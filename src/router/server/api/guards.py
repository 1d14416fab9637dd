"""Guards of commands: the idempotency key and the precondition that a client sends with a request.

Both are checked in the engine, in the step that carries the command out: ``guarded`` wraps the command together with what the
decision needs. HTTP and the WebSockets share this code, so a retry may use either.

The stored key is a hash of client and idempotency key, so two clients may use the same key; the fingerprint is a hash of the
command, so that a reused key with another command is detected.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT

from router.model.commands import ANY_TAG, GuardedCommand, MonitorContact, PlainCommand, Precondition
from router.model.filters import ObjectFilter
from router.server.api.problems import ProblemError
from router.server.auth.credentials import Credential, Role

KEY_LENGTH_MAX: Final = 255

_HASH_BYTES: Final = 16

_TAG_LIST: Final = re.compile(r'[ \t,]*(?:W/)?"[!#-~\x80-\xff]*"[ \t]*(?:,[ \t]*(?:(?:W/)?"[!#-~\x80-\xff]*"[ \t]*)?)*').fullmatch
_TAGS: Final = re.compile(r'(W/)?"([^"]*)"').findall

_encode: Final = msgspec.json.Encoder(order="deterministic").encode


# Fields that depend on the token and the time, so that a repeat of the same request may have others.
_COMPUTED_FIELDS: Final[dict[type, tuple[str, ...]]] = {MonitorContact: ("until_ms", "scope")}


def idempotency_key(header: Callable[[str], str | None]) -> str | None:
    """Return the ``Idempotency-Key`` of a request. Raises ProblemError for an invalid one."""
    key = header("Idempotency-Key")
    if key is not None and not (0 < len(key) <= KEY_LENGTH_MAX and key.isascii()):
        raise ProblemError("invalid_value", f"must have 1 to {KEY_LENGTH_MAX} ASCII characters", field="Idempotency-Key")
    return key


def precondition(header: Callable[[str], str | None], *, is_required: bool = False) -> Precondition | None:
    """Return the precondition in ``If-Match`` and ``If-None-Match``; None without one. Raises ProblemError if one is malformed."""
    if_match, if_none_match = header("If-Match"), header("If-None-Match")
    if if_match is None and if_none_match is None and not is_required:
        return None
    return Precondition(
        # Strong comparison: a weak tag matches nothing.
        if_match=None if if_match is None else entity_tags(if_match, "If-Match", weak=False),
        if_none_match=None if if_none_match is None else entity_tags(if_none_match, "If-None-Match", weak=True),
        is_required=is_required,
    )


def entity_tags(text: str, name: str, *, weak: bool) -> tuple[str, ...]:
    """Return the tags in a header, without quotes; ``*`` alone stands for any. ``weak``: whether weak tags count.

    A malformed ``If-Match`` matches nothing, so that the command is not carried out. Raises ProblemError for another header that
    is neither ``*`` nor a list of entity tags (RFC 9110, 8.8.3).
    """
    if text.strip() == ANY_TAG:
        return (ANY_TAG,)
    if _TAG_LIST(text) is None:
        if name == "If-Match":
            return ()
        raise ProblemError("malformed", 'must be `*` or a list of entity tags in quotes, such as "7"', field=name)
    return tuple(tag for is_weak, tag in _TAGS(text) if weak or not is_weak)


def guarded(
    credential: Credential,
    command: PlainCommand,
    *,
    key: str | None = None,
    condition: Precondition | None = None,
    payload: bytes | None = None,
    wanted: ObjectFilter | None = None,
) -> GuardedCommand:
    """Return the command with its idempotency key, its precondition and the filter that its object must meet.

    ``payload``: what a repeat must send again; None: the fields of the command.
    """
    return GuardedCommand(
        command=command,
        client=credential.subject if credential.role is Role.GATEWAY else credential.actor,
        dedupe_key=None if key is None else hash_parts(credential.actor.encode(), key.encode()),
        fingerprint=b"" if key is None else hash_parts(_command_payload(command) if payload is None else payload),
        precondition=condition,
        wanted=wanted,
        scope=credential.scope,
    )


def _command_payload(command: PlainCommand) -> bytes:
    """Encode the fields of a command that differ from their defaults, so that a field added later changes no fingerprint."""
    values: dict[str, Any] = {}
    computed = _COMPUTED_FIELDS.get(type(command), ())
    for field in msgspec.structs.fields(command):
        if field.name in computed:
            continue
        value = getattr(command, field.name)
        default = field.default if field.default_factory is NODEFAULT else field.default_factory()
        if value != default:
            values[field.name] = value
    return _encode([command.__struct_config__.tag, values])


def hash_parts(*parts: bytes) -> bytes:
    """Return the hash of a sequence of texts."""
    digest = hashlib.blake2b(digest_size=_HASH_BYTES)
    for part in parts:
        # Length prefixes distinguish ("ab", "c") from ("a", "bc").
        digest.update(len(part).to_bytes(4, "big"))
        digest.update(part)
    return digest.digest()
