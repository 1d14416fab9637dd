"""Cycles of interrupting channels: each channel would release its capacity for the next, and none would keep any."""

from collections.abc import Iterator
from typing import Final

from router.model.errors import Problem
from router.model.policy import Policy

_SHOWN_MAX: Final = 10


def interrupt_cycles(policy: Policy) -> Iterator[Problem]:
    """Yield a problem for each back edge of a depth-first walk along ``interrupts``, self-interruption included."""
    done: set[str] = set()
    for start in policy.channels:
        if start not in done:
            yield from _walk(policy, start, done)


def _walk(policy: Policy, start: str, done: set[str]) -> Iterator[Problem]:
    """Walk depth first without recursion; ``trail`` is the path from the start to the current channel."""
    trail = [start]
    ways = [iter(policy.channels[start].interrupts)]
    while trail:
        following = next(ways[-1], None)
        if following is None:
            done.add(trail.pop())
            ways.pop()
        elif following in trail:
            cycle = trail[trail.index(following) :]
            index = policy.channels[trail[-1]].interrupts.index(following)
            yield Problem(
                path=f"channels.{trail[-1]}.interrupts[{index}]", message=_sentence(cycle)
            )
        elif following in policy.channels and following not in done:
            trail.append(following)
            ways.append(iter(policy.channels[following].interrupts))


def _sentence(cycle: list[str]) -> str:
    if len(cycle) == 1:
        return "a channel cannot interrupt itself"
    dots = ["…"] if len(cycle) > _SHOWN_MAX else []
    return "cycle of interruptions: " + " → ".join([*cycle[:_SHOWN_MAX], *dots, cycle[0]])
