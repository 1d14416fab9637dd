"""The words of the simulator: a day is what is going to happen, apart from what the router decides about it.

Where a day comes from (a recorded log, a generated workload) is the affair of ``formats/`` and ``workload.py``; what becomes
of it, of ``world.py``. All moments are milliseconds on the day's own clock, all durations milliseconds.
"""

from collections.abc import Iterable

from msgspec import Struct, structs

from router.model.errors import RouterError
from router.model.ids import AgentId, ContactId, QueueId
from router.model.policy import CallbackMode, FactValue, Policy


class WorkloadInvalid(RouterError):
    """A log or a workload file cannot be used; the message names the file and the line, column or path, never a value."""


class CallbackWish(Struct, frozen=True, kw_only=True, gc=False):
    """A customer who would rather be called back, where the policy lets him."""

    after_ms: int
    """When he has waited so long, he asks for it."""
    mode: CallbackMode | None = None
    """None: the policy's."""
    reached_share: float = 1.0
    """Of the attempts; the others end with the time for a report."""
    answer_mean_ms: int = 0
    """Mean of an exponential time until he picks up; 0: at once."""


class PlannedContact(Struct, frozen=True, kw_only=True, gc=False):
    """A contact that is going to arrive, with what only the customer knows: how long he talks, how long he waits."""

    contact_id: ContactId
    at_ms: int
    queue_id: QueueId
    handle_ms: int
    """From the accept to the end of the conversation."""
    patience_ms: int | None = None
    """He leaves when he has waited so long; none: he waits for ever."""
    channel: str = "voice"
    skills: dict[str, int] = {}
    priority_s: int = 0
    strict_class: int = 0
    callback: CallbackWish | None = None
    stream: str = ""
    """The arrival stream it belongs to, for the report; none: its queue."""


class Shift(Struct, frozen=True, kw_only=True, gc=False):
    """An agent is on duty from one moment to another; with work in hand he stays until it is done."""

    from_ms: int
    to_ms: int | None = None
    """None: as long as there is anything to do."""


class AgentBehaviour(Struct, frozen=True, kw_only=True, gc=False):
    """How an agent answers an offer that the policy does not accept for him. Shares are probabilities, 0 to 1."""

    answer_mean_ms: int = 0
    """Mean of an exponential delay before the accept or the decline; 0: at once."""
    decline_share: float = 0.0
    no_answer_share: float = 0.0
    ready_again_ms: int = 60_000
    """After a missed offer he goes ready by himself, unless the policy brings him back."""


class PlannedAgent(Struct, frozen=True, kw_only=True):
    """An agent of the day. Without shifts his group's staff levels say when he is on duty."""

    agent_id: AgentId
    group: str = "agents"
    skills: dict[str, int] = {}
    queues: tuple[QueueId, ...] | None = None
    units: int | None = None
    channel_max: dict[str, int] = {}
    attributes: dict[str, FactValue] = {}
    queue_ranks: dict[str, int] = {}
    shifts: tuple[Shift, ...] = ()
    behaviour: AgentBehaviour = AgentBehaviour()


class StaffLevel(Struct, frozen=True, kw_only=True, gc=False):
    """From now on so many agents of a group are on duty. Idle agents leave first; busy ones finish their work."""

    at_ms: int
    group: str
    count: int


class Day(Struct, frozen=True, kw_only=True):
    """Everything that one run needs. ``contacts`` come in order of ``at_ms`` and are read once."""

    name: str
    policy: Policy
    contacts: Iterable[PlannedContact]
    contacts_expected: int
    """For the progress bar only."""
    agents: tuple[PlannedAgent, ...]
    levels: tuple[StaffLevel, ...] = ()
    start_ms: int = 0
    window_from_ms: int
    """Contacts that arrive before are the warm-up and not counted."""
    window_to_ms: int
    """Contacts that arrive at or after are not counted; time figures end here."""
    batches: int = 1
    """The window is cut into so many equal pieces for the confidence intervals of a single run."""
    behaviour_seed: int = 0

    def moved(self, by_ms: int) -> "Day":
        """The same day at another time: that matters to opening hours alone."""
        if not by_ms:
            return self
        return structs.replace(
            self,
            contacts=(structs.replace(c, at_ms=c.at_ms + by_ms) for c in self.contacts),
            agents=tuple(
                structs.replace(
                    agent,
                    shifts=tuple(
                        Shift(
                            from_ms=shift.from_ms + by_ms,
                            to_ms=None if shift.to_ms is None else shift.to_ms + by_ms,
                        )
                        for shift in agent.shifts
                    ),
                )
                for agent in self.agents
            ),
            levels=tuple(structs.replace(one, at_ms=one.at_ms + by_ms) for one in self.levels),
            start_ms=self.start_ms + by_ms,
            window_from_ms=self.window_from_ms + by_ms,
            window_to_ms=self.window_to_ms + by_ms,
        )
