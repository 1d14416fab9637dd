"""References that are being stored: the replies that wait for them, and the operation of the store that writes them together."""

from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

import msgspec

from router.context.customers import ContextError
from router.context.port import ContactReference, ContextStore
from router.context.service import ContextService
from router.model.results import Done
from router.runtime.workspace import Reply, ReplyTarget

READ_TIMEOUT_S: Final = 2.0


class ReferenceOwner(Protocol):
    """The part of the references that a reply calls."""

    def discard(self, workspace: str, contact_id: str) -> None:
        """Forget the reference of a contact that was not accepted."""

    def replace(self, kept: "KeptReference") -> None:
        """Store the reference of a contact that had another one; the reply waits for it."""

    def restore(self, kept: "KeptReference", reference: ContactReference) -> None:
        """Store the earlier reference of the contact."""

    def repeat(self, kept: "KeptReference") -> None:
        """Store the reference of a repeated submit for the contact of the first one, where that is still its reference."""

    def drop_switch(self, workspace: str, contact_id: str, key: str) -> None:
        """Drop the reference of a switch that has not begun, or was given up."""


class KeptReference:
    """A reference that is being stored, and the reply that waits for it. It is the writer's reply target."""

    __slots__ = (
        "_earlier",
        "_is_settled",
        "_owner",
        "_reply",
        "_result",
        "answer_seq",
        "in_memory",
        "is_repeated",
        "may_resume",
        "needs_customer",
        "overwrites",
        "reference",
        "switches",
        "workspace",
    )

    def __init__(
        self,
        owner: "ReferenceOwner",
        workspace: str,
        reference: ContactReference,
        earlier: ContactReference | None,
        reply: ReplyTarget[Reply] | None,
    ) -> None:
        """``earlier``: the reference that the contact had before."""
        self._owner = owner
        self.workspace = workspace
        self.reference = reference
        self._earlier = earlier
        self._reply = reply
        self._result: Reply | None = None
        self._is_settled = False
        self.needs_customer = False
        """Whether the customer of the contact is still to be asked for."""
        self.is_repeated = False
        """Whether it is that of a repeated submit, which is stored only where the store has none."""
        self.may_resume = False
        """Whether its command can resume a contact, and has a key by which a repetition is known to be the same command."""
        self.answer_seq: int | None = None
        """Number of the event in the first answer to a command that can resume a contact; None: any other command."""
        self.in_memory: ContactReference | None = None
        """Reference of the contact in memory when the repetition was answered."""
        self.overwrites = False
        """Whether that of a repeated submit replaces what the store has: it is of an earlier time of the contact."""
        self.switches: str | None = None
        """The contact that it is to have on another channel; None: it is not that of a switch."""

    def done(self) -> bool:
        """Return False: whether the contact was accepted must be known even if the client no longer waits."""
        return False

    def set_result(self, result: Reply, /) -> None:
        """Handle the durable result; it is passed on when the reference is stored, or was given up."""
        answer, contact_id = result.outcome.result, self.reference.contact_id
        self._result = result
        if self.switches is not None:
            if not isinstance(answer, Done) or answer.replayed:
                if self._earlier is not None:
                    self._owner.restore(self, self._earlier)
                else:
                    self._owner.drop_switch(self.workspace, self.switches, contact_id)
                self._is_settled = True
        elif not isinstance(answer, Done) or answer.replayed:
            first = answer.subject if isinstance(answer, Done) else None
            if self._earlier is not None:
                self._owner.restore(self, self._earlier)
                self._is_settled = True
            elif first != contact_id:
                self._owner.discard(self.workspace, contact_id)
                self._is_settled = True
            # Otherwise the first resume or report is repeated, and its reference was lost: it is stored like a new one.
            if isinstance(answer, Done) and (first != contact_id or (self.may_resume and self._earlier is not None)):
                repeated = self._of_contact(answer.subject)
                repeated.answer_seq = answer.seq if self.may_resume else None
                repeated.is_repeated = repeated.needs_customer = True
                self._owner.repeat(repeated)
        elif answer.subject != contact_id:
            # The command concerned another contact, such as a conversation that the submit resumes.
            self._owner.discard(self.workspace, contact_id)
            self._owner.replace(self._of_contact(answer.subject))
        if self._is_settled:
            self._pass_on()

    def _of_contact(self, contact_id: str) -> "KeptReference":
        """Return the same reference for another contact; it takes over the reply."""
        reference = msgspec.structs.replace(self.reference, contact_id=contact_id)
        other = KeptReference(self._owner, self.workspace, reference, None, self._reply)
        other._result, self._reply = self._result, None
        return other

    def set_exception(self, exception: Exception, /) -> None:
        """Pass on that there will be no result: the command may or may not have been carried out."""
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(exception)
        self._reply = None

    def settle(self) -> None:
        """Note that the reference is stored, or that nothing waits for it any more."""
        if not self._is_settled:
            self._is_settled = True
            if self._result is not None:
                self._pass_on()

    def _pass_on(self) -> None:
        reply, self._reply = self._reply, None
        if reply is not None and not reply.done():
            assert self._result is not None
            reply.set_result(self._result)


def settle(group: list[KeptReference]) -> None:
    for one in group:
        one.settle()


def without(group: list[KeptReference], contact_ids: Collection[str]) -> list[KeptReference]:
    """Return a group without the references of some contacts, for which nothing waits any more."""
    settle([one for one in group if one.reference.contact_id in contact_ids])
    return [one for one in group if one.reference.contact_id not in contact_ids]


def storing(
    kept: list[KeptReference], discarded: list[tuple[str, str]], now_ms: int
) -> Callable[[ContextStore], list[ContactReference]]:
    """Return the operation that stores and deletes references, and returns those of repeated submits as they are stored."""
    stored: dict[str, list[ContactReference]] = {}
    repeated: dict[str, list[ContactReference]] = {}
    overwriting = {(one.workspace, one.reference.contact_id) for one in kept if one.overwrites}
    for one in kept:
        (repeated if one.is_repeated else stored).setdefault(one.workspace, []).append(one.reference)

    def operation(store: ContextStore) -> list[ContactReference]:
        for workspace, references in stored.items():
            store.references.keep(workspace, references, now_ms=now_ms)
        for workspace, contact_id in discarded:
            store.references.discard(workspace, [contact_id])
        found: list[ContactReference] = []
        for workspace, references in repeated.items():
            names = [one.contact_id for one in references]
            known = store.references.read(workspace, names)
            wanted = [one for one in references if one.contact_id not in known or (workspace, one.contact_id) in overwriting]
            store.references.keep(workspace, wanted, now_ms=now_ms)
            found += store.references.read(workspace, names).values()
        return found

    return operation


async def stored(context: ContextService, workspace: str, contact_ids: Sequence[str]) -> dict[str, ContactReference] | None:
    """Return the references that the store has; None: it does not answer."""
    try:
        found, _ = await context.run_in_time(lambda store: store.references.read(workspace, contact_ids), deadline_s=READ_TIMEOUT_S)
        return found
    except ContextError:
        return None
