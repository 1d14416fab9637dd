"""Operations on contacts and assignments: which of them the present state allows, and for which requester.

One table, ``RULES``, says for each operation in which situations it can succeed. The engine uses it for ``allowed`` of a refusal
and of an assignment's view, and the Python client for its local state, so that what is shown and what is refused cannot differ.

An operation is named like the frame of the WebSocket protocol that stands for it; ``transfer_to_queue`` is listed instead of
``transfer`` while the contact can be transferred to a queue but not to an agent. The state alone decides here. An operation that
is listed may still be refused for what it names (an unknown queue, an agent without capacity) or by a limit of the policy, each
with a code of its own. An operation that is not listed is refused, or has no effect because the state is already as it asks for.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

from msgspec import Struct

from router.model.states import AssignmentRole, AssignmentState, CallbackPhase, ContactState


class Requester(StrEnum):
    """Who asks, in relation to the contact."""

    OWNER = "owner"
    """The agent who owns the contact."""
    MEMBER = "member"
    """An agent in the conversation who does not own the contact: consulted or a participant."""
    WRAP_UP = "wrap_up"
    """An agent whose conversation is over and whose assignment is not completed."""
    GATEWAY = "gateway"
    """The gateway that submitted the contact."""
    SUPERVISOR = "supervisor"


class Situation(Struct, frozen=True, kw_only=True):
    """What the rules read of a contact."""

    state: ContactState
    owner_state: AssignmentState | None = None
    """State of the owner's assignment; None: no agent owns the contact."""
    callback_phase: CallbackPhase | None = None
    """Phase of its callback; None: it is no callback."""
    pending: str | None = None
    """``transfer``, ``consult`` or ``channel``: an agent has been asked, by the owner or for a switch, and has not answered."""
    has_consult: bool = False
    """Whether a consult is running."""
    has_participants: bool = False
    """Whether agents besides the owner talk to the customer."""
    is_switching: bool = False
    """Whether the gateway connects the customer on another channel."""
    is_passing_on: bool = False
    """Whether it connects the customer with another agent, who owns the contact then."""
    is_monitored: bool = False
    """Whether a supervisor has joined the conversation, or is to join it."""

    @property
    def is_assigned(self) -> bool:
        """Return whether an agent owns it."""
        return self.state is ContactState.ASSIGNED

    @property
    def is_waiting(self) -> bool:
        """Return whether it waits in a queue or is offered."""
        return self.state is ContactState.QUEUED or self.state is ContactState.OFFERED

    @property
    def is_active(self) -> bool:
        """Return whether it waits, is called back, or has an agent."""
        return self.is_live and not self.is_suspended and not self.is_choosing

    @property
    def is_choosing(self) -> bool:
        """Return whether its customer is choosing among options."""
        return self.state is ContactState.CHOOSING

    @property
    def is_live(self) -> bool:
        """Return whether it has not ended."""
        return not self.state.is_terminal

    @property
    def is_suspended(self) -> bool:
        """Return whether it is suspended."""
        return self.state is ContactState.SUSPENDED

    @property
    def is_alone(self) -> bool:
        """Return whether no other agent is in the conversation or asked for a consult."""
        return not (self.has_consult or self.has_participants or self.pending == "consult")

    @property
    def may_be_parked(self) -> bool:
        """Return whether the conversation can be parked."""
        return self.owner_state in (AssignmentState.ACTIVE, AssignmentState.ON_HOLD) and self.is_alone

    @property
    def may_switch_channel(self) -> bool:
        """Return whether the contact can be switched to another channel."""
        is_connected = self.callback_phase in (None, CallbackPhase.CONNECTED)
        is_alone = not (self.has_consult or self.has_participants) and self.pending in (None, "channel")
        talks = self.owner_state in (AssignmentState.ACTIVE, AssignmentState.ON_HOLD) and is_alone
        return is_connected and (self.is_waiting or talks)

    @property
    def may_be_monitored(self) -> bool:
        """Return whether a supervisor can join the conversation."""
        talks = self.is_assigned and self.owner_state is not AssignmentState.PARKED
        return talks and self.callback_phase in (None, CallbackPhase.CONNECTED)

    @property
    def can_ask_an_agent(self) -> bool:
        """Return whether the owner may ask another agent: none is asked or consulted already."""
        return self.is_assigned and self.pending is None and not self.has_consult


_CALLS_WAITING: Final = (CallbackPhase.WAITING, CallbackPhase.SCHEDULED, CallbackPhase.RETRY)

Rule = Callable[[Situation], bool]

