"""Search for pairs: the first contact that an agent can take, and the agent that a contact is offered to.

Only the heads of waiting lines are compared, because all contacts of a line have the same requirement. Behind the head of a
line the search continues only past contacts that are excluded for the agent: by a cool-down, by an offer of the same contact
that the agent already has, or because another customer is being called on behalf of the agent.

The functions only read the state; ``commands.offers.match_all`` makes the offers.
"""

from typing import Final

from router.engine.index.routing_index import RoutingIndex
from router.engine.matching.selection import longest_idle_unfiltered, select_agent
from router.engine.state.agent import SCANNED_GROUPS_MAX, Agent, AgentGroup
from router.engine.state.contact import Contact, WaitingLine, inverted_priority_class
from router.model.policy import QUEUE_RANK_DEFAULT, Selection
from router.model.states import AgentId

_FEW_LINES_MAX: Final = 16
_IDLE_SCAN_MAX: Final = 32
_LONGEST_IDLE: Final = Selection.LONGEST_IDLE


def is_excluded(index: RoutingIndex, contact: Contact, agent: Agent, at_ms: int) -> bool:
    """Return whether the agent must not be offered the contact now, although it is qualified and has capacity.

    Reasons: the cool-down of the pair, a pending offer of this contact to the agent, or another customer who is being called
    on behalf of the agent.
    """
    if contact.cool_downs and contact.cool_downs.get(agent.agent_id, 0) > at_ms:
        return True
    if contact.callback is not None and index.contacts.is_dialling_for(agent.agent_id, contact):
        return True
    offers = agent.offers
    return any(offer_id in offers for offer_id in contact.pending_offer_ids)


def next_contact(index: RoutingIndex, agent: Agent, at_ms: int) -> tuple[Contact, WaitingLine] | None:
    """Return the first contact in the total order that the agent can take now, with its waiting line; None if there is none.

    With few lines to look at, each head is compared. With many, the heads are walked in order until one fits. The first
    costs the number of lines that fit, the second the number of lines before the first that fits, so the smaller of the two
    is about the square root of the number of lines at most.
    """
    group = agent.group
    assert group is not None
    if group.queue_ranks:
        return _next_by_queue_rank(index, agent, group, at_ms)
    mask = group.line_mask & index.lines.occupied_bits
    best: WaitingLine | None = None
    best_key = 0
    if mask and agent.open_channel_bits != index.channels.all_bits:
        mask &= _lines_with_capacity(index, agent)
    if mask:
        if mask.bit_count() > _FEW_LINES_MAX:
            best, best_key = _first_by_line_heads(index, mask, agent, at_ms)
        else:
            best, best_key = _first_in_few_lines(index, mask, agent, at_ms)
    if index.qualification.reserved_lines:
        for line in index.qualification.reserved_lines.get(agent.agent_id, ()):
            if line.head_rank and agent.open_channel_bits >> line.channel_index & 1 and group.qualifies_for(line):
                key = _first_eligible_position(index, line, agent, at_ms)
                if key and (not best_key or key < best_key):
                    best, best_key = line, key
    return None if best is None else (best.contact_at(best_key), best)


def _lines_with_capacity(index: RoutingIndex, agent: Agent) -> int:
    """Return the bit set of the lines whose channel the agent has free capacity for."""
    open_channels, reachable = agent.open_channel_bits, 0
    for i, lines in enumerate(index.lines.bits_by_channel):
        if open_channels >> i & 1:
            reachable |= lines
    return reachable


def _next_by_queue_rank(index: RoutingIndex, agent: Agent, group: AgentGroup, at_ms: int) -> tuple[Contact, WaitingLine] | None:
    """Return the first contact for an agent with queue ranks: by priority class, then queue rank, then the total order.

    Examines every non-empty line that the agent serves, because the preferred queue may be anywhere in the total order.
    """
    ranks = group.queue_ranks
    lines = _lines_in(index, group.line_mask & index.lines.occupied_bits & _lines_with_capacity(index, agent))
    lines += [
        line
        for line in index.qualification.reserved_lines.get(agent.agent_id, ())
        if line.head_rank and agent.open_channel_bits >> line.channel_index & 1 and group.qualifies_for(line)
    ]
    places = sorted(
        (inverted_priority_class(line.head_rank), ranks.get(line.queue_id, QUEUE_RANK_DEFAULT), line.head_rank, line.index)
        for line in lines
    )
    best: tuple[int, int, int] | None = None
    best_line: WaitingLine | None = None
    for strict, rank, head, place in places:
        if best is not None and (strict, rank, head) > best:
            break
        line = index.qualification.lines_by_index[place]
        assert line is not None
        key = _first_eligible_position(index, line, agent, at_ms)
        # A contact behind the head may have a lower priority class.
        if key and (best is None or (inverted_priority_class(key), rank, key) < best):
            best, best_line = (inverted_priority_class(key), rank, key), line
    if best is None or best_line is None:
        return None
    return best_line.contact_at(best[2]), best_line


