"""Commands on offers, assignments, agents, policies and queues."""

# msgspec copies an empty mutable default for each instance; ruff recognises that only if the base class is in the same file.
# ruff: noqa: RUF012

from collections.abc import Mapping

from msgspec import UNSET, UnsetType

from router.model.commands.contact import CommandStruct
from router.model.policy import FactValue, Policy
from router.model.policy_versions import ChangeCounts
from router.model.states import AgentId, AgentState, AssignmentId, OfferId, QueueId, TeamId


class AcceptOffer(CommandStruct, frozen=True, kw_only=True, tag="offer.accept"):
    """Accept an offer. Repeating a successful accept returns the first result."""

    offer_id: OfferId
    agent_id: AgentId


class DeclineOffer(CommandStruct, frozen=True, kw_only=True, tag="offer.decline"):
    """Decline an offer; the contact returns to its position in the queue."""

    offer_id: OfferId
    agent_id: AgentId
    reason: str = "declined"


class HoldAssignment(CommandStruct, frozen=True, kw_only=True, tag="assignment.hold"):
    """Put the customer on hold."""

    assignment_id: AssignmentId
    agent_id: AgentId


class ResumeAssignment(CommandStruct, frozen=True, kw_only=True, tag="assignment.resume"):
    """Take the customer off hold."""

    assignment_id: AssignmentId
    agent_id: AgentId


class ParkAssignment(CommandStruct, frozen=True, kw_only=True, tag="assignment.park"):
    """Park a conversation: its owner keeps it and waits for the customer; its capacity is released."""

    assignment_id: AssignmentId
    agent_id: AgentId


class UnparkAssignment(CommandStruct, frozen=True, kw_only=True, tag="assignment.unpark"):
    """Resume a parked conversation, even beyond the owner's capacity."""

    assignment_id: AssignmentId
    agent_id: AgentId


class ExtendWrapUp(CommandStruct, frozen=True, kw_only=True, tag="assignment.extend_wrap_up"):
    """Extend the wrap-up, within the channel's ``wrap_up_max_s``."""

    assignment_id: AssignmentId
    agent_id: AgentId
    extend_s: int


class CompleteAssignment(CommandStruct, frozen=True, kw_only=True, tag="assignment.complete"):
    """Finish the wrap-up early, with a disposition. Before the end of the conversation: end it and skip the wrap-up.

    ``agent_id`` is none if a supervisor does it.
    """

    assignment_id: AssignmentId
    agent_id: AgentId | None = None
    disposition: str | None = None


class PutAgent(CommandStruct, frozen=True, kw_only=True, tag="agent.put"):
    """Create an agent or replace the agent's record. State, offers and assignments are unchanged."""

    agent_id: AgentId
    skills: dict[str, int] = {}
    queues: tuple[QueueId, ...] | None = None
    """Queues that the agent serves; none: every queue whose required skills the agent has."""
    units: int | None = None
    """Capacity of the agent; none: the policy's default."""
    channel_max: dict[str, int] = {}
    """Overrides of the channels' ``per_agent_max``; 0 excludes a channel."""
    attributes: dict[str, FactValue] = {}
    queue_ranks: dict[QueueId, int] = {}
    """Order in which a free agent serves queues, within a priority class: 1 (first) to 9; default 5. At most 1,000 entries."""
    team: TeamId | None = None
    """Team of the agent; none: the agent belongs to no team. Routing does not use it."""
    labels: tuple[str, ...] = ()
    """Labels of the agent, for lists and bulk acts. Routing does not use them."""


class UpdateAgent(CommandStruct, frozen=True, kw_only=True, tag="agent.update"):
    """Change an agent's record by a merge patch (RFC 7396); unset fields and entries keep their values, None removes."""

    agent_id: AgentId
    skills: Mapping[str, int | None] | UnsetType | None = UNSET
    queues: tuple[QueueId, ...] | UnsetType | None = UNSET
    units: int | UnsetType | None = UNSET
    channel_max: Mapping[str, int | None] | UnsetType | None = UNSET
    attributes: Mapping[str, FactValue | None] | UnsetType | None = UNSET
    queue_ranks: Mapping[QueueId, int | None] | UnsetType | None = UNSET
    team: TeamId | UnsetType | None = UNSET
    labels: tuple[str, ...] | UnsetType | None = UNSET
    add_labels: tuple[str, ...] = ()
    remove_labels: tuple[str, ...] = ()
    """Removed before others are added."""


