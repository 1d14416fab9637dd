"""Rows of statistics: everything that is known of one queue, agent or other subject in one span of time, with its measures.

A share or mean is none while its denominator is zero. Durations are whole milliseconds. Each measure is defined by one function in
``service_level``, ``counters`` or ``occupancy``; ``docs/reference/statistics.md`` lists them with worked examples.
"""

from typing import Any, Final

from msgspec import Struct

from router.statistics.counters import HandlingCounts, acceptance_rate, aht_ms, handle_time_ms, reach_rate, rona_rate, transfer_rate
from router.statistics.goals import (
    GoalCounts,
    counts_of,
    first_contact_resolution,
    first_contact_resolution_reported,
    goal_completion,
    repeat_rate,
)
from router.statistics.history_queries import RowCells, RowKey, TimeSpan
from router.statistics.metrics import (
    CORRECTED_AT_MS,
    CORRECTIONS,
    STATE_NOT_READY_MS,
    STATE_READY_MS,
    counters_of,
    waits_of,
    work_time_of,
)
from router.statistics.occupancy import WorkTime, concurrency, occupancy, utilisation
from router.statistics.service_level import (
    ServiceLevelCounts,
    ServiceLevelFormula,
    WaitHistogram,
    abandonment_rate,
    abandonment_rate_without_short,
    asa_ms,
    mean_wait_ms,
    ratio,
    service_level,
)


