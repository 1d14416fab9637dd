"""Commands with a reference: which part of them has it, and how they go into the journal without it."""

from typing import Any, Final

import msgspec

from router.model.commands import Command, GuardedCommand, RequestContact, ResumeContact, SubmitOrResume
from router.model.states import SEALED_REFERENCE, ResumeMode

_SUBMITS: Final = (RequestContact, SubmitOrResume)


def with_reference(command: Command) -> Any:
    """Return the part of a command that may have a reference."""
    if type(command) is GuardedCommand:
        return with_reference(command.command)
    return command.contact if isinstance(command, _SUBMITS) else command


def sealed(command: Any) -> Any:
    """Return a command without its reference."""
    if type(command) is GuardedCommand:
        return msgspec.structs.replace(command, command=sealed(command.command))
    if type(command) in _SUBMITS:
        return msgspec.structs.replace(command, contact=sealed(command.contact))
    return msgspec.structs.replace(command, reference=SEALED_REFERENCE)


def is_keyed_resume(command: Command) -> bool:
    """Return whether a command can resume a contact and has an idempotency key."""
    if type(command) is not GuardedCommand or command.dedupe_key is None:
        return False
    resumes = command.command
    return isinstance(resumes, ResumeContact) or (isinstance(resumes, _SUBMITS) and resumes.resume is not ResumeMode.NEVER)


def key_on_channel(contact_id: str, channel: str) -> str:
    """Return the key of a contact's reference on a channel to which it is to switch; no id of a contact has a space."""
    return f"{contact_id} {channel}"
