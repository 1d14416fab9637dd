"""Scheduled policies: kept in the state, published by a timer at their time, or refused then by the same checks.

A workspace has at most one. It names the version that it replaces, unless it may replace any: if another one is active at its time,
it is refused, because its author has not seen that one. A refusal is an event, and the schedule stays in the state as refused until
it is replaced or cancelled, so that it is seen. It is not tried again.
"""

from collections.abc import Callable
from typing import Any, Final

from router.engine.commands.policies import invalid_policy_refusal, publication_refusal, publish
from router.engine.commands.transaction import Transaction
from router.engine.routing_state import RoutingState
from router.model.commands import CancelScheduledPolicy, SchedulePolicy
from router.model.events import PolicyPublished, PolicyScheduleCancelled, PolicyScheduled, PolicyScheduleRefused
from router.model.policy_versions import ScheduledPolicy
from router.model.results import CommandResult, RefusalCode, Refused

AHEAD_MAX_MS: Final = 366 * 86_400_000
"""How far ahead a policy may be scheduled."""


def _schedule_policy(tx: Transaction, command: SchedulePolicy) -> CommandResult:
    refused = None if command.is_checked else invalid_policy_refusal(command.policy)
    refused = refused or _time_refusal(tx, command) or _version_refusal(tx.state, command.replaces)
    if refused is not None:
        return refused
    tx.emit(
        PolicyScheduled(
            policy=command.policy,
            publish_at_ms=command.publish_at_ms,
            replaces=command.replaces,
            drain_to=command.drain_to,
            note=command.note,
            scheduled_by=command.scheduled_by,
            changes=command.changes,
        )
    )
    return tx.done("scheduled_policy", "scheduled")


def _time_refusal(tx: Transaction, command: SchedulePolicy) -> Refused | None:
    if tx.at_ms < command.publish_at_ms <= tx.at_ms + AHEAD_MAX_MS:
        return None
    detail = "must be in the future, and at most 366 days ahead; to publish now use PUT /v1/policy"
    return Refused(code=RefusalCode.INVALID_VALUE, field="publish_at", detail=detail)


def _version_refusal(state: RoutingState, replaces: int | None) -> Refused | None:
    if replaces in (None, state.policy_version):
        return None
    detail = f"version {state.policy_version} is active, and the scheduled policy replaces another one"
    return Refused(code=RefusalCode.POLICY_VERSION_CONFLICT, field="replaces", detail=detail, state=str(state.policy_version))


def schedule_refusal(state: RoutingState, scheduled: ScheduledPolicy) -> Refused | None:
    """Return why a scheduled policy could not be published now; None: it could."""
    return _version_refusal(state, scheduled.replaces) or publication_refusal(state, scheduled.policy, scheduled.drain_to)


def publish_scheduled(tx: Transaction, _: str) -> None:
    """Publish the scheduled policy, whose time has come, or refuse it."""
    state = tx.state
    scheduled = state.scheduled_policy
    assert scheduled is not None
    # An earlier version of the router may have accepted what this one refuses.
    refused = schedule_refusal(state, scheduled) or invalid_policy_refusal(scheduled.policy)
    if refused is not None:
        field = f"{refused.field}: " if refused.field else ""
        tx.emit(PolicyScheduleRefused(refused=refused.code.name.lower(), detail=f"{field}{refused.detail}"))
        return
    publish(
        tx,
        scheduled.drain_to,
        PolicyPublished(
            version=state.policy_version + 1,
            policy=scheduled.policy,
            note=scheduled.note,
            published_by=scheduled.scheduled_by,
            changes=scheduled.changes if scheduled.replaces == state.policy_version else None,
            is_scheduled=True,
        ),
    )


def _cancel_scheduled_policy(tx: Transaction, _: CancelScheduledPolicy) -> CommandResult:
    if tx.state.scheduled_policy is None:
        return Refused(code=RefusalCode.NO_SCHEDULED_POLICY)
    tx.emit(PolicyScheduleCancelled())
    return tx.done("scheduled_policy", "cancelled")


SCHEDULE_COMMANDS: Final[dict[type, Callable[[Transaction, Any], CommandResult]]] = {
    SchedulePolicy: _schedule_policy,
    CancelScheduledPolicy: _cancel_scheduled_policy,
}
