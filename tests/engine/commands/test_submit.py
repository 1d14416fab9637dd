"""Entry rules and conditions on agents: their results are recorded, counted, replayed and explained."""

from typing import Any, NoReturn

import msgspec
import pytest

from router.engine.engine import Engine
from router.model import commands as c
from router.model import events as e
from router.model.diagnosis import FindingCode, Severity
from router.model.policy import FactPolicy, FactType, Policy
from router.model.results import Done, RefusalCode, Refused
from router.policy.entry_rules import EntryRuleClassifier
from router.policy.expressions import EXPRESSION_CACHE_ENTRIES_MAX, CompiledExpression, ExpressionCache
from router.statistics.workspace import WorkspaceStats
from tests.support.builders import START_MS, a_contact, a_policy, a_queue, an_agent, published, ready
from tests.support.checks.views import compare_views
from tests.support.engine_worlds import RULE_FACTS, comes, queued, with_rules
from tests.support.world import World, a_world


# --- which rule ---------------------------------------------------------------------------------------------
def test_the_event_names_the_rule_and_those_that_failed() -> None:
    world = World(with_rules("contact.age > 60", 'contact.tier == "gold"'))
    event = queued(world, comes(tier="gold"))
    assert (event.queue_id, event.rule, event.failed_rules) == ("vip", "rule1", ("rule0",))
    view, why = world.engine.contact("c1"), world.engine.why("c1")
    assert view is not None and why is not None
    assert (view.rule, view.failed_rules) == (why.rule, why.failed_rules) == ("rule1", ("rule0",))


def test_a_contact_goes_to_the_default_queue_if_every_rule_fails() -> None:
    world = World(with_rules("contact.age > 60", "100 / contact.age > 1"))
    event = queued(world, comes(age=0))
    assert (event.queue_id, event.rule, event.default_queue_used) == ("support", None, True)
    assert event.failed_rules == ("rule1",)


def test_a_contact_that_no_rule_matches_is_refused_without_a_default_queue() -> None:
    world = World(with_rules("contact.age > 60", default_queue=None))
    assert world.refused(comes()).code is RefusalCode.NO_MATCHING_QUEUE


def test_a_named_queue_evaluates_no_rule() -> None:
    world = World(with_rules("true"))
    event = queued(world, a_contact(queue_id="support"))
    assert (event.rule, event.failed_rules, event.default_queue_used) == (None, (), False)
    assert world.engine.rules().classified == 0


# --- cache of results ---------------------------------------------------------------------------------------
def test_the_same_attributes_are_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    holds = CompiledExpression.evaluate

    def counted(program: CompiledExpression, values: Any) -> bool | None:
        asked.append(program.text)
        return holds(program, values)

    monkeypatch.setattr(CompiledExpression, "evaluate", counted)
    classifier = EntryRuleClassifier(with_rules("contact.age > 60", 'contact.tier == "gold"'))
    for _ in range(5):
        decided = classifier.classify("voice", {"tier": "gold"}, lambda queue_id, name: None)
        assert decided.rule is not None and decided.rule.name == "rule1"
        assert decided.failed == ("rule0",)
    assert asked == ["contact.age > 60", 'contact.tier == "gold"']


def test_the_result_cache_is_bounded_and_eviction_changes_no_answer() -> None:
    classifier = EntryRuleClassifier(with_rules("contact.age > 60"))
    for age in range(2 * EXPRESSION_CACHE_ENTRIES_MAX + 10):
        decided = classifier.classify("voice", {"age": age}, lambda queue_id, name: None)
        assert (decided.rule is not None) == (age > 60)
    (memo,) = (one.memo for one in classifier._rules)
    assert memo is not None and len(memo._outcomes) <= EXPRESSION_CACHE_ENTRIES_MAX


# --- replay -------------------------------------------------------------------------------------------------
def test_replay_evaluates_no_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(with_rules("queues.support.waiting > 0", "contact.age > 60"))
    for place, age in enumerate((1, 70, 5)):
        world.done(comes(f"c{place}", age=age))
    world.done(comes("c9"))
    digest = world.engine.digest()

    def must_not_be_evaluated(*_: object) -> NoReturn:
        raise AssertionError("a rule was evaluated during replay")

    monkeypatch.setattr(EntryRuleClassifier, "classify", must_not_be_evaluated)
    monkeypatch.setattr(CompiledExpression, "evaluate", must_not_be_evaluated)
    assert world.replayed().digest() == digest


