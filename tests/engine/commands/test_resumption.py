"""Suspended conversations that a submit or a request of their customer resumes."""

from collections.abc import Callable
from typing import Any

import pytest

from router.model import commands as c
from router.model import events as e
from router.model.policy import RequestPolicy, SuspensionPolicy, WhenClosed
from router.model.results import Done, RefusalCode, Refused
from router.model.states import ContactState, RequestOutcome, ResumeMode
from tests.support.builders import a_channel, a_contact, a_policy, a_queue
from tests.support.world import World, a_world, compare_views

ANN = {"customer_id": "c_ann"}


def with_conversations(*names: str, **requests: Any) -> World:
    """Return a workspace without agents and with suspended chats of Ann, the oldest first."""
    policy = a_policy(
        channels={"voice": a_channel(), "chat": a_channel(units=30, per_agent_max=3)},
        queues={"support": a_queue(suspension=SuspensionPolicy())},
        requests=RequestPolicy(**requests),
    )
    world = a_world(policy)
    for name in names:
        world.do(a_contact(name, channel="chat", gateway_id="web", **ANN))
        world.later(1)
        world.done(c.SuspendContact(contact_id=name))
    return world


def comes(contact_id: str = "new", resume: ResumeMode = ResumeMode.AUTO, **more: Any) -> c.SubmitOrResume:
    ids = more.pop("customer_ids", ())
    fields = {"gateway_id": "web", **ANN, **more}
    return c.SubmitOrResume(contact=a_contact(contact_id, **fields), resume=resume, customer_ids=ids)


def subject(world: World, command: c.Command) -> str:
    """Return the contact that the answer to a command names."""
    answer = world.do(command).result
    assert isinstance(answer, Done), answer
    return answer.subject


def state(world: World, contact_id: str) -> ContactState:
    view = world.engine.contact(contact_id)
    assert view is not None
    return ContactState(view.state)


def asks(contact_id: str = "new", resume: ResumeMode = ResumeMode.ASK, **more: Any) -> c.RequestContact:
    contact = a_contact(contact_id, gateway_id="web", **(ANN | more))
    return c.RequestContact(contact=contact, token_hash=contact_id.encode(), resume=resume)


def test_the_only_conversation_goes_on_with_the_channel_and_reference_of_the_submit() -> None:
    world = with_conversations("old")
    outcome = world.do(comes(reference="call-9"))
    assert isinstance(outcome.result, Done) and (outcome.result.subject, outcome.result.state) == ("old", "queued")
    (resumed,) = [one for one in outcome.events if isinstance(one, e.ContactResumed)]
    assert (resumed.channel, resumed.reference, resumed.submitted_as, resumed.option) == ("voice", "call-9", "new", None)
    assert world.engine.contact("new") is None


@pytest.mark.parametrize(
    ("names", "more"),
    [
        (("old",), {"customer_id": "c_bob"}),
        (("old",), {"customer_id": None}),
        (("old",), {"gateway_id": "mail"}),
        (("old", "newer"), {}),
        ((), {}),
    ],
    ids=["another customer", "customer unknown", "another gateway", "two", "none"],
)
def test_otherwise_it_is_a_new_contact(names: tuple[str, ...], more: dict[str, Any]) -> None:
    world = with_conversations(*names)
    assert subject(world, comes(**more)) == "new"
    assert {state(world, name) for name in names} <= {ContactState.SUSPENDED}


def test_a_conversation_under_another_id_of_the_customer_goes_on() -> None:
    world = with_conversations("old")
    assert subject(world, comes(customer_id="c_merged", customer_ids=("c_merged", "c_ann"))) == "old"


def test_a_submit_that_is_wrong_is_refused_whatever_is_suspended() -> None:
    world = with_conversations("old")
    refused = world.do(comes(channel="fax")).result
    assert isinstance(refused, Refused) and refused.field == "channel"


