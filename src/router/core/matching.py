"""Matching of waiting contacts with free agents.

Theory of operation
-------------------
Matching runs at the end of every command and stops when no waiting contact is left that some agent could take. It never
scans all contacts or agents; the index keeps two work lists instead. ``index.freed`` holds the agents who gained capacity
since the last round: each takes the first contact, in the total order of waiting contacts, that the agent is allowed to
take. ``index.seeking`` holds the contacts that started to wait: each is given the agent that the selection rule of its
queue chooses. A pair that has not changed since the last round was examined then and need not be examined again.

Freed agents are served in idle order and seeking contacts in the total order, so the result does not depend on the order of
the work lists. Both orders are total; ties cannot occur.

To find the first contact for an agent, only the heads of waiting lines are compared, because all contacts of a line have
the same requirement. Behind the head of a line the search continues only past contacts that are excluded for this agent: a
cool-down, or an offer of the same contact that the agent already has. With L lines the search costs O(sqrt(L)) or less in
the usual case, see ``next_contact``.
"""

from typing import Final

from router.core.decide.dialling import dial_for
from router.core.decide.offers import make
from router.core.decide.step import Step
from router.core.decide.steps import leave_if_absent, serve_left
from router.core.index import Index, calls_first
from router.core.lines import Line
from router.core.profiles import FEW_PROFILES, Profile
from router.core.ranking import class_of
from router.core.reasons import others_who_could, values_of
from router.core.selection import chosen, longest_idle_of
from router.core.state import Agent, Contact
from router.model.ids import AgentId
from router.model.policy import QUEUE_RANK, FactValue, Selection
from router.model.states import Turn

# Enum members are bound to module names: looking them up on the class is slow on the hot path.
_AGENT: Final = Turn.AGENT
_CONTACT: Final = Turn.CONTACT

_FEW_LINES: Final = 16
_LOOK_AT_MOST: Final = 32
_LONGEST_IDLE: Final = Selection.LONGEST_IDLE


def settle(step: Step) -> None:
    """Match freed agents and seeking contacts until both work lists are empty."""
    index = step.state.index
    freed, seeking = index.freed, index.seeking
    while True:
        if index.left:
            serve_left(step)
        if freed:
            _serve_freed(step, index)
        if seeking:
            _serve_seeking(step, index)
        if not (freed or seeking or index.left):
            return


def serve_newcomer(step: Step) -> None:
    """Offer the contact that has just arrived to a free agent, without adding it to its waiting line.

    If the queue broadcasts, or every free agent is excluded, the contact is added to its line and matched like any other.
    """
    index = step.state.index
    contact = index.newcomer
    assert contact is not None
    line = contact.line
    assert line is not None
    if line.broadcast > 1 or (agent := choose_agent(index, line, contact, step.at_ms)) is None:
        index.take_place()
        return
    index.newcomer = None
    _bring_together(step, contact, agent, line, _CONTACT)


def _serve_freed(step: Step, index: Index) -> None:
    freed = index.freed
    if len(freed) == 1:
        agents = [freed.popitem()[1]]
    else:
        agents = sorted(freed.values(), key=_idle_no)
        freed.clear()
    for agent in agents:
        while agent.room:
            found = next_contact(index, agent, step.at_ms)
            if found is None:
                break
            _bring_together(step, found[0], agent, found[1], _AGENT)


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
            _bring_together(step, contact, agent, line, _CONTACT)


def _bring_together(step: Step, contact: Contact, agent: Agent, line: Line, turn: Turn) -> None:
    """Offer the contact to the agent and record why this agent and why now.

    For a customer-first callback the customer is called instead.
    """
    if contact.callback is not None and calls_first(contact):
        dial_for(step, contact, agent)
        return
    index, profile, i = step.state.index, agent.profile, line.channel_index
    assert profile is not None
    reason: str = line.selection
    values: dict[str, FactValue] | None = None
    if profile.ranks or line.only is not None or reason is not _LONGEST_IDLE:
        if line.only is not None:
            reason = "preferred"
        values = values_of(line, agent, turn)
    elif index.open_profiles[i] & line.profile_mask == profile.bit and profile.idle[i].size == 1:
        # No other agent could take it, so nothing was compared: most offers of a busy contact centre.
        make(step, contact, agent, line, reason, turn)
        return
    others = others_who_could(index, line, contact, agent, step.at_ms)
    make(step, contact, agent, line, reason, turn, others, values)