def test_a_journal_with_an_expression_that_is_now_invalid_can_be_replayed() -> None:
    policy = with_rules("some.old == language", "true")
    engine = Engine()
    engine.replay([e.PolicyPublished(version=1, policy=policy, drain_to={})], 1, START_MS)
    outcome = engine.handle(comes(), START_MS)
    (event,) = outcome.events
    assert isinstance(event, e.ContactQueued)
    assert (event.rule, event.failed_rules) == ("rule1", ("rule0",))


def test_rule_counts_survive_a_snapshot_and_restart_with_a_policy() -> None:
    policy = with_rules("contact.age > 60", 'contact.tier == "gold"')
    world = World(policy)
    world.done_all(comes("c1", age=70), comes("c2", tier="gold"), comes("c3"))
    view = world.engine.rules()
    assert (view.classified, view.default_queue_count, view.since_ms) == (3, 1, START_MS)
    assert [(one.matched, one.failed) for one in view.rules] == [(1, 2), (1, 1)]
    restored = Engine.restore(world.engine.snapshot())
    assert restored.rules() == view and restored.digest() == world.engine.digest()
    compare_views(world)
    world.later(5)
    world.done(published(policy))
    view = world.engine.rules()
    assert (view.classified, view.since_ms) == (0, START_MS + 5_000)
    assert all((one.matched, one.failed) == (0, 0) for one in view.rules)
    contact = world.engine.contact("c1")
    assert contact is not None and contact.rule == "rule0"


# --- publishing ---------------------------------------------------------------------------------------------
def test_the_core_refuses_a_policy_with_a_wrong_expression() -> None:
    outcome = Engine().handle(published(with_rules("true &&\n contact.agee > 1")), START_MS)
    assert isinstance(outcome.result, Refused)
    assert outcome.result.code is RefusalCode.INVALID_POLICY
    assert "entry[0].when: no such fact is declared: contact.agee" in (outcome.result.detail or "")
    assert "at 2:2 of the expression" in (outcome.result.detail or "")


# --- agents -------------------------------------------------------------------------------------------------
def with_condition(text: str) -> Policy:
    queues = {"support": a_queue(), "vip": a_queue(agents_when=text)}
    return with_rules(queues=queues)


def test_only_agents_whose_attributes_match_get_a_contact() -> None:
    world = World(with_condition("agent.desk > 2"))
    world.done_all(an_agent("ada", attributes={"desk": 1}), ready("ada"))
    world.done_all(an_agent("bob"), ready("bob"), a_contact("c1", queue_id="vip"))
    for name in ("ada", "bob"):
        why = world.engine.why_agent("c1", name)
        assert why is not None and [condition.code for condition in why.unmet_conditions] == ["attributes"]
    contact = world.engine.why("c1")
    assert contact is not None and contact.reason == "no_agent_qualified"
    (offer,) = world.done(an_agent("ada", attributes={"desk": 3}))[1:]
    assert isinstance(offer, e.OfferMade) and offer.agent_id == "ada"
    assert world.replayed().digest() == world.engine.digest()


def test_a_new_policy_rescinds_offers_whose_agents_no_longer_match() -> None:
    world = World(with_condition("agent.desk > 2"))
    world.done_all(an_agent("ada", attributes={"desk": 3}), ready("ada"))
    world.done(a_contact("c1", queue_id="vip"))
    events = world.done(published(with_condition("agent.desk > 3")))
    assert any(isinstance(event, e.OfferRescinded) for event in events)


def test_a_value_that_the_policy_no_longer_allows_counts_as_missing() -> None:
    world = World(with_condition("agent.desk > 2"))
    world.done_all(an_agent("ada", attributes={"desk": 3}), ready("ada"))
    facts = {**RULE_FACTS, "desk": FactPolicy(type=FactType.IDENT, applies_to="agent")}
    queues = {"support": a_queue(), "vip": a_queue(agents_when='!known.desk || agent.desk == "x"')}
    world.done(published(with_rules(queues=queues, facts=facts)))
    events = world.done(a_contact("c1", queue_id="vip"))
    assert any(isinstance(event, e.OfferMade) for event in events)


def test_agents_with_the_same_attributes_share_an_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    holds = CompiledExpression.evaluate

    def counted(program: CompiledExpression, values: Any) -> bool | None:
        asked.append(dict(values))
        return holds(program, values)

    monkeypatch.setattr(CompiledExpression, "evaluate", counted)
    engine = Engine()
    engine.handle(published(with_condition("agent.desk > 2")), START_MS)
    engine.handle(a_contact("c0", queue_id="vip"), START_MS)
    for number in range(100):
        command = an_agent(f"a{number}", attributes={"desk": number % 2, "site": f"s{number}"})
        assert isinstance(engine.handle(command, START_MS).result, Done)
    for number in range(1, 50):
        engine.handle(a_contact(f"c{number}", queue_id="vip"), START_MS)
    assert sorted(str(values) for values in asked) == ["{'agent.desk': 0}", "{'agent.desk': 1}"]


