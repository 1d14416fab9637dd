"""API operations on journeys: steps of customers, in batches, and the newest steps of one customer.

A batch is parsed in slices, between which other tasks of the event loop run, and stored in one group commit. A faulty step, and
one beyond the limit of its customer, is rejected alone; a workspace beyond its rate is refused as a whole.
"""

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from router.context.customers import ContextError, ErasedCustomer, UnknownCustomer
from router.context.derivation import NO_GOAL_STEPS, GoalSteps
from router.context.identities import NormalIdentity
from router.context.journey import BATCH_STEPS_MAX, Reference, Step, StepFields, StepInvalid, step_of
from router.context.port import ContextStore, NewStep
from router.invalid_input import InvalidInput, convert_plain
from router.model.commands import ReportGoalSteps
from router.server.api.customer_access import context_service, customer_id_of, note_read, now_ms_of, owned_identity, run_on_context
from router.server.api.problems import ProblemError
from router.server.api.request import ApiRequest, ApiResponse

JOURNEY_STEPS_MAX: Final = 200
_PARSED_AT_ONCE: Final = 16
"""Steps of a slice; one takes 5 to 60 microseconds. Another thread would have to wait for the interpreter lock all the same."""

_PAUSE_S: Final = 0.05
"""Before a report about goals is tried again for the first time."""
_NOT_EXECUTED: Final = ("busy", "not_ready")
"""Problems of a command that was not executed, and may be soon."""


class JourneyBatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Steps of any customers."""

    steps: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=BATCH_STEPS_MAX)]
    """Steps; a faulty one is rejected alone."""


class RejectedStep(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step of a batch that was not stored."""

    index: int
    """Position in the batch, from 0."""
    code: str
    """Code of the problem."""
    field: str | None = None
    """Field of the step that is wrong."""
    detail: str = ""
    """What would be valid."""


class JourneyReceipt(Struct, frozen=True, kw_only=True):
    """What became of a batch of steps, once it is durable."""

    accepted: int
    """Steps that were stored."""
    repeated: int
    """Steps whose id was seen within a day."""
    dropped: int
    """Steps older than 30 days, and steps of erased customers."""
    rejected: tuple[RejectedStep, ...]
    """Steps with an error."""


