"""An agent's desktop: offers come in, the agent's answers go out."""

from router.client.mirror import AgentMirror
from router.client.socket import SocketClient
from router.model.states import AgentState
from router.wire import frames as f


class DesktopClient(SocketClient):
    """One agent. The token's subject is his id.

    ``async with DesktopClient(url, token) as desktop:`` connects, waits for the state and comes back by itself when the
    connection is lost; ``async for frame in desktop:`` tells what happens. ``url`` is ``ws://host:port`` (or ``wss://``).
    """

    path = "/v1/desktop"

    @property
    def state(self) -> AgentMirror:
        """The agent as of the last frame: state, offers, assignments."""
        return self._mirror

    def _hear(self, frame: f.Welcome | f.Page | f.EventFrame | f.Figures) -> None:
        if isinstance(frame, f.Welcome) and frame.agent is not None:
            self._mirror = AgentMirror.of(frame.agent)
        elif isinstance(frame, f.EventFrame):
            self._mirror.apply(frame.event, frame.at_ms)

    _mirror = AgentMirror(agent_id="")

    # --- commands: each raises RouterRefused, OutcomeUnknown, NotConnected or ClosedForGood ---------
    async def ready(self) -> f.Ok:
        """Go ready."""
        return await self.set_state(AgentState.READY)

    async def not_ready(self, reason: str | None = None, *, after_work: bool = False) -> f.Ok:
        """Go not ready, at once or when the work in hand is done."""
        return await self.set_state(AgentState.NOT_READY, reason, after_work=after_work)

    async def set_state(
        self, state: AgentState, reason: str | None = None, *, after_work: bool = False
    ) -> f.Ok:
        """Go ready, not ready or offline."""
        return await self._command(
            f.SetState(id=self._id(), state=state, reason=reason, after_work=after_work)
        )

    async def accept(self, offer_id: str) -> f.Ok:
        """Take the offered contact."""
        return await self._command(f.Accept(id=self._id(), offer_id=offer_id))

    async def decline(self, offer_id: str, reason: str = "declined") -> f.Ok:
        """Do not take it."""
        return await self._command(f.Decline(id=self._id(), offer_id=offer_id, reason=reason))

    async def hold(self, assignment_id: str) -> f.Ok:
        """Customer on hold."""
        return await self._command(f.Hold(id=self._id(), assignment_id=assignment_id))

    async def unhold(self, assignment_id: str) -> f.Ok:
        """Customer off hold."""
        return await self._command(f.Unhold(id=self._id(), assignment_id=assignment_id))

    async def end(self, contact_id: str, reason: str = "ended") -> f.Ok:
        """The conversation is over; wrap-up begins."""
        return await self._command(f.End(id=self._id(), contact_id=contact_id, reason=reason))

    async def extend_wrap_up(self, assignment_id: str, extend_s: int) -> f.Ok:
        """More time for wrap-up."""
        return await self._command(
            f.ExtendWrapUpFrame(id=self._id(), assignment_id=assignment_id, extend_s=extend_s)
        )

    async def complete(self, assignment_id: str, disposition: str | None = None) -> f.Ok:
        """Done with it."""
        return await self._command(
            f.Complete(id=self._id(), assignment_id=assignment_id, disposition=disposition)
        )

    async def transfer_to_queue(self, contact_id: str, queue_id: str) -> f.Ok:
        """Pass the contact on to a queue, at once."""
        return await self._command(
            f.Transfer(id=self._id(), contact_id=contact_id, to_queue_id=queue_id)
        )

    async def transfer_to_agent(
        self,
        contact_id: str,
        agent_id: str,
        *,
        wait_s: int | None = None,
        back_s: int | None = None,
    ) -> f.Ok:
        """Offer the contact to another agent; it stays here until he accepts.

        ``wait_s``: if he cannot take it now, this agent is done with it and it waits so long for the other alone, then
        ``back_s`` for this one, then for everybody.
        """
        return await self._command(
            f.Transfer(
                id=self._id(),
                contact_id=contact_id,
                to_agent_id=agent_id,
                wait_s=wait_s,
                back_s=back_s,
            )
        )

    async def consult_agent(self, contact_id: str, agent_id: str) -> f.Ok:
        """Ask another agent for advice; the contact stays here."""
        return await self._command(
            f.Consult(id=self._id(), contact_id=contact_id, to_agent_id=agent_id)
        )

    async def consult_queue(self, contact_id: str, queue_id: str) -> f.Ok:
        """Ask whom that queue's selection gives now; refused where nobody is free."""
        return await self._command(
            f.Consult(id=self._id(), contact_id=contact_id, to_queue_id=queue_id)
        )

    async def complete_consult(self, contact_id: str) -> f.Ok:
        """Pass the contact to the consulted agent."""
        return await self._command(f.CompleteConsultFrame(id=self._id(), contact_id=contact_id))

    async def cancel_consult(self, contact_id: str) -> f.Ok:
        """Take the consult back, or end it, and go on alone."""
        return await self._command(f.CancelConsultFrame(id=self._id(), contact_id=contact_id))

    async def conference(self, contact_id: str) -> f.Ok:
        """Let the consulted agent talk with the customer, too."""
        return await self._command(f.Conference(id=self._id(), contact_id=contact_id))

    async def leave(self, contact_id: str) -> f.Ok:
        """Leave a conversation that another agent owns."""
        return await self._command(f.Leave(id=self._id(), contact_id=contact_id))

    async def hand_over(self, contact_id: str, agent_id: str) -> f.Ok:
        """Leave a conference; that participant owns the contact from then on."""
        return await self._command(
            f.HandOverFrame(id=self._id(), contact_id=contact_id, to_agent_id=agent_id)
        )
