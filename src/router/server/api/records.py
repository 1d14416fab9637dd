"""API operations on the records of ended contacts: search, export by pages, and one record.

A record names its customer. An answer that shows that to a person is in the audit of the customer, and an erased customer is not
shown: both need the customer context, so that records of customers cannot be read while it has failed.
"""

import asyncio
import csv
import io
import re
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from router.context.customers import CUSTOMER_ID_RULE
from router.context.port import ContextStore
from router.model.states import GoalOutcome, Name, SubjectId
from router.records.reading import RecordPosition, RecordSearch, RecordsUnavailable, StoredRecord
from router.records.record import ContactRecord, RecordedGoal, fact_text, term
from router.records.service import RecordService
from router.server.api.customer_access import now_ms_of, run_on_context
from router.server.api.problems import ProblemError
from router.server.api.request import ApiRequest, ApiResponse
from router.server.api.route import Route

T = TypeVar("T")

_TIME_MAX: Final = 2**53
_Time = Annotated[int, Meta(ge=0, le=_TIME_MAX)]
_CURSOR: Final = re.compile(r"([0-9]{1,16})-([0-9]{1,16})")
NEXT_CURSOR: Final = "X-Next-Cursor"
"""Header that names the next page of an export; the last page has none."""


class RecordEnd(StrEnum):
    """How a contact ended."""

    ENDED = "ended"
    ABANDONED = "abandoned"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class RecordOrder(StrEnum):
    """Order of records."""

    NEWEST = "newest"
    OLDEST = "oldest"


class RecordFormat(StrEnum):
    """Format of a page of records."""

    JSON = "json"
    NDJSON = "ndjson"
    CSV = "csv"


class RecordsQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which records, in which order and format. A record must match everything that is given."""

    from_ms: _Time = 0
    """Only contacts that ended at this time or later, epoch milliseconds."""
    to_ms: _Time = _TIME_MAX
    """Only contacts that ended before this time, epoch milliseconds."""
    state: RecordEnd | None = None
    """Only contacts that ended so."""
    queue: Name | None = None
    """Only contacts that were in this queue."""
    agent: SubjectId | None = None
    """Only contacts that this agent had."""
    channel: Name | None = None
    """Only contacts that were on this channel."""
    disposition: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    """Only contacts with this disposition."""
    goal: Name | None = None
    """Only contacts with this goal."""
    outcome: GoalOutcome | None = None
    """Only contacts with a goal and this outcome."""
    monitor: SubjectId | None = None
    """Only contacts in whose conversation this supervisor was."""
    customer: Annotated[str, Meta(pattern=r"^c_[0-9a-f]{32}(?!\n)$", extra={"rule": CUSTOMER_ID_RULE})] | None = None
    """Only contacts of this customer and of those who were merged with them."""
    attribute: (
        Annotated[
            str,
            Meta(
                pattern=r"^[a-z][a-z0-9_-]{0,63}=[^\x00-\x1f]{0,128}(?!\n)$",
                extra={"rule": "must be `name=value`, the name of an attribute and a value of at most 128 characters"},
            ),
        ]
        | None
    ) = None
    """Only contacts with this attribute, as ``name=value``."""
    order: RecordOrder | None = None
    """``newest`` (also if omitted): those that ended last come first; ``oldest``: those that ended first."""
    format: RecordFormat | None = None
    """``json`` (also if omitted); ``ndjson`` or ``csv`` for an export, with the next cursor in the header ``X-Next-Cursor``."""
    cursor: (
        Annotated[
            str, Meta(pattern=r"^[0-9]{1,16}-[0-9]{1,16}(?!\n)$", extra={"rule": "must be the `next_cursor` of the previous page"})
        ]
        | None
    ) = None
    """``next_cursor`` of the previous page; omitted: the first page."""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """Maximum number of records in the page."""


class RecordDocument(ContactRecord):
    """What happened to one contact, from its submit to the end of the last wrap-up."""

    customer_id: str | None = None
    """Customer of the contact; null: not known, or erased."""


class RecordList(Struct, frozen=True, kw_only=True):
    """A page of records, in the order of the ends of the contacts."""

    records: tuple[RecordDocument, ...]
    """Records of the page."""
    next_cursor: str | None
    """Cursor of the next page; null: this is the last one."""
    as_of_seq: int
    """Event up to which records are complete. It is behind only while records are made from older events after a start."""
    complete_from_seq: int
    """Event from which records are complete: those of contacts that began before it may be missing. 1: none are."""


async def list_records(request: ApiRequest) -> ApiResponse:
    """List records of ended contacts, one page at a time."""
    query: RecordsQuery = request.query_params
    service = _service(request)
    if query.from_ms > query.to_ms:
        raise ProblemError("invalid_value", "must be at or before `to_ms`", field="from_ms")
    groups = await _groups(request, query)
    settings = request.services.settings.server
    kind = query.format or RecordFormat.JSON
    limit_max = settings.page_size_max if kind is RecordFormat.JSON else settings.events_page_size_max
    search = RecordSearch(
        groups=groups,
        from_ms=max(query.from_ms, service.oldest_ms),
        to_ms=query.to_ms,
        gateway_id=request.gateway_id,
        newest_first=query.order is not RecordOrder.OLDEST,
        after=_position(query.cursor),
        limit=min(query.limit, limit_max),
    )
    page, complete_from_seq, as_of_seq = await _in_time(request, service.find(request.workspace, search))
    purpose = "view" if kind is RecordFormat.JSON else "export"
    documents = await _documents(request, page.records, purpose)
    after = page.next
    cursor = None if after is None else f"{after.ended_ms}-{after.number}"
    if kind is RecordFormat.JSON:
        tail = msgspec.json.encode({"next_cursor": cursor, "as_of_seq": as_of_seq, "complete_from_seq": complete_from_seq})
        return ApiResponse(body=b'{"records":[' + b",".join(documents) + b"]," + tail[1:])
    headers = {} if cursor is None else {NEXT_CURSOR: cursor}
    if kind is RecordFormat.NDJSON:
        body = b"".join(one + b"\n" for one in documents)
        return ApiResponse(body=body, headers=headers, content_type="application/x-ndjson")
    table = await asyncio.to_thread(_table, documents, has_header=query.cursor is None)
    return ApiResponse(body=table, headers=headers, content_type="text/csv; charset=utf-8")


async def get_record(request: ApiRequest) -> ApiResponse:
    """Get the record of an ended contact."""
    service = _service(request)
    contact_id = request.path_params["contact_id"]
    found = await _in_time(request, service.get(request.workspace, contact_id, gateway_id=request.gateway_id))
    if found is None:
        raise ProblemError("unknown_record")
    [document] = await _documents(request, [found], "view")
    return ApiResponse(body=document)


def _service(request: ApiRequest) -> RecordService:
    service = request.services.records
    if service is None:
        raise ProblemError("records_unavailable", "records are switched off in the settings (`records.enabled`)")
    return service


async def _in_time(request: ApiRequest, answer: Awaitable[T]) -> T:
    """Return the answer of the records. Raises ProblemError."""
    try:
        async with asyncio.timeout(request.services.settings.server.answer_timeout_s):
            return await answer
    except RecordsUnavailable as error:
        raise ProblemError("records_unavailable", str(error)) from None
    except TimeoutError:
        raise ProblemError("answer_timeout") from None


async def _groups(request: ApiRequest, query: RecordsQuery) -> tuple[tuple[int, ...], ...]:
    """Return the terms of a query: of each group a record must have one."""
    workspace = request.workspace
    groups: list[tuple[int, ...]] = []
    wanted = {
        "state": query.state,
        "queue": query.queue,
        "agent": query.agent,
        "channel": query.channel,
        "disposition": query.disposition,
        "goal": query.goal,
        "outcome": query.outcome,
        "monitor": query.monitor,
        "gateway": request.gateway_id,
    }
    groups += [(term(kind, workspace, str(value)),) for kind, value in wanted.items() if value is not None]
    if query.attribute is not None:
        name, _, value = query.attribute.partition("=")
        groups.append((term("attribute", workspace, name, value),))
    if (customer_id := query.customer) is not None:
        members = await run_on_context(request, lambda store: store.member_ids(workspace, customer_id))
        groups.append(tuple(term("customer", workspace, one) for one in sorted(members)))
    return tuple(groups)


def _position(cursor: str | None) -> RecordPosition | None:
    found = None if cursor is None else _CURSOR.fullmatch(cursor)
    return None if found is None else RecordPosition(int(found[1]), int(found[2]))


async def _documents(request: ApiRequest, records: Sequence[StoredRecord], purpose: str) -> list[bytes]:
    """Return records with the customers who were not erased, which is recorded where a person reads it."""
    named = {one.customer_id for one in records if one.customer_id is not None}
    shown = await _shown_customers(request, sorted(named), purpose) if named else frozenset()
    documents = []
    for one in records:
        customer = f'"{one.customer_id}"' if one.customer_id in shown else "null"
        documents.append(one.document[:-1] + b',"customer_id":' + customer.encode() + b"}")
    return documents


async def _shown_customers(request: ApiRequest, customer_ids: list[str], purpose: str) -> frozenset[str]:
    """Return which of these customers were not erased, and record that a person sees them."""
    if request.services.context is None:
        return frozenset()
    workspace, actor, now_ms = request.workspace, request.credential.actor, now_ms_of(request)
    is_person = request.credential.is_person

    def operation(store: ContextStore) -> frozenset[str]:
        store.read_ahead(workspace, identities=(), customer_ids=customer_ids)
        known = frozenset(one for one in customer_ids if store.is_known(workspace, one))
        if is_person:
            for customer_id in sorted(known):
                store.note_read(customer_id, actor=actor, purpose=purpose, fields="record", now_ms=now_ms)
        return known

    known: frozenset[str] = await run_on_context(request, operation)
    erased = [one for one in customer_ids if one not in known]
    if erased:
        # Made again from the journal, or on another node, the records still have them.
        with suppress(RecordsUnavailable):
            await _service(request).forget_customers(workspace, erased)
    return known


# --- tables ---------------------------------------------------------------------------------------

_TIMES: Final = ("submitted_at_ms", "answered_at_ms", "ended_at_ms", "completed_at_ms")
_SUMS: Final = ("wait_ms", "service_level_met", "talk_ms", "hold_ms", "parked_ms", "wrap_up_ms")
COLUMNS: Final = (
    *("contact_id", "state", "reason", "ended_by", "channel", "queue_id", "gateway_id", "customer_id"),
    *(*_TIMES, *_SUMS, "queues", "agents", "dispositions", "offers", "transfers", "call_attempts", "rule", "goal", "attributes"),
    *RecordedGoal.__struct_fields__,
)
"""Columns of a table of records; lists of ids are separated by spaces, offers, transfers and attempts are numbers."""
_decode_document: Final = msgspec.json.Decoder(RecordDocument).decode


def _table(documents: Sequence[bytes], *, has_header: bool) -> bytes:
    """Return records as a table (RFC 4180)."""
    text = io.StringIO()
    writer = csv.writer(text)
    if has_header:
        writer.writerow(COLUMNS)
    for document in documents:
        record = _decode_document(document)
        lists = {
            "queues": " ".join(dict.fromkeys(stay.queue_id for stay in record.queues)),
            "agents": " ".join(record.agents),
            "dispositions": " ".join(work.disposition for work in record.assignments if work.disposition is not None),
            "offers": len(record.offers),
            "transfers": len(record.transfers),
            "call_attempts": 0 if record.callback is None else len(record.callback.attempts),
            "attributes": " ".join(f"{name}={fact_text(value)}" for name, value in record.attributes.items()),
        }
        report = RecordedGoal() if record.goal_report is None else record.goal_report
        goal = {name: None if record.goal_report is None else getattr(report, name) for name in RecordedGoal.__struct_fields__}
        cells = {**lists, **goal}
        writer.writerow([_cell(cells[name] if name in cells else getattr(record, name)) for name in COLUMNS])
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    """Return a value as text that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool | int):
        return fact_text(value)
    text = str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


RECORD_ROUTES: Final[tuple[Route, ...]] = (
    Route(
        method="GET",
        path="/v1/records",
        operation=list_records,
        response_type=RecordList,
        query_type=RecordsQuery,
        tag="records",
        problem_codes=("records_unavailable", "unknown_customer", "customer_erased", "context_unavailable"),
    ),
    Route(
        method="GET",
        path="/v1/records/{contact_id}",
        operation=get_record,
        response_type=RecordDocument,
        tag="records",
        problem_codes=("unknown_record", "records_unavailable", "context_unavailable"),
    ),
)
