"""What a gateway may do with its own contacts and a supervisor with any: one piece for both clients."""

from msgspec import UNSET, UnsetType

from router.client.socket import SocketClient
from router.model.policy import FactValue
from router.wire import frames as f


class ContactChanges(SocketClient):
    """A client that may change contacts."""

    async def update(
        self,
        contact_id: str,
        *,
        priority_s: int | UnsetType = UNSET,
        strict_class: int | UnsetType = UNSET,
        skills: dict[str, int] | UnsetType = UNSET,
        attributes: dict[str, FactValue] | UnsetType = UNSET,
    ) -> f.Ok:
        """Change a contact in flight; what is unset stays."""
        return await self._command(
            f.Update(
                id=self._id(),
                contact_id=contact_id,
                priority_s=priority_s,
                strict_class=strict_class,
                skills=skills,
                attributes=attributes,
            )
        )

    async def park(self, contact_id: str) -> f.Ok:
        """The customer is waited for: his conversation uses no capacity meanwhile."""
        return await self._command(f.ParkContactFrame(id=self._id(), contact_id=contact_id))

    async def unpark(self, contact_id: str) -> f.Ok:
        """The customer has written again. No error where the contact was not parked."""
        return await self._command(f.UnparkContactFrame(id=self._id(), contact_id=contact_id))

    async def cancel(self, contact_id: str, reason: str = "cancelled") -> f.Ok:
        """Withdraw a contact that nobody has yet."""
        return await self._command(f.Cancel(id=self._id(), contact_id=contact_id, reason=reason))
