"""Findings about waiting contacts: no qualified or ready agent, capacity, expiry, overflow."""

from typing import Any

import pytest

from router.model.diagnosis import FindingCode, Severity
from router.model.views import UnmetCondition
from tests.engine.diagnosis.diagnosed_worlds import PLAIN, codes, diagnosis_of, plain, the_finding
from tests.support.builders import START_MS, a_contact, a_queue, an_agent, ready


@pytest.mark.parametrize(
    ("agent", "skills", "lack"),
    [
        ({}, {"german": 3}, UnmetCondition(code="skill", skill="german", needs=3)),
        ({"skills": {"german": 2}}, {"german": 3}, UnmetCondition(code="level", skill="german", has=2, needs=3)),
        ({"queues": ("sales",)}, {}, UnmetCondition(code="queue")),
        ({"channel_max": {"voice": 0}}, {}, UnmetCondition(code="channel", channel="voice")),
    ],
)
def test_a_contact_without_a_qualified_agent(agent: dict[str, Any], skills: dict[str, int], lack: UnmetCondition) -> None:
    policy = plain(skills=("german",), queues={"support": a_queue(), "sales": a_queue()})
    both = [a_contact(name, skills=skills) for name in ("c1", "c2")]
    diagnosis = diagnosis_of(policy, an_agent(**agent), ready(), *both, at_ms=START_MS + 7_000)
    finding = the_finding(diagnosis, FindingCode.CONTACTS_NO_AGENT_QUALIFIED)
    assert finding.severity is Severity.ERROR
    assert (finding.contacts, finding.contact_ids) == (2, ("c1", "c2"))
    assert finding.oldest_wait_ms == 7_000
    assert (finding.unmet_conditions, finding.nearest_agents) == ((lack,), 0)
    assert diagnosis.errors == 1


def test_a_contact_that_exceeds_every_agents_capacity() -> None:
    diagnosis = diagnosis_of(PLAIN, an_agent(units=60), ready(), a_contact())
    finding = the_finding(diagnosis, FindingCode.CONTACTS_EXCEED_CAPACITY)
    assert finding.severity is Severity.ERROR
    assert finding.unmet_conditions == (UnmetCondition(code="capacity", has=60, needs=100),)
    assert FindingCode.CONTACTS_NO_AGENT_QUALIFIED not in codes(diagnosis)


def test_one_agent_with_enough_capacity_suffices() -> None:
    team = (an_agent("ada", units=60), an_agent("bob", units=100), an_agent("cy", units=60))
    diagnosis = diagnosis_of(PLAIN, *team, ready("ada"), ready("bob"), a_contact(), a_contact("c2"))
    assert diagnosis.findings == ()


def test_without_agents_every_waiting_contact_is_reported() -> None:
    diagnosis = diagnosis_of(PLAIN, a_contact())
    assert codes(diagnosis) == [FindingCode.CONTACTS_NO_AGENT_QUALIFIED, FindingCode.NO_AGENTS]


def test_a_contact_that_overflows_in_time_is_only_a_warning() -> None:
    queues = {"support": a_queue(wait_max_s=60, overflow_to="sales", requires={"german": 1}), "sales": a_queue()}
    policy = plain(skills=("german",), queues=queues)
    commands = (an_agent(), ready(), a_contact())
    finding = the_finding(diagnosis_of(policy, *commands), FindingCode.CONTACTS_NO_AGENT_QUALIFIED)
    assert finding.severity is Severity.WARNING
    commands = (an_agent(), ready(), a_contact(ttl_s=30))
    finding = the_finding(diagnosis_of(policy, *commands), FindingCode.CONTACTS_NO_AGENT_QUALIFIED)
    assert finding.severity is Severity.ERROR


def test_a_contact_whose_qualified_agents_are_all_not_ready() -> None:
    finding = the_finding(diagnosis_of(PLAIN, an_agent(), a_contact()), FindingCode.CONTACTS_NO_AGENT_READY)
    assert finding.severity is Severity.WARNING
    assert finding.contacts == 1


@pytest.mark.parametrize(("ttl_s", "is_found"), [(60, True), (61, False)])
def test_a_contact_that_expires_within_a_minute(ttl_s: int, is_found: bool) -> None:
    diagnosis = diagnosis_of(PLAIN, an_agent(), a_contact(ttl_s=ttl_s))
    assert (FindingCode.CONTACTS_EXPIRING in codes(diagnosis)) is is_found
    if is_found:
        finding = the_finding(diagnosis, FindingCode.CONTACTS_EXPIRING)
        assert finding.soonest_end_at_ms == START_MS + 60_000
        assert finding.subject == "support"


def test_the_maximum_wait_ends_a_contact_unless_it_overflows() -> None:
    for overflow_to, is_found in ((None, True), ("sales", False)):
        queues = {"support": a_queue(wait_max_s=30, overflow_to=overflow_to), "sales": a_queue()}
        found = codes(diagnosis_of(plain(queues=queues), an_agent(), a_contact()))
        assert (FindingCode.CONTACTS_EXPIRING in found) is is_found