class StatisticsRow(Struct, frozen=True, kw_only=True):
    """Statistics of one subject in one span of time."""

    from_ms: int
    """Start of the span, epoch milliseconds."""
    to_ms: int
    """End of the span, which does not belong to it."""
    queue_id: str | None = None
    """Queue; null: not by queue."""
    channel: str | None = None
    """Channel; null: not by channel."""
    agent_id: str | None = None
    """Agent; null: not by agent."""
    team: str | None = None
    """Team, with all agents who belong to it now; null: not by team."""
    disposition: str | None = None
    """Disposition code; empty: completed without one."""
    goal: str | None = None
    """Goal of contacts; null: not by goal."""
    submitted: int = 0
    """Contacts submitted to the queue."""
    entered: int = 0
    """Waits that began."""
    overflowed_in: int = 0
    """Contacts that overflowed into the queue."""
    overflowed_out: int = 0
    """Contacts that overflowed out of the queue."""
    moved_in: int = 0
    """Contacts moved into the queue while waiting."""
    moved_out: int = 0
    """Contacts moved out of the queue while waiting."""
    transferred_in: int = 0
    """Contacts received by a transfer: of a queue those that waited again, of an agent those taken over."""
    requeued: int = 0
    """Contacts that wait again after an assignment, without a transfer."""
    cancelled: int = 0
    """Waits that ended by a cancel."""
    expired: int = 0
    """Waits that ended by expiry."""
    called_back: int = 0
    """Waits of callbacks that ended with an agent or with the customer on the line."""
    answered: int = 0
    """Waits that ended with an agent."""
    answered_within: int = 0
    """Answers within the service-level threshold."""
    abandoned: int = 0
    """Waits that the customer ended."""
    abandoned_short: int = 0
    """Abandons before the short-abandon limit."""
    abandoned_early: int = 0
    """Abandons before the threshold."""
    service_level: float | None = None
    """answered within / (answered + abandoned − short abandons): the service level of this router."""
    service_level_of_answered: float | None = None
    """answered within / answered."""
    service_level_of_offered: float | None = None
    """answered within / (answered + abandoned)."""
    service_level_early_is_good: float | None = None
    """(answered within + abandoned early) / (answered + abandoned)."""
    overflow_answered: int = 0
    """Contacts that overflowed out of the queue and were answered elsewhere."""
    overflow_answered_within: int = 0
    """Those of them answered within the threshold of this queue."""
    overflow_abandoned: int = 0
    """Contacts that overflowed out of the queue and were abandoned elsewhere."""
    overflow_abandoned_short: int = 0
    """Those of them abandoned before the short-abandon limit of this queue."""
    service_level_of_first_queue: float | None = None
    """The service level with the contacts that overflowed out of the queue, by its own threshold; null: not by queue."""
    asa_ms: int | None = None
    """Mean wait of answered contacts."""
    mean_wait_ms: int | None = None
    """Mean wait of answered and abandoned contacts."""
    wait_p50_ms: int | None = None
    """Wait that 50 % of the answered contacts did not exceed."""
    wait_p80_ms: int | None = None
    """Wait that 80 % of the answered contacts did not exceed."""
    wait_p90_ms: int | None = None
    """Wait that 90 % of the answered contacts did not exceed."""
    wait_p95_ms: int | None = None
    """Wait that 95 % of the answered contacts did not exceed."""
    wait_p99_ms: int | None = None
    """Wait that 99 % of the answered contacts did not exceed."""
    longest_wait_ms: int = 0
    """Longest wait of an answered contact, exact."""
    abandonment_rate: float | None = None
    """abandoned / (answered + abandoned)."""
    abandonment_rate_without_short: float | None = None
    """The same without short abandons."""
    handled: int = 0
    """Completed assignments: of owners, for an agent all."""
    talk_ms: int = 0
    """Talk time of completed assignments."""
    hold_ms: int = 0
    """Hold time of completed assignments."""
    wrap_up_ms: int = 0
    """Wrap-up time of completed assignments."""
    parked_ms: int = 0
    """Parked time of completed assignments; no part of the handle time."""
    aht_ms: int | None = None
    """(talk + hold + wrap-up) / handled."""
    mean_talk_ms: int | None = None
    """talk / handled."""
    mean_hold_ms: int | None = None
    """hold / handled."""
    mean_wrap_up_ms: int | None = None
    """wrap-up / handled."""
    transferred_out: int = 0
    """Assignments that ended in a transfer."""
    transfer_rate: float | None = None
    """transferred out / handled."""
    offers_made: int = 0
    """Offers made."""
    offers_accepted: int = 0
    """Offers accepted."""
    offers_declined: int = 0
    """Offers declined."""
    offers_expired: int = 0
    """Offers that expired without an answer (RONA)."""
    offers_rescinded: int = 0
    """Offers that the router withdrew."""
    rona_rate: float | None = None
    """expired / (accepted + declined + expired) offers."""
    acceptance_rate: float | None = None
    """accepted / (accepted + declined + expired) offers."""
    callbacks_requested: int = 0
    """Contacts that became callbacks."""
    callbacks_dialled: int = 0
    """Callback attempts."""
    callbacks_connected: int = 0
    """Attempts that reached the customer."""
    callbacks_failed: int = 0
    """Attempts that did not."""
    callbacks_given_up: int = 0
    """Callbacks that expired."""
    reach_rate: float | None = None
    """connected / (connected + failed) attempts."""
    channels_switched: int = 0
    """Contacts that continued on the channel after a switch."""
    consults_asked: int = 0
    """Consults that owners asked for and another agent accepted."""
    consults_given: int = 0
    """Accepted consults, for the consulted agent or the queue through which they were reached."""
    participations: int = 0
    """Agents added to a conversation as participants."""
    busy_ms: int = 0
    """Time of agents with work."""
    idle_ms: int = 0
    """Time of agents who were ready without work."""
    not_ready_ms: int = 0
    """Time not ready without work."""
    signed_in_ms: int = 0
    """busy + idle + not ready."""
    state_ready_ms: int = 0
    """Time in the state ``ready``, with or without work."""
    state_not_ready_ms: int = 0
    """Time in the state ``not_ready``, with or without work."""
    not_ready_by_reason_ms: dict[str, int] = {}
    """Time in the state ``not_ready`` by reason; time without a reason is only in ``state_not_ready_ms``."""
    occupancy: float | None = None
    """busy / (busy + idle)."""
    utilisation: float | None = None
    """busy / signed in."""
    concurrency: float | None = None
    """(talk + hold + wrap-up) / busy."""
    goals: int = 0
    """Contacts with a goal that are over: for an agent those of which they were the last owner."""
    goals_done: int = 0
    """Those of them whose goal is done."""
    goals_partly: int = 0
    """Those whose goal is done in part."""
    goals_not_done: int = 0
    """Those whose goal is not done; of the remaining ones it is not known."""
    goal_completion: float | None = None
    """done / (done + partly + not done)."""
    repeats: int = 0
    """Contacts with a goal that repeat an earlier one."""
    repeat_rate: float | None = None
    """repeats / goals."""
    repeated: int = 0
    """Contacts with a goal after which the customer came again."""
    first_contacts: int = 0
    """Answered contacts with a goal, of known customers, that repeat no other one."""
    first_contacts_done: int = 0
    """Those of them whose goal is done and whose customer did not come again."""
    first_contacts_unresolved: int = 0
    """Those of them whose customer came again, or whose goal is not done or only in part."""
    first_contact_resolution: float | None = None
    """(first contacts − unresolved) / first contacts."""
    first_contact_resolution_reported: float | None = None
    """done / (done + unresolved) of the first contacts."""
    ease_scores: int = 0
    """Contacts with a score of ease."""
    ease_mean: float | None = None
    """Mean of the scores of ease, 1 to 7."""
    ease_share: float | None = None
    """Scores of 5 to 7 / scores of ease."""
    effort_scores: int = 0
    """Contacts with a score of effort."""
    effort_mean: float | None = None
    """Mean of the scores of effort, 1 to 5."""
    satisfaction_scores: int = 0
    """Contacts with a score of satisfaction."""
    satisfaction_mean: float | None = None
    """Mean of the scores of satisfaction, 1 to 5."""
    satisfaction_share: float | None = None
    """Scores of 4 and 5 / scores of satisfaction."""
    corrections: int = 0
    """Late corrections of this row; a change means that figures of the past have changed."""
    corrected_at_ms: int | None = None
    """When the last of them was made; null: never."""


