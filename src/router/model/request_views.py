"""Views of requests: what a customer may see of their own, and nothing of queues, agents or other customers."""

from msgspec import Struct

from router.model.events.contact import TimeWindow
from router.model.states import ContactId, RequestOutcome, RequestPhase


class _CustomerView(Struct, frozen=True, omit_defaults=True):
    """Base of the views of customers; fields with their default value are left out."""


class WaitTold(_CustomerView, frozen=True, kw_only=True):
    """Expected wait of a customer in whole seconds, from now on."""

    p50: int
    """Half of the customers wait at most this long."""
    p90: int
    """Nine of ten wait at most this long."""


class OptionView(_CustomerView, frozen=True, kw_only=True):
    """An option of a customer who is choosing."""

    id: str
    """Name by which it is chosen."""
    channel: str
    position: int | None = None
    """Place in the queue, 1 = next; null: the customer would not wait in it now, as an agent is free or they are called back."""
    wait_s: WaitTold | None = None
    """Expected wait; null: it cannot be estimated, or the customer is called back."""
    windows: tuple[TimeWindow, ...] = ()
    """Time windows of a callback; choose one of them, or none."""
    keeps_place: bool = True
    """Whether the customer keeps the place in the queue."""
    resumes: ContactId | None = None
    """Id of the suspended conversation that goes on; null: the option is something new."""
    suspended_on: str | None = None
    """Channel of that conversation before."""
    suspended_at_ms: int | None = None
    """When it was suspended, epoch milliseconds."""


class AgentShown(_CustomerView, frozen=True, kw_only=True):
    """What a customer is shown of their agent."""

    name: str | None = None
    """Name, if the policy names an attribute for it and the agent has it."""


class RequestView(_CustomerView, frozen=True, kw_only=True):
    """A request as its customer may see it: nothing of queues, other customers, or ids of agents."""

    request_id: ContactId
    state: RequestPhase
    """State of the request."""
    channel: str
    """Channel on which the customer is served; while choosing, the one that was asked for."""
    channels: tuple[str, ...] = ()
    """Other channels on which the customer may go on now."""
    switches_to: str | None = None
    """Channel on which the customer is to be connected; null: no switch of the channel is in progress."""
    options: tuple[OptionView, ...] = ()
    """Options to choose from."""
    expires_at_ms: int | None = None
    """When the default option is taken, epoch milliseconds; null: there is nothing to choose."""
    position: int | None = None
    """Place in the queue, 1 = next; null: the customer does not wait in it now."""
    wait_s: WaitTold | None = None
    """Expected wait; null: it cannot be estimated."""
    callback_at_ms: int | None = None
    """Agreed time of the callback, epoch milliseconds; null: when the customer's turn comes."""
    callback_until_ms: int | None = None
    """End of the agreed time window."""
    agent: AgentShown | None = None
    """The agent in the conversation."""
    outcome: RequestOutcome | None = None
    """How it ended; null: it has not ended."""
    resumed_id: ContactId | None = None
    """Request with which the customer goes on; null: none."""
