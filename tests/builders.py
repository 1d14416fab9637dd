"""Things that tests need, with sensible defaults: a test names only what it is about."""

from typing import Any, Final

from router.model.commands import EnqueueContact, PublishPolicy, PutAgent, SetAgentState
from router.model.policy import ChannelPolicy, Policy, QueuePolicy
from router.model.states import AgentState

# A Monday morning, 09:00 UTC, in epoch milliseconds; any fixed number would do.
START_MS: Final = 1_767_603_600_000
SKILLS: Final = ("english", "german", "billing")


def a_channel(**changes: Any) -> ChannelPolicy:
    """A channel of which an agent has one item at a time."""
    return ChannelPolicy(**changes)


def a_queue(**changes: Any) -> QueuePolicy:
    """A queue that asks nothing of its agents."""
    return QueuePolicy(**changes)


def a_policy(**changes: Any) -> Policy:
    """Voice and up to three chats beside each other, one queue ``support``, three skills."""
    defaults: dict[str, Any] = {
        "channels": {"voice": a_channel(), "chat": a_channel(units=30, per_agent_max=3)},
        "queues": {"support": a_queue()},
        "skills": SKILLS,
    }
    return Policy(**(defaults | changes))


def a_policy_with_queue(**changes: Any) -> Policy:
    """The usual policy; its queue ``support`` has these settings."""
    return a_policy(queues={"support": a_queue(**changes)})


def published(policy: Policy | None = None, **changes: Any) -> PublishPolicy:
    """The command that puts a policy in force."""
    return PublishPolicy(policy=policy or a_policy(), **changes)


def a_contact(contact_id: str = "c1", **changes: Any) -> EnqueueContact:
    """A voice contact for the queue ``support``."""
    defaults: dict[str, Any] = {"contact_id": contact_id, "channel": "voice", "queue_id": "support"}
    return EnqueueContact(**(defaults | changes))


def an_agent(agent_id: str = "ada", **changes: Any) -> PutAgent:
    """An agent without skills who serves every queue."""
    return PutAgent(agent_id=agent_id, **changes)


def ready(agent_id: str = "ada") -> SetAgentState:
    """The command by which an agent goes ready."""
    return SetAgentState(agent_id=agent_id, state=AgentState.READY)


def not_ready(agent_id: str = "ada", **changes: Any) -> SetAgentState:
    """The command by which an agent goes not ready."""
    return SetAgentState(agent_id=agent_id, state=AgentState.NOT_READY, **changes)


def offline(agent_id: str = "ada") -> SetAgentState:
    """The command by which an agent logs out."""
    return SetAgentState(agent_id=agent_id, state=AgentState.OFFLINE)
