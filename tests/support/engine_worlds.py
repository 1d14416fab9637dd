"""Worlds and observations that the tests of the engine share."""

from collections.abc import Iterable
from typing import Any

from router.model import commands as c
from router.model import events as e
from router.model.policy import CallbackMode, CallbackPolicy, EntryRule, FactPolicy, FactType, Policy, Selection
from router.model.states import AgentState, AssignmentRole, AssignmentState
from router.model.views import ChosenAgent
from tests.support.builders import a_channel, a_contact, a_policy, a_queue, an_agent, ready
from tests.support.world import World, a_world

# Facts of agents that selection rules use.
SELECTION_FACTS = {
    "years": FactPolicy(type=FactType.INT, applies_to="agent"),
    "native": FactPolicy(type=FactType.BOOL, applies_to="agent"),
    "grade": FactPolicy(type=FactType.ENUM, values=("junior", "senior", "lead"), applies_to="agent"),
}
# Facts of contacts and agents that entry rules use.
RULE_FACTS = {
    "tier": FactPolicy(type=FactType.ENUM, values=("gold", "silver")),
    "age": FactPolicy(type=FactType.INT),
    "desk": FactPolicy(type=FactType.INT, applies_to="agent"),
    "site": FactPolicy(type=FactType.IDENT, applies_to="agent"),
}


def names(count: int) -> list[str]:
    return [f"agent{number:02}" for number in range(count)]


def with_agents(world: World, agents: Iterable[str]) -> World:
    for agent_id in agents:
        world.done_all(an_agent(agent_id), ready(agent_id))
    return world


def offers_of(world: World, contact_id: str) -> dict[str, str]:
    """Return the pending offers of a contact: agent id to offer id."""
    view = world.engine.contact(contact_id)
    assert view is not None
    return {offer.agent_id: offer.offer_id for offer in view.offers}


def accept(world: World, contact_id: str, agent_id: str) -> list[e.Event]:
    offer_id = offers_of(world, contact_id)[agent_id]
    return world.done(c.AcceptOffer(offer_id=offer_id, agent_id=agent_id))


def kinds(events: Iterable[e.Event]) -> list[str]:
    return [type(one).__name__ for one in events]


def state_of(world: World, agent_id: str) -> AgentState:
    view = world.engine.agent(agent_id)
    assert view is not None
    return view.state


def owner_of(world: World, contact_id: str) -> str | None:
    view = world.engine.contact(contact_id)
    assert view is not None
    return view.agent_id


def calls(**queue: object) -> World:
    """Return a world with a voice queue that offers callbacks and has no cool-down."""
    policy = CallbackPolicy(mode=CallbackMode.AGENT_FIRST)
    return a_world(a_policy(queues={"support": a_queue(callback=policy, cool_down_s=0, **queue)}))


def chats(**channel: object) -> World:
    """Return a world with two chats per agent and no cool-down."""
    return a_world(
        a_policy(channels={"chat": a_channel(units=50, per_agent_max=2, **channel)}, queues={"support": a_queue(cool_down_s=0)})
    )


def taken(world: World, contact_id: str, agent_id: str) -> str:
    """Submit a chat that the only agent with free capacity accepts, and return the assignment id."""
    world.done(a_contact(contact_id, channel="chat"))
    world.done(c.AcceptOffer(offer_id=f"{contact_id}.1", agent_id=agent_id))
    return f"{contact_id}.1"


def a_talk(*others: str, wrap_up_s: int = 10, **channel: Any) -> World:
    """Return a world in which ``ada`` has the voice contact ``c1`` and the others are ready and free."""
    voice = a_channel(wrap_up_s=wrap_up_s, **channel)
    policy = a_policy(channels={"voice": voice, "chat": a_channel(units=30, per_agent_max=3)})
    world = a_world(policy, an_agent("ada"), ready("ada"), a_contact("c1"))
    world.done(c.AcceptOffer(offer_id="c1.1", agent_id="ada"))
    for name in others or ("bob",):
        world.done_all(an_agent(name), ready(name))
    return world


