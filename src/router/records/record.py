"""The record of one contact: what happened to it, from its submit to the end of the last wrap-up.

A record is stored as the JSON document that clients get. Fields are only ever added, with a default, so that a file of an earlier
version can be read.
"""

from hashlib import blake2b
from typing import Final

from msgspec import Struct, field

from router.model.events import ContactGoal
from router.model.policy import FactValue
from router.model.states import GoalOutcome, GoalReporter

LIST_MAX: Final = 200
"""Most entries of each list of a record; ``omitted`` counts those beyond it."""


class QueueStay(Struct):
    """A time that the contact waited in a queue."""

    queue_id: str
    entered_at_ms: int
    """When it entered the queue, epoch milliseconds."""
    left_at_ms: int | None = None
    """When it left the queue or was answered, epoch milliseconds."""
    left_by: str = ""
    """``answered``, ``overflow``, ``suspended``, ``callback`` (it waits for an agreed time or for a call), ``abandoned``,
    ``cancelled``, ``expired``, or the reason for which it was moved: ``supervisor``, ``drained``, …"""


class RecordedWait(Struct):
    """A wait for an agent as the statistics of queues count it: over all queues passed, without closed hours and suspensions."""

    queue_id: str
    """Queue in which it ended."""
    channel: str
    wait_ms: int
    """Length, in milliseconds."""
    outcome: str
    """``answered``, ``abandoned``, ``cancelled`` or ``expired``."""
    service_level_met: bool | None = None
    """Whether it was answered within the threshold of the queue; null: it does not count (left within ``short_abandon_s``,
    cancelled or expired)."""


class RecordedOffer(Struct):
    """An offer of the contact to an agent."""

    offer_id: str
    agent_id: str
    queue_id: str
    offered_at_ms: int
    """When it was made, epoch milliseconds."""
    role: str = "owner"
    """Role that was offered: ``owner``, or ``consult`` for a question of the owner."""
    outcome: str = "pending"
    """``accepted``, ``declined``, ``expired`` (no answer in time) or ``rescinded``; ``pending``: not answered yet."""
    answered_at_ms: int | None = None
    """When the outcome came, epoch milliseconds."""
    reason: str | None = None
    """Reason of a decline, an expiry or a rescission."""


class RecordedWork(Struct):
    """The work of one agent on the contact: an assignment."""

    assignment_id: str
    agent_id: str
    role: str
    """Role in the end: ``owner``, ``consult`` or ``participant``."""
    queue_id: str
    channel: str
    started_at_ms: int
    """Begin, epoch milliseconds."""
    ended_at_ms: int | None = None
    """End, the wrap-up included, epoch milliseconds; null: it goes on."""
    talk_ms: int = 0
    """Time in conversation, in milliseconds."""
    hold_ms: int = 0
    """Time on hold, in milliseconds."""
    parked_ms: int = 0
    """Time parked, in milliseconds."""
    wrap_up_ms: int = 0
    """Time of the wrap-up, in milliseconds."""
    reason: str | None = None
    """Why it ended: ``finished``, ``timer``, ``no_wrap_up``, …"""
    disposition: str | None = None
    """Disposition code; null: none was given."""


class RecordedTransfer(Struct):
    """A change of the owner, or of the queue at the owner's request."""

    at_ms: int
    kind: str
    """``queue`` (a transfer to a queue), ``agent`` (a transfer to an agent, who accepted it), ``consult`` (a warm transfer),
    ``hand_over``, ``supervisor`` or ``lost_desktop``."""
    from_agent_id: str | None = None
    to_agent_id: str | None = None
    """New owner; null: none yet."""
    to_queue_id: str | None = None
    """Queue of a transfer to a queue; null: it was to an agent."""


class CallAttempt(Struct):
    """A call of a callback."""

    attempt: int
    dialled_at_ms: int
    """When the gateway was asked to dial, epoch milliseconds."""
    outcome: str | None = None
    """``connected``, ``no_answer``, ``busy``, ``voicemail``, ``failed`` or ``timeout``; null: not known."""


class RecordedCallback(Struct):
    """The callback that the contact became."""

    requested_at_ms: int
    """When, epoch milliseconds."""
    mode: str
    """Order of assigning an agent and dialling."""
    due_at_ms: int | None = None
    """Agreed time, epoch milliseconds; null: as soon as an agent is free."""
    attempts: list[CallAttempt] = field(default_factory=list)
    """Calls, in order."""


class RecordedSuspension(Struct):
    """A time for which the contact was suspended."""

    suspended_at_ms: int
    """When, epoch milliseconds."""
    resumed_at_ms: int | None = None
    """When it was resumed, epoch milliseconds; null: it ended suspended."""


class RecordedMonitor(Struct):
    """A time for which a supervisor was in the conversation in one mode."""

    supervisor_id: str
    agent_id: str
    """Agent whose conversation it was."""
    mode: str
    """``listen``, ``whisper`` or ``barge``."""
    joined_at_ms: int
    """Begin, epoch milliseconds."""
    left_at_ms: int | None = None
    """End, epoch milliseconds."""
    reason: str | None = None
    """Why it ended: ``mode_changed``, or as in ``contact.monitor_left``."""


class RecordedGoal(Struct):
    """What is known about the goal of a contact: whether it was done, repeats, and scores."""

    outcome: GoalOutcome = GoalOutcome.UNKNOWN
    """Whether it was done."""
    reported_by: GoalReporter | None = None
    """Who reported that; null: it was not reported."""
    repeats: str | None = None
    """Earlier contact of the same customer that this one repeats; null: none."""
    repeated_by: str | None = None
    """Later contact by which the customer came again; null: none."""
    ease: int | None = None
    """How easy it was for the customer: 1 (very difficult) to 7 (very easy); null: no answer."""
    effort: int | None = None
    """How much effort it took: 1 (very little) to 5 (very much); null: no answer."""
    satisfaction: int | None = None
    """How satisfied the customer is: 1 (not at all) to 5 (very); null: no answer."""
    scored_by: GoalReporter | None = None
    """Who gave the scores; null: there are none."""


