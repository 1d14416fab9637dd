"""Client of a supervisor: receives all events and queue statistics of a workspace, manages contacts and agents."""

from collections.abc import AsyncIterator, Mapping
from functools import cached_property
from typing import Unpack

from router.client.cards import CachedCards
from router.client.connection import ReceivedUpdate
from router.client.gateway import ContactCommands
from router.client.state import WorkspaceCache
from router.client.statistics import CachedStatistics, Subject
from router.client.websocket_client import Guard
from router.context.cards import Card
from router.model.states import AgentState, MonitorMode
from router.protocol import frames as f
from router.statistics.history_queries import Dimension
from router.statistics.questions import Period
from router.statistics.rows import StatisticsRow


class SupervisorClient(ContactCommands):
    """Client of one supervisor of a workspace."""

    path = "/v1/supervisor"

    @property
    def workspace(self) -> WorkspaceCache:
        """Agents as of the last event, queues as of the last ``stats`` frame."""
        return self._cache

    def _on_frame(self, frame: ReceivedUpdate) -> None:
        if isinstance(frame, f.WelcomeFrame):
            self._cache = WorkspaceCache()
        if isinstance(frame, f.WelcomeFrame | f.ResumedFrame):
            # The new connection watches nothing: rows that do not change any more would look like present ones.
            self._statistics.clear()
        match frame:
            case f.WelcomeFrame() | f.StatePageFrame():
                self._cache.load(frame)
            case f.EventFrame():
                self._cache.apply(frame.event, frame.at_ms)
            case f.StatsFrame():
                self._cache.update_stats(frame)
            case f.ScopeFrame():
                self._cache.apply_scope(frame)
            case f.StatisticsFrame():
                self._statistics.apply(frame)

        self._cards.apply(frame)

    _cache = WorkspaceCache()

    @property
    def cards(self) -> Mapping[str, Card]:
        """Cards of the contacts that this connection watches, by contact id; after a new connection they must be watched again."""
        return self._cards.by_contact

    async def card_updates(self) -> AsyncIterator[tuple[str, Card]]:
        """Iterate over the cards that come or change, with their contact ids; the newest of each contact."""
        while True:
            yield await self._cards.next_update()

    @cached_property
    def _cards(self) -> CachedCards:
        return CachedCards(watched=True)

    @property
    def statistics(self) -> Mapping[tuple[Dimension, Period], Mapping[Subject, StatisticsRow]]:
        """Watched statistics by subject, as of the last frame; after a new connection they must be watched again."""
        return self._statistics.by_view

    async def statistics_updates(self) -> AsyncIterator[tuple[StatisticsRow, ...]]:
        """Iterate over the rows that come or change, those of each frame together."""
        while True:
            yield await self._statistics.next_rows()

    @cached_property
    def _statistics(self) -> CachedStatistics:
        return CachedStatistics()

    # --- commands: each raises RouterRefused, OutcomeUnknown, NotConnected or PermanentlyClosed ---------
    async def watch_card(self, contact_id: str) -> f.OkFrame:
        """Get the card of a contact that is not over, and what changes; each look is recorded in the audit of the customer."""
        return await self._send_command(f.WatchCardFrame(id=self._next_id(), contact_id=contact_id))

    async def unwatch_card(self, contact_id: str) -> f.OkFrame:
        """End the watch of a card."""
        answer = await self._send_command(f.WatchCardFrame(id=self._next_id(), contact_id=contact_id, watch=False))
        self._cards.forget(contact_id)
        return answer

    async def watch_statistics(self, by: Dimension, period: Period = Period.TODAY) -> f.OkFrame:
        """Get statistics and what changes in them, at most once a second."""
        return await self._send_command(f.WatchStatisticsFrame(id=self._next_id(), by=by, period=period))

    async def unwatch_statistics(self, by: Dimension, period: Period = Period.TODAY) -> f.OkFrame:
        """End the watch of statistics."""
        answer = await self._send_command(f.WatchStatisticsFrame(id=self._next_id(), by=by, period=period, watch=False))
        self._statistics.forget(by, period)
        return answer

    async def requeue(self, contact_id: str, queue_id: str | None = None, **guard: Unpack[Guard]) -> f.OkFrame:
        """Move a contact into a queue (None: its present one); it keeps its waiting time."""
        return await self._send_command(f.RequeueFrame(id=self._next_id(), contact_id=contact_id, queue_id=queue_id), **guard)

    async def assign(self, contact_id: str, agent_id: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Assign a contact to an agent directly, without an offer."""
        return await self._send_command(f.AssignFrame(id=self._next_id(), contact_id=contact_id, agent_id=agent_id), **guard)

    async def add_participant(self, contact_id: str, agent_id: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Add an agent to a conversation."""
        return await self._send_command(
            f.AddParticipantFrame(id=self._next_id(), contact_id=contact_id, agent_id=agent_id), **guard
        )

    async def remove_participant(self, contact_id: str, agent_id: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Remove an agent from a conversation that is owned by another agent."""
        return await self._send_command(
            f.RemoveParticipantFrame(id=self._next_id(), contact_id=contact_id, agent_id=agent_id), **guard
        )

    async def monitor(self, contact_id: str, mode: MonitorMode, **guard: Unpack[Guard]) -> f.OkFrame:
        """Join a conversation, or change the mode; the gateway connects the supervisor (``contact.monitor_joined``).

        With the present mode: stay for longer, with a token that was renewed (``refresh``).
        """
        return await self._send_command(f.MonitorFrame(id=self._next_id(), contact_id=contact_id, mode=mode), **guard)

    async def stop_monitoring(self, contact_id: str, supervisor_id: str | None = None, **guard: Unpack[Guard]) -> f.OkFrame:
        """Leave a conversation, or remove another supervisor from it."""
        return await self._send_command(
            f.StopMonitoringFrame(id=self._next_id(), contact_id=contact_id, supervisor_id=supervisor_id), **guard
        )

    async def end(self, contact_id: str, reason: str = "supervisor", **guard: Unpack[Guard]) -> f.OkFrame:
        """End a contact."""
        return await self._send_command(f.EndFrame(id=self._next_id(), contact_id=contact_id, reason=reason), **guard)

    async def set_agent_state(
        self, agent_id: str, state: AgentState, reason: str | None = None, *, after_work: bool = False, **guard: Unpack[Guard]
    ) -> f.OkFrame:
        """Set an agent's state, at once or (``after_work``) when the current assignments are completed."""
        return await self._send_command(
            f.SetAgentStateFrame(id=self._next_id(), agent_id=agent_id, state=state, reason=reason, after_work=after_work), **guard
        )

    async def pause_channels(self, agent_id: str, *channels: str, **guard: Unpack[Guard]) -> f.OkFrame:
        """Pause these channels of an agent for new contacts and resume all others; without channels resume every one."""
        return await self._send_command(f.SetAgentChannelsFrame(id=self._next_id(), agent_id=agent_id, paused=channels), **guard)
