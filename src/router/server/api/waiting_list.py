"""API operation on the waiting contacts of a queue, in the order in which they are served."""

from typing import Annotated

from msgspec import Meta, Struct

from router.engine.commands.transaction import unknown_queue
from router.model.views import WaitingView
from router.server.api.problems import problem_from_refusal
from router.server.api.queues import visible_queue_id
from router.server.api.request import ApiRequest, ApiResponse


class WaitingQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Page of the waiting contacts of a queue."""

    cursor: (
        Annotated[
            str,
            Meta(pattern=r"^[0-9]{1,40}(?!\n)$", extra={"rule": "must be the `next_cursor` of an earlier page of the same queue"}),
        ]
        | None
    ) = None
    """``next_cursor`` of the previous page; omitted: the first page."""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 100
    """Maximum number of contacts in the page."""


class WaitingList(Struct, frozen=True, kw_only=True):
    """Page of the contacts that wait in a queue, in the order in which they are served."""

    queue_id: str
    contacts: tuple[WaitingView, ...]
    """Contacts of the page; those that are offered to an agent now are not among them."""
    as_of_seq: int
    at_ms: int
    next_cursor: str | None = None
    """Cursor of the next page; null on the last page."""


async def list_waiting(request: ApiRequest) -> ApiResponse:
    """List the contacts that wait in a queue in serving order, with their expected waits, one page at a time."""
    queue_id, query = visible_queue_id(request), request.query_params
    limit = min(query.limit, request.services.settings.server.page_size_max)
    now_ms = request.services.writer.clock.now_ms()
    if not (await request.query_engine(lambda engine: engine.has_queue(queue_id))).value:
        raise problem_from_refusal(unknown_queue())
    answered = await request.query_in_slices(
        lambda engine: engine.waiting_page(queue_id, after_rank=int(query.cursor or "0"), limit=limit, at_ms=now_ms)
    )
    page = answered.value
    return ApiResponse(
        body=WaitingList(
            queue_id=queue_id,
            contacts=tuple(page.contacts),
            as_of_seq=answered.seq,
            at_ms=answered.at_ms,
            next_cursor=None if page.next_rank is None else str(page.next_rank),
        )
    )
