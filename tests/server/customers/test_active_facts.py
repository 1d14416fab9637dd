"""Facts of active customers: what is kept of a workspace ends with it."""

from typing import cast

from router.context.derivation import NO_GOAL_STEPS
from router.context.service import ContextService
from router.model.policy import GoalPolicy, GoalsPolicy, StepMatch
from router.runtime.writer import Writer
from router.server.customers.active_facts import ActiveFacts
from router.server.customers.live_contacts import LiveContacts
from tests.support.builders import a_policy


def test_a_workspace_that_is_not_followed_any_more_leaves_nothing() -> None:
    facts = ActiveFacts(cast(ContextService, None), cast(Writer, None), lambda _: LiveContacts())
    goals = GoalsPolicy(known={"refund": GoalPolicy(done_by=(StepMatch(type="order", name="refunded"),))})
    facts.use_policy("w", a_policy(goals=goals))
    assert facts.goal_steps("w") is not NO_GOAL_STEPS
    facts.forget_workspace("w")
    assert facts.goal_steps("w") is NO_GOAL_STEPS
