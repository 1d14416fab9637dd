"""API operations on the workspace: events, totals, digest, diagnosis, WebSocket tickets and probes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType, structs

from router.cluster.status import WorkspaceStatus
from router.context.service import STALLED_S
from router.engine.engine import digest_of
from router.journal.records import Record
from router.model.diagnosis import ContextHealth, with_clock_drift, with_failed_context, with_journal_references
from router.model.errors import SharedStateUnavailable
from router.model.events import Event
from router.runtime.clock import DRIFT_WARNED_MS
from router.server.api.bodies import (
    DigestDocument,
    EventEnvelope,
    EventsQuery,
    HealthDocument,
    StateDocument,
    SubscriptionHealth,
    TicketDocument,
)
from router.server.api.idempotency import public_event
from router.server.api.problems import ProblemError
from router.server.api.request import ApiRequest, ApiResponse, encode_in_turns
from router.server.auth.tickets import TICKETS_UNAVAILABLE_TEXT, TicketsExhausted
from router.server.references import References

_encode: Final = msgspec.json.Encoder().encode

# Events of a page that are encoded before other tasks run, records that are read at once, and queues and findings that are encoded.
_EVENTS_PER_TURN: Final = 50
_RECORDS_READ: Final = 256
# Events that are examined for one page of those that match.
_EVENTS_EXAMINED: Final = 5_000
_QUEUES_PER_TURN: Final = 100
_FINDINGS_PER_TURN: Final = 100


async def list_events(request: ApiRequest) -> ApiResponse:
    """List events of the history in order and without gaps, one page at a time."""
    query = request.query_params
    limit = min(query.limit, request.services.settings.server.events_page_size_max)
    position = await request.query_engine(lambda _engine: None)
    if query.after is not None:
        history_id, _, seq = query.after.partition(":")
        request.services.writer.note_position(request.workspace, history_id, int(seq))
    first_seq = request.services.journal.first_seq(request.workspace)
    after_seq = _start_seq(query.after, history_id=position.history_id, first_seq=first_seq, last_seq=position.seq)
    if query.is_filtered:
        return await _list_some_events(request, position.history_id, after_seq, position.seq)
    encoded: list[bytes] = []
    turn_count = 0
    async for record in _records(request, after_seq, limit):
        encoded.extend(
            _encoded_events(
                record,
                position.history_id,
                after_seq=after_seq,
                count_max=limit - len(encoded),
                references=request.services.references,
            )
        )
        if len(encoded) == limit:
            break
        if len(encoded) - turn_count >= _EVENTS_PER_TURN:
            turn_count = len(encoded)
            await asyncio.sleep(0)
    next_seq = after_seq + len(encoded)
    head = _encode(
        {"history_id": position.history_id, "next": f"{position.history_id}:{next_seq}", "more": next_seq < position.seq}
    )
    body = b"".join((head[:-1], b',"events":[', b",".join(encoded), b"]}"))
    return ApiResponse(body=body)


async def _list_some_events(request: ApiRequest, history_id: str, after_seq: int, last_seq: int) -> ApiResponse:
    """Return a page of the events that match; ``next`` is the last one that was examined."""
    query = request.query_params
    limit = min(query.limit, request.services.settings.server.events_page_size_max)
    if query.from_ms is not None:
        after_seq = await _seq_before(request, after_seq, last_seq, query.from_ms)
    until_seq = min(last_seq, after_seq + _EVENTS_EXAMINED)
    encoded: list[bytes] = []
    is_over = False
    async for record in _records(request, after_seq, until_seq - after_seq):
        is_over = query.to_ms is not None and record.at_ms >= query.to_ms
        if is_over or after_seq >= until_seq or len(encoded) >= limit:
            break
        is_actor = query.actor is None or record.actor == query.actor
        for seq, event in enumerate(record.events, start=record.first_seq):
            if seq <= after_seq or len(encoded) >= limit:
                continue
            after_seq = seq
            if is_actor and _matches(event, query):
                encoded += _encoded_events(
                    record, history_id, after_seq=seq - 1, count_max=1, references=request.services.references
                )
        await asyncio.sleep(0)
    more = after_seq < last_seq and not is_over
    head = _encode({"history_id": history_id, "next": f"{history_id}:{after_seq}", "more": more})
    return ApiResponse(body=b"".join((head[:-1], b',"events":[', b",".join(encoded), b"]}")))


def _matches(event: Event, query: EventsQuery) -> bool:
    if query.type is not None and event.__struct_config__.tag != query.type:
        return False
    if query.contact is not None and getattr(event, "contact_id", None) != query.contact:
        return False
    if query.agent is None:
        return True
    named = (getattr(event, name, None) for name in ("agent_id", "from_agent_id", "for_agent_id"))
    return query.agent in named or query.agent in (getattr(event, "members", None) or ())


async def _seq_before(request: ApiRequest, after_seq: int, last_seq: int, at_ms: int) -> int:
    """Return the last event after ``after_seq`` that is before a time, found by halving."""
    low, high = after_seq, last_seq
    while low < high:
        middle = (low + high) // 2
        found = await request.services.journal.read(request.workspace, after_seq=middle, limit=1)
        if found and found[0].at_ms < at_ms:
            low = min(found[0].last_seq, high)
        else:
            high = middle
    return low


async def _records(request: ApiRequest, after_seq: int, event_count: int) -> AsyncIterator[Record]:
    """Yield the records after an event that hold at least so many events, or all that there are."""
    until_seq = after_seq + event_count
    while after_seq < until_seq:
        limit = min(_RECORDS_READ, until_seq - after_seq)
        records = await request.services.journal.read(request.workspace, after_seq=after_seq, limit=limit)
        await request.services.references.load(request.workspace, (event for record in records for event in record.events))
        for record in records:
            yield record
        if len(records) < limit:
            return
        after_seq = records[-1].last_seq


async def get_state(request: ApiRequest) -> ApiResponse:
    """Get the totals of the workspace. A state older than ``min_seq`` is answered with 503."""
    answered = await request.query_in_slices(lambda engine: engine.workspace_in_slices())
    if answered.seq < request.query_params.min_seq:
        raise ProblemError("event_not_reached", seq=answered.seq)
    queues = await encode_in_turns(answered.value.queues, _QUEUES_PER_TURN)
    state = structs.replace(answered.value, queues=queues)
    return ApiResponse(body=StateDocument(history_id=answered.history_id, epoch=answered.epoch, state=state))


async def get_digest(request: ApiRequest) -> ApiResponse:
    """Get the hash of the state."""
    position = await request.query_engine(lambda _engine: None)
    image = await request.state_image()
    digest = await asyncio.to_thread(digest_of, image.decisive_parts)
    return ApiResponse(body=DigestDocument(history_id=position.history_id, epoch=position.epoch, seq=image.seq, digest=digest))


def _start_seq(text: str | None, *, history_id: str, first_seq: int, last_seq: int) -> int:
    """Return the sequence number in ``history_id:seq``; without one the position before the first event that is not archived.

    Raises ProblemError if the events after the position cannot be listed.
    """
    if text is None:
        return first_seq - 1
    requested_id, _, seq = text.partition(":")
    if requested_id != history_id or int(seq) > last_seq:
        raise ProblemError("history_reset", "position not in this history; start again without `after`", seq=last_seq)
    if int(seq) + 1 < first_seq:
        detail = "the events after this position have been archived; start again without `after`"
        raise ProblemError("history_reset", detail, seq=last_seq)
    return int(seq)


def _encoded_events(record: Record, history_id: str, *, after_seq: int, count_max: int, references: References) -> list[bytes]:
    """Encode the events of a record after ``after_seq`` as JSON objects: envelope fields first, then the event's."""
    encoded: list[bytes] = []
    for seq, event in enumerate(record.events, start=record.first_seq):
        if seq <= after_seq:
            continue
        if len(encoded) == count_max:
            break
        envelope = EventEnvelope(history_id=history_id, epoch=record.epoch, seq=seq, ts=record.at_ms, actor=record.actor)
        encoded.append(_encode(envelope)[:-1] + b"," + _encode(references.event(public_event(event)))[1:])
    return encoded


