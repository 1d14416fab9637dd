"""Skill coverage: nearest agents, requirements of plans, and agreement with the reference rules."""

from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from router.engine.engine import Engine
from router.engine.state.contact import requirement_key
from router.engine.state.records import format_requirement
from router.model import commands as c
from router.model.diagnosis import FindingCode
from router.model.policy import Policy, StepPolicy
from router.model.states import AgentState, ContactState
from router.model.views import UnmetCondition
from tests.engine.diagnosis.diagnosed_worlds import codes, diagnosis_of, plain, the_finding
from tests.properties import strategies as some
from tests.support.builders import START_MS, a_contact, a_queue, an_agent, published


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


agents = st.fixed_dictionaries(
    {
        "skills": some.skills,
        "queues": some.maybe(st.lists(st.sampled_from(some.QUEUES[:2]), max_size=2, unique=True).map(tuple)),
        "units": st.sampled_from((None, 0, 20, 100)),
        "channel_max": st.dictionaries(st.sampled_from(some.CHANNELS), st.integers(0, 2), max_size=1),
    }
)


contacts = st.fixed_dictionaries(
    {"queue_id": st.sampled_from(some.QUEUES[:2]), "channel": st.sampled_from(some.CHANNELS), "skills": some.skills}
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
    found = [one.subject for one in engine.diagnose(thorough=True).findings if one.code is FindingCode.CONTACTS_NO_AGENT_QUALIFIED]
    assert sorted(found) == sorted(expected)


def with_plan(*steps: StepPolicy, **queue: Any) -> Policy:
    return plain(skills=("german", "loans"), plans={"wide": steps}, queues={"support": a_queue(plan="wide", **queue)})


def test_a_step_that_no_agent_could_take_is_found() -> None:
    policy = with_plan(StepPolicy(duration_s=60), StepPolicy(remove_skills=("german",)), requires={"german": 5})
    found = the_finding(diagnosis_of(policy, an_agent("ada", skills={"loans": 9})), FindingCode.STEP_WITHOUT_AGENTS)
    assert found.subject == "support, step 0 of wide"
    assert found.unmet_conditions == (UnmetCondition(code="skill", skill="german", needs=5),)


def test_a_step_that_prefers_undefined_agents_is_found() -> None:
    policy = with_plan(StepPolicy(duration_s=60, prefer_agents=("ada", "eve")), StepPolicy())
    found = the_finding(diagnosis_of(policy, an_agent("ada")), FindingCode.STEP_WITHOUT_AGENTS)
    assert found.agents == 1


def test_a_contact_whose_later_step_can_be_taken_is_not_reported() -> None:
    policy = with_plan(StepPolicy(duration_s=60), StepPolicy(lower_levels={"german": 3}))
    commands = (an_agent("ada", skills={"german": 3}), a_contact("c1", skills={"german": 9}))
    found = codes(diagnosis_of(policy, *commands))
    assert FindingCode.CONTACTS_NO_AGENT_QUALIFIED not in found
    found = codes(diagnosis_of(policy, commands[0], a_contact("c1", skills={"loans": 1})))
    assert FindingCode.CONTACTS_NO_AGENT_QUALIFIED in found
