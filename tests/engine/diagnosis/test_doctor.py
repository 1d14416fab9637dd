"""Doctor: findings about queues, entry rules, agents and the policy, and the diagnosis as a whole."""

from typing import Any

import pytest

from router.engine.diagnosis.invariants import orphaned_records
from router.engine.engine import Engine
from router.engine.queries import slices
from router.model import commands as c
from router.model.diagnosis import FindingCode, Severity
from router.model.policy import AgentsPolicy, FactPolicy, FactType
from router.model.views import UnmetCondition
from tests.engine.diagnosis.diagnosed_worlds import PLAIN, a_rule, a_world, codes, diagnosis_of, plain, the_finding
from tests.support.builders import START_MS, a_channel, a_contact, a_policy, a_queue, an_agent, published, ready


def test_a_healthy_workspace_has_no_findings() -> None:
    policy = plain(skills=("english",), default_queue="support", entry=(a_rule("all"),))
    diagnosis = diagnosis_of(policy, an_agent(skills={"english": 5}), ready(), a_contact("c1"), a_contact("c2"))
    assert diagnosis.findings == ()
    assert (diagnosis.errors, diagnosis.warnings, diagnosis.notes) == (0, 0, 0)


def test_diagnosing_changes_nothing() -> None:
    world = a_world(PLAIN, an_agent(), ready(), a_contact())
    before = world.engine.digest()
    world.engine.diagnose(at_ms=START_MS + 1_000_000, thorough=True)
    assert world.engine.digest() == before


def test_a_queue_without_agents() -> None:
    queues = {"support": a_queue(), "sales": a_queue(requires={"german": 6})}
    diagnosis = diagnosis_of(plain(skills=("german",), queues=queues), an_agent(skills={"german": 5}))
    finding = the_finding(diagnosis, FindingCode.QUEUE_WITHOUT_AGENTS)
    assert (finding.subject, finding.severity) == ("sales", Severity.WARNING)
    assert finding.unmet_conditions == (UnmetCondition(code="level", skill="german", has=5, needs=6),)
    assert diagnosis.errors == 0


def test_one_available_channel_suffices_for_a_queue() -> None:
    assert diagnosis_of(PLAIN, an_agent(channel_max={"voice": 0}, units=30)).findings == ()


def test_a_queue_whose_agents_lack_capacity_for_their_channels() -> None:
    team = (an_agent("ada", channel_max={"chat": 0}, units=60), an_agent("bob", queues=()))
    finding = the_finding(diagnosis_of(PLAIN, *team), FindingCode.QUEUE_WITHOUT_AGENTS)
    assert finding.unmet_conditions == (UnmetCondition(code="capacity", has=60, needs=100),)
    assert finding.nearest_agents == 1


def test_an_entry_rule_whose_skills_no_agent_has() -> None:
    rules = (a_rule("german", skills={"german": 1}), a_rule("english", skills={"english": 1}))
    policy = plain(skills=("english", "german"), entry=(rules[0],))
    finding = the_finding(diagnosis_of(policy, an_agent(skills={"english": 3})), FindingCode.RULE_WITHOUT_AGENTS)
    assert finding.subject == "german"
    policy = plain(skills=("english",), entry=(rules[1],))
    assert diagnosis_of(policy, an_agent(skills={"english": 3})).findings == ()


def test_a_rule_into_a_queue_without_agents_is_reported_for_the_queue_only() -> None:
    queues = {"support": a_queue(), "sales": a_queue(requires={"german": 1})}
    policy = plain(skills=("german",), queues=queues, entry=(a_rule("rest", "sales"),))
    found = codes(diagnosis_of(policy, an_agent()))
    assert FindingCode.QUEUE_WITHOUT_AGENTS in found
    assert FindingCode.RULE_WITHOUT_AGENTS not in found


def test_a_rule_covered_by_one_rule_per_channel_is_unreachable() -> None:
    facts = {"vip": FactPolicy(type=FactType.BOOL)}
    rules = (a_rule("calls", channel="voice"), a_rule("chats", channel="chat"), a_rule("vips", attributes={"vip": True}))
    policy = plain(facts=facts, entry=rules)
    finding = the_finding(diagnosis_of(policy, an_agent()), FindingCode.RULE_UNREACHABLE)
    assert finding.subject == "vips"
    assert "calls, chats" in finding.message
    open_rules = (rules[0], a_rule("chats", channel="chat", attributes={"vip": False}), rules[2])
    policy = plain(facts=facts, entry=open_rules)
    assert diagnosis_of(policy, an_agent()).findings == ()


