"""Doctor: each finding in a small workspace, none in a healthy one, and "no agent qualified" compared with the reference."""

from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from router.engine.diagnosis.invariants import orphaned_records
from router.engine.engine import Engine
from router.engine.state.records import format_requirement, requirement_key
from router.model import commands as c
from router.model.diagnosis import ADVICE, Diagnosis, Finding, FindingCode, Severity
from router.model.policy import (
    AgentsPolicy,
    EntryCondition,
    EntryRule,
    FactPolicy,
    FactType,
    Policy,
    StepPolicy,
)
from router.model.states import AgentState, ContactState
from router.model.views import UnmetCondition
from tests.properties import strategies as some
from tests.support.builders import (
    START_MS,
    a_channel,
    a_contact,
    a_policy,
    a_queue,
    an_agent,
    published,
    ready,
)
from tests.support.world import World


def plain(**changes: Any) -> Policy:
    """Return the usual policy without anything that would be found itself."""
    return a_policy(**({"skills": (), "default_queue": "support"} | changes))


PLAIN = plain()


def a_world(policy: Policy, *asked: c.Command) -> World:
    world = World(policy)
    world.done_all(*asked)
    return world


def diagnosis_of(policy: Policy, *asked: c.Command, at_ms: int | None = None) -> Diagnosis:
    return a_world(policy, *asked).engine.diagnose(at_ms=at_ms)


def the_finding(diagnosis: Diagnosis, code: FindingCode) -> Finding:
    (finding,) = (one for one in diagnosis.findings if one.code is code)
    assert finding.advice == ADVICE[code]
    return finding


def codes(diagnosis: Diagnosis) -> list[FindingCode]:
    return [one.code for one in diagnosis.findings]


def a_rule(name: str, queue: str = "support", **more: Any) -> EntryRule:
    when = EntryCondition(channel=more.pop("channel", None), attributes=more.pop("attributes", {}))
    return EntryRule(name=name, queue=queue, when=when, **more)


# --- a healthy workspace ----------------------------------------------------------------------------------------------
def test_a_healthy_workspace_has_no_findings() -> None:
    policy = plain(skills=("english",), default_queue="support", entry=(a_rule("all"),))
    diagnosis = diagnosis_of(
        policy, an_agent(skills={"english": 5}), ready(), a_contact("c1"), a_contact("c2")
    )
    assert diagnosis.findings == ()
    assert (diagnosis.errors, diagnosis.warnings, diagnosis.notes) == (0, 0, 0)


def test_diagnosing_changes_nothing() -> None:
    world = a_world(PLAIN, an_agent(), ready(), a_contact())
    before = world.engine.digest()
    world.engine.diagnose(at_ms=START_MS + 1_000_000, thorough=True)
    assert world.engine.digest() == before


# --- waiting contacts -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("agent", "skills", "lack"),
    [
        ({}, {"german": 3}, UnmetCondition(code="skill", skill="german", needs=3)),
        (
            {"skills": {"german": 2}},
            {"german": 3},
            UnmetCondition(code="level", skill="german", has=2, needs=3),
        ),
        ({"queues": ("sales",)}, {}, UnmetCondition(code="queue")),
        ({"channel_max": {"voice": 0}}, {}, UnmetCondition(code="channel", channel="voice")),
    ],
)
def test_a_contact_without_a_qualified_agent(
    agent: dict[str, Any], skills: dict[str, int], lack: UnmetCondition
) -> None:
    policy = plain(skills=("german",), queues={"support": a_queue(), "sales": a_queue()})
    both = [a_contact(name, skills=skills) for name in ("c1", "c2")]
    diagnosis = diagnosis_of(policy, an_agent(**agent), ready(), *both, at_ms=START_MS + 7_000)
    finding = the_finding(diagnosis, FindingCode.CONTACTS_NO_AGENT_QUALIFIED)
    assert finding.severity is Severity.ERROR
    assert (finding.contacts, finding.contact_ids) == (2, ("c1", "c2"))
    assert finding.oldest_wait_ms == 7_000
    assert (finding.unmet_conditions, finding.nearest_agents) == ((lack,), 0)
    assert diagnosis.errors == 1


