"""Bases of the frames that a client sends: what they have in common, and the object that they are about."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Final, TypeAlias

from msgspec import UNSET, Meta, Struct, UnsetType

from router.model import commands as c
from router.model.states import Ident, Name, SubjectId
from router.protocol.frames.fields import FrameId, IdempotencyKey

EntityTag: TypeAlias = Annotated[
    str,
    Meta(
        pattern=r"^(?:\*|[A-Za-z0-9]{1,64})(?!\n)$",
        extra={"rule": "must be an entity tag without quotes, such as the `tag` of an `ok` frame, or `*`"},
    ),
]
# Fields of every command frame that guard the command.
GUARD_FIELDS: Final = ("idempotency_key", "if_match")


class ClientFrame(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """Base of client frames. Unknown fields are refused, so that a misspelt field is found."""

    alternatives: ClassVar[tuple[str, ...]] = ()
    """Fields of which exactly one must be given."""

    def has_one_target(self) -> bool:
        """Return whether the frame names exactly one target; true for frames without alternative targets."""
        return True


class CommandFrame(ClientFrame, frozen=True, kw_only=True):
    """Base of the frames that stand for a command."""

    id: FrameId
    idempotency_key: IdempotencyKey | UnsetType | None = UNSET
    """A repeated frame with the same key gets the first reply and changes nothing; omitted: it is carried out again."""
    if_match: EntityTag | UnsetType | None = UNSET
    """Entity tag of the contact, agent or queue as last seen, from the ``tag`` of an ``ok`` or the ETag of HTTP without its quotes;
    if the object has changed since, the frame is refused (``precondition_failed``). ``*``: any, as long as the object exists.
    Omitted: no condition."""
    command: ClassVar[type[Any]]
    """Command that the frame stands for. It has every field of the frame except ``id`` and those of ``GUARD_FIELDS``."""
    fixed: ClassVar[Mapping[str, object]] = {}
    """Fields of the command that have the same value in all frames of the class."""
    resource: ClassVar[str] = ""
    """Kind of object that the frame is about: ``offer``, ``assignment`` or ``contact``; empty for an agent."""

    def to_command(
        self,
        *,
        agent_id: str | None = None,
        gateway_id: str | None = None,
        contact_id: str | None = None,
        supervisor_id: str | None = None,
    ) -> c.Command:
        """Return the command. Each id is used if the command has such a field and the frame does not set it."""
        names, has_agent, has_gateway, has_contact, has_supervisor = _command_fields(type(self))
        values: dict[str, Any] = {name: getattr(self, name) for name in names}
        if has_agent:
            values["agent_id"] = agent_id
        if has_gateway:
            values["gateway_id"] = gateway_id
        if has_contact and contact_id is not None:
            values["contact_id"] = contact_id
        if has_supervisor and supervisor_id is not None:
            values["supervisor_id"] = supervisor_id
        command: c.Command = self.command(**values, **self.fixed)
        return command


@cache
def _command_fields(frame: type[CommandFrame]) -> tuple[tuple[str, ...], bool, bool, bool, bool]:
    """Return the fields that a frame gives to its command, and whether it needs the id of agent, gateway, contact, supervisor."""
    fields = frame.command.__struct_fields__
    names = tuple(name for name in frame.__struct_fields__ if name != "id" and name not in GUARD_FIELDS)
    free = set(fields) - set(names) - frame.fixed.keys()
    return names, "agent_id" in free, "gateway_id" in free, "contact_id" in free, "supervisor_id" in free


class OfferFrame(CommandFrame, frozen=True, kw_only=True):
    """Base of the frames about an offer."""

    resource = "offer"
    offer_id: Ident


class AssignmentFrame(CommandFrame, frozen=True, kw_only=True):
    """Base of the frames about an assignment."""

    resource = "assignment"
    assignment_id: Ident


class ContactFrame(CommandFrame, frozen=True, kw_only=True):
    """Base of the frames about a contact."""

    resource = "contact"
    contact_id: Ident


class TargetFrame(ContactFrame, frozen=True, kw_only=True):
    """Base of the frames that name a queue or an agent."""

    to_queue_id: Name | None = None
    """Target queue; omitted: the target is an agent."""
    to_agent_id: SubjectId | None = None
    """Target agent; omitted: the target is a queue."""

    alternatives = ("to_queue_id", "to_agent_id")

    def has_one_target(self) -> bool:
        """Return whether exactly one of queue and agent is given."""
        return (self.to_queue_id is None) != (self.to_agent_id is None)
