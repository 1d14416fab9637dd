"""What a new policy changes for those who wait and those who work: so much of the indexes is made anew, and no more.

Most changes touch one queue's times or targets. Then nobody stands elsewhere, and nobody qualifies who did not before.
"""

from typing import Final, NamedTuple

from router.core.fact_order import ordering_facts
from router.model.ids import QueueId
from router.model.policy import Policy

# What an agent can hold depends on these.
_CAPACITY: Final = ("units", "per_agent_max", "blocks", "interrupts")


class Change(NamedTuple):
    """The difference between two policies, as the indexes see it."""

    whole: bool = False
    """Everything has to be made anew."""
    replaced: frozenset[QueueId] = frozenset()
    """Queues that are new: of one that had their name before there may be contacts."""
    refiled: frozenset[QueueId] = frozenset()
    """Further queues that require something else of everybody: each of their classes asks for something else as a whole."""
    renewed: frozenset[QueueId] = frozenset()
    """Queues whose lines go by something else, the refiled and shown ones among them; only ranks of one's own move in a line."""
    shown: frozenset[QueueId] = frozenset()
    """Those of them whose contacts may be offered to more agents at once than before, or to fewer."""
    lines: bool = False
    """Some channel's times, or what due dates count for: every line learns them."""
    capacity: bool = False
    """What agents can hold: it is weighed anew for all who are alike at once."""
    caps: bool = False
    """How many contacts agents take within a time, too: that is each agent's own affair."""
    skills: bool = False
    """Which skills there are: agents who have one of them may be qualified for more, or for less."""
    entry: bool = False
    """The entry rules, or the facts that they may name."""


_WHOLE: Final = Change(whole=True)


def change_between(before: Policy | None, after: Policy) -> Change:
    """What is to be done so that the indexes are those of ``after``, where they are those of ``before``."""
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
    """What of queues decides who is alike, and which plan goes on."""
    return {
        queue_id: (queue.agents_when, queue.plan)
        for queue_id, queue in policy.queues.items()
        if queue.agents_when is not None or queue.plan is not None
    }
