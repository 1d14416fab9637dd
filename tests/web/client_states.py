"""States of Python clients as plain data, as ``plain.js`` has those of the JavaScript clients."""

from typing import Any

import msgspec

from router.client import state as client_state
from router.client.contact_state import ContactCache


def state_of(client: Any) -> Any:
    """Return the state of a Python client as plain data, each assignment with what it allows."""
    cache = client._cache
    if isinstance(cache, ContactCache):
        return _plain(cache.by_id)
    if isinstance(cache, client_state.WorkspaceCache):
        return {agent_id: agent_of(agent) for agent_id, agent in cache.agents.items()}
    return agent_of(cache)


def agent_of(agent: client_state.CachedAgent) -> Any:
    """Return the state of an agent as plain data."""
    plain = _plain(agent)
    for assignment_id, work in agent.assignments.items():
        plain["assignments"][assignment_id]["allowed"] = list(work.allowed)
    return plain


def _plain(value: Any) -> Any:
    # By way of JSON, which has no tuples.
    return msgspec.json.decode(msgspec.json.encode(value))