class StepView(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A step of a journey."""

    at_ms: int
    type: str
    name: str | None = None
    """What exactly."""
    result: str | None = None
    """How it ended."""
    channel: str | None = None
    data: dict[str, Any] = {}
    """Data of the application."""
    refs: tuple[Reference, ...] = ()
    """Large things that are stored elsewhere."""


class JourneyDocument(Struct, frozen=True, kw_only=True):
    """The newest steps of a customer, oldest first."""

    customer_id: str
    steps: tuple[StepView, ...]
    """Steps, oldest first."""


class JourneyQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Range of a journey."""

    limit: Annotated[int, Meta(ge=1, le=JOURNEY_STEPS_MAX)] = 20
    """Most steps in the answer."""


class _ParsedBatch(Struct, frozen=True):
    """The steps of a batch that can be stored, and what is wrong with the others."""

    steps: list[tuple[Step, str | None, NormalIdentity | None, int]]
    """Step, customer id or identity, and index in the batch."""
    rejected: list[RejectedStep]
    too_old: int


async def append_steps(request: ApiRequest) -> ApiResponse:
    """Append steps to the journeys of customers; answered when they are durable."""
    batch: JourneyBatch = request.body
    now_ms, service = now_ms_of(request), context_service(request)
    wait_s = service.step_wait_s(request.workspace, len(batch.steps))
    if wait_s is not None:
        service.count("steps", "refused", len(batch.steps))
        limits = request.services.settings.context
        detail = (
            f"at most {limits.steps_per_s:,} steps a second, in a burst {limits.steps_burst:,}, for all senders of the workspace "
            "(`context.steps_per_s`)"
        )
        raise ProblemError("rate_limited", detail, retry_after_s=math.ceil(wait_s))
    parsed = _ParsedBatch([], [], 0)
    for first in range(0, len(batch.steps), _PARSED_AT_ONCE):
        if first:
            await asyncio.sleep(0)
        parsed = _parse(request, parsed, batch.steps[first : first + _PARSED_AT_ONCE], first, now_ms)

    customers = request.services.customers
    goal_steps = NO_GOAL_STEPS if customers is None else customers.facts.goal_steps(request.workspace)

    def operation(store: ContextStore) -> tuple[JourneyReceipt, list[ReportGoalSteps]]:
        reports = _GoalReports(goal_steps)
        receipt = _append(store, request, parsed, now_ms, reports)
        return receipt, reports.commands(store, request.workspace)

    receipt, reports = await run_on_context(request, operation)
    # Before the answer, so that a batch that is sent again after a crash reports what is missing.
    await asyncio.gather(*(_report(request, report) for report in reports))
    limited = sum(one.code == "rate_limited" for one in receipt.rejected)
    counts = {"accepted": receipt.accepted, "repeated": receipt.repeated, "dropped": receipt.dropped, "limited": limited}
    for result, number in (counts | {"rejected": len(receipt.rejected) - limited}).items():
        service.count("steps", result, number)
    return ApiResponse(body=receipt, status=202)


async def _report(request: ApiRequest, report: ReportGoalSteps) -> None:
    """Report steps about goals. They are stored: while too many commands wait, the sender waits instead of sending them again."""
    loop = asyncio.get_running_loop()
    pause_s, until_s = _PAUSE_S, loop.time() + request.services.settings.server.answer_timeout_s
    while True:
        try:
            return await request.execute_unguarded(report)
        except ProblemError as error:
            if error.document.code not in _NOT_EXECUTED or loop.time() + pause_s > until_s:
                raise
        await asyncio.sleep(pause_s)
        pause_s = min(1.0, 2 * pause_s)


def _parse(
    request: ApiRequest, parsed: _ParsedBatch, steps: Sequence[dict[str, Any]], first_index: int, now_ms: int
) -> _ParsedBatch:
    """Add steps to those that were parsed before; ``first_index``: of the first one in the batch."""
    too_old = parsed.too_old
    converted = _converted(steps)
    for position, raw in enumerate(steps):
        index = first_index + position
        try:
            fields = converted[position] if converted is not None else convert_plain(raw, StepFields)
            step = step_of(fields, now_ms=now_ms)
            identity = None if fields.identity is None else owned_identity(request, fields.identity, "identity.")
        except StepInvalid as error:
            parsed.rejected.append(RejectedStep(index=index, code=error.code, field=error.field, detail=str(error)))
        except ProblemError as error:
            wrong = error.document
            parsed.rejected.append(
                RejectedStep(index=index, code=wrong.code, field=wrong.field or "identity.value", detail=wrong.detail)
            )
        except InvalidInput as error:
            rejected = RejectedStep(index=index, code="invalid_value", field=error.field or None, detail=error.detail)
            parsed.rejected.append(rejected)
        else:
            if step is None:
                too_old += 1
            else:
                parsed.steps.append((step, fields.customer_id, identity, index))
    return replace(parsed, too_old=too_old)


class _GoalReports:
    """What the steps of a batch report about goals."""

    def __init__(self, steps: GoalSteps) -> None:
        self._steps = steps
        self._of_customer: dict[str, tuple[list[tuple[str, int]], list[tuple[str, int]]]] = {}
        """Steps that were stored now, and those that were stored before."""

    def add(self, customer_id: str, step: Step, *, seen_at_ms: int | None) -> None:
        """Add a step of a customer; ``seen_at_ms``: of one that was stored before, which has a new time if it names none."""
        at_ms = step.at_ms if seen_at_ms is None else min(step.at_ms, seen_at_ms)
        for goal in self._steps.goals_of(step):
            self._of_customer.setdefault(customer_id, ([], []))[seen_at_ms is not None].append((goal, at_ms))

    def commands(self, store: ContextStore, workspace: str) -> list[ReportGoalSteps]:
        """Return a command for each customer."""
        found: list[ReportGoalSteps] = []
        for customer_id, (steps, repeated) in self._of_customer.items():
            with suppress(UnknownCustomer, ErasedCustomer):
                members = sorted({customer_id, *store.member_ids(workspace, customer_id)})
                found.append(ReportGoalSteps(customer_ids=tuple(members), steps=tuple(steps), repeated_steps=tuple(repeated)))
        return found


def _converted(steps: Sequence[dict[str, Any]]) -> list[StepFields] | None:
    """Return the steps, converted by one call; None: one of them is faulty, or has to be corrected."""
    try:
        return msgspec.convert(steps, list[StepFields])
    except msgspec.ValidationError:
        return None


def _append(store: ContextStore, request: ApiRequest, parsed: _ParsedBatch, now_ms: int, reports: _GoalReports) -> JourneyReceipt:
    stored = repeated = 0
    dropped, rejected = parsed.too_old, list(parsed.rejected)
    per_minute = request.services.settings.context.customer_steps_per_minute
    store.read_ahead(
        request.workspace,
        identities=[identity for _, _, identity, _ in parsed.steps if identity is not None],
        customer_ids=[customer_id for _, customer_id, _, _ in parsed.steps if customer_id is not None],
    )
    new = [NewStep(step, customer_id, identity) for step, customer_id, identity, _ in parsed.steps]
    results = store.append_steps(request.workspace, new, now_ms=now_ms)
    for (step, _, _, index), result in zip(parsed.steps, results, strict=True):
        if isinstance(result, ErasedCustomer):
            dropped += 1
        elif isinstance(result, ContextError):
            rejected.append(
                RejectedStep(index=index, code="unknown_customer", field="customer_id", detail="no customer has this id")
            )
        elif result.is_limited:
            detail = f"at most {per_minute} steps a minute of one customer (`context.customer_steps_per_minute`)"
            rejected.append(RejectedStep(index=index, code="rate_limited", detail=detail))
        elif result.customer_id is None:
            dropped += 1
        else:
            stored += result.stored
            repeated += not result.stored
            reports.add(result.customer_id, step, seen_at_ms=result.seen_at_ms)
    rejected.sort(key=lambda one: one.index)
    return JourneyReceipt(accepted=stored, repeated=repeated, dropped=dropped, rejected=tuple(rejected))


async def get_journey(request: ApiRequest) -> ApiResponse:
    """Get the newest steps of a customer, oldest first."""
    customer_id = customer_id_of(request)

    def operation(store: ContextStore) -> list[Step]:
        note_read(store, request, customer_id, "journey")
        return store.steps(request.workspace, customer_id, limit=request.query_params.limit)

    steps = await run_on_context(request, operation)
    return ApiResponse(body=JourneyDocument(customer_id=customer_id, steps=tuple(step_view(step) for step in steps)))


def step_view(step: Step) -> StepView:
    return StepView(
        at_ms=step.at_ms,
        type=step.type,
        name=step.name,
        result=step.result,
        channel=step.channel,
        data=step.data,
        refs=tuple(Reference(kind=kind, ref=place, bytes=size) for kind, place, size in step.refs),
    )