# --- diagnosis ----------------------------------------------------------------------------------------------
def finding(world: World | Engine, code: FindingCode) -> Any:
    engine = world.engine if isinstance(world, World) else world
    (found,) = (one for one in engine.diagnose().findings if one.code is code)
    return found


def codes(engine: Engine) -> set[FindingCode]:
    return {one.code for one in engine.diagnose().findings}


def test_the_doctor_finds_a_queue_whose_condition_no_agent_meets() -> None:
    world = World(with_condition("agent.desk > 2"))
    world.done_all(an_agent("ada", attributes={"desk": 1}), ready("ada"))
    found = finding(world, FindingCode.QUEUE_WITHOUT_AGENTS)
    assert found.subject == "vip" and [condition.code for condition in found.unmet_conditions] == ["attributes"]
    assert "no agent's attributes meet agents_when of the queue" in found.message
    world.done(a_contact("c1", queue_id="vip"))
    assert finding(world, FindingCode.CONTACTS_NO_AGENT_QUALIFIED).severity is Severity.ERROR


def test_the_nearest_agents_may_lack_only_attributes() -> None:
    queues = {"support": a_queue(), "vip": a_queue(agents_when="agent.desk > 2", requires={"english": 3})}
    world = World(with_rules(queues=queues))
    world.done_all(an_agent("ada", skills={"english": 5}), an_agent("bob", attributes={"desk": 9}))
    found = finding(world, FindingCode.QUEUE_WITHOUT_AGENTS)
    assert found.nearest_agents == 1


def test_the_doctor_finds_an_agent_whose_only_queue_excludes_the_agent() -> None:
    world = World(with_condition("agent.desk > 2"))
    world.done_all(an_agent("ada", queues=("vip",)), an_agent("bob", attributes={"desk": 3}))
    found = finding(world, FindingCode.AGENTS_NEVER_ELIGIBLE)
    assert found.agent_ids == ("ada",) and [condition.code for condition in found.unmet_conditions] == ["attributes"]


def an_engine(policy: Policy, *contacts: c.EnqueueContact) -> Engine:
    engine = Engine()
    engine.handle(published(policy), START_MS)
    for command in contacts:
        engine.handle(command, START_MS)
    return engine


def test_the_doctor_finds_a_rule_that_fails_often() -> None:
    policy = with_rules("contact.age > 60")
    few = an_engine(policy, *(comes(f"c{number}") for number in range(19)))
    assert FindingCode.RULE_FAILS_OFTEN not in codes(few)
    many = an_engine(policy, *(comes(f"c{number}") for number in range(20)))
    assert "20 of 20 contacts" in finding(many, FindingCode.RULE_FAILS_OFTEN).message


def test_the_doctor_finds_a_rule_that_never_matched_after_enough_contacts() -> None:
    policy = with_rules("contact.age > 60", "contact.age > 10")
    engine = an_engine(policy, *(comes(f"c{number}", age=20) for number in range(999)))
    assert FindingCode.RULE_NEVER_MATCHED not in codes(engine)
    engine.handle(comes("c999", age=20), START_MS)
    assert finding(engine, FindingCode.RULE_NEVER_MATCHED).subject == "rule0"


def test_a_contact_without_a_queue_is_refused_with_a_reason() -> None:
    """Lesson D4."""
    world = a_world(a_policy(default_queue=None))
    assert world.refused(a_contact(queue_id=None)).code is RefusalCode.NO_MATCHING_QUEUE
    world.done(published(a_policy(default_queue="support")))
    world.done(a_contact(queue_id=None))
    view = world.engine.contact("c1")
    assert view is not None and view.queue_id == "support"


def test_the_same_key_gives_the_same_answer_and_another_payload_is_refused() -> None:
    world = a_world(None)
    first = a_contact("c1", dedupe_key=b"k", fingerprint=b"f")
    done = world.do(first).result
    again = world.do(a_contact("c2", dedupe_key=b"k", fingerprint=b"f")).result
    assert (getattr(again, "subject", ""), getattr(again, "replayed", None)) == ("c1", True)
    assert getattr(again, "seq", 0) == getattr(done, "seq", -1)
    other = world.refused(a_contact("c3", dedupe_key=b"k", fingerprint=b"g"))
    assert other.code is RefusalCode.IDEMPOTENCY_KEY_REUSED
    assert world.engine.contact("c2") is None and world.engine.contact("c3") is None