COLUMNS: Final = StatisticsRow.__struct_fields__


def csv_values(row: StatisticsRow) -> list[Any]:
    """Return the values of a row for a table without nesting, in the order of ``COLUMNS``; reasons as ``lunch=60000;rona=5000``."""
    return [_csv_value(getattr(row, name)) for name in COLUMNS]


def _csv_value(value: Any) -> Any:
    if isinstance(value, dict):
        return ";".join(f"{name}={number}" for name, number in sorted(value.items()))
    return "" if value is None else value


def statistics_row(key: RowKey, span: TimeSpan, counted: RowCells) -> StatisticsRow:
    """Return the row of what was counted."""
    cell = counted.cell
    counters = counters_of(cell)
    flow, service, offers, calls = counters.flow, counters.service, counters.offers, counters.callbacks
    handling, overflow, waits, time = counters.handling, counters.after_overflow, waits_of(cell), work_time_of(cell)
    return StatisticsRow(
        from_ms=span.start_ms,
        to_ms=span.end_ms,
        **key._asdict(),
        **{name: getattr(flow, name) for name in _FLOW},
        **{name: getattr(service, name) for name in service.__struct_fields__},
        service_level=service_level(service),
        service_level_of_answered=service_level(service, ServiceLevelFormula.OF_ANSWERED),
        service_level_of_offered=service_level(service, ServiceLevelFormula.OF_OFFERED),
        service_level_early_is_good=service_level(service, ServiceLevelFormula.EARLY_IS_GOOD),
        overflow_answered=overflow.answered,
        overflow_answered_within=overflow.answered_within,
        overflow_abandoned=overflow.abandoned,
        overflow_abandoned_short=overflow.abandoned_short,
        # A row of several queues counts an overflowed contact where it was answered already.
        service_level_of_first_queue=None if key.queue_id is None else service_level(_sum(service, overflow)),
        asa_ms=_rounded(asa_ms(counters.waits, service)),
        mean_wait_ms=_rounded(mean_wait_ms(counters.waits, service)),
        **_quantiles(waits),
        longest_wait_ms=waits.longest_ms,
        abandonment_rate=abandonment_rate(service),
        abandonment_rate_without_short=abandonment_rate_without_short(service),
        **_handling(handling),
        **{f"offers_{name}": getattr(offers, name) for name in offers.__struct_fields__},
        rona_rate=rona_rate(offers),
        acceptance_rate=acceptance_rate(offers),
        **{f"callbacks_{name}": getattr(calls, name) for name in calls.__struct_fields__},
        reach_rate=reach_rate(calls),
        channels_switched=counters.switches.switched,
        consults_asked=counters.consults.asked,
        consults_given=counters.consults.given,
        participations=counters.consults.participations,
        **_time(counted, time),
        concurrency=concurrency(handle_time_ms(handling), time),
        **_goals(counts_of(cell)),
        corrections=cell.get(CORRECTIONS, 0),
        corrected_at_ms=cell.get(CORRECTED_AT_MS),
    )


