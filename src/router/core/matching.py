"""Matching: after every step, until no waiting contact and agent are left that could be brought together.

Nothing is polled. Whoever has more room than before (``index.freed``) takes the first contact that he could take; whoever waits
anew (``index.seeking``) gets the agent whom its queue's selection chooses. The order of both is total.
"""

from collections.abc import Iterator
from typing import Final

from router.core.decide.offers import make
from router.core.decide.step import Step
from router.core.decide.steps import leave_if_absent, serve_left
from router.core.index import Index
from router.core.lines import Line
from router.core.selection import CHOOSERS
from router.core.state import Agent, Contact
from router.model.ids import AgentId
from router.model.policy import Selection

_FEW_LINES: Final = 16
_FEW_PROFILES: Final = 16
_LOOK_AT_MOST: Final = 32


def settle(step: Step) -> None:
    """Bring together what can be brought together."""
    index = step.state.index
    while index.freed or index.seeking or index.left:
        if index.left:
            serve_left(step)
        if index.freed:
            _serve_freed(step, index)
        if index.seeking:
            _serve_seeking(step, index)


def _serve_freed(step: Step, index: Index) -> None:
    if len(index.freed) == 1:
        agents = list(index.freed.values())
    else:
        agents = sorted(index.freed.values(), key=_idle_no)
    index.freed.clear()
    for agent in agents:
        while agent.room:
            found = next_contact(index, agent, step.at_ms)
            if found is None:
                break
            contact, line = found
            make(step, contact, agent, line, _reason(line))


def _serve_seeking(step: Step, index: Index) -> None:
    if len(index.seeking) == 1:
        contacts = list(index.seeking.values())
    else:
        contacts = sorted(index.seeking.values(), key=_rank)
    index.seeking.clear()
    for contact in contacts:
        while contact.key:
            line = contact.line
            assert line is not None
            agent = choose_agent(index, line, contact, step.at_ms)
            if agent is None:
                if line.only is not None:
                    leave_if_absent(step, contact)
                break
            make(step, contact, agent, line, _reason(line))


def _reason(line: Line) -> str:
    return "preferred" if line.only is not None else line.selection


def _idle_no(agent: Agent) -> int:
    return agent.idle_no


def _rank(contact: Contact) -> int:
    return contact.key


def kept_apart(contact: Contact, agent: Agent, at_ms: int) -> bool:
    """Cool-down of the pair, or an offer of it that he has already."""
    if contact.cool_downs and contact.cool_downs.get(agent.agent_id, 0) > at_ms:
        return True
    offers = agent.offers
    return any(offer_id in offers for offer_id in contact.offers)


def next_contact(index: Index, agent: Agent, at_ms: int) -> tuple[Contact, Line] | None:
    """The first contact in the total order that the agent could take now."""
    profile = agent.profile
    assert profile is not None
    mask = profile.mask & index.busy_lines
    best: Line | None = None
    best_key = 0
    if mask:
        room, reachable = agent.room, 0
        for i, lines in enumerate(index.channel_lines):
            if room >> i & 1:
                reachable |= lines
        mask &= reachable
        for line in _by_head(index, mask):
            if best_key and line.head > best_key:
                break
            key = _first_for(line, agent, at_ms)
            if key and (not best_key or key < best_key):
                best, best_key = line, key
    for line in index.private.get(agent.agent_id, ()):
        if line.head and agent.room >> line.channel_index & 1 and profile.serves(line):
            key = _first_for(line, agent, at_ms)
            if key and (not best_key or key < best_key):
                best, best_key = line, key
    return None if best is None else (best.by_key[best_key], best)


def _by_head(index: Index, mask: int) -> Iterator[Line]:
    """The lines of the mask, the one with the first head first.

    Few lines are looked up and sorted; many are found by walking all heads in order, where one of them comes up soon.
    So either way it costs about the square root of the number of lines at most.
    """
    by_index = index.by_index
    if mask.bit_count() > _FEW_LINES:
        for _, i in index.heads:
            line = by_index[i]
            if line is not None and line.bit & mask:
                yield line
        return
    lines: list[Line] = []
    while mask:
        bit = mask & -mask
        mask ^= bit
        line = by_index[bit.bit_length() - 1]
        assert line is not None
        lines.append(line)
    if len(lines) > 1:
        lines.sort(key=_head)
    yield from lines


def _head(line: Line) -> int:
    return line.head


def _first_for(line: Line, agent: Agent, at_ms: int) -> int:
    """The place of the first contact in the line that is not kept apart from this agent; 0: none."""
    head = line.by_key[line.head]
    if not (head.cool_downs or head.offers) or not kept_apart(head, agent, at_ms):
        return line.head
    for key in line.waiting:
        if not kept_apart(line.by_key[key], agent, at_ms):
            return int(key)
    return 0


def choose_agent(index: Index, line: Line, contact: Contact, at_ms: int) -> Agent | None:
    """The agent whom the line's selection chooses among those who could take the contact now."""
    if line.only is not None:
        return _kept_for(index, line, line.only, contact, at_ms)
    mask = index.open_profiles[line.channel_index] & line.profile_mask
    if not mask:
        return None
    apart: frozenset[str] | None = None
    if contact.cool_downs or contact.offers:
        apart = frozenset(_apart(index, contact, at_ms)) or None
    if line.selection is Selection.LONGEST_IDLE and mask.bit_count() > _FEW_PROFILES:
        agent = _first_of_all(index, line, apart)
        if agent is not None:
            return agent
    return CHOOSERS[line.selection](index.profiles_in(mask), line, apart)


def _first_of_all(index: Index, line: Line, apart: frozenset[str] | None) -> Agent | None:
    """The longest idle of those who are qualified, if he is among the first of everybody with room.

    Where many are qualified he comes up soon, however many kinds of agents there are; where few are, the caller looks
    at those few.
    """
    bit = line.bit
    for agent in index.idle[line.channel_index].near_the_front(_LOOK_AT_MOST):
        profile = agent.profile
        if profile is None or not profile.mask & bit:
            continue
        if apart is None or agent.agent_id not in apart:
            return agent
    return None


def _apart(index: Index, contact: Contact, at_ms: int) -> list[str]:
    """Who is kept apart from the contact now."""
    cool = [a for a, until_ms in (contact.cool_downs or {}).items() if until_ms > at_ms]
    return cool + [index.offer_agent(offer_id) for offer_id in contact.offers]


def _kept_for(
    index: Index, line: Line, only: tuple[AgentId, ...], contact: Contact, at_ms: int
) -> Agent | None:
    """The first in the order of preference who could take it now."""
    for name in only:
        agent = index.agent(name)
        if agent is None or agent.profile is None or not agent.room >> line.channel_index & 1:
            continue
        if agent.profile.serves(line) and not kept_apart(contact, agent, at_ms):
            return agent
    return None