def test_rules_for_all_values_of_a_fact_do_not_cover_contacts_without_it() -> None:
    facts = {"vip": FactPolicy(type=FactType.BOOL)}
    rules = (a_rule("yes", attributes={"vip": True}), a_rule("no", attributes={"vip": False}), a_rule("unknown"))
    assert diagnosis_of(plain(facts=facts, entry=rules), an_agent()).findings == ()


@pytest.mark.parametrize(("requires", "severity"), [({}, Severity.NOTE), ({"german": 1}, Severity.WARNING)])
def test_a_skill_without_agents_is_more_severe_if_it_is_required(requires: dict[str, int], severity: Severity) -> None:
    policy = plain(skills=("german",), queues={"support": a_queue(requires=requires)})
    finding = the_finding(diagnosis_of(policy, an_agent()), FindingCode.SKILL_WITHOUT_AGENTS)
    assert (finding.subject, finding.severity) == ("german", severity)


@pytest.mark.parametrize(
    ("agent", "unmet_conditions"),
    [
        ({}, [UnmetCondition(code="skill", skill="german", needs=2)]),
        ({"skills": {"german": 1}}, [UnmetCondition(code="level", skill="german", has=1, needs=2)]),
        ({"skills": {"german": 2}, "queues": ()}, [UnmetCondition(code="queue")]),
        ({"skills": {"german": 2}, "channel_max": {"voice": 0, "chat": 0}}, [UnmetCondition(code="channel")]),
        ({"skills": {"german": 2}, "units": 20}, [UnmetCondition(code="capacity", has=20, needs=30)]),
    ],
)
def test_an_agent_who_can_take_no_contact(agent: dict[str, Any], unmet_conditions: list[UnmetCondition]) -> None:
    policy = plain(skills=("german",), queues={"support": a_queue(requires={"german": 2})})
    able = an_agent("bob", skills={"german": 9})
    diagnosis = diagnosis_of(policy, able, an_agent("ada", **agent))
    finding = the_finding(diagnosis, FindingCode.AGENTS_NEVER_ELIGIBLE)
    assert (finding.agents, finding.agent_ids) == (1, ("ada",))
    assert list(finding.unmet_conditions) == unmet_conditions


def test_agents_with_the_same_unmet_conditions_share_one_finding() -> None:
    policy = plain(skills=("german",), queues={"support": a_queue(requires={"german": 2})})
    team = [an_agent(f"a{number:02}") for number in range(25)]
    diagnosis = diagnosis_of(policy, *team, an_agent("bob", skills={"german": 9}))
    finding = the_finding(diagnosis, FindingCode.AGENTS_NEVER_ELIGIBLE)
    assert finding.agents == 25
    assert finding.agent_ids == tuple(f"a{number:02}" for number in range(20))


def test_skills_and_queues_of_agents_that_the_policy_no_longer_declares() -> None:
    policy = plain(skills=("german",), queues={"support": a_queue(), "sales": a_queue()})
    agent = an_agent(skills={"german": 2}, queues=("sales", "support"))
    diagnosis = diagnosis_of(policy, agent, published(PLAIN))
    assert [(one.code, one.subject, one.agent_ids) for one in diagnosis.findings] == [
        (FindingCode.SKILL_NOT_DECLARED, "german", ("ada",)),
        (FindingCode.QUEUE_NOT_DECLARED, "sales", ("ada",)),
    ]


def test_a_missing_policy_is_an_error() -> None:
    diagnosis = Engine().diagnose()
    assert codes(diagnosis) == [FindingCode.NO_POLICY]
    assert diagnosis.errors == 1


def test_a_service_level_below_the_offer_timeout() -> None:
    channels = {"voice": a_channel(offer_timeout_s=21), "chat": a_channel(offer_timeout_s=30)}
    diagnosis = diagnosis_of(plain(channels=channels), an_agent())
    assert the_finding(diagnosis, FindingCode.TARGET_BELOW_OFFER_TIMEOUT).subject == "support"
    channels["voice"] = a_channel(offer_timeout_s=20)
    assert diagnosis_of(plain(channels=channels), an_agent()).findings == ()
    ringless = {"support": a_queue(auto_accept=True, offer_timeout_s=60)}
    assert diagnosis_of(plain(queues=ringless), an_agent()).findings == ()


