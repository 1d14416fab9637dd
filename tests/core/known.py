"""What is known of a centre, and how it is looked up. What events change of it: ``fold.py``."""

from router.model import events as e
from router.model.policy import AtClosing, CapPolicy, ChannelPolicy, Policy, QueuePolicy, Selection
from router.model.states import AssignmentRole, AssignmentState, ContactState, OfferState
from tests.core.records import RefAgent, RefAssignment, RefContact, RefOffer

TERMINAL = {
    e.ContactAbandoned: ContactState.ABANDONED,
    e.ContactCancelled: ContactState.CANCELLED,
    e.ContactExpired: ContactState.EXPIRED,
    e.ContactEnded: ContactState.ENDED,
}

OFFER_ENDS = {
    e.OfferAccepted: OfferState.ACCEPTED,
    e.OfferDeclined: OfferState.DECLINED,
    e.OfferExpired: OfferState.EXPIRED,
    e.OfferRescinded: OfferState.RESCINDED,
}


class Known:
    """Everything that has happened, in plain words."""

    def __init__(self) -> None:
        self.policy: Policy | None = None
        self.policy_version = 0
        self.contacts: dict[str, RefContact] = {}
        self.offers: dict[str, RefOffer] = {}
        self.assignments: dict[str, RefAssignment] = {}
        self.agents: dict[str, RefAgent] = {}
        self.cool_downs: dict[tuple[str, str], int] = {}
        self.closed_until: dict[str, int | None] = {}
        """The queues that are closed, and when they open, as far as was said."""
        self.closing: dict[str, AtClosing] = {}
        """What was to become of those in line when the queue closed."""
        self.next_look: dict[str, int] = {}
        """Of queues that were said to open or close: when that changes."""
        self.submitted = 0
        self.ended = dict.fromkeys(TERMINAL.values(), 0)
        self.seq = 0
        self.at_ms = 0
        self.day: str | None = None
        self.day_until_ms = 0
        self._turn = 0

    def counts_days(self) -> bool:
        """A queue chooses by what was given to whom today."""
        return (
            self.policy is not None
            and any(
                queue.selection is Selection.FEWEST_TODAY for queue in self.policy.queues.values()
            )
        ) or (
            self.policy is not None
            and any(
                step.selection is Selection.FEWEST_TODAY
                for plan in self.policy.plans.values()
                for step in plan
            )
        )

    def caps_on(self, channel: str) -> dict[str, CapPolicy]:
        """The caps that a contact of this channel counts in."""
        assert self.policy is not None
        own = self.policy.channels[channel].cap if channel in self.policy.channels else None
        caps = {channel: own, "all": self.policy.agents.cap}
        return {name: cap for name, cap in caps.items() if cap is not None}

    def live_contact(self, contact_id: str) -> RefContact:
        """A contact that is not over. AssertionError: something happened to one that is."""
        contact = self.contacts[contact_id]
        assert not contact.state.is_terminal, "I18: something happens to a contact that is over"
        return contact

    def owner_of(self, contact: RefContact) -> str | None:
        """The agent who owns it."""
        return None if contact.owner is None else self.assignments[contact.owner].agent_id

    def consults(self, contact: RefContact) -> list[str]:
        """Assignments of agents who are consulted on it."""
        return [n for n, role in contact.others.items() if role is AssignmentRole.CONSULT]

    def live_offers(self, contact: RefContact) -> list[RefOffer]:
        """The pending offers of a contact."""
        return [
            offer
            for offer in self.offers.values()
            if offer.state is OfferState.PENDING and offer.contact_id == contact.contact_id
        ]

    def pending(self) -> list[RefOffer]:
        """All pending offers."""
        return [offer for offer in self.offers.values() if offer.state is OfferState.PENDING]

    def open_work(self, agent: RefAgent | None = None) -> list[RefAssignment]:
        """Assignments that are not completed, of one agent or of all."""
        return [
            work
            for work in self.assignments.values()
            if work.state is not AssignmentState.COMPLETED
            and (agent is None or work.agent_id == agent.agent_id)
        ]

    def queue_of(self, contact: RefContact) -> QueuePolicy:
        """The policy of the queue that the contact is in."""
        assert self.policy is not None
        return self.policy.queues[contact.queue_id]

    def channel(self, name: str) -> ChannelPolicy:
        """The policy of a channel."""
        assert self.policy is not None
        return self.policy.channels[name]

    def length(self, queue_id: str) -> int:
        """How many wait in the queue."""
        return sum(
            contact.queue_id == queue_id and contact.state is ContactState.QUEUED
            for contact in self.contacts.values()
        )