def consult(agent_id: str = "bob", **changes: Any) -> c.StartConsult:
    return c.StartConsult(contact_id="c1", to_agent_id=agent_id, **changes)


def a_consult(*others: str, **settings: Any) -> World:
    """Return the same world with a running consult of ``bob``."""
    world = a_talk(*others, **settings)
    world.done(consult())
    world.done(c.AcceptOffer(offer_id="c1.2", agent_id="bob"))
    return world


def roles(world: World) -> dict[str, AssignmentRole]:
    view = world.engine.contact("c1")
    assert view is not None and view.agent_id is not None
    return {view.agent_id: AssignmentRole.OWNER} | {one.agent_id: one.role for one in view.participants}


def assignment_state_of(world: World, agent_id: str) -> AssignmentState | None:
    view = world.engine.agent(agent_id)
    assert view is not None
    return view.assignments[0].state if view.assignments else None


def choosing(selection: Selection, *, whole: dict[str, Any] | None = None, **queue: Any) -> Policy:
    """Return a policy whose queue has this selection rule."""
    queues = {"support": a_queue(selection=selection, **queue)}
    return a_policy(queues=queues, facts=SELECTION_FACTS, **(whole or {}))


def staffed(policy: Policy, *agents: c.PutAgent) -> World:
    """Return a world with agents who became ready in this order."""
    world = World(policy)
    for agent in agents:
        world.done_all(agent, ready(agent.agent_id))
    return world


def taker(world: World, contact_id: str) -> str:
    """Return the agent that is offered a new contact."""
    (made,) = [one for one in world.done(a_contact(contact_id)) if isinstance(one, e.OfferMade)]
    return made.agent_id


def serve(world: World, contact_id: str) -> str:
    """Serve a new contact from its offer to its end and return its agent."""
    agent_id = taker(world, contact_id)
    world.done(c.AcceptOffer(offer_id=f"{contact_id}.1", agent_id=agent_id))
    world.done(c.CompleteAssignment(assignment_id=f"{contact_id}.1", agent_id=agent_id))
    return agent_id


def chosen(world: World, contact_id: str) -> ChosenAgent:
    why = world.engine.why(contact_id)
    assert why is not None
    (one,) = why.chosen
    return one


def with_rules(*whens: str, **changes: Any) -> Policy:
    rules = tuple(EntryRule(name=f"rule{place}", when=when, queue="vip") for place, when in enumerate(whens))
    queues = {"support": a_queue(), "vip": a_queue()}
    return a_policy(**{"queues": queues, "facts": RULE_FACTS, "entry": rules, "default_queue": "support", **changes})


def comes(contact_id: str = "c1", **attributes: Any) -> c.EnqueueContact:
    return a_contact(contact_id, queue_id=None, attributes=attributes)


def queued(world: World, command: c.EnqueueContact) -> e.ContactQueued:
    event = world.done(command)[0]
    assert isinstance(event, e.ContactQueued)
    return event


def interrupting(**changes: object) -> Policy:
    return a_policy(
        channels={
            "voice": a_channel(interrupts=("chat",)),
            "chat": a_channel(units=50, per_agent_max=2, interrupts=("mail",)),
            "mail": a_channel(units=20, per_agent_max=5),
        },
        **changes,
    )


def taken_by_ada(world: World, contact_id: str, channel: str = "voice") -> str:
    """Submit a contact and accept it as ada; return the assignment's id."""
    events = world.done(a_contact(contact_id, channel=channel))
    (offer,) = (event for event in events if isinstance(event, e.OfferMade))
    if not any(isinstance(event, e.OfferAccepted) for event in events):
        world.done(c.AcceptOffer(offer_id=offer.offer_id, agent_id="ada"))
    return offer.offer_id
