"""Client of a channel gateway: submits contacts and receives their events.

``ContactCommands`` are the commands that gateways (on their own contacts) and supervisors (on any contact) have in common.
"""

import asyncio
import secrets
from collections.abc import Mapping
from typing import Final, Literal, Unpack

from msgspec import UNSET, UnsetType

from router.client.connection import ReceivedUpdate
from router.client.contact_state import ContactCache
from router.client.errors import NotConnected, OutcomeUnknown, RouterRefused
from router.client.goals import GoalCommands
from router.client.websocket_client import Guard
from router.context.cards import ContactContext
from router.model.commands import CallbackFields
from router.model.forecasts import ExpectedWait
from router.model.policy import CallbackMode, FactValue, SuspensionEnd
from router.model.states import CallbackOutcome, ChannelOutcome, IfUnable, MonitorMode, MonitorOutcome, ResumeMode
from router.protocol import frames as f
from router.protocol.problem_types import PROBLEMS

_REPEAT_AFTER_MS: Final = 500
"""Time before a submit is repeated, where the refusal names none."""


class ContactCommands(GoalCommands):
    """Client with the commands that change or query a contact.

    Every command raises RouterRefused, OutcomeUnknown, NotConnected or PermanentlyClosed.
    """

    async def update(
        self,
        contact_id: str,
        *,
        priority_s: int | UnsetType | None = UNSET,
        priority_class: int | UnsetType | None = UNSET,
        skills: Mapping[str, int | None] | UnsetType | None = UNSET,
        attributes: Mapping[str, FactValue | None] | UnsetType | None = UNSET,
        preferred_agents: tuple[str, ...] | UnsetType | None = UNSET,
        **guard: Unpack[Guard],
    ) -> f.OkFrame:
        """Change a contact that has not ended, by a merge patch.

        Unset fields, and skills and attributes that are not named, keep their values; None removes.
        """
        return await self._send_command(
            f.UpdateFrame(
                id=self._next_id(),
                contact_id=contact_id,
                priority_s=priority_s,
                priority_class=priority_class,
                skills=dict(skills) if isinstance(skills, Mapping) else skills,
                attributes=dict(attributes) if isinstance(attributes, Mapping) else attributes,
                preferred_agents=preferred_agents,
            ),
            **guard,
        )

    async def park(self, contact_id: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Park the conversation until the customer answers; it uses no agent capacity meanwhile."""
        return await self._send_command(f.ParkContactFrame(id=self._next_id(), contact_id=contact_id), **guard)

    async def unpark(self, contact_id: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Resume the conversation because the customer has answered; succeeds if the contact is not parked."""
        return await self._send_command(f.UnparkContactFrame(id=self._next_id(), contact_id=contact_id), **guard)

    async def suspend(
        self, contact_id: str, *, resume_by_ms: int | None = None, at_expiry: SuspensionEnd | None = None, **guard: Unpack[Guard]
    ) -> f.OkFrame:
        """Suspend the contact until it is resumed; it has no agent meanwhile. None: as the policy of its queue says."""
        return await self._send_command(
            f.SuspendFrame(id=self._next_id(), contact_id=contact_id, resume_by_ms=resume_by_ms, at_expiry=at_expiry), **guard
        )

    async def resume(
        self, contact_id: str, *, channel: str | None = None, reference: str | None = None, **guard: Unpack[Guard]
    ) -> f.OkFrame:
        """Put a suspended contact into its queue again, on the channel on which the customer is now (None: the contact's own)."""
        return await self._send_command(
            f.ResumeContactFrame(id=self._next_id(), contact_id=contact_id, channel=channel, reference=reference), **guard
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

    async def channel_result(self, contact_id: str, outcome: ChannelOutcome, **guard: Unpack[Guard]) -> f.OkFrame:
        """Report the outcome of the switch requested by a ``contact.channel_requested`` event."""
        return await self._send_command(f.ChannelResultFrame(id=self._next_id(), contact_id=contact_id, outcome=outcome), **guard)

    async def monitor_result(
        self, contact_id: str, supervisor_id: str, mode: MonitorMode, outcome: MonitorOutcome, **guard: Unpack[Guard]
    ) -> f.OkFrame:
        """Report the outcome of a ``contact.monitor_requested`` event, or that a supervisor is connected no more."""
        return await self._send_command(
            f.MonitorResultFrame(
                id=self._next_id(), contact_id=contact_id, supervisor_id=supervisor_id, mode=mode, outcome=outcome
            ),
            **guard,
        )

    async def callback(
        self,
        contact_id: str,
        *,
        mode: CallbackMode | None = None,
        channel: str | None = None,
        at_ms: int | None = None,
        until_ms: int | None = None,
        **guard: Unpack[Guard],
    ) -> f.OkFrame:
        """Convert a waiting contact to a callback, keeping its place in the queue.

        ``at_ms``: earliest time of the call, in Unix milliseconds; None means as soon as the contact's turn comes. ``until_ms``:
        end of the time window, when the callback expires; None means as the policy says. ``due_at_ms`` of the answer is the
        agreed time: the next opening if the queue is closed at ``at_ms``.
        """
        return await self._send_command(
            f.CallbackFrame(id=self._next_id(), contact_id=contact_id, mode=mode, channel=channel, at_ms=at_ms, until_ms=until_ms),
            **guard,
        )

    async def move_callback(
        self, contact_id: str, at_ms: int | None = None, *, until_ms: int | None = None, **guard: Unpack[Guard]
    ) -> f.OkFrame:
        """Move a callback to another time; with ``at_ms`` None it is due now. ``due_at_ms`` of the answer is the agreed time."""
        return await self._send_command(
            f.MoveCallbackFrame(id=self._next_id(), contact_id=contact_id, at_ms=at_ms, until_ms=until_ms), **guard
        )

    async def claim_callback(
        self, contact_id: str, claimant: str, *, lease_s: int | None = None, attempt: int | None = None, **guard: Unpack[Guard]
    ) -> f.OkFrame:
        """Claim the call requested by a ``callback.dial_requested`` event before dialling; refused if another process has it.

        ``claimant`` names this process, for example its pod. ``lease_s``: seconds after which another process may claim the
        call; None means until the deadline of the attempt.
        """
        return await self._send_command(
            f.ClaimCallbackFrame(id=self._next_id(), contact_id=contact_id, claimant=claimant, lease_s=lease_s, attempt=attempt),
            **guard,
        )

    async def callback_result(
        self, contact_id: str, outcome: CallbackOutcome, attempt: int | None = None, **guard: Unpack[Guard]
    ) -> f.OkFrame:
        """Report the outcome of the call requested by a ``callback.dial_requested`` event with that ``attempt`` number."""
        return await self._send_command(
            f.CallbackResultFrame(id=self._next_id(), contact_id=contact_id, outcome=outcome, attempt=attempt), **guard
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

    async def cancel(self, contact_id: str, reason: str = "cancelled", **guard: Unpack[Guard]) -> f.OkFrame:
        """Withdraw a contact that is not assigned to an agent."""
        return await self._send_command(f.CancelFrame(id=self._next_id(), contact_id=contact_id, reason=reason), **guard)


class GatewayClient(ContactCommands):
    """Client of one gateway; the subject of the token is its id. It receives the events of the contacts it has submitted."""

    path = "/v1/gateway"

    @property
    def contacts(self) -> ContactCache:
        """Live contacts of this gateway as of the last frame."""
        return self._cache

    def _on_frame(self, frame: ReceivedUpdate) -> None:
        if isinstance(frame, f.WelcomeFrame):
            self._cache = ContactCache()
        if isinstance(frame, f.WelcomeFrame | f.StatePageFrame):
            self._cache.load(frame)
        elif isinstance(frame, f.EventFrame):
            self._cache.apply(frame.event, frame.at_ms)

    _cache = ContactCache()

    # --- commands: each raises RouterRefused, OutcomeUnknown, NotConnected or PermanentlyClosed ---------
    async def submit(
        self,
        channel: str,
        *,
        queue_id: str | None = None,
        skills: dict[str, int] | None = None,
        priority_s: int = 0,
        priority_class: int = 0,
        attributes: dict[str, FactValue] | None = None,
        ttl_s: int | None = None,
        reference: str | None = None,
        callback: CallbackFields | None = None,
        preferred_agents: tuple[str, ...] = (),
        continues_contact_id: str | None = None,
        customer: f.ContactCustomer | None = None,
        context: ContactContext | None = None,
        resume: Literal["never", "auto", "ask"] = "never",
        goal: str | None = None,
        idempotency_key: str | None = None,
        retry_until_acknowledged: bool = False,
    ) -> f.OkFrame:
        """Submit a contact; ``subject`` of the answer is the contact's id.

        ``queue_id``: the queue; None lets the entry rules of the policy choose. ``skills``: required levels (1 to 10), in
        addition to those of the queue. ``priority_s``: head start in seconds of waiting time. ``priority_class``: contacts of
        a higher class go first in any case. ``attributes``: values of facts that the policy declares. ``ttl_s``: seconds after
        which the contact expires if it is still waiting. ``reference``: the gateway's own id, repeated in events and views.
        ``callback``: the customer is not on the line and is to be called. ``preferred_agents``, ``continues_contact_id``: named
        agents, and an earlier contact of the customer whose agent counts as the last one, for plan steps that prefer them.
        ``customer``: who the customer is, by identities or by an id. ``context``: what they want, for the card of the agent.
        ``resume``: ``auto`` lets the only suspended conversation of the customer go on, ``ask`` lets them choose one; ``subject``
        of the answer is the contact that goes on. ``goal``: what they come for, one of the goals of the policy.

        Every submit carries an idempotency key, generated if none is given. After OutcomeUnknown it is safe to submit again
        with the key of the exception; ``retry_until_acknowledged`` does so automatically, over as many connections as necessary,
        and also while the router is unavailable. A full queue or a rate that is exceeded is raised.
        """
        contact = f.ContactFields(
            channel=channel,
            queue_id=queue_id,
            skills=skills or {},
            priority_s=priority_s,
            priority_class=priority_class,
            attributes=attributes or {},
            ttl_s=ttl_s,
            reference=reference,
            callback=callback,
            preferred_agents=preferred_agents,
            continues_contact_id=continues_contact_id,
            customer=customer,
            context=context,
            resume=ResumeMode(resume),
            goal=goal,
        )
        key = idempotency_key or secrets.token_urlsafe(16)
        while True:
            try:
                return await self._send_command(f.SubmitFrame(id=self._next_id(), contact=contact, idempotency_key=key))
            except OutcomeUnknown as unknown:
                if not retry_until_acknowledged:
                    raise OutcomeUnknown(str(unknown), key) from None
            except NotConnected:
                # After a first connection that has failed for good every repetition would fail at once, without a pause.
                if not retry_until_acknowledged or self._connection.has_ended:
                    raise
            except RouterRefused as refused:
                # Such as ``journal_unavailable`` of a router that another one has replaced: it may have taken effect.
                kind = PROBLEMS.get(refused.code)
                if not (retry_until_acknowledged and kind is not None and kind.status == 503):
                    raise
                await asyncio.sleep((refused.error.retry_after_ms or _REPEAT_AFTER_MS) / 1000)

    async def abandon(self, contact_id: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Report that the customer has left before being answered."""
        return await self._send_command(f.AbandonFrame(id=self._next_id(), contact_id=contact_id), **guard)

    async def end(self, contact_id: str, reason: str = "ended", **guard: Unpack[Guard]) -> f.OkFrame:
        """End the conversation, for example because the customer has hung up."""
        return await self._send_command(f.EndFrame(id=self._next_id(), contact_id=contact_id, reason=reason), **guard)