def test_the_nearest_agents_are_reported_when_none_meets_all_conditions() -> None:
    diagnosis = diagnosis_of(
        plain(skills=("english", "german")),
        an_agent("ada", skills={"english": 5}),
        an_agent("bob", skills={"english": 5}),
        an_agent("cy", skills={"german": 5}),
        *(an_agent(f"novice{number}") for number in range(5)),
        a_contact(skills={"english": 5, "german": 5}),
    )
    finding = the_finding(diagnosis, FindingCode.CONTACTS_NO_AGENT_QUALIFIED)
    assert finding.subject == "voice/support:english>=5,german>=5"
    assert finding.unmet_conditions == (UnmetCondition(code="skill", skill="german", needs=5),)
    assert finding.nearest_agents == 2


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
    queues = {
        "support": a_queue(wait_max_s=60, overflow_to="sales", requires={"german": 1}),
        "sales": a_queue(),
    }
    policy = plain(skills=("german",), queues=queues)
    asked = (an_agent(), ready(), a_contact())
    finding = the_finding(diagnosis_of(policy, *asked), FindingCode.CONTACTS_NO_AGENT_QUALIFIED)
    assert finding.severity is Severity.WARNING
    asked = (an_agent(), ready(), a_contact(ttl_s=30))
    finding = the_finding(diagnosis_of(policy, *asked), FindingCode.CONTACTS_NO_AGENT_QUALIFIED)
    assert finding.severity is Severity.ERROR


def test_a_contact_whose_qualified_agents_are_all_not_ready() -> None:
    finding = the_finding(
        diagnosis_of(PLAIN, an_agent(), a_contact()), FindingCode.CONTACTS_NO_AGENT_READY
    )
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
        queues = {
            "support": a_queue(wait_max_s=30, overflow_to=overflow_to),
            "sales": a_queue(),
        }
        found = codes(diagnosis_of(plain(queues=queues), an_agent(), a_contact()))
        assert (FindingCode.CONTACTS_EXPIRING in found) is is_found


# --- queues, entry rules and skills without agents --------------------------------------------------------------------
def test_a_queue_without_agents() -> None:
    queues = {"support": a_queue(), "sales": a_queue(requires={"german": 6})}
    diagnosis = diagnosis_of(
        plain(skills=("german",), queues=queues), an_agent(skills={"german": 5})
    )
    finding = the_finding(diagnosis, FindingCode.QUEUE_WITHOUT_AGENTS)
    assert (finding.subject, finding.severity) == ("sales", Severity.WARNING)
    assert finding.unmet_conditions == (
        UnmetCondition(code="level", skill="german", has=5, needs=6),
    )
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
    finding = the_finding(
        diagnosis_of(policy, an_agent(skills={"english": 3})), FindingCode.RULE_WITHOUT_AGENTS
    )
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
    rules = (
        a_rule("calls", channel="voice"),
        a_rule("chats", channel="chat"),
        a_rule("vips", attributes={"vip": True}),
    )
    policy = plain(facts=facts, entry=rules)
    finding = the_finding(diagnosis_of(policy, an_agent()), FindingCode.RULE_UNREACHABLE)
    assert finding.subject == "vips"
    assert "calls, chats" in finding.message
    open_rules = (rules[0], a_rule("chats", channel="chat", attributes={"vip": False}), rules[2])
    policy = plain(facts=facts, entry=open_rules)
    assert diagnosis_of(policy, an_agent()).findings == ()


def test_rules_for_all_values_of_a_fact_do_not_cover_contacts_without_it() -> None:
    facts = {"vip": FactPolicy(type=FactType.BOOL)}
    rules = (
        a_rule("yes", attributes={"vip": True}),
        a_rule("no", attributes={"vip": False}),
        a_rule("unknown"),
    )
    assert diagnosis_of(plain(facts=facts, entry=rules), an_agent()).findings == ()


@pytest.mark.parametrize(
    ("requires", "severity"), [({}, Severity.NOTE), ({"german": 1}, Severity.WARNING)]
)
def test_a_skill_without_agents_is_more_severe_if_it_is_required(
    requires: dict[str, int], severity: Severity
) -> None:
    policy = plain(skills=("german",), queues={"support": a_queue(requires=requires)})
    finding = the_finding(diagnosis_of(policy, an_agent()), FindingCode.SKILL_WITHOUT_AGENTS)
    assert (finding.subject, finding.severity) == ("german", severity)


# --- agents -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("agent", "unmet_conditions"),
    [
        ({}, [UnmetCondition(code="skill", skill="german", needs=2)]),
        ({"skills": {"german": 1}}, [UnmetCondition(code="level", skill="german", has=1, needs=2)]),
        ({"skills": {"german": 2}, "queues": ()}, [UnmetCondition(code="queue")]),
        (
            {"skills": {"german": 2}, "channel_max": {"voice": 0, "chat": 0}},
            [UnmetCondition(code="channel")],
        ),
        (
            {"skills": {"german": 2}, "units": 20},
            [UnmetCondition(code="capacity", has=20, needs=30)],
        ),
    ],
)
def test_an_agent_who_can_take_no_contact(
    agent: dict[str, Any], unmet_conditions: list[UnmetCondition]
) -> None:
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


