"""Client of an agent desktop: receives offers, sends the agent's commands."""

from collections.abc import AsyncIterator, Mapping
from functools import cached_property
from typing import Unpack

from router.client.cards import CachedCards
from router.client.connection import ReceivedUpdate
from router.client.goals import GoalCommands
from router.client.state import CachedAgent
from router.client.websocket_client import Guard, KeyGuard
from router.context.cards import Card
from router.model.policy import SuspensionEnd
from router.model.states import AgentState, IfUnable
from router.protocol import frames as f


class DesktopClient(GoalCommands):
    """Client of one agent; the subject of the token is the agent's id.

    ``async with DesktopClient(url, token) as desktop:`` connects, waits for the initial state and reconnects automatically;
    ``async for frame in desktop:`` yields the events. ``url`` is ``ws://host:port`` or ``wss://host:port``.
    """

    path = "/v1/desktop"

    @property
    def state(self) -> CachedAgent:
        """Agent as of the last frame: state, offers, assignments."""
        return self._cache

    def _on_frame(self, frame: ReceivedUpdate) -> None:
        if isinstance(frame, f.WelcomeFrame) and frame.agent is not None:
            self._cache = CachedAgent.from_view(frame.agent)
        elif isinstance(frame, f.EventFrame):
            self._cache.apply(frame.event, frame.at_ms)
        self._cards.apply(frame)

    _cache = CachedAgent(agent_id="")

    @property
    def cards(self) -> Mapping[str, Card]:
        """Cards of the agent's contacts and offers by contact id: what is known about each customer."""
        return self._cards.by_contact

    async def card_updates(self) -> AsyncIterator[tuple[str, Card]]:
        """Iterate over the cards that come or change after an offer, with their contact ids; the newest of each contact."""
        while True:
            yield await self._cards.next_update()

    @cached_property
    def _cards(self) -> CachedCards:
        return CachedCards()

    # --- commands: each raises RouterRefused, OutcomeUnknown, NotConnected or PermanentlyClosed ---------
    async def ready(self, **guard: Unpack[Guard]) -> f.OkFrame:
        """Go ready."""
        return await self.set_state(AgentState.READY, **guard)

    async def not_ready(self, reason: str | None = None, *, after_work: bool = False, **guard: Unpack[Guard]) -> f.OkFrame:
        """Go not ready, at once or (``after_work``) when the current assignments are completed."""
        return await self.set_state(AgentState.NOT_READY, reason, after_work=after_work, **guard)

    async def set_state(
        self, state: AgentState, reason: str | None = None, *, after_work: bool = False, **guard: Unpack[Guard]
    ) -> f.OkFrame:
        """Set the agent's state, at once or (``after_work``) when the current assignments are completed."""
        return await self._send_command(
            f.SetStateFrame(id=self._next_id(), state=state, reason=reason, after_work=after_work), **guard
        )

    async def accept(self, offer_id: str, **guard: Unpack[KeyGuard]) -> f.OkFrame:
        """Accept an offer."""
        return await self._send_command(f.AcceptFrame(id=self._next_id(), offer_id=offer_id), **guard)

    async def decline(self, offer_id: str, reason: str = "declined", **guard: Unpack[KeyGuard]) -> f.OkFrame:
        """Decline an offer; the contact keeps its place in the queue."""
        return await self._send_command(f.DeclineFrame(id=self._next_id(), offer_id=offer_id, reason=reason), **guard)

    async def hold(self, assignment_id: str, **guard: Unpack[KeyGuard]) -> f.OkFrame:
        """Put the customer on hold."""
        return await self._send_command(f.HoldFrame(id=self._next_id(), assignment_id=assignment_id), **guard)

    async def unhold(self, assignment_id: str, **guard: Unpack[KeyGuard]) -> f.OkFrame:
        """Take the customer off hold."""
        return await self._send_command(f.UnholdFrame(id=self._next_id(), assignment_id=assignment_id), **guard)

    async def park(self, assignment_id: str, **guard: Unpack[KeyGuard]) -> f.OkFrame:
        """Park the conversation until the customer answers; it uses no capacity meanwhile."""
        return await self._send_command(f.ParkFrame(id=self._next_id(), assignment_id=assignment_id), **guard)

    async def unpark(self, assignment_id: str, **guard: Unpack[KeyGuard]) -> f.OkFrame:
        """Resume a parked conversation."""
        return await self._send_command(f.UnparkFrame(id=self._next_id(), assignment_id=assignment_id), **guard)

    async def pause_channels(self, *channels: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Pause these channels for new contacts and resume all others; without arguments resume every channel."""
        return await self._send_command(f.SetChannelsFrame(id=self._next_id(), paused=channels), **guard)

    async def end(self, contact_id: str, reason: str = "ended", **guard: Unpack[Guard]) -> f.OkFrame:
        """End the conversation; wrap-up begins."""
        return await self._send_command(f.EndFrame(id=self._next_id(), contact_id=contact_id, reason=reason), **guard)

    async def suspend(
        self, contact_id: str, *, resume_by_ms: int | None = None, at_expiry: SuspensionEnd | None = None, **guard: Unpack[Guard]
    ) -> f.OkFrame:
        """Suspend the contact until it is resumed; wrap-up begins. None: as the policy of its queue says."""
        return await self._send_command(
            f.SuspendFrame(id=self._next_id(), contact_id=contact_id, resume_by_ms=resume_by_ms, at_expiry=at_expiry), **guard
        )

    async def switch_channel(
        self,
        contact_id: str,
        channel: str,
        *,
        reference: str | None = None,
        if_unable: IfUnable = IfUnable.REFUSE,
        **guard: Unpack[Guard],
    ) -> f.OkFrame:
        """Continue the contact on another channel; with its present one, give up a switch in progress."""
        return await self._send_command(
            f.SwitchChannelFrame(
                id=self._next_id(), contact_id=contact_id, channel=channel, reference=reference, if_unable=if_unable
            ),
            **guard,
        )

    async def extend_wrap_up(self, assignment_id: str, extend_s: int, **guard: Unpack[KeyGuard]) -> f.OkFrame:
        """Extend the wrap-up time by ``extend_s`` seconds."""
        return await self._send_command(
            f.ExtendWrapUpFrame(id=self._next_id(), assignment_id=assignment_id, extend_s=extend_s), **guard
        )

    async def complete(self, assignment_id: str, disposition: str | None = None, **guard: Unpack[KeyGuard]) -> f.OkFrame:
        """Complete the assignment and end its wrap-up."""
        return await self._send_command(
            f.CompleteFrame(id=self._next_id(), assignment_id=assignment_id, disposition=disposition), **guard
        )

    async def transfer_to_queue(self, contact_id: str, queue_id: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Transfer the contact to a queue, at once (blind transfer)."""
        return await self._send_command(f.TransferFrame(id=self._next_id(), contact_id=contact_id, to_queue_id=queue_id), **guard)

    async def transfer_to_agent(
        self,
        contact_id: str,
        agent_id: str,
        *,
        wait_s: int | None = None,
        return_to_sender_s: int | None = None,
        **guard: Unpack[Guard],
    ) -> f.OkFrame:
        """Offer the contact to another agent; it stays assigned to this agent until the other one accepts.

        With ``wait_s``, an agent who has no free capacity is waited for: this agent's part ends, the contact is reserved
        for the other agent for ``wait_s`` seconds, then for this agent for ``return_to_sender_s`` seconds, then open to all agents.
        """
        return await self._send_command(
            f.TransferFrame(
                id=self._next_id(),
                contact_id=contact_id,
                to_agent_id=agent_id,
                wait_s=wait_s,
                return_to_sender_s=return_to_sender_s,
            ),
            **guard,
        )

    async def cancel_transfer(self, contact_id: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Withdraw a transfer that the other agent has not answered yet; this agent keeps the contact."""
        return await self._send_command(f.CancelTransferFrame(id=self._next_id(), contact_id=contact_id), **guard)

    async def consult_agent(self, contact_id: str, agent_id: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Consult another agent; the contact stays assigned to this agent."""
        return await self._send_command(f.ConsultFrame(id=self._next_id(), contact_id=contact_id, to_agent_id=agent_id), **guard)

    async def consult_queue(self, contact_id: str, queue_id: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Consult an agent selected from a queue; refused if no agent of the queue is available."""
        return await self._send_command(f.ConsultFrame(id=self._next_id(), contact_id=contact_id, to_queue_id=queue_id), **guard)

    async def complete_consult(self, contact_id: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Transfer the contact to the consulted agent."""
        return await self._send_command(f.CompleteConsultFrame(id=self._next_id(), contact_id=contact_id), **guard)

    async def cancel_consult(self, contact_id: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Withdraw or end the consult; this agent continues alone."""
        return await self._send_command(f.CancelConsultFrame(id=self._next_id(), contact_id=contact_id), **guard)

    async def conference(self, contact_id: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Turn the consult into a conference with the customer."""
        return await self._send_command(f.ConferenceFrame(id=self._next_id(), contact_id=contact_id), **guard)

    async def leave(self, contact_id: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Leave a conversation that is owned by another agent."""
        return await self._send_command(f.LeaveFrame(id=self._next_id(), contact_id=contact_id), **guard)

    async def hand_over(self, contact_id: str, agent_id: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Leave a conference and make that participant the owner of the contact."""
        return await self._send_command(f.HandOverFrame(id=self._next_id(), contact_id=contact_id, to_agent_id=agent_id), **guard)
