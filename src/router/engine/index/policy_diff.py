"""Difference of two policies as the indexes see it: which parts must be rebuilt when a new policy takes effect.

Most changes concern the times or targets of one queue. Then no contact moves and no agent qualifies for anything new, and
rebuilding everything would take seconds in a large contact centre.

A policy key that the indexes come to depend on must be added to ``index_changes``.
"""

from typing import Final, NamedTuple

from router.model.policy import AttributeOrder, Policy, QueuePolicy
from router.model.states import QueueId
from router.policy.facts import ranked_attributes

# Channel settings on which capacity depends.
_CAPACITY: Final = ("units", "per_agent_max", "blocks", "interrupts")


class IndexChanges(NamedTuple):
    """What changes between two policies, in terms of the indexes."""

    everything: bool = False
    """Whether everything must be rebuilt."""
    new_queues: frozenset[QueueId] = frozenset()
    """New queues; contacts of an earlier queue of the same name may exist."""
    rekeyed_queues: frozenset[QueueId] = frozenset()
    """Other queues whose requirement has changed, so that each of their lines gets another requirement class."""
    changed_queues: frozenset[QueueId] = frozenset()
    """Queues with any change, including the rekeyed and rebroadcast ones; only individually ranked contacts move in a line."""
    rebroadcast_queues: frozenset[QueueId] = frozenset()
    """Changed queues whose contacts may be offered to more, or fewer, agents at the same time."""
    line_settings: bool = False
    """Whether channel times, or the use of due dates, have changed, which concerns every line."""
    capacity: bool = False
    """Whether capacity must be recomputed; done once for each distinct capacity state."""
    caps: bool = False
    """Whether rate caps have changed as well, which concerns each agent."""
    skills: bool = False
    """Whether the declared skills have changed; agents with one of them may qualify for more or fewer lines."""
    entry_rules: bool = False
    """Whether the entry rules, or the facts that they may use, have changed."""


_EVERYTHING: Final = IndexChanges(everything=True)


def index_changes(before: Policy | None, after: Policy) -> IndexChanges:
    """Return what must be updated to turn indexes built for ``before`` into indexes for ``after``."""
    if before is None or _affects_every_contact(before, after):
        return _EVERYTHING
    replaced: set[QueueId] = set()
    refiled: set[QueueId] = set()
    renewed: set[QueueId] = set()
    shown: set[QueueId] = set()
    for queue_id, queue in after.queues.items():
        old = before.queues.get(queue_id)
        if old == queue:
            continue
        if old is None:
            replaced.add(queue_id)
            continue
        renewed.add(queue_id)
        if old.requires != queue.requires:
            refiled.add(queue_id)
        if old.broadcast != queue.broadcast:
            shown.add(queue_id)
    capped = _caps(before) != _caps(after)
    return IndexChanges(
        new_queues=frozenset(replaced),
        rekeyed_queues=frozenset(refiled),
        changed_queues=frozenset(renewed),
        rebroadcast_queues=frozenset(shown),
        line_settings=before.channels != after.channels or before.cross_queue_order != after.cross_queue_order,
        capacity=capped or _capacity(before) != _capacity(after),
        caps=capped,
        skills=set(before.skills) != set(after.skills),
        entry_rules=(before.entry, before.facts) != (after.entry, after.facts) or before.queues.keys() != after.queues.keys(),
    )


def _affects_every_contact(before: Policy, after: Policy) -> bool:
    return (
        list(before.channels) != list(after.channels)
        or before.plans != after.plans
        or _grouping_settings(before) != _grouping_settings(after)
        or ranked_attributes(before) != ranked_attributes(after)
        or (before.facts != after.facts and _uses_conditions(after))
    )


def _capacity(policy: Policy) -> list[object]:
    return [policy.agents.units, *(tuple(getattr(one, name) for name in _CAPACITY) for one in policy.channels.values())]


def _caps(policy: Policy) -> list[object]:
    return [policy.agents.rate_cap, *(one.rate_cap for one in policy.channels.values())]


def _uses_conditions(policy: Policy) -> bool:
    """Return whether agents are chosen by conditions on facts of agents or customers."""
    return any(queue.agents_when is not None or _customer_keys(queue) for queue in policy.queues.values()) or any(
        step.when is not None for plan in policy.plans.values() for step in plan
    )


def _customer_keys(queue: QueuePolicy) -> tuple[AttributeOrder, ...]:
    """Return the sort keys of agents that depend on facts of customers."""
    return tuple(key for key in queue.order_by if key.when is not None or key.same_as is not None)


def _grouping_settings(policy: Policy) -> dict[QueueId, tuple[object, ...]]:
    """Return the queue settings that decide how agents are grouped, which customers differ, and which plan applies."""
    return {
        queue_id: (queue.agents_when, queue.plan, queue.order_by if _customer_keys(queue) else ())
        for queue_id, queue in policy.queues.items()
        if queue.agents_when is not None or queue.plan is not None or _customer_keys(queue)
    }
