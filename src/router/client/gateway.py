"""Client of a channel gateway: submits contacts and receives their events."""

import secrets

from router.client.changes import ContactChanges
from router.client.errors import NotConnected, OutcomeUnknown
from router.client.mirror import ContactsMirror
from router.model.callbacks import CallbackFields
from router.model.policy import FactValue
from router.wire import frames as f


class GatewayClient(ContactChanges):
    """Client of one gateway; the subject of the token is its id. It receives the events of the contacts it has submitted."""

    path = "/v1/gateway"

    @property
    def contacts(self) -> ContactsMirror:
        """Live contacts of this gateway as of the last frame."""
        return self._mirror

    def _hear(self, frame: f.Welcome | f.Page | f.EventFrame | f.Figures) -> None:
        if isinstance(frame, f.Welcome):
            self._mirror = ContactsMirror()
        if isinstance(frame, f.Welcome | f.Page):
            self._mirror.add(frame)
        elif isinstance(frame, f.EventFrame):
            self._mirror.apply(frame.event, frame.at_ms)

    _mirror = ContactsMirror()

    # --- commands: each raises RouterRefused, OutcomeUnknown, NotConnected or ClosedForGood ---------
    async def submit(
        self,
        channel: str,
        *,
        queue_id: str | None = None,
        skills: dict[str, int] | None = None,
        priority_s: int = 0,
        strict_class: int = 0,
        attributes: dict[str, FactValue] | None = None,
        ttl_s: int | None = None,
        reference: str | None = None,
        callback: CallbackFields | None = None,
        preferred_agents: tuple[str, ...] = (),
        continues: str | None = None,
        idempotency_key: str | None = None,
        until_known: bool = False,
    ) -> f.Ok:
        """Submit a contact; ``subject`` of the answer is the contact's id.

        Every submit carries an idempotency key, generated if none is given. After OutcomeUnknown it is safe to submit again
        with the key of the exception; ``until_known`` does so automatically, over as many connections as necessary.
        """
        contact = f.ContactFields(
            channel=channel,
            queue_id=queue_id,
            skills=skills or {},
            priority_s=priority_s,
            strict_class=strict_class,
            attributes=attributes or {},
            ttl_s=ttl_s,
            reference=reference,
            callback=callback,
            preferred_agents=preferred_agents,
            continues=continues,
        )
        key = idempotency_key or secrets.token_urlsafe(16)
        while True:
            try:
                return await self._command(
                    f.Submit(id=self._id(), contact=contact, idempotency_key=key)
                )
            except OutcomeUnknown as unknown:
                if not until_known:
                    raise OutcomeUnknown(str(unknown), key) from None
            except NotConnected:
                if not until_known:
                    raise

    async def abandon(self, contact_id: str) -> f.Ok:
        """Report that the customer has left before being answered."""
        return await self._command(f.Abandon(id=self._id(), contact_id=contact_id))

    async def end(self, contact_id: str, reason: str = "ended") -> f.Ok:
        """End the conversation, for example because the customer has hung up."""
        return await self._command(f.End(id=self._id(), contact_id=contact_id, reason=reason))
