"""A new policy to state: the indexes are made anew under it."""

from collections.abc import Callable
from typing import Any, Final

from router.core.state import RoutingState
from router.model.events import PolicyPublished


def _published(state: RoutingState, e: PolicyPublished) -> None:
    state.policy = e.policy
    state.policy_version = e.version
    state.index.rebuild(e.policy)


HANDLERS: Final[dict[type, Callable[[RoutingState, Any], None]]] = {PolicyPublished: _published}
