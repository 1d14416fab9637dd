"""Client of a supervisor: receives all events and queue statistics of a workspace, manages contacts and agents."""

from router.client.changes import ContactChanges
from router.client.mirror import CentreMirror
from router.model.states import AgentState
from router.wire import frames as f


class SupervisorClient(ContactChanges):
    """Client of one supervisor of a workspace."""

    path = "/v1/supervisor"

    @property
    def centre(self) -> CentreMirror:
        """Agents as of the last event, queues as of the last ``stats`` frame."""
        return self._mirror

    def _hear(self, frame: f.Welcome | f.Page | f.EventFrame | f.Figures) -> None:
        if isinstance(frame, f.Welcome):
            self._mirror = CentreMirror()
        match frame:
            case f.Welcome() | f.Page():
                self._mirror.add(frame)
            case f.EventFrame():
                self._mirror.apply(frame.event, frame.at_ms)
            case f.Figures():
                self._mirror.take(frame)

    _mirror = CentreMirror()

    # --- commands: each raises RouterRefused, OutcomeUnknown, NotConnected or ClosedForGood ---------
    async def requeue(self, contact_id: str, queue_id: str | None = None) -> f.Ok:
        """Move a contact into a queue (None: its present one); it keeps its waiting time."""
        return await self._command(
            f.Requeue(id=self._id(), contact_id=contact_id, queue_id=queue_id)
        )

    async def assign(self, contact_id: str, agent_id: str) -> f.Ok:
        """Assign a contact to an agent directly, without an offer."""
        return await self._command(
            f.Assign(id=self._id(), contact_id=contact_id, agent_id=agent_id)
        )

    async def add_participant(self, contact_id: str, agent_id: str) -> f.Ok:
        """Add an agent to a conversation."""
        return await self._command(
            f.AddParticipantFrame(id=self._id(), contact_id=contact_id, agent_id=agent_id)
        )

    async def remove_participant(self, contact_id: str, agent_id: str) -> f.Ok:
        """Remove an agent from a conversation that is owned by another agent."""
        return await self._command(
            f.RemoveParticipant(id=self._id(), contact_id=contact_id, agent_id=agent_id)
        )

    async def end(self, contact_id: str, reason: str = "supervisor") -> f.Ok:
        """End a contact."""
        return await self._command(f.End(id=self._id(), contact_id=contact_id, reason=reason))

    async def set_agent_state(
        self,
        agent_id: str,
        state: AgentState,
        reason: str | None = None,
        *,
        after_work: bool = False,
    ) -> f.Ok:
        """Set an agent's state, at once or (``after_work``) when the current assignments are completed."""
        return await self._command(
            f.SetAgentStateFrame(
                id=self._id(),
                agent_id=agent_id,
                state=state,
                reason=reason,
                after_work=after_work,
            )
        )

    async def pause_channels(self, agent_id: str, *channels: str) -> f.Ok:
        """Pause these channels of an agent for new contacts and resume all others; without channels resume every one."""
        return await self._command(
            f.SetAgentChannelsFrame(id=self._id(), agent_id=agent_id, paused=channels)
        )