def _idle_no(agent: Agent) -> int:
    return agent.idle_no


def _rank(contact: Contact) -> int:
    return 0 if contact.line is None else contact.line.place_of(contact)


def kept_apart(index: Index, contact: Contact, agent: Agent, at_ms: int) -> bool:
    """Return whether the agent must not be offered the contact now, although it is qualified and has capacity.

    Reasons: the cool-down of the pair, a pending offer of this contact to the agent, or another customer who is being called
    on behalf of the agent.
    """
    if contact.cool_downs and contact.cool_downs.get(agent.agent_id, 0) > at_ms:
        return True
    if contact.callback is not None and index.is_dialled_for(agent.agent_id, contact):
        return True
    offers = agent.offers
    return any(offer_id in offers for offer_id in contact.offers)


def next_contact(index: Index, agent: Agent, at_ms: int) -> tuple[Contact, Line] | None:
    """Return the first contact in the total order that the agent can take now, with its waiting line; None if there is none.

    With few lines to look at, each head is compared. With many, the heads are walked in order until one fits. The first
    costs the number of lines that fit, the second the number of lines before the first that fits, so the smaller of the two
    is about the square root of the number of lines at most.
    """
    profile = agent.profile
    assert profile is not None
    if profile.ranks:
        return _next_by_rank(index, agent, profile, at_ms)
    mask = profile.mask & index.busy_lines
    best: Line | None = None
    best_key = 0
    if mask and agent.room != index.every_channel:
        mask &= _reachable(index, agent)
    if mask:
        if mask.bit_count() > _FEW_LINES:
            best, best_key = _first_by_heads(index, mask, agent, at_ms)
        else:
            best, best_key = _first_of_few(index, mask, agent, at_ms)
    if index.private:
        for line in index.private.get(agent.agent_id, ()):
            if line.head and agent.room >> line.channel_index & 1 and profile.serves(line):
                key = _first_for(index, line, agent, at_ms)
                if key and (not best_key or key < best_key):
                    best, best_key = line, key
    return None if best is None else (best.at(best_key), best)


def _reachable(index: Index, agent: Agent) -> int:
    """Return the bit set of the lines whose channel the agent has free capacity for."""
    open_channels, reachable = agent.room, 0
    for i, lines in enumerate(index.channel_lines):
        if open_channels >> i & 1:
            reachable |= lines
    return reachable


def _next_by_rank(
    index: Index, agent: Agent, profile: Profile, at_ms: int
) -> tuple[Contact, Line] | None:
    """Return the first contact for an agent with queue ranks: by priority class, then queue rank, then the total order.

    Examines every non-empty line that the agent serves, because the preferred queue may be anywhere in the total order.
    """
    ranks = profile.ranks
    lines = _lines_of(index, profile.mask & index.busy_lines & _reachable(index, agent))
    lines += [
        line
        for line in index.private.get(agent.agent_id, ())
        if line.head and agent.room >> line.channel_index & 1 and profile.serves(line)
    ]
    places = sorted(
        (class_of(line.head), ranks.get(line.queue_id, QUEUE_RANK), line.head, line.index)
        for line in lines
    )
    best: tuple[int, int, int] | None = None
    best_line: Line | None = None
    for strict, rank, head, place in places:
        if best is not None and (strict, rank, head) > best:
            break
        line = index.by_index[place]
        assert line is not None
        key = _first_for(index, line, agent, at_ms)
        # A contact behind the head may have a lower priority class.
        if key and (best is None or (class_of(key), rank, key) < best):
            best, best_line = (class_of(key), rank, key), line
    if best is None or best_line is None:
        return None
    return best_line.at(best[2]), best_line