# --- the budget of rules ------------------------------------------------------------------------------------
def over_budget_engine() -> Engine:
    """Return an engine with a policy that was published before rules had a budget."""
    values = "[" + ",".join(["1"] * 130) + "]"
    expensive = f"{values}.exists(x, contact.site.matches('^a*b$'))"
    facts = RULE_FACTS | {"site": FactPolicy(type=FactType.IDENT)}
    policy = msgspec.structs.replace(with_rules("contact.age > 90", *[expensive] * 4, "true"), facts=facts, default_queue="support")
    engine = Engine()
    assert isinstance(engine.handle(published(policy), START_MS).result, Refused)
    engine.replay([e.PolicyPublished(version=1, policy=policy)], 1, START_MS)
    return engine


def test_a_contact_whose_rules_exceed_the_budget_goes_to_the_default_queue_and_is_counted() -> None:
    engine = over_budget_engine()
    outcome = engine.handle(a_contact("c1", queue_id=None, attributes={"age": 5, "site": "aaa"}), START_MS)
    event = outcome.events[0]
    assert isinstance(event, e.ContactQueued)
    assert (event.queue_id, event.rule, event.failed_rules, event.over_budget_rule) == ("support", None, ("rule3",), "rule3")
    engine.handle(a_contact("c2", queue_id=None, attributes={"age": 95, "site": "aaa"}), START_MS)
    replayed = over_budget_engine()
    replayed.replay(outcome.events, 2, START_MS)
    replayed.handle(a_contact("c2", queue_id=None, attributes={"age": 95, "site": "aaa"}), START_MS)
    for one in (engine, replayed, Engine.restore(engine.snapshot())):
        rules = {rule.name: (rule.matched, rule.failed, rule.over_budget) for rule in one.rules().rules}
        assert rules["rule3"] == (0, 0, 1) and rules["rule0"] == (1, 0, msgspec.UNSET)
        (finding,) = (found for found in one.diagnose().findings if found.code is FindingCode.RULE_OVER_BUDGET)
        assert finding.subject == "rule3" and "1 contacts" in finding.message
        assert one.digest() == engine.digest()
    stats = WorkspaceStats()
    stats.apply(e.PolicyPublished(version=1, policy=engine.policy or a_policy()), 1, START_MS)
    stats.apply(event, 2, START_MS)
    assert stats.entry_rules()["rule3"].over_budget == 1 and stats.entry_rules()["rule3"].failed == 0


def test_no_default_queue_refuses_a_contact_whose_rules_exceed_the_budget() -> None:
    engine = over_budget_engine()
    assert engine.policy is not None
    engine.replay([e.PolicyPublished(version=2, policy=msgspec.structs.replace(engine.policy, default_queue=None))], 2, START_MS)
    refused = engine.handle(a_contact("c1", queue_id=None, attributes={"age": 5, "site": "aaa"}), START_MS).result
    assert isinstance(refused, Refused) and refused.code is RefusalCode.NO_MATCHING_QUEUE


def test_a_new_requirement_evaluates_no_condition_on_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    """A contact's arrival must not evaluate a condition for each group of agents; their registration has done so."""
    queues = {"support": a_queue(), "vip": a_queue(agents_when="agent.desk > 2")}
    engine = Engine()
    engine.handle(published(a_policy(queues=queues, facts=RULE_FACTS)), START_MS)
    for desk in range(50):
        engine.handle(an_agent(f"a{desk}", attributes={"desk": desk}, skills={"english": 1}), START_MS)
        engine.handle(ready(f"a{desk}"), START_MS)
    evaluated: list[object] = []
    monkeypatch.setattr(ExpressionCache, "evaluate", lambda *_: evaluated.append(_))
    engine.handle(a_contact("c1", queue_id="vip", skills={"english": 1}), START_MS)
    why = engine.contact("c1")
    assert why is not None and why.offers[0].agent_id == "a3" and not evaluated


def test_a_contact_may_wait_one_second_or_more() -> None:
    world = World(a_policy())
    for ttl_s in (0, -1):
        refused = world.refused(a_contact(f"c{ttl_s}", ttl_s=ttl_s))
        assert (refused.code, refused.field) == (RefusalCode.INVALID_VALUE, "ttl_s")
    # The second one of a class takes the short path.
    for contact_id in ("c1", "c2"):
        [made] = world.done(a_contact(contact_id, ttl_s=1))
        assert isinstance(made, e.ContactQueued)
        assert made.ttl_at_ms == world.at_ms + 1_000
    assert world.refused(a_contact("c3", ttl_s=0)).field == "ttl_s"
    assert [type(event) for event in world.later(1)] == [e.ContactExpired, e.ContactExpired]
