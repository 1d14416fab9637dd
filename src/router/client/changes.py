"""What a gateway may do with its own contacts and a supervisor with any: one piece for both clients."""

from msgspec import UNSET, UnsetType

from router.client.socket import SocketClient
from router.model.callbacks import CallbackOutcome
from router.model.forecasts import ExpectedWait
from router.model.policy import CallbackMode, FactValue
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

    async def callback(
        self,
        contact_id: str,
        *,
        mode: CallbackMode | None = None,
        channel: str | None = None,
        at_ms: int | None = None,
    ) -> f.Ok:
        """Call the customer back instead of letting him wait; ``at_ms``: not before that time."""
        return await self._command(
            f.Callback(
                id=self._id(), contact_id=contact_id, mode=mode, channel=channel, at_ms=at_ms
            )
        )

    async def callback_result(
        self, contact_id: str, outcome: CallbackOutcome, attempt: int | None = None
    ) -> f.Ok:
        """Report how the call went that ``callback.due`` asked for."""
        return await self._command(
            f.CallbackResult(id=self._id(), contact_id=contact_id, outcome=outcome, attempt=attempt)
        )

    async def expected_wait(
        self,
        *,
        contact_id: str | None = None,
        queue_id: str | None = None,
        channel: str | None = None,
        skills: dict[str, int] | None = None,
        priority_s: int = 0,
        strict_class: int = 0,
    ) -> ExpectedWait:
        """How long a contact waits: one that is there (``contact_id``), or one that may come (``queue_id`` and the rest)."""
        answer = await self._command(
            f.AskExpectedWait(
                id=self._id(),
                contact_id=contact_id,
                queue_id=queue_id,
                channel=channel,
                skills=skills or {},
                priority_s=priority_s,
                strict_class=strict_class,
            )
        )
        assert answer.expected_wait is not None
        return answer.expected_wait

    async def cancel(self, contact_id: str, reason: str = "cancelled") -> f.Ok:
        """Withdraw a contact that nobody has yet."""
        return await self._command(f.Cancel(id=self._id(), contact_id=contact_id, reason=reason))
