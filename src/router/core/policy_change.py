"""Difference of two policies as the indexes see it: which parts must be rebuilt when a new policy takes effect.

Most changes concern the times or targets of one queue. Then no contact moves and no agent qualifies for anything new, and
rebuilding everything would take seconds in a large contact centre.

A policy key that the indexes come to depend on must be added to ``index_changes``.
"""

from typing import Final, NamedTuple

from router.core.fact_order import ordering_facts
from router.model.ids import QueueId
from router.model.policy import Policy

# Channel settings on which capacity depends.
_CAPACITY: Final = ("units", "per_agent_max", "blocks", "interrupts")


class Change(NamedTuple):
    """What changes between two policies, in terms of the indexes."""

    whole: bool = False
    """Whether everything must be rebuilt."""
    replaced: frozenset[QueueId] = frozenset()
    """New queues; contacts of an earlier queue of the same name may exist."""
    refiled: frozenset[QueueId] = frozenset()
    """Other queues whose requirement has changed, so that each of their lines gets another requirement class."""
    renewed: frozenset[QueueId] = frozenset()
    """Queues with any change, including the rekeyed and rebroadcast ones; only individually ranked contacts move in a line."""
    shown: frozenset[QueueId] = frozenset()
    """Changed queues whose contacts may be offered to more, or fewer, agents at the same time."""
    lines: bool = False
    """Whether channel times, or the use of due dates, have changed, which concerns every line."""
    capacity: bool = False
    """Whether capacity must be recomputed; done once for each distinct capacity state."""
    caps: bool = False
    """Whether rate caps have changed as well, which concerns each agent."""
    skills: bool = False
    """Whether the declared skills have changed; agents with one of them may qualify for more or fewer lines."""
    entry: bool = False
    """Whether the entry rules, or the facts that they may use, have changed."""


_WHOLE: Final = Change(whole=True)


def change_between(before: Policy | None, after: Policy) -> Change:
    """Return what must be updated to turn indexes built for ``before`` into indexes for ``after``."""
    if before is None or _concerns_every_contact(before, after):
        return _WHOLE
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
    return Change(
        replaced=frozenset(replaced),
        refiled=frozenset(refiled),
        renewed=frozenset(renewed),
        shown=frozenset(shown),
        lines=before.channels != after.channels or before.across_queues != after.across_queues,
        capacity=capped or _capacity(before) != _capacity(after),
        caps=capped,
        skills=set(before.skills) != set(after.skills),
        entry=(before.entry, before.facts) != (after.entry, after.facts)
        or before.queues.keys() != after.queues.keys(),
    )


def _concerns_every_contact(before: Policy, after: Policy) -> bool:
    return (
        list(before.channels) != list(after.channels)
        or before.plans != after.plans
        or _of_queues(before) != _of_queues(after)
        or ordering_facts(before) != ordering_facts(after)
        or (before.facts != after.facts and _asks_for_facts(after))
    )


def _capacity(policy: Policy) -> list[object]:
    return [
        policy.agents.units,
        *(tuple(getattr(one, name) for name in _CAPACITY) for one in policy.channels.values()),
    ]


def _caps(policy: Policy) -> list[object]:
    return [policy.agents.cap, *(one.cap for one in policy.channels.values())]


def _asks_for_facts(policy: Policy) -> bool:
    return any(queue.agents_when is not None for queue in policy.queues.values())


def _of_queues(policy: Policy) -> dict[QueueId, tuple[object, ...]]:
    """Return the queue settings that decide how agents are grouped and which plan applies."""
    return {
        queue_id: (queue.agents_when, queue.plan)
        for queue_id, queue in policy.queues.items()
        if queue.agents_when is not None or queue.plan is not None
    }