# --- the policy -------------------------------------------------------------------------------------------------------
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


# --- the diagnosis as a whole -----------------------------------------------------------------------------------------
class ForgetfulEngine(Engine):
    """An engine that loses contacts from its waiting lines, to break an invariant."""

    def lose(self) -> None:
        for line in self._state.index.lines.values():
            line.contacts_by_key.clear()

    def orphans(self) -> list[str]:
        return orphaned_records(self._state)


def test_a_contact_that_stands_nowhere_is_found_live_and_thoroughly() -> None:
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


agents = st.fixed_dictionaries(
    {
        "skills": some.skills,
        "queues": some.maybe(
            st.lists(st.sampled_from(some.QUEUES[:2]), max_size=2, unique=True).map(tuple)
        ),
        "units": st.sampled_from((None, 0, 20, 100)),
        "channel_max": st.dictionaries(
            st.sampled_from(some.CHANNELS), st.integers(0, 2), max_size=1
        ),
    }
)
contacts = st.fixed_dictionaries(
    {
        "queue_id": st.sampled_from(some.QUEUES[:2]),
        "channel": st.sampled_from(some.CHANNELS),
        "skills": some.skills,
    }
)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    policy=some.policies(),
    team=st.lists(agents, max_size=3),
    customers=st.lists(contacts, min_size=1, max_size=5),
    later=some.policies(),
)
def test_no_agent_is_qualified_exactly_where_the_reference_finds_none(
    policy: Policy, team: list[dict[str, Any]], customers: list[dict[str, Any]], later: Policy
) -> None:
    """``why`` evaluates the reference rules for every agent; a second policy leaves undeclared skills and queues behind."""
    engine = Engine()
    engine.handle(published(policy), START_MS)
    for name, record in zip(some.AGENTS, team, strict=False):
        engine.handle(an_agent(name, **record), START_MS)
        engine.handle(c.SetAgentState(agent_id=name, state=AgentState.READY), START_MS)
    for number, fields in enumerate(customers):
        engine.handle(a_contact(f"c{number}", **fields), START_MS)
    engine.handle(published(later, drain_to={"vip": "support"}), START_MS)
    # Some are refused, because they require a skill that they do not declare.
    assume(engine.policy is not None)
    assert engine.policy is not None

    expected = set()
    for contact in engine.contacts(state=ContactState.QUEUED):
        answer = engine.why(contact.contact_id)
        if answer is not None and answer.reason == "no_agent_qualified":
            needs = requirement_key(engine.policy.queues[contact.queue_id], contact.skills)
            expected.add(format_requirement(contact.queue_id, contact.channel, needs, None))
    found = [
        one.subject
        for one in engine.diagnose(thorough=True).findings
        if one.code is FindingCode.CONTACTS_NO_AGENT_QUALIFIED
    ]
    assert sorted(found) == sorted(expected)


# --- plans ------------------------------------------------------------------------------------------------------------
def with_plan(*steps: StepPolicy, **queue: Any) -> Policy:
    return plain(
        skills=("german", "loans"),
        plans={"wide": steps},
        queues={"support": a_queue(plan="wide", **queue)},
    )


def test_a_step_that_no_agent_could_take_is_found() -> None:
    policy = with_plan(
        StepPolicy(duration_s=60), StepPolicy(remove_skills=("german",)), requires={"german": 5}
    )
    found = the_finding(
        diagnosis_of(policy, an_agent("ada", skills={"loans": 9})), FindingCode.STEP_WITHOUT_AGENTS
    )
    assert found.subject == "support, step 0 of wide"
    assert found.unmet_conditions == (UnmetCondition(code="skill", skill="german", needs=5),)


def test_a_step_that_prefers_undefined_agents_is_found() -> None:
    policy = with_plan(StepPolicy(duration_s=60, prefer_agents=("ada", "eve")), StepPolicy())
    found = the_finding(diagnosis_of(policy, an_agent("ada")), FindingCode.STEP_WITHOUT_AGENTS)
    assert found.agents == 1


def test_a_contact_whose_later_step_can_be_taken_is_not_reported() -> None:
    policy = with_plan(StepPolicy(duration_s=60), StepPolicy(lower_levels={"german": 3}))
    asked = (an_agent("ada", skills={"german": 3}), a_contact("c1", skills={"german": 9}))
    found = codes(diagnosis_of(policy, *asked))
    assert FindingCode.CONTACTS_NO_AGENT_QUALIFIED not in found
    found = codes(diagnosis_of(policy, asked[0], a_contact("c1", skills={"loans": 1})))
    assert FindingCode.CONTACTS_NO_AGENT_QUALIFIED in found
