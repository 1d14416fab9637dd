"""Shift all points in time of a state, for a reset of a clock that was wrong.

Points in time are recognised by the names of their fields, which end in ``_at_ms``, ``_since_ms``, ``_until_ms``, ``start_ms`` or
``deadline_ms`` throughout the model (durations end in ``_ms`` otherwise); the few that are in mappings or tuples are listed.
Shifting all of them by the same amount keeps every duration: how long a contact has waited, and how long an offer still rings. Two
kinds are different, because they come from the calendar and not from the router's clock:

* Times that a customer or a gateway has named stay: the agreed time of a callback, and the end of a suspension with its warning,
  unless it is just ``resume_within_s`` after the suspension, which is the router's own duration.
* The time of a scheduled policy stays as well.
* Opening hours and the local day are evaluated again with the first command: what they said was said of another day.
"""

import re
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec import Struct

from router.engine.snapshots.full import dump, load
from router.engine.state.contact_parts import SuspensionState
from router.engine.state.ended_contacts import EndedContacts
from router.engine.state.goals import GoalRegister
from router.engine.state.idempotency import IdempotencyKeys
from router.engine.state.policy_history import PolicyHistory
from router.model.states import CallbackPhase

T = TypeVar("T")

_TIME_FIELD: Final = re.compile(r"(?:^|_)(?:at|since|until|start|deadline)_ms$")
_NAMED_BY_CLIENTS: Final = frozenset({"scheduled_at_ms"})
# Fields without a name of that form whose numbers are points in time: by agent or channel, and pairs of an id and a time.
_TIMES_BY_KEY: Final = frozenset({"cool_downs", "recent_contact_times"})


def shift_times(value: T, by_ms: int) -> T:
    """Return the structure with all points in time moved by ``by_ms``; structs that can be changed are changed in place."""
    if isinstance(value, Struct):
        changes = {name: _shift_field(name, getattr(value, name), by_ms) for name in value.__struct_fields__}
        if value.__struct_config__.frozen:
            return msgspec.structs.replace(value, **changes)
        for name, changed in changes.items():
            setattr(value, name, changed)
        return value
    return cast(T, _map_items(value, lambda item: shift_times(item, by_ms)))


def _shift_field(name: str, value: Any, by_ms: int) -> Any:
    if name in _TIMES_BY_KEY:
        return _shift_all(value, by_ms)
    if isinstance(value, int) and not isinstance(value, bool):
        # Zero means that nothing has happened yet.
        is_time = _TIME_FIELD.search(name) is not None and name not in _NAMED_BY_CLIENTS and value
        return value + by_ms if is_time else value
    return shift_times(value, by_ms)


def _shift_all(value: Any, by_ms: int) -> Any:
    if isinstance(value, int):
        return value + by_ms
    return _map_items(value, lambda item: _shift_all(item, by_ms))


def _map_items(value: Any, change: Any) -> Any:
    if isinstance(value, dict):
        return {key: change(item) for key, item in value.items()}
    if isinstance(value, list):
        return [change(item) for item in value]
    if isinstance(value, tuple):
        return tuple(change(item) for item in value)
    return value


def shift_snapshot(data: bytes, by_ms: int) -> bytes:
    """Return a snapshot of the same state with its times moved by ``by_ms``. Raises as ``load``."""
    state = load(data)
    for agent in state.agents.values():
        # Its offers and assignments are fields of it.
        shift_times(agent, by_ms)
    for contact in state.contacts.values():
        callback = contact.callback
        kept = None if callback is None or callback.scheduled_at_ms is None else (callback.expires_at_ms, contact.ttl_at_ms)
        due_at_ms = callback.due_at_ms if callback is not None and callback.phase is CallbackPhase.SCHEDULED else None
        suspension, terms = contact.suspension, state.queue_policy(contact.queue_id).suspension
        if suspension is not None and suspension.resume_by_ms == suspension.suspended_at_ms + 1000 * terms.resume_within_s:
            _shift_end(suspension, by_ms)
        shift_times(contact, by_ms)
        if callback is not None and kept is not None:
            # What follows from the agreed time stays with it.
            callback.expires_at_ms, contact.ttl_at_ms = kept
            callback.due_at_ms = callback.due_at_ms if due_at_ms is None else due_at_ms
    state.idempotency = IdempotencyKeys([(key, shift_times(record, by_ms)) for key, record in state.idempotency.items()])
    forecasts = state.wait_statistics.pending_forecasts
    for contact_id, forecast in list(forecasts.items()):
        forecasts[contact_id] = shift_times(forecast, by_ms)
    state.rule_counts = shift_times(state.rule_counts, by_ms)
    state.ended_contacts = EndedContacts((contact_id, at_ms + by_ms) for contact_id, at_ms in state.ended_contacts)
    state.no_agents_since = _shift_all(state.no_agents_since, by_ms)
    state.created = shift_times(state.created, by_ms)
    state.alerts = {key: shift_times(alert, by_ms) for key, alert in state.alerts.items()}
    scheduled = state.scheduled_policy
    if scheduled is not None:
        refused_at_ms = None if scheduled.refused_at_ms is None else scheduled.refused_at_ms + by_ms
        state.scheduled_policy = msgspec.structs.replace(
            scheduled, scheduled_at_ms=scheduled.scheduled_at_ms + by_ms, refused_at_ms=refused_at_ms
        )
    state.goals = GoalRegister((contact_id, shift_times(goal, by_ms)) for contact_id, goal in state.goals.items())
    state.policy_history = PolicyHistory(shift_times(entry, by_ms) for entry in state.policy_history.entries())
    state.at_ms = state.event_at_ms = state.event_at_ms + by_ms
    for hours in state.hours.values():
        if hours.next_check_at_ms is not None:
            hours.next_check_at_ms = state.at_ms
    if state.day_until_ms is not None:
        state.day_until_ms = state.at_ms
    return dump(state)


def _shift_end(suspension: SuspensionState, by_ms: int) -> None:
    suspension.resume_by_ms += by_ms
    if suspension.warning_ms is not None:
        suspension.warning_ms += by_ms