async def diagnose(request: ApiRequest) -> ApiResponse:
    """Diagnose the workspace: unroutable contacts, queues without agents, agents without work, ineffective rules."""
    clock = request.services.writer.clock
    # Waits are measured up to now; the last command may be long ago.
    answered = await request.query_in_slices(lambda engine: engine.diagnose_in_slices(at_ms=clock.now_ms()))
    diagnosis = with_clock_drift(answered.value, clock.drift_ms(), tolerance_ms=DRIFT_WARNED_MS)
    contacts = request.services.references_in_journal.get(request.workspace, 0)
    diagnosis = with_journal_references(diagnosis, contacts, is_counted=False)
    diagnosis = with_failed_context(diagnosis, _context_health(request))
    return ApiResponse(body=structs.replace(diagnosis, findings=await encode_in_turns(diagnosis.findings, _FINDINGS_PER_TURN)))


def _context_health(request: ApiRequest) -> ContextHealth | None:
    """Return the state of the customer context; None where it is switched off."""
    context = request.services.context
    if context is None:
        return None
    status = context.status()
    if not status.available:
        return ContextHealth.FAILED
    return ContextHealth.STALLED if status.stalled_s >= STALLED_S else ContextHealth.AVAILABLE


async def get_cluster(request: ApiRequest) -> ApiResponse:
    """Get the state of the routers on the store: members, leader, lag, durability and servers."""
    position = await request.query_engine(lambda _engine: None)
    first_seq = request.services.journal.first_seq(request.workspace)
    own = WorkspaceStatus(
        workspace=request.workspace,
        leader=request.services.run or "(this router)",
        epoch=position.epoch,
        seq=position.seq,
        first_seq=first_seq,
    )
    return ApiResponse(body=await request.services.cluster.status(own))