def test_advice_about_the_policy_is_a_note() -> None:
    policy = plain(agents=AgentsPolicy(units=50))
    finding = the_finding(diagnosis_of(policy, an_agent()), FindingCode.POLICY_ADVICE)
    assert (finding.subject, finding.severity) == ("channels.voice.units", Severity.NOTE)


class ForgetfulEngine(Engine):
    """An engine that loses contacts from its waiting lines, to break an invariant."""

    def lose(self) -> None:
        for line in self._state.index.lines.by_key.values():
            line.contacts_by_key.clear()

    def orphans(self) -> list[str]:
        return orphaned_records(self._state)


def test_a_contact_in_no_waiting_line_is_found_by_both_checks() -> None:
    """Lesson A2."""
    engine = ForgetfulEngine()
    for command in (published(PLAIN), an_agent(), a_contact()):
        engine.handle(command, START_MS)
    assert engine.orphans() == []
    engine.lose()
    for thorough in (False, True):
        diagnosis = engine.diagnose(thorough=thorough)
        assert diagnosis.findings[0].code is FindingCode.BROKEN_INVARIANT
        assert diagnosis.errors >= 1


def test_findings_are_sorted_by_severity_and_limited_to_a_thousand() -> None:
    queues = {f"q{number}": a_queue(requires={"german": 1}) for number in range(1_100)}
    policy = plain(skills=("german",), queues=queues, default_queue="q0")
    diagnosis = diagnosis_of(policy, an_agent(), a_contact(queue_id="q7"))
    assert diagnosis.findings[0].code is FindingCode.CONTACTS_NO_AGENT_QUALIFIED
    assert len(diagnosis.findings) == 1_000
    total = diagnosis.errors + diagnosis.warnings + diagnosis.notes
    assert diagnosis.omitted == total - 1_000


def test_a_restored_engine_has_the_same_diagnosis() -> None:
    world = a_world(
        plain(skills=("english", "german", "french")),
        an_agent("dee", skills={"french": 1}),
        an_agent("ada", skills={"english": 5}),
        an_agent("cy", skills={"german": 5}),
        c.RemoveAgent(agent_id="dee"),
        an_agent("bob", skills={"german": 5, "english": 2}),
        a_contact(skills={"english": 5, "german": 5}),
    )
    assert Engine.restore(world.engine.snapshot()).diagnose() == world.engine.diagnose()


def test_a_diagnosis_in_slices_finds_the_same_and_survives_commands_between_its_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """No finding may come from comparing records of two moments."""
    monkeypatch.setattr(slices, "TURN_COST", 40)
    engine = Engine()
    engine.handle(published(a_policy(queues={"support": a_queue(), "sales": a_queue(requires={"german": 2})})), START_MS)
    for number in range(60):
        engine.handle(an_agent(f"a{number}", skills={"english": 1 + number % 5}), START_MS)
        engine.handle(ready(f"a{number}"), START_MS)
    for number in range(300):
        engine.handle(a_contact(f"c{number}", queue_id=("support", "sales")[number % 2], ttl_s=60 + number), START_MS)
    whole, query = engine.diagnose(), engine.diagnose_in_slices()
    assert slices.run_to_end(query) == whole
    query, turns = engine.diagnose_in_slices(), 0
    while True:
        try:
            next(query)
        except StopIteration as end:
            diagnosis = end.value
            break
        turns += 1
        number = turns % 300
        for command in (
            c.AcceptOffer(offer_id=f"c{number}.1", agent_id=f"a{number // 2 % 60}"),
            c.EndContact(contact_id=f"c{number - 3}"),
            c.CancelContact(contact_id=f"c{299 - number}"),
            a_contact(f"new{turns}"),
            an_agent(f"a{number % 60}", skills={"english": 1 + turns % 5}),
            ready(f"a{number % 60}"),
        ):
            engine.handle(command, START_MS + turns)
    assert turns > 20
    assert not [finding for finding in diagnosis.findings if finding.code is FindingCode.BROKEN_INVARIANT]