class ContactRecord(Struct):
    """What happened to one contact. Its customer is not in it: the storage has that id apart, where it can be removed."""

    contact_id: str
    state: str
    """How it ended: ``ended``, ``abandoned``, ``cancelled`` or ``expired``."""
    reason: str
    """Reason of the end."""
    ended_by: str | None
    """Who or what ended it; null: the journal of that time does not say."""
    channel: str
    """Channel on which it ended."""
    queue_id: str
    """Queue in which it ended."""
    gateway_id: str
    submitted_at_ms: int
    """When it was submitted, or its customer was shown options, epoch milliseconds."""
    ended_at_ms: int
    """When it ended, epoch milliseconds."""
    answered_at_ms: int | None = None
    """When an agent first had it, epoch milliseconds; null: never."""
    completed_at_ms: int | None = None
    """When the last agent had finished the wrap-up, epoch milliseconds; null: one goes on, and the record may change."""
    first_channel: str = ""
    """Channel of the submit."""
    rule: str | None = None
    """Entry rule that chose the queue; null: none."""
    skills: dict[str, int] = field(default_factory=dict)
    """Skills required by the contact itself."""
    priority_s: int = 0
    attributes: dict[str, FactValue] = field(default_factory=dict)
    """Facts of the contact, as the policy declares them."""
    queues: list[QueueStay] = field(default_factory=list)
    """Queues passed, in order."""
    waits: list[RecordedWait] = field(default_factory=list)
    """Waits as the statistics count them, in order."""
    offers: list[RecordedOffer] = field(default_factory=list)
    """Offers, consults included, in order."""
    assignments: list[RecordedWork] = field(default_factory=list)
    """Work of agents, in order."""
    transfers: list[RecordedTransfer] = field(default_factory=list)
    """Changes of the owner, and transfers to queues, in order."""
    callback: RecordedCallback | None = None
    """Callback that the contact became; null: it became none."""
    suspensions: list[RecordedSuspension] = field(default_factory=list)
    """Times for which it was suspended, in order."""
    agents: list[str] = field(default_factory=list)
    """Agents who had it, in order."""
    service_level_met: bool | None = None
    """Whether the first of ``waits`` was answered in time; null: it does not count, or there was none."""
    wait_ms: int = 0
    """Sum of ``waits``, in milliseconds."""
    talk_ms: int = 0
    """Time of all agents in conversation, in milliseconds."""
    hold_ms: int = 0
    """Time on hold, in milliseconds."""
    parked_ms: int = 0
    """Time parked, in milliseconds."""
    wrap_up_ms: int = 0
    """Time of all wrap-ups, in milliseconds."""
    omitted: int = 0
    """Entries that are not in the lists, as each has at most 200."""
    goal: str | None = None
    """Goal of the contact; null: none is known."""
    goal_report: RecordedGoal | None = None
    """What is known about the goal, and scores; null: nothing."""
    monitors: list[RecordedMonitor] = field(default_factory=list)
    """Supervisors who were in the conversation, in order."""

    def set_goal(self, goal: ContactGoal) -> None:
        """Set the goal of the contact and everything that is known about it."""
        self.goal = goal.goal
        self.goal_report = RecordedGoal(**{name: getattr(goal, name) for name in RecordedGoal.__struct_fields__})

    def add_up(self) -> None:
        """Set the sums of the lists."""
        self.service_level_met = self.waits[0].service_level_met if self.waits else None
        agents: dict[str, None] = {}
        talk_ms = hold_ms = parked_ms = wrap_up_ms = wait_ms = 0
        for wait in self.waits:
            wait_ms += wait.wait_ms
        for work in self.assignments:
            agents[work.agent_id] = None
            talk_ms += work.talk_ms
            hold_ms += work.hold_ms
            parked_ms += work.parked_ms
            wrap_up_ms += work.wrap_up_ms
        self.agents, self.wait_ms = list(agents), wait_ms
        self.talk_ms, self.hold_ms, self.parked_ms, self.wrap_up_ms = talk_ms, hold_ms, parked_ms, wrap_up_ms


def term(kind: str, *parts: str) -> int:
    """Return the number under which records with a value are indexed; two values share one with a probability of 1 to 2**63."""
    digest = blake2b("\0".join((kind, *parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def fact_text(value: FactValue) -> str:
    """Return the text by which records with a fact are searched."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def indexed_values(record: ContactRecord) -> set[tuple[str, ...]]:
    """Return what a record can be found by: a kind and its value."""
    values: set[tuple[str, ...]] = {
        ("state", record.state),
        ("gateway", record.gateway_id),
        ("channel", record.channel),
        ("channel", record.first_channel),
        ("queue", record.queue_id),
    }
    if record.goal is not None:
        values.add(("goal", record.goal))
        values.add(("outcome", GoalOutcome.UNKNOWN if record.goal_report is None else record.goal_report.outcome))
    for stay in record.queues:
        values.add(("queue", stay.queue_id))
    for work in record.assignments:
        values.add(("channel", work.channel))
        values.add(("queue", work.queue_id))
        values.add(("agent", work.agent_id))
        if work.disposition is not None:
            values.add(("disposition", work.disposition))
    for monitor in record.monitors:
        values.add(("monitor", monitor.supervisor_id))
    for name, value in record.attributes.items():
        values.add(("attribute", name, fact_text(value)))
    return values
