"""The door of the core: one engine a workspace. Everything that happens goes through ``handle``."""

from router.model.commands import Command
from router.model.events import Event
from router.model.outcome import Outcome
from router.model.policy import Policy
from router.model.views import (
    AgentView,
    AgentWhy,
    ContactView,
    ContactWhy,
    QueueView,
    WorkspaceView,
)


class Engine:
    """The routing engine of one workspace: deterministic, synchronous, single-threaded."""

    def __init__(self) -> None: ...

    # --- what happens ------------------------------------------------------------
    def handle(self, command: Command, at_ms: int) -> Outcome:
        """Carry out one command at one time. Due timers fire first; what can be matched is matched before it returns.

        ``at_ms`` never goes back (asserted). A refusal leaves no event but those of timers that were due.
        """
        raise NotImplementedError

    def next_deadline_ms(self) -> int | None:
        """When ``AdvanceTime`` is due next; none: never. Only the writer asks."""
        raise NotImplementedError

    def replay(self, events: list[Event], first_seq: int, at_ms: int) -> None:
        """Take in one journaled record: the state afterwards is the same as when it was decided."""
        raise NotImplementedError

    # --- the whole ------------------------------------------------------------
    @property
    def seq(self) -> int:
        """The number of the last event; 0 = none yet."""
        raise NotImplementedError

    @property
    def at_ms(self) -> int:
        """The time of the last step."""
        raise NotImplementedError

    def snapshot(self) -> bytes:
        """The state as bytes; the same state gives the same bytes."""
        raise NotImplementedError

    @classmethod
    def restore(cls, snapshot: bytes) -> "Engine":
        """An engine with exactly that state."""
        raise NotImplementedError

    def digest(self) -> str:
        """A hash of the state; equal for live, replayed and restored engines at the same seq."""
        raise NotImplementedError

    def check(self) -> list[str]:
        """Broken invariants as sentences; empty = sound. Slow: for tests, simulator and ``router verify``."""
        raise NotImplementedError

    # --- questions: none of these changes anything ----------------------------------------------------------------
    @property
    def policy(self) -> Policy | None:
        """The policy in force; none before the first one."""
        raise NotImplementedError

    @property
    def policy_version(self) -> int:
        """1, 2, 3…; 0 before the first policy."""
        raise NotImplementedError

    def contact(self, contact_id: str) -> ContactView | None:
        """One contact, live or ended within retention."""
        raise NotImplementedError

    def contacts(
        self,
        *,
        state: str | None = None,
        queue_id: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> list[ContactView]:
        """Contacts by ascending id, those after the id ``after``."""
        raise NotImplementedError

    def agent(self, agent_id: str) -> AgentView | None:
        """One agent."""
        raise NotImplementedError

    def agents(self, *, after: str = "", limit: int = 100) -> list[AgentView]:
        """Agents by ascending id."""
        raise NotImplementedError

    def attached_sessions(self) -> list[tuple[str, str]]:
        """(agent id, session id) of every agent whose desktop counts as attached: after a restart none of them is."""
        raise NotImplementedError

    def queue(self, queue_id: str) -> QueueView | None:
        """One queue."""
        raise NotImplementedError

    def workspace(self) -> WorkspaceView:
        """Everything in figures."""
        raise NotImplementedError

    def why(self, contact_id: str) -> ContactWhy | None:
        """Why a contact is where it is, by the rules that route."""
        raise NotImplementedError

    def why_agent(self, contact_id: str, agent_id: str) -> AgentWhy | None:
        """Why this agent, or why not. None: one of them is unknown."""
        raise NotImplementedError
