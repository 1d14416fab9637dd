"""Event visibility for every event type and role."""

from typing import Any, get_args

import pytest

from router.edge.audience import agents_of, as_sent, gateway_of, is_for
from router.model import events as e
from router.model.states import AgentState, AssignmentRole
from tests.builders import a_policy

VALUES: dict[str, Any] = {
    "agent_id": "ada",
    "from_agent_id": "bob",
    "preferred_agent_id": "cyd",
    "gateway_id": "web",
    "state": AgentState.READY,
    "from_state": AgentState.OFFLINE,
    "policy": a_policy(),
    "attributes": {},
    "skills": {},
    "channel_max": {},
    "members": {"dee": AssignmentRole.OWNER, "ada": AssignmentRole.CONSULT},
}


def an_event(kind: type) -> Any:
    """An event with a value in every field that names an agent or a gateway."""
    return kind(**{name: VALUES.get(name, 1) for name in kind.__struct_fields__})  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", get_args(e.Event), ids=lambda kind: kind.__name__)
def test_an_agent_receives_exactly_the_events_that_name_the_agent(kind: type) -> None:
    event = an_event(kind)
    fields = kind.__struct_fields__  # type: ignore[attr-defined]
    expected = tuple(VALUES[name] for name in ("agent_id", "from_agent_id") if name in fields)
    expected += ("dee",) if "members" in fields else ()
    assert agents_of(event) == expected
    assert is_for(event, role="agent", subject="ada") == ("agent_id" in fields)
    assert not is_for(event, role="agent", subject="cyd")
    assert not is_for(event, role="agent", subject="web")


@pytest.mark.parametrize("kind", get_args(e.Event), ids=lambda kind: kind.__name__)
def test_a_gateway_receives_exactly_the_events_of_its_own_contacts(kind: type) -> None:
    event = an_event(kind)
    expected = "web" if "gateway_id" in kind.__struct_fields__ else None  # type: ignore[attr-defined]
    assert gateway_of(event) == expected
    assert is_for(event, role="gateway", subject="web") == (expected is not None)
    assert not is_for(event, role="gateway", subject="ada")


@pytest.mark.parametrize("kind", get_args(e.Event), ids=lambda kind: kind.__name__)
def test_a_supervisor_receives_every_event_and_an_unknown_role_none(kind: type) -> None:
    event = an_event(kind)
    assert is_for(event, role="supervisor", subject="eve")
    assert is_for(event, role="admin", subject="eve")
    assert not is_for(event, role="auditor", subject="eve")


def test_an_agent_named_twice_receives_an_event_once() -> None:
    assigned = e.ContactAssigned(
        contact_id="c",
        assignment_id="c.1",
        agent_id="ada",
        units=1,
        waited_ms=0,
        from_agent_id="ada",
    )
    assert agents_of(assigned) == ("ada",)


def test_events_of_a_contact_without_gateway_reach_no_gateway() -> None:
    ended = e.ContactEnded(contact_id="c", assignment_id="c.1", agent_id="ada", reason="ended")
    assert gateway_of(ended) is None
    assert not is_for(ended, role="gateway", subject="")


def test_policy_events_reach_no_agent_or_gateway() -> None:
    event = e.PolicyPublished(version=1, policy=a_policy())
    assert agents_of(event) == ()
    assert gateway_of(event) is None


def test_idempotency_fields_are_not_sent_to_clients() -> None:
    queued = e.ContactQueued(
        contact_id="c",
        channel="voice",
        queue_id="support",
        req="voice/support",
        cfg=1,
        dedupe_key=b"k",
        fingerprint=b"f",
    )
    sent = as_sent(queued)
    assert isinstance(sent, e.ContactQueued)
    assert (sent.dedupe_key, sent.fingerprint) == (None, None)
    assert sent.contact_id == "c"