async def issue_ws_ticket(request: ApiRequest) -> ApiResponse:
    """Issue a single-use ticket for the ``hello`` frame of a WebSocket."""
    for name in ("Idempotency-Key", "If-Match"):
        if request.header(name) is not None:
            raise ProblemError("invalid_value", "this operation does not support it: each request issues a new ticket", field=name)
    tickets = request.services.tickets
    try:
        ticket = await tickets.issue(request.credential)
    except TicketsExhausted as error:
        if error.is_of_credential:
            detail = "this credential has as many unused tickets as `auth.credential_tickets_max` allows"
            raise ProblemError("rate_limited", detail, retry_after_s=error.retry_after_s) from None
        raise ProblemError(
            "busy", "as many tickets are unused as `auth.tickets_max` allows", retry_after_s=error.retry_after_s
        ) from None
    except SharedStateUnavailable:
        raise ProblemError("busy", TICKETS_UNAVAILABLE_TEXT, retry_after_s=1) from None
    return ApiResponse(
        status=201, body=TicketDocument(ticket=ticket, expires_in_s=tickets.lifetime_s), headers={"Cache-Control": "no-store"}
    )


async def healthz(request: ApiRequest) -> ApiResponse:
    """Liveness probe."""
    journal = request.services.journal.status()
    return ApiResponse(
        body=HealthDocument(status="ok", durability=journal.durability, journal_problem=_problem_or_unset(journal.problem))
    )


async def readyz(request: ApiRequest) -> ApiResponse:
    """Readiness probe: recovered and not shutting down."""
    condition = request.services.readiness
    if condition.stopping:
        raise ProblemError("stopping", retry_after_s=5)
    if not condition.ready:
        raise ProblemError("not_ready")
    drift_ms = request.services.writer.clock.drift_ms()
    subscriptions = tuple(
        SubscriptionHealth(name=one.name, state=str(one.state), lag_events=one.lag_events)
        for one in request.services.writer.feed.statuses()
    )
    journal = request.services.journal.status()
    return ApiResponse(
        body=HealthDocument(
            status="ready",
            subscriptions=subscriptions,
            clock_drift_ms=drift_ms,
            customer_context=_context_health(request),
            durability=journal.durability,
            journal_problem=_problem_or_unset(journal.problem),
        )
    )


def _problem_or_unset(problem: str | None) -> str | UnsetType:
    return UNSET if problem is None else problem