def _lines_of(index: Index, mask: int) -> list[Line]:
    lines: list[Line] = []
    while mask:
        bit = mask & -mask
        mask ^= bit
        line = index.by_index[bit.bit_length() - 1]
        assert line is not None
        lines.append(line)
    return lines


def _first_of_few(index: Index, mask: int, agent: Agent, at_ms: int) -> tuple[Line | None, int]:
    """Return the line of the mask with the first contact for the agent and its position, comparing every line."""
    by_index = index.by_index
    best: Line | None = None
    best_key = 0
    while mask:
        bit = mask & -mask
        mask ^= bit
        line = by_index[bit.bit_length() - 1]
        assert line is not None
        key = line.head
        if best_key and key > best_key:
            continue
        head = line.by_key[line.first]
        if head.cool_downs or head.offers or head.callback:
            key = _first_for(index, line, agent, at_ms)
        if key and (not best_key or key < best_key):
            best, best_key = line, key
    return best, best_key


def _first_by_heads(index: Index, mask: int, agent: Agent, at_ms: int) -> tuple[Line | None, int]:
    """Return the same as ``_first_in_few_lines`` by walking the heads of all lines in order.

    Where many lines fit, one of them is found after a few heads.
    """
    by_index = index.by_index
    best: Line | None = None
    best_key = 0
    for head, i in index.heads:
        if best_key and head > best_key:
            break
        line = by_index[i]
        if line is None or not line.bit & mask:
            continue
        key = _first_for(index, line, agent, at_ms)
        if key and (not best_key or key < best_key):
            best, best_key = line, key
    return best, best_key


def _first_for(index: Index, line: Line, agent: Agent, at_ms: int) -> int:
    """Return the position of the first contact in the line that is not excluded for the agent; 0 if there is none."""
    head = line.by_key[line.first]
    if not (head.cool_downs or head.offers or head.callback) or not kept_apart(
        index, head, agent, at_ms
    ):
        return line.head
    for key in line.in_order():
        if not kept_apart(index, line.by_key[key], agent, at_ms):
            return line.place(key)
    return 0


def choose_agent(index: Index, line: Line, contact: Contact, at_ms: int) -> Agent | None:
    """Return the agent that the selection rule of the line chooses among those who can take the contact now."""
    if line.only is not None:
        return _kept_for(index, line, line.only, contact, at_ms)
    mask = index.open_profiles[line.channel_index] & line.profile_mask
    if not mask:
        return None
    apart: frozenset[str] | None = None
    if contact.cool_downs or contact.offers or contact.callback:
        apart = frozenset(index.kept_apart_from(contact, at_ms)) or None
    if line.selection is _LONGEST_IDLE:
        if mask.bit_count() > FEW_PROFILES:
            agent = _first_of_all(index, line, apart)
            if agent is not None:
                return agent
        if apart is None:
            return longest_idle_of(index.open_to(line, mask), line.channel_index)
    return chosen(index.open_to(line, mask), line, apart, contact.contact_id, index.lot)


def _first_of_all(index: Index, line: Line, apart: frozenset[str] | None) -> Agent | None:
    """Return the longest idle qualified agent if it is among the first agents with free capacity, in idle order.

    Where many agent groups qualify, one of their agents is found after a few; otherwise the caller compares the few groups.
    """
    bit = line.bit
    for agent in index.idle[line.channel_index].near_the_front(_LOOK_AT_MOST):
        profile = agent.profile
        if profile is None or not profile.mask & bit:
            continue
        if apart is None or agent.agent_id not in apart:
            return agent
    return None


def _kept_for(
    index: Index, line: Line, only: tuple[AgentId, ...], contact: Contact, at_ms: int
) -> Agent | None:
    """Return the first agent in the order of preference who can take the contact now."""
    for agent in index.kept_for(line, only):
        if agent.room >> line.channel_index & 1 and not kept_apart(index, contact, agent, at_ms):
            return agent
    return None