class RemoveAgent(CommandStruct, frozen=True, kw_only=True, tag="agent.remove"):
    """Delete an agent without offers and assignments."""

    agent_id: AgentId


class SetAgentState(CommandStruct, frozen=True, kw_only=True, tag="agent.set_state"):
    """Set an agent's state.

    With ``after_work``, an agent who has assignments keeps the present state until the last one is completed. The wanted
    state is stored in ``next_state`` (the last write wins), and no new offers are made meanwhile.
    """

    agent_id: AgentId
    state: AgentState
    reason: str | None = None
    after_work: bool = False


class SetAgentChannels(CommandStruct, frozen=True, kw_only=True, tag="agent.set_channels"):
    """Set the channels on which the agent is paused and gets no new offers. Replaces the whole set; the state is unchanged."""

    agent_id: AgentId
    paused: tuple[str, ...] = ()


class ConnectDesktop(CommandStruct, frozen=True, kw_only=True, tag="agent.connect_desktop"):
    """Report that a desktop session of the agent has connected. It replaces an older session."""

    agent_id: AgentId
    session_id: str


class LoseDesktop(CommandStruct, frozen=True, kw_only=True, tag="agent.lose_desktop"):
    """Report that a desktop session has disconnected. Ignored if a newer session has replaced it."""

    agent_id: AgentId
    session_id: str


class CreateWorkspace(CommandStruct, frozen=True, kw_only=True, tag="workspace.create"):
    """Create the workspace, whose history is empty, with a first policy if there is one."""

    policy: Policy | None = None
    """First policy, in which the caller has found no problem; none: contacts are refused until one is published."""
    created_by: str = ""
    note: str = ""


class RemoveWorkspace(CommandStruct, frozen=True, kw_only=True, tag="workspace.remove"):
    """Remove a workspace that was created over the API and has neither live contacts nor agents."""

    removed_by: str = ""


class PublishPolicy(CommandStruct, frozen=True, kw_only=True, tag="policy.publish"):
    """Replace the whole policy.

    If ``expected_version`` is set and is not the present version, the command is refused. ``drain_to`` maps each removed
    queue with waiting contacts to the queue that receives them.
    """

    policy: Policy
    expected_version: int | None = None
    drain_to: dict[QueueId, QueueId] = {}
    is_checked: bool = False
    """Whether the caller has found no problem in the policy: checking a large one takes long, so the API does it in a thread."""
    note: str = ""
    published_by: str = ""
    restores: int | None = None
    """Version whose content this is; none: it is no rollback."""
    changes: ChangeCounts | None = None
    """Differences to ``compared_version``, counted by the caller for the same reason; none: not counted."""
    compared_version: int | None = None


class SchedulePolicy(CommandStruct, frozen=True, kw_only=True, tag="policy.schedule"):
    """Publish a policy at a time. It replaces one that is scheduled.

    If ``replaces`` is set and that version is not active at the time, it is not published.
    """

    policy: Policy
    publish_at_ms: int
    replaces: int | None = None
    drain_to: dict[QueueId, QueueId] = {}
    note: str = ""
    scheduled_by: str = ""
    changes: ChangeCounts | None = None
    """Differences to the version ``replaces``, counted by the caller."""
    is_checked: bool = False
    """Whether the caller has found no problem in the policy."""


class CancelScheduledPolicy(CommandStruct, frozen=True, kw_only=True, tag="policy.cancel_schedule"):
    """Do not publish the scheduled policy; forget one that was refused."""


class SetShadowPolicy(CommandStruct, frozen=True, kw_only=True, tag="policy.set_shadow"):
    """Run a shadow policy in parallel with the active policy. It replaces an earlier shadow policy."""

    policy: Policy
    is_checked: bool = False
    """Whether the caller has found no problem in the policy."""


class ClearShadowPolicy(CommandStruct, frozen=True, kw_only=True, tag="policy.clear_shadow"):
    """Clear the shadow policy."""


class SetQueueOpen(CommandStruct, frozen=True, kw_only=True, tag="queue.set_open"):
    """Open or close a queue as a supervisor, overriding its calendar. ``is_open`` none: follow the calendar again.

    ``duration_s`` limits the override; none: until the next such command.
    """

    queue_id: QueueId
    is_open: bool | None = None
    duration_s: int | None = None
