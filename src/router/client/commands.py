"""Contact commands that gateways (on their own contacts) and supervisors (on any contact) have in common."""

from msgspec import UNSET, UnsetType

from router.client.websocket_client import WebSocketClient
from router.model.forecasts import ExpectedWait
from router.model.policy import CallbackMode, FactValue
from router.model.states import CallbackOutcome
from router.protocol import frames as f


class ContactCommands(WebSocketClient):
    """Client with the commands that change or query a contact.

    Every command raises RouterRefused, OutcomeUnknown, NotConnected or PermanentlyClosed.
    """

    async def update(
        self,
        contact_id: str,
        *,
        priority_s: int | UnsetType = UNSET,
        priority_class: int | UnsetType = UNSET,
        skills: dict[str, int] | UnsetType = UNSET,
        attributes: dict[str, FactValue] | UnsetType = UNSET,
    ) -> f.OkFrame:
        """Change a contact that has not ended; fields that are left unset keep their values."""
        return await self._send_command(
            f.UpdateFrame(
                id=self._next_id(),
                contact_id=contact_id,
                priority_s=priority_s,
                priority_class=priority_class,
                skills=skills,
                attributes=attributes,
            )
        )

    async def park(self, contact_id: str) -> f.OkFrame:
        """Park the conversation until the customer answers; it uses no agent capacity meanwhile."""
        return await self._send_command(
            f.ParkContactFrame(id=self._next_id(), contact_id=contact_id)
        )

    async def unpark(self, contact_id: str) -> f.OkFrame:
        """Resume the conversation because the customer has answered; succeeds if the contact is not parked."""
        return await self._send_command(
            f.UnparkContactFrame(id=self._next_id(), contact_id=contact_id)
        )

    async def callback(
        self,
        contact_id: str,
        *,
        mode: CallbackMode | None = None,
        channel: str | None = None,
        at_ms: int | None = None,
    ) -> f.OkFrame:
        """Convert a waiting contact to a callback, keeping its place in the queue.

        ``at_ms``: earliest time of the call, in Unix milliseconds; None means as soon as the contact's turn comes.
        """
        return await self._send_command(
            f.CallbackFrame(
                id=self._next_id(), contact_id=contact_id, mode=mode, channel=channel, at_ms=at_ms
            )
        )

    async def callback_result(
        self, contact_id: str, outcome: CallbackOutcome, attempt: int | None = None
    ) -> f.OkFrame:
        """Report the outcome of the call requested by a ``callback.dial_requested`` event with that ``attempt`` number."""
        return await self._send_command(
            f.CallbackResultFrame(
                id=self._next_id(), contact_id=contact_id, outcome=outcome, attempt=attempt
            )
        )

    async def expected_wait(
        self,
        *,
        contact_id: str | None = None,
        queue_id: str | None = None,
        channel: str | None = None,
        skills: dict[str, int] | None = None,
        priority_s: int = 0,
        priority_class: int = 0,
    ) -> ExpectedWait:
        """Return the expected wait of a waiting contact (``contact_id``) or of a hypothetical one (``queue_id`` and the rest)."""
        answer = await self._send_command(
            f.ExpectedWaitFrame(
                id=self._next_id(),
                contact_id=contact_id,
                queue_id=queue_id,
                channel=channel,
                skills=skills or {},
                priority_s=priority_s,
                priority_class=priority_class,
            )
        )
        assert answer.expected_wait is not None
        return answer.expected_wait

    async def cancel(self, contact_id: str, reason: str = "cancelled") -> f.OkFrame:
        """Withdraw a contact that is not assigned to an agent."""
        return await self._send_command(
            f.CancelFrame(id=self._next_id(), contact_id=contact_id, reason=reason)
        )
