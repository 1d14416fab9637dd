"""Handler of the event of goals: it keeps the goal as the event has it, and forgets the oldest ones beyond the limits."""

from collections.abc import Callable
from typing import Any, Final

from router.engine.routing_state import RoutingState
from router.model.events.goal import GoalChanged
from router.model.policy import GoalsPolicy

_DEFAULT: Final = GoalsPolicy()


def _goal_changed(state: RoutingState, event: GoalChanged) -> None:
    state.goals.put(event.contact_id, event.goal)
    state.goals.forget_old(_DEFAULT if state.policy is None else state.policy.goals, state.at_ms)


GOAL_EVENTS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {GoalChanged: _goal_changed}
