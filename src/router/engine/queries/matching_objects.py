"""Find the agents or the live contacts that meet a filter, for the preview of a bulk act: how many there are, and the first ids.

Agents are examined one by one, those of a team alone if the filter names one. Contacts are found in the directory by queue and
state without examining the others, so contacts that are over cost nothing.
"""

from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple

from router.engine.index.directory import ContactFilter
from router.engine.matching.filters import AgentMatcher, accepts_contact
from router.engine.queries.slices import Slices, WorkMeter, list_new_contacts
from router.engine.routing_state import RoutingState
from router.model.filters import AgentFilter, LiveContactFilter, ObjectFilter
from router.model.states import ContactState

_AGENT_COST: Final = 4
_STEP_COST: Final = 2
_LIVE_STATES: Final = tuple(state for state in ContactState if not state.is_terminal)


class MatchingObjects(NamedTuple):
    """Objects that meet a filter."""

    total: int
    ids: tuple[str, ...]
    """The first ids: of agents in ascending order, of contacts by state in order of arrival."""


def matching_objects(state: RoutingState, wanted: ObjectFilter, limit: int) -> Slices[MatchingObjects]:
    """Return how many objects meet a filter, and at most ``limit`` ids, each as of the turn that examined it."""
    if isinstance(wanted, AgentFilter):
        return (yield from _agents(state, wanted, limit))
    return (yield from _contacts(state, wanted, limit))


def _agents(state: RoutingState, wanted: AgentFilter, limit: int) -> Slices[MatchingObjects]:
    matcher, meter = AgentMatcher(state, wanted), WorkMeter()
    found: list[str] = []
    candidates: Iterable[str] = state.index.agent_ids if wanted.team is None else state.index.teams.agents_of(wanted.team)
    for agent_id in tuple(candidates):
        agent = state.agents.get(agent_id)
        if agent is not None and matcher.accepts(agent):
            found.append(agent_id)
        if meter.add(_AGENT_COST):
            yield
    return MatchingObjects(len(found), tuple(found[:limit]))


def _contacts(state: RoutingState, wanted: LiveContactFilter, limit: int) -> Slices[MatchingObjects]:
    yield from list_new_contacts(state)
    meter = WorkMeter()
    found: dict[str, None] = {}
    for wanted_state in _LIVE_STATES if wanted.state is None else (wanted.state,):
        search, position, is_turn_over = ContactFilter(None, wanted.queue_id, wanted_state), 0, True
        while is_turn_over:
            is_turn_over = False
            for position_of_step, contact in state.index.directory.search(search, position):
                position = position_of_step
                if contact is not None and accepts_contact(wanted, contact):
                    found[contact.contact_id] = None
                if meter.add(_STEP_COST):
                    is_turn_over = True
                    break
            if is_turn_over:
                yield
    return MatchingObjects(len(found), tuple(islice(found, limit)))