RULES: Final[dict[str, Rule]] = {
    "update": lambda it: it.is_live,
    "cancel": lambda it: it.is_live and not it.is_assigned,
    "abandon": lambda it: it.is_active and it.callback_phase in (None, CallbackPhase.CONNECTED),
    "end": lambda it: it.is_live,
    "requeue": lambda it: it.is_active,
    "assign": lambda it: it.is_active,
    "suspend": lambda it: it.is_active,
    "resume_contact": lambda it: it.is_suspended,
    "choose": lambda it: it.is_choosing,
    "switch_channel": lambda it: it.may_switch_channel,
    "channel_result": lambda it: it.is_switching,
    "monitor": lambda it: it.may_be_monitored,
    "stop_monitoring": lambda it: it.is_monitored,
    "monitor_result": lambda it: it.is_monitored,
    "callback": lambda it: it.is_waiting and it.callback_phase is None,
    "callback_move": lambda it: it.is_live and not it.is_assigned and it.callback_phase in _CALLS_WAITING,
    "callback_claim": lambda it: it.is_live and it.callback_phase is CallbackPhase.DIALLING,
    "callback_result": lambda it: it.is_live and it.callback_phase is CallbackPhase.DIALLING,
    "hold": lambda it: it.owner_state is AssignmentState.ACTIVE,
    "unhold": lambda it: it.owner_state is AssignmentState.ON_HOLD,
    "park": lambda it: it.may_be_parked,
    "unpark": lambda it: it.owner_state is AssignmentState.PARKED,
    "park_contact": lambda it: it.may_be_parked,
    "unpark_contact": lambda it: it.owner_state is AssignmentState.PARKED,
    "transfer": lambda it: it.can_ask_an_agent,
    "transfer_to_queue": lambda it: it.is_assigned and not it.can_ask_an_agent,
    "transfer_cancel": lambda it: it.pending == "transfer",
    "consult": lambda it: it.can_ask_an_agent and it.owner_state is not AssignmentState.PARKED,
    "consult_complete": lambda it: it.has_consult and not it.is_passing_on,
    "consult_cancel": lambda it: it.has_consult or it.pending == "consult",
    "conference": lambda it: it.has_consult,
    "hand_over": lambda it: it.has_participants and not it.is_passing_on,
    "add_participant": lambda it: it.is_assigned and it.owner_state is not AssignmentState.PARKED,
    "remove_participant": lambda it: it.has_participants or it.has_consult,
    "leave": lambda it: it.is_assigned,
    "extend_wrap_up": lambda it: True,
    "complete": lambda it: it.is_assigned,
}
"""By operation: the situations in which it can succeed."""

_ON_CONTACT: Final = ("end", "transfer", "transfer_to_queue", "transfer_cancel")
_ON_CONSULT: Final = ("consult", "consult_complete", "consult_cancel", "conference", "hand_over")
_FROM_OUTSIDE: Final = (
    *("update", "cancel", "abandon", "end", "park_contact", "unpark_contact"),
    *("choose", "suspend", "resume_contact", "switch_channel", "channel_result", "monitor_result"),
    *("callback", "callback_move", "callback_claim", "callback_result"),
)

OPERATIONS: Final[dict[Requester, tuple[str, ...]]] = {
    Requester.OWNER: ("hold", "unhold", "park", "unpark", "suspend", "switch_channel", *_ON_CONTACT, *_ON_CONSULT, "complete"),
    Requester.MEMBER: ("leave", "complete"),
    Requester.WRAP_UP: ("extend_wrap_up", "complete"),
    Requester.GATEWAY: _FROM_OUTSIDE,
    Requester.SUPERVISOR: (
        *_FROM_OUTSIDE,
        *("requeue", "assign", "transfer", "transfer_to_queue", "transfer_cancel"),
        *_ON_CONSULT,
        *("add_participant", "remove_participant", "monitor", "stop_monitoring"),
    ),
}
"""By requester: the operations that the requester may ask for in some situation."""


def allowed_operations(situation: Situation, requester: Requester) -> tuple[str, ...]:
    """Return the operations that can succeed now, in the order of ``OPERATIONS``."""
    if requester is Requester.WRAP_UP:
        return OPERATIONS[requester]
    return tuple(name for name in OPERATIONS[requester] if RULES[name](situation))


def situation_of(
    state: ContactState,
    *,
    owner_state: AssignmentState | None,
    callback_phase: CallbackPhase | None,
    pending: str | None,
    other_roles: Iterable[AssignmentRole],
    is_switching: bool = False,
    is_passing_on: bool = False,
    is_monitored: bool = False,
) -> Situation:
    """Return the situation of a contact; ``other_roles`` are those of the agents besides the owner."""
    roles = set(other_roles)
    assigned = state is ContactState.ASSIGNED
    return Situation(
        state=state,
        owner_state=owner_state if assigned else None,
        callback_phase=callback_phase,
        pending=pending if assigned else None,
        has_consult=AssignmentRole.CONSULT in roles,
        has_participants=AssignmentRole.PARTICIPANT in roles,
        is_switching=is_switching,
        is_passing_on=is_passing_on,
        is_monitored=is_monitored,
    )
