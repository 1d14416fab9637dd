"""State that a client gets in ``welcome``: the query for it and its division into frames of limited size."""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from router.core.engine import Engine
from router.model.states import ContactState
from router.model.views import AgentView, ContactView, WorkspaceView
from router.wire.frames import Page

# About 400 bytes per contact: a page stays well below the frame size that clients accept by default.
PAGE_COUNT: Final = 500
_LIVE: Final = tuple(state for state in ContactState if not state.is_terminal)


class Standing(Struct, frozen=True, kw_only=True):
    """Complete state visible to one client, as of one event."""

    agent: AgentView | None = None
    contacts: tuple[ContactView, ...] = ()
    agents: tuple[AgentView, ...] = ()
    figures: WorkspaceView | None = None

    def pages(self) -> Iterator[Page]:
        """Yield contacts and agents in pages; at least one, which may be empty."""
        longest = max(len(self.contacts), len(self.agents), 1)
        for start in range(0, longest, PAGE_COUNT):
            part = slice(start, start + PAGE_COUNT)
            yield Page(contacts=self.contacts[part], agents=self.agents[part])


def standing_of(role: str, subject: str) -> Callable[[Engine], Standing]:
    """Return the engine query for the state visible to a client."""
    if role == "agent":
        return lambda engine: Standing(agent=engine.agent(subject))
    if role == "gateway":
        return lambda engine: Standing(contacts=_contacts_of(engine, subject))
    return lambda engine: Standing(figures=engine.workspace(), agents=_all_agents(engine))


def _contacts_of(engine: Engine, gateway_id: str) -> tuple[ContactView, ...]:
    found: list[ContactView] = []
    for state in _LIVE:
        after = ""
        while page := engine.contacts(state=state, after=after, limit=PAGE_COUNT):
            found += (contact for contact in page if contact.gateway_id == gateway_id)
            after = page[-1].contact_id
    return tuple(found)


def _all_agents(engine: Engine) -> tuple[AgentView, ...]:
    found: list[AgentView] = []
    while page := engine.agents(after=found[-1].agent_id if found else "", limit=PAGE_COUNT):
        found += page
    return tuple(found)
