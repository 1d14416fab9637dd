"""Filters of agents and of live contacts, for lists and for bulk acts, which change only what still meets them; results of acts."""

from typing import TypeAlias

from msgspec import Struct

from router.model.states import AgentId, AgentState, ContactState, QueueId, TeamId


class AgentFilter(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="agents"):
    """Conditions on agents, all of which must hold; None: any."""

    state: AgentState | None = None
    reason: str | None = None
    team: TeamId | None = None
    label: str | None = None
    queue_id: QueueId | None = None
    """Queue that the agents serve, by their queues and the skills that the queue requires."""
    skill: tuple[str, int] | None = None
    """Skill with the smallest level."""
    channel: str | None = None
    """Channel that the agents are not excluded from."""
    is_available: bool | None = None
    """Whether the agents could get an offer now, on ``channel`` or, without it, on any channel."""
    teams: tuple[TeamId, ...] | None = None
    """Teams in the scope of the supervisor who asks."""


class LiveContactFilter(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="contacts"):
    """Conditions on contacts that are not over, all of which must hold; None: any."""

    state: ContactState | None = None
    queue_id: QueueId | None = None
    channel: str | None = None
    agent_id: AgentId | None = None
    """Owner of the contacts."""
    queues: tuple[QueueId, ...] | None = None
    """Queues in the scope of the supervisor who asks."""


class SupervisorScope(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Queues and teams to which a supervisor is limited. Anything else looks as if it did not exist."""

    queues: tuple[QueueId, ...] | None = None
    """Queues, with the contacts that are in them now; none: all."""
    teams: tuple[TeamId, ...] | None = None
    """Teams, with their agents; none: all agents."""

    def has_queue(self, queue_id: QueueId) -> bool:
        """Return whether a queue, and a contact in it, is in the scope."""
        return self.queues is None or queue_id in self.queues

    def has_team(self, team: TeamId | None) -> bool:
        """Return whether an agent of a team, or of none, is in the scope."""
        return self.teams is None or team in self.teams


ObjectFilter: TypeAlias = AgentFilter | LiveContactFilter


class BulkPreview(Struct, frozen=True, kw_only=True):
    """Objects that meet the conditions now."""

    count: int
    """Number of them."""
    ids: tuple[str, ...]
    """Their ids, at most 1,000; send them as `ids` of the act."""
    more: bool
    """Whether there are more than `ids`: repeat preview and act when these are done."""
    as_of_seq: int


class BulkResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result for one object."""

    id: str
    """Id of the agent or contact."""
    applied: bool
    """Whether it has taken effect, now or in an earlier attempt."""
    replayed: bool = False
    """True: it had taken effect before, or there was nothing to change."""
    state: str | None = None
    """State of the object after the command, or the state that prevents it."""
    seq: int | None = None
    """Sequence number of the event that the command caused."""
    code: str | None = None
    """Code of the problem; null: it was applied."""
    detail: str = ""
    """What prevents it."""
    temporary: bool = False
    """True: repeat the request with the same key."""


class BulkReceipt(Struct, frozen=True, kw_only=True):
    """Results of a bulk act, in the order of `ids`; each one that was applied is durable."""

    applied: int
    """Number of objects for which it has taken effect."""
    refused: int
    """Number of objects for which it has not."""
    results: tuple[BulkResult, ...]
    """Result for each id."""