_GOALS: Final = tuple(name for name in GoalCounts.__struct_fields__ if name in StatisticsRow.__struct_fields__)
_FLOW: Final = (
    "submitted",
    "entered",
    "overflowed_in",
    "overflowed_out",
    "moved_in",
    "moved_out",
    "transferred_in",
    "requeued",
    "cancelled",
    "expired",
    "called_back",
)


def _handling(handling: HandlingCounts) -> dict[str, Any]:
    return {
        "handled": handling.handled,
        "talk_ms": handling.talk_ms,
        "hold_ms": handling.hold_ms,
        "wrap_up_ms": handling.wrap_up_ms,
        "parked_ms": handling.parked_ms,
        "aht_ms": _rounded(aht_ms(handling)),
        "mean_talk_ms": _rounded(ratio(handling.talk_ms, handling.handled)),
        "mean_hold_ms": _rounded(ratio(handling.hold_ms, handling.handled)),
        "mean_wrap_up_ms": _rounded(ratio(handling.wrap_up_ms, handling.handled)),
        "transferred_out": handling.transferred,
        "transfer_rate": transfer_rate(handling),
    }


def _time(counted: RowCells, time: WorkTime) -> dict[str, Any]:
    return {
        "busy_ms": time.busy_ms,
        "idle_ms": time.idle_ms,
        "not_ready_ms": time.not_ready_ms,
        "signed_in_ms": time.busy_ms + time.idle_ms + time.not_ready_ms,
        "state_ready_ms": counted.cell.get(STATE_READY_MS, 0),
        "state_not_ready_ms": counted.cell.get(STATE_NOT_READY_MS, 0),
        "not_ready_by_reason_ms": counted.reasons,
        "occupancy": occupancy(time),
        "utilisation": utilisation(time),
    }


def _goals(counts: GoalCounts) -> dict[str, Any]:
    return {
        **{name: getattr(counts, name) for name in _GOALS},
        "goal_completion": goal_completion(counts),
        "repeat_rate": repeat_rate(counts),
        "first_contact_resolution": first_contact_resolution(counts),
        "first_contact_resolution_reported": first_contact_resolution_reported(counts),
        "ease_mean": ratio(counts.ease_sum, counts.ease_scores),
        "ease_share": ratio(counts.ease_easy, counts.ease_scores),
        "effort_mean": ratio(counts.effort_sum, counts.effort_scores),
        "satisfaction_mean": ratio(counts.satisfaction_sum, counts.satisfaction_scores),
        "satisfaction_share": ratio(counts.satisfied, counts.satisfaction_scores),
    }


def _quantiles(waits: WaitHistogram) -> dict[str, Any]:
    return {f"wait_p{percent}_ms": waits.quantile_ms(percent / 100) for percent in (50, 80, 90, 95, 99)}


def _sum(first: ServiceLevelCounts, second: ServiceLevelCounts) -> ServiceLevelCounts:
    return ServiceLevelCounts(*(getattr(first, name) + getattr(second, name) for name in first.__struct_fields__))


def _rounded(value: float | None) -> int | None:
    return None if value is None else round(value)