def test_a_customer_chooses_among_them_and_the_token_goes_along() -> None:
    world = with_conversations("old", "newer")
    asked = world.do(asks())
    (choosing,) = [one for one in asked.events if isinstance(one, e.ContactChoosing)]
    assert [(one.id, one.resumes) for one in choosing.options] == [("resume-1", "newer"), ("resume-2", "old"), ("now", None)]
    assert choosing.default_option == "resume-1"
    answer = world.do(c.ChooseOption(contact_id="new", option="resume-2"))
    assert isinstance(answer.result, Done) and answer.result.subject == "old"
    assert [type(one).__name__ for one in answer.events[:3]] == ["ContactCancelled", "CustomerTokenChanged", "ContactResumed"]
    holder = world.engine.token_holder(b"new")
    assert holder is not None and (holder.contact_id, holder.former_id) == ("old", "new")
    view = world.engine.request("new")
    assert view is not None and (view.outcome, view.resumed_id) == (RequestOutcome.RESUMED, "old")
    for name in ("new", "old"):
        again = world.do(c.ChooseOption(contact_id=name, option="resume-2")).result
        assert isinstance(again, Done) and (again.subject, again.replayed) == ("old", True)
    compare_views(world)


def an_auto_request() -> c.RequestContact:
    return asks("new", ResumeMode.AUTO)


@pytest.mark.parametrize("come", [comes, an_auto_request])
def test_one_that_goes_on_ends_an_earlier_request_of_its_customer(come: Callable[[], c.Command]) -> None:
    """The customer would otherwise be served twice: the earlier request takes its default option in the end."""
    world = with_conversations("old", choose_s=60, channels=("chat",))
    world.done(asks("asking"))
    world.done(asks("another", customer_id="c_bob"))
    assert state(world, "asking") is ContactState.CHOOSING
    outcome = world.do(come())
    (cancelled,) = [one for one in outcome.events if isinstance(one, e.ContactCancelled)]
    assert (cancelled.contact_id, cancelled.reason) == ("asking", "replaced")
    assert isinstance(outcome.result, Done) and outcome.result.subject == "old"
    assert isinstance(outcome.events[outcome.result.seq - outcome.first_seq], e.ContactResumed)
    assert state(world, "another") is ContactState.CHOOSING
    compare_views(world)


def test_one_that_has_ended_meanwhile_is_refused_and_the_others_remain() -> None:
    world = with_conversations("old", "newer")
    world.do(asks())
    world.done(c.CancelContact(contact_id="newer"))
    refused = world.do(c.ChooseOption(contact_id="new", option="resume-1")).result
    assert isinstance(refused, Refused) and refused.code is RefusalCode.OPTION_NOT_AVAILABLE
    assert subject(world, c.ChooseOption(contact_id="new", option="now")) == "new"


def test_without_a_choice_the_newest_goes_on_and_if_it_has_ended_the_next() -> None:
    world = with_conversations("old", "newer", choose_s=10)
    world.do(asks("first"))
    world.later(10)
    assert state(world, "newer") is ContactState.QUEUED
    world.done(c.SuspendContact(contact_id="newer"))
    world.do(asks("second"))
    world.done(c.CancelContact(contact_id="newer"))
    world.later(10)
    assert state(world, "old") is ContactState.QUEUED
    assert state(world, "second") is ContactState.CANCELLED


def test_a_customer_of_a_full_queue_is_not_asked() -> None:
    policy = a_policy(channels={"voice": a_channel()}, queues={"support": a_queue(length_max=1, when_closed=WhenClosed.WAIT)})
    world = a_world(policy, a_contact("old", gateway_id="web", **ANN))
    world.done(c.SuspendContact(contact_id="old"))
    world.done(a_contact("full"))
    refused = world.do(comes(resume=ResumeMode.ASK)).result
    assert isinstance(refused, Refused) and refused.code is RefusalCode.QUEUE_FULL


def test_a_request_that_is_refused_leaves_an_earlier_one_as_it_was() -> None:
    """Its conversation is not admitted, and no option is left: nothing has changed."""
    policy = a_policy(channels={"voice": a_channel()}, queues={"support": a_queue(length_max=1)})
    world = a_world(policy, a_contact("old", gateway_id="web", **ANN))
    world.done(c.SuspendContact(contact_id="old"))
    world.done(asks("earlier", ResumeMode.NEVER))
    world.done(a_contact("full"))
    assert world.refused(asks("later", ResumeMode.AUTO)).code is RefusalCode.QUEUE_FULL
    assert state(world, "earlier") is ContactState.CHOOSING
