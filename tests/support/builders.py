"""Builders of commands and policies with sensible defaults: a test names only what it is about."""

from typing import Any, Final

from router.model.commands import EnqueueContact, PublishPolicy, PutAgent, SetAgentState
from router.model.policy import ChannelPolicy, Policy, QueuePolicy
from router.model.states import AgentState

# A Monday morning, 09:00 UTC, in epoch milliseconds; any fixed number would do.
START_MS: Final = 1_767_603_600_000
SKILLS: Final = ("english", "german", "billing")


def a_channel(**changes: Any) -> ChannelPolicy:
    """Return a channel of which an agent has one item at a time."""
    return ChannelPolicy(**changes)


def a_queue(**changes: Any) -> QueuePolicy:
    """Return a queue that requires nothing of its agents."""
    return QueuePolicy(**changes)


def a_policy(**changes: Any) -> Policy:
    """Return a policy with voice and up to three parallel chats, one queue ``support`` and three skills."""
    defaults: dict[str, Any] = {
        "channels": {"voice": a_channel(), "chat": a_channel(units=30, per_agent_max=3)},
        "queues": {"support": a_queue()},
        "skills": SKILLS,
    }
    return Policy(**(defaults | changes))


def a_policy_with_queue(**changes: Any) -> Policy:
    """Return the default policy with these settings of its queue ``support``."""
    return a_policy(queues={"support": a_queue(**changes)})


def published(policy: Policy | None = None, **changes: Any) -> PublishPolicy:
    """Return the command that publishes a policy."""
    return PublishPolicy(policy=policy or a_policy(), **changes)


def a_contact(contact_id: str = "c1", **changes: Any) -> EnqueueContact:
    """Return the submit of a voice contact for the queue ``support``."""
    defaults: dict[str, Any] = {"contact_id": contact_id, "channel": "voice", "queue_id": "support"}
    return EnqueueContact(**(defaults | changes))


def an_agent(agent_id: str = "ada", **changes: Any) -> PutAgent:
    """Return the record of an agent without skills that serves every queue."""
    return PutAgent(agent_id=agent_id, **changes)


def ready(agent_id: str = "ada") -> SetAgentState:
    """Return the command that sets an agent READY."""
    return SetAgentState(agent_id=agent_id, state=AgentState.READY)


def not_ready(agent_id: str = "ada", **changes: Any) -> SetAgentState:
    """Return the command that sets an agent NOT_READY."""
    return SetAgentState(agent_id=agent_id, state=AgentState.NOT_READY, **changes)


def offline(agent_id: str = "ada") -> SetAgentState:
    """Return the command that logs an agent out."""
    return SetAgentState(agent_id=agent_id, state=AgentState.OFFLINE)