def _lines_in(index: RoutingIndex, mask: int) -> list[WaitingLine]:
    lines: list[WaitingLine] = []
    while mask:
        bit = mask & -mask
        mask ^= bit
        line = index.qualification.lines_by_index[bit.bit_length() - 1]
        assert line is not None
        lines.append(line)
    return lines


def _first_in_few_lines(index: RoutingIndex, mask: int, agent: Agent, at_ms: int) -> tuple[WaitingLine | None, int]:
    """Return the line of the mask with the first contact for the agent and its position, comparing every line."""
    by_index = index.qualification.lines_by_index
    best: WaitingLine | None = None
    best_key = 0
    while mask:
        bit = mask & -mask
        mask ^= bit
        line = by_index[bit.bit_length() - 1]
        assert line is not None
        key = line.head_rank
        if best_key and key > best_key:
            continue
        head = line.contacts_by_key[line.first_key]
        if head.cool_downs or head.pending_offer_ids or head.callback:
            key = _first_eligible_position(index, line, agent, at_ms)
        if key and (not best_key or key < best_key):
            best, best_key = line, key
    return best, best_key


def _first_by_line_heads(index: RoutingIndex, mask: int, agent: Agent, at_ms: int) -> tuple[WaitingLine | None, int]:
    """Return the same as ``_first_in_few_lines`` by walking the heads of all lines in order.

    Where many lines fit, one of them is found after a few heads.
    """
    by_index = index.qualification.lines_by_index
    best: WaitingLine | None = None
    best_key = 0
    for head, i in index.lines.head_order:
        if best_key and head > best_key:
            break
        line = by_index[i]
        if line is None or not line.bit & mask:
            continue
        key = _first_eligible_position(index, line, agent, at_ms)
        if key and (not best_key or key < best_key):
            best, best_key = line, key
    return best, best_key


def _first_eligible_position(index: RoutingIndex, line: WaitingLine, agent: Agent, at_ms: int) -> int:
    """Return the position of the first contact in the line that is not excluded for the agent; 0 if there is none."""
    head = line.contacts_by_key[line.first_key]
    if not (head.cool_downs or head.pending_offer_ids or head.callback) or not is_excluded(index, head, agent, at_ms):
        return line.head_rank
    for key in line.iter_keys():
        if not is_excluded(index, line.contacts_by_key[key], agent, at_ms):
            return line.rank_of_key(key)
    return 0


def choose_agent(index: RoutingIndex, line: WaitingLine, contact: Contact, at_ms: int) -> Agent | None:
    """Return the agent that the selection rule of the line chooses among those who can take the contact now."""
    if line.reserved_for is not None:
        return _first_preferred_agent(index, line, line.reserved_for, contact, at_ms)
    mask = index.agents.open_group_bits[line.channel_index] & line.group_mask
    if not mask:
        return None
    apart: frozenset[str] | None = None
    if contact.cool_downs or contact.pending_offer_ids or contact.callback:
        apart = frozenset(index.contacts.excluded_agents(contact, at_ms)) or None
    if line.selection is _LONGEST_IDLE:
        if mask.bit_count() > SCANNED_GROUPS_MAX:
            agent = _longest_idle_qualified(index, line, apart)
            if agent is not None:
                return agent
        if apart is None:
            return longest_idle_unfiltered(index.qualification.open_groups(line, mask), line.channel_index)
    return select_agent(index.qualification.open_groups(line, mask), line, apart, contact.contact_id, index.contacts.draw_number)


def _longest_idle_qualified(index: RoutingIndex, line: WaitingLine, excluded: frozenset[str] | None) -> Agent | None:
    """Return the longest idle qualified agent if it is among the first agents with free capacity, in idle order.

    Where many agent groups qualify, one of their agents is found after a few; otherwise the caller compares the few groups.
    """
    bit = line.bit
    for agent in index.agents.global_idle_orders[line.channel_index].iter_front(_IDLE_SCAN_MAX):
        group = agent.group
        if group is None or not group.line_mask & bit:
            continue
        if excluded is None or agent.agent_id not in excluded:
            return agent
    return None


def _first_preferred_agent(
    index: RoutingIndex, line: WaitingLine, only: tuple[AgentId, ...], contact: Contact, at_ms: int
) -> Agent | None:
    """Return the first agent in the order of preference who can take the contact now."""
    for agent in index.contacts.reserved_agents(line, only):
        if agent.open_channel_bits >> line.channel_index & 1 and not is_excluded(index, contact, agent, at_ms):
            return agent
    return None
