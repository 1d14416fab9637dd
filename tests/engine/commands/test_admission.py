"""Admission of contacts to queues without ready agents."""

from router.model.commands import CallbackFields
from router.model.events import OfferMade
from router.model.policy import WhenNoAgentsReady
from router.model.results import RefusalCode
from router.model.views import AvailabilityView
from tests.support.builders import a_contact, an_agent, not_ready, ready
from tests.support.engine_worlds import calls


def test_availability_tells_a_gateway_that_no_agent_is_there() -> None:
    """Lesson D5: availability gives a gateway the answer that a submit would get, and a callback is possible instead."""
    world = calls(when_no_agents_ready=WhenNoAgentsReady.REFUSE)
    world.done_all(an_agent(), not_ready())
    view = world.engine.availability("support", "voice", {})
    assert isinstance(view, AvailabilityView)
    assert (view.accepts_contacts, view.refusal, view.agents_ready) == (False, "no_agents_ready", 0)
    assert world.refused(a_contact("c1")).code is RefusalCode.NO_AGENTS_READY
    world.done(a_contact("c2", callback=CallbackFields()))
    made = world.done(ready())[-1]
    assert isinstance(made, OfferMade) and made.contact_id == "c2"
    view = world.engine.availability("support", "voice", {})
    assert isinstance(view, AvailabilityView) and view.accepts_contacts and view.agents_ready == 1


def test_a_queue_may_admit_contacts_while_no_agent_is_ready() -> None:
    """Lesson D3: the policy decides whether a queue admits contacts, and availability says so."""
    for when_no_agents_ready, accepts in ((WhenNoAgentsReady.WAIT, True), (WhenNoAgentsReady.REFUSE, False)):
        world = calls(when_no_agents_ready=when_no_agents_ready)
        world.done(an_agent())
        view = world.engine.availability("support", "voice", {})
        assert isinstance(view, AvailabilityView) and view.accepts_contacts is accepts
