"""Audience of every type of event, for every role."""

from typing import Any, get_args

import pytest

from router.model import events as e
from router.model.states import AgentState, AssignmentRole
from router.protocol.audience import is_visible_to, recipient_agents, recipient_gateways
from tests.support.builders import a_policy

VALUES: dict[str, Any] = {
    "agent_id": "ada",
    "from_agent_id": "bob",
    "preferred_agent_id": "cyd",
    "gateway_id": "web",
    "to_gateway_id": "pbx",
    "from_gateway_id": "sms",
    "state": AgentState.READY,
    "from_state": AgentState.OFFLINE,
    "policy": a_policy(),
    "attributes": {},
    "skills": {},
    "channel_max": {},
    "members": {"dee": AssignmentRole.OWNER, "ada": AssignmentRole.CONSULT},
    "offered_to": ("flo", "dee"),
}


def an_event(kind: type) -> Any:
    """An event with a value in every field that names an agent or a gateway."""
    return kind(**{name: VALUES.get(name, 1) for name in kind.__struct_fields__})  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", get_args(e.Event), ids=lambda kind: kind.__name__)
def test_an_agent_receives_exactly_the_events_that_name_the_agent(kind: type) -> None:
    """Alerts about an agent are for supervisors only."""
    event = an_event(kind)
    # An alert about an agent is for supervisors.
    fields = () if kind in (e.AlertRaised, e.AlertCleared) else kind.__struct_fields__  # type: ignore[attr-defined]
    expected = tuple(VALUES[name] for name in ("agent_id", "from_agent_id") if name in fields)
    expected += ("dee",) if "members" in fields else ()
    expected += ("flo",) if "offered_to" in fields else ()
    is_told = kind not in (e.AlertRaised, e.AlertCleared)
    assert recipient_agents(event) == (expected if is_told else ())
    assert is_visible_to(event, role="agent", subject="ada") == (is_told and "agent_id" in fields)
    assert not is_visible_to(event, role="agent", subject="cyd")
    assert not is_visible_to(event, role="agent", subject="web")


@pytest.mark.parametrize("kind", get_args(e.Event), ids=lambda kind: kind.__name__)
def test_a_gateway_receives_exactly_the_events_of_its_own_contacts(kind: type) -> None:
    event = an_event(kind)
    fields = kind.__struct_fields__  # type: ignore[attr-defined]
    expected = ("web",) if "gateway_id" in fields else ()
    expected += tuple(VALUES[name] for name in ("to_gateway_id", "from_gateway_id") if name in fields)
    assert recipient_gateways(event) == expected
    assert [is_visible_to(event, role="gateway", subject=name) for name in ("web", "pbx", "sms")] == [
        name in expected for name in ("web", "pbx", "sms")
    ]
    assert not is_visible_to(event, role="gateway", subject="ada")


@pytest.mark.parametrize("kind", get_args(e.Event), ids=lambda kind: kind.__name__)
def test_a_supervisor_receives_every_event_and_an_unknown_role_none(kind: type) -> None:
    event = an_event(kind)
    assert is_visible_to(event, role="supervisor", subject="eve")
    assert is_visible_to(event, role="admin", subject="eve")
    assert not is_visible_to(event, role="auditor", subject="eve")


def test_an_agent_named_twice_receives_an_event_once() -> None:
    assigned = e.ContactAssigned(contact_id="c", assignment_id="c.1", agent_id="ada", units=1, waited_ms=0, from_agent_id="ada")
    assert recipient_agents(assigned) == ("ada",)


def test_events_of_a_contact_without_gateway_reach_no_gateway() -> None:
    ended = e.ContactEnded(contact_id="c", assignment_id="c.1", agent_id="ada", reason="ended")
    assert recipient_gateways(ended) == ()
    assert not is_visible_to(ended, role="gateway", subject="")


def test_policy_events_reach_no_agent_or_gateway() -> None:
    event = e.PolicyPublished(version=1, policy=a_policy())
    assert recipient_agents(event) == ()
    assert recipient_gateways(event) == ()


def test_agents_with_an_offer_of_a_contact_learn_of_its_changes() -> None:
    changed = e.ContactUpdated(contact_id="c", requirement="", agent_id="ada", offered_to=("bob",))
    assert recipient_agents(changed) == ("ada", "bob")
    connected = e.CallbackConnected(contact_id="c", attempt=1, queue_id="q", requirement="", offered_to=("bob", "cy"))
    assert recipient_agents(connected) == ("bob", "cy")
